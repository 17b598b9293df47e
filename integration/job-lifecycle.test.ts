import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { available, mariadbCli, mysqlCli, startMariadb } from './servers.ts';
import { type DorisHandle, startDoris } from './support/doris.ts';
import {
  createMysqlJob,
  type JobRow,
  jobRow,
  type JobWish,
  taskRows,
  waitForJob,
} from './support/jobs.ts';
import type { MysqlServer } from './support/mysql-server.ts';
import { type ProxyHandle, startProxy } from './support/proxy.ts';
import { sameRows } from './support/same-rows.ts';
import { freePort } from './support/server-process.ts';

const JOB_COLUMNS = [
  'Id',
  'Name',
  'Definer',
  'ExecuteType',
  'RecurringStrategy',
  'Status',
  'ExecuteSql',
  'CreateTime',
  'SucceedTaskCount',
  'FailedTaskCount',
  'CanceledTaskCount',
  'Comment',
  'Properties',
  'CurrentOffset',
  'EndOffset',
  'LoadStatistic',
  'ErrorMsg',
  'JobRuntimeMsg',
];

const TASK_COLUMNS = [
  'TaskId',
  'JobId',
  'JobName',
  'Label',
  'Status',
  'ErrorMsg',
  'CreateTime',
  'StartTime',
  'FinishTime',
  'TrackingUrl',
  'LoadStatistic',
  'User',
  'FirstErrorMsg',
  'RunningOffset',
];

const isStatus = (status: string) => (row: JobRow) => row['Status'] === status;

describe.runIf(available('mariadb'))('the life of a job', () => {
  let source: MysqlServer;
  let doris: DorisHandle;
  let proxy: ProxyHandle;
  let client: Connection;

  beforeAll(async () => {
    [source, doris] = await Promise.all([startMariadb(), startDoris()]);
    proxy = await startProxy(doris);
  });

  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await doris?.[Symbol.asyncDispose]();
    await source?.[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    client = await proxy.connect();
    await source.query(
      `DROP DATABASE IF EXISTS shop; CREATE DATABASE shop; USE shop;
       CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1, 'one'), (2, 'two');
       CREATE TABLE no_key (id INT)`,
    );
    await client.query('DROP DATABASE IF EXISTS target');
    await client.query('CREATE DATABASE target');
    await client.query('USE target');
  });

  afterEach(async () => {
    const [jobs] = await client.query<RowDataPacket[]>('select Name from jobs("type"="insert")');
    for (const { Name: name } of jobs) await client.query(`DROP JOB WHERE jobName = '${name}'`);
    client.destroy();
  });

  const T = { source: 'shop.t', target: 'target.t', key: ['id'] };
  const create = (name: string, changed: Partial<JobWish> = {}) =>
    client.query(
      createMysqlJob(source, { name, database: 'shop', tables: 't', target: 'target', ...changed }),
    );

  test('PAUSE stops it at once, RESUME goes on where it was', async () => {
    await create('pausing');
    await sameRows(source, client, T);
    await client.query('PAUSE JOB WHERE jobname = pausing ;');
    expect(await jobRow(client, 'pausing')).toMatchObject({ Status: 'PAUSED' });
    const before = await jobRow(client, 'pausing');
    await source.query(
      "INSERT INTO shop.t VALUES (3, 'while paused'); DELETE FROM shop.t WHERE id = 1",
    );
    await expect(client.query("PAUSE JOB WHERE jobName = 'pausing'")).rejects.toThrow(
      "Can't change job status to the same status",
    );
    const [rows] = await client.query('SELECT id FROM target.t ORDER BY id');
    expect(rows).toEqual([{ id: 1 }, { id: 2 }]);
    await client.query('RESUME JOB where jobName = pausing ;');
    await sameRows(source, client, T);
    const after = await waitForJob(client, 'pausing', isStatus('RUNNING'));
    expect(after['Id']).toBe(before?.['Id']);
    expect(Number(after['SucceedTaskCount'])).toBeGreaterThan(Number(before?.['SucceedTaskCount']));
    await expect(client.query("RESUME JOB WHERE jobName = 'pausing'")).rejects.toThrow(
      "Can't change job status to the same status",
    );
  });

  test('max_interval gathers changes; the task that waits for them is shown, and cancelled by PAUSE', async () => {
    const wish = { name: 'patient', database: 'shop', tables: 't', target: 'target' };
    const statement = createMysqlJob(source, wish);
    await client.query(
      statement.replace('ON STREAMING', 'ON STREAMING PROPERTIES ("max_interval" = "3s")'),
    );
    await sameRows(source, client, T);
    const id = (await jobRow(client, 'patient'))?.['Id'] ?? '';
    await expect
      .poll(async () => (await taskRows(client, id))[0]?.['Status'], { timeout: 20_000 })
      .toBe('PENDING');
    // The copy is over now, so its tasks are counted.
    const before = await jobRow(client, 'patient');
    const [waiting] = await taskRows(client, id);
    expect(waiting).toMatchObject({ StartTime: '\\N', RunningOffset: '\\N', ErrorMsg: '\\N' });
    await source.query(
      "INSERT INTO shop.t VALUES (3, 'three'); DO SLEEP(0.7); INSERT INTO shop.t VALUES (4, 'four')",
    );
    await sameRows(source, client, T);
    // Both came in one load, by the task that had waited.
    await waitForJob(
      client,
      'patient',
      (row) => Number(row['SucceedTaskCount']) === Number(before?.['SucceedTaskCount']) + 1,
    );
    expect((await taskRows(client, id)).slice(0, 2)).toMatchObject([
      { Status: 'PENDING' },
      { Status: 'SUCCESS', TaskId: waiting?.['TaskId'], CreateTime: waiting?.['CreateTime'] },
    ]);
    await client.query("PAUSE JOB WHERE jobName = 'patient'");
    expect((await taskRows(client, id))[0]).toMatchObject({
      Status: 'CANCELED',
      ErrorMsg: 'task cancelled',
      FinishTime: '\\N',
    });
    expect(await jobRow(client, 'patient')).toMatchObject({ CanceledTaskCount: '1' });
  });

  test('ALTER changes a paused job only, and what it changes is used', async () => {
    await source.query(
      "CREATE OR REPLACE USER reader@'%' IDENTIFIED BY 'first'; GRANT ALL ON *.* TO reader@'%'",
    );
    await create('altering', { properties: { user: 'reader', password: 'first' } });
    await sameRows(source, client, T);
    const alter = (password: string) =>
      client.query(
        `ALTER JOB altering FROM MYSQL ("user" = "reader", "password" = "${password}") TO DATABASE target`,
      );
    await expect(alter('second')).rejects.toThrow('Only PAUSED job can be altered');
    await client.query("PAUSE JOB WHERE jobName = 'altering'");
    await source.query(
      "ALTER USER reader@'%' IDENTIFIED BY 'second'; INSERT INTO shop.t VALUES (3, 'x')",
    );
    await expect(
      client.query('ALTER JOB altering FROM MYSQL ("database" = "other") TO DATABASE target'),
    ).rejects.toThrow('The database property cannot be modified in ALTER JOB');
    await expect(
      client.query('ALTER JOB altering FROM MYSQL ("user" = "u") TO DATABASE elsewhere'),
    ).rejects.toThrow("target database can't be modified in ALTER JOB");
    await alter('second');
    await client.query("RESUME JOB WHERE jobName = 'altering'");
    await sameRows(source, client, T);
  });

  test('a password that stops being right pauses the job with the reason', async () => {
    await source.query(
      "CREATE OR REPLACE USER leaver@'%' IDENTIFIED BY 'first'; GRANT ALL ON *.* TO leaver@'%'",
    );
    await create('locked_out', { properties: { user: 'leaver', password: 'first' } });
    await sameRows(source, client, T);
    await client.query("PAUSE JOB WHERE jobName = 'locked_out'");
    await source.query("ALTER USER leaver@'%' IDENTIFIED BY 'second'");
    await client.query("RESUME JOB WHERE jobName = 'locked_out'");
    const job = await waitForJob(
      client,
      'locked_out',
      (row) => row['Status'] === 'PAUSED' && row['ErrorMsg'] !== '\\N',
    );
    expect(job['ErrorMsg']).toMatch(/Access denied for user/);
    expect(job['ErrorMsg']).not.toContain('first');
  });

  test('DROP removes it and its tasks, and leaves the table', async () => {
    await create('dropping');
    await sameRows(source, client, T);
    const id = (await jobRow(client, 'dropping'))?.['Id'] ?? '';
    expect((await taskRows(client, id)).length).toBeGreaterThan(0);
    await client.query('DROP JOB where jobName = dropping ;');
    expect(await jobRow(client, 'dropping')).toBeUndefined();
    expect(await taskRows(client, id)).toEqual([]);
    await source.query("INSERT INTO shop.t VALUES (9, 'nobody follows')");
    const [rows] = await client.query('SELECT COUNT(*) AS n FROM target.t');
    expect(rows).toEqual([{ n: 2 }]);
    await expect(client.query("DROP JOB WHERE jobName = 'dropping'")).rejects.toThrow(
      'unregister job error, jobName:dropping',
    );
    await client.query("DROP JOB IF EXISTS WHERE jobName = 'dropping'");
    // The name is free again, and the rows that are there are no obstacle.
    await create('dropping');
    await sameRows(source, client, T);
  });

  test('jobs() and tasks() are the same in text, prepared and vertical form', async () => {
    await create('shown');
    await sameRows(source, client, T);
    await waitForJob(client, 'shown', isStatus('RUNNING'));
    await client.query("PAUSE JOB WHERE jobName = 'shown'");
    const sql = 'SELECT * FROM jobs("type"="insert") WHERE Name = ?';
    const [text, fields] = await client.query<RowDataPacket[]>(sql.replace('?', "'shown'"));
    expect(fields.map((field) => field.name)).toEqual(JOB_COLUMNS);
    const [prepared, preparedFields] = await client.execute<RowDataPacket[]>(sql, ['shown']);
    expect(prepared).toEqual(text);
    expect(preparedFields.map((field) => field.name)).toEqual(JOB_COLUMNS);

    const [job] = text;
    expect(job).toMatchObject({
      RecurringStrategy: '\\N',
      Properties: '\\N',
      Comment: '',
      CreateTime: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    });
    expect(job?.['ExecuteSql']).toMatch(
      /^FROM MYSQL\('.*' \) TO DATABASE target \('table\.create\.properties\.replication_num'='1'\)$/,
    );
    expect(job?.['ExecuteSql']).not.toMatch(/password|123456/);

    const tasksSql = 'SELECT * FROM tasks("type"="insert") WHERE JobName = ?';
    const [tasks, taskFields] = await client.execute<RowDataPacket[]>(tasksSql, ['shown']);
    expect(taskFields.map((field) => field.name)).toEqual(TASK_COLUMNS);
    const [tasksText] = await client.query(tasksSql.replace('?', "'shown'"));
    expect(tasksText).toEqual(tasks);
    expect(tasks.every((task) => task['Label'] === `${task['JobId']}_${task['TaskId']}`)).toBe(
      true,
    );
    const [counted] = await client.query<RowDataPacket[]>(
      'SELECT COUNT(*) AS n FROM tasks("type"="insert") WHERE JobName = \'shown\' AND Status = \'SUCCESS\'',
    );
    const success = tasks.filter((task) => task['Status'] === 'SUCCESS').length;
    expect(success).toBeGreaterThan(0);
    expect(Number(counted[0]?.['n'])).toBe(success);

    const login = ['-h127.0.0.1', `-P${proxy.port}`, '-uroot'];
    const query = `select * from jobs(type=insert) where ExecuteType = "STREAMING"\\G\n`;
    for (const cli of available('mysql') ? [mariadbCli, mysqlCli] : [mariadbCli]) {
      const shown = await cli(login, query);
      expect(shown).toMatchObject({ code: 0, stderr: '' });
      const lines = shown.stdout.split('\n');
      expect(lines[0]).toMatch(/^\*{20,} 1\. row \*{20,}$/);
      const names = lines.slice(1).flatMap((line) => /^ *(\w+): /.exec(line)?.[1] ?? []);
      expect(names).toEqual(JOB_COLUMNS);
      expect(shown.stdout).toContain('Status: PAUSED');
    }
  });

  test('the statements work from a command line as the manual writes them', async () => {
    const login = ['-h127.0.0.1', `-P${proxy.port}`, '-uroot', 'target'];
    const statement = createMysqlJob(source, {
      name: 'by_hand',
      database: 'shop',
      tables: 't',
      target: 'target',
    });
    expect(await mariadbCli(login, `${statement};`)).toMatchObject({ code: 0, stderr: '' });
    await sameRows(source, client, T);
    for (const command of ['PAUSE', 'RESUME', 'DROP']) {
      expect(await mariadbCli(login, `${command} JOB where jobName = by_hand ;`)).toMatchObject({
        code: 0,
        stderr: '',
      });
    }
    expect(await jobRow(client, 'by_hand')).toBeUndefined();
  });

  test.each<[string, Partial<JobWish> | 'nobody listens', RegExp]>([
    ['a wrong password', { properties: { password: 'not it' } }, /Access denied for user/],
    ['a source that is not there', 'nobody listens', /connect/i],
    [
      'a database without tables',
      { database: 'nothing_here' },
      /No tables found in database nothing_here/,
    ],
    [
      'a table that is not there',
      { tables: 'missing' },
      /Can not found match table in database shop/,
    ],
    [
      'a table without a key',
      { tables: 'no_key' },
      /The following tables do not have primary key defined: no_key/,
    ],
    ['a target that is not there', { target: 'nowhere' }, /Target database nowhere does not exist/],
    [
      'an unknown offset',
      { properties: { offset: 'sometime' } },
      /Invalid value for key 'offset': sometime/,
    ],
    ['a name kept for Doris', { name: 'inner_job' }, /job name can not start with inner_/],
  ])('CREATE JOB refuses %s and leaves nothing behind', async (_, changed, message) => {
    const wish =
      changed === 'nobody listens'
        ? { properties: { jdbc_url: `jdbc:mysql://127.0.0.1:${await freePort()}` } }
        : changed;
    await expect(create('refused', wish)).rejects.toThrow(message);
    const [jobs] = await client.query('select Name from jobs("type"="insert")');
    expect(jobs).toEqual([]);
    const [tables] = await client.query('SHOW TABLES FROM target');
    expect(tables).toEqual([]);
  });

  test('a name is given once', async () => {
    await create('twice');
    await expect(create('twice')).rejects.toThrow('job name exist, jobName:twice');
    const [jobs] = await client.query('select Name from jobs("type"="insert")');
    expect(jobs).toEqual([{ Name: 'twice' }]);
  });

  test.each([
    ["PAUSE JOB WHERE jobName = 'ghost'", 'job not exist, jobName: ghost'],
    ["RESUME JOB WHERE jobName = 'ghost'", 'job not exist, jobName: ghost'],
    ["DROP JOB WHERE jobName = 'ghost'", 'unregister job error, jobName:ghost'],
    [
      'ALTER JOB ghost FROM MYSQL ("user" = "u") TO DATABASE target',
      'job not exist, jobName: ghost',
    ],
  ])('%s says that there is no such job', async (sql, message) => {
    await expect(client.query(sql)).rejects.toThrow(message);
  });

  test('CREATE JOB needs no current database', async () => {
    const other = await proxy.connect();
    await other.query(
      createMysqlJob(source, { name: 'homeless', database: 'shop', tables: 't', target: 'target' }),
    );
    other.destroy();
    await sameRows(source, client, T);
  });

  test('a stop by signal is clean, and the jobs run again after the start', async () => {
    await create('over_night');
    await sameRows(source, client, T);
    client.destroy();
    expect(await proxy.stop()).toBe(0);
    await source.query("INSERT INTO shop.t VALUES (3, 'at night')");
    await proxy.start();
    client = await proxy.connect({ database: 'target' });
    await sameRows(source, client, T);
    expect(await jobRow(client, 'over_night')).toMatchObject({ FailedTaskCount: '0' });
  });

  test('a password is in no log line and in no file of the data directory', async () => {
    const secret = 'hunter2-sehr-geheim';
    await source.query(
      `CREATE OR REPLACE USER quiet@'%' IDENTIFIED BY '${secret}'; GRANT ALL ON *.* TO quiet@'%'`,
    );
    await create('secret', { properties: { user: 'quiet', password: secret } });
    await sameRows(source, client, T);
    expect(proxy.stderr).not.toContain(secret);
    const files = readdirSync(proxy.dataDir);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      expect(readFileSync(join(proxy.dataDir, file)).includes(secret)).toBe(false);
    }
  });
});
