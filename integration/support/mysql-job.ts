import { Batch } from '../../src/encode/batch.ts';
import type { SnapshotSplit } from '../../src/model/job.ts';
import type { TableSpec } from '../../src/model/table.ts';
import { openSource } from '../../src/source/open-source.ts';
import type { Source, TableSelection } from '../../src/source/source.ts';
import type { MysqlServer } from './mysql-server.ts';
import { LIMIT, never, type Replica } from './replica.ts';

export const ALL: TableSelection = { include: [], exclude: [], targets: {}, excludeColumns: {} };

export const selection = (change: Partial<TableSelection>): TableSelection => ({
  ...ALL,
  ...change,
});

let jobs = 0;

/** The source of a new job on `database`, as the server's root. */
export async function openMysql(server: MysqlServer, database: string): Promise<Source> {
  const properties = {
    jdbc_url: `jdbc:mysql://${server.host}:${server.port}/`,
    user: server.user,
    database,
  };
  return await openSource('MYSQL', properties, server.password, { jobId: ++jobs });
}

/** Makes `name` anew with what `sql` creates in it, and opens a source for it. */
export async function newDatabase(server: MysqlServer, name: string, sql: string): Promise<Source> {
  await server.query(
    `DROP DATABASE IF EXISTS ${name}; CREATE DATABASE ${name}; USE ${name}; ${sql}`,
  );
  return await openMysql(server, name);
}

/** All splits of a table, of `rows` rows. */
export async function allSplits(
  source: Source,
  table: TableSpec,
  rows: number,
): Promise<readonly SnapshotSplit[]> {
  const splits: SnapshotSplit[] = [];
  for (;;) {
    const split = await source.nextSplit(table, rows, splits.at(-1));
    if (split === undefined) return splits;
    splits.push(split);
  }
}

/** Reads a split whole. */
export async function copy(
  source: Source,
  table: TableSpec,
  split: SnapshotSplit,
  replica: Replica,
): Promise<void> {
  const batch = new Batch();
  await using reader = await source.readSplit(table, split);
  while (!(await reader.fill(batch, LIMIT, never))) replica.apply(batch);
  replica.apply(batch);
}
