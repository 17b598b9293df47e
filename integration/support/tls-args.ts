import { join } from 'node:path';

const fixture = (name: string): string =>
  join(import.meta.dirname, '..', '..', 'test', 'fixtures', name);

/** Flags of a proxy that offers TLS to its clients, with the tests' own certificate. */
export const TLS_ARGS = [
  `--tls-cert=${fixture('tls-cert.pem')}`,
  `--tls-key=${fixture('tls-key.pem')}`,
] as const;
