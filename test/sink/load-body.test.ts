import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesSent, pieces } from '../../src/sink/load-body.ts';

const rows = fc.array(
  fc.array(fc.record({ id: fc.integer(), v: fc.string({ maxLength: 40 }) }), { maxLength: 20 }),
  { maxLength: 4 },
);

const linesOf = (chunks: readonly (readonly object[])[], sequence?: number) => {
  const body = chunks.map((chunk) =>
    Buffer.from(chunk.map((row) => `${JSON.stringify(row)}\n`).join('')),
  );
  const bytes = body.reduce((sum, { length }) => sum + length, 0);
  return { body, bytes, rows: chunks.flat().length, sequence };
};

const sentOf = (lines: Parameters<typeof pieces>[0]): Buffer =>
  Buffer.concat([...pieces(lines, () => undefined)]);

test('without a sequence the bytes go out as they are', () => {
  fc.assert(
    fc.property(rows, (chunks) => {
      const lines = linesOf(chunks);
      expect(sentOf(lines)).toEqual(Buffer.concat(lines.body));
      expect(bytesSent(lines)).toBe(lines.bytes);
    }),
  );
});

test('a sequence is in every row, and the length is told beforehand', () => {
  fc.assert(
    fc.property(rows, fc.maxSafeNat(), (chunks, sequence) => {
      const lines = linesOf(chunks, sequence);
      const sent = sentOf(lines);
      expect(sent).toHaveLength(bytesSent(lines));
      const read = sent.toString().split('\n').slice(0, -1);
      expect(read.map((line) => JSON.parse(line) as unknown)).toEqual(
        chunks.flat().map(({ id, v }) => ({ id, v, __DORIS_SEQUENCE_COL__: sequence })),
      );
    }),
  );
});

test('a large body goes out in pieces, each of them told', () => {
  const wide = linesOf([Array.from({ length: 300 }, (_, id) => ({ id, v: 'x'.repeat(10_000) }))]);
  for (const sequence of [undefined, 5]) {
    let told = 0;
    const sizes = [...pieces({ ...wide, sequence }, () => told++)].map(({ length }) => length);
    expect(told).toBe(sizes.length);
    expect(Math.max(...sizes)).toBeLessThan(300_000);
    expect(sizes.length).toBeGreaterThan(5);
  }
});
