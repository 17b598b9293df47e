import mysql, { type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Capability } from '../src/wire/handshake.ts';
import { PAYLOAD_MAX } from '../src/wire/packet.ts';
import { commandPacket } from '../test/support/relay-ends.ts';
import { FakeCommands, QUERY } from '../test/support/relay-world.ts';
import { available, startMariadb } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { Both, logIn, sha1 } from './support/both-servers.ts';
import { expectEqual, TestRelay } from './support/test-relay.ts';

/**
 * The checklist of wire.md §6, the lines about answers of ours: each beside the answer that a real server gives to a statement
 * like it (`pause job ok` is like `do 0`), packet by packet.
 */

const EXECUTE = 0x17;
const SEND_LONG_DATA = 0x18;
const CLOSE = 0x19;
const RESET = 0x1a;
const RESET_CONNECTION = 0x1f;
const UNKNOWN_STATEMENT = 1243;
/** How an attempt fails, or that it does not. */
const errnoOf = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    () => 'done',
    (error: { errno?: number }) => error.errno,
  );

describe.runIf(available('mariadb'))('answers of ours', () => {
  let server: MysqlServer;
  let commands: FakeCommands;
  let proxy: TestRelay;
  let ports: readonly number[];

  beforeAll(async () => {
    server = await startMariadb(['--max-allowed-packet=64M']);
    commands = new FakeCommands();
    proxy = await TestRelay.open(server.port, { commands });
    ports = [server.port, proxy.port];
    await server.query("create user u@'%' identified by 'secret'; create database d");
    await server.query(
      "grant all on *.* to u@'%'; create user other@'%' identified by 'secret'; grant select on d.* to other@'%'",
    );
    await server.query('create table d.t (id int primary key) engine = innodb');
  });
  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    expect(proxy.warnings).toEqual([]);
  });

  const ROWS = ["select '' as a, null as b", 'select * from jobs(x)'] as const;
  const ERROR = [
    "signal sqlstate '42000' set mysql_errno = 1227, message_text = 'Access denied; you need ADMIN'",
    'pause job fail',
  ] as const;

  test.each([
    ['with EOF', 0],
    ['without EOF', Capability.DEPRECATE_EOF],
  ])('34, 35, 37: rows, OK and ERR %s, in and out of a transaction', async (_what, flags) => {
    await using both = await Both.open(ports, flags);
    const eof = flags === 0;
    expect(await both.query(...ROWS)).toEqual([
      '1: count 2',
      '2: definition',
      '3: definition',
      ...(eof ? ['4: EOF status 2'] : []),
      'row',
      eof ? '6: EOF status 2' : '5: END status 2',
    ]);
    expect(await both.query('do 0', 'pause job ok')).toEqual(['1: OK status 2 warnings 0']);
    expect(await both.query(...ERROR)).toEqual(['1: ERR 1227 42000 Access denied; you need ADMIN']);
    await both.query('begin');
    await both.query('delete from t where id = 1');
    expect(await both.query('do 0', 'pause job ok')).toEqual(['1: OK status 3 warnings 0']);
    expect((await both.query(...ROWS)).at(-1)).toMatch(/status 3$/);
    await both.query('commit');
    await both.query('set autocommit = 0');
    expect(await both.query('do 0', 'pause job ok')).toEqual(['1: OK status 0 warnings 0']);
  });

  const MULTI = Capability.MULTI_STATEMENTS;
  test.each([
    ['first', 'OWN;select 2;do 0', 3, 'OK'],
    ['in the middle', 'select 1;OWN;select 3', 3, 'EN|EO'],
    ['last', 'select 1;select 2;OWN', 3, 'OK'],
    ['twice', 'OWN;OWN', 2, 'OK'],
    [
      'behind an error, and so not at all',
      'select 1;select * from nowhere;OWN;select 2',
      2,
      'ERR 1146',
    ],
    ['that fails', 'do 0;FAIL;select 2', 2, 'ERR 1227'],
    ['with a result', 'do 0;ROWS;do 0', 3, 'OK'],
  ])('22: a batch with a statement of ours %s', async (_what, batch, results, end) => {
    for (const flags of [MULTI, MULTI | Capability.DEPRECATE_EOF]) {
      await using both = await Both.open(ports, flags);
      const of = (i: 0 | 1): string =>
        batch
          .replaceAll('OWN', ['do 0', 'pause job ok'][i] ?? '')
          .replaceAll('FAIL', ERROR[i])
          .replaceAll('ROWS', ROWS[i]);
      const answers = await both.query(of(0), of(1), results);
      expect(answers.at(-1)).toMatch(new RegExp(`^\\d+: (?:${end})`));
      // Nothing is left over.
      expect(await both.query('do 0')).toHaveLength(1);
    }
  });

  test('31, 32: ours among a hundred before and a hundred behind, sent at once; the first one is slow', async () => {
    for (const flags of [0, Capability.DEPRECATE_EOF]) {
      await using both = await Both.open(ports, flags);
      const select = Array.from({ length: 100 }, (_, i) => commandPacket(QUERY, `select ${i}`));
      const all = (own: string): Buffer =>
        Buffer.concat([
          commandPacket(QUERY, 'select sleep(0.3)'),
          ...select,
          commandPacket(QUERY, own),
          ...select,
        ]);
      expect((await both.send(all(ROWS[0]), all(ROWS[1]), 202)).length).toBeGreaterThan(800);
    }
  });

  test.each([
    ['with EOF', 0, 2 + 2],
    ['without EOF', Capability.DEPRECATE_EOF, 0],
  ])('26, 28: prepared statements of ours %s', async (_what, flags, eofs) => {
    await using both = await Both.open(ports, flags);
    const theirs = 'select concat(?, ?) as a, null as b';
    const ours = 'select * from jobs(x) where a = ? and b = ?';
    // A count, two parameters, two columns.
    await both.prepare(theirs, ours, 1 + 2 + 2 + eofs / 2);
    const bound = [0, 1, 3, 0, 254, 0, 5, 0, 0, 0, 1, 0x78];
    const fixed = [0, 1, 0, 0, 0];
    const rows = await both.withId(EXECUTE, [...fixed, ...bound]);
    expect(rows.filter((line) => line === 'row')).toHaveLength(1);
    // Types are sent once; a NULL; a number as DOUBLE.
    await both.withId(EXECUTE, [...fixed, 0, 0, 6, 0, 0, 0, 1, 0x78]);
    await both.withId(EXECUTE, [...fixed, 0b10, 0, 6, 0, 0, 0]);
    await both.withId(EXECUTE, [
      ...fixed,
      0,
      1,
      5,
      0,
      254,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0x18,
      0x40,
      1,
      0x78,
    ]);
    // Long data has no answer; RESET forgets it.
    await both.withId(SEND_LONG_DATA, [0, 0, 0x61, 0x62], 0);
    await both.withId(SEND_LONG_DATA, [0, 0, 0x63], 0);
    await both.withId(EXECUTE, [...fixed, 0, 1, 252, 0, 254, 0, 1, 0x78]);
    await both.withId(SEND_LONG_DATA, [0, 0, 0x61], 0);
    expect(await both.withId(RESET)).toEqual(['1: OK status 2 warnings 0']);
    await both.withId(EXECUTE, [...fixed, ...bound]);
    await both.withId(CLOSE, [], 0);
    const unknown = ['1: ERR 1243 HY000'];
    expect(await both.withId(EXECUTE, [...fixed, ...bound])).toEqual(unknown);
    expect(await both.withId(RESET)).toEqual(unknown);
    // Neither has an answer, whatever it is for.
    await both.withId(SEND_LONG_DATA, [0, 0, 0x61], 0);
    await both.withId(CLOSE, [], 0);
    // A reset session has forgotten what was prepared, and what was sent ahead for it.
    await both.prepare(theirs, ours, 1 + 2 + 2 + eofs / 2);
    await both.withId(SEND_LONG_DATA, [0, 0, 0x61], 0);
    const reset = commandPacket(RESET_CONNECTION);
    expect(await both.send(reset, reset)).toEqual(['1: OK status 2 warnings 0']);
    expect(await both.withId(EXECUTE, [...fixed, ...bound])).toEqual(unknown);
    await both.query('use d');
    await both.prepare(theirs, ours, 1 + 2 + 2 + eofs / 2);
    await both.withId(EXECUTE, [...fixed, ...bound]);
  });

  test.each([PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 1])(
    '18: a statement and a row of exactly %i bytes, an empty packet behind where one belongs',
    async (bytes) => {
      // Behind the command's byte; in front of the row's only value there are four with its length.
      const sql = `select repeat('y', ${bytes - 4}) as v /*`.padEnd(bytes - 3, 'x');
      const seen: unknown[] = [];
      for (const port of ports) {
        const client = await logIn(port, 0);
        client.command(QUERY, `${sql}*/`);
        const answer = await client.packets(5);
        seen.push(
          answer.map(({ sequence, payload }) => [
            sequence,
            payload.length,
            sha1(payload).toString('hex'),
          ]),
        );
        client.command(QUERY, 'do 0');
        expect(await client.answer()).toEqual(['OK']);
        client.socket.destroy();
      }
      expect(expectEqual(seen)).toContainEqual([expect.any(Number), bytes, expect.any(String)]);
    },
  );

  test('27: ours and those of the server, mixed: ids do not clash, and none is left behind', async () => {
    const login = { host: '127.0.0.1', port: proxy.port, user: 'u', password: 'secret' };
    const connection = await mysql.createConnection(login);
    const before = commands.executed.length;
    for (let i = 0; i < 150; i++) {
      const ours = await connection.prepare(`select * from jobs(x) where a = ? and b = ${i}`);
      const theirs = await connection.prepare(`select ? as a, ${i} as b`);
      const [mine] = await ours.execute([`o${i}`]);
      const [its] = await theirs.execute([`t${i}`]);
      expect(mine).toEqual([{ a: `string:o${i}`, b: null }]);
      expect(its).toEqual([{ a: `t${i}`, b: i }]);
      await theirs.close();
      await ours.close();
    }
    expect(commands.executed.length - before).toBe(150);
    const count = "show global status like 'Prepared_stmt_count'";
    await expect
      .poll(() => server.query(count), { timeout: 15_000 })
      .toMatchObject([{ Value: '0' }]);
    connection.destroy();
  });

  test('30: a reset that is sent ahead, behind one of ours that still runs', async () => {
    await using both = await Both.open(ports);
    const [theirs, ours] = (
      [
        ['do sleep(0.05)', ROWS[0]],
        ['pause job slow 50', ROWS[1]],
      ] as const
    ).map(([slow, rows]) =>
      Buffer.concat([
        commandPacket(QUERY, slow),
        commandPacket(RESET_CONNECTION),
        ...['use d', rows, 'select database()'].map((sql) => commandPacket(QUERY, sql)),
      ]),
    );
    expect(await both.send(theirs!, ours!, 5)).toHaveLength(3 + 6 + 5);
  });

  test('30: a pool that resets its sessions, and one that changes their user', async () => {
    const seen: unknown[] = [];
    for (const [i, port] of ports.entries()) {
      const login = { host: '127.0.0.1', port, user: 'u', password: 'secret', database: 'd' };
      const connection = await mysql.createConnection(login);
      const ours =
        i === 0
          ? ["select concat('string:', ?) as a, null as b", 'do 0']
          : ['select * from jobs(x) where a = ?', 'pause job ok'];
      const asWho = async (): Promise<unknown> =>
        (await connection.query<RowDataPacket[]>('select current_user() u, database() d'))[0];
      const steps: unknown[] = [];
      for (const leave of [
        () => connection.changeUser({ user: 'other', password: 'secret' }),
        () => connection.reset(),
        () => connection.changeUser({ user: 'u', password: 'secret', database: 'd' }),
      ]) {
        const statement = await connection.prepare(ours[0] ?? '');
        steps.push((await statement.execute(['x']))[0]);
        await connection.query(ours[1] ?? '');
        await leave();
        steps.push(await errnoOf(statement.execute(['x'])), await asWho());
        await connection.query(ours[1] ?? '');
      }
      connection.destroy();
      seen.push(steps);
    }
    expect(expectEqual(seen)).toEqual([
      [{ a: 'string:x', b: null }],
      UNKNOWN_STATEMENT,
      [{ u: 'other@%', d: 'd' }],
      [{ a: 'string:x', b: null }],
      UNKNOWN_STATEMENT,
      [{ u: 'other@%', d: 'd' }],
      [{ a: 'string:x', b: null }],
      UNKNOWN_STATEMENT,
      [{ u: 'u@%', d: 'd' }],
    ]);
  });
});
