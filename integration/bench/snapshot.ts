/**
 * Reading a table of MySQL whole: ours, from the socket to load bodies with one row for each key, beside MySQL's own client
 * (`mysql -q -B`, the rows as tab-separated text) and mysql2 with JSON.stringify of every row; same run, same server, rows for each
 * second of the reading process' own CPU.
 *
 *     npm run bench -- snapshot, or npx tsx integration/bench/snapshot.ts [rows] [rounds]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import mysql from 'mysql2';
import { Batch } from '../../src/encode/batch.ts';
import { UTC } from '../../src/lib/time-zone.ts';
import { MysqlConnection, type MysqlEndpoint } from '../../src/source/mysql/mysql-connection.ts';
import { MysqlSplitReader } from '../../src/source/mysql/mysql-snapshot.ts';
import { startMysql } from '../servers.ts';
import { BENCH_TABLE, fillBenchTable } from '../support/bench-table.ts';
import { mysqlProgram } from '../support/programs.ts';

const LIMIT = {
  rowsMax: Number.MAX_SAFE_INTEGER,
  bytesMax: 32 * 1024 * 1024,
  ageMs: 60_000,
  idleMs: 60_000,
};

interface Result {
  readonly rows: number;
  readonly cpuSeconds: number;
}

type Reader = (endpoint: MysqlEndpoint) => Promise<number>;

const READERS: Readonly<Record<string, Reader>> = { ours: readOurs, mysql2: readMysql2 };

/** The connection is closed with the reader's scope. */
const keep = (): void => undefined;

async function readOurs(endpoint: MysqlEndpoint): Promise<number> {
  await using connection = await MysqlConnection.open(endpoint);
  const from = `FROM bench.${BENCH_TABLE.name}`;
  const reader = new MysqlSplitReader(connection, BENCH_TABLE, UTC, from, 'bench', keep);
  const batch = new Batch();
  const { signal } = new AbortController();
  let rows = 0;
  for (let done = false; !done;) {
    done = await reader.fill(batch, LIMIT, signal);
    for (const body of batch.bodies()) rows += body.rows;
    batch.reset();
  }
  return rows;
}

async function readMysql2(endpoint: MysqlEndpoint): Promise<number> {
  const { host, port, user, password } = endpoint;
  const options = { supportBigNumbers: true, dateStrings: true, decimalNumbers: false };
  const connection = mysql.createConnection({ host, port, user, password, ...options });
  let rows = 0;
  await new Promise<void>((resolve, reject) => {
    connection
      .query(`SELECT * FROM bench.${BENCH_TABLE.name}`)
      .on('error', reject)
      .on('result', (row) => {
        if (JSON.stringify(row).length > 0) rows++;
      })
      .on('end', resolve);
  });
  connection.destroy();
  return rows;
}

async function child(name: string, endpoint: MysqlEndpoint): Promise<void> {
  const cpu = process.cpuUsage();
  const rows = await READERS[name]!(endpoint);
  const used = process.cpuUsage(cpu);
  const result: Result = { rows, cpuSeconds: (used.user + used.system) / 1e6 };
  console.log(JSON.stringify(result));
  process.exit(0);
}

async function measure(name: string, endpoint: MysqlEndpoint): Promise<Result> {
  const args = [
    ...process.execArgv,
    fileURLToPath(import.meta.url),
    name,
    JSON.stringify(endpoint),
  ];
  const run = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(run.stdout), once(run, 'exit')]);
  return JSON.parse(output) as Result;
}

/** The shell tells what the client used; its output goes nowhere. */
async function measureClient(endpoint: MysqlEndpoint, rows: number): Promise<Result> {
  const { host, port, user, password } = endpoint;
  const login = [`-h${host}`, `-P${port}`, `-u${user}`, `-p${password}`];
  const query = `SELECT * FROM bench.${BENCH_TABLE.name}`;
  const options = ['--no-defaults', '--ssl-mode=DISABLED', '--get-server-public-key'];
  const client = mysqlProgram('usr/bin/mysql', [...options, ...login, '-q', '-B', '-e', query]);
  const script = 'TIMEFORMAT="%U %S"; time "$@" > /dev/null 2>/dev/null';
  const run = spawn('bash', ['-c', script, 'time', client.program, ...client.args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [output] = await Promise.all([text(run.stderr), once(run, 'exit')]);
  const [user_, system] = output.trim().split(' ').map(Number) as [number, number];
  return { rows, cpuSeconds: user_ + system };
}

async function main(rows: number, rounds: number): Promise<void> {
  await using server = await startMysql();
  console.log(`${server.version}: writing ${rows} rows`);
  await fillBenchTable(server, rows);
  const { host, port, user, password } = server;
  const endpoint: MysqlEndpoint = { host, port, user, password, tls: { mode: 'disable' } };
  for (let round = 1; round <= rounds; round++) {
    const results = new Map<string, Result>();
    for (const name of Object.keys(READERS)) results.set(name, await measure(name, endpoint));
    results.set('mysql -q -B', await measureClient(endpoint, rows));
    const ours = results.get('ours')!;
    for (const [name, { rows: read, cpuSeconds }] of results) {
      if (read !== rows) throw new Error(`${name} read ${read} of ${rows} rows`);
      console.log(
        `round ${round}  ${name.padEnd(12)} ${cpuSeconds.toFixed(2)} s CPU  ${Math.round(rows / cpuSeconds / 1000)} k rows/s CPU  ` +
          `ours takes ${(ours.cpuSeconds / cpuSeconds).toFixed(2)} of it`,
      );
    }
  }
}

const [first, second] = process.argv.slice(2);
if (first !== undefined && first in READERS)
  await child(first, JSON.parse(second!) as MysqlEndpoint);
else await main(Number(first ?? 1_000_000), Number(second ?? 3));
