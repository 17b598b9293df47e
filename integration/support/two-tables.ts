import { expect } from 'vitest';
import type { TableSpec } from '../../src/model/table.ts';
import type { ChangeStream, Source } from '../../src/source/source.ts';
import { selection } from './mysql-job.ts';
import type { MysqlServer } from './mysql-server.ts';
import { follow, Replica, sourceRows } from './replica.ts';

/** Two tables that a job copies, and one that it does not. */
export const TWO_TABLES = `SET NAMES utf8mb4;
  CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40)) CHARSET utf8mb4;
  CREATE TABLE u (a INT, b INT, v VARCHAR(40), PRIMARY KEY (a, b)); CREATE TABLE other (id INT PRIMARY KEY)`;

export async function twoTables(source: Source): Promise<readonly TableSpec[]> {
  return await source.preflight(selection({ include: ['t', 'u'] }));
}

/** Waits for the failure of a stream whose batches are of no interest. */
export async function failure(stream: ChangeStream): Promise<unknown> {
  try {
    await follow(stream, new Replica());
  } catch (error) {
    return error;
  }
  throw new Error('the stream did not fail');
}

/** The replica of database `name` holds what the source holds. */
export async function expectTwoTables(
  server: MysqlServer,
  replica: Replica,
  name: string,
): Promise<void> {
  for (const table of ['t', 'u']) {
    expect(replica.sorted(`${name}.${table}`)).toEqual(
      await sourceRows(server, `${name}.${table}`),
    );
  }
}
