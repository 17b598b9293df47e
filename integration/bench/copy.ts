/**
 * A table of Postgres read whole: ours, from the socket to load bodies with one row for each key, beside `pg-cursor` with JSON.stringify
 * of every row, which is what one writes first; same server, in turn, each in a process of its own, rows for each second of that
 * whole process' CPU, its start and its garbage collector's threads included.
 *
 *     npm run bench -- copy, or npx tsx integration/bench/copy.ts [rows] [rounds]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { Batch } from '../../src/encode/batch.ts';
import { PostgresSource } from '../../src/source/postgres/postgres-source.ts';
import { ALL_TABLES, benchTable, median } from './postgres-table.ts';

/** What a job reads by (`src/scheduler/snapshot-phase.ts`). */
const SPLIT_ROWS = 40_960;
const LIMIT = { rowsMax: 500_000, bytesMax: 10 << 20, ageMs: 1000, idleMs: 1000 };
/** Rows of one read of the cursor, as `pg-query-stream` asks for; a thousand cost it a twentieth more, ten thousand a half. */
const CURSOR_ROWS = 100;

interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

interface Output {
  readonly rows: number;
  readonly bytes: number;
}

interface Result extends Output {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly rssMegabytes: number;
}

const READERS: Readonly<Record<string, (login: Login) => Promise<Output>>> = {
  ours: readOurs,
  'pg-cursor': readCursor,
};

async function readOurs(target: Login): Promise<Output> {
  await using source = await PostgresSource.open({ jobId: 1, schema: 'public', target });
  const [table] = await source.preflight(ALL_TABLES);
  if (table === undefined) throw new Error('no table');
  const batch = new Batch();
  const { signal } = new AbortController();
  let [rows, bytes] = [0, 0];
  let split = await source.nextSplit(table, SPLIT_ROWS, undefined);
  while (split !== undefined) {
    await using reader = await source.readSplit(table, split);
    for (let done = false; !done;) {
      done = await reader.fill(batch, LIMIT, signal);
      for (const body of batch.bodies()) {
        rows += body.rows;
        bytes += body.bytes;
      }
      batch.reset();
    }
    split = await source.nextSplit(table, SPLIT_ROWS, split);
  }
  return { rows, bytes };
}

async function readCursor(login: Login): Promise<Output> {
  const client = new pg.Client(login);
  await client.connect();
  const cursor = client.query(new Cursor<Record<string, unknown>>('SELECT * FROM t'));
  let [rows, bytes] = [0, 0];
  for (;;) {
    const found = await cursor.read(CURSOR_ROWS);
    if (found.length === 0) break;
    const lines = found.map((row) => JSON.stringify(row));
    bytes += Buffer.from(`${lines.join('\n')}\n`).length;
    rows += found.length;
  }
  await client.end();
  return { rows, bytes };
}

async function child(name: string, login: Login): Promise<void> {
  const startMs = performance.now();
  const output = await READERS[name]!(login);
  const wallSeconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage();
  const rssMegabytes = process.resourceUsage().maxRSS / 1024;
  const result: Result = {
    ...output,
    cpuSeconds: (user + system) / 1e6,
    wallSeconds,
    rssMegabytes,
  };
  console.log(JSON.stringify(result));
  process.exit(0);
}

async function measure(name: string, login: Login): Promise<Result> {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), name, JSON.stringify(login)];
  const run = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(run.stdout), once(run, 'exit')]);
  return JSON.parse(output) as Result;
}

async function main(rows: number, rounds: number): Promise<void> {
  // Not for the children: it loads more than both readers do.
  const { startPostgres } = await import('../servers.ts');
  await using server = await startPostgres({ version: 15 });
  console.log(`Postgres ${server.version}: writing ${rows} rows`);
  await server.query(benchTable('t', rows));
  await server.query('VACUUM ANALYZE t');
  const { host, port, user, password, database } = server;
  const login: Login = { host, port, user, password, database };
  const ratios: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const cpu = new Map<string, number>();
    for (const name of Object.keys(READERS)) {
      const result = await measure(name, login);
      if (result.rows !== rows) throw new Error(`${name} read ${result.rows} of ${rows} rows`);
      cpu.set(name, result.cpuSeconds);
      console.log(
        `round ${round}  ${name.padEnd(10)} ${result.cpuSeconds.toFixed(2)} s CPU  ${Math.round(rows / result.cpuSeconds / 1000)} k rows/s CPU  ` +
          `${Math.round(rows / result.wallSeconds / 1000)} k rows/s wall  ${Math.round(result.bytes / 1e6)} MB out  ` +
          `${Math.round(result.rssMegabytes)} MB RSS`,
      );
    }
    ratios.push(cpu.get('pg-cursor')! / cpu.get('ours')!);
    console.log(
      `round ${round}  ours is ${ratios.at(-1)!.toFixed(2)} x pg-cursor + JSON.stringify`,
    );
  }
  console.log(`median of ${rounds} rounds: ${median(ratios).toFixed(2)} x`);
}

const [first, second] = process.argv.slice(2);
if (first !== undefined && first in READERS) await child(first, JSON.parse(second!) as Login);
else await main(Number(first ?? 2_000_000), Number(second ?? 3));
