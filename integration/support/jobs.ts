import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { MysqlServer } from './mysql-server.ts';
import type { PostgresServer } from './postgres-server.ts';

/** A row of `jobs()` or `tasks()`: every column is text (job-sql.md §3.2). */
export type JobRow = Readonly<Record<string, string>>;

export interface JobWish {
  readonly name: string;
  /** MySQL: the database. Postgres: the schema. */
  readonly database: string;
  readonly tables: string;
  readonly target: string;
  /** Source properties that are added to those of the manual, or put in their place. */
  readonly properties?: Readonly<Record<string, string>>;
}

/** The manual's CREATE JOB for MySQL, word for word but for names, addresses and passwords. */
export function createMysqlJob(source: MysqlServer, job: JobWish): string {
  return createJob('MYSQL', job, {
    jdbc_url: `jdbc:mysql://${source.host}:${source.port}`,
    driver_url: 'mysql-connector-j-8.0.31.jar',
    driver_class: 'com.mysql.cj.jdbc.Driver',
    user: source.user,
    password: source.password,
    database: job.database,
    include_tables: job.tables,
    offset: 'initial',
  });
}

/** The manual's CREATE JOB for Postgres, but for names, addresses, passwords and the offset. */
export function createPostgresJob(source: PostgresServer, job: JobWish): string {
  return createJob('POSTGRES', job, {
    jdbc_url: `jdbc:postgresql://${source.host}:${source.port}/${source.database}`,
    driver_url: 'postgresql-42.5.0.jar',
    driver_class: 'org.postgresql.Driver',
    user: source.user,
    password: source.password,
    database: source.database,
    schema: job.database,
    include_tables: job.tables,
    offset: 'initial',
  });
}

function createJob(
  type: 'MYSQL' | 'POSTGRES',
  job: JobWish,
  properties: Readonly<Record<string, string>>,
): string {
  const list = Object.entries({ ...properties, ...job.properties }).map(
    ([key, value]) => `        "${key}" = "${value}"`,
  );
  return `CREATE JOB ${job.name}
ON STREAMING
FROM ${type} (
${list.join(',\n')}
)
TO DATABASE ${job.target} (
    "table.create.properties.replication_num" = "1"
)`;
}

/** The job's row of `jobs()`, by the manual's query. Undefined when there is none. */
export async function jobRow(client: Connection, name: string): Promise<JobRow | undefined> {
  const [rows] = await client.query<RowDataPacket[]>(
    `select * from jobs(type=insert) where ExecuteType = "STREAMING" and Name = '${name}'`,
  );
  return rows[0];
}

/** The job's rows of `tasks()`, newest first. */
export async function taskRows(client: Connection, jobId: string): Promise<JobRow[]> {
  const [rows] = await client.query<RowDataPacket[]>(
    `select * from tasks(type='insert') where jobId='${jobId}'`,
  );
  return rows;
}

/**
 * Waits until `jobs()` shows the job in a row that `holds`.
 * @throws after `timeoutMs` with the last row seen.
 */
export async function waitForJob(
  client: Connection,
  name: string,
  holds: (row: JobRow) => boolean,
  timeoutMs = 30_000,
): Promise<JobRow> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const row = await jobRow(client, name);
    if (row !== undefined && holds(row)) return row;
    if (Date.now() > deadline) {
      throw new Error(`job ${name} after ${timeoutMs} ms: ${JSON.stringify(row)}`);
    }
    await sleep(50);
  }
}

/** Waits until a job is paused for a reason, which is to match. */
export async function waitForPause(
  client: Connection,
  name: string,
  reason: RegExp,
  timeoutMs?: number,
): Promise<JobRow> {
  const paused = ({ Status, ErrorMsg }: JobRow): boolean =>
    Status === 'PAUSED' && ErrorMsg !== '\\N';
  const row = await waitForJob(client, name, paused, timeoutMs);
  assert.match(row['ErrorMsg'] ?? '', reason);
  return row;
}
