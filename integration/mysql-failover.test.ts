import { describe, expect, test, vi } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import type { MysqlPosition } from '../src/model/offset.ts';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { ALL, newDatabase, openMysql } from './support/mysql-job.ts';
import { after, follow, LIMIT, never, Replica, sourceRows } from './support/replica.ts';

const KINDS = {
  mysql: {
    start: (id: number) =>
      startMysql(['--gtid-mode=ON', '--enforce-gtid-consistency=ON', `--server-id=${id}`]),
    follow: (login: string) =>
      `CHANGE REPLICATION SOURCE TO ${login.replaceAll('MASTER', 'SOURCE')}, SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA`,
  },
  mariadb: {
    start: (id: number) => startMariadb(['--log-slave-updates', `--server-id=${id}`]),
    follow: (login: string) =>
      `CHANGE MASTER TO ${login}, MASTER_USE_GTID = slave_pos; START SLAVE`,
  },
} as const;

/** Makes `copy` a replica of `server`. */
async function replicate(
  kind: keyof typeof KINDS,
  server: MysqlServer,
  copy: MysqlServer,
): Promise<void> {
  const login =
    `MASTER_HOST = '${server.host}', MASTER_PORT = ${server.port}, ` +
    `MASTER_USER = '${server.user}', MASTER_PASSWORD = '${server.password}'`;
  await copy.query(KINDS[kind].follow(login));
}

describe.each(['mysql', 'mariadb'] as const)('a %s job whose server was replaced', (kind) => {
  test.runIf(available(kind))(
    'goes on at a replica by GTIDs, also from the middle of a transaction',
    async () => {
      await using server = await KINDS[kind].start(1);
      await using copy = await KINDS[kind].start(2);
      await using source = await newDatabase(
        server,
        'moved',
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200)); INSERT INTO t VALUES (1, 'a'); FLUSH BINARY LOGS",
      );
      await replicate(kind, server, copy);
      const specs = await source.preflight(ALL);
      const from = await source.safePosition();
      await server.query(`INSERT INTO t VALUES (2, 'b');
        INSERT INTO t SELECT id + 100, REPEAT('z', 200) FROM (
          WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 300) SELECT * FROM n) x;
        UPDATE t SET v = 'c' WHERE id = 2`);
      const replica = new Replica();
      const batch = new Batch();
      let position = from as MysqlPosition;
      {
        await using stream = await source.openStream(specs, from);
        while (position.event < 3) {
          const fill = await stream.fill(batch, { ...LIMIT, rowsMax: 1 }, never);
          replica.apply(batch);
          position = after(fill) as MysqlPosition;
        }
      }
      expect(position.gtids).not.toBe('');
      await vi.waitFor(
        async () =>
          expect(await sourceRows(copy, 'moved.t')).toEqual(await sourceRows(server, 'moved.t')),
        { timeout: 30_000, interval: 100 },
      );
      await server.kill();
      await using promoted = await openMysql(copy, 'moved');
      await using stream = await promoted.openStream(specs, position);
      await follow(stream, replica);
      await copy.query('DELETE FROM moved.t WHERE id = 1');
      await follow(stream, replica);
      // The row from before the job's position was never in the log that it read.
      const expected = await sourceRows(copy, 'moved.t');
      expect(replica.sorted('moved.t')).toEqual(expected);
      expect(expected).toHaveLength(301);
    },
  );
});
