import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startStandin, type Standin } from './doris-standin/standin.ts';
import { basic, connect, http, load, rowsOf } from './doris-standin/test-client.ts';

let dataDir: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'standin-'));
});

afterAll(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

interface Running {
  readonly child: ChildProcess;
  readonly ready: Standin & { readonly pid: number };
}

/** The stand-in as a process of its own, once it has said that it is ready. */
async function startProcess(...args: readonly string[]): Promise<Running> {
  const main = join(import.meta.dirname, 'doris-standin', 'main.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  expect(line).toMatch(/^ready \{/);
  return { child, ready: JSON.parse(line.slice('ready '.length)) as Running['ready'] };
}

async function stop({ child }: Running): Promise<void> {
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number | null];
  expect(code).toBe(0);
}

test('as a process it keeps its data, users and labels over a restart', async () => {
  const args = ['--query-port', '0', '--http-port', '0', '--be-port', '0', '--data-dir', dataDir];
  const first = await startProcess(...args, '--user', 'app:a:b');
  expect(first.ready.pid).toBe(first.child.pid);
  const app = { user: 'app', password: 'a:b' };
  const sql = await connect(first.ready, { ...app, multipleStatements: true });
  await sql.query(
    `CREATE DATABASE d; CREATE USER 'other' IDENTIFIED BY 'x'; GRANT SELECT_PRIV ON d.* TO 'other'`,
  );
  await sql.query(
    `CREATE TABLE d.t (id INT, name STRING) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")`,
  );
  const headers = { label: 'kept', authorization: basic('app', 'a:b') };
  expect((await load(first.ready, 'd/t', [{ id: 1, name: 'one' }], headers))['Status']).toBe(
    'Success',
  );
  // A change in the background ends with the process, and the table is free again.
  await sql.query(
    'CREATE TABLE d.s (id INT, v INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")',
  );
  await sql.query('ALTER TABLE d.s MODIFY COLUMN v BIGINT; ALTER TABLE d.t ADD COLUMN w INT NULL');
  await sql.end();
  await stop(first);

  const second = await startProcess(...args);
  const other = await connect(second.ready, { user: 'other', password: 'x' });
  expect(await rowsOf(other, 'SELECT * FROM d.t')).toEqual([['1', 'one', null]]);
  expect((await load(second.ready, 'd/t', [{ id: 2 }], headers))['ExistingJobStatus']).toBe(
    'FINISHED',
  );
  expect((await load(second.ready, 'd/t', [{ id: 2 }]))['Status']).toBe('Success');
  expect(await rowsOf(other, 'SELECT id FROM d.t ORDER BY id')).toEqual([['1'], ['2']]);
  await other.end();
  const root = await connect(second.ready);
  await root.query('ALTER TABLE d.s ADD COLUMN w INT NULL');
  expect((await rowsOf(root, 'SHOW ALTER TABLE COLUMN FROM d')).map((row) => row[9])).toEqual([
    'CANCELLED',
    'FINISHED',
    'FINISHED',
  ]);
  await root.end();
  await stop(second);
});

test('a kill takes away nothing that was answered', async () => {
  const args = ['--data-dir', await mkdtemp(join(dataDir, 'killed-'))];
  const first = await startProcess(...args);
  const sql = await connect(first.ready, { multipleStatements: true });
  await sql.query(
    `CREATE DATABASE d; CREATE TABLE d.t (id INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")`,
  );
  for (const id of [1, 2]) await load(first.ready, 'd/t', [{ id }], { label: `l${id}` });
  sql.on('error', () => undefined);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  const second = await startProcess(...args);
  const root = await connect(second.ready);
  expect(await rowsOf(root, 'SELECT id FROM d.t ORDER BY id')).toEqual([['1'], ['2']]);
  expect((await load(second.ready, 'd/t', [{ id: 3 }], { label: 'l2' }))['ExistingJobStatus']).toBe(
    'FINISHED',
  );
  await root.query(
    'CREATE TABLE d.s (id INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")',
  );
  await root.end();
  await stop(second);
});

test('a load goes over the FE to the BE with the credentials that the redirect carries', async () => {
  await using standin = await startStandin({ users: [{ name: 'app', password: 'p w/@' }] });
  const sql = await connect(standin, { multipleStatements: true });
  await sql.query(
    `CREATE DATABASE d; CREATE TABLE d.t (id INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")`,
  );
  const authorization = basic('app', 'p w/@');
  const { headers } = await http(standin.http, '/api/d/t/_stream_load', {
    method: 'PUT',
    headers: { authorization, expect: '100-continue' },
  });
  const { host, password, pathname, username } = new URL(headers.location!);
  expect(decodeURIComponent(password)).toBe('p w/@');
  const answer = await http(host, pathname, {
    method: 'PUT',
    body: '{"id":1}',
    headers: {
      authorization: basic(username, decodeURIComponent(password)),
      format: 'json',
      'content-length': '8',
      expect: '100-continue',
    },
  });
  expect(JSON.parse(answer.body)).toMatchObject({ Status: 'Success', NumberLoadedRows: 1 });
  await sql.end();
});

const line = (i: number): string =>
  `{"id":"${i}","a":${i},"b":"name ${i}","c":"some text for the row ${i}","d":"${i}.1234","e":"2024-01-02 03:04:05.123456"}`;

test('a hundred thousand rows take a second or so', async () => {
  await using standin = await startStandin();
  const sql = await connect(standin, { multipleStatements: true });
  await sql.query(`CREATE DATABASE d; CREATE TABLE d.t (id BIGINT, a INT, b VARCHAR(40), c STRING, d DECIMAL(20,4), e DATETIME(6))
    UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")`);
  const body = Array.from({ length: 100_000 }, (_, i) => line(i)).join('\n');
  const started = performance.now();
  expect(await load(standin, 'd/t', body)).toMatchObject({ NumberLoadedRows: 100_000 });
  expect(await load(standin, 'd/t', body)).toMatchObject({ NumberLoadedRows: 100_000 });
  // Two loads, the second over the same keys; the bound is loose because the machine is shared.
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(await rowsOf(sql, 'SELECT count(*), sum(a) FROM d.t')).toEqual([['100000', '4999950000']]);
  await sql.end();
});
