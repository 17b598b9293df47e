import { describe, expect, test } from 'vitest';
import {
  Capability,
  maskGreeting,
  maskResponse,
  readGreeting,
  RESPONSE_HEAD_BYTES,
} from '../../src/wire/handshake.ts';
import { encodePacket, ProtocolError } from '../../src/wire/packet.ts';
import { greetingPayload, loginPayload } from '../support/relay-ends.ts';

const FORBIDDEN =
  Capability.COMPRESS |
  Capability.SSL |
  Capability.OPTIONAL_RESULTSET_METADATA |
  Capability.ZSTD_COMPRESSION |
  Capability.QUERY_ATTRIBUTES;

describe('greeting', () => {
  test('is read where its version text ends', () => {
    const payload = greetingPayload({ capabilities: 0x01_38_82_8c, connectionId: 77 });
    expect(readGreeting(payload)).toEqual({
      serverVersion: '5.7.99',
      connectionId: 77,
      capabilities: 0x01_38_82_8c,
      charset: 33,
      status: 2,
    });
  });

  test('loses what a relay cannot offer, and nothing else', () => {
    const payload = greetingPayload({ capabilities: 0xff_ff_ff_ff, connectionId: 1 });
    const before = Buffer.from(payload);
    maskGreeting(payload, false);
    expect(readGreeting(payload).capabilities).toBe((0xff_ff_ff_ff & ~FORBIDDEN) >>> 0);
    const flags = [21, 22, 26, 27];
    const extended = [35, 36, 37, 38];
    const changed = [...payload.keys()].filter((i) => payload[i] !== before[i]);
    expect([...flags, ...extended]).toEqual(expect.arrayContaining(changed));
    expect(payload.subarray(35, 39)).toEqual(Buffer.alloc(4)); // MariaDB's extended flags
  });

  test.each([
    ['of another version', Buffer.from([9, 0x35, 0])],
    ['cut short', greetingPayload({ capabilities: 0, connectionId: 1 }).subarray(0, 20)],
    ['empty', Buffer.alloc(0)],
  ])('%s is refused', (_what, payload) => {
    expect(() => readGreeting(payload)).toThrow(ProtocolError);
  });
});

describe('login packet', () => {
  test('loses the forbidden flags and the reserved bytes; user, password and attributes stay as they are', () => {
    const packet = encodePacket(1, loginPayload(0xff_ff_ff_ff & ~Capability.SSL));
    packet.fill(0xaa, 4 + 9, 4 + 32);
    const before = Buffer.from(packet);
    const flags = maskResponse(packet, false);
    expect(flags.sslRequest).toBe(false);
    expect(flags.sent).toBe((flags.asked & ~FORBIDDEN) >>> 0);
    expect(packet.readUInt32LE(4)).toBe(flags.sent);
    expect(packet.subarray(13, 36)).toEqual(Buffer.alloc(23));
    expect(packet.subarray(8, 13)).toEqual(before.subarray(8, 13));
    expect(packet.subarray(RESPONSE_HEAD_BYTES)).toEqual(before.subarray(RESPONSE_HEAD_BYTES));
  });

  test('of 32 bytes with the SSL flag asks for TLS', () => {
    const request = loginPayload(Capability.SSL | Capability.PROTOCOL_41).subarray(0, 32);
    expect(maskResponse(encodePacket(1, request), false).sslRequest).toBe(true);
  });

  test('in the form before 4.1 is refused, as Doris does', () => {
    expect(() => maskResponse(encodePacket(1, loginPayload(0)), false)).toThrow(ProtocolError);
  });
});
