import { createHash } from 'node:crypto';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Capability, readChallenge } from '../src/wire/handshake.ts';
import { encodePacket, type Packet } from '../src/wire/packet.ts';
import { readError, Status } from '../src/wire/resultset.ts';
import { commandPacket, loginPayload, RawClient } from '../test/support/relay-ends.ts';
import { FakeCommands, PREPARE, QUERY } from '../test/support/relay-world.ts';
import { available, startMariadb } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { expectEqual, TestRelay } from './support/test-relay.ts';

/**
 * The checklist of wire.md §6, the lines about answers of ours: each beside the answer that a real server gives to a statement
 * like it (`pause job ok` is like `do 0`), packet by packet.
 */

const FLAGS =
  Capability.PROTOCOL_41 |
  Capability.SECURE_CONNECTION |
  Capability.PLUGIN_AUTH |
  Capability.CONNECT_ATTRS;
const EXECUTE = 0x17;
const SEND_LONG_DATA = 0x18;
const CLOSE = 0x19;
const RESET = 0x1a;
const RESET_CONNECTION = 0x1f;
const OURS = 2 ** 30;
const UNKNOWN_STATEMENT = 1243;
/** What one answer says of the session, and not of itself. */
const SESSION = Status.IN_TRANS | Status.AUTOCOMMIT | Status.MORE_RESULTS;

const status = (payload: Buffer, at: number): string =>
  `status ${payload.readUInt16LE(at) & SESSION}`;

/** What a packet of a result is: everything that a client goes by. */
function told({ sequence, payload }: Packet, rows: boolean): string {
  const first = payload[0];
  const is = (): string => {
    if (first === 0xff) {
      const { errno, sqlState, message } = readError(payload);
      // Where ids are named, they differ.
      return errno === UNKNOWN_STATEMENT
        ? `ERR ${errno} ${sqlState}`
        : `ERR ${errno} ${sqlState} ${message}`;
    }
    if (first === 0xfe && payload.length === 5) return `EOF ${status(payload, 3)}`;
    if (first === 0xfe && payload.length < 9) return `END ${status(payload, 3)}`;
    if (first === 0 && !rows) return `OK ${status(payload, 3)} warnings ${payload.readUInt16LE(5)}`;
    if (payload.subarray(0, 4).toString('latin1') === '\x03def') return 'definition';
    return rows ? payload.toString('hex') : `count ${first}`;
  };
  return `${sequence}: ${is()}`;
}

const sha1 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** As the user `u`, by `mysql_native_password`. */
async function logIn(port: number, flags: number): Promise<RawClient> {
  const client = await RawClient.connect({ host: '127.0.0.1', port });
  const [greeting] = await client.packets(1);
  const { nonce } = readChallenge(greeting?.payload ?? Buffer.alloc(0));
  const login = loginPayload(FLAGS | flags);
  const once = sha1('secret');
  const mask = sha1(nonce, sha1(once));
  // Behind the fixed part, the user's name and the length of the answer.
  for (const [i, byte] of once.entries()) login[32 + 2 + 1 + i] = byte ^ (mask[i] ?? 0);
  client.send(encodePacket(1, login));
  const [ok] = await client.packets(1);
  expect(ok?.payload[0]).toBe(0);
  return client;
}

/** How an attempt fails, or that it does not. */
const errnoOf = (running: Promise<unknown>): Promise<unknown> =>
  running.then(
    () => 'done',
    (error: { errno?: number }) => error.errno,
  );

/** Both servers' answers to the same conversation, statements of ours replaced by such as are like them for the server. */
class Both implements AsyncDisposable {
  readonly #clients: readonly RawClient[];
  readonly #ids: number[] = [];

  readonly #deprecateEof: boolean;

  private constructor(clients: readonly RawClient[], deprecateEof: boolean) {
    this.#clients = clients;
    this.#deprecateEof = deprecateEof;
  }

  static async open(ports: readonly number[], flags = 0): Promise<Both> {
    const clients: RawClient[] = [];
    for (const port of ports) clients.push(await logIn(port, flags));
    const both = new Both(clients, (flags & Capability.DEPRECATE_EOF) !== 0);
    await both.query('use d');
    return both;
  }

  /** Sends `theirs` to the server and `ours` to the proxy, and compares `results` results packet by packet. */
  async send(theirs: Buffer, ours: Buffer, results = 1): Promise<string[]> {
    const answers: string[][] = [];
    for (const [i, client] of this.#clients.entries()) {
      client.send(i === 0 ? theirs : ours);
      answers.push(await this.#read(client, results));
    }
    return expectEqual(answers);
  }

  async query(theirs: string, ours = theirs, results = 1): Promise<string[]> {
    return this.send(commandPacket(QUERY, theirs), commandPacket(QUERY, ours), results);
  }

  /** Prepares; the packets that are not counted are compared as those of a result. Keeps the ids for {@link withId}. */
  async prepare(theirs: string, ours: string, packets: number): Promise<void> {
    const answers: string[][] = [];
    for (const [i, client] of this.#clients.entries()) {
      client.command(PREPARE, i === 0 ? theirs : ours);
      const [ok, ...rest] = await client.packets(packets);
      const payload = ok?.payload ?? Buffer.alloc(0);
      this.#ids[i] = payload.readUInt32LE(1);
      answers.push([payload.toString('hex', 5, 9), ...rest.map((packet) => told(packet, false))]);
    }
    expectEqual(answers);
    expect(this.#ids[0]).toBeLessThan(OURS);
    expect(this.#ids[1]).toBeGreaterThanOrEqual(OURS);
  }

  /** A command with the id of what was prepared last; `results` is 0 for one that has no answer. */
  async withId(command: number, rest: readonly number[] = [], results = 1): Promise<string[]> {
    const packets = this.#ids.map((id) => {
      const payload = Buffer.from([command, 0, 0, 0, 0, ...rest]);
      payload.writeUInt32LE(id, 1);
      return encodePacket(0, payload);
    });
    const [theirs = Buffer.alloc(0), ours = Buffer.alloc(0)] = packets;
    return this.send(theirs, ours, results);
  }

  async #read(client: RawClient, results: number): Promise<string[]> {
    const read: string[] = [];
    for (let left = results; left > 0; left--) {
      let definitions = -1;
      let inRows = false;
      for (;;) {
        const [packet] = await client.packets(1);
        if (!packet) throw new Error('no packet');
        const line = told(packet, inRows);
        read.push(inRows && !/: (?:EOF|END|ERR)/.test(line) ? 'row' : line);
        if (/: (?:OK|ERR|END)/.test(line)) break;
        if (/: EOF/.test(line)) {
          if (inRows) break;
          inRows = true;
        }
        if (/: count/.test(line)) definitions = packet.payload[0] ?? 0;
        if (/: definition/.test(line) && --definitions === 0) inRows = this.#deprecateEof;
      }
    }
    return read;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.socket.destroy();
    await Promise.resolve();
  }
}

describe.runIf(available('mariadb'))('answers of ours', () => {
  let server: MysqlServer;
  let commands: FakeCommands;
  let proxy: TestRelay;
  let ports: readonly number[];

  beforeAll(async () => {
    server = await startMariadb();
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
    await expect.poll(() => server.query(count)).toMatchObject([{ Value: '0' }]);
    connection.destroy();
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
      steps.push(await errnoOf(connection.changeUser({ user: 'u', password: 'wrong' })));
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
      1045,
    ]);
  });
});
