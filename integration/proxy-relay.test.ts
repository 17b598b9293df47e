import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql, { type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Commands } from '../src/command/commands.ts';
import { ownStatement } from '../src/command/own-statement.ts';
import { available, mariadbCli, startMariadb } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { removeFolder, temporaryFolder } from './support/server-process.ts';
import {
  comparable,
  expectEqual,
  onEach,
  TestRelay,
  type CliResult,
} from './support/test-relay.ts';
import { WireTap } from './support/wire-tap.ts';

/** The checklist of wire.md §6: every behaviour twice, directly and through the proxy; the outputs are equal. */

const NOTHING_IS_OURS: Commands = { recognize: () => undefined };

const socketOf = (connection: Connection): Socket =>
  (connection as unknown as { connection: { stream: Socket } }).connection.stream;

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

  /** What `use` says and hears passes unchanged, but for flags and reserved bytes of the first packet. */
  const expectSameBytes = async (
    commands: Commands,
    use: (connection: Connection) => Promise<void>,
  ): Promise<void> => {
    await using back = await WireTap.open(server.port);
    await using between = await TestRelay.open(back.port, { commands });
    await using front = await WireTap.open(between.port);
    const connection = await mysql.createConnection({
      host: '127.0.0.1',
      port: front.port,
      user: 'bench',
      password: 'secret',
      database: 'd',
      multipleStatements: true,
    });
    await use(connection);
    await connection.end();
    const [outer] = front.recordings;
    const [inner] = back.recordings;
    await expect.poll(() => inner?.toServer.at(-1)?.at(4), { timeout: 15_000 }).toBe(1); // COM_QUIT
    for (const direction of ['toServer', 'toClient'] as const) {
      const outside = Buffer.concat(outer?.[direction] ?? []);
      const inside = Buffer.concat(inner?.[direction] ?? []);
      expect(outside.length).toBe(inside.length);
      const different = [...outside.keys()].filter((i) => outside[i] !== inside[i]);
      expect(Math.max(0, ...different)).toBeLessThan(direction === 'toServer' ? 36 : 80);
    }
  };

  test('15: statements and answers pass the proxy byte for byte', async () => {
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
    expect(statements.length).toBeGreaterThanOrEqual(50);
    await expectSameBytes(NOTHING_IS_OURS, async (connection) => {
      for (const sql of statements) await connection.query(sql).catch(() => undefined);
      for (const value of [1, 'x', null, new Date(0), 1.5]) {
        await connection.execute('select ? as a, id from t', [value]);
      }
      await connection.changeUser({ user: 'bench', password: 'secret', database: 'd' });
      await connection.ping();
    });
  });

  test('46: a session in pieces of one to a few bytes, both ways on both legs, says and hears the same', async () => {
    // As random as it needs to be, and the same each time.
    let state = 7;
    const pieces = (): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state % 3 === 0 ? 1 : 1 + (state % 23);
    };
    await using back = await WireTap.open(server.port, pieces);
    await using between = await TestRelay.open(back.port);
    await using front = await WireTap.open(between.port, pieces);
    const heard = expectEqual(
      await onEach(
        [server.port, front.port],
        { multipleStatements: true, database: 'd' },
        async (connection) => {
          const seen: unknown[] = [];
          for (const sql of [
            "select 1, 'two', null, repeat('x', 700)",
            'select 1; select 2; do 0; select repeat("y", 300)',
            'create or replace table cut (id int primary key, v varchar(300))',
            "insert into cut values (1, repeat('z', 300)), (2, null)",
            'select * from cut order by id',
            'select * from nowhere',
          ]) {
            seen.push(await connection.query(sql).then(([rows]) => rows, String));
          }
          for (const value of [1, 'text', null]) {
            seen.push((await connection.execute('select ? as v, id from cut', [value]))[0]);
          }
          await connection.changeUser({ user: 'bench', password: 'secret', database: 'd' });
          seen.push((await connection.query('select database() as d'))[0]);
          return seen;
        },
      ),
    );
    expect(heard).toHaveLength(10);
  });

  test('24: what only looks like a statement of ours reaches the server byte for byte', async () => {
    const statements = [
      "select 'create job x', \"pause job where jobname = 'x'\"",
      'select 1 as jobs, 2 as job, 3 as tasks',
      'create or replace table jobs (job int, task int)',
      'select jobs.job from jobs',
      'select * from `jobs` /* from jobs("type"="insert") */',
      'select \'from jobs("type"="insert")\' -- tasks("type"="insert")',
      'select jobs (1)',
      'select tasks(1) from dual # jobs("type"="insert")',
      'show jobs',
      'create table job(id int)',
      'drop table job',
      'select * from jobs("type"="routine_load")',
      'select * from jobs(1, 2)',
      'create job x on schedule every 1 day do insert into t select 1',
      'select 1; create job x on schedule every ? day do insert into t select 1; select 2',
      'pause routine load for job',
      '/* pause job */ select 1; select "; drop job where jobname = 1"',
      'drop table jobs',
    ];
    const ours: Commands = {
      recognize: (sql) =>
        ownStatement(sql, ({ recognized }) =>
          recognized.kind === 'native'
            ? Promise.resolve('relay')
            : Promise.reject(new Error(`taken for ours: ${sql}`)),
        ),
    };
    await expectSameBytes(ours, async (connection) => {
      for (const sql of statements) {
        await connection.query(sql).catch(() => undefined);
        await connection.execute(sql).catch(() => undefined);
      }
    });
  });

  test('20: LOAD DATA LOCAL of an empty file, of none, refused by the client', async () => {
    const file = join(temporaryFolder('infile'), 'empty.csv');
    writeFileSync(file, '');
    const script = `use d; create or replace table loaded (v varchar(200));
load data local infile '${file}' into table loaded; load data local infile '${file}.none' into table loaded;
select 'still there', count(*) from loaded;`;
    for (const option of ['--local-infile=1', '--local-infile=0']) {
      const login = ['-ubench', '-psecret', option, '-N', '-f', '-vv'];
      const result = expectEqual(await cli(login, script));
      expect(result.stdout).toContain('still there\t0');
      expect(result.stderr).toContain('ERROR');
    }
    removeFolder(dirname(file));
  });

  test('20: LOAD DATA LOCAL whose file cannot be read to its end, or whose client goes away', async () => {
    const ended = expectEqual(
      await onEach(ports, { database: 'd' }, async (connection) => {
        await connection.query('create or replace table loaded (v varchar(200)) engine = innodb');
        const load = (stream: () => Readable): Promise<unknown> =>
          outcome(
            connection.query({
              sql: "load data local infile 'x' into table loaded",
              infileStreamFactory: stream,
            }),
          );
        const rows = Buffer.from(`${'x'.repeat(199)}\n`.repeat(1000));
        const whole = await load(() => Readable.from([rows]));
        const cut = await load(() => {
          const pieces = [rows, rows];
          return new Readable({
            read(): void {
              const piece = pieces.pop();
              if (piece) this.push(piece);
              else this.destroy(new Error('disk gone'));
            },
          });
        });
        // What mysql2 has no stream for it does not send.
        const none = await outcome(
          connection.query("load data local infile 'x' into table loaded"),
        );
        const [count] = await connection.query('select count(*) as n from loaded');
        const socket = socketOf(connection);
        const endless = new Readable({
          read(): void {
            if (socket.bytesWritten > 1_500_000) socket.resetAndDestroy();
            else this.push(rows);
          },
        });
        const { threadId } = connection;
        void load(() => endless);
        const alive = `select count(*) as n from information_schema.processlist where id = ${threadId}`;
        await expect.poll(() => server.query(alive), { timeout: 10_000 }).toEqual([{ n: 0 }]);
        const left = await server.query('select count(*) as n from d.loaded');
        return { whole, cut, none, count, left };
      }),
    );
    // What was sent of a file counts for the server.
    expect(ended).toMatchObject({ whole: 'answered', count: [{ n: 3000 }] });
    expect(ended.left).toEqual(ended.count);
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
