import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readRootCertificate } from '../../src/source/root-certificate.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'djp-certs-'));
const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
writeFileSync(path.join(directory, 'ca.pem'), PEM);
writeFileSync(path.join(directory, 'key.pem'), 'something else');
afterAll(() => rmSync(directory, { recursive: true }));

test('FILE:name is a file of the directory', () => {
  expect(readRootCertificate(directory, { ssl_rootcert: 'FILE:ca.pem' })).toBe(PEM);
  expect(readRootCertificate(undefined, {})).toBeUndefined();
});

test.each([
  ['ca.pem', 'ssl root cert is not in expected format, should start with FILE:, got ca.pem'],
  ['FILE:other.pem', 'ssl root cert file not found: FILE:other.pem in '],
  ['FILE:', 'ssl root cert file not found: FILE:'],
  ['FILE:../ca.pem', 'ssl root cert file not found: FILE:../ca.pem'],
  ['FILE:/etc/passwd', 'ssl root cert file not found: FILE:/etc/passwd'],
  ['FILE:..', 'ssl root cert file not found: FILE:..'],
  ['FILE:key.pem', 'ssl root cert FILE:key.pem holds no certificate in PEM form'],
])('%s is refused', (value, text) => {
  expect(() => readRootCertificate(directory, { ssl_rootcert: value })).toThrow(text);
});

test('without a directory it is said what to do', () => {
  expect(() => readRootCertificate(undefined, { ssl_rootcert: 'FILE:ca.pem' })).toThrow(
    /ssl root cert file not found: FILE:ca\.pem; .*--ssl-cert-dir/,
  );
});
