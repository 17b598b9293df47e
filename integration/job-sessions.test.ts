import mysql, { type Connection, type ConnectionOptions, type RowDataPacket } from 'mysql2/promise';
import { beforeAll, describe, expect, test } from 'vitest';
import { available, mariadbCli, mysqlCli } from './servers.ts';
import { createMysqlJob } from './support/jobs.ts';
import { pythonWith } from './support/programs.ts';
import { run } from './support/server-process.ts';
import { expectEqual } from './support/test-relay.ts';
import { T, Worlds } from './support/worlds.ts';
import type { Place } from './support/end-to-end.ts';

/**
 * The checklist of wire.md §6, the lines about a session that has job statements in it: the whole proxy in front of the
 * stand-in, and the same session directly with statements of Doris' in their place.
 */

const JOBS = 'jobs("type"="insert")';

describe.runIf(available('mariadb'))('sessions with job statements', () => {
  const world = new Worlds('mariadb');
  let place: Place;
  let ways: readonly { readonly host: string; readonly port: number }[];

  beforeAll(async () => {
    const [host = '', port = ''] = world.it.doris.fe.split(':');
    ways = [
      { host, port: Number(port) },
      { host: world.it.proxy.host, port: world.it.proxy.port },
    ];
    place = await world.place(T);
    await world.run('create database one');
    await world.run('create database two');
    for (const user of ['loader', 'reader']) {
      await world.run(`create user ${user} identified by 'secret'`);
      await world.run(`grant select_priv, load_priv on one.* to ${user}`);
      await world.run(`grant select_priv, load_priv on two.* to ${user}`);
    }
    await world.run(`grant load_priv on ${place.target}.* to loader`);
    const columns = '(name varchar(200)) duplicate key(name) distributed by hash(name) buckets 1';
    for (const database of ['one', 'two']) {
      await world.run(
        `create table ${database}.names ${columns} properties ("replication_num" = "1")`,
      );
    }
  });

  const create = (name: string): string => {
    const wish = { name, database: place.database, tables: 't', target: place.target };
    return createMysqlJob(world.mysql, wish);
  };

  /** The same over both ways, as a user whom Doris lets come back (nobody may become root). */
  const onEach = async <R>(
    use: (connection: Connection, way: number) => Promise<R>,
    options: ConnectionOptions = {},
  ): Promise<R[]> => {
    const results: R[] = [];
    for (const [i, at] of ways.entries()) {
      const login = { ...at, user: 'loader', password: 'secret' };
      const connection = await mysql.createConnection({ ...login, ...options });
      try {
        results.push(await use(connection, i));
      } finally {
        connection.destroy();
      }
    }
    return results;
  };

  const CHOICES: readonly [
    string,
    (connection: Connection) => Promise<unknown>,
    ConnectionOptions,
  ][] = [
    ['USE', (connection) => connection.query('use two'), { database: 'one' }],
    ['the login', () => Promise.resolve(), { database: 'two' }],
    [
      'COM_CHANGE_USER',
      (connection) =>
        connection.changeUser({ user: 'loader', password: 'secret', database: 'two' }),
      { database: 'one' },
    ],
    ['USE with a catalog', (connection) => connection.query('use internal.two'), {}],
  ];

  test('14: names without a database are looked for where the session is, between statements of ours too', async () => {
    await world.run(create('in_between'));
    for (const [what, choose, options] of CHOICES) {
      const seen = await onEach(async (connection, i) => {
        const steps: unknown[] = [];
        const where = async (): Promise<void> => {
          steps.push((await connection.query('select database() as d'))[0]);
        };
        await choose(connection);
        await where();
        await connection.query(i === 0 ? 'select 1' : "pause job where jobname = 'in_between'");
        await where();
        // Sent to Doris with rows in the place of the call.
        await connection.query(
          i === 0
            ? "insert into names select 'in_between' as name"
            : `insert into names select concat(Name, '') from ${JOBS}`,
        );
        await connection.query(i === 0 ? 'select 1' : "resume job where jobname = 'in_between'");
        await where();
        for (const database of ['one', 'two']) {
          const [rows] = await connection.query(`select name from ${database}.names`);
          steps.push(rows);
          await world.run(`truncate table ${database}.names`);
        }
        return steps;
      }, options);
      const two = [{ d: 'two' }];
      expect([what, ...expectEqual(seen)]).toEqual([
        what,
        two,
        two,
        two,
        [],
        [{ name: 'in_between' }],
      ]);
    }
    // The job's own target is where it was told, whatever the session is in.
    await expect.poll(() => world.ids(place), { timeout: 20_000 }).toEqual([1, 2]);
  });

  test('14: COM_INIT_DB, which the command line sends for USE', async () => {
    await world.run(create('in_between'));
    const seen: unknown[] = [];
    for (const [i, { host, port }] of ways.entries()) {
      // In both no rows.
      const own = i === 0 ? 'use two' : "pause job where jobname = 'in_between'";
      const rows = i === 0 ? "select 'in_between' as name" : `select concat(Name, '') from ${JOBS}`;
      const script = `use one
use two
${own};
select database();
insert into names ${rows};
select name from two.names;
truncate table names;
`;
      const login = [`-h${host}`, `-P${port}`, '-uloader', '-psecret', '-N', '-f'];
      seen.push(await mariadbCli(login, script));
    }
    expect(expectEqual(seen)).toMatchObject({ stdout: 'two\nin_between\n' });
  });

  test('14: SWITCH, which the FE judges', async () => {
    const seen = await onEach((connection) =>
      connection.query('switch internal').then(
        () => 'switched',
        (error: Error) => error.message,
      ),
    );
    expectEqual(seen);
  });

  test('22: without several results the last one is answered, as by Doris', async () => {
    await world.run(create('batched'));
    const seen = await onEach(async (connection, i) => {
      const own = i === 0 ? 'select 2' : "pause job where jobname = 'batched'";
      const [last] = await connection.query(`select 1 as a; ${own}; select 3 as c`);
      const failed = await connection
        .query(`select 1 as a; select * from one.nowhere; ${own}; select 4 as d`)
        .catch((error: Error) => error.message);
      return [last, failed, (await connection.query('select 5 as e'))[0]];
    });
    expect(expectEqual(seen)[0]).toEqual([{ c: 3 }]);
  });

  test('23: however a statement of ours is written, it is ours', async () => {
    await world.run(create('written'));
    const { client } = world.it;
    const forms = [
      "PAUSE JOB WHERE jobname = 'written' ;",
      "/* from a tool */ -- and a line\n# another\n resume\tjob\r\nwhere JobName='written';; -- done",
      'pause job where jobname = written\0',
      '\uFEFFReSuMe JoB wHeRe JOBNAME = "written"',
      "/*+ hint */ pause/**/job where jobname = 'written' # done",
      "  resume   job where jobname = 'written'  ",
    ];
    for (const [i, form] of forms.entries()) {
      await client.query(form);
      const query = [
        `(select Status from ${JOBS} where Name = 'written')`,
        `/* Metabase:: userID: 1 */ SELECT status FROM JOBS ( 'type' = insert ) j WHERE name = 'written';`,
      ][i % 2];
      const [rows] = await client.query<RowDataPacket[]>(query ?? '');
      const status: unknown = Object.values(rows[0] ?? {})[0];
      if (i % 2 === 0) expect(status).toBe('PAUSED');
      else expect(['PENDING', 'RUNNING']).toContain(status);
    }
  });

  test("30: after CHANGE_USER rights are the new user's, after RESET_CONNECTION ours are forgotten", async () => {
    await world.run(create('guarded'));
    const connection = await world.it.proxy.connect({ user: 'loader', password: 'secret' });
    const pause = "pause job where jobname = 'guarded'";
    const names = async (): Promise<unknown> =>
      (await connection.query<RowDataPacket[]>(`select Name from ${JOBS}`))[0].map(
        ({ Name }) => Name as unknown,
      );
    const become = async (user: string): Promise<void> => {
      await connection.changeUser({ user, password: 'secret' });
    };
    await connection.query(pause);
    const statement = await connection.prepare(`select Name from ${JOBS} where Name = ?`);
    expect((await statement.execute(['guarded']))[0]).toEqual([{ Name: 'guarded' }]);
    await become('reader');
    expect(await names()).toEqual([]);
    await expect(connection.query(pause)).rejects.toMatchObject({ errno: 1225, sqlState: '42000' });
    await expect(statement.execute(['guarded'])).rejects.toMatchObject({ errno: 1243 });
    await become('loader');
    expect(await names()).toEqual(['guarded']);
    await connection.query("resume job where jobname = 'guarded'");
    const again = await connection.prepare(`select Name from ${JOBS} where Name = ?`);
    await connection.reset();
    await expect(again.execute(['guarded'])).rejects.toMatchObject({ errno: 1243 });
    // A job statement of a session that was reset, and one that is prepared anew.
    await connection.query(pause);
    expect(
      (await connection.execute(`select Name, Status from ${JOBS} where Name = ?`, ['guarded']))[0],
    ).toEqual([{ Name: 'guarded', Status: 'PAUSED' }]);
    connection.destroy();
  });

  test('36: names and comments beyond ASCII, by clients of several character sets', async () => {
    const text = 'jöb 中文 😀';
    const job = create(`\`${text}\``).replace(
      'ON STREAMING',
      `ON STREAMING COMMENT '${text} it''s'`,
    );
    const clients = [
      { cli: mariadbCli, charset: 'utf8mb4' },
      { cli: mariadbCli, charset: 'gbk' },
      ...(available('mysql') ? [{ cli: mysqlCli, charset: 'utf8mb4' }] : []),
    ];
    for (const { cli, charset } of clients) {
      const said = async (way: number, sql: string): Promise<unknown> => {
        const { host = '', port = 0 } = ways[way] ?? {};
        const login = [
          `-h${host}`,
          `-P${port}`,
          '-uroot',
          '-N',
          `--default-character-set=${charset}`,
        ];
        return await cli(login, `${sql};`);
      };
      expect(await said(1, job)).toMatchObject({ code: 0, stderr: '' });
      const own = await said(1, `select Name, Comment from ${JOBS} where Name = '${text}'`);
      // What Doris says of the same text, and what the proxy makes of that: bytes are bytes to both.
      const direct = await said(0, `select '${text}' as Name, '${text} it''s' as Comment`);
      expect(own).toEqual(direct);
      expect(own).toMatchObject({ stdout: `${text}\t${text} it's\n` });
      expect(await said(1, `drop job where jobname = '${text}'`)).toMatchObject({ code: 0 });
      expect(await said(1, `pause job where jobname = '${text}'`)).toMatchObject({
        stderr: expect.stringContaining(`job not exist, jobName: ${text}`) as string,
      });
    }
  });

  test('37: errors look the same in every client: number, state, text, class', async () => {
    await world.run(create('there'));
    const nobodyListens = create('away').replace(
      /jdbc:mysql:\/\/[^"]+/,
      'jdbc:mysql://127.0.0.1:1',
    );
    const errors: readonly [string, string, string][] = [
      [create('there'), '1105 (HY000)', 'job name exist'],
      ["pause job where jobname = 'nobody'", '1105 (HY000)', 'job not exist'],
      ['create job x on streaming from mysql ("user" = "root"', '1105 (HY000)', ''],
      // A client's own numbers would be no error of a server's to MariaDB's library.
      [nobodyListens, '1105 (HY000)', '127.0.0.1:1'],
    ];
    const at = ways[1];
    const login = [`-h${at?.host}`, `-P${at?.port}`, '-uroot'];
    for (const [sql, number, words] of errors) {
      for (const cli of available('mysql') ? [mariadbCli, mysqlCli] : [mariadbCli]) {
        const { code, stderr } = await cli(login, `${sql};`);
        expect(code).toBe(1);
        expect(stderr).toContain(`ERROR ${number} at line 1: `);
        expect(stderr).toContain(words);
      }
    }
    const denied = await mariadbCli(
      [...login.slice(0, 2), '-ureader', '-psecret'],
      "pause job where jobname = 'there';",
    );
    expect(denied.stderr).toContain(
      'ERROR 1225 (42000) at line 1: errCode = 2, detailMessage = Access denied; you need (at least one of) the (LOAD)',
    );
  });

  test('37: PyMySQL raises the class that it raises for an error of the FE', async ({ skip }) => {
    const python = pythonWith('pymysql');
    skip(python === undefined, 'PyMySQL is not here');
    const script = `
import sys, pymysql
c = pymysql.connect(host=sys.argv[1], port=int(sys.argv[2]), user='reader', password='secret')
for sql in sys.argv[3:]:
    try:
        c.cursor().execute(sql)
    except Exception as e:
        print(type(e).__name__, e.args[0])
`;
    const classes: string[] = [];
    for (const [i, at] of ways.entries()) {
      const statements =
        i === 0
          ? ['select * from one.nowhere', "create user x identified by 'y'"]
          : [
              "pause job where jobname = 'nobody'",
              'admin set frontend config ("max_streaming_job_num" = "7")',
            ];
      const args = ['-c', script, at.host, `${at.port}`, ...statements];
      const { stdout, stderr } = await run({ program: python ?? '', args });
      expect(stderr).toBe('');
      classes.push(stdout);
    }
    expect(expectEqual(classes).trim().split('\n')).toHaveLength(2);
  });
});
