import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProxyError } from '../../../src/model/error.ts';
import { BinlogParser } from '../../../src/source/mysql/binlog-event.ts';
import { inflateEvent, inflateValue } from '../../../src/source/mysql/compression.ts';
import { writeGeometry } from '../../../src/source/mysql/geometry.ts';
import { writeJsonDocument } from '../../../src/source/mysql/json-binary.ts';
import { Scratch } from '../../../src/source/mysql/scratch.ts';
import type { WriteValue } from '../../../src/source/mysql/value-writer.ts';
import { capturedEvents } from './captured-log.ts';

/** The two documents and the two shapes of the captured log, each a length of four bytes and the value. */
function capturedValues(): { documents: Buffer[]; shapes: Buffer[] } {
  const parser = new BinlogParser();
  const documents: Buffer[] = [];
  const shapes: Buffer[] = [];
  let name = '';
  for (const bytes of capturedEvents('mysql-9.7').filter((event) => event[4] !== 39)) {
    const event = parser.parse(bytes);
    if (event.kind === 'table-map') name = event.map.table;
    if (event.kind !== 'rows' || name !== 'docs' || event.bytes[event.start] !== 0) continue;
    const documentAt = event.start + 1 + 4; // after the NULL bits and the id
    const document = valueAt(event.bytes, documentAt);
    documents.push(document);
    shapes.push(valueAt(event.bytes, documentAt + 4 + document.length));
  }
  return { documents, shapes };
}

function valueAt(bytes: Buffer, at: number): Buffer {
  return Buffer.from(bytes.subarray(at + 4, at + 4 + bytes.readUInt32LE(at)));
}

const { documents, shapes } = capturedValues();

function textOf(write: WriteValue, value: Buffer): string {
  const out = new Scratch();
  write(out, value, 0, value.length);
  return out.buffer.toString('utf8', 0, out.position);
}

test.each([
  ['a document', writeJsonDocument, documents],
  ['a shape', writeGeometry, shapes],
] as const)(
  '%s with any damage is refused, or is another value; it never reads elsewhere',
  (_, write, values) => {
    expect(values.length).toBe(2);
    const change = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...values), change, fc.nat(400), (value, changes, cut) => {
        const damaged = Buffer.from(
          value.subarray(0, value.length - (cut > 200 ? cut % value.length : 0)),
        );
        for (const [at, byte] of changes) if (at < damaged.length) damaged[at] = byte;
        try {
          const text = textOf(write, damaged);
          if (write === writeJsonDocument) JSON.parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(ProxyError);
        }
      }),
      { numRuns: 3000 },
    );
  },
);

test('containers that hold themselves end', () => {
  // An array of one element whose value, an array, is the array itself.
  const loop = Buffer.from([0x02, 1, 0, 7, 0, 0x02, 0, 0]);
  expect(() => textOf(writeJsonDocument, loop)).toThrow(ProxyError);
});

test('an empty document is the literal null, as the server reads it', () => {
  expect(textOf(writeJsonDocument, Buffer.alloc(0))).toBe('null');
});

test('compressed values that are no values are refused', () => {
  expect(inflateValue(Buffer.alloc(0)).length).toBe(0);
  expect(inflateValue(Buffer.from('\0abc')).toString()).toBe('abc');
  for (const bytes of [[0x10, 1], [0x80], [0x81, 200], [0x81, 3, 1, 2, 3], [0x85, 0, 0, 0, 0, 1]]) {
    expect(() => inflateValue(Buffer.from(bytes))).toThrow(ProxyError);
  }
  for (const bytes of [[], [0x00, 1], [0x80, 1], [0x81, 3, 1, 2, 3], [0x84, 0x7f, 0, 0, 0, 9]]) {
    expect(() => inflateEvent(Buffer.from(bytes))).toThrow(ProxyError);
  }
});
