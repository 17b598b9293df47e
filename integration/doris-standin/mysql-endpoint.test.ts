import type { Connection, FieldPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { connect, errorOf, load, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;

beforeAll(async () => {
  standin = await startStandin({ connectionsMax: 20 });
  sql = await connect(standin, { multipleStatements: true });
  await sql.query(`CREATE DATABASE d; CREATE USER 'u' IDENTIFIED BY 'secret'; USE d`);
  await sql.query(`CREATE TABLE t (id INT, name VARCHAR(20) NULL DEFAULT "x", note STRING) UNIQUE KEY(id)
    DISTRIBUTED BY HASH(id) BUCKETS AUTO PROPERTIES("replication_num"="1")`);
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

/** What a definition packet says: type, charset, length, decimals, flags. */
function definition(field: FieldPacket): unknown[] {
  const { characterSet, columnLength, columnType, decimals, flags } = field as FieldPacket & {
    characterSet?: number;
    columnLength?: number;
  };
  return [columnType, characterSet, columnLength, decimals, flags];
}

describe('results', () => {
  test('column definitions are those of Doris', async () => {
    const types: Record<string, number[]> = {
      BOOLEAN: [1, 63, 1, 0],
      TINYINT: [1, 63, 4, 0],
      SMALLINT: [2, 63, 6, 0],
      INT: [3, 63, 11, 0],
      BIGINT: [8, 63, 20, 0],
      LARGEINT: [254, 33, 255, 0],
      FLOAT: [4, 63, 12, 31],
      DOUBLE: [5, 63, 22, 31],
      'DECIMAL(10,2)': [246, 63, 12, 2],
      'DECIMAL(10,0)': [246, 63, 11, 0],
      DATE: [10, 63, 10, 0],
      DATETIME: [12, 63, 19, 0],
      'DATETIME(3)': [12, 63, 19, 3],
      'CHAR(3)': [254, 33, 255, 0],
      'VARCHAR(9)': [254, 33, 255, 0],
      STRING: [252, 63, 255, 0],
      JSON: [245, 63, 255, 0],
      'ARRAY<INT>': [254, 33, 255, 0],
    };
    const columns = Object.keys(types).map((type, i) => `c${i} ${type} NULL`);
    await sql.query(
      `CREATE TABLE types (k INT, ${columns.join(', ')}) UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1")`,
    );
    const [, fields] = await sql.query('SELECT * FROM types');
    expect(fields.slice(1).map(definition)).toEqual(
      Object.values(types).map((type) => type.concat(0)),
    );
  });

  test('binary rows hold the same values as text rows', async () => {
    await sql.query(`CREATE TABLE bin (k BIGINT, a TINYINT, b SMALLINT, c INT, d LARGEINT, e FLOAT, f DOUBLE, g DECIMAL(20,3), h DATE, i DATETIME(6), j DATETIME, s STRING)
      UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1")`);
    const row = {
      k: '-9223372036854775808',
      a: -1,
      b: -300,
      c: -70000,
      d: '170141183460469231731687303715884105727',
      e: 1.5,
      f: -0.1,
    };
    const more = {
      g: '-12345678901234567.125',
      h: '2024-02-29',
      i: '2024-01-02 03:04:05.000006',
      j: '2024-01-02 00:00:00',
      s: 'ä',
    };
    await load(standin, 'd/bin', [{ ...row, ...more }, { k: 1 }]);
    const options = {
      rowsAsArray: true,
      dateStrings: true,
      supportBigNumbers: true,
      bigNumberStrings: true,
    } as const;
    const [text] = await sql.query({ sql: 'SELECT * FROM bin ORDER BY k', ...options });
    const [binary] = await sql.execute({
      sql: 'SELECT * FROM bin WHERE k < ? ORDER BY k',
      values: [5],
      ...options,
    });
    expect(binary).toEqual(text);
    expect(text).toHaveLength(2);
  });

  test('parameters of every kind arrive', async () => {
    const values = [-5, 'a\'b"\\', null, 1.5, '2024-01-01'];
    await sql.execute('INSERT INTO t VALUES (?, ?, ?)', [7, "it's", null]);
    await sql.execute('UPDATE t SET note = ? WHERE id = ? AND name = ?', ['new', 7, "it's"]);
    expect(await rowsOf(sql, 'SELECT * FROM t WHERE id = 7')).toEqual([['7', "it's", 'new']]);
    const [rows] = await sql.execute(
      { sql: 'SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e', rowsAsArray: true },
      values,
    );
    expect((rows as unknown[][])[0]).toEqual([-5, 'a\'b"\\', null, '1.5', '2024-01-01']);
  });

  test('without the client bit all statements run and the last result is sent', async () => {
    const single = await connect(standin, { database: 'd' });
    expect(await rowsOf(single, 'INSERT INTO t (id) VALUES (100); SELECT 1; SELECT 2')).toEqual([
      ['2'],
    ]);
    expect(await rowsOf(single, 'SELECT name FROM t WHERE id = 100')).toEqual([['x']]);
    await single.end();
  });

  test('with the client bit each has its result, an error ends them', async () => {
    const [results] = await sql.query('SELECT 1 AS a; SELECT 2 AS b');
    expect(results).toEqual([[{ a: 1 }], [{ b: 2 }]]);
    await errorOf(
      sql,
      'INSERT INTO t (id) VALUES (101); SELECT nothing; INSERT INTO t (id) VALUES (102)',
    );
    expect(await rowsOf(sql, 'SELECT id FROM t WHERE id IN (101, 102)')).toEqual([['101']]);
  });

  test('names of computed columns are their text', async () => {
    const [, fields] = await sql.query(
      'SELECT 1, COUNT(*), upper(name) AS n, t.id, @@version, `d`.`t`.`note` FROM d.t GROUP BY 3, 4, 6',
    );
    expect(fields.map(({ name }) => name)).toEqual([
      '1',
      'COUNT(*)',
      'n',
      'id',
      '@@version',
      'note',
    ]);
  });

  test.each([
    ['SELEC 1', 1105, 'mismatched input'],
    ['SELECT * FROM none', 1105, 'Table [none] does not exist in database [d].'],
    ['SELECT * FROM T', 1105, 'does not exist'],
    ['SELECT * FROM e.t', 1105, 'Database [e] does not exist'],
    ['SELECT * FROM hive.d.t', 1105, 'hive'],
    ['SELECT nothing FROM t', 1105, 'nothing'],
    ['USE none', 1049, "Unknown database 'none'"],
    ['SELECT @@none', 1193, "Unknown system variable 'none'"],
    ['SET none = 1', 1193, "Unknown system variable 'none'"],
    ['set session_track_schema=1, autocommit=1', 1193, 'session_track_schema'],
    ['SET version = 8', 1238, 'read only'],
    ['SET query_timeout = soon', 1231, "can't be set"],
    ['BEGIN', 1105, ''],
    ['SHOW ROUTINE LOAD', 1105, 'does not model'],
    ['SELECT * FROM t LIMIT 1 OFFSET', 1105, ''],
    ['KILL 999999', 1094, 'Unknown thread id'],
    ['', 1105, ''],
    ['SELECT "open', 1105, 'unterminated'],
  ])('%s ends with %d', async (statement, errno, text) => {
    const { errno: found, message } = await errorOf(sql, statement);
    expect([found, message]).toEqual([errno, expect.stringContaining(text)]);
    expect(message).toMatch(/^errCode = 2, detailMessage = /);
  });
});

describe('variables', () => {
  test('belong to the session, or to all new ones', async () => {
    const other = await connect(standin);
    await sql.query(
      `SET SESSION query_timeout = 5, @@sql_mode = concat(@@sql_mode, ',STRICT_TRANS_TABLES')`,
    );
    await sql.query(`SET NAMES latin1; SET autocommit = 0`);
    const mine = 'SELECT @@query_timeout, @@session.sql_mode, @@character_set_client, @@autocommit';
    expect(await rowsOf(sql, mine)).toEqual([
      ['5', 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES', 'latin1', '0'],
    ]);
    expect(await rowsOf(other, mine)).toEqual([['900', 'ONLY_FULL_GROUP_BY', 'utf8mb4', '1']]);
    await sql.query('SET GLOBAL wait_timeout = 9');
    const fresh = await connect(standin);
    expect(await rowsOf(fresh, "SHOW VARIABLES LIKE 'wait_time%'")).toEqual([
      ['wait_timeout', '9', '9', '0'],
    ]);
    await Promise.all([other.end(), fresh.end()]);
  });

  test('Connector/J finds all it asks for', async () => {
    const names =
      'session.auto_increment_increment character_set_client character_set_connection character_set_results character_set_server collation_server collation_connection init_connect interactive_timeout license lower_case_table_names max_allowed_packet net_write_timeout performance_schema query_cache_size query_cache_type sql_mode system_time_zone time_zone transaction_isolation wait_timeout';
    const list = names.split(' ').map((name) => `@@${name} AS ${name.replace('session.', '')}`);
    const [row] = await rowsOf(sql, `/* mysql-connector-j-8.0.31 */SELECT ${list.join(', ')}`);
    expect(row).toHaveLength(21);
    expect(
      await rowsOf(
        sql,
        "SHOW VARIABLES WHERE Variable_name = 'language' OR Variable_name = 'license'",
      ),
    ).toHaveLength(2);
  });
});

test('KILL ends the connection of another session', async () => {
  const victim = await connect(standin);
  const [[id]] = (await rowsOf(victim, 'SELECT CONNECTION_ID()')) as [[string]];
  expect((await rowsOf(sql, 'SHOW PROCESSLIST')).map(([, each]) => each)).toContain(id);
  await sql.query(`KILL ${id}`);
  await expect(victim.query('SELECT 1')).rejects.toThrow();
  expect((await errorOf(sql, `KILL ${id}`)).errno).toBe(1094);
});

test('KILL QUERY ends the statement and leaves the connection', async () => {
  const victim = await connect(standin);
  const [[id]] = (await rowsOf(victim, 'SELECT CONNECTION_ID()')) as [[string]];
  const slow = errorOf(victim, 'SELECT SLEEP(60)');
  await vi.waitFor(async () => {
    const running = (await rowsOf(sql, 'SHOW PROCESSLIST')).find(([, each]) => each === id);
    expect(running?.[12]).toBe('SELECT SLEEP(60)');
  });
  await sql.query(`KILL QUERY ${id}`);
  expect((await slow).message).toContain('cancel query');
  expect(await rowsOf(victim, 'SELECT SLEEP(0), 1')).toEqual([['1', '1']]);
  await victim.end();
});

describe('jobs', () => {
  test('there are none at first, in the columns of 4.0', async () => {
    const [rows, fields] = await sql.query(
      'select * from jobs("type"="insert") where ExecuteType = "STREAMING"',
    );
    expect(rows).toEqual([]);
    expect(fields).toHaveLength(18);
    expect(fields.map(({ columnType }) => columnType)).toEqual(
      Array.from({ length: 18 }, () => 252),
    );
    const [, taskFields] = await sql.query(
      "select * from tasks(type='insert') t where t.jobId = '1' order by CreateTime",
    );
    expect(taskFields.map(({ name }) => name).join()).toBe(
      'TaskId,JobId,JobName,Label,Status,ErrorMsg,CreateTime,StartTime,FinishTime,TrackingUrl,LoadStatistic,User,FirstErrorMsg,RunningOffset',
    );
    expect((await errorOf(sql, 'select * from jobs("type"="mv")')).message).toContain(
      'does not model',
    );
    expect((await errorOf(sql, 'select * from jobs()')).message).toContain(
      'Invalid job metadata query',
    );
  });

  test('a derived table of literal rows takes the place of the function', async () => {
    const statement = `WITH j AS (SELECT * FROM (SELECT CAST('1' AS STRING) AS Id, CAST('a' AS STRING) AS Name
      UNION ALL SELECT Id, Name FROM jobs("type"="insert")) AS jobs)
      SELECT j.Id, count(*) OVER () AS n, t.id FROM j LEFT JOIN d.t ON t.id = -1 WHERE '1' <= j.Id`;
    expect(await rowsOf(sql, statement)).toEqual([['1', '1', null]]);
  });

  test.each([
    'CREATE JOB j ON STREAMING FROM MYSQL ("user"="x") TO DATABASE d ("a"="b")',
    'ALTER JOB j FROM MYSQL ("user"="x") TO DATABASE d',
    "PAUSE JOB WHERE jobname = 'j'",
    "RESUME JOB where jobName = 'j'",
    "DROP JOB where jobName = 'j'",
    "CANCEL TASK WHERE jobName = 'j' AND taskId = 1",
  ])('%s must not get here', async (statement) => {
    expect((await errorOf(sql, statement)).errno).toBe(1105);
  });

  test('an INSERT on a schedule is kept, paused, resumed and dropped', async () => {
    await sql.query('CREATE JOB daily ON SCHEDULE EVERY 1 DAY DO INSERT INTO d.t VALUES (7)');
    const shown = 'select Status, RecurringStrategy from jobs("type"="insert")';
    expect(await rowsOf(sql, shown)).toEqual([
      ['RUNNING', expect.stringMatching(/^EVERY 1 DAY STARTS \d{4}-/)],
    ]);
    const again = 'CREATE JOB daily ON SCHEDULE AT CURRENT_TIMESTAMP DO INSERT INTO d.t VALUES (7)';
    expect((await errorOf(sql, again)).message).toContain('job name exist, jobName:daily');
    await sql.query("PAUSE JOB WHERE jobName = 'daily'");
    expect((await errorOf(sql, "PAUSE JOB WHERE jobName = 'daily'")).message).toContain(
      "Can't change job status to the same status",
    );
    expect(await rowsOf(sql, shown)).toMatchObject([['PAUSED', expect.anything()]]);
    await sql.query("RESUME JOB WHERE jobName = 'daily'");
    await sql.query("DROP JOB WHERE jobName = 'daily'");
    expect(await rowsOf(sql, shown)).toEqual([]);
  });

  test('one that runs once has a task, in view of who may LOAD there', async () => {
    await sql.query(
      "CREATE JOB once ON SCHEDULE AT CURRENT_TIMESTAMP COMMENT 'c' DO INSERT INTO d.t SELECT 8, 'x', 'y'",
    );
    expect(await rowsOf(sql, 'SELECT id FROM d.t WHERE id = 8')).toEqual([['8']]);
    const tasks = 'select JobName, Status, LoadStatistic from tasks("type"="insert")';
    expect(await rowsOf(sql, tasks)).toEqual([['once', 'SUCCESS', '\\N']]);
    const other = await connect(standin, { user: 'u', password: 'secret' });
    expect(await rowsOf(other, tasks)).toEqual([]);
    expect((await errorOf(other, "DROP JOB WHERE jobName = 'once'")).errno).toBe(1227);
    await other.end();
    await sql.query("DROP JOB WHERE jobName = 'once'");
  });

  test.each<[string, number, number]>([
    ['Doris version doris-2.1.9-x', 12, 12],
    ['Doris version doris-4.1.2-x', 20, 14],
    ['Doris version doris-4.1.4-x', 21, 14],
  ])('%s has the columns of its time', async (versionComment, jobs, tasks) => {
    await using other = await startStandin({ versionComment });
    const client = await connect(other);
    const [, jobFields] = await client.query('select * from jobs("type"="insert")');
    const [, taskFields] = await client.query('select * from tasks("type"="insert")');
    expect([jobFields.length, taskFields.length]).toEqual([jobs, tasks]);
    await client.end();
  });
});
