import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import type { MysqlPosition } from '../src/model/offset.ts';
import type { Fill, Source } from '../src/source/source.ts';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { newDatabase, openMysql } from './support/mysql-job.ts';
import { after, follow, LIMIT, never, Replica } from './support/replica.ts';
import {
  expectTwoTables,
  failure,
  TWO_TABLES as T,
  twoTables as tables,
} from './support/two-tables.ts';

const START = { mysql: startMysql, mariadb: startMariadb } as const;

const mysqlPosition = (position: unknown): MysqlPosition => position as MysqlPosition;

const WORK = [
  "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, NULL)",
  "UPDATE t SET v = 'ä😀' WHERE id = 2",
  'UPDATE t SET id = id + 10 ORDER BY id DESC',
  "DELETE FROM t WHERE id = 11; INSERT INTO t VALUES (11, 'again')",
  "BEGIN; INSERT INTO u VALUES (1, 1, 'x'); INSERT INTO t VALUES (20, 'y'); INSERT INTO other VALUES (1); UPDATE u SET b = 2; COMMIT",
  'INSERT INTO other VALUES (2); DELETE FROM other',
  "BEGIN; INSERT INTO t VALUES (30, 'rolled back'); ROLLBACK",
  'CREATE TABLE later (id INT PRIMARY KEY); INSERT INTO later VALUES (1); DROP TABLE later',
  'ALTER TABLE t ADD INDEX iv (v); ALTER TABLE t DROP INDEX iv; ANALYZE TABLE t',
  "FLUSH BINARY LOGS; INSERT INTO t VALUES (40, 'after a rotation')",
];

/** Transactions of many row events. */
const LARGE = [
  `INSERT INTO t SELECT id + 1000, REPEAT('z', 40) FROM (
     WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 900) SELECT * FROM n) x`,
  `BEGIN; UPDATE t SET v = CONCAT(id); INSERT INTO u VALUES (5, 5, 'e'); UPDATE t SET v = NULL WHERE id % 2; COMMIT`,
];

describe.each(['mysql', 'mariadb'] as const)('the stream of a %s source', (kind) => {
  const run = test.runIf(available(kind));
  let server: MysqlServer;

  beforeAll(async () => {
    if (available(kind)) server = await START[kind]();
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  const database = (name: string, sql: string): Promise<Source> => newDatabase(server, name, sql);

  const expectEqual = (replica: Replica, name: string): Promise<void> =>
    expectTwoTables(server, replica, name);

  run('follows inserts, updates, changed keys, deletes, several tables, rotations', async () => {
    await using source = await database('followed', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    const replica = new Replica();
    await using stream = await source.openStream(specs, from);
    for (const statement of WORK) {
      await server.query(`USE followed; ${statement}`);
      await follow(stream, replica);
      await expectEqual(replica, 'followed');
    }
    // The position moves with other tables' events too.
    await server.query('INSERT INTO other VALUES (77)');
    const fill = await stream.fill(new Batch(), LIMIT, never);
    expect(await source.lagBytes(fill.to)).toBe(0);
    expect(await source.lagBytes(from)).toBeGreaterThan(0);
  });

  test.runIf(available(kind)).each([
    ['inside of transactions', { ...LIMIT, rowsMax: 1 }],
    ['at the end of transactions', { ...LIMIT, ageMs: 0 }],
    ['here and there', { ...LIMIT, rowsMax: 5, ageMs: 0 }],
  ])(
    'goes on from every place where a batch ended %s, and reads recorded ranges again',
    async (_where, cut) => {
      await using source = await database('resumed', T);
      const specs = await tables(source);
      const from = await source.safePosition();
      for (const statement of [...WORK.slice(0, 6), ...LARGE, ...WORK.slice(6)]) {
        await server.query(`USE resumed; ${statement}`);
      }
      const replica = new Replica();
      const batch = new Batch();
      let fills: readonly Fill[];
      {
        await using stream = await source.openStream(specs, from);
        fills = await follow(stream, replica, cut);
        await expectEqual(replica, 'resumed');
      }
      const inside = fills.filter((fill) => mysqlPosition(fill.to).event > 0).length;
      if (cut.ageMs > 0) expect(inside).toBeGreaterThan(10);
      else expect(fills.length - inside).toBeGreaterThan(5);

      // A job that is killed after every batch.
      const restarted = new Replica();
      let position = from;
      const restart = async (): Promise<boolean> => {
        await using stream = await source.openStream(specs, position);
        const fill = await stream.fill(batch, cut, never);
        const more = !batch.empty;
        restarted.apply(batch);
        position = after(fill);
        return more;
      };
      while (await restart());
      expect(restarted.rows).toBe(replica.rows);
      await expectEqual(restarted, 'resumed');

      // A range whose batch may have been loaded is read again to the byte, whatever the other limits say.
      const again = new Replica();
      await using stream = await source.openStream(specs, from);
      for (const fill of fills) {
        const until = { ...LIMIT, rowsMax: 1, ageMs: 0, idleMs: 0, until: fill.to };
        expect((await stream.fill(batch, until, never)).to).toEqual(fill.to);
        again.apply(batch);
      }
      expect(again.rows).toBe(replica.rows);
      await expectEqual(again, 'resumed');
    },
  );

  run('does not run past a recorded end that is no place in the log', async () => {
    await using source = await database('astray', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    await server.query("USE astray; INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b')");
    const until = { ...mysqlPosition(from), pos: mysqlPosition(from).pos + 5, gtids: '' };
    await using stream = await source.openStream(specs, from);
    await expect(stream.fill(new Batch(), { ...LIMIT, until }, never)).rejects.toMatchObject({
      code: 'POSITION_LOST',
    });
  });

  run(
    'waits for a batch to be old enough, and returns an empty one when there is nothing',
    async () => {
      await using source = await database('aged', T);
      const specs = await tables(source);
      await using stream = await source.openStream(specs, await source.latestPosition());
      const batch = new Batch();
      let startMs = performance.now();
      await stream.fill(batch, { ...LIMIT, idleMs: 150 }, never);
      expect(performance.now() - startMs).toBeGreaterThanOrEqual(149);
      expect(batch.empty).toBe(true);
      startMs = performance.now();
      const filling = stream.fill(batch, { ...LIMIT, ageMs: 300, idleMs: 10_000 }, never);
      await server.query("USE aged; INSERT INTO t VALUES (1, 'a')");
      await server.query("INSERT INTO t VALUES (2, 'b')");
      await filling;
      expect(performance.now() - startMs).toBeGreaterThanOrEqual(299);
      expect(batch.rows).toBe(2);
      const abort = new AbortController();
      setTimeout(() => abort.abort(new Error('paused')), 30);
      await expect(stream.fill(batch, { ...LIMIT, ageMs: 5_000 }, abort.signal)).rejects.toThrow(
        'paused',
      );
    },
  );

  run('begins at the oldest place of the log, and knows its GTIDs from then on', async () => {
    // The statement that makes the table is in this log too.
    await server.query(
      `CREATE DATABASE oldest; USE oldest; ${T}; INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (1, 1, 'b')`,
    );
    await using source = await openMysql(server, 'oldest');
    const specs = await tables(source);
    const from = mysqlPosition(await source.earliestPosition());
    expect([from.pos, from.gtids]).toEqual([4, '']);
    const replica = new Replica();
    await using stream = await source.openStream(specs, from);
    const fills = await follow(stream, replica);
    await expectEqual(replica, 'oldest');
    const latest = mysqlPosition(await source.latestPosition());
    const last = await stream.fill(new Batch(), LIMIT, never);
    expect(last.to).toMatchObject({ file: latest.file, pos: latest.pos, gtids: latest.gtids });

    const middle = { ...mysqlPosition(fills[0]!.to), gtids: '' };
    await using rest = await source.openStream(specs, middle);
    await follow(rest, new Replica());
  });

  run('hands over a TRUNCATE between two batches', async () => {
    await using source = await database('truncated', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    await server.query(
      "USE truncated; INSERT INTO t VALUES (1, 'a'); TRUNCATE TABLE other; TRUNCATE t; INSERT INTO t VALUES (2, 'b')",
    );
    const replica = new Replica();
    await using stream = await source.openStream(specs, from);
    const fills = await follow(stream, replica);
    expect(fills.filter((fill) => fill.barrier !== undefined)).toHaveLength(1);
    await expectEqual(replica, 'truncated');
    const barrier = fills.find((fill) => fill.barrier !== undefined)!;
    const rest = new Replica();
    await using afterwards = await source.openStream(specs, after(barrier));
    await follow(afterwards, rest);
    expect(rest.rows).toBe(1);
    await using again = await source.openStream(specs, barrier.to);
    const batch = new Batch();
    expect(await again.fill(batch, LIMIT, never)).toMatchObject({
      barrier: { kind: 'truncate' },
    });
    expect(batch.empty).toBe(true);
  });

  test.runIf(available(kind)).each([
    [
      'ALTER TABLE t ADD COLUMN c INT',
      'SOURCE_DDL',
      /^ALTER TABLE on table stopped\.t cannot be carried over: ALTER TABLE t ADD COLUMN c INT/,
    ],
    ['RENAME TABLE t TO _t_old, other TO t', 'SOURCE_DDL', /^RENAME TABLE on table stopped\.t/],
    ['DROP TABLE u', 'SOURCE_DDL', /^DROP TABLE on table stopped\.u/],
    ['DROP DATABASE stopped', 'SOURCE_DDL', /^DROP DATABASE on table stopped\./],
  ] as const)('stops in front of %s', async (sql, code, message) => {
    await using source = await database('stopped', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    await server.query(`USE stopped; INSERT INTO t VALUES (1, 'before'); ${sql}`);
    const replica = new Replica();
    await using stream = await source.openStream(specs, from);
    const batch = new Batch();
    await expect(follow(stream, replica)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
    // A dead stream stays dead.
    await expect(stream.fill(batch, LIMIT, never)).rejects.toMatchObject({ code });
  });

  run('stops at changes that a session logged as statements, or with columns missing', async () => {
    await using source = await database('sessions', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    await server.query(
      "USE sessions; SET SESSION binlog_format = STATEMENT; INSERT INTO other VALUES (1); SET SESSION binlog_format = ROW; INSERT INTO t VALUES (1, 'a')",
    );
    const replica = new Replica();
    await using stream = await source.openStream(specs, from);
    await follow(stream, replica);
    expect(replica.rows).toBe(1);
    await server.query(
      'SET SESSION binlog_row_image = MINIMAL; UPDATE t SET v = 7 WHERE id = 1; SET SESSION binlog_row_image = FULL',
    );
    expect(await failure(stream)).toMatchObject({
      code: 'UNDECODABLE',
      message: expect.stringContaining('binlog_row_image=FULL') as string,
    });
    const next = await source.latestPosition();
    await server.query(
      "SET SESSION binlog_format = STATEMENT; UPDATE t SET v = 'x' WHERE id = 1; SET SESSION binlog_format = ROW",
    );
    await using second = await source.openStream(specs, next);
    expect(await failure(second)).toMatchObject({
      code: 'UNDECODABLE',
      message: expect.stringContaining(
        'a change of table sessions.t was logged as a statement',
      ) as string,
    });
  });

  run('decodes XA transactions that commit in one phase or touch other tables only', async () => {
    await using source = await database('xa', T);
    const specs = await tables(source);
    const replica = new Replica();
    await using stream = await source.openStream(specs, await source.latestPosition());
    await server.query(
      "USE xa; XA START 'one'; INSERT INTO t VALUES (1, 'a'); XA END 'one'; XA COMMIT 'one' ONE PHASE",
    );
    await server.query(
      "XA START 'two'; INSERT INTO other VALUES (1); XA END 'two'; XA PREPARE 'two'; XA COMMIT 'two'; INSERT INTO t VALUES (2, 'b')",
    );
    await follow(stream, replica);
    await expectEqual(replica, 'xa');
  });
});
