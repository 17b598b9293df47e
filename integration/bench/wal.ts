/**
 * The log of a Postgres table to load bytes, beside `pg_recvlogical`, Postgres' own client in C, which writes what it receives to
 * /dev/null: wall time for the same content, from two copies of one slot, in turn, each first in every other round. Ours counts from the
 * look at slot and publication on, in a process of its own; `pg_recvlogical` from its start to its end.
 *
 *     npm run bench -- wal, or npx tsx integration/bench/wal.ts [rows] [rounds]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Batch } from '../../src/encode/batch.ts';
import type { Position } from '../../src/model/offset.ts';
import type { TableSpec } from '../../src/model/table.ts';
import { lsnText } from '../../src/source/postgres/lsn.ts';
import { PostgresSource } from '../../src/source/postgres/postgres-source.ts';
import { ALL_TABLES, benchRows, benchTable, median } from './postgres-table.ts';

const ROWS_PER_TRANSACTION = 10_000;
/** A job's (`src/job-worker.ts`), but for what it waits to fill a load: that is not the reader's time. */
const LIMIT = { rowsMax: 500_000, bytesMax: 16 << 20, ageMs: 0, idleMs: 1 };

interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

interface Task {
  readonly login: Login;
  readonly tables: readonly TableSpec[];
  readonly from: Position;
  readonly to: Position;
  readonly rows: number;
}

interface Slot {
  readonly slot: string;
}

interface Result {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
}

function lsnOf(position: Position): bigint {
  return position.kind === 'postgres' ? BigInt(position.lsn) : 0n;
}

async function child({
  login,
  slot,
  tables,
  from,
  to,
  rows: expected,
}: Task & Slot): Promise<void> {
  await using source = await PostgresSource.open({
    jobId: 1,
    schema: 'public',
    target: login,
    slotName: slot,
  });
  const batch = new Batch();
  const { signal } = new AbortController();
  let rows = 0;
  const startMs = performance.now();
  {
    await using stream = await source.openStream(tables, from);
    for (let at = from; lsnOf(at) < lsnOf(to);) {
      at = (await stream.fill(batch, LIMIT, signal)).to;
      for (const body of batch.bodies()) rows += body.rows;
      batch.reset();
    }
  }
  const wallSeconds = (performance.now() - startMs) / 1000;
  if (rows !== expected) throw new Error(`${rows} of ${expected} rows`);
  const { user, system } = process.cpuUsage();
  const result: Result = { cpuSeconds: (user + system) / 1e6, wallSeconds };
  console.log(JSON.stringify(result));
  process.exit(0);
}

async function measureOurs(task: Task & Slot): Promise<Result> {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), JSON.stringify(task)];
  const run = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(run.stdout), once(run, 'exit')]);
  return JSON.parse(output) as Result;
}

/** The shell tells what the client used. */
async function measureReceiver(program: string, slot: string, task: Task): Promise<Result> {
  const { host, port, user, password, database } = task.login;
  const login = `-h ${host} -p ${port} -U ${user} -d ${database} --no-loop`;
  const range = `--slot ${slot} --start --endpos ${lsnText(lsnOf(task.to))} -f /dev/null`;
  const options = '-o proto_version=1 -o publication_names=doris_pub_1';
  const args = `${login} ${range} ${options}`.split(' ');
  const script = 'TIMEFORMAT="%R %U %S"; time "$@"';
  const run = spawn('bash', ['-c', script, 'time', program, ...args], {
    env: { ...process.env, PGPASSWORD: password },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [output, [code]] = await Promise.all([text(run.stderr), once(run, 'exit')]);
  if (code !== 0) throw new Error(`pg_recvlogical: ${output}`);
  const [wallSeconds, user_, system] = output.trim().split(' ').map(Number) as [
    number,
    number,
    number,
  ];
  return { cpuSeconds: user_ + system, wallSeconds };
}

async function main(rows: number, rounds: number): Promise<void> {
  const { startPostgres } = await import('../servers.ts');
  const { postgresPrograms } = await import('../support/programs.ts');
  const programs = postgresPrograms(15);
  if (programs === undefined) throw new Error('Postgres 15 is not installed');
  const program = join(programs, 'pg_recvlogical');
  await using server = await startPostgres({ version: 15 });
  const { host, port, user, password, database } = server;
  const login: Login = { host, port, user, password, database };
  console.log(`Postgres ${server.version}: writing the log of ${rows} rows`);
  await server.query(benchTable('t', 0));
  await using source = await PostgresSource.open({ jobId: 1, schema: 'public', target: login });
  const tables = await source.preflight(ALL_TABLES);
  const from = await source.latestPosition();
  for (let first = 1; first <= rows; first += ROWS_PER_TRANSACTION) {
    const last = Math.min(rows, first + ROWS_PER_TRANSACTION - 1);
    await server.query(`INSERT INTO t ${benchRows(first, last)}`);
  }
  const task: Task = { login, tables, from, to: await source.latestPosition(), rows };
  const readers: Readonly<Record<string, (slot: string) => Promise<Result>>> = {
    ours: (slot) => measureOurs({ ...task, slot }),
    pg_recvlogical: (slot) => measureReceiver(program, slot, task),
  };
  const ratios: number[] = [];
  const fastest: Record<string, number> = {};
  for (let round = 1; round <= rounds; round++) {
    const order = round % 2 === 1 ? Object.keys(readers) : Object.keys(readers).toReversed();
    const wall = new Map<string, number>();
    for (const name of order) {
      await server.query(`SELECT pg_copy_logical_replication_slot('doris_cdc_1', 'copy')`);
      const { cpuSeconds, wallSeconds } = await readers[name]!('copy');
      await server.query(`SELECT pg_drop_replication_slot('copy')`);
      wall.set(name, wallSeconds);
      fastest[name] = Math.min(fastest[name] ?? Infinity, wallSeconds);
      console.log(
        `round ${round}  ${name.padEnd(14)} ${wallSeconds.toFixed(2)} s wall  ${Math.round(rows / wallSeconds / 1000)} k rows/s wall  ` +
          `${cpuSeconds.toFixed(2)} s CPU`,
      );
    }
    ratios.push(wall.get('pg_recvlogical')! / wall.get('ours')!);
    console.log(`round ${round}  ours has ${ratios.at(-1)!.toFixed(2)} x its speed`);
  }
  const best = fastest['pg_recvlogical']! / fastest['ours']!;
  console.log(
    `median of ${rounds} rounds: ${median(ratios).toFixed(2)} x; the fastest round of each: ${best.toFixed(2)} x`,
  );
}

const [first, second] = process.argv.slice(2);
if (first?.startsWith('{') === true) await child(JSON.parse(first) as Task & Slot);
else await main(Number(first ?? 1_000_000), Number(second ?? 9));
