import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodePacket, PacketReader, PAYLOAD_MAX, ProtocolError } from '../../src/wire/packet.ts';
import { anyCuts, cutAt } from '../support/bytes.ts';

function readAll(pieces: readonly Buffer[], bytesMax = 100_000_000): Buffer[] {
  const reader = new PacketReader(bytesMax);
  const payloads: Buffer[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (let packet = reader.next(); packet; packet = reader.next()) payloads.push(packet.payload);
  }
  return payloads;
}

const hex = (payload: Uint8Array): string => Buffer.from(payload).toString('hex');

test('packets survive any cutting of the byte stream', () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });
  fc.assert(
    fc.property(payloads, anyCuts, (sent, cuts) => {
      const bytes = Buffer.concat(sent.map((payload, i) => encodePacket(i, payload)));
      expect(readAll(cutAt(bytes, cuts)).map(hex)).toEqual(sent.map(hex));
    }),
  );
});

describe('a payload around 16 MiB', () => {
  test.each([
    [PAYLOAD_MAX - 1, [PAYLOAD_MAX - 1]],
    [PAYLOAD_MAX, [PAYLOAD_MAX, 0]],
    [PAYLOAD_MAX + 1, [PAYLOAD_MAX, 1]],
    [2 * PAYLOAD_MAX, [PAYLOAD_MAX, PAYLOAD_MAX, 0]],
  ])('of %i bytes takes packets of %j and comes back whole', (length, expected) => {
    const payload = Buffer.alloc(length, 7);
    const bytes = encodePacket(254, payload);
    const lengths: number[] = [];
    const ids: number[] = [];
    for (let at = 0; at < bytes.length; at += 4 + (lengths.at(-1) ?? 0)) {
      lengths.push(bytes.readUIntLE(at, 3));
      ids.push(bytes.readUInt8(at + 3));
    }
    expect(lengths).toEqual(expected);
    expect(ids).toEqual([254, 255, 0].slice(0, expected.length));
    const [read, ...more] = readAll(cutAt(bytes, [3, 5, PAYLOAD_MAX, PAYLOAD_MAX + 6]));
    expect(more).toEqual([]);
    expect(read?.equals(payload)).toBe(true);
  });
});

test('a packet beyond the limit is refused by its header, before it is gathered', () => {
  const header = Buffer.from([0, 0, 1, 0]);
  expect(() => readAll([header], 65_536)).toThrow(ProtocolError);
});

test('the reader keeps no reference to the memory it was given', () => {
  const reader = new PacketReader(100);
  const chunk = encodePacket(0, Buffer.from('abc'));
  reader.push(chunk.subarray(0, 5));
  reader.push(chunk.subarray(5));
  chunk.fill(0);
  expect(reader.next()?.payload.toString()).toBe('abc');
  expect(reader.next()).toBeUndefined();
});
