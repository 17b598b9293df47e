import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawFrontend } from '../test/support/relay-ends.ts';
import { available, startMariadb } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { DorisHandle } from './support/doris.ts';
import { createMysqlJob } from './support/jobs.ts';
import { startProxy } from './support/proxy.ts';
import type { ProxyHandle } from './support/proxy.ts';

const state = async (connection: Connection): Promise<string> => {
  const [rows] = await connection.query<RowDataPacket[]>(
    'select Status from jobs("type"="insert") where Name = \'j\'',
  );
  return String(rows[0]?.['Status']);
};

const hasCatalog = (pid: number): boolean =>
  readFileSync(`/proc/${pid}/maps`, 'utf8').includes('catalog.mdb');

describe.runIf(available('mariadb'))('several processes for clients', () => {
  let source: MysqlServer;
  let doris: DorisHandle;
  let proxy: ProxyHandle;

  beforeAll(async () => {
    [source, doris] = await Promise.all([startMariadb(), DorisHandle.open()]);
    proxy = await startProxy({ fe: doris.fe, feHttp: doris.feHttp, args: ['--processes=2'] });
  });
  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await doris?.[Symbol.asyncDispose]();
    await source?.[Symbol.asyncDispose]();
  });

  const children = (): number[] =>
    execFileSync('pgrep', ['-P', String(proxy.pid)], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean)
      .map(Number);

  test('one owner runs the jobs that any of them is told of; one that dies is replaced', async () => {
    await source.query('create database shop');
    await source.query('create table shop.t (id int primary key, v varchar(20))');
    await source.query("insert into shop.t values (1, 'one'), (2, 'two')");
    // In turn: each of the two gets two.
    const clients = await Promise.all(Array.from({ length: 4 }, () => proxy.connect()));
    const [a, b, c, d] = clients as [Connection, Connection, Connection, Connection];
    await a.query('create database target');
    const job = { name: 'j', database: 'shop', tables: 't', target: 'target' };
    await a.query(createMysqlJob(source, job));
    for (const client of clients) {
      await expect.poll(() => state(client), { timeout: 20_000 }).toBe('RUNNING');
    }
    const ids = async (): Promise<number[]> => {
      const [rows] = await d.query<RowDataPacket[]>('select id from target.t order by id');
      return rows.map(({ id }) => Number(id));
    };
    await expect.poll(ids, { timeout: 20_000 }).toEqual([1, 2]);
    await b.query("pause job where jobname = 'j'");
    expect(await state(a)).toBe('PAUSED');
    await source.query("insert into shop.t values (3, 'three')");
    await c.query("resume job where jobname = 'j'");
    await expect.poll(ids, { timeout: 20_000 }).toEqual([1, 2, 3]);
    for (const client of clients) client.destroy();

    const before = children();
    expect(before).toHaveLength(2);
    process.kill(before[0] ?? 0, 'SIGKILL');
    // Two again, and the dead one is not one of them.
    await expect
      .poll(() => children().filter((pid) => pid !== before[0]), { timeout: 15_000 })
      .toHaveLength(2);
    const again = await proxy.connect();
    expect(await state(again)).toBe('RUNNING');
    // DROP waits until the owner says that nobody runs it.
    await again.query("drop job where jobname = 'j'");
    expect(await state(again)).toBe('undefined');
    again.destroy();
  });

  test('only the owner has the catalog open', () => {
    expect(hasCatalog(proxy.pid)).toBe(true);
    expect(children().map(hasCatalog)).toEqual([false, false]);
  });

  test('a statement prepared and bound there is answered by the owner, and a refusal is the same', async () => {
    const client = await proxy.connect();
    const [rows] = await client.execute<RowDataPacket[]>(
      'select Name, Status from jobs("type"="insert") where Name = ? or Id = ?',
      ['nobody', 9_007_199_254_740_993n],
    );
    expect(rows).toEqual([]);
    await expect(client.query("pause job where jobname = 'nobody'")).rejects.toMatchObject({
      errno: 1105,
      sqlState: 'HY000',
      message: 'errCode = 2, detailMessage = job not exist, jobName: nobody',
    });
    client.destroy();
  });

  test('SIGTERM ends all of them', async () => {
    const pids = children();
    expect(await proxy.stop()).toBe(0);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});

describe('an FE that lets root in with any password', () => {
  test('is refused at the start with exit code 2, unless that is accepted', async () => {
    await using open = await RawFrontend.open({});
    const { host, port } = open.address;
    const options = { fe: `${host}:${port}`, feHttp: '127.0.0.1:1' };
    await expect(startProxy(options)).rejects.toThrow(
      /doris-job-proxy: The FE .* lets root in with any password .*skip_localhost_auth_check/,
    );
    await using accepted = await startProxy({
      ...options,
      args: ['--allow-passwordless-root=yes'],
    });
    expect(await accepted.stop()).toBe(0);
  });
});
