import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, mariadbCli, startMariadb } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import {
  comparable,
  expectEqual,
  onEach,
  TestRelay,
  type CliResult,
} from './support/test-relay.ts';
import { WireTap } from './support/wire-tap.ts';

/** The checklist of wire.md §6: every behaviour twice, directly and through the proxy; the outputs are equal. */

/** How a statement ends: its error, or `'answered'`. */
const outcome = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    () => 'answered',
    (error: { errno?: number; code?: string }) => error.errno ?? error.code,
  );

describe.runIf(available('mariadb'))('MariaDB as the FE', () => {
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

  const cli = async (args: readonly string[], input = ''): Promise<CliResult[]> => {
    const results: CliResult[] = [];
    for (const port of ports) {
      const result = await mariadbCli(['-h127.0.0.1', `-P${port}`, ...args], input);
      results.push(comparable(result));
    }
    return results;
  };

  test.each([
    ['right', ['-ubench', '-psecret'], 0, 'bench@%'],
    ['wrong', ['-ubench', '-pwrong'], 1, '1045'],
    ['empty', ['-unobody'], 0, 'nobody@%'],
    ['that of an unknown user', ['-uwho', '-psecret'], 1, '1045'],
  ])('1: a password that is %s', async (_what, login, code, said) => {
    const result = expectEqual(await cli([...login, '-N', '-e', 'select current_user()']));
    expect(result.code).toBe(code);
    expect(result.stdout + result.stderr).toContain(said);
  });

  test('10: a client that asks for compression works without', async () => {
    const [, relayed] = await cli([
      '-ubench',
      '-psecret',
      '--compress',
      '-N',
      '-e',
      "show session status like 'Compression'",
    ]);
    expect(relayed).toMatchObject({ code: 0, stdout: 'Compression\tOFF\n' });
  });

  test('11: query attributes of mysql2', async () => {
    const rows = expectEqual(
      await onEach(
        ports,
        {},
        async (connection) => (await connection.execute('select ? as a', [1]))[0],
      ),
    );
    expect(rows).toEqual([{ a: 1 }]);
  });

  test('12: connect attributes of 2,000 bytes', async () => {
    expectEqual(
      await onEach(ports, { connectAttributes: { x: 'y'.repeat(2000) } }, async (connection) => {
        return (await connection.query('select 1'))[0];
      }),
    );
  });

  test('13: a database in the login, an unknown one too', async () => {
    expect(
      expectEqual(await cli(['-ubench', '-psecret', 'd', '-e', 'select database()'])).code,
    ).toBe(0);
    expect(
      expectEqual(await cli(['-ubench', '-psecret', 'nodb', '-e', 'select 1'])).stderr,
    ).toContain('1049');
  });

  test('15: statements and answers pass the proxy byte for byte', async () => {
    await using back = await WireTap.open(server.port);
    await using between = await TestRelay.open(back.port);
    await using front = await WireTap.open(between.port);
    const connection = await mysql.createConnection({
      host: '127.0.0.1',
      port: front.port,
      user: 'bench',
      password: 'secret',
      database: 'd',
      multipleStatements: true,
    });
    const types = [
      "1, -1, 18446744073709551615, 1.5, 1e10, 'text', '', null, true",
      "date '2026-01-02', timestamp '2026-01-02 03:04:05.123456', time '-838:59:59'",
      "x'00ff', b'101', json_object('a', 1), repeat('ü😀', 1000)",
      'cast(1 as decimal(30,10)), cast(2 as char(5)), uuid_short() > 0',
    ];
    const statements = [
      'create or replace table t (id int primary key, v varchar(100), b blob, d datetime(6), e enum("a","b"))',
      'insert into t values (1, "x", x"00", now(6), "a"), (2, null, null, null, null)',
      ...types.map((list) => `select ${list}`),
      ...Array.from({ length: 30 }, (_, i) => `select * from t where id > ${i % 3} limit ${i}`),
      'select * from t where false',
      'update t set v = "y" where id = 1',
      'select * from nowhere',
      'selec 1',
      'show tables',
      'show create table t',
      'explain select * from t',
      'begin',
      'insert into t (id) values (3)',
      'rollback',
      'set @a = 1',
      'do 1',
      'select 1; select 2; update t set v = "z"; select 3',
      'select 1; selec; select 2',
    ];
    for (const sql of statements) await connection.query(sql).catch(() => undefined);
    for (const value of [1, 'x', null, new Date(0), 1.5]) {
      await connection.execute('select ? as a, id from t', [value]);
    }
    await connection.changeUser({ user: 'bench', password: 'secret', database: 'd' });
    await connection.ping();
    await connection.end();
    const [outer] = front.recordings;
    const [inner] = back.recordings;
    await expect.poll(() => inner?.toServer.at(-1)?.at(4)).toBe(1); // COM_QUIT
    for (const direction of ['toServer', 'toClient'] as const) {
      const outside = Buffer.concat(outer?.[direction] ?? []);
      const inside = Buffer.concat(inner?.[direction] ?? []);
      expect(outside.length).toBe(inside.length);
      const different = [...outside.keys()].filter((i) => outside[i] !== inside[i]);
      // Only flags and reserved bytes of the first packet.
      expect(Math.max(0, ...different)).toBeLessThan(direction === 'toServer' ? 36 : 80);
    }
    expect(statements.length).toBeGreaterThanOrEqual(50);
  });

  test('21: several statements in one packet', async () => {
    const result = expectEqual(
      await onEach(ports, { multipleStatements: true }, async (connection) => {
        return (await connection.query('select 1; select 2; do 1'))[0];
      }),
    );
    expect(result).toHaveLength(3);
  });

  test('25: prepared statements of the FE', async () => {
    expectEqual(
      await onEach(ports, { database: 'd' }, async (connection) => {
        const seen: unknown[] = [];
        for (let i = 0; i < 300; i++) {
          // Every statement differs, so that mysql2 prepares and later closes each.
          const [rows] = await connection.execute(`select ? + ${i} as a, ? as b`, [i, `v${i}`]);
          seen.push(rows);
        }
        const statement = await connection.prepare('select ? as again');
        for (const value of [1, 'two', null]) seen.push((await statement.execute([value]))[0]);
        await statement.close();
        return seen;
      }),
    );
  });

  test('30: CHANGE_USER and RESET_CONNECTION', async () => {
    expectEqual(
      await onEach(ports, {}, async (connection) => {
        await connection.changeUser({ user: 'other', password: 'different' });
        const [first] = await connection.query('select current_user() as u');
        await connection.changeUser({ user: 'bench', password: 'secret', database: 'd' });
        const [second] = await connection.query('select current_user() as u, database() as d');
        await connection.reset();
        return [first, second, (await connection.query('select @x as x'))[0]];
      }),
    );
  });

  test("33: KILL QUERY and KILL from another session; the id is the server's own", async () => {
    const [direct, relayed] = await onEach(ports, {}, async (connection) => {
      const [rows] = await connection.query<mysql.RowDataPacket[]>('select connection_id() as id');
      expect(connection.threadId).toBe(Number(rows[0]?.['id']));
      const interrupted = outcome(connection.query('select sleep(30)'));
      await sleep(200);
      await server.query(`kill query ${connection.threadId}`);
      const first = await interrupted;
      const killed = outcome(connection.query('select sleep(30)'));
      await sleep(200);
      await server.query(`kill ${connection.threadId}`);
      return [first, await killed];
    });
    expect(direct).toEqual([1317, 'PROTOCOL_CONNECTION_LOST']);
    // The proxy says why the connection ends (wire.md §2.9).
    expect(relayed).toEqual([1317, 1105]);
  });
});
