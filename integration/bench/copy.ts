/**
 * A copy of a Postgres table to load bytes, beside `pg` rows and JSON.stringify, which is what one writes first: rows per
 * second of this process' CPU time, the two in turn on the same server. `npx tsx integration/bench/copy.ts [rows] [rounds]`.
 *
 * The other way fetches 1000 rows at a time from a cursor of SQL (`pg-cursor` does the same by the extended protocol;
 * decoding and printing, which is where the time goes, are `pg`'s in both).
 */
import { Batch } from '../../src/encode/batch.ts';
import { PostgresSource } from '../../src/source/postgres/postgres-source.ts';
import { startPostgres } from '../servers.ts';
import { ALL_TABLES, benchTable } from './postgres-table.ts';

const rows = Number(process.argv[2] ?? 500_000);
const rounds = Number(process.argv[3] ?? 3);

interface Measure {
  readonly rows: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
}

async function measure(run: () => Promise<{ rows: number; bytes: number }>): Promise<Measure> {
  const wall = performance.now();
  const cpu = process.cpuUsage();
  const done = await run();
  const used = process.cpuUsage(cpu);
  return {
    ...done,
    cpuSeconds: (used.user + used.system) / 1e6,
    wallSeconds: (performance.now() - wall) / 1000,
  };
}

function print(name: string, m: Measure): void {
  const [cpu, wall] = [m.rows / m.cpuSeconds / 1000, m.rows / m.wallSeconds / 1000];
  console.log(
    `${name.padEnd(28)} ${m.cpuSeconds.toFixed(2)} s CPU  ${cpu.toFixed(0)} k rows/s CPU  ${wall.toFixed(0)} k rows/s wall  ${(m.bytes / 1e6).toFixed(0)} MB`,
  );
}

await using server = await startPostgres({ version: 15 });
await server.query(benchTable('t', rows));
await server.query('VACUUM ANALYZE t');
const { host, port, user, password, database } = server;

async function copy(): Promise<{ rows: number; bytes: number }> {
  const target = { host, port, user, password, database };
  await using source = await PostgresSource.open({ jobId: 1, schema: 'public', target });
  const [table] = await source.preflight(ALL_TABLES);
  if (table === undefined) throw new Error('no table');
  const batch = new Batch();
  const limit = { rowsMax: 50_000, bytesMax: 12 << 20, ageMs: 1000, idleMs: 1000 };
  const signal = AbortSignal.timeout(600_000);
  const total = { rows: 0, bytes: 0 };
  let split = await source.nextSplit(table, 40_960, undefined);
  while (split !== undefined) {
    await using reader = await source.readSplit(table, split);
    for (let done = false; !done;) {
      done = await reader.fill(batch, limit, signal);
      for (const body of batch.bodies()) {
        total.rows += body.rows;
        total.bytes += body.bytes;
      }
      batch.reset();
    }
    split = await source.nextSplit(table, 40_960, split);
  }
  return total;
}

async function cursor(): Promise<{ rows: number; bytes: number }> {
  const client = await server.connect();
  await client.query('BEGIN; DECLARE c CURSOR FOR SELECT * FROM t');
  const total = { rows: 0, bytes: 0 };
  for (;;) {
    const { rows: found } = await client.query<Record<string, unknown>>('FETCH 1000 FROM c');
    if (found.length === 0) break;
    const lines = found.map((row) => JSON.stringify(row));
    total.bytes += Buffer.from(`${lines.join('\n')}\n`).length;
    total.rows += found.length;
  }
  await client.end();
  return total;
}

for (let round = 1; round <= rounds; round++) {
  const ours = await measure(copy);
  const theirs = await measure(cursor);
  print('COPY to load bytes', ours);
  print('pg cursor + JSON.stringify', theirs);
  const ratio = ours.rows / ours.cpuSeconds / (theirs.rows / theirs.cpuSeconds);
  console.log(`round ${round}: ${ratio.toFixed(1)} times the rows per CPU second`);
}
