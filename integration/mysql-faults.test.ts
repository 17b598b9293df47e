import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { MysqlPosition, Position } from '../src/model/offset.ts';
import type { Source } from '../src/source/source.ts';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { newDatabase, openMysql } from './support/mysql-job.ts';
import { follow, Replica } from './support/replica.ts';
import {
  expectTwoTables,
  failure,
  TWO_TABLES as T,
  twoTables as tables,
} from './support/two-tables.ts';

const START = { mysql: startMysql, mariadb: startMariadb } as const;

describe.each(['mysql', 'mariadb'] as const)('the stream of a %s source in trouble', (kind) => {
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

  run(
    'loses nothing between a safe position and a SELECT after it, however busy the server',
    async () => {
      await using source = await database('busy', T);
      const specs = await tables(source);
      const writers = await Promise.all(
        [1, 2, 3, 4].map(() => server.connect({ database: 'busy' })),
      );
      const stop = new AbortController();
      let id = 0;
      const write = async (writer: Connection): Promise<void> => {
        while (!stop.signal.aborted) await writer.query(`INSERT INTO t VALUES (${++id}, 'x')`);
      };
      const writing = writers.map(write);
      const rounds: { readonly safe: Position; readonly seen: ReadonlySet<number> }[] = [];
      for (let round = 0; round < 15; round++) {
        const safe = await source.safePosition();
        const rows = await server.query<{ id: number }>('SELECT id FROM busy.t');
        rounds.push({ safe, seen: new Set(rows.map((row) => row.id)) });
      }
      stop.abort();
      await Promise.all(writing);
      for (const writer of writers) writer.destroy();
      const all = await server.query<{ id: number }>('SELECT id FROM busy.t');
      for (const { safe, seen } of rounds) {
        const replica = new Replica();
        await using stream = await source.openStream(specs, safe);
        await follow(stream, replica);
        const streamed = new Set(replica.sorted('busy.t').map((row) => Number(JSON.parse(row)[0])));
        const lost = all.filter((row) => !seen.has(row.id) && !streamed.has(row.id));
        expect(lost).toEqual([]);
      }
    },
  );

  run('follows a log whose settings change while it is read', async () => {
    const settings = {
      mysql: [
        'binlog_checksum = NONE',
        'binlog_row_metadata = FULL',
        'binlog_rows_query_log_events = ON',
        'binlog_transaction_compression = ON',
        'binlog_checksum = CRC32',
      ],
      mariadb: [
        'binlog_checksum = NONE',
        'binlog_row_metadata = FULL',
        'log_bin_compress_min_len = 10',
        'log_bin_compress = ON',
        'binlog_checksum = CRC32',
      ],
    } as const;
    await using source = await database('settings', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    const replica = new Replica();
    await using stream = await source.openStream(specs, from);
    for (const [i, setting] of settings[kind].entries()) {
      await server.query(`SET GLOBAL ${setting}`);
      // A new session has the new values.
      const writer = await server.connect({ database: 'settings' });
      await writer.query(
        `INSERT INTO t VALUES (${i}, '${'long '.repeat(8)}'), (${100 + i}, 'b'); UPDATE t SET v = 'c' WHERE id = ${i}; INSERT INTO u VALUES (${i}, 1, 'x')`,
      );
      writer.destroy();
      await follow(stream, replica);
      await expectEqual(replica, 'settings');
    }
    const again = new Replica();
    await using second = await source.openStream(specs, from);
    await follow(second, again);
    await expectEqual(again, 'settings');
    await server.query(
      kind === 'mysql'
        ? 'SET GLOBAL binlog_row_metadata = MINIMAL, GLOBAL binlog_rows_query_log_events = OFF, GLOBAL binlog_transaction_compression = OFF'
        : 'SET GLOBAL binlog_row_metadata = NO_LOG, GLOBAL log_bin_compress = OFF',
    );
  });

  run('goes on after the server was killed and started again', async () => {
    await using source = await database('crashed', T);
    const specs = await tables(source);
    const replica = new Replica();
    const from = await source.latestPosition();
    let position = from;
    {
      await using stream = await source.openStream(specs, from);
      await server.query(
        "USE crashed; INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (1, 1, 'u')",
      );
      position = (await follow(stream, replica)).at(-1)!.to;
      await server.kill();
      expect(await failure(stream)).toMatchObject({ code: 'SOURCE_UNREACHABLE' });
    }
    await expect(source.openStream(specs, position)).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
    });
    await server.start();
    await server.query(
      "USE crashed; INSERT INTO u VALUES (2, 2, 'u'); INSERT INTO t VALUES (2, 'b')",
    );
    await using again = await openMysql(server, 'crashed');
    await using stream = await again.openStream(specs, position);
    await follow(stream, replica);
    await expectEqual(replica, 'crashed');
  });

  run(
    'ends with a named error when its dump thread is killed, and another one goes on',
    async () => {
      await using source = await database('killed', T);
      const specs = await tables(source);
      const replica = new Replica();
      let position = await source.latestPosition();
      {
        await using stream = await source.openStream(specs, position);
        await server.query("USE killed; INSERT INTO t VALUES (1, 'a')");
        const fills = await follow(stream, replica);
        position = fills.at(-1)!.to;
        const dumps = await server.query<{ Id: string }>(
          `SELECT ID AS Id FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'`,
        );
        for (const { Id } of dumps) await server.query(`KILL ${Id}`);
        await server.query("INSERT INTO t VALUES (2, 'b')");
        expect(await failure(stream)).toMatchObject({ code: 'SOURCE_UNREACHABLE' });
      }
      await using next = await source.openStream(specs, position);
      await follow(next, replica);
      await expectEqual(replica, 'killed');
    },
  );

  run('says that its place is gone when the log was purged', async () => {
    await using source = await database('purged', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    await server.query(
      "USE purged; INSERT INTO t VALUES (1, 'a'); FLUSH BINARY LOGS; INSERT INTO t VALUES (2, 'a'); FLUSH BINARY LOGS",
    );
    const [current] = await server
      .query<{ Log_name: string }>('SHOW BINARY LOGS')
      .then((logs) => logs.slice(-1));
    // MariaDB keeps a file until it has noted that crash recovery does not need it.
    await vi.waitFor(async () => {
      await server.query(`PURGE BINARY LOGS TO '${current!.Log_name}'`);
      expect(await server.query('SHOW BINARY LOGS')).toHaveLength(1);
    });
    await expect(source.openStream(specs, from)).rejects.toMatchObject({ code: 'POSITION_LOST' });
    expect(await source.lagBytes(from)).toBe(-1);
  });
});

/** Without GTIDs a file and an offset are all there is. */
test.runIf(available('mysql'))(
  'a log with the same names and offsets is not taken for the old one, nor that of another server_uuid',
  async () => {
    await using server = await startMysql(['--gtid-mode=OFF']);
    await using source = await newDatabase(server, 'anew', T);
    const specs = await tables(source);
    const from = await source.latestPosition();
    let fileSec: number | undefined;
    {
      await using stream = await source.openStream(specs, from);
      await server.query(`INSERT INTO t VALUES (1, 'a')`);
      const { to } = (await follow(stream, new Replica())).at(-1)!;
      fileSec = (to as MysqlPosition).fileSec;
    }
    expect(fileSec).toBeGreaterThan(0);
    await delay(1_100);
    await server.query('RESET BINARY LOGS AND GTIDS');
    const position = (await source.latestPosition()) as MysqlPosition;
    expect(position.file).toBe((from as MysqlPosition).file);
    await server.query(`INSERT INTO t VALUES (2, 'a')`);
    {
      // As a user may give it: a place like any other.
      await using stream = await source.openStream(specs, position);
      await follow(stream, new Replica());
    }
    {
      await using stream = await source.openStream(specs, { ...position, fileSec: fileSec! });
      expect(await failure(stream)).toMatchObject({
        code: 'POSITION_LOST',
        message: expect.stringMatching(/begun its log anew: .*Drop the job/) as string,
      });
    }
    await server.kill();
    rmSync(join(server.dataDir!, 'auto.cnf'));
    await server.start();
    await using again = await openMysql(server, 'anew');
    await expect(again.openStream(specs, position)).rejects.toMatchObject({
      code: 'POSITION_LOST',
      message: expect.stringMatching(/belongs to server .*Drop the job/) as string,
    });
  },
);
