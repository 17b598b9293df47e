/**
 * Memory of the proxy's process while a job runs at full speed against a slow Doris: the copy of a million rows, then
 * a million changes from the binlog, then rows of a megabyte. Run with `npx tsx integration/bench/memory.ts [mariadb|mysql|postgres18]`.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2/promise';
import { fillBenchTable } from '../support/bench-table.ts';
import { EndToEnd } from '../support/end-to-end.ts';
import { createMysqlJob, createPostgresJob, jobRow } from '../support/jobs.ts';
import type { MysqlServer } from '../support/mysql-server.ts';
import type { PostgresServer } from '../support/postgres-server.ts';
import { benchTable, benchRows } from './postgres-table.ts';

const ROWS = 1_000_000;
const WIDE_ROWS = 100;
const WIDE_BYTES = 1_048_576;
/** Every load of the stand-in takes this much longer, in milliseconds. */
const SLOW_MS = 1_000;

/** Statements of the two dialects; each table has its key column `id`. */
interface Dialect {
  readonly fill: () => Promise<void>;
  readonly createJob: string;
  /** Changes every row of `rows8`. */
  readonly change: string;
  readonly wide: string;
}

function dialect(end: EndToEnd): Dialect {
  if (end.source.kind === 'postgres') {
    const server: PostgresServer = end.source;
    return {
      fill: async () => {
        await server.exec(`CREATE SCHEMA bench; CREATE TABLE bench.wide (id int PRIMARY KEY, v text);
          ${benchTable('bench.rows8', 0)}; INSERT INTO bench.rows8 ${benchRows(1, ROWS)}`);
      },
      createJob: createPostgresJob(server, JOB),
      change: 'UPDATE bench.rows8 SET b = b + 1',
      wide: `INSERT INTO bench.wide SELECT i, repeat('x', ${WIDE_BYTES}) FROM generate_series(1, ${WIDE_ROWS}) i`,
    };
  }
  const server: MysqlServer = end.source;
  return {
    fill: async () => {
      await fillBenchTable(server, ROWS);
      await server.exec('CREATE TABLE bench.wide (id INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT)');
    },
    createJob: createMysqlJob(server, JOB),
    change: 'UPDATE bench.rows8 SET b = b + 1',
    wide: `INSERT INTO bench.wide (v) SELECT REPEAT('x', ${WIDE_BYTES}) FROM bench.digits a, bench.digits b`,
  };
}

const JOB = { name: 'memory', database: 'bench', tables: 'rows8,wide', target: 'bench_copy' };

/** Resident memory of a process now, in MB. */
function residentMb(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(line?.[1] ?? 0) / 1024;
}

/** The largest resident size until `done`, sampled ten times a second. */
async function peakMb(pid: number, done: () => Promise<boolean>): Promise<number> {
  let peak = 0;
  for (let tick = 0; ; tick++) {
    peak = Math.max(peak, residentMb(pid));
    if (tick % 10 === 0 && (await done())) return peak;
    await sleep(100);
  }
}

function report(what: string, mb: number): void {
  console.log(`${what.padEnd(44)}${mb.toFixed(0).padStart(5)} MB`);
}

async function main(kind: 'mariadb' | 'mysql' | 'postgres18'): Promise<void> {
  await using end = await EndToEnd.open(kind);
  const { fill, createJob, change, wide } = dialect(end);
  await fill();
  await end.client.query(`CREATE DATABASE ${JOB.target}`);
  await fetch(`http://${end.doris.feHttp}/_standin/faults`, {
    method: 'PUT',
    headers: { authorization: `Basic ${Buffer.from('root:').toString('base64')}` },
    body: JSON.stringify({ slowBe: { count: 1_000_000, ms: SLOW_MS } }),
  });
  const count = async (sql: string): Promise<number> => {
    const [rows] = await end.client.query<RowDataPacket[]>(sql);
    return Number(Object.values(rows[0] ?? {})[0] ?? 0);
  };
  const scanned = async (): Promise<number> => {
    const row = await jobRow(end.client, JOB.name);
    if (row?.['Status'] === 'PAUSED') throw new Error(row['ErrorMsg']);
    return (JSON.parse(row?.['LoadStatistic'] ?? '{}') as { scannedRows: number }).scannedRows;
  };
  const { pid } = end.proxy;

  console.log(`${kind}, every load ${SLOW_MS} ms late\n`);
  report('at rest, no job', residentMb(pid));
  await end.client.query(createJob);
  const all = `SELECT COUNT(*) FROM ${JOB.target}.rows8`;
  report(
    `copy of ${ROWS} rows`,
    await peakMb(pid, async () => {
      await scanned();
      return (await count(all)) >= ROWS;
    }),
  );
  const changing = end.source.exec(change);
  report(
    `${ROWS} changes in one transaction`,
    await peakMb(pid, async () => (await scanned()) >= 2 * ROWS),
  );
  await changing;
  const inserting = end.source.exec(wide);
  const wideRows = `SELECT COUNT(*) FROM ${JOB.target}.wide`;
  report(
    `${WIDE_ROWS} rows of ${WIDE_BYTES} bytes`,
    await peakMb(pid, async () => {
      await scanned();
      return (await count(wideRows)) >= WIDE_ROWS;
    }),
  );
  await inserting;
}

await main((process.argv[2] ?? 'mariadb') as 'mariadb');
