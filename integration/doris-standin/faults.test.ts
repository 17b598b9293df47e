import { request } from 'node:http';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { connect, http, load, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;

beforeAll(async () => {
  standin = await startStandin();
  sql = await connect(standin, { multipleStatements: true });
  await sql.query('CREATE DATABASE d');
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

beforeEach(async () => {
  standin.faults.clear();
  await sql.query(
    `DROP TABLE IF EXISTS d.t; CREATE TABLE d.t (id INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")`,
  );
});

let labels = 0;
const newLabel = (): { label: string } => ({ label: `f${++labels}` });
const ROWS = [{ id: 1 }, { id: 2 }];
const count = async (): Promise<number> =>
  Number((await rowsOf(sql, 'SELECT count(*) FROM d.t'))[0]![0]);

async function arm(faults: unknown): Promise<number> {
  return (
    await http(standin.http, '/_standin/faults', { method: 'PUT', body: JSON.stringify(faults) })
  ).status;
}

async function state(label: string): Promise<unknown> {
  const { body } = await http(standin.http, `/api/d/get_load_state?label=${label}`);
  return (JSON.parse(body) as { data: unknown }).data;
}

describe('what a client cannot tell from its side', () => {
  test('a load that commits while its connection breaks is found again by its label', async () => {
    const headers = newLabel();
    expect(await arm({ resetAfterBody: { count: 1, commit: true } })).toBe(200);
    await expect(load(standin, 'd/t', ROWS, headers)).rejects.toThrow();
    await vi.waitFor(async () => expect(await count()).toBe(2));
    expect(await load(standin, 'd/t', ROWS, headers)).toMatchObject({
      Status: 'Label Already Exists',
      ExistingJobStatus: 'FINISHED',
    });
  });

  test.each(['resetAfterBody', 'resetDuringBody'])(
    'after %s without a commit the label is free',
    async (name) => {
      const headers = newLabel();
      await arm({ [name]: { count: 1 } });
      await expect(load(standin, 'd/t', ROWS, headers)).rejects.toThrow();
      await vi.waitFor(async () => expect(await state(headers.label)).toBe('ABORTED'));
      expect(await count()).toBe(0);
      expect((await load(standin, 'd/t', ROWS, headers))['Status']).toBe('Success');
    },
  );

  test('an answer Fail does not mean that nothing was loaded', async () => {
    const headers = newLabel();
    await arm({ failAfterCommit: {} });
    const answer = await load(standin, 'd/t', ROWS, headers);
    expect(answer).toMatchObject({
      Status: 'Fail',
      Message: expect.stringContaining('THRIFT_RPC_ERROR'),
    });
    expect(await count()).toBe(2);
    expect((await load(standin, 'd/t', ROWS, headers))['ExistingJobStatus']).toBe('FINISHED');
  });
});

describe('publishing', () => {
  test('Publish Timeout comes at once, the rows later', async () => {
    const headers = newLabel();
    await arm({ publishTimeout: { count: 1, ms: 300 } });
    expect((await load(standin, 'd/t', ROWS, headers))['Status']).toBe('Publish Timeout');
    expect(await state(headers.label)).toBe('COMMITTED');
    expect(await count()).toBe(0);
    expect((await load(standin, 'd/t', ROWS, headers))['ExistingJobStatus']).toBe('FINISHED');
    await vi.waitFor(async () => expect(await state(headers.label)).toBe('VISIBLE'));
    expect(await count()).toBe(2);
  });

  test('a second attempt during the first is told RUNNING', async () => {
    const headers = newLabel();
    const chunked = { ...headers, 'content-length': undefined, 'transfer-encoding': 'chunked' };
    const slow = request(`http://${standin.be}/api/d/t/_stream_load`, {
      method: 'PUT',
      headers: {
        authorization: 'Basic cm9vdDo=',
        format: 'json',
        ...headers,
        'transfer-encoding': 'chunked',
      },
    });
    slow.on('error', () => undefined);
    slow.write('{"id":1}\n');
    await vi.waitFor(async () => expect(await state(headers.label)).toBe('PREPARE'));
    expect(await load(standin, 'd/t', ROWS, chunked)).toMatchObject({
      ExistingJobStatus: 'RUNNING',
    });
    // The client goes away before the end of its body: the label is free again.
    slow.destroy();
    await vi.waitFor(async () => expect(await state(headers.label)).toBe('ABORTED'));
    expect(await count()).toBe(0);
  });

  test('loads of one table become visible in the order of their commits', async () => {
    await sql.query(`ALTER TABLE d.t ADD COLUMN v INT NULL`);
    await arm({ publishDelay: { count: 1, ms: 200 } });
    const first = load(standin, 'd/t', [{ id: 1, v: 1 }], newLabel());
    await vi.waitFor(() => expect(standin.faults.isArmed('publishDelay')).toBe(false));
    const second = load(standin, 'd/t', [{ id: 1, v: 2 }], newLabel());
    await Promise.all([first, second]);
    expect(await rowsOf(sql, 'SELECT v FROM d.t')).toEqual([['2']]);
  });
});

test.each([
  ['tooManyVersions', '-235', 'ABORTED'],
  ['tooManyTxns', 'larger than limit', 'UNKNOWN'],
  ['dropTable', 'unknown table', 'ABORTED'],
])('%s fails a load with its text', async (name, text, left) => {
  const headers = newLabel();
  await arm({ [name]: { count: 1 } });
  const answer = await load(standin, 'd/t', ROWS, headers);
  expect(answer).toMatchObject({ Status: 'Fail', Message: expect.stringContaining(text) });
  expect(await state(headers.label)).toBe(left);
});

test('a BE that is down is cut off, and the FE has none to name', async () => {
  await arm({ beDown: { count: 2 } });
  await expect(load(standin, 'd/t', ROWS)).rejects.toThrow();
  const headers = { expect: '100-continue' };
  const redirect = (): Promise<{ status: number; body: string }> =>
    http(standin.http, '/api/d/t/_stream_load', { method: 'PUT', headers });
  expect((await redirect()).body).toContain('No backend load available');
  expect((await redirect()).status).toBe(307);
});

test('an FE that is down refuses HTTP and MySQL', async () => {
  await arm({ feDown: { count: 2 } });
  await expect(http(standin.http, '/api/health')).rejects.toThrow();
  await expect(connect(standin)).rejects.toThrow();
  await (await connect(standin)).end();
});

test('a slow BE answers late', async () => {
  await arm({ slowBe: { count: 1, ms: 150 } });
  const started = performance.now();
  await load(standin, 'd/t', ROWS);
  expect(performance.now() - started).toBeGreaterThan(140);
});

test('a fault strikes only its table and only so often', async () => {
  await arm({ tooManyVersions: { count: 2, table: 't' } });
  await sql.query(
    `CREATE TABLE d.other (id INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")`,
  );
  expect((await load(standin, 'd/other', ROWS))['Status']).toBe('Success');
  const statuses = [];
  for (let i = 0; i < 3; i++) statuses.push((await load(standin, 'd/t', ROWS))['Status']);
  expect(statuses).toEqual(['Fail', 'Fail', 'Success']);
  await sql.query('DROP TABLE d.other');
});

test('a fault that does not exist is refused', async () => {
  expect(await arm({ earthquake: {} })).toBe(400);
  expect(await arm({ slowBe: { minutes: 1 } })).toBe(400);
  await arm({ slowBe: { count: 3 } });
  const { body } = await http(standin.http, '/_standin/faults', { method: 'DELETE' });
  expect(JSON.parse(body)).toEqual({});
});

test('the attempts to load are counted', async () => {
  const headers = newLabel();
  await load(standin, 'd/t', ROWS, headers);
  await load(standin, 'd/t', ROWS, headers);
  const { body } = await http(standin.http, '/_standin/loads');
  const mine = (JSON.parse(body) as { label: string }[]).filter(
    ({ label }) => label === headers.label,
  );
  const place = { database: 'd', table: 't', ...headers };
  expect(mine).toMatchObject([
    { ...place, status: 'Success', rows: 2, bytes: 17 },
    { ...place, status: 'Label Already Exists', existingJobStatus: 'FINISHED', rows: 0 },
  ]);
});

function manyRows(from: number): unknown[] {
  return Array.from({ length: 20_000 }, (_, i) => ({ id: from + i }));
}

test('a load is seen whole or not at all', async () => {
  const seen = new Set<number>();
  const loads = Promise.all(
    [0, 20_000, 40_000].map((from) => load(standin, 'd/t', manyRows(from))),
  );
  const end = Symbol('end');
  while ((await Promise.race([loads.then(() => end), count()])) !== end) seen.add(await count());
  await loads;
  seen.add(await count());
  expect([...seen].every((n) => n % 20_000 === 0)).toBe(true);
  expect(await count()).toBe(60_000);
});

test('look-ups at the FE', async () => {
  const get = async (path: string): Promise<unknown> =>
    JSON.parse((await http(standin.http, path)).body);
  expect(await get('/api/backends?is_alive=true')).toMatchObject({
    code: 0,
    data: {
      backends: [{ ip: '127.0.0.1', http_port: Number(standin.be.split(':')[1]), is_alive: true }],
    },
  });
  expect(await get('/api/d/t/_schema')).toMatchObject({
    data: { keysType: 'UNIQUE_KEYS', status: 200, properties: [{ name: 'id', type: 'INT' }] },
  });
  expect(await get('/api/d/none/_schema')).toMatchObject({ code: 1 });
  expect(await get('/api/health')).toMatchObject({ code: 0, data: { online_backend_num: 1 } });
  expect(await get('/api/none/get_load_state?label=x')).toMatchObject({ code: 1 });
  expect((await http(standin.http, '/api/query/internal/d', { method: 'POST' })).status).toBe(404);
});
