import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as message from '../../support/pgoutput-messages.ts';
import {
  column,
  copiedLines,
  copyField,
  loggedLines,
  same,
  tableOf,
} from '../../support/postgres-rows.ts';

const TEXT = tableOf(column('a', 25, 'STRING'), column('b', 25, 'STRING'), column('c', 23, 'INT'));

/** Bytes as a server may hold them that was told lies about its text: no NUL, and nothing that COPY would have escaped. */
const anyBytes = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Buffer.from(bytes.filter((c) => (c >= 0x20 || c === 1) && c !== 0x5c)));

test('bytes that are not UTF-8 are written the same way wherever they lie, as U+FFFD', () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const line = same(
        copiedLines(TEXT, Buffer.concat([Buffer.from('7\t'), bytes, Buffer.from('\tb\t5')])),
      );
      // The log's message is made of two: one in front of the value and one behind it.
      const [head, tail] = [message.insert(1, ['7']), message.insert(1, ['b', '5'])];
      const value = Buffer.concat([Buffer.from('t\0\0\0'), Buffer.of(bytes.length), bytes]);
      const row = Buffer.concat([
        head.subarray(0, 7),
        Buffer.of(4),
        head.subarray(8),
        value,
        tail.subarray(8),
      ]);
      expect(same(loggedLines(TEXT, row))).toBe(line);
      expect((JSON.parse(line) as { a: string }).a).toBe(bytes.toString('utf8'));
    }),
    { numRuns: 300 },
  );
});

const anyValue = fc.oneof(
  fc.string({ unit: fc.constantFrom(...Array.from('0123456789-+: .eBCNaIf')), maxLength: 30 }),
  fc.constantFrom('2024-01-01', '2024-01-01 00:00:00.5+00', '2024-01-01 00:00:00 BC', 'infinity'),
);

test.each([
  [23, 'INT'],
  [20, 'BIGINT'],
  [701, 'DOUBLE'],
  [1700, 'DECIMAL(10,2)'],
  [1082, 'DATE'],
  [1114, 'DATETIME(6)'],
  [1184, 'DATETIME(6)'],
  [18, 'STRING'],
])('whatever text a value of type %i has, it is written the same way, or refused', (oid, type) => {
  const table = tableOf(column('v', oid, type), column('w', oid, type));
  fc.assert(
    fc.property(anyValue, anyValue, (v, w) => {
      const line = Buffer.from(['1', v, w].map(copyField).join('\t'));
      const ways = [
        ...copiedLines(table, line),
        ...loggedLines(table, message.insert(1, ['1', v, w])),
      ];
      expect(new Set(ways).size).toBe(1);
    }),
    { numRuns: 150 },
  );
});
