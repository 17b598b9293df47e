import { describe, expect, test } from 'vitest';
import { available } from './servers.ts';
import type { Place } from './support/end-to-end.ts';
import { jobRow, waitForJob } from './support/jobs.ts';
import { sameRows } from './support/same-rows.ts';
import { Worlds } from './support/worlds.ts';

interface KeyCase {
  /** Columns and keys of CREATE TABLE, behind the value `v`. */
  readonly columns: string;
  /** Literals of the columns in three rows. */
  readonly rows: readonly [string, string, string];
  /** What the third row's key becomes. */
  readonly becomes: string;
  readonly key?: readonly string[];
  /** The columns as both sides should show them, where that is not as they are. */
  readonly source?: string;
  readonly only?: 'mysql' | 'mariadb';
}

const TEXT = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci';

const KEYS: Readonly<Record<string, KeyCase>> = {
  composite: {
    columns: 'a INT, b VARCHAR(5), c DATE, PRIMARY KEY (c, b, a)',
    rows: ["1, 'x', '2024-01-01'", "2, 'x', '2024-01-01'", "1, 'y', '2024-01-01'"],
    becomes: "c = '1000-01-01'",
    key: ['a', 'b', 'c'],
  },
  decimals: {
    columns: 'k DECIMAL(38,10) PRIMARY KEY',
    rows: ['-0.5', '0', '9999999999999999999999999999.0000000001'],
    becomes: 'k = 1.10',
  },
  wide: {
    columns: 'k DECIMAL(65,30) PRIMARY KEY',
    rows: ['-0.5', '0', '12345678901234567890123456789012345.1'],
    becomes: 'k = 1.10',
  },
  big: {
    columns: 'k BIGINT UNSIGNED PRIMARY KEY',
    rows: ['0', '9223372036854775808', '18446744073709551615'],
    becomes: 'k = 1',
  },
  dates: {
    columns: 'k DATE PRIMARY KEY',
    rows: ["'1000-01-01'", "'2024-02-29'", "'9999-12-31'"],
    becomes: "k = '1970-01-01'",
  },
  moments: {
    columns: 'k TIMESTAMP(6) PRIMARY KEY',
    rows: ["'2024-01-01 00:00:00'", "'2024-01-01 00:00:00.000001'", "'2038-01-19 03:14:07'"],
    becomes: "k = '1970-01-02 00:00:00.1'",
  },
  times: {
    columns: 'k TIME(3) PRIMARY KEY',
    rows: ["'-838:59:59'", "'00:00:00'", "'838:59:59'"],
    becomes: "k = '-00:00:00.5'",
  },
  years: {
    columns: 'k YEAR PRIMARY KEY',
    rows: ['1901', '2155', '0'],
    becomes: 'k = 2000',
    source: 'v, k + 0 AS k',
  },
  doubles: { columns: 'k DOUBLE PRIMARY KEY', rows: ['0', '-1.5', '0.1'], becomes: 'k = 1.25' },
  // 'a' and 'A', 'o' and 'Ö' are one key at the source and two in Doris.
  folded: {
    columns: `k VARCHAR(20) ${TEXT} PRIMARY KEY`,
    rows: ["'a'", "'o'", "'Straße'"],
    becomes: "k = 'STRASSE'",
  },
  padded: {
    columns: `k CHAR(10) ${TEXT} PRIMARY KEY`,
    rows: ["'a'", "'b  '", "''"],
    becomes: "k = 'ab'",
  },
  latin: {
    columns: 'k VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY',
    rows: ["'ä'", "'€'", "'o'"],
    becomes: "k = 'x '",
  },
  labels: {
    columns: "k ENUM('z','a','b,c') PRIMARY KEY",
    rows: ["'z'", "'a'", "'b,c'"],
    becomes: "k = ''",
  },
  bytes: {
    columns: 'k BINARY(4) PRIMARY KEY',
    rows: ["x'00'", "x'00ff'", "x'ffffffff'"],
    becomes: "k = 'abcd'",
    source: 'v, TO_BASE64(k) AS k',
  },
  blobs: {
    columns: 'k VARBINARY(40) PRIMARY KEY',
    rows: ["''", "x'00'", "x'0000'"],
    becomes: "k = 'é'",
    source: 'v, TO_BASE64(k) AS k',
  },
  uuids: {
    columns: 'k UUID PRIMARY KEY',
    rows: [
      "'00000000-0000-0000-0000-000000000000'",
      "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
      "'123e4567-e89b-12d3-a456-426655440000'",
    ],
    becomes: "k = '123E4567-e89b-12d3-a456-426655440001'",
    only: 'mariadb',
  },
  // No primary key: the smallest unique index over whole columns that are NOT NULL takes its place.
  no_primary: {
    columns:
      'n INT NULL, a INT NOT NULL, b VARCHAR(9) NOT NULL, UNIQUE n (n), UNIQUE part (b(2)), UNIQUE many (n, a, b), UNIQUE two (b, a)',
    rows: ["1, 1, 'aa'", "NULL, 2, 'bb'", "NULL, 2, 'cc'"],
    becomes: "a = 3, b = 'dd'",
    key: ['a', 'b'],
  },
};

describe.each(['mysql', 'mariadb'] as const)('%s: keys', (kind) => {
  if (!available(kind)) return;
  const world = new Worlds(kind);
  const cases = Object.entries(KEYS).filter(([, { only = kind }]) => only === kind);
  const onEach = (statement: (name: string, one: KeyCase) => string): string =>
    `SET sql_mode = ''; ${cases.map(([name, one]) => statement(name, one)).join('; ')}`;

  async function equal(place: Place): Promise<void> {
    for (const [name, { key = ['k'], source }] of cases) {
      await sameRows(world.mysql, world.it.client, {
        source: `${place.database}.${name}`,
        target: `${place.target}.${name}`,
        key,
        ...(source === undefined ? {} : { columns: source }),
      });
    }
  }

  test('of every type are copied in splits, changed, deleted and taken again', async () => {
    const place = await world.place(
      onEach((name, { columns, rows }) => {
        const tuples = rows.map((values, i) => `(${i}, ${values})`);
        return `CREATE TABLE ${name} (v INT, ${columns}); INSERT INTO ${name} VALUES ${tuples.join()}`;
      }),
    );
    const names = cases.map(([name]) => name);
    await place.createJob('keys', names.join(), { snapshot_split_size: '1' });
    await equal(place);
    await place.sql(
      onEach(
        (name, { rows, becomes }) =>
          `UPDATE ${name} SET v = 10 WHERE v = 0; DELETE FROM ${name} WHERE v = 1; UPDATE ${name} SET ${becomes} WHERE v = 2; ` +
          `INSERT INTO ${name} VALUES (20, ${rows[1]}), (21, ${rows[2]})`,
      ),
    );
    await equal(place);
    await place.sql(
      `UPDATE folded SET k = 'A' WHERE k = 'a'; UPDATE folded SET k = 'Ö', v = 7 WHERE k = 'o';
       INSERT INTO folded VALUES (8, 'STRASSE') ON DUPLICATE KEY UPDATE v = 9; REPLACE INTO folded VALUES (30, 'strasse');
       REPLACE INTO padded VALUES (31, 'A  '); UPDATE latin SET k = 'X', v = 32 WHERE k = 'x'`,
    );
    await equal(place);
    const rows = await world.rows(`SELECT k FROM ${place.target}.folded ORDER BY k`);
    expect(rows.map(({ k }) => String(k))).toEqual(['A', 'Straße', 'strasse', 'Ö']);
    expect(await jobRow(world.it.client, 'keys')).toMatchObject({
      Status: 'RUNNING',
      FailedTaskCount: '0',
    });
  });

  test('by a unique index count until the index is dropped', async () => {
    const place = await world.place(
      'CREATE TABLE t (id INT NOT NULL, v INT, UNIQUE k (id), KEY other (v)); INSERT INTO t VALUES (1, 1)',
    );
    await place.createJob('unique_key', 't');
    await place.same('t');
    await place.sql('DROP INDEX other ON t; INSERT INTO t VALUES (2, 2)');
    await place.same('t');
    await place.sql('ALTER TABLE t DROP INDEX k; INSERT INTO t VALUES (2, 3)');
    const job = await waitForJob(
      world.it.client,
      'unique_key',
      (row) => row['Status'] === 'PAUSED',
    );
    expect(job['ErrorMsg']).toMatch(/^A change of the key on table \S+\.t cannot be carried over/);
    expect(await world.ids(place)).toEqual([1, 2]);
  });
});

describe.runIf(available('mariadb'))('names', () => {
  const world = new Worlds('mariadb');
  const long = `L${'o'.repeat(62)}G`;

  test('of any kind that Doris takes are kept, others are given by the job', async () => {
    const place = await world.place(
      `CREATE TABLE \`select\` (\`key\` INT PRIMARY KEY, \`group\` INT COMMENT 'a "word"\\n', \`with-dash\` INT, \`UPPER\` INT, \`${'c'.repeat(64)}\` INT, \`a "b\` INT);
       INSERT INTO \`select\` VALUES (1, 2, 3, 4, 5, 6);
       CREATE TABLE \`With-Dash\` (id INT PRIMARY KEY); INSERT INTO \`With-Dash\` VALUES (1);
       CREATE TABLE \`${long}\` (id INT PRIMARY KEY); INSERT INTO \`${long}\` VALUES (1);
       CREATE TABLE \`a.b\` (id INT PRIMARY KEY, \`c.d\` INT); INSERT INTO \`a.b\` VALUES (1, 2);
       CREATE TABLE \`größe\` (id INT PRIMARY KEY, \`straße\` INT); INSERT INTO \`größe\` VALUES (1, 2)`,
    );
    await expect(place.createJob('names', 'größe')).rejects.toThrow(
      /Incorrect column name 'straße'.*enable_unicode_name_support/s,
    );
    await expect(place.createJob('names', 'a.b')).rejects.toThrow('set "table.a.b.target_table"');
    await place.createJob('names', `select,With-Dash,${long},a.b,größe`, {
      'table.a.b.target_table': 'a_b',
      'table.größe.target_table': 'groesse',
      'table.größe.exclude_columns': 'straße',
    });
    const tables = { '`select`': '`select`', '`With-Dash`': '`With-Dash`', [long]: long };
    const all = { ...tables, '`a.b`': 'a_b', '`größe`': 'groesse' };
    await place.sql(
      `UPDATE \`select\` SET \`group\` = 20; INSERT INTO \`With-Dash\` VALUES (2); INSERT INTO ${long} VALUES (2);
       UPDATE \`a.b\` SET \`c.d\` = 3; INSERT INTO \`größe\` VALUES (2, 3)`,
    );
    for (const [source, target] of Object.entries(all)) {
      await sameRows(world.mysql, world.it.client, {
        source: `${place.database}.${source}`,
        target: `${place.target}.${target}`,
        key: [target === '`select`' ? 'key' : 'id'],
        ...(target === 'groesse' ? { columns: 'id' } : {}),
      });
    }
  });

  test('as many columns as a table of the source can have', async () => {
    const names = Array.from({ length: 1016 }, (_, i) => `c${i}`);
    const place = await world.place(
      `CREATE TABLE t (id INT PRIMARY KEY, ${names.map((name) => `${name} SMALLINT`).join()}) ENGINE = InnoDB;
       INSERT INTO t (id, c0, c1015) VALUES (1, 2, 3)`,
    );
    await place.createJob('wide', 't');
    await place.same('t');
    await place.sql('INSERT INTO t (id, c7, c1014) VALUES (2, 7, -7); UPDATE t SET c1015 = 4');
    await place.same('t');
  });

  test('properties of the tables are passed on, and what Doris says of them comes back', async () => {
    const place = await world.place('CREATE TABLE t (id INT PRIMARY KEY)');
    const statement = (property: string): string =>
      `CREATE JOB p ON STREAMING FROM MYSQL ("jdbc_url" = "jdbc:mysql://${world.mysql.host}:${world.mysql.port}", "driver_url" = "x.jar",
         "driver_class" = "x", "user" = "${world.mysql.user}", "password" = "${world.mysql.password}", "database" = "${place.database}")
       TO DATABASE ${place.target} ("table.create.properties.replication_num" = "1", "table.create.properties.${property})`;
    await expect(world.run(statement('nonsense" = "1"'))).rejects.toThrow(
      'Unknown properties: {nonsense=1}',
    );
    await world.run(statement('compression" = "zstd"'));
    const [row] = await world.rows(`SHOW CREATE TABLE ${place.target}.t`);
    expect(row?.['Create Table']).toContain('"compression" = "zstd"');
  });
});
