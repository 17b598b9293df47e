import type { TableSpec } from '../../src/model/table.ts';
import { mysqlToDoris } from '../../src/typemap/mysql-to-doris.ts';
import type { MysqlServer } from '../servers.ts';

const COLUMNS: readonly (readonly [name: string, type: string])[] = [
  ['id', 'int'],
  ['c32', 'varchar(32)'],
  ['c100', 'varchar(100)'],
  ['d', 'decimal(18,4)'],
  ['dt', 'datetime'],
  ['f', 'double'],
  ['b', 'bigint'],
  ['tx', 'text'],
];

/** The table that the MySQL road is measured with: eight columns of everyday types, about 195 bytes a row. */
export const BENCH_TABLE: TableSpec = {
  schema: 'bench',
  name: 'rows8',
  target: 'rows8',
  key: ['id'],
  columns: COLUMNS.map(([name, sourceType]) => ({
    name,
    sourceType,
    charset: 'utf8mb4',
    dorisType: mysqlToDoris(sourceType),
    nullable: name !== 'id',
    comment: '',
  })),
};

const ROWS_PER_TRANSACTION = 10_000;

/** Creates it with `rows` rows, a multiple of ten thousand, as transactions of ten thousand. */
export async function fillBenchTable(server: MysqlServer, rows: number): Promise<void> {
  const columns = COLUMNS.map(([name, type]) => `${name} ${type}`).join(', ');
  await server.query(`CREATE DATABASE bench CHARACTER SET utf8mb4`);
  await server.query(`CREATE TABLE bench.rows8 (${columns}, PRIMARY KEY (id))`);
  await server.query(`CREATE TABLE bench.digits (n INT PRIMARY KEY)`);
  await server.query(`INSERT INTO bench.digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)`);
  for (let first = 0; first < rows; first += ROWS_PER_TRANSACTION) {
    await server.query(`INSERT INTO bench.rows8
      SELECT i, CONCAT('name of customer ', LPAD(i, 7, '0')), RPAD(CONCAT('street "', i, '" '), 72, 'abcdefgh '),
        i * 1.2345, '2024-01-01' + INTERVAL i SECOND, ROUND(RAND(i) * 1000, 4), i * 1000003,
        IF(i % 20 = 0, NULL, RPAD(CONCAT('remark ', i), 61, ' and so on'))
      FROM (SELECT ${first} + a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS i
        FROM bench.digits a, bench.digits b, bench.digits c, bench.digits d) numbers`);
  }
}
