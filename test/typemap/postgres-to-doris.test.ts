import { expect, test } from 'vitest';
import { postgresToDoris, type PostgresType } from '../../src/typemap/postgres-to-doris.ts';

const type = (oid: number, modifier = -1): PostgresType => ({ oid, modifier, name: 'x' });
const numeric = (precision: number, scale: number): PostgresType =>
  type(1700, ((precision << 16) | (scale & 0x7ff)) + 4);

test.each([
  [type(16), 'BOOLEAN'],
  [type(21), 'SMALLINT'],
  [type(23), 'INT'],
  [type(20), 'BIGINT'],
  [type(26), 'BIGINT'],
  [type(700), 'FLOAT'],
  [type(701), 'DOUBLE'],
  [type(1700), 'STRING'],
  [numeric(10, 2), 'DECIMAL(10,2)'],
  [numeric(38, 38), 'DECIMAL(38,38)'],
  [numeric(39, 0), 'STRING'],
  [numeric(5, -2), 'DECIMAL(7,0)'],
  [numeric(38, -1), 'STRING'],
  [numeric(3, 5), 'DECIMAL(5,5)'],
  [numeric(2, 39), 'STRING'],
  [type(1082), 'DATE'],
  [type(1083), 'STRING'],
  [type(1266), 'STRING'],
  [type(1114), 'DATETIME(6)'],
  [type(1114, 0), 'DATETIME(0)'],
  [type(1184, 3), 'DATETIME(3)'],
  [type(1186), 'STRING'],
  [type(1042, 9), 'CHAR(20)'],
  [type(1042, 4 + 63), 'CHAR(252)'],
  [type(1042, 4 + 64), 'VARCHAR(256)'],
  [type(1042, 4 + 16_384), 'STRING'],
  [type(1042), 'STRING'],
  [type(1043, 14), 'STRING'],
  [type(1560, 1), 'BOOLEAN'],
  [type(1560, 5), 'STRING'],
  [type(1562), 'STRING'],
  [type(17), 'STRING'],
  [type(790), 'STRING'],
  [type(2950), 'STRING'],
  [type(3802), 'STRING'],
  [type(16_999), 'STRING'],
])('%o is %s', (source, doris) => {
  expect(postgresToDoris(source, false)).toBe(doris);
});

test('arrays by their declared dimensions; 0 is what CREATE TABLE AS leaves', () => {
  const array = (element: PostgresType, dimensions?: number): PostgresType => ({
    ...type(1007),
    element,
    ...(dimensions === undefined ? {} : { dimensions }),
  });
  expect(postgresToDoris(array(type(23)), false)).toBe('ARRAY<INT>');
  expect(postgresToDoris(array(type(23), 0), false)).toBe('ARRAY<INT>');
  expect(postgresToDoris(array(numeric(10, 2), 2), false)).toBe('ARRAY<ARRAY<DECIMAL(10,2)>>');
  expect(postgresToDoris(array(type(16_999)), false)).toBe('ARRAY<STRING>');
});

test('key columns are of types that Doris takes as keys', () => {
  expect(postgresToDoris(type(701), true)).toBe('STRING');
  expect(postgresToDoris({ ...type(1007), element: type(23) }, true)).toBe('STRING');
  expect(postgresToDoris(type(23), true)).toBe('INT');
});
