import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch } from '../../../src/encode/batch.ts';
import { ProxyError } from '../../../src/model/error.ts';
import type { TableSpec } from '../../../src/model/table.ts';
import { hstoreJson } from '../../../src/source/postgres/hstore.ts';
import { RowEncoder } from '../../../src/source/postgres/row-encoder.ts';

const OID = {
  text: 1009,
  int4: 1007,
  numeric: 1231,
  bool: 1000,
  bytea: 1001,
  box: 1020,
  float8: 1022,
};

function tableOf(typeOid: number, dorisType: string): TableSpec {
  const common = { sourceType: 'x', comment: '' };
  return {
    schema: 's',
    name: 't',
    target: 't',
    columns: [
      { ...common, name: 'id', typeOid: 23, dorisType: 'INT', nullable: false },
      { ...common, name: 'v', typeOid, dorisType, nullable: true },
    ],
    key: ['id'],
  };
}

function json(typeOid: number, dorisType: string, literal: string): unknown {
  const table = tableOf(typeOid, dorisType);
  const batch = new Batch();
  const out = batch.table(table);
  const encoder = new RowEncoder(table, false);
  const text = Buffer.from(`<${literal}>`);
  out.startRow();
  out.startColumn(0);
  out.integer(1);
  out.startColumn(1);
  encoder.columns[1]!.writer.write(out, text, 1, text.length - 1);
  out.endRow(false);
  const line = Buffer.concat(batch.bodies().flatMap((b) => b.body)).toString();
  return (JSON.parse(line) as { v: unknown }).v;
}

type Nested = string | null | readonly Nested[];

/** As `array_out` prints: quotes where it must, and sometimes where it need not. */
function print(value: Nested): string {
  if (value === null) return 'NULL';
  if (typeof value !== 'string') return `{${value.map(print).join(',')}}`;
  const plain =
    /^[^\s{},"\\]+$/.test(value) && value.toUpperCase() !== 'NULL' && !/[^\x21-\x7e]/.test(value);
  return plain ? value : `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

const element = fc.option(
  fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('NULL', 'null', '', '{}', 'a,b', '\\', '"'),
  ),
);

test('text arrays of any content and depth are the arrays that they print', () => {
  const row = fc.array(element, { minLength: 1, maxLength: 5 });
  const cube = fc
    .integer({ min: 1, max: 3 })
    .chain((n) =>
      fc.array(fc.array(element, { minLength: n, maxLength: n }), { minLength: 1, maxLength: 4 }),
    );
  const utf8 = (v: Nested): Nested =>
    v === null ? null : typeof v === 'string' ? Buffer.from(v).toString() : v.map(utf8);
  fc.assert(
    fc.property(row, (value) => {
      expect(json(OID.text, 'ARRAY<STRING>', print(value))).toEqual(utf8(value));
    }),
  );
  fc.assert(
    fc.property(cube, (value) => {
      expect(json(OID.text, 'ARRAY<ARRAY<STRING>>', print(value))).toEqual(utf8(value));
    }),
  );
});

test.each([
  [OID.int4, 'ARRAY<INT>', '{}', []],
  [OID.int4, 'ARRAY<ARRAY<INT>>', '{}', []],
  [OID.int4, 'ARRAY<INT>', '{1,NULL,-3}', [1, null, -3]],
  [OID.int4, 'ARRAY<INT>', '[-5:-4]={1,2}', [1, 2]],
  [OID.int4, 'ARRAY<ARRAY<INT>>', '[1:1][0:1]={{1,2}}', [[1, 2]]],
  [OID.numeric, 'ARRAY<DECIMAL(10,2)>', '{1.50,NULL}', ['1.50', null]],
  [OID.bool, 'ARRAY<BOOLEAN>', '{t,f}', [true, false]],
  [OID.float8, 'ARRAY<DOUBLE>', '{0.1,NaN}', [0.1, 'NaN']],
  [OID.bytea, 'ARRAY<STRING>', String.raw`{"\\xdead","\\x",NULL}`, ['3q0=', '', null]],
  [OID.box, 'ARRAY<STRING>', '{(1,1),(0,0);(2,2),(1,1)}', ['(1,1),(0,0)', '(2,2),(1,1)']],
  [99_999, 'ARRAY<STRING>', String.raw`{"(1,\"x,y\")"}`, ['(1,"x,y")']],
])('array type %i as %s: %s', (oid, dorisType, literal, value) => {
  expect(json(oid, dorisType, literal)).toEqual(value);
});

test.each([
  ['ARRAY<INT>', '{{1,2},{3,4}}'],
  ['ARRAY<ARRAY<INT>>', '{1,2}'],
])('%s refuses %s, which has other dimensions', (dorisType, literal) => {
  expect(() => json(OID.int4, dorisType, literal)).toThrow(
    `the value '${literal}' has no place in the Doris type ${dorisType}`,
  );
});

test('what is no array literal is refused, whatever it is', () => {
  for (const literal of [
    '',
    '1',
    '{',
    '}',
    '{1',
    '{1,}',
    '{,1}',
    '{1}x',
    '{"a}',
    '{1}{2}',
    '{1{2}}',
    '[1:2]',
  ]) {
    expect(() => json(OID.text, 'ARRAY<STRING>', literal)).toThrow(ProxyError);
  }
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('{', '}', '"', '\\', ',', 'a', 'N') }),
      (literal) => {
        try {
          expect(Array.isArray(json(OID.text, 'ARRAY<STRING>', literal))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(ProxyError);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

test('hstore is the object that it prints', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.option(fc.string())), (object) => {
      const text = Object.entries(object)
        .map(([k, v]) => `${quoted(k)}=>${v === null ? 'NULL' : quoted(v)}`)
        .join(', ');
      const bytes = Buffer.from(text);
      const parsed: unknown = JSON.parse(hstoreJson(bytes, 0, bytes.length)!.toString());
      expect(Object.entries(parsed as object)).toEqual(Object.entries(object));
    }),
  );
  for (const bad of ['x', '"a"', '"a"=>', '"a"=>1', '"a"=>"b",', '"a"=>"b" "c"=>"d"', '"a']) {
    const bytes = Buffer.from(bad);
    expect(hstoreJson(bytes, 0, bytes.length)).toBeUndefined();
  }
});
