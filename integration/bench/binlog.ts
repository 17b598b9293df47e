/**
 * Reading the binlog of MySQL: ours, from the socket to load bodies with one row for each key, beside zongji with JSON.stringify
 * of every row; same run, same server, rows for each second of the reading process' own CPU.
 *
 *     npm run bench -- binlog, or npx tsx integration/bench/binlog.ts [rows] [rounds]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import ZongJi from '@vlasky/zongji';
import { Batch } from '../../src/encode/batch.ts';
import { UTC } from '../../src/lib/time-zone.ts';
import { BinlogParser } from '../../src/source/mysql/binlog-event.ts';
import { BinlogReader } from '../../src/source/mysql/binlog-reader.ts';
import type { MysqlEndpoint } from '../../src/source/mysql/mysql-connection.ts';
import { createRowCodec, type RowCodec } from '../../src/source/mysql/row-codec.ts';
import type { TableMap } from '../../src/source/mysql/table-map.ts';
import { startMysql } from '../servers.ts';
import { BENCH_TABLE, fillBenchTable } from '../support/bench-table.ts';

const BATCH_BYTES = 32 * 1024 * 1024;

interface Task {
  readonly endpoint: MysqlEndpoint;
  readonly file: string;
  readonly rows: number;
}

interface Result {
  readonly rows: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly rssMegabytes: number;
}

/** What we read of zongji's events; `rows` is there in rows events only. */
interface ZongjiRows {
  readonly rows?: readonly object[];
  readonly tableMap: Readonly<Record<number, { readonly tableName: string }>>;
  readonly tableId: number;
}

type Reader = (task: Task) => Promise<{ rows: number; bytes: number }>;

const READERS: Readonly<Record<string, Reader>> = {
  ours: (task) => readOurs(task, 'generated'),
  interpreted: (task) => readOurs(task, 'interpreted'),
  zongji: readZongji,
};

async function readOurs(
  task: Task,
  form: 'generated' | 'interpreted',
): Promise<{ rows: number; bytes: number }> {
  const start = { kind: 'file', file: task.file, position: 4 } as const;
  await using reader = await BinlogReader.open(task.endpoint, 4711, start);
  const parser = new BinlogParser();
  const batch = new Batch();
  const codecs = new Map<TableMap, RowCodec>();
  const { signal } = new AbortController();
  let map: TableMap | undefined;
  let [rows, bytes] = [0, 0];
  while (rows < task.rows) {
    const packet = reader.next();
    if (packet === undefined) {
      await reader.wait(10_000, signal);
      continue;
    }
    const event = parser.parse(packet);
    if (event.kind === 'table-map') map = event.map;
    if (event.kind !== 'rows' || map?.table !== BENCH_TABLE.name) continue;
    let codec = codecs.get(map);
    if (codec === undefined) codecs.set(map, (codec = createRowCodec(BENCH_TABLE, map, UTC, form)));
    rows += codec.write(event, batch.table(BENCH_TABLE));
    if (batch.bytes >= BATCH_BYTES || rows >= task.rows) {
      for (const body of batch.bodies()) bytes += body.bytes;
      batch.reset();
    }
  }
  return { rows, bytes };
}

async function readZongji(task: Task): Promise<{ rows: number; bytes: number }> {
  const { host, port, user, password } = task.endpoint;
  const zongji = new ZongJi({ host, port, user, password, dateStrings: true });
  let [rows, bytes] = [0, 0];
  await new Promise<void>((resolve, reject) => {
    zongji.on('error', reject);
    zongji.on('binlog', (event: unknown) => {
      const { rows: changed, tableMap, tableId } = event as ZongjiRows;
      if (changed === undefined || tableMap[tableId]?.tableName !== BENCH_TABLE.name) return;
      for (const row of changed) bytes += JSON.stringify(row).length + 1;
      rows += changed.length;
      if (rows >= task.rows) resolve();
    });
    zongji.start({
      serverId: 4712,
      filename: task.file,
      position: 4,
      includeEvents: ['tablemap', 'writerows', 'rotate'],
    });
  });
  zongji.stop();
  return { rows, bytes };
}

async function child(name: string, task: Task): Promise<void> {
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const { rows, bytes } = await READERS[name]!(task);
  const used = process.cpuUsage(cpu);
  const result: Result = {
    rows,
    bytes,
    cpuSeconds: (used.user + used.system) / 1e6,
    wallSeconds: (performance.now() - startMs) / 1000,
    rssMegabytes: process.resourceUsage().maxRSS / 1024,
  };
  console.log(JSON.stringify(result));
  process.exit(0);
}

async function measure(name: string, task: Task): Promise<Result> {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), name, JSON.stringify(task)];
  const run = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(run.stdout), once(run, 'exit')]);
  return JSON.parse(output) as Result;
}

async function main(rows: number, rounds: number): Promise<void> {
  await using server = await startMysql(['--binlog-row-metadata=FULL', '--performance-schema=OFF']);
  await server.query('FLUSH BINARY LOGS');
  const logs = await server.query<{ Log_name: string }>('SHOW BINARY LOGS');
  const file = logs.at(-1)!.Log_name;
  console.log(`${server.version}: writing ${rows} rows`);
  await fillBenchTable(server, rows);
  const { host, port, user, password } = server;
  const task: Task = {
    endpoint: { host, port, user, password, tls: { mode: 'disable' } },
    file,
    rows,
  };
  for (let round = 1; round <= rounds; round++) {
    const speeds = new Map<string, number>();
    for (const name of Object.keys(READERS)) {
      const result = await measure(name, task);
      const speed = result.rows / result.cpuSeconds;
      speeds.set(name, speed);
      console.log(
        `round ${round}  ${name.padEnd(12)} ${result.cpuSeconds.toFixed(2)} s CPU  ${Math.round(speed / 1000)} k rows/s CPU  ` +
          `${Math.round(result.rows / result.wallSeconds / 1000)} k rows/s wall  ${Math.round(result.bytes / 1e6)} MB out  ` +
          `${Math.round(result.rssMegabytes)} MB RSS`,
      );
    }
    console.log(
      `round ${round}  ours is ${(speeds.get('ours')! / speeds.get('zongji')!).toFixed(2)} x zongji + JSON.stringify`,
    );
  }
}

const [first, second] = process.argv.slice(2);
if (first !== undefined && first in READERS) await child(first, JSON.parse(second!) as Task);
else await main(Number(first ?? 1_000_000), Number(second ?? 3));
