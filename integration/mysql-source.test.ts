import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import { openSource } from '../src/source/open-source.ts';
import type { Source } from '../src/source/source.ts';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { ALL, allSplits, copy, newDatabase, selection } from './support/mysql-job.ts';
import { LIMIT, never, Replica, sourceRows } from './support/replica.ts';

const START = { mysql: startMysql, mariadb: startMariadb } as const;

describe.each(['mysql', 'mariadb'] as const)('a %s source', (kind) => {
  const run = test.runIf(available(kind));
  let server: MysqlServer;

  beforeAll(async () => {
    if (available(kind)) server = await START[kind]();
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  const database = (name: string, sql: string): Promise<Source> => newDatabase(server, name, sql);

  describe('preflight', () => {
    run('describes tables, columns and keys; views are no tables', async () => {
      await using source = await database(
        'described',
        `CREATE TABLE b (x INT, id BIGINT UNSIGNED, d DECIMAL(10,2) NOT NULL DEFAULT 1 COMMENT 'price', c CHAR(3) CHARACTER SET latin1,
           g INT AS (x + 1) VIRTUAL, PRIMARY KEY (id, x));
         CREATE TABLE a (id INT PRIMARY KEY, e ENUM('p','q'), hidden INT);
         CREATE VIEW v AS SELECT 1 AS id`,
      );
      const tables = await source.preflight(
        selection({ targets: { b: 'bb' }, excludeColumns: { a: [' hidden '] } }),
      );
      expect(
        tables.map(({ schema, name, target, key }) => ({ schema, name, target, key })),
      ).toEqual([
        { schema: 'described', name: 'a', target: 'a', key: ['id'] },
        { schema: 'described', name: 'b', target: 'bb', key: ['id', 'x'] },
      ]);
      expect(tables[0]!.columns[2]).toMatchObject({ name: 'hidden', excluded: true });
      expect(tables[1]!.columns.map(({ name }) => name)).toEqual(['x', 'id', 'd', 'c', 'g']);
      expect(tables[1]!.columns[2]).toMatchObject({
        sourceType: 'decimal(10,2)',
        dorisType: 'DECIMAL(10,2)',
        nullable: false,
        comment: 'price',
      });
      expect(tables[1]!.columns[3]).toMatchObject({ sourceType: 'char(3)', charset: 'latin1' });
    });

    run('answers with the texts of Doris, all findings at once', async () => {
      await using source = await database(
        'refused',
        'CREATE TABLE t1 (a INT); CREATE TABLE t2 (a INT); CREATE TABLE t3 (id INT PRIMARY KEY, a INT)',
      );
      await expect(source.preflight(ALL)).rejects.toThrow(
        /^The following tables do not have primary key defined: t1, t2$/,
      );
      await expect(source.preflight(selection({ include: ['nope', 'T3'] }))).rejects.toThrow(
        /^Can not found match table in database refused$/,
      );
      await expect(source.preflight(selection({ exclude: ['t1', ' t2', 't3'] }))).rejects.toThrow(
        'Can not found match table in database refused',
      );
      expect(await source.preflight(selection({ include: [' t3 ', 'nope'] }))).toHaveLength(1);
      await expect(
        source.preflight(selection({ include: ['t3'], excludeColumns: { t3: ['id', 'zz'] } })),
      ).rejects.toThrow(
        "exclude_columns validation failed: column 'id' in table 't3' is a primary key column and cannot be excluded; " +
          "exclude_columns validation failed: column 'zz' does not exist in table 't3'",
      );
      await using empty = await database('nothing', '');
      await expect(empty.preflight(ALL)).rejects.toThrow(/^No tables found in database nothing$/);
    });

    run('names settings and rights that are missing', async () => {
      await database('rights', 'CREATE TABLE t (id INT PRIMARY KEY)');
      await server.query(
        `DROP USER IF EXISTS reader; CREATE USER reader IDENTIFIED BY 'Reader-1'; GRANT SELECT ON rights.* TO reader`,
      );
      const login = { user: 'reader', jdbc_url: `jdbc:mysql://${server.host}:${server.port}` };
      const properties = { ...login, database: 'rights' };
      await using source = await openSource('MYSQL', properties, 'Reader-1', { jobId: 1 });
      await expect(source.preflight(ALL)).rejects.toMatchObject({
        code: 'SOURCE_ACCESS',
        message: expect.stringMatching(
          /Access denied.*; the user needs REPLICATION SLAVE and REPLICATION CLIENT/,
        ) as string,
      });
      await server.query('GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader');
      await using entitled = await openSource('MYSQL', properties, 'Reader-1', { jobId: 1 });
      expect(await entitled.preflight(ALL)).toHaveLength(1);
      await server.query('SET GLOBAL binlog_row_image = MINIMAL');
      try {
        await expect(entitled.preflight(ALL)).rejects.toMatchObject({
          code: 'SOURCE_SETTING',
          message: expect.stringContaining(
            "variable binlog_row_image must be 'FULL' but is 'MINIMAL'",
          ) as string,
        });
      } finally {
        await server.query('SET GLOBAL binlog_row_image = FULL');
      }
      await expect(openSource('MYSQL', properties, 'wrong', { jobId: 1 })).rejects.toMatchObject({
        code: 'SOURCE_ACCESS',
        message: expect.stringContaining("Access denied for user 'reader'") as string,
      });
    });
  });

  describe('splits', () => {
    const keys: Readonly<
      Record<string, readonly [columns: string, values: (i: number) => string]>
    > = {
      int_key: ['k INT, PRIMARY KEY (k)', (i) => `${i * 3 - 100}`],
      unsigned_key: [
        'k BIGINT UNSIGNED, PRIMARY KEY (k)',
        (i) => `${18446744073709551615n - BigInt(i)}`,
      ],
      decimal_key: ['k DECIMAL(30,10), PRIMARY KEY (k)', (i) => `${i - 30}.000000000${i % 10}`],
      double_key: ['k DOUBLE, PRIMARY KEY (k)', (i) => `${(i - 30) / 7}e0`],
      bit_key: ['k BIT(9), PRIMARY KEY (k)', (i) => `${i * 5}`],
      enum_key: ["k ENUM('z','b','a'), n INT, PRIMARY KEY (k, n)", (i) => `${1 + (i % 3)}, ${i}`],
      date_key: ['k DATE, PRIMARY KEY (k)', (i) => `'2024-01-01' + INTERVAL ${i} DAY`],
      datetime_key: [
        'k DATETIME(6), PRIMARY KEY (k)',
        (i) => `'2024-01-01 00:00:00.0000${10 + i}'`,
      ],
      timestamp_key: [
        'k TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), PRIMARY KEY (k)',
        (i) => `'2024-01-31 01:59:${10 + (i % 50)}.${100 + i}'`,
      ],
      time_key: ['k TIME(2), PRIMARY KEY (k)', (i) => `'-0${i % 9}:00:${i % 60}.${10 + i}'`],
      year_key: [
        'k YEAR, n INT, PRIMARY KEY (k, n)',
        (i) => `${i < 5 ? "'0000'" : 1901 + (i % 4)}, ${i}`,
      ],
      without_case: [
        'k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, PRIMARY KEY (k)',
        (i) => `'${['ä', 'B', 'Z', 'ß', '中', '😀', '_', '%'][i % 8]}${i} '`,
      ],
      latin_key: [
        'k CHAR(10) CHARACTER SET latin1, PRIMARY KEY (k)',
        (i) => `'${['ä', 'b', 'Z'][i % 3]}${i}'`,
      ],
      gbk_key: [
        'k CHAR(10) CHARACTER SET gbk, PRIMARY KEY (k)',
        (i) => `'${['中', '文', 'Z'][i % 3]}${i}'`,
      ],
      binary_key: ['k BINARY(4), PRIMARY KEY (k)', (i) => `X'${(i + 16).toString(16)}0027'`],
      composite_key: [
        'a INT, b VARCHAR(5), c DECIMAL(5,2), PRIMARY KEY (b, a, c)',
        (i) => `${i % 3}, '${'AbC'[i % 3]}${i % 2}', ${i}.5`,
      ],
    };

    run('of every kind of key hold every row exactly once', async () => {
      const rows = 60;
      const sql = Object.entries(keys).map(([name, [columns, values]]) => {
        const list = Array.from({ length: rows }, (_, i) => `(${values(i)})`).join(', ');
        return `CREATE TABLE ${name} (${columns}); INSERT INTO ${name} VALUES ${list};`;
      });
      await using source = await database('splits', `SET sql_mode = ''; ${sql.join('\n')}`);
      for (const table of await source.preflight(ALL)) {
        const replica = new Replica();
        let splits = 0;
        for (const split of await allSplits(source, table, 7)) {
          const before = replica.rows;
          await copy(source, table, split, replica);
          expect(replica.rows - before, split.splitId).toBeLessThanOrEqual(7);
          splits++;
        }
        expect([table.name, splits, replica.rows]).toEqual([table.name, 9, rows]);
        // Rows that came twice would have the same key.
        expect(replica.sorted(`splits.${table.name}`)).toHaveLength(rows);
      }
    });

    test.runIf(available(kind)).each(['VARCHAR(10)', "ENUM('t0','t1')"])(
      'of a table with few values in its first key column, %s, read only their own rows',
      async (type) => {
        await using source = await database(
          'tenants',
          `CREATE TABLE t (tenant ${type}, id INT, PRIMARY KEY (tenant, id));
         INSERT INTO t SELECT CONCAT('t', id % 2), id FROM (
           WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 900) SELECT * FROM n) x;
           ANALYZE TABLE t`,
        );
        const [table] = await source.preflight(ALL);
        const reads = async (): Promise<number> => {
          const [row] = await server.query<{ Value: string }>(
            `SHOW GLOBAL STATUS LIKE 'Handler_read_next'`,
          );
          return Number(row!.Value);
        };
        // Connections of tests before this one are counted when the server has noticed their end.
        let before = await reads();
        await vi.waitFor(async () => {
          const last = before;
          before = await reads();
          expect(before).toBe(last);
        });
        const replica = new Replica();
        for (const split of await allSplits(source, table!, 30))
          await copy(source, table!, split, replica);
        expect(replica.sorted('tenants.t')).toEqual(await sourceRows(server, 'tenants.t'));
        // Twice the table, for boundaries and rows; quadratic would be 30 times.
        expect((await reads()) - before).toBeLessThan(4 * 900);
      },
    );

    run(
      'larger than a batch take several fills, and an abort or a killed connection ends them',
      async () => {
        await using source = await database(
          'large',
          `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000));
         INSERT INTO t SELECT id, REPEAT(CHAR(65 + id % 26), 2000) FROM (
           WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 1000) SELECT * FROM n) x;
         INSERT INTO t SELECT id + 1000, v FROM t; INSERT INTO t SELECT id + 2000, v FROM t;
         INSERT INTO t SELECT id + 4000, v FROM t`,
        );
        const [table] = await source.preflight(ALL);
        const [split] = await allSplits(source, table!, 1_000_000);
        const replica = new Replica();
        const batch = new Batch();
        const small = { ...LIMIT, rowsMax: 300 };
        let fills = 0;
        {
          await using reader = await source.readSplit(table!, split!);
          for (let done = false; !done; fills++) {
            done = await reader.fill(batch, small, never);
            // What the socket had in hand comes along.
            expect(batch.rows).toBeLessThan(300 + 200);
            replica.apply(batch);
          }
        }
        expect(fills).toBeGreaterThan(15);
        expect(replica.sorted('large.t')).toEqual(await sourceRows(server, 'large.t'));

        {
          await using aborted = await source.readSplit(table!, split!);
          await aborted.fill(batch, small, never);
          await expect(
            aborted.fill(batch, small, AbortSignal.abort(new Error('stop'))),
          ).rejects.toThrow('stop');
          batch.reset();
        }
        await using killed = await source.readSplit(table!, split!);
        await killed.fill(batch, small, never);
        const [thread] = await server.query<{ Id: string }>(
          `SELECT ID AS Id FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT%FROM \`large\`%FORCE INDEX%' AND ID <> CONNECTION_ID()`,
        );
        await server.query(`KILL ${thread!.Id}`);
        const rest = async (): Promise<void> => {
          for (let done = false; !done;) {
            batch.reset();
            done = await killed.fill(batch, LIMIT, never);
          }
        };
        await expect(rest()).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' });
      },
    );
  });
});
