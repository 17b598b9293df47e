import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MYSQL_TYPES, mysqlToDoris } from '../../src/typemap/mysql-to-doris.ts';
import { postgresToDoris, type PostgresType } from '../../src/typemap/postgres-to-doris.ts';

const README = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');

/** Pairs of types in the table of the README whose first column is called `head`. */
function pairs(head: string): readonly (readonly [source: string, doris: string])[] {
  const table = README.slice(README.indexOf(`| ${head} | Doris |`)).split('\n\n', 1)[0]!;
  return table
    .split('\n')
    .slice(2)
    .flatMap((line) => {
      const [sources, doris] = line.split(' | ').map(quoted);
      return sources!.map((source, i): [string, string] => [
        source,
        doris![doris!.length === 1 ? 0 : i] ?? 'nothing',
      ]);
    });
}

const quoted = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);

/** OIDs of `pg_type.dat`, for what the README names. */
const OIDS: Readonly<Record<string, number>> = {
  boolean: 16,
  bytea: 17,
  bigint: 20,
  smallint: 21,
  integer: 23,
  text: 25,
  oid: 26,
  json: 114,
  xml: 142,
  point: 600,
  real: 700,
  'double precision': 701,
  money: 790,
  inet: 869,
  character: 1042,
  'character varying': 1043,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  interval: 1186,
  timetz: 1266,
  bit: 1560,
  'bit varying': 1562,
  numeric: 1700,
  uuid: 2950,
  tsvector: 3614,
  jsonb: 3802,
  int4range: 3904,
};

function postgresType(name: string): PostgresType {
  const dimensions = name.split('[]').length - 1;
  const [, word = '', digits] = /^([^([]+)(?:\(([\d,-]+)\))?/.exec(name) ?? [];
  const oid = OIDS[word];
  if (oid === undefined) throw new Error(`no OID for ${name}`);
  const [first = -1, scale = 0] = digits?.split(',').map(Number) ?? [];
  const header = word.startsWith('character') || word === 'numeric' ? 4 : 0;
  const packed = word === 'numeric' ? (first << 16) | (scale & 0x7ff) : first;
  const type = { oid, modifier: digits === undefined ? -1 : packed + header, name: word };
  return dimensions === 0 ? type : { oid: 1, modifier: -1, name, element: type, dimensions };
}

describe('the README says what becomes of', () => {
  const mysql = pairs('MySQL, MariaDB');
  test.each(mysql)('%s: %s', (source, doris) => {
    expect(mysqlToDoris(source)).toBe(doris);
  });

  test('every type of MySQL and MariaDB', () => {
    const named = new Set(mysql.map(([source]) => source.replace(/[ (].*/, '')));
    expect(MYSQL_TYPES.filter((type) => !named.has(type))).toEqual([]);
  });

  test.each(pairs('Postgres'))('%s of Postgres: %s', (source, doris) => {
    expect(postgresToDoris(postgresType(source), false)).toBe(doris);
  });
});
