import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, mariadbCli, startMariadb } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { mariadbPrograms } from './support/programs.ts';
import { startProxy } from './support/proxy.ts';
import { freePort } from './support/server-process.ts';
import { comparable, expectEqual, TestRelay } from './support/test-relay.ts';

/**
 * The checklist of wire.md §6, the lines about addresses and about ends that fail: MariaDB as the FE, which knows the
 * PROXY protocol. "Directly" means that the server is told the same by the same bytes.
 */

const HOST = '127.0.0.1';
/** For what comes true soon, on a machine that is busy with other things. */
const PATIENCE = { timeout: 15_000 };
/** One that is not loopback's: the FE is never told of those (wire.md §2.10). */
const OWN_ADDRESS = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.internal === false && each.family === 'IPv4')?.address;
const LOGIN = { host: HOST, user: 'bench', password: 'secret' };

/** A connection that comes from one of loopback's other addresses, with a header in front or without. */
function connectFrom(
  localAddress: string,
  port: number,
  header: Buffer = Buffer.alloc(0),
): Promise<Connection> {
  const stream = (): Socket => {
    const socket = net.connect({ host: HOST, port, localAddress, noDelay: true });
    if (header.length > 0) socket.write(header);
    return socket;
  };
  return mysql.createConnection({ ...LOGIN, port, stream });
}

const headerFrom = (host: string): Buffer =>
  Buffer.from(`PROXY TCP4 ${host} 10.0.0.1 12345 9030\r\n`);

/** Who the server takes a client for, or why it does not. */
async function whoIs(connecting: Promise<Connection>): Promise<unknown> {
  try {
    const connection = await connecting;
    const [rows] = await connection.query<RowDataPacket[]>(
      'select user() as u, substring_index(host, ":", 1) as h from information_schema.processlist where id = connection_id()',
    );
    connection.destroy();
    return rows[0];
  } catch (error) {
    return (error as Error).message;
  }
}

const v2 = (command: number, family: number, addresses: readonly number[]): Buffer =>
  Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([0x20 | command, family, 0, addresses.length, ...addresses]),
  ]);

describe.runIf(available('mariadb'))('addresses', () => {
  let server: MysqlServer;
  let told: TestRelay;
  let untold: TestRelay;

  beforeAll(async () => {
    server = await startMariadb([`--proxy-protocol-networks=${HOST}/32`]);
    const trusted = new net.BlockList();
    trusted.addAddress(HOST);
    told = await TestRelay.open(server.port, { proxyProtocol: true, trusted });
    untold = await TestRelay.open(server.port);
    await server.query("create user bench@'10.1.%' identified by 'secret'");
    await server.query("create user bench@'2001:db8::%' identified by 'secret'");
  });
  afterAll(async () => {
    await told?.[Symbol.asyncDispose]();
    await untold?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  test("2: a user of certain hosts is judged, and listed, by the client's own address", async () => {
    const seen: unknown[] = [];
    for (const port of [server.port, told.port]) {
      seen.push([
        await whoIs(connectFrom(HOST, port, headerFrom('10.1.2.3'))),
        await whoIs(connectFrom(HOST, port, headerFrom('10.2.2.3'))),
      ]);
    }
    expect(expectEqual(seen)).toEqual([
      { u: 'bench@10.1.2.3', h: '10.1.2.3' },
      "Access denied for user 'bench'@'10.2.2.3' (using password: YES)",
    ]);
  });

  test.runIf(OWN_ADDRESS)(
    '2: an address of this machine is told to the FE; without a PROXY line it sees the proxy',
    async () => {
      const own = OWN_ADDRESS ?? '';
      await server.query(`create user bench@'${own}' identified by 'secret'`);
      const seen: unknown[] = [];
      for (const port of [server.port, told.port]) seen.push(await whoIs(connectFrom(own, port)));
      expect(expectEqual(seen)).toEqual({ u: `bench@${own}`, h: own });
      expect(await whoIs(connectFrom(own, untold.port))).toBe(
        `Access denied for user 'bench'@'${HOST}' (using password: YES)`,
      );
    },
  );

  test.each([
    ['version 1, IPv4', Buffer.from('PROXY TCP4 10.1.2.3 10.0.0.1 12345 9030\r\n'), '10.1.2.3'],
    [
      'version 1, IPv6',
      Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 1 9030\r\n'),
      '2001:db8::7',
    ],
    ['version 2, IPv4', v2(1, 0x11, [10, 1, 2, 3, 10, 0, 0, 1, 1, 2, 3, 4]), '10.1.2.3'],
    [
      'version 2, IPv6',
      v2(1, 0x21, [
        0x20,
        1,
        0x0d,
        0xb8,
        ...Array.from({ length: 11 }, () => 0),
        7,
        ...Array.from({ length: 20 }, () => 1),
      ]),
      '2001:db8::7',
    ],
    ['version 1, UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), HOST],
    ['version 2, LOCAL', v2(0, 0, []), HOST],
  ])('42: a header of a trusted address, %s', async (_what, header, source) => {
    const seen: unknown[] = [];
    for (const port of [server.port, told.port])
      seen.push(await whoIs(connectFrom(HOST, port, header)));
    const who = expectEqual(seen);
    if (source === HOST) expect(who).toContain(`'bench'@'${HOST}'`);
    else expect(who).toMatchObject({ u: `bench@${source}` });
  });

  test.each([
    [
      'a header of an address that is not trusted',
      '127.9.9.9',
      Buffer.from('PROXY TCP4 10.1.2.3 10.0.0.1 1 2\r\n'),
    ],
    ['a header that is none', HOST, Buffer.from('PROXY TCP4 nobody\r\n')],
  ])('42: %s lets nobody in', async (_what, from, header) => {
    for (const port of [server.port, told.port]) {
      expect(await whoIs(connectFrom(from, port, header))).toEqual(expect.any(String));
    }
    const allowed = Buffer.from('PROXY TCP4 10.1.9.9 10.0.0.1 1 2\r\n');
    expect(await whoIs(connectFrom(HOST, told.port, allowed))).toMatchObject({ h: '10.1.9.9' });
  });
});

const cli = async (port: number): ReturnType<typeof mariadbCli> =>
  comparable(
    await mariadbCli([`-h${HOST}`, `-P${port}`, '-ubench', '-psecret', '-N', '-e', 'select 1']),
  );

describe.runIf(available('mariadb'))('ends that fail', () => {
  let server: MysqlServer;
  let relay: TestRelay;
  let ports: readonly number[];

  beforeAll(async () => {
    server = await startMariadb();
    relay = await TestRelay.open(server.port, { loginTimeoutMs: 500 });
    ports = [server.port, relay.port];
    await server.query("create user bench@'%' identified by 'secret'");
    await server.query("grant select on *.* to bench@'%'");
  });
  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  /** Connections at the server but the test's own. */
  const others = async (): Promise<number> => {
    const [row] = await server.query<{ n: number }>(
      'select count(*) as n from information_schema.processlist where id <> connection_id()',
    );
    return Number(row?.n);
  };

  test('38: the FE\'s "Too many connections" is passed on', async () => {
    // The server keeps one more for an administrator, which the test's own connection is.
    await server.query('set global max_connections = 10');
    const taken = await Promise.all(
      Array.from({ length: 9 }, () => mysql.createConnection({ ...LOGIN, port: server.port })),
    );
    const full = await Promise.allSettled([
      mysql.createConnection({ ...LOGIN, port: server.port }),
    ]);
    const refused = [await cli(server.port), await cli(relay.port)];
    for (const connection of taken) connection.destroy();
    for (const each of full) if (each.status === 'fulfilled') each.value.destroy();
    await server.query('set global max_connections = 400');
    expect(expectEqual(refused).stderr).toMatch(/ERROR 1040 .*Too many connections/);
    await expect.poll(() => cli(relay.port), PATIENCE).toMatchObject({ code: 0, stdout: '1\n' });
  });

  test('38: an FE that is down is passed over; without any the client is told within 3 s', async () => {
    const down = { host: HOST, port: await freePort() };
    await using next = await TestRelay.open(0, {
      frontends: [down, { host: HOST, port: server.port }],
    });
    expectEqual([await cli(server.port), await cli(next.port)]);
    await using none = await TestRelay.open(down.port);
    const start = Date.now();
    const told = await cli(none.port);
    expect(Date.now() - start).toBeLessThan(3000);
    expect(told.stderr).toMatch(
      /1042.*Can't connect to any Doris FE: server \(connect ECONNREFUSED server\)/,
    );
  });

  test.each([
    ['a browser', (socket: Socket): unknown => socket.write('GET / HTTP/1.1\r\n\r\n')],
    ['a port scan', (socket: Socket): unknown => socket.destroy()],
    ['a reset', (socket: Socket): unknown => socket.resetAndDestroy()],
    ['half a close', (socket: Socket): unknown => socket.end()],
    [
      'a login that stops',
      (socket: Socket): unknown => socket.write(Buffer.from([200, 0, 0, 1, 5])),
    ],
    ['silence', (): unknown => undefined],
  ])('41: %s leaves no connection behind', async (_what, act) => {
    for (const port of ports) {
      const sockets = Array.from({ length: 3 }, () =>
        net
          .connect({ host: HOST, port, allowHalfOpen: true })
          .on('error', () => undefined)
          .resume(),
      );
      // The greeting is there, so the server has each of them.
      await Promise.all(sockets.map((socket) => once(socket, 'data')));
      for (const socket of sockets) act(socket);
      // The server itself has ten seconds of patience; with a proxy in front it needs none.
      if (port === server.port) for (const socket of sockets) socket.destroy();
      await expect.poll(others, PATIENCE).toBe(0);
      for (const socket of sockets) socket.destroy();
    }
  });

  test('40: a client that is killed in the middle of its result is gone at the FE within a second', async () => {
    const client = mariadbPrograms()?.client ?? '';
    const took: number[] = [];
    for (const port of ports) {
      const sql =
        "select repeat('x', 1000) from mysql.user, information_schema.columns a, information_schema.columns b";
      const child = spawn(
        client,
        ['--no-defaults', `-h${HOST}`, `-P${port}`, '-ubench', '-psecret', '-q', '-e', sql],
        { stdio: ['ignore', 'pipe', 'ignore'] },
      );
      await once(child.stdout, 'readable');
      expect(await others()).toBe(1);
      child.kill('SIGKILL');
      const start = Date.now();
      await expect.poll(others, { ...PATIENCE, interval: 20 }).toBe(0);
      took.push(Date.now() - start);
      child.stdout.destroy();
    }
    const [direct = 0, relayed = 0] = took;
    expect(relayed - direct).toBeLessThan(1000);
  });

  test('39: a server that is killed: idle, before the first byte, in the middle of a result', async () => {
    const ends = ports.map(async (port) => {
      const [idle, waiting, reading] = await Promise.all(
        Array.from({ length: 3 }, () => mysql.createConnection({ ...LOGIN, port })),
      );
      const left = new Promise((resolve) => idle?.on('error', resolve));
      const first = waiting?.query('select sleep(100)').catch((error: Error) => error.message);
      const socket = (reading as unknown as { connection: { stream: Socket } }).connection.stream;
      const cut = reading
        ?.query(
          "select repeat('x', 1000) from information_schema.columns a, information_schema.columns b",
        )
        .catch((error: Error) => error.message);
      await once(socket, 'data');
      socket.pause();
      return async () => {
        const closed = (await left) instanceof Error;
        const before = await first;
        socket.resume();
        return { closed, before, cut: await cut };
      };
    });
    const both = await Promise.all(ends);
    await expect.poll(others, PATIENCE).toBe(6);
    await server.kill();
    const start = Date.now();
    const [direct, relayed] = await Promise.all(both.map((end) => end()));
    const lost = 'Connection lost: The server closed the connection.';
    expect(direct).toMatchObject({ closed: true, before: lost });
    // The one thing that the proxy adds: why nothing came (wire.md §2.9).
    const reason = `FE ${HOST}:${server.port} closed the connection`;
    expect(relayed).toEqual({ ...direct, before: reason });
    expect(Date.now() - start).toBeLessThan(15_000);
    await expect.poll(() => relay.sessionCount, PATIENCE).toBe(0);
    await server.start();
    expect(await cli(relay.port)).toMatchObject({ code: 0, stdout: '1\n' });
  });

  test('45: told to stop, the process lets every statement end that it has begun', async () => {
    await server.query('create database d; create table d.done (client int, n int)');
    await server.query("grant insert on d.* to bench@'%'");
    const fe = `${HOST}:${server.port}`;
    await using proxy = await startProxy({
      fe,
      feHttp: `${HOST}:1`,
      dorisPassword: server.password,
    });
    const acknowledged: string[] = [];
    const work = async (client: number): Promise<string> => {
      const connection = await mysql.createConnection({ ...LOGIN, port: proxy.port });
      connection.on('error', () => undefined);
      try {
        for (let n = 0; ; n++) {
          await connection.query(`insert into d.done select ${client}, ${n} + sleep(0.05)`);
          acknowledged.push(`${client} ${n}`);
        }
      } catch (error) {
        return (error as Error).message;
      } finally {
        connection.destroy();
      }
    };
    const clients = Array.from({ length: 8 }, (_, client) => work(client));
    await expect.poll(() => acknowledged.length, PATIENCE).toBeGreaterThan(16);
    expect(await proxy.stop()).toBe(0);
    // Each was closed while it waited for nothing.
    for (const end of await Promise.all(clients)) expect(end).toMatch(/closed|lost/i);
    const rows = await server.query<{ row: string }>(
      "select concat(client, ' ', n) as row from d.done",
    );
    expect(rows.map(({ row }) => row).toSorted()).toEqual(acknowledged.toSorted());
  });
});
