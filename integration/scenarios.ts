import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, type ServerKind } from './servers.ts';
import { EndToEnd, type Place } from './support/end-to-end.ts';
import { jobRow, taskRows, waitForJob } from './support/jobs.ts';
import {
  type Execute,
  RandomWriter,
  WRITER_TABLES,
  writerConnection,
} from './support/random-writer.ts';

const WRITTEN = Object.keys(WRITER_TABLES).join(',');

/**
 * What every source must pass, end to end: a real server, the proxy as a process, a client of the proxy, and
 * one fact, the same rows on both sides.
 */
export function scenarios(kind: ServerKind): void {
  describe.runIf(available(kind))(`${kind} to Doris`, () => {
    let world: EndToEnd;
    beforeAll(async () => {
      world = await EndToEnd.open(kind);
    });
    afterAll(async () => {
      await world?.[Symbol.asyncDispose]();
    });

    /** A writer's tables in `place`, and its connection. */
    async function openWriter(
      place: Place,
      seed: number,
      largeRows?: number,
    ): Promise<{ write: (count: number) => Promise<void>; execute: Execute } & AsyncDisposable> {
      const dialect = world.source.kind === 'postgres' ? 'postgres' : 'mysql';
      const writer = new RandomWriter(seed, dialect, largeRows);
      const connection = await writerConnection(world.source, place.database);
      for (const statement of writer.schema()) await connection.execute(statement);
      return {
        write: (count) => writer.write(count, connection.execute),
        execute: connection.execute,
        [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
      };
    }

    test('the job of the manual copies its tables whole and then follows them', async () => {
      const place = await world.place('manual');
      await place.sql(
        `CREATE TABLE user_info (id INT PRIMARY KEY, name VARCHAR(50), age INT);
         CREATE TABLE order_info (id BIGINT PRIMARY KEY, user_id INT, amount DECIMAL(10,2), note VARCHAR(100));
         CREATE TABLE not_wanted (id INT PRIMARY KEY);
         INSERT INTO user_info VALUES (1, 'Alice', 30), (2, 'Bob', NULL), (3, 'it''s', 7);
         INSERT INTO order_info VALUES (100, 1, 9.99, 'first'), (101, 2, -0.01, '')`,
      );
      await place.createJob('multi_table_sync', 'user_info,order_info');
      await place.same('user_info');
      await place.same('order_info');
      await place.sql(
        `BEGIN; INSERT INTO user_info VALUES (4, 'Dora', 41); UPDATE user_info SET age = 31 WHERE id = 1;
         DELETE FROM user_info WHERE id = 2; UPDATE order_info SET id = 102 WHERE id = 101;
         COMMIT; INSERT INTO not_wanted VALUES (1)`,
      );
      await place.same('user_info');
      await place.same('order_info');
      const [tables] = await world.client.query(`SHOW TABLES FROM ${place.target}`);
      expect(tables).toHaveLength(2);

      const job = await waitForJob(
        world.client,
        'multi_table_sync',
        (row) =>
          row['Status'] === 'RUNNING' && row['CurrentOffset']?.includes('binlog-split') === true,
      );
      expect(job).toMatchObject({
        ExecuteType: 'STREAMING',
        Definer: 'root',
        FailedTaskCount: '0',
      });
      expect(JSON.parse(job['CurrentOffset'] ?? '')).toMatchObject({ splitId: 'binlog-split' });
      const { scannedRows } = JSON.parse(job['LoadStatistic'] ?? '') as { scannedRows: number };
      expect(scannedRows).toBeGreaterThanOrEqual(9);
      const tasks = await taskRows(world.client, job['Id'] ?? '');
      expect(tasks.filter((task) => task['Status'] === 'SUCCESS').length).toBeGreaterThan(0);
      await place.dropJob('multi_table_sync');
    });

    test('offset latest leaves old rows out and follows new ones', async () => {
      const place = await world.place('latest');
      await place.sql(
        `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(10)); INSERT INTO t VALUES (1, 'old'), (2, 'old')`,
      );
      await place.createJob('from_latest', 't', { offset: 'latest' });
      await place.sql(`INSERT INTO t VALUES (3, 'new'); UPDATE t SET v = 'changed' WHERE id = 1`);
      await place.same('t', { where: 'id <> 2' });
      await place.dropJob('from_latest');
    });

    test('writes before, during and after a copy in many splits end up equal', async () => {
      const place = await world.place('random');
      await using writer = await openWriter(place, 42);
      await writer.write(150);
      const during = writer.write(300);
      await place.createJob('random_writes', WRITTEN, {
        snapshot_split_size: '40',
        snapshot_parallelism: '2',
      });
      await during;
      await writer.write(200);
      await place.sameWritten();
      expect(await jobRow(world.client, 'random_writes')).toMatchObject({ FailedTaskCount: '0' });
      await place.dropJob('random_writes');
    });

    test('a transaction larger than a batch arrives whole', async () => {
      const place = await world.place('large');
      await place.sql(
        `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200)); INSERT INTO t VALUES (0, 'first')`,
      );
      await place.createJob('large', 't');
      await place.same('t');
      const blocks = Array.from({ length: 120 }, (_, block) => {
        const rows = Array.from(
          { length: 500 },
          (__, i) => `(${block * 500 + i + 1}, REPEAT('x', 100))`,
        );
        return `INSERT INTO t VALUES ${rows.join()}`;
      });
      await place.sql(
        `BEGIN; ${blocks.join(';')}; UPDATE t SET v = 'last' WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0; COMMIT`,
      );
      await place.same('t', { timeoutMs: 60_000 });
      await place.dropJob('large');
    });

    test('kill -9 of the proxy in the middle of writes loses nothing, and the job goes on by itself', async () => {
      const place = await world.place('crash');
      await using writer = await openWriter(place, 7, 1000);
      await writer.write(150);
      await place.createJob('crash', WRITTEN, { snapshot_split_size: '30' });
      for (let crash = 0; crash < 4; crash++) {
        // The first kill meets the copy, the others the stream, each at another moment of its load.
        const writing = writer.write(60 + crash * 25);
        await new Promise((resolve) => setTimeout(resolve, 20 + 170 * crash));
        await world.proxy.kill();
        await writing;
        await world.proxy.start();
      }
      await world.reconnect();
      await place.sameWritten();
      const job = await waitForJob(world.client, 'crash', (row) => row['Status'] === 'RUNNING');
      expect(job['ErrorMsg']).toBe('\\N');
      await place.dropJob('crash');
      expect(await jobRow(world.client, 'crash')).toBeUndefined();
    });

    test('a Doris that is killed and comes back is loaded again', async ({ skip }) => {
      skip(!world.doris.isOurs, 'a given Doris is not ours to kill');
      const place = await world.place('outage');
      await using writer = await openWriter(place, 11, 1000);
      await writer.write(50);
      await place.createJob('outage', WRITTEN);
      await place.sameWritten();
      for (let outage = 0; outage < 2; outage++) {
        const writing = writer.write(150);
        await new Promise((resolve) => setTimeout(resolve, 120 * outage));
        await world.doris.kill();
        await writing;
        await world.doris.start();
      }
      await world.reconnect();
      await place.sameWritten(90_000);
      await place.dropJob('outage');
    });

    test('a source that restarts is followed again', async ({ skip }) => {
      skip(world.source.dataDir === undefined, 'a given server is not ours to restart');
      const place = await world.place('restart');
      await place.sql('CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)');
      await place.createJob('restart', 't');
      await place.same('t');
      await world.source.restart();
      await place.sql('INSERT INTO t VALUES (2, 2); UPDATE t SET v = 3 WHERE id = 1');
      await world.source.kill();
      await world.source.start();
      await place.sql('INSERT INTO t VALUES (3, 3)');
      await place.same('t', { timeoutMs: 90_000 });
      await place.dropJob('restart');
    });

    test('TRUNCATE empties the copy too', async () => {
      const place = await world.place('truncate');
      await place.sql(
        'CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2)',
      );
      await place.createJob('truncate', 't');
      await place.same('t');
      await place.sql('INSERT INTO t VALUES (3, 3); TRUNCATE TABLE t; INSERT INTO t VALUES (4, 4)');
      await place.same('t');
      await place.sql('TRUNCATE TABLE t');
      await place.same('t');
      await place.dropJob('truncate');
    });

    test('DDL that is not followed pauses the job, names the table, and loads nothing past it', async () => {
      const place = await world.place('ddl');
      await place.sql('CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)');
      await place.createJob('ddl', 't');
      await place.same('t');
      await place.sql(
        `INSERT INTO t VALUES (2, 2); ALTER TABLE t ADD COLUMN w VARCHAR(10); INSERT INTO t VALUES (3, 3, 'w')`,
      );
      const job = await waitForJob(world.client, 'ddl', (row) => row['Status'] === 'PAUSED');
      expect(job['ErrorMsg']).toMatch(/src_ddl\.t\b.*\bw\b/);
      await place.same('t', { columns: 'id, v', where: 'id < 3' });
      await place.dropJob('ddl');
    });

    test('several jobs run beside each other, and one that fails does not disturb the others', async () => {
      const place = await world.place('many');
      const names = Array.from({ length: 6 }, (_, i) => `t${i}`);
      await place.sql(
        names
          .map(
            (name) =>
              `CREATE TABLE ${name} (id INT PRIMARY KEY, v INT); INSERT INTO ${name} VALUES (1, 1)`,
          )
          .join(';'),
      );
      for (const name of names) await place.createJob(`many_${name}`, name);
      await world.client.query(`DROP TABLE ${place.target}.t0`);
      for (let round = 2; round < 30; round++) {
        await place.sql(
          names
            .map(
              (name) =>
                `INSERT INTO ${name} VALUES (${round}, ${round}); UPDATE ${name} SET v = v + 1 WHERE id = 1`,
            )
            .join(';'),
        );
      }
      for (const name of names.slice(1)) await place.same(name);
      const failed = await waitForJob(world.client, 'many_t0', (row) => row['ErrorMsg'] !== '\\N');
      expect(failed['ErrorMsg']).toMatch(/t0/);
      for (const name of names) await place.dropJob(`many_${name}`);
    });
  });
}
