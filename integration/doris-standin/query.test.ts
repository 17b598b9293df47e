import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { connect, errorOf, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;

beforeAll(async () => {
  standin = await startStandin();
  sql = await connect(standin, { multipleStatements: true });
  await sql.query('CREATE DATABASE d; CREATE DATABASE `D`; USE d');
  const rest = 'DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")';
  await sql.query(`CREATE TABLE t (id INT, name VARCHAR(9) NULL, at DATETIME NULL, n DECIMAL(9,2) NULL) UNIQUE KEY(id) ${rest};
    CREATE TABLE \`T\` (id INT, \`order\` INT NULL) UNIQUE KEY(id) ${rest};
    CREATE TABLE \`D\`.t (id INT, other STRING NULL) UNIQUE KEY(id) ${rest};
    INSERT INTO t VALUES (1, 'one', '2024-01-02 03:04:05', 1.5), (2, 'two', NULL, -2), (3, NULL, NULL, NULL);
    INSERT INTO \`T\` VALUES (1, 10), (3, 30); INSERT INTO \`D\`.t VALUES (1, 'other')`);
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

test.each([
  [
    'names by case',
    'SELECT a.id, b.`order` FROM t a, `T` b WHERE a.id = b.id ORDER BY 1',
    [
      ['1', '10'],
      ['3', '30'],
    ],
  ],
  [
    'other databases',
    'SELECT d.t.name, x.other FROM d.t JOIN `D`.t AS x ON d.t.id = x.id',
    [['one', 'other']],
  ],
  ['a foreign catalog', 'SELECT 1 FROM hive.d.t', undefined],
  [
    'aliases',
    'SELECT a.name n FROM d.t a INNER JOIN internal.d.T b USING (id) ORDER BY a.id',
    [['one'], [null]],
  ],
  [
    'a left join',
    'SELECT t.id, x.other FROM t LEFT JOIN `D`.t x ON x.id = t.id ORDER BY t.id DESC LIMIT 1, 2',
    [
      ['2', null],
      ['1', 'other'],
    ],
  ],
  [
    'sub-queries',
    'SELECT count(*) FROM (SELECT id FROM t WHERE id IN (SELECT id FROM `T`)) AS s',
    [['2']],
  ],
  ['joined brackets', 'SELECT count(*) FROM (t a JOIN `T` b ON a.id = b.id), `D`.t y', [['2']]],
  [
    'WITH',
    'WITH a AS (SELECT id FROM t), b (x) AS (SELECT id + 1 FROM a) SELECT max(x) FROM b',
    [['4']],
  ],
  [
    'UNION',
    'SELECT id FROM t WHERE id = 1 UNION ALL SELECT `order` FROM `T` WHERE id = 3 ORDER BY 1',
    [['1'], ['30']],
  ],
  [
    'a FROM inside a function',
    "SELECT EXTRACT(YEAR FROM at), TRIM('x' FROM 'xax') FROM t WHERE id = 1",
    [['2024', 'a']],
  ],
  ['IS DISTINCT FROM', 'SELECT id FROM t WHERE name <=> NULL', [['3']]],
  [
    'operators',
    "SELECT 7 DIV 2, 1 = 1 && 2 = 2, 1 = 2 || 1 = 1, 'a' LIKE 'A'",
    [['3', '1', '1', '0']],
  ],
  [
    'strings',
    `SELECT 'it''s', "a\\"b", 'x\\ny', concat('a', 1), 'é😀'`,
    [["it's", 'a"b', 'x\ny', 'a1', 'é😀']],
  ],
  [
    'CASE and COALESCE',
    "SELECT CASE WHEN id > 1 THEN 'big' ELSE name END AS c, IFNULL(n, 0) FROM t ORDER BY id",
    [
      ['one', '1.50'],
      ['big', '-2.00'],
      ['big', '0.00'],
    ],
  ],
  [
    'groups',
    'SELECT name IS NULL AS x, count(*), sum(n) FROM t GROUP BY x HAVING count(*) > 1',
    [['0', '2', '-0.50']],
  ],
  [
    'window functions',
    'SELECT id, row_number() OVER (PARTITION BY name IS NULL ORDER BY id DESC) r FROM t ORDER BY id',
    [
      ['1', '2'],
      ['2', '1'],
      ['3', '1'],
    ],
  ],
  ['comments', '/* a */ SELECT 1 -- b\n, 2 # c', [['1', '2']]],
  [
    'casts',
    "SELECT CAST('12' AS LARGEINT), CAST(1 AS STRING), CAST('5' AS SIGNED)",
    [['12', '1', '5']],
  ],
  [
    'dates',
    'SELECT at, CAST(at AS DATE) FROM t WHERE id = 1',
    [['2024-01-02 03:04:05', '2024-01-02']],
  ],
])('%s', async (_what, query, rows) => {
  if (rows === undefined) expect((await errorOf(sql, query)).errno).toBe(1105);
  else expect(await rowsOf(sql, query)).toEqual(rows);
});

test('types of results are those of the columns', async () => {
  const [, fields] = await sql.query(
    "SELECT id, name, at, n, count(*) OVER () AS c, CAST('a' AS STRING) AS s, concat(name, '') AS v, NOW() AS now, 1 = 1 AS b FROM t",
  );
  expect(fields.map(({ columnType }) => columnType)).toEqual([3, 254, 12, 246, 8, 252, 254, 12, 1]);
});

test('what DuckDB alone would take is still refused', async () => {
  for (const query of [
    "SELECT 'a' REGEXP 'a'",
    'SELECT [1, 2]',
    'SELECT * FROM range(3)',
    'SELECT INTERVAL 1 DAY',
  ])
    expect((await errorOf(sql, query)).errno, query).toBe(1105);
  for (const query of [
    'COPY t TO "/tmp/x"',
    'ATTACH "x"',
    'PRAGMA version',
    'SELECT * FROM duckdb_tables()',
    'SELECT * FROM meta',
    'SELECT * FROM t10001',
  ])
    expect((await errorOf(sql, query)).errno, query).toBe(1105);
});
