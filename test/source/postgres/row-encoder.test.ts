import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch } from '../../../src/encode/batch.ts';
import { ProxyError } from '../../../src/model/error.ts';
import type { TableSpec } from '../../../src/model/table.ts';
import { RowEncoder } from '../../../src/source/postgres/row-encoder.ts';
import * as message from '../../support/pgoutput-messages.ts';
import {
  column,
  copiedLines,
  copyField,
  insert,
  lines,
  same,
  tableOf,
  takeLine,
  viaCopy,
  viaLog,
} from '../../support/postgres-rows.ts';

const TEXT = tableOf(column('a', 25, 'STRING'), column('b', 25, 'STRING'), column('c', 23, 'INT'));
/** Any characters, and those that COPY or JSON escape among plain ones. */
const unit = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  fc.constantFrom(
    'a',
    ' ',
    '\b',
    '\f',
    '\n',
    '\r',
    '\t',
    '\v',
    '\\',
    '"',
    '\x01',
    'ü',
    '😀',
    '0123456789',
  ),
);
const anyText = fc.option(
  fc.array(unit, { maxLength: 40 }).map((s) => s.join('').replaceAll('\0', '')),
);

/** As UTF-8 carries it: without lone surrogates. */
function utf8(s: string | null): string | null {
  return s === null ? null : Buffer.from(s).toString();
}

test('any text has the same bytes by COPY and by the log, and means itself in JSON', () => {
  fc.assert(
    fc.property(anyText, anyText, (a, b) => {
      const values = ['7', a, b, null];
      const line = viaCopy(TEXT, values);
      expect(viaLog(TEXT, values)).toBe(line);
      const row = { id: 7, a: utf8(a), b: utf8(b), c: null, __DORIS_DELETE_SIGN__: 0 };
      expect(JSON.parse(line)).toEqual(row);
    }),
    { numRuns: 500 },
  );
});

test('a long value with escapes, after a short one: the scratch buffer grows first', () => {
  const long = `${'x'.repeat(5000)}\n`;
  expect(JSON.parse(viaCopy(TEXT, ['1', '\\', long, '5']))).toMatchObject({
    a: '\\',
    b: long,
    c: 5,
  });
});

test.each([
  [16, 'BOOLEAN', 't', 'true'],
  [16, 'BOOLEAN', 'f', 'false'],
  [1560, 'BOOLEAN', '1', 'true'],
  [1560, 'STRING', '10101', '"10101"'],
  [21, 'SMALLINT', '-32768', '-32768'],
  [20, 'BIGINT', '9223372036854775807', '"9223372036854775807"'],
  [26, 'BIGINT', '4294967295', '"4294967295"'],
  [700, 'FLOAT', '1e-45', '1e-45'],
  [700, 'FLOAT', '-0', '-0'],
  [701, 'DOUBLE', 'NaN', '"NaN"'],
  [701, 'DOUBLE', '-Infinity', '"-Infinity"'],
  [1700, 'DECIMAL(10,2)', '-0.50', '"-0.50"'],
  [1700, 'STRING', 'NaN', '"NaN"'],
  [1082, 'DATE', '0001-01-01', '"0001-01-01"'],
  [1082, 'STRING', '0044-03-15 BC', '"0044-03-15 BC"'],
  [1114, 'DATETIME(6)', '2024-01-01 12:00:00.123', '"2024-01-01 12:00:00.123"'],
  [1184, 'DATETIME(6)', '2024-01-01 12:00:00.5+00', '"2024-01-01 12:00:00.5"'],
  [1184, 'DATETIME(6)', '2024-01-01 12:00:00+05:30', '"2024-01-01 12:00:00"'],
  [1184, 'DATETIME(6)', '1883-11-18 12:00:00-04:56:02', '"1883-11-18 12:00:00"'],
  [17, 'STRING', '\\x', '""'],
  [17, 'STRING', '\\xdeadbeef00', '"3q2+7wA="'],
  [
    17,
    'STRING',
    `\\x${'00ff10'.repeat(100)}`,
    `"${Buffer.from('00ff10'.repeat(100), 'hex').toString('base64')}"`,
  ],
  [790, 'STRING', '-$1,234.50', '"-$1,234.50"'],
])('type %i as %s: %s is %s', (oid, dorisType, text, json) => {
  const table = tableOf(column('v', oid, dorisType));
  const line = `{"id":1,"v":${json},"__DORIS_DELETE_SIGN__":0}`;
  expect(viaCopy(table, ['1', text])).toBe(line);
  expect(viaLog(table, ['1', text])).toBe(line);
});

test.each([
  [1082, 'DATE', 'infinity'],
  [1082, 'DATE', '-infinity'],
  [1082, 'DATE', '0044-03-15 BC'],
  [1082, 'DATE', '12024-01-01'],
  [1114, 'DATETIME(6)', 'infinity'],
  [1114, 'DATETIME(6)', '0044-03-15 00:00:00 BC'],
  [1114, 'DATETIME(0)', '12024-01-01 00:00:00'],
  [1184, 'DATETIME(6)', '-infinity'],
  [1184, 'DATETIME(6)', '0044-03-15 12:00:00+00 BC'],
  [1184, 'DATETIME(6)', '294276-12-31 00:00:00+00'],
  [1700, 'DECIMAL(10,2)', 'NaN'],
  [1700, 'DECIMAL(10,2)', '-Infinity'],
])('type %i as %s refuses %s, and names table, column and value', (oid, dorisType, text) => {
  const table = tableOf(column('v', oid, dorisType));
  for (const write of [viaCopy, viaLog]) {
    const run = (): string => write(table, ['1', text]);
    expect(run).toThrow(ProxyError);
    expect(run).toThrow(
      `table s.t, column v: the value '${text}' has no place in the Doris type ${dorisType}`,
    );
  }
});

test('a row without as many values as columns is refused', () => {
  for (const line of ['1\ta\tb', '1\ta\tb\t5\t6', '1\t\\N\tb', '1\ta\tb\t\\N\t', '']) {
    expect(() => same(copiedLines(TEXT, Buffer.from(line)))).toThrow(
      'COPY sent a row without 4 values',
    );
  }
});

test('text of a SQL_ASCII database that is not UTF-8 is refused, not replaced', () => {
  const line = Buffer.concat([Buffer.from('1\t'), Buffer.of(0xe4), Buffer.from('\tb\t5')]);
  expect(() => same(copiedLines(TEXT, line, true))).toThrow('the text is not UTF-8');
  expect(JSON.parse(viaCopy(TEXT, ['1', 'ä', 'b', '5'], true))).toMatchObject({ a: 'ä' });
});

test('a deleted key carries something Doris accepts in every NOT NULL column', () => {
  const table = tableOf(
    column('n', 23, 'INT'),
    ...[
      ['a', 23, 'INT'],
      ['b', 25, 'STRING'],
      ['c', 1082, 'DATE'],
      ['d', 1114, 'DATETIME(6)'],
      ['e', 16, 'BOOLEAN'],
      ['f', 1007, 'ARRAY<INT>'],
      ['g', 1700, 'DECIMAL(5,2)'],
    ].map(([name, oid, type]) =>
      column(name as string, oid as number, type as string, { nullable: false }),
    ),
    column('secret', 25, 'STRING', { excluded: true }),
  );
  const batch = new Batch();
  new RowEncoder(table, false).deleteKey(batch.table(table), [Buffer.from('42')]);
  expect(JSON.parse(lines(batch)[0]!)).toEqual({
    id: 42,
    n: null,
    a: 0,
    b: '',
    c: '1970-01-01',
    d: '1970-01-01 00:00:00',
    e: false,
    f: [],
    g: 0,
    __DORIS_DELETE_SIGN__: 1,
  });
});

test('the fast way into the batch keeps one row a key, also when the batch changes chunks in a row', () => {
  const key = column('k', 25, 'VARCHAR(65533)');
  const table: TableSpec = {
    schema: 's',
    name: 't',
    target: 't',
    columns: [column('a', 25, 'STRING'), key, column('b', 25, 'STRING'), column('id', 23, 'INT')],
    key: ['id', 'k'],
  };
  const encoder = new RowEncoder(table, false);
  const batch = new Batch();
  const expected = new Map<string, string>();
  for (let i = 0; i < 3000; i++) {
    const k = `k${i % 700}`;
    const b = i % 97 === 0 ? 'long\n'.repeat(20_000) : 'ü'.repeat(i % 50);
    const line = ['a'.repeat(i % 300), k, copyField(b), String(i % 3)].join('\t');
    takeLine(encoder, batch, line);
    expected.set(`${i % 3} ${k}`, `${'a'.repeat(i % 300)} ${b.length}`);
  }
  const rows = lines(batch).map((line) => JSON.parse(line) as Record<string, string>);
  const found = new Map(rows.map((r) => [`${r['id']} ${r['k']}`, `${r['a']} ${r['b']!.length}`]));
  expect(rows.length).toBe(expected.size);
  expect(found).toEqual(expected);
});

function keyOf(id: number): readonly Buffer[] {
  return [Buffer.from(String(id))];
}

test('a row and its deletion in one batch are one row, whichever came last', () => {
  const table = tableOf(column('v', 25, 'STRING'));
  const encoder = new RowEncoder(table, false);
  const batch = new Batch();
  const put = (id: string): void => {
    const row = message.insert(1, [id, id]);
    insert(encoder, batch, row, row.length);
  };
  put('1');
  encoder.deleteKey(batch.table(table), keyOf(1));
  encoder.deleteKey(batch.table(table), keyOf(2));
  put('2');
  const kept = lines(batch).map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(kept.map((row) => [row['id'], row['__DORIS_DELETE_SIGN__']])).toEqual([
    [1, 1],
    [2, 0],
  ]);
});
