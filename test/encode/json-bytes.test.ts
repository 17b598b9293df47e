import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  escapedLength,
  putBase64,
  putBytes,
  putDigits,
  putEscaped,
  putInt,
} from '../../src/encode/json-bytes.ts';

const room = Buffer.alloc(64 * 1024);
const written = (end: number) => room.toString('utf8', 3, end);

test('integers are written as JavaScript prints them', () => {
  fc.assert(
    fc.property(fc.oneof(fc.maxSafeInteger(), fc.integer(), fc.integer({ max: 200 })), (n) => {
      expect(written(putInt(room, 3, n))).toBe(String(n + 0));
    }),
  );
  for (let power = 1; power < 2 ** 53; power *= 10) {
    for (const n of [power - 1, power, power + 1]) expect(written(putInt(room, 3, n))).toBe(`${n}`);
  }
  expect(written(putInt(room, 3, -Number.MAX_SAFE_INTEGER))).toBe('-9007199254740991');
});

test('fixed width digits are padded with zeros', () => {
  fc.assert(
    fc.property(fc.nat(999_999_999), fc.constantFrom(9), (n, width) => {
      expect(written(putDigits(room, 3, n, width))).toBe(String(n).padStart(width, '0'));
    }),
  );
  for (let width = 1; width < 7; width++) {
    expect(written(putDigits(room, 3, 7, width))).toBe('7'.padStart(width, '0'));
  }
});

test('text comes back from JSON as it went in, whatever characters it has', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const bytes = Buffer.from(text);
      const end = putEscaped(room, 3, bytes, 0, bytes.length);
      expect(JSON.parse(`"${written(end)}"`)).toBe(text);
      expect(escapedLength(bytes, 0, bytes.length)).toBe(end - 3);
    }),
  );
});

test('ill-formed UTF-8 becomes U+FFFD exactly where a browser puts it', () => {
  const lead = fc.constantFrom(0xc1, 0xc2, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff);
  const tail = fc.constantFrom(0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0);
  const byte = fc.oneof(lead, tail, fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 60 }), (list) => {
      const bytes = Buffer.from(list);
      const end = putEscaped(room, 3, bytes, 0, bytes.length);
      const decoded = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
      expect(JSON.parse(`"${written(end)}"`)).toBe(decoded);
      expect(escapedLength(bytes, 0, bytes.length)).toBe(end - 3);
    }),
    { numRuns: 2000 },
  );
});

test('base64 and plain copies are those of Buffer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (list) => {
      const bytes = Buffer.from(list);
      expect(written(putBase64(room, 3, bytes, 0, bytes.length))).toBe(bytes.toString('base64'));
      const end = putBytes(room, 3, bytes, 0, bytes.length);
      expect(room.subarray(3, end).equals(bytes)).toBe(true);
    }),
  );
});
