/**
 * Measurements, each beside what it is compared with, one after another:
 *
 *     npm run bench -- [binlog|snapshot|copy|wal|relay|memory|resources …]
 *
 * Without names all of them. A file alone runs as `npx tsx integration/bench/<name>.ts [rows] [rounds]`; decoders are a twentieth
 * slower so, because tsx stays in the process that is measured.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';

interface Bench {
  readonly title: string;
  /** It measures its own process, so it is compiled like the program itself, and runs without tsx. */
  readonly compiled: boolean;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  binlog: { title: "MySQL's log to load bytes, beside zongji and JSON.stringify", compiled: true },
  snapshot: { title: "a MySQL table to load bytes, beside MySQL's own client", compiled: true },
  copy: {
    title: 'a Postgres table to load bytes, beside pg-cursor and JSON.stringify',
    compiled: true,
  },
  wal: { title: "Postgres' log to load bytes, beside pg_recvlogical", compiled: true },
  relay: { title: 'queries through the proxy, beside haproxy', compiled: false },
  memory: { title: 'memory of the proxy in front of a slow Doris', compiled: false },
  resources: {
    title: 'a transaction of 2 GB, 1,000 tables, a day of reconnects',
    compiled: false,
  },
};

const ROOT = join(import.meta.dirname, '..', '..');
const COMPILED = join(ROOT, '.cache', 'bench');

function compile(): boolean {
  const options = ['--noEmit', 'false', '--outDir', COMPILED];
  const args = ['tsc', '-p', 'integration/tsconfig.json', ...options];
  const { status } = spawnSync('npx', args, { cwd: ROOT, stdio: 'inherit' });
  // What fetches MySQL is no TypeScript, and is looked for beside it.
  const script = join('integration', 'support', 'fetch-mysql.sh');
  cpSync(join(ROOT, script), join(COMPILED, script));
  return status === 0;
}

async function run(name: string, { title, compiled }: Bench): Promise<boolean> {
  console.log(`\n${name}: ${title} (machine load ${loadavg()[0]!.toFixed(1)})`);
  const args = compiled
    ? [join(COMPILED, 'integration', 'bench', `${name}.js`)]
    : ['--import', 'tsx', join(import.meta.dirname, `${name}.ts`)];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}

async function main(asked: readonly string[]): Promise<number> {
  const unknown = asked.filter((name) => !Object.hasOwn(BENCHES, name));
  if (unknown.length > 0) {
    console.error(`no bench ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`);
    return 2;
  }
  const chosen = Object.entries(BENCHES).filter(
    ([name]) => asked.length === 0 || asked.includes(name),
  );
  if (chosen.some(([, { compiled }]) => compiled) && !compile()) return 1;
  const failed: string[] = [];
  for (const [name, bench] of chosen) if (!(await run(name, bench))) failed.push(name);
  if (failed.length > 0) console.error(`failed: ${failed.join(', ')}`);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
