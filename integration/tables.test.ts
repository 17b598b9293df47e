import { describe, expect, test, vi } from 'vitest';
import { available, startMysql } from './servers.ts';
import { jobRow, waitForJob } from './support/jobs.ts';
import { ALL, newDatabase } from './support/mysql-job.ts';
import { typeCases } from './support/mysql-type-cases.ts';
import { EDGES } from './support/type-cases-postgres.ts';
import { Worlds } from './support/worlds.ts';

/** A child whose rows the parent's foreign key changes. */
const FAMILY = `
  CREATE TABLE parent (id INT PRIMARY KEY);
  CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT dies FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE);
  CREATE TABLE orphan (id INT PRIMARY KEY, p INT, CONSTRAINT stays FOREIGN KEY (p) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE);
  CREATE TABLE plain (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id));
  INSERT INTO parent VALUES (1), (2), (3);
  INSERT INTO child VALUES (10, 1), (11, 1), (12, 2);
  INSERT INTO orphan VALUES (20, 1), (21, 2), (22, 3);
  INSERT INTO plain VALUES (30, 3)`;

/** One wall clock in two zones, as on the night when summer time ends. */
const wallClockTwice = (id: number): string =>
  `SET time_zone = '+02:00'; INSERT INTO t VALUES (${id}, '2024-10-27 02:30:00', '2024-10-27 02:30:00');
   SET time_zone = '+01:00'; INSERT INTO t VALUES (${id + 1}, '2024-10-27 02:30:00.5', '2024-10-27 02:30:00')`;

/** Two moments that clocks in New York show alike. */
const oneClockTwice = (id: number): string =>
  ['05', '06']
    .map((hour, i) => `(${id + i}, '2024-11-03 ${hour}:30:00.5Z', '[2024-11-03 ${hour}:30:00Z,)')`)
    .join();

describe.runIf(available('mariadb'))('tables of MariaDB', () => {
  const world = new Worlds('mariadb');

  test('whose rows change by foreign keys without a trace in the log are refused, all in one error', async () => {
    const place = await world.place(FAMILY);
    await expect(place.createJob('family', 'parent,child,orphan,plain')).rejects.toThrow(
      'foreign key dies of table child changes its rows with those of parent (ON DELETE CASCADE), and MariaDB does not log ' +
        'such changes: exclude the table, or give the key the rule RESTRICT; ' +
        'foreign key stays of table orphan changes its rows with those of parent (ON DELETE SET NULL, ON UPDATE CASCADE), ' +
        'and MariaDB does not log such changes: exclude the table, or give the key the rule RESTRICT',
    );
    await place.createJob('family', 'parent,plain');
    await place.same('plain');
  });

  test('which get such a foreign key while they are followed pause the job, before a row is wrong', async () => {
    const place = await world.place(
      `CREATE TABLE parent (id INT PRIMARY KEY); INSERT INTO parent VALUES (1);
       CREATE TABLE t (id INT PRIMARY KEY, p INT); INSERT INTO t VALUES (1, 1)`,
    );
    await place.createJob('late', 'parent,t');
    await place.same('t');
    await place.sql(
      `ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES parent (id) ON DELETE RESTRICT;
       INSERT INTO t VALUES (2, 1)`,
    );
    await place.same('t');
    await place.sql(
      `ALTER TABLE t DROP FOREIGN KEY f, ADD CONSTRAINT g FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE;
       DELETE FROM parent`,
    );
    const job = await waitForJob(world.it.client, 'late', (row) => row['Status'] === 'PAUSED');
    expect(job['ErrorMsg']).toMatch(/foreign key of table src_s\d+\.t changes its rows by CASCADE/);
    expect(await world.ids(place)).toEqual([1, 2]);
  });

  test('which cannot be copied are left out when the job is told to skip them, and jobs() says why', async () => {
    const place = await world.place(
      `${FAMILY}; CREATE TABLE keyless (v INT, u INT NULL, UNIQUE (u)); CREATE TABLE \`a.b\` (id INT PRIMARY KEY)`,
    );
    await expect(place.createJob('all', '*')).rejects.toThrow(
      /^errCode = 2, detailMessage = The following tables do not have primary key defined: keyless; foreign key dies .*; foreign key stays /,
    );
    await place.createJob('some', '*', { on_table_error: 'skip' });
    await place.same('plain');
    await place.sql('INSERT INTO keyless VALUES (1, 1); INSERT INTO plain VALUES (31, 2)');
    await place.same('plain');
    expect(await world.tables(place)).toEqual(['parent', 'plain']);
    const job = await jobRow(world.it.client, 'some');
    expect(job).toMatchObject({ Status: 'RUNNING', ErrorMsg: String.raw`\N` });
    expect(job?.['ExecuteSql']).toContain("'include_tables'='parent,plain'");
    const told = job?.['JobRuntimeMsg']?.split(/(?:^|; )table (?=\S+ is left out)/);
    expect(told).toEqual([
      '',
      expect.stringMatching(/^child is left out: foreign key dies /),
      'keyless is left out: it has no primary key, and no unique index over columns that are NOT NULL',
      expect.stringMatching(/^orphan is left out: foreign key stays /),
      expect.stringMatching(/^a\.b is left out: .* set "table\.a\.b\.target_table"$/),
    ]);
  });

  test('have dates that Doris does not have counted, from the copy and from the log', async () => {
    const place = await world.place(
      `SET sql_mode = 'ALLOW_INVALID_DATES';
       CREATE TABLE t (id INT PRIMARY KEY, d DATE NOT NULL, ts DATETIME(3));
       INSERT INTO t VALUES (1, '0000-00-00', NULL), (2, '2024-02-30', '2024-01-01'), (3, '2024-01-01', '2024-00-01')`,
    );
    await place.createJob('zero', 't');
    await place.same('t', { columns: 'id' });
    await place.sql(
      `SET sql_mode = 'ALLOW_INVALID_DATES'; INSERT INTO t VALUES (4, '0000-00-00', '2024-01-01'), (5, '2024-01-01', NULL)`,
    );
    await place.same('t', { columns: 'id' });
    const job = await waitForJob(world.it.client, 'zero', (row) =>
      /3 values of column t\.d/.test(row['JobRuntimeMsg'] ?? ''),
    );
    expect(job['JobRuntimeMsg']).toBe(
      '3 values of column t.d became NULL: zero or impossible dates, which Doris does not have; ' +
        '1 value of column t.ts became NULL: zero or impossible dates, which Doris does not have',
    );
    const rows = await world.rows(`SELECT id FROM ${place.target}.t WHERE d IS NULL ORDER BY id`);
    expect(rows.map(({ id }) => Number(id))).toEqual([1, 2, 4]);
  });

  test("have moments by the clocks of the job's zone on both roads; the server's own is kept when the server gets another", async () => {
    await world.mysql.query("SET GLOBAL time_zone = '+05:30'");
    try {
      const place = await world.place(
        `CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMP(1) NULL, dt DATETIME); ${wallClockTwice(0)};
         SET time_zone = DEFAULT; INSERT INTO t VALUES (8, '2024-01-01 05:30:00', '2024-01-01 05:30:00');
         CREATE TABLE k (ts TIMESTAMP PRIMARY KEY)`,
      );
      const target = { 'table.t.target_table': 'berlin' };
      const berlin = { ...target, server_time_zone: 'Europe/Berlin' };
      await expect(place.createJob('zone', 't,k', berlin)).rejects.toThrow(
        "table k: key column ts holds moments, and when the clocks of 'Europe/Berlin' are put back two of them look alike: " +
          "set the source property server_time_zone to 'UTC' or to an offset like '+08:00'",
      );
      await place.createJob('zone', 't');
      await place.createJob('berlin', 't', berlin);
      await place.same('t', { columns: 'id' });
      await world.mysql.query("SET GLOBAL time_zone = '-08:00'");
      const [job] = await world.rows(
        `select ExecuteSql from jobs("type"="insert") where Name = 'zone'`,
      );
      expect(job!['ExecuteSql']).toContain("'server_time_zone'='+05:30'");
      await world.run(`PAUSE JOB WHERE jobName = 'zone'`);
      await world.run(`RESUME JOB WHERE jobName = 'zone'`);
      await place.sql(wallClockTwice(2));
      const texts = async (table: string): Promise<string[]> => {
        const found = await world.rows(
          `SELECT CONCAT_WS(' ', id, ts, dt) AS row_text FROM ${place.target}.${table} ORDER BY id`,
        );
        return found.map((row) => String(row['row_text']));
      };
      const dt = '2024-10-27 02:30:00';
      for (const [table, summer, winter, eight] of [
        ['t', '2024-10-27 06:00:00', '2024-10-27 07:00:00.5', '2024-01-01 05:30:00'],
        ['berlin', '2024-10-27 02:30:00', '2024-10-27 02:30:00.5', '2024-01-01 01:00:00'],
      ] as const) {
        await vi.waitFor(
          async () =>
            expect(await texts(table)).toEqual([
              `0 ${summer} ${dt}`,
              `1 ${winter} ${dt}`,
              `2 ${summer} ${dt}`,
              `3 ${winter} ${dt}`,
              `8 ${eight} 2024-01-01 05:30:00`,
            ]),
          { timeout: 20_000, interval: 100 },
        );
      }
    } finally {
      await world.mysql.query("SET GLOBAL time_zone = 'SYSTEM'");
    }
  });

  test('that Doris has already are compared first; every cure that the error names cures', async () => {
    const place = await world.place(
      `CREATE TABLE t (id INT PRIMARY KEY, a INT, n VARCHAR(10), b DATETIME(3), d DECIMAL(10,2) COMMENT 'money');
       INSERT INTO t VALUES (1, 70000, 'ten chars!', '2024-01-01 00:00:00.123', 12345678.90)`,
    );
    const table = `${place.target}.t`;
    const rest = `DISTRIBUTED BY HASH(id) BUCKETS 1 PROPERTIES ("replication_num" = "1")`;
    await world.run(
      `CREATE TABLE ${table} (id INT NOT NULL, a SMALLINT NULL, N VARCHAR(5) NULL, d DECIMAL(8,2) NULL DEFAULT "1.00" COMMENT "cash", x INT NOT NULL) UNIQUE KEY(id) ${rest}`,
    );
    let error = '';
    const refused = async (): Promise<boolean> => {
      error = '';
      await place.createJob('compared', 't').catch((cause: Error) => (error = cause.message));
      return error !== '';
    };
    await refused();
    expect(error).toContain(
      `table ${table} exists, but cannot take the rows of ${place.database}.t: ` +
        '(1) column a is smallint, which does not hold every INT; cure:',
    );
    for (const [n, difference] of [
      'column n is spelled N',
      'column b is missing',
      'column d is decimal(8,2), which does not hold every DECIMAL(10,2)',
      'column x is not in the source, and is NOT NULL without a default',
    ].entries()) {
      expect(error).toContain(`(${n + 2}) ${difference}`);
    }
    for (let round = 0; round < 3 && (await refused()); round++) {
      for (const [, alter] of error.matchAll(/cure: (ALTER TABLE .*?)(?:\. \(\d+\)|$)/g)) {
        await vi.waitFor(() => world.run(alter!), { timeout: 10_000, interval: 100 });
      }
      await vi.waitFor(
        async () => {
          const jobs = await world.rows(`SHOW ALTER TABLE COLUMN FROM ${place.target}`);
          expect(jobs.filter(({ State: state }) => state !== 'FINISHED')).toEqual([]);
        },
        { timeout: 10_000, interval: 100 },
      );
    }
    expect(error).toBe('');
    await place.same('t', { columns: 'id, a, n, b, d' });
    for (const [model, difference] of [
      [`DUPLICATE KEY(id) ${rest}`, 'it is a DUPLICATE KEY table, not a UNIQUE KEY table'],
      [`UNIQUE KEY(id, a) ${rest}`, "its key is (id, a), the source's primary key is (id)"],
    ] as const) {
      await place.dropJob('compared').catch(() => undefined);
      await world.run(`DROP TABLE ${table}`);
      await world.run(
        `CREATE TABLE ${table} (id INT NOT NULL, a INT NULL, n VARCHAR(40) NULL, b DATETIME(3) NULL, d DECIMAL(10,2) NULL) ${model}`,
      );
      await refused();
      expect(error).toContain(difference);
      expect(error).toContain('cure: rename or drop it, the job makes a new one');
    }
  });
});

describe.runIf(available('mysql'))('tables of MySQL', () => {
  const world = new Worlds('mysql');

  test('follow their foreign keys, whose changes MySQL logs since 9.6', async () => {
    const place = await world.place(FAMILY);
    await place.createJob('family', 'parent,child,orphan,plain');
    await place.same('child');
    await place.sql('DELETE FROM parent WHERE id = 1; UPDATE orphan SET p = 3 WHERE id = 21');
    await place.same('child');
    await place.same('orphan');
    expect(await world.ids(place, 'child')).toEqual([12]);
    expect(await jobRow(world.it.client, 'family')).toMatchObject({ Status: 'RUNNING' });
  });

  test('are refused when MySQL was told to leave foreign keys to InnoDB, also by a job that runs already', async () => {
    await using server = await startMysql(['--innodb-native-foreign-keys=ON']);
    await using source = await newDatabase(
      server,
      'family',
      'CREATE TABLE child (id INT PRIMARY KEY, p INT)',
    );
    const before = await source.preflight(ALL);
    const from = await source.latestPosition();
    await server.query(
      `USE family; ${FAMILY.replace('CREATE TABLE child', 'DROP TABLE child; CREATE TABLE child')}`,
    );
    const refusal =
      /foreign key dies of table child .* use MySQL 9\.6 or later without innodb_native_foreign_keys/;
    await expect(source.preflight(ALL)).rejects.toThrow(refusal);
    await expect(source.openStream(before, from)).rejects.toThrow(refusal);
  });
});

describe.runIf(available('postgres18'))('tables of Postgres', () => {
  const world = new Worlds('postgres18');

  test('which cannot be copied are left out when the job is told to skip them, also from the publication', async () => {
    const place = await world.place(
      `CREATE TABLE good (id INT PRIMARY KEY, c CHAR(2)); INSERT INTO good VALUES (1, '🦆🦆');
       CREATE TABLE keyless (v INT); CREATE UNLOGGED TABLE fleeting (id INT PRIMARY KEY);
       CREATE TABLE "a.b" (id INT PRIMARY KEY); CREATE TABLE two (id INT PRIMARY KEY, "A" INT, a INT)`,
    );
    await expect(place.createJob('all', 'keyless,fleeting')).rejects.toThrow(
      /do not have primary key defined: keyless\n.*unlogged/,
    );
    await expect(place.createJob('none', 'keyless', { on_table_error: 'skip' })).rejects.toThrow(
      'do not have primary key defined: keyless',
    );
    await place.createJob('some', '*', { on_table_error: 'skip' });
    await place.same('good');
    await place.sql(`INSERT INTO good VALUES (2, 'ü'); INSERT INTO "a.b" VALUES (1)`);
    await place.same('good');
    expect(await world.tables(place)).toEqual(['good']);
    const job = await jobRow(world.it.client, 'some');
    expect(job).toMatchObject({ Status: 'RUNNING' });
    const told = job?.['JobRuntimeMsg'] ?? '';
    expect([...told.matchAll(/table (\S+) is left out/g)].map(([, name]) => name)).toEqual([
      'fleeting',
      'keyless',
      'a.b',
      'two',
    ]);
    expect(told).toContain('table keyless is left out: it has no primary key, and no unique');
    expect(told).toContain('columns A and a are one name to Doris');
    const published = await world.postgres.query<{ name: string }>(
      `SELECT tablename AS name FROM pg_publication_tables WHERE schemaname = '${place.database}'`,
    );
    expect(published).toEqual([{ name: 'good' }]);
  });

  test('have the key of a unique index where there is no other, in its order, once the server logs it', async () => {
    const place = await world.place(
      `CREATE TABLE uniq (v TEXT, a INT NOT NULL, b INT NOT NULL, UNIQUE (b, a));
       INSERT INTO uniq SELECT 'v' || i, i, i % 3 FROM generate_series(1, 30) i`,
    );
    const refused = place.createJob('uniq', 'uniq').catch((error: unknown) => String(error));
    const cure = /ALTER TABLE \S+ REPLICA IDENTITY USING INDEX \S+/.exec((await refused) ?? '');
    await place.sql(cure![0]);
    await place.createJob('uniq', 'uniq', { snapshot_split_size: '7' });
    await place.same('uniq', { key: ['b', 'a'] });
    await place.sql(
      `INSERT INTO uniq VALUES ('new', 100, 1); UPDATE uniq SET v = 'changed' WHERE a = 1;
       UPDATE uniq SET a = 200 WHERE a = 2; DELETE FROM uniq WHERE a = 3`,
    );
    await place.same('uniq', { key: ['b', 'a'] });
    const [made] = await world.rows(`SHOW CREATE TABLE ${place.target}.uniq`);
    expect(Object.values(made!).join()).toContain('UNIQUE KEY(`b`, `a`)');
  });

  test("have moments by the clocks of the user's sessions at CREATE JOB, on both roads and from then on", async () => {
    const { user } = world.postgres;
    await world.postgres.query(`ALTER ROLE ${user} SET TimeZone = 'America/New_York'`);
    try {
      const place = await world.place(
        `CREATE TABLE t (id INT PRIMARY KEY, m timestamptz, r tstzrange); INSERT INTO t VALUES ${oneClockTwice(0)}`,
      );
      await place.createJob('clocks', 't');
      await place.same('t', { columns: 'id' });
      await world.postgres.query(`ALTER ROLE ${user} SET TimeZone = 'Asia/Tokyo'`);
      await place.sql(`INSERT INTO t VALUES ${oneClockTwice(2)}`);
      await place.same('t', { columns: 'id' });
      const rows = await world.rows(
        `SELECT r FROM ${place.target}.t WHERE m = '2024-11-03 01:30:00.5' ORDER BY id`,
      );
      expect(rows.map(({ r }) => String(r))).toEqual(
        ['-04', '-05', '-04', '-05'].map((offset) => `["2024-11-03 01:30:00${offset}",)`),
      );
      const job = await jobRow(world.it.client, 'clocks');
      expect(job?.['ExecuteSql']).toContain("'server_time_zone'='America/New_York'");
    } finally {
      await world.postgres.query(`ALTER ROLE ${user} RESET TimeZone`);
    }
  });
});

test('two hundred types and forms are held to one value on every road', () => {
  // mysql-types.test.ts and postgres-types.test.ts take each with its edge values.
  const mysql = [...typeCases('mysql'), ...typeCases('mariadb')].map(({ type }) => type);
  const types = new Set([...mysql, ...Object.keys(EDGES).map((type) => `Postgres ${type}`)]);
  expect(types.size).toBeGreaterThanOrEqual(200);
});
