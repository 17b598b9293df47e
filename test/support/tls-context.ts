import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';

const fixture = (name: string): Buffer =>
  readFileSync(join(import.meta.dirname, '..', 'fixtures', name));

export const TEST_CERTIFICATE = fixture('tls-cert.pem');
export const TEST_KEY = fixture('tls-key.pem');

/** Certificate and key of the tests' own server. */
export function testContext(): tls.SecureContext {
  return tls.createSecureContext({ cert: TEST_CERTIFICATE, key: TEST_KEY });
}
