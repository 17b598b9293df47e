import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, startMariadb, startMysql } from './servers.ts';
import { type DorisHandle, startDoris } from './support/doris.ts';
import { createMysqlJob, jobRow, taskRows, waitForJob } from './support/jobs.ts';
import type { MysqlServer } from './support/mysql-server.ts';
import { type ProxyHandle, startProxy } from './support/proxy.ts';
import { RandomWriter, WRITER_TABLES, writerConnection } from './support/random-writer.ts';
import { differences, sameRows } from './support/same-rows.ts';

const START = { mysql: startMysql, mariadb: startMariadb } as const;

describe.each(['mysql', 'mariadb'] as const)('%s to Doris', (kind) => {
  const run = test.runIf(available(kind));
  let source: MysqlServer;
  let doris: DorisHandle;
  let proxy: ProxyHandle;
  let client: Connection;

  beforeAll(async () => {
    if (!available(kind)) return;
    [source, doris] = await Promise.all([START[kind](), startDoris()]);
    proxy = await startProxy(doris);
    client = await proxy.connect();
  });

  afterAll(async () => {
    client?.destroy();
    await proxy?.[Symbol.asyncDispose]();
    await doris?.[Symbol.asyncDispose]();
    await source?.[Symbol.asyncDispose]();
  });

  /** A database at the source, and one in Doris that is the session's current one. */
  async function databases(name: string): Promise<{ database: string; target: string }> {
    const database = `src_${name}`;
    const target = `dst_${name}`;
    await source.query(`DROP DATABASE IF EXISTS ${database}; CREATE DATABASE ${database}`);
    await client.query(`DROP DATABASE IF EXISTS ${target}`);
    await client.query(`CREATE DATABASE ${target}`);
    await client.query(`USE ${target}`);
    return { database, target };
  }

  async function untilEqual(database: string, target: string, timeoutMs?: number): Promise<void> {
    for (const [table, { key }] of Object.entries(WRITER_TABLES)) {
      const comparison = { source: `${database}.${table}`, target: `${target}.${table}`, key };
      await sameRows(source, client, comparison, timeoutMs);
    }
  }

  run("the manual's first job copies its tables whole and then follows them", async () => {
    await source.query(
      `CREATE DATABASE IF NOT EXISTS test; USE test;
       CREATE TABLE user_info (id INT PRIMARY KEY, name VARCHAR(50), age INT);
       CREATE TABLE order_info (id BIGINT PRIMARY KEY, user_id INT, amount DECIMAL(10,2), note VARCHAR(100));
       CREATE TABLE not_wanted (id INT PRIMARY KEY);
       INSERT INTO user_info VALUES (1, 'Alice', 30), (2, 'Bob', NULL), (3, 'it''s', 7);
       INSERT INTO order_info VALUES (100, 1, 9.99, 'first'), (101, 2, -0.01, '')`,
    );
    await client.query('CREATE DATABASE target_test_db');
    await client.query('USE target_test_db');
    await client.query(
      createMysqlJob(source, {
        name: 'multi_table_sync',
        database: 'test',
        tables: 'user_info,order_info',
        target: 'target_test_db',
      }),
    );
    const users = { source: 'test.user_info', target: 'target_test_db.user_info', key: ['id'] };
    const orders = { source: 'test.order_info', target: 'target_test_db.order_info', key: ['id'] };
    await sameRows(source, client, users);
    await sameRows(source, client, orders);

    await source.query(
      `USE test; START TRANSACTION;
       INSERT INTO user_info VALUES (4, 'Dora', 41); UPDATE user_info SET age = 31 WHERE id = 1;
       DELETE FROM user_info WHERE id = 2; UPDATE order_info SET id = 102 WHERE id = 101;
       COMMIT; INSERT INTO not_wanted VALUES (1)`,
    );
    await sameRows(source, client, users);
    await sameRows(source, client, orders);
    const [tables] = await client.query('SHOW TABLES FROM target_test_db');
    expect(tables).toHaveLength(2);

    const job = await waitForJob(client, 'multi_table_sync', (row) => row['Status'] === 'RUNNING');
    expect(job).toMatchObject({ ExecuteType: 'STREAMING', Definer: 'root', FailedTaskCount: '0' });
    expect(JSON.parse(job['CurrentOffset'] ?? '')).toMatchObject({ splitId: 'binlog-split' });
    // Statistics are of rows read, so at least every row once.
    const { scannedRows } = JSON.parse(job['LoadStatistic'] ?? '') as { scannedRows: number };
    expect(scannedRows).toBeGreaterThanOrEqual(9);
    const tasks = await taskRows(client, job['Id'] ?? '');
    expect(tasks.filter((task) => task['Status'] === 'SUCCESS').length).toBeGreaterThan(0);
    expect(tasks.map((task) => task['JobName'])).toContain('multi_table_sync');
    await client.query("DROP JOB where jobName = 'multi_table_sync'");
  });

  run('offset latest leaves old rows out and follows new ones', async () => {
    const { database, target } = await databases('latest');
    await source.query(
      `USE ${database}; CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(10)); INSERT INTO t VALUES (1, 'old'), (2, 'old')`,
    );
    await client.query(
      createMysqlJob(source, {
        name: 'from_latest',
        database,
        tables: 't',
        target,
        offset: 'latest',
      }),
    );
    await source.query(
      `USE ${database}; INSERT INTO t VALUES (3, 'new'); UPDATE t SET v = 'changed' WHERE id = 1`,
    );
    const followed = {
      source: `(SELECT * FROM ${database}.t WHERE id <> 2) AS changed`,
      target: `${target}.t`,
      key: ['id'],
    };
    await sameRows(source, client, followed);
    await client.query("DROP JOB where jobName = 'from_latest'");
  });

  run('writes before, during and after the copy end up equal', async () => {
    const { database, target } = await databases('random');
    await using connection = await writerConnection(source, database);
    const writer = new RandomWriter(42, 'mysql');
    for (const statement of writer.schema()) await connection.execute(statement);
    await writer.write(100, connection.execute);
    const job = {
      name: 'random_writes',
      database,
      tables: Object.keys(WRITER_TABLES).join(),
      target,
    };
    const [, created] = await Promise.all([
      writer.write(200, connection.execute),
      client.query(createMysqlJob(source, job)),
    ]);
    expect(created).toBeDefined();
    await writer.write(200, connection.execute);
    await untilEqual(database, target);
    await client.query("DROP JOB where jobName = 'random_writes'");
  });

  run('a transaction larger than a batch arrives whole', async () => {
    const { database, target } = await databases('large');
    await source.query(
      `USE ${database}; CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200)); INSERT INTO t VALUES (0, 'first')`,
    );
    await client.query(createMysqlJob(source, { name: 'large', database, tables: 't', target }));
    const table = { source: `${database}.t`, target: `${target}.t`, key: ['id'] };
    await sameRows(source, client, table);
    await source.query(`USE ${database}; START TRANSACTION`);
    for (let block = 0; block < 60; block++) {
      const rows = Array.from(
        { length: 1000 },
        (_, i) => `(${block * 1000 + i + 1}, REPEAT('x', 100))`,
      );
      await source.query(`INSERT INTO t VALUES ${rows.join()}`);
    }
    await source.query(
      `UPDATE t SET v = 'last' WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0; COMMIT`,
    );
    await sameRows(source, client, table, 60_000);
    await client.query("DROP JOB where jobName = 'large'");
  });

  run('a value is written the same way by the copy and by the log', async () => {
    const { database, target } = await databases('types');
    const columns: readonly (readonly [type: string, ...values: string[]])[] = [
      ['TINYINT', '-128', '127'],
      ['TINYINT UNSIGNED', '0', '255'],
      ['SMALLINT', '-32768', '32767'],
      ['MEDIUMINT UNSIGNED', '0', '16777215'],
      ['INT UNSIGNED', '0', '4294967295'],
      ['BIGINT', '-9223372036854775808', '9223372036854775807'],
      ['BIGINT UNSIGNED', '0', '18446744073709551615'],
      ['DECIMAL(38,10)', '-9999999999999999999999999999.9999999999', '0.0000000001'],
      [
        'DECIMAL(65,30)',
        '-12345678901234567890123456789012345.123456789012345678901234567890',
        '0',
      ],
      ['FLOAT', '1.1', '16777216', '-3.4e38', '123456.789'],
      ['DOUBLE', '0.1', '-1.7976931348623157e308', '2.2250738585072014e-308'],
      ['BIT(1)', "b'0'", "b'1'"],
      ['BIT(17)', "b'10000000000000001'", "b'0'"],
      ['BOOLEAN', 'TRUE', 'FALSE'],
      ['YEAR', '1901', '2155', '0'],
      ['DATE', "'1000-01-01'", "'9999-12-31'"],
      ['DATETIME', "'2024-02-29 23:59:59'", "'1000-01-01 00:00:00'"],
      ['DATETIME(6)', "'2024-02-29 23:59:59.999999'", "'2024-01-01 00:00:00.000001'"],
      ['TIMESTAMP(3) NULL', "'2024-02-29 23:59:59.123'", "'1970-01-02 00:00:01'"],
      ['TIME(6)', "'-838:59:58.999999'", "'-00:01:00'", "'00:00:00.000001'"],
      ['CHAR(10)', "'abc'", "''", "'日本'"],
      ['VARCHAR(50) CHARACTER SET utf8mb4', "'🦆 \\'\"\\\\ \\n\\t'", "'\\0x'"],
      ['VARCHAR(50) CHARACTER SET latin1', "'é€'", "'plain'"],
      ['VARCHAR(50) CHARACTER SET gbk', "'中文'", "'a'"],
      ['TEXT CHARACTER SET utf8mb4', "REPEAT('長', 5000)", "''"],
      ['BINARY(4)', "x'00ff'", "x'01020304'"],
      ['VARBINARY(20)', "x'00ff0a27'", "''"],
      ['BLOB', "x'89504e470d0a1a0a'", "REPEAT(x'00', 1000)"],
      ["ENUM('a','b,c','d''e') CHARACTER SET utf8mb4", "'b,c'", `'d''e'`],
      ["SET('x','y','z')", "'x,z'", "''"],
      [
        'JSON',
        `'{"b": [1, 2.5, null], "a": "\\\\u00e9\\\\n", "big": 18446744073709551615}'`,
        `'[]'`,
      ],
    ];
    const names = columns.map((_, i) => `c${i}`);
    const rows = Math.max(...columns.map(([, ...values]) => values.length)) + 1;
    const insert = (from: number): string => {
      const tuples = Array.from({ length: rows }, (_, row) => {
        // The last row is NULL throughout.
        const values = columns.map(([, ...all]) =>
          row === rows - 1 ? 'NULL' : (all[row] ?? all[0]),
        );
        return `(${[from + row, ...values].join(', ')})`;
      });
      return `INSERT INTO ${database}.t VALUES ${tuples.join(', ')}`;
    };
    await source.query(
      `USE ${database}; SET SESSION sql_mode = 'ALLOW_INVALID_DATES';
       CREATE TABLE t (id INT PRIMARY KEY, ${columns.map(([type], i) => `c${i} ${type}`).join(', ')});
       ${insert(0)}`,
    );
    await client.query(createMysqlJob(source, { name: 'types', database, tables: 't', target }));
    const key = {
      source: `${database}.t`,
      columns: 'id',
      target: `${target}.t`,
      targetColumns: 'id',
      key: ['id'],
    };
    await sameRows(source, client, key);
    await source.query(insert(1000));
    await sameRows(source, client, key);
    const list = names.join(', ');
    const copied = `SELECT id, ${list} FROM ${target}.t WHERE id < 1000`;
    const followed = `SELECT id - 1000 AS id, ${list} FROM ${target}.t WHERE id >= 1000`;
    // Both halves are in Doris: compare them there, where each value is the text that was loaded.
    const [a] = await client.query({ sql: `${copied} ORDER BY id`, rowsAsArray: true });
    const [b] = await client.query({ sql: `${followed} ORDER BY id`, rowsAsArray: true });
    const described = (all: unknown): unknown[] =>
      (all as unknown[][]).map((row) => row.slice(1).map((value, i) => [columns[i]?.[0], value]));
    expect(described(b)).toEqual(described(a));
    expect(
      (a as unknown[][])
        .at(-1)
        ?.slice(1)
        .every((value) => value === null),
    ).toBe(true);
    // And they are the source's text wherever Doris keeps the type.
    const plain = names.filter((_, i) =>
      /^(TINYINT UNSIGNED|SMALLINT|MEDIUMINT|INT|BIGINT|DECIMAL\(38|DATE|TIMESTAMP|TIME|CHAR|VARCHAR|TEXT|ENUM|SET)/.test(
        columns[i]?.[0] ?? '',
      ),
    );
    const exact = ['id', ...plain].join(', ');
    expect(
      await differences(source, client, {
        source: `${database}.t`,
        columns: exact,
        target: `${target}.t`,
        targetColumns: exact,
        key: ['id'],
      }),
    ).toEqual([]);
    await client.query("DROP JOB where jobName = 'types'");
  });

  run('kill -9 in the middle of writes loses nothing and the job goes on by itself', async () => {
    const { database, target } = await databases('crash');
    await using connection = await writerConnection(source, database);
    const writer = new RandomWriter(7, 'mysql', 1000);
    for (const statement of writer.schema()) await connection.execute(statement);
    await writer.write(100, connection.execute);
    await client.query(
      createMysqlJob(source, {
        name: 'crash',
        database,
        tables: Object.keys(WRITER_TABLES).join(),
        target,
      }),
    );
    for (let crash = 0; crash < 4; crash++) {
      // The first kill meets the copy, the others the stream; each at another moment of its load.
      const writing = writer.write(60 + crash * 25, connection.execute);
      await new Promise((resolve) => setTimeout(resolve, 150 * crash));
      await proxy.kill();
      await writing;
      await proxy.start();
    }
    client.destroy();
    client = await proxy.connect();
    await untilEqual(database, target, 60_000);
    const job = await waitForJob(client, 'crash', (row) => row['Status'] === 'RUNNING');
    expect(job['ErrorMsg']).toBe('\\N');
    await client.query("DROP JOB where jobName = 'crash'");
    expect(await jobRow(client, 'crash')).toBeUndefined();
  });

  run('a source that restarts is followed again', async () => {
    const { database, target } = await databases('restart');
    await source.query(
      `USE ${database}; CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1)`,
    );
    await client.query(createMysqlJob(source, { name: 'restart', database, tables: 't', target }));
    const table = { source: `${database}.t`, target: `${target}.t`, key: ['id'] };
    await sameRows(source, client, table);
    await source.restart();
    await source.query(
      `USE ${database}; INSERT INTO t VALUES (2, 2); UPDATE t SET v = 3 WHERE id = 1; FLUSH BINARY LOGS; INSERT INTO t VALUES (3, 3)`,
    );
    await sameRows(source, client, table, 60_000);
    await client.query("DROP JOB where jobName = 'restart'");
  });
});
