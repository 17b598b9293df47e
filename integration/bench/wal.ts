/**
 * The log of a Postgres table to load bytes, beside `pg_recvlogical`, Postgres' own client in C, which writes what it
 * receives to a file: wall time for the same content, from two slots, in turn on the same server.
 * `npx tsx integration/bench/wal.ts [rows] [rounds]`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Batch } from '../../src/encode/batch.ts';
import type { Position } from '../../src/model/offset.ts';
import type { TableSpec } from '../../src/model/table.ts';
import { PostgresSource } from '../../src/source/postgres/postgres-source.ts';
import { startPostgres } from '../servers.ts';
import { postgresPrograms } from '../support/programs.ts';
import { ALL_TABLES, benchRows, benchTable } from './postgres-table.ts';

const rows = Number(process.argv[2] ?? 300_000);
const rounds = Number(process.argv[3] ?? 3);
const ROWS_PER_TRANSACTION = 10_000;

const programs = postgresPrograms(15);
if (programs === undefined) throw new Error('Postgres 15 is not installed');
await using server = await startPostgres({ version: 15 });
const { host, port, user, password, database } = server;

const lsnOf = (position: Position): bigint =>
  position.kind === 'postgres' ? BigInt(position.lsn) : 0n;

async function ours(
  source: PostgresSource,
  tables: readonly TableSpec[],
  from: Position,
  to: Position,
): Promise<number> {
  const batch = new Batch();
  const limit = { rowsMax: 50_000, bytesMax: 32 << 20, ageMs: 1000, idleMs: 1000 };
  await using stream = await source.openStream(tables, from);
  let loaded = 0;
  for (let at = from; lsnOf(at) < lsnOf(to);) {
    at = (await stream.fill(batch, limit, AbortSignal.timeout(600_000))).to;
    for (const body of batch.bodies()) loaded += body.rows;
    batch.reset();
  }
  return loaded;
}

async function receiver(slot: string, publication: string, to: Position): Promise<void> {
  const end = lsnOf(to);
  const child = spawn(
    join(programs!, 'pg_recvlogical'),
    [
      '-h',
      host,
      '-p',
      String(port),
      '-U',
      user,
      '-d',
      database,
      '--slot',
      slot,
      '--start',
      '--endpos',
      `${(end >> 32n).toString(16)}/${(end & 0xffff_ffffn).toString(16)}`,
      '-o',
      'proto_version=1',
      '-o',
      `publication_names=${publication}`,
      '-f',
      '/dev/null',
      '--no-loop',
    ],
    { env: { ...process.env, PGPASSWORD: password }, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`pg_recvlogical ended with ${code}`);
}

for (let round = 1; round <= rounds; round++) {
  const target = { host, port, user, password, database };
  await server.query(benchTable(`t${round}`, 0));
  await using source = await PostgresSource.open({ jobId: round, schema: 'public', target });
  const tables = await source.preflight({ ...ALL_TABLES, include: [`t${round}`] });
  const from = await source.latestPosition();
  await server.query(`SELECT pg_create_logical_replication_slot('c_${round}', 'pgoutput')`);
  for (let first = 1; first <= rows; first += ROWS_PER_TRANSACTION) {
    const last = Math.min(rows, first + ROWS_PER_TRANSACTION - 1);
    await server.query(`INSERT INTO t${round} ${benchRows(first, last)}`);
  }
  const to = await source.latestPosition();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const loaded = await ours(source, tables, from, to);
  const mine = (performance.now() - started) / 1000;
  const used = process.cpuUsage(cpu);
  const restarted = performance.now();
  await receiver(`c_${round}`, `doris_pub_${round}`, to);
  const c = (performance.now() - restarted) / 1000;
  const cpuSeconds = (used.user + used.system) / 1e6;
  console.log(
    `round ${round}: WAL to load bytes ${mine.toFixed(2)} s wall, ${cpuSeconds.toFixed(2)} s CPU (${loaded} rows, ` +
      `${(loaded / mine / 1000).toFixed(0)} k rows/s); pg_recvlogical ${c.toFixed(2)} s wall: ${(c / mine).toFixed(2)} times its speed`,
  );
  await server.query(`SELECT pg_drop_replication_slot('c_${round}')`);
  await source.release();
}
