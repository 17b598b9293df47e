import { describe, expect, test, vi } from 'vitest';
import { available, type MysqlServer, type ServerKind } from './servers.ts';
import type { Place } from './support/end-to-end.ts';
import { createMysqlJob, createPostgresJob, jobRow, taskRows, waitForJob } from './support/jobs.ts';
import { T, Worlds } from './support/worlds.ts';

const isStatus = (status: string) => (row: Readonly<Record<string, string>>) =>
  row['Status'] === status;

const KINDS: readonly ServerKind[] = ['mysql', 'mariadb', 'postgres18'];

describe.each(KINDS.filter((kind) => available(kind)))('job statements over %s', (kind) => {
  const world = new Worlds(kind);
  const isPostgres = kind === 'postgres18';
  const statement = (place: Place, name: string, tables: string): string => {
    const wish = { name, tables, database: place.database, target: place.target };
    return isPostgres ? createPostgresJob(world.postgres, wish) : createMysqlJob(world.mysql, wish);
  };

  test('offset snapshot: the job is finished when the tables are copied', async () => {
    const place = await world.place(T);
    await place.createJob('copied', 't', { offset: 'snapshot', snapshot_split_size: '1' });
    const row = await waitForJob(world.it.client, 'copied', isStatus('FINISHED'));
    await place.same('t');
    expect(JSON.parse(row['CurrentOffset'] ?? '')).toMatchObject([
      { tableId: `${place.database}.t`, splitKey: ['id'], highWatermark: {} },
      { splitId: `${place.database}.t:1`, splitStart: [2] },
    ]);
    const tasks = await taskRows(world.it.client, row['Id'] ?? '');
    expect(tasks[0]?.['RunningOffset']).toContain('"highWatermark":{');
    if (isPostgres) {
      expect(await world.postgres.query('SELECT slot_name FROM pg_replication_slots')).toEqual([]);
      expect(await world.postgres.query('SELECT pubname FROM pg_publication')).toEqual([]);
    }
    await place.sql("INSERT INTO t VALUES (3, 'later')");
    for (const [verb, to] of [
      ['PAUSE', 'PAUSED'],
      ['RESUME', 'PENDING'],
    ]) {
      await expect(world.run(`${verb} JOB WHERE jobName = 'copied'`)).rejects.toThrow(
        `Can't update job FINISHED status to the ${to} status`,
      );
    }
    expect(await world.ids(place)).toEqual([1, 2]);
    await world.run("DROP JOB WHERE jobName = 'copied'");
    expect(await jobRow(world.it.client, 'copied')).toBeUndefined();
  });

  test('tables are named by patterns, and the list that was found is shown', async () => {
    const tables = ['order_1', 'order_2', 'orders', 'users', 'user_x'];
    const place = await world.place(
      tables.map((name) => `CREATE TABLE ${name} (id INT PRIMARY KEY)`).join('; '),
    );
    await place.createJob('some', 'order_*,users', { offset: 'latest' });
    expect(await world.tables(place)).toEqual(['order_1', 'order_2', 'users']);
    expect((await jobRow(world.it.client, 'some'))?.['ExecuteSql']).toContain(
      "'include_tables'='order_1,order_2,users'",
    );
    await world.run("DROP JOB WHERE jobName = 'some'");
    // Without include_tables: all but those that are excluded.
    const others = await world.place(
      tables.map((name) => `CREATE TABLE ${name} (id INT PRIMARY KEY)`).join('; '),
    );
    await others.createJob('others', '*', { exclude_tables: 'x', offset: 'latest' });
    expect(await world.tables(others)).toHaveLength(5);
  });

  test('every property of a table and of the copy does what it says', async () => {
    const place = await world.place(
      `${T}; CREATE TABLE u (id INT PRIMARY KEY, kept VARCHAR(9), secret VARCHAR(9));
       INSERT INTO u VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z')`,
    );
    await place.createJob('tuned', 't,u', {
      'table.t.target_table': ' renamed ',
      'table.u.exclude_columns': 'secret',
      snapshot_split_size: '2',
      snapshot_parallelism: '3',
      skip_snapshot_backfill: 'TRUE',
      ssl_mode: 'disable',
      ...(isPostgres ? {} : { server_id: ' 5400 - 5408 ' }),
    });
    await vi.waitFor(async () => expect(await world.ids(place, 'u')).toEqual([1, 2, 3]), 20_000);
    await vi.waitFor(async () => expect(await world.ids(place, 'renamed')).toEqual([1, 2]), 20_000);
    await place.sql("INSERT INTO t VALUES (3, 'more'); UPDATE u SET secret = 'q' WHERE id = 3");
    await vi.waitFor(
      async () => expect(await world.ids(place, 'renamed')).toEqual([1, 2, 3]),
      20_000,
    );
    const columns = await world.rows(`SHOW COLUMNS FROM ${place.target}.u`);
    expect(columns.map(({ Field: name }) => name)).toEqual(['id', 'kept']);
  });

  test('a CREATE that fails at the last step leaves nothing behind', async () => {
    const place = await world.place(T);
    // Refused by Doris when the table is made: slot and publication are there by then.
    const wrong = statement(place, 'broken', 't').replace(
      '"table.create.properties.replication_num" = "1"',
      '"table.create.properties.replication_num" = "none"',
    );
    await expect(world.run(wrong)).rejects.toThrow(/errCode = 2, detailMessage = /);
    expect(await world.rows('select Name from jobs("type"="insert")')).toEqual([]);
    expect(await world.tables(place)).toEqual([]);
    if (isPostgres) {
      expect(await world.postgres.query('SELECT slot_name FROM pg_replication_slots')).toEqual([]);
      expect(await world.postgres.query('SELECT pubname FROM pg_publication')).toEqual([]);
    }
  });
});

/** As the value of a property in double quotes. */
const json = (value: unknown): string => JSON.stringify(value).replaceAll('"', String.raw`\"`);

/** Where the log ends. */
async function endOfLog(
  server: MysqlServer,
): Promise<{ file: string; pos: string; gtids: string }> {
  const status = server.kind === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS';
  const [row] = await server.query(status);
  const gtids = server.kind === 'mysql' ? '@@GLOBAL.gtid_executed' : '@@GLOBAL.gtid_binlog_pos';
  const [set] = await server.query<{ gtids: string }>(`SELECT ${gtids} AS gtids`);
  return { file: String(row?.['File']), pos: String(row?.['Position']), gtids: set?.gtids ?? '' };
}

describe.each((['mysql', 'mariadb'] as const).filter((kind) => available(kind)))(
  'places in the log of %s',
  (kind) => {
    const world = new Worlds(kind);

    test('offset earliest reads what the log still has', async () => {
      const place = await world.place('CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))');
      await world.mysql.query('FLUSH BINARY LOGS');
      const { file } = await endOfLog(world.mysql);
      await world.mysql.query(`PURGE BINARY LOGS TO '${file}'`);
      await place.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two'); DELETE FROM t WHERE id = 1");
      await place.sql("UPDATE t SET v = 'changed' WHERE id = 2; INSERT INTO t VALUES (3, 'three')");
      await place.createJob('early', 't', { offset: 'earliest' });
      await place.same('t');
      await place.sql("INSERT INTO t VALUES (4, 'four')");
      await place.same('t');
    });

    test.each(['file and position', 'GTIDs'])('offset as JSON: %s', async (by) => {
      const place = await world.place(T);
      const { gtids, ...filePosition } = await endOfLog(world.mysql);
      await place.sql("INSERT INTO t VALUES (3, 'three')");
      const offset = json(by === 'GTIDs' ? { gtids } : filePosition);
      await place.createJob('from_there', 't', { offset });
      await vi.waitFor(async () => expect(await world.ids(place)).toEqual([3]), 20_000);
      await place.sql("INSERT INTO t VALUES (4, 'four')");
      await vi.waitFor(async () => expect(await world.ids(place)).toEqual([3, 4]), 20_000);
    });

    test('a place that the log does not have is refused, and nothing is left', async () => {
      const place = await world.place(T);
      await expect(
        place.createJob('nowhere', 't', { offset: json({ file: 'no-such.000001', pos: '4' }) }),
      ).rejects.toThrow('Failed to init source reader, error: ');
      expect(await world.tables(place)).toEqual([]);
      expect(await jobRow(world.it.client, 'nowhere')).toBeUndefined();
    });

    test('ALTER JOB moves the place', async () => {
      const place = await world.place(T);
      await place.createJob('moved', 't');
      await place.same('t');
      await world.run("PAUSE JOB WHERE jobName = 'moved'");
      await place.sql("INSERT INTO t VALUES (3, 'passed over')");
      const { file, pos } = await endOfLog(world.mysql);
      await place.sql("INSERT INTO t VALUES (4, 'four')");
      const offset = JSON.stringify({ file, pos });
      await expect(world.run(`ALTER JOB moved PROPERTIES('offset' = 'latest')`)).rejects.toThrow(
        'ALTER JOB for CDC only supports JSON specific offset',
      );
      await world.run(`ALTER JOB moved PROPERTIES('offset' = '${offset}')`);
      expect(JSON.parse((await jobRow(world.it.client, 'moved'))?.['CurrentOffset'] ?? '')).toEqual(
        expect.objectContaining({ file, pos, splitId: 'binlog-split' }),
      );
      await world.run("RESUME JOB WHERE jobName = 'moved'");
      await vi.waitFor(async () => expect(await world.ids(place)).toEqual([1, 2, 4]), 20_000);
    });
  },
);

describe.runIf(available('postgres18'))('places in the log of Postgres', () => {
  const world = new Worlds('postgres18');
  const numberOf = "(pg_current_wal_lsn() - '0/0'::pg_lsn)::text";

  test('there is no earliest place, and a new slot has nothing from before', async () => {
    const place = await world.place(T);
    await expect(place.createJob('early', 't', { offset: 'earliest' })).rejects.toThrow(
      "Invalid value for key 'offset': earliest",
    );
    const [before] = await world.postgres.query<{ lsn: string }>(`SELECT ${numberOf} AS lsn`);
    await place.sql("INSERT INTO t VALUES (3, 'three')");
    await expect(
      place.createJob('early', 't', { offset: json({ lsn: before?.lsn }) }),
    ).rejects.toThrow('Failed to init source reader, error: ');
    expect(await world.postgres.query('SELECT slot_name FROM pg_replication_slots')).toEqual([]);
    expect(await world.postgres.query('SELECT pubname FROM pg_publication')).toEqual([]);
    expect(await world.tables(place)).toEqual([]);
    expect(await jobRow(world.it.client, 'early')).toBeUndefined();
  });

  test("offset as JSON with the user's own slot and publication, which stay", async () => {
    const place = await world.place(T);
    await place.sql('CREATE PUBLICATION mine FOR TABLE t');
    const [slot] = await world.postgres.query<{ lsn: string }>(
      `SELECT (lsn - '0/0'::pg_lsn)::text AS lsn FROM pg_create_logical_replication_slot('my_slot', 'pgoutput')`,
    );
    await place.sql("INSERT INTO t VALUES (3, 'three')");
    await place.createJob('own', 't', {
      offset: json({ lsn: slot?.lsn }),
      slot_name: 'my_slot',
      publication_name: 'mine',
    });
    await vi.waitFor(async () => expect(await world.ids(place)).toEqual([3]), 20_000);
    expect((await jobRow(world.it.client, 'own'))?.['ExecuteSql']).toContain(
      "'slot_name'='my_slot'",
    );
    // Moved behind what is written while it is paused.
    await world.run("PAUSE JOB WHERE jobName = 'own'");
    await place.sql("INSERT INTO t VALUES (4, 'passed over')");
    const [now] = await world.postgres.query<{ lsn: string }>(`SELECT ${numberOf} AS lsn`);
    await place.sql("INSERT INTO t VALUES (5, 'five')");
    await world.run(`ALTER JOB own PROPERTIES('offset' = '{"lsn":"${now?.lsn}"}')`);
    await world.run("RESUME JOB WHERE jobName = 'own'");
    await vi.waitFor(async () => expect(await world.ids(place)).toEqual([3, 5]), 20_000);
    await world.run("DROP JOB WHERE jobName = 'own'");
    expect(await world.postgres.query('SELECT slot_name FROM pg_replication_slots')).toEqual([
      { slot_name: 'my_slot' },
    ]);
    expect(await world.postgres.query('SELECT pubname FROM pg_publication')).toEqual([
      { pubname: 'mine' },
    ]);
    await world.postgres.query("SELECT pg_drop_replication_slot('my_slot')");
  });
});
