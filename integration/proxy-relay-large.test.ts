import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from 'mysql2';
import type { ResultSetHeader, RowDataPacket } from 'mysql2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { echo, RawClient, RawFrontend } from '../test/support/relay-ends.ts';
import { available, startMariadb } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { startProxy, type ProxyHandle } from './support/proxy.ts';
import { run } from './support/server-process.ts';
import { pythonWith } from './support/programs.ts';
import { expectEqual, onEach, TestRelay } from './support/test-relay.ts';

/** The checklist of wire.md §6, the lines about size: directly and through the proxy, with equal outputs. */

const python = available('pymysql') ? pythonWith('pymysql') : undefined;

/**
 * The aim is 25 KB. Seen from outside it is more, because the garbage of a thousand logins is in it, which nobody has collected
 * yet: 28 KB. Without it (the bench counts from the 500th connection on) it is 15 to 22 KB.
 */
const IDLE_KB_MAX = 45;

/** The proxy as users start it: whatever memory it takes is the relay's, for it has no jobs. */
const startRelay = (serverPort: number): Promise<ProxyHandle> =>
  startProxy({
    fe: `127.0.0.1:${serverPort}`,
    feHttp: '127.0.0.1:1',
    args: ['--allow-passwordless-root=yes'],
  });

/** Resident memory, in MB. */
const rssOf = ({ pid }: ProxyHandle): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
};

// Columns of /proc/net/tcp (proc(5), Linux Documentation/networking/proc_net_tcp).
const [LOCAL, REMOTE, STATE, TIMER] = [1, 2, 3, 5];
const ESTABLISHED = '01';
const KEEP_ALIVE = '02';

/** The kernel's timers of the connections at one end of which is `port`. */
function timersOf(end: { readonly field: number; readonly port: number }): string[] {
  const port = `:${end.port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .filter((fields) => fields[STATE] === ESTABLISHED && fields[end.field]?.endsWith(port) === true)
    .map((fields) => fields[TIMER]?.slice(0, 2) ?? '');
}

/** Row counts and checksums of eight different results, read at the same time at different speeds. */
const digests = async (port: number): Promise<string[]> =>
  Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const connection = createConnection({
        host: '127.0.0.1',
        port,
        user: 'bench',
        password: 'secret',
      });
      const sql = `select seq, repeat(char(65 + (seq + ${i}) % 26), 1 + seq % ${500 + i}) from mysql.seq_1_to_20000`;
      const hash = createHash('sha256');
      let rows = 0;
      for await (const row of connection.query({ sql, rowsAsArray: true }).stream()) {
        hash.update((row as unknown[]).join());
        if (++rows % (1000 + i) === 0) await sleep(i);
      }
      connection.destroy();
      return `${rows} ${hash.digest('hex')}`;
    }),
  );

describe.runIf(available('mariadb'))('large statements and results', () => {
  let server: MysqlServer;
  let proxy: TestRelay;
  let ports: readonly number[];

  beforeAll(async () => {
    server = await startMariadb(['--local-infile=1', '--max-allowed-packet=256M']);
    proxy = await TestRelay.open(server.port);
    ports = [server.port, proxy.port];
    await server.query("create user bench@'%' identified by 'secret'");
    await server.query("grant all on *.* to bench@'%'");
    await server.query("create user nobody@'%'");
    await server.query("create user other@'%' identified by 'different'");
    await server.query('create database d');
  });

  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    expect(proxy.warnings).toEqual([]);
  });

  test('15a: eight large results at once, slowly read, are right in every byte', async () => {
    expectEqual([await digests(server.port), await digests(proxy.port)]);
  });

  test('16: a result of 500 MB to a slow reader stays out of the memory', async () => {
    await using relay = await startRelay(server.port);
    const connection = createConnection({
      host: '127.0.0.1',
      port: relay.port,
      user: 'bench',
      password: 'secret',
    });
    await new Promise((resolve) => {
      connection.query("select repeat('x', 1000) from mysql.seq_1_to_20000", resolve);
    });
    const before = rssOf(relay);
    let most = before;
    const { stream } = connection as unknown as { stream: Readable };
    let bytes = 0;
    const received = new Promise<void>((resolve) => {
      stream.removeAllListeners('data');
      let chunks = 0;
      stream.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        // Slow enough at first for everything on the way to fill up.
        if (bytes < 25_000_000) {
          stream.pause();
          setTimeout(() => stream.resume(), 5);
        }
        if (bytes < 25_000_000 || ++chunks % 50 === 0) most = Math.max(most, rssOf(relay));
        if (bytes > 500_000_000) resolve();
      });
    });
    connection.query("select repeat('x', 1000) from mysql.seq_1_to_500000");
    await received;
    stream.removeAllListeners();
    stream.destroy();
    console.log(
      `RSS of the proxy: ${Math.round(before)} MB before, at most ${Math.round(most)} MB`,
    );
    expect(most - before).toBeLessThan(20);
  });

  test('44: a thousand idle connections take little, and the kernel looks after both of their legs', async () => {
    await using frontend = await RawFrontend.open({
      answer: echo({ deprecateEof: true, status: 2 }),
    });
    await using relay = await startRelay(frontend.address.port);
    const { port } = relay;
    const clients: RawClient[] = [];
    const open = async (count: number): Promise<void> => {
      for (let made = 0; made < count; made += 50) {
        const more = Array.from({ length: 50 }, () => RawClient.login({ host: '127.0.0.1', port }));
        clients.push(...(await Promise.all(more)));
      }
    };
    await open(100);
    const before = rssOf(relay);
    await open(1000);
    const each = ((rssOf(relay) - before) / 1000) * 1024;
    console.log(`an idle connection: ${each.toFixed(1)} KB`);
    expect(each).toBeLessThan(IDLE_KB_MAX);
    for (const legs of [
      { field: LOCAL, port },
      { field: REMOTE, port: frontend.address.port },
    ]) {
      // A packet that is not acknowledged yet has a timer of its own.
      await expect
        .poll(() => new Set(timersOf(legs)), { timeout: 15_000 })
        .toEqual(new Set([KEEP_ALIVE]));
      expect(timersOf(legs)).toHaveLength(1100);
    }
    for (const client of clients.slice(0, 3)) {
      client.command(3, 'select 1');
      expect(await client.answer()).toEqual(['1']);
    }
    for (const client of clients) client.socket.destroy();
    await expect.poll(() => frontend.sockets.size, { timeout: 15_000 }).toBe(0);
  });

  test('17: statements of 20 and 40 MB, a row of 40 MB', async () => {
    expectEqual(
      await onEach(ports, {}, async (connection) => {
        const lengths: unknown[] = [];
        for (const megabytes of [20, 40]) {
          const sql = `select length('${'x'.repeat(megabytes * 1_000_000)}') as n`;
          lengths.push((await connection.query(sql))[0]);
        }
        const [rows] = await connection.query<RowDataPacket[]>("select repeat('y', 40000000) as v");
        lengths.push(createHash('sha256').update(String(rows[0]?.['v'])).digest('hex'));
        return lengths;
      }),
    );
  });

  test('19: LOAD DATA LOCAL of more than 4 MB whose lines are job statements', async () => {
    proxy.inspected.length = 0;
    const count = expectEqual(
      await onEach(ports, { database: 'd' }, async (connection) => {
        await connection.query('create or replace table loaded (v varchar(200))');
        const block = Buffer.from("\x03DROP JOB WHERE jobname = 'x'\n".repeat(600));
        const [done] = await connection.query<ResultSetHeader>({
          sql: "load data local infile 'x' into table loaded",
          infileStreamFactory: () => Readable.from(Array.from({ length: 400 }, () => block)),
        });
        const [rows] = await connection.query('select count(*) as n from loaded');
        return [done.affectedRows, rows];
      }),
    );
    expect(count).toEqual([240_000, [{ n: 240_000 }]]);
    expect(proxy.inspected).toEqual([]);
  });

  test.runIf(python)('17, 21 with PyMySQL, which is strict about sequence ids', async () => {
    const script = `
import sys, pymysql, hashlib
from pymysql.constants import CLIENT
c = pymysql.connect(host='127.0.0.1', port=int(sys.argv[1]), user='bench', password='secret', client_flag=CLIENT.MULTI_STATEMENTS, max_allowed_packet=256*1024*1024)
cur = c.cursor()
cur.execute('select 1; select 2')
print(cur.fetchall()); cur.nextset(); print(cur.fetchall())
for mb in (20, 40):
    cur.execute("select length('" + 'x' * (mb * 1000000) + "')")
    print(cur.fetchall())
for n in (16777209, 16777210, 16777211):
    cur.execute("select length('" + 'x' * (n - 17) + "')")
    print(cur.fetchall())
cur.execute("select repeat('y', 40000000)")
print(hashlib.sha256(cur.fetchone()[0].encode()).hexdigest())
cur.execute("begin"); cur.execute("select @@autocommit, @@in_transaction"); print(cur.fetchall())
try:
    cur.execute('selec 1')
except pymysql.err.ProgrammingError as e:
    print(e.args)
`;
    const results: unknown[] = [];
    for (const port of ports) {
      results.push(await run({ program: python ?? '', args: ['-c', script, `${port}`] }));
    }
    expect(expectEqual(results)).toMatchObject({ code: 0, stderr: '' });
  });
});
