import { describe, expect, test } from 'vitest';
import { readConnectAttributes, takesMarkerForCursor } from '../../src/wire/connect-attributes.ts';
import { Capability } from '../../src/wire/handshake.ts';
import { loginPayload } from '../support/relay-ends.ts';

const FLAGS =
  Capability.PROTOCOL_41 |
  Capability.SECURE_CONNECTION |
  Capability.PLUGIN_AUTH |
  Capability.CONNECT_ATTRS;
const SENT = { _client_name: 'MySQL Connector/J', _os: 'Línux', empty: '' };

describe('connect attributes', () => {
  test.each([
    ['an answer with one byte of length', FLAGS],
    ['an answer with an encoded length', FLAGS | Capability.PLUGIN_AUTH_LENENC],
  ])('are read behind %s', (_what, flags) => {
    expect(Object.fromEntries(readConnectAttributes(loginPayload(flags, SENT)))).toEqual(SENT);
  });

  test('are read behind a database', () => {
    const plain = loginPayload(FLAGS | Capability.CONNECT_WITH_DB, SENT);
    const at = 32 + 2 + 1 + 20;
    const login = Buffer.concat([plain.subarray(0, at), Buffer.from('db\0'), plain.subarray(at)]);
    expect(Object.fromEntries(readConnectAttributes(login))).toEqual(SENT);
  });

  test('of more than 250 bytes', () => {
    const login = loginPayload(FLAGS, {});
    const long = Buffer.from('y'.repeat(2000));
    const pair = Buffer.concat([Buffer.from('\x01x\xfc\xd0\x07', 'latin1'), long]);
    const all = Buffer.concat([
      login.subarray(0, -1),
      Buffer.from([0xfc, pair.length & 0xff, pair.length >> 8]),
      pair,
    ]);
    expect(readConnectAttributes(all).get('x')).toHaveLength(2000);
  });

  test('are none when the client does not send any, or leaves them out', () => {
    expect(readConnectAttributes(loginPayload(FLAGS & ~Capability.CONNECT_ATTRS, SENT)).size).toBe(
      0,
    );
    expect(readConnectAttributes(loginPayload(FLAGS, {}).subarray(0, -1)).size).toBe(0);
  });

  test('that end too early are no login', () => {
    const login = loginPayload(FLAGS, SENT);
    expect(() => readConnectAttributes(login.subarray(0, -2))).toThrow('ends inside');
    expect(() => readConnectAttributes(login.subarray(0, 33))).toThrow('NUL');
  });
});

describe('who takes the first end marker for the word on its cursor', () => {
  // The same borders as in Doris (apache/doris#67520).
  test.each([
    ['MySQL Connector Java', '5.1.49', true],
    ['MySQL Connector/J', '6.0.6', true],
    ['MySQL Connector/J', '8.2.0', true],
    ['MySQL Connector/J', '9.4.0', true],
    ['MySQL Connector/J', '9.5.0', false],
    ['MySQL Connector/J', '9.10.0', false],
    ['MySQL Connector/J', '10.0', false],
    ['MySQL Connector/J', '8.4.0-rc1', true],
    ['MySQL Connector/J', 'unknown', true],
    ['MySQL Connector/J', undefined, true],
    ['MariaDB Connector/J', '3.5.6', false],
    ['libmysql', '8.0.40', false],
    [undefined, undefined, true],
  ])('%s %s: %s', (name, version, expected) => {
    const attributes = new Map<string, string>();
    if (name !== undefined) attributes.set('_client_name', name);
    if (version !== undefined) attributes.set('_client_version', version);
    expect(takesMarkerForCursor(attributes)).toBe(expected);
  });
});
