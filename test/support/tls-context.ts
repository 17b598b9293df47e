import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';

const fixture = (name: string): Buffer =>
  readFileSync(join(import.meta.dirname, '..', 'fixtures', name));

/** Certificate and key of the tests' own server. */
export function testContext(): tls.SecureContext {
  return tls.createSecureContext({ cert: fixture('tls-cert.pem'), key: fixture('tls-key.pem') });
}
