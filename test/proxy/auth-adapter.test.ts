import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { AuthAdapter } from '../../src/proxy/auth-adapter.ts';
import { encodePacket } from '../../src/wire/packet.ts';
import { ResponseWalker } from '../../src/wire/response-walker.ts';
import { loginPayload } from '../support/relay-ends.ts';

const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });

test.each([
  [
    'a password that is longer than the key takes',
    publicKey.export({ type: 'spki', format: 'pem' }),
  ],
  ['a key that is none', 'no key'],
])('%s is a wrong password, and not the end of the process', (_what, key) => {
  const sent: Buffer[] = [];
  const walker = new ResponseWalker();
  const challenge = { plugin: 'caching_sha2_password', nonce: Buffer.alloc(20, 7) };
  const adapter = new AuthAdapter(walker, challenge, (bytes) => void sent.push(bytes));
  walker.expect('auth', 1);
  adapter.clientBytes(encodePacket(2, loginPayload(0)));
  adapter.frontendBytes(encodePacket(2, Buffer.of(1, 4)));
  expect(adapter.clientBytes(encodePacket(4, Buffer.alloc(400, 'a')))).toHaveLength(0);
  adapter.frontendBytes(encodePacket(4, Buffer.concat([Buffer.of(1), Buffer.from(key)])));
  expect(sent).toEqual([encodePacket(3, Buffer.of(2)), encodePacket(5, Buffer.alloc(0))]);
});
