import type { RowDataPacket } from 'mysql2/promise';
import { describe, expect, test } from 'vitest';
import { startStandin } from './doris-standin/standin.ts';
import { available } from './servers.ts';
import { startProxy } from './support/proxy.ts';
import { WireTap } from './support/wire-tap.ts';
import { T, Worlds } from './support/worlds.ts';

const J = 'jobs("type"="insert")';
const K = 'tasks("type"="insert")';
const ONCE = 'ON SCHEDULE AT CURRENT_TIMESTAMP';

describe.runIf(available('mariadb'))("Doris' own jobs beside ours", () => {
  const world = new Worlds('mariadb');

  test('are one table in every shape of query', async () => {
    const place = await world.place(T);
    await place.createJob('ours', 't');
    await place.same('t');
    await world.run("PAUSE JOB WHERE jobName = 'ours'");
    await world.run(`CREATE JOB daily ON SCHEDULE EVERY 1 DAY COMMENT 'it''s theirs'
      DO INSERT INTO ${place.target}.t VALUES (50, 'never')`);
    await world.run(`CREATE JOB once ${ONCE} DO INSERT INTO ${place.target}.t VALUES (60, 'once')`);
    expect(await world.ids(place)).toEqual([1, 2, 60]);
    expect(
      await world.rows(`select Name, ExecuteType, Status, Comment, Properties from ${J}`),
    ).toEqual([
      { Name: 'ours', ExecuteType: 'STREAMING', Status: 'PAUSED', Comment: '', Properties: '\\N' },
      {
        Name: 'daily',
        ExecuteType: 'RECURRING',
        Status: 'RUNNING',
        Comment: "it's theirs",
        Properties: '\\N',
      },
      { Name: 'once', ExecuteType: 'ONE_TIME', Status: 'FINISHED', Comment: '', Properties: '\\N' },
    ]);
    const answers: [string, unknown[]][] = [
      [`select count(*) n from ${J}`, [{ n: 3 }]],
      [
        `select Name from ${J} where ExecuteType <> 'STREAMING' order by Name desc limit 1`,
        [{ Name: 'once' }],
      ],
      [
        `select j.Name, k.Status, t.v from ${J} j join ${K} k on j.Id = k.JobId
          join ${place.target}.t t on t.id = 60 where j.ExecuteType = 'ONE_TIME'`,
        [{ Name: 'once', Status: 'SUCCESS', v: 'once' }],
      ],
      [
        `with a as (select * from ${J}) select Status, count(*) c from a group by Status order by Status`,
        [
          { Status: 'FINISHED', c: 1 },
          { Status: 'PAUSED', c: 1 },
          { Status: 'RUNNING', c: 1 },
        ],
      ],
      [
        `select Name, row_number() over (order by Name) r from ${J} order by r`,
        [
          { Name: 'daily', r: 1 },
          { Name: 'once', r: 2 },
          { Name: 'ours', r: 3 },
        ],
      ],
      [
        `select Name from ${J} where Id in (select JobId from ${K} where Status = 'SUCCESS') order by 1`,
        [{ Name: 'once' }, { Name: 'ours' }],
      ],
      [
        `select Name from ${J} where ExecuteType = 'RECURRING' union all select JobName from ${K} where JobName = 'once'`,
        [{ Name: 'daily' }, { Name: 'once' }],
      ],
    ];
    for (const [sql, expected] of answers) expect(await world.rows(sql)).toEqual(expected);
    // The rewritten form has the rows of the local one.
    expect(await world.rows(`select * from (select * from ${J}) j order by Id`)).toEqual(
      await world.rows(`select * from ${J}`),
    );
    expect((await world.rows(`explain select max(Name) from ${J}`)).length).toBeGreaterThan(0);
    for (const sql of [
      `select Name n, Comment from ${J} where Name = ? and ? < Id limit ?`,
      `select lower(Name) n, max(Comment) from ${J} where Name = ? and ? < Id group by 1 limit ?`,
    ]) {
      const [rows] = await world.it.client.execute<RowDataPacket[]>(sql, ['daily', '0', 10]);
      expect(rows).toHaveLength(1);
      expect(Object.values(rows[0] ?? {})).toEqual(['daily', "it's theirs"]);
    }
    await world.run(
      `CREATE TABLE ${place.target}.kept (name VARCHAR(50), type VARCHAR(20)) DISTRIBUTED BY HASH(name) BUCKETS 1 PROPERTIES("replication_num" = "1")`,
    );
    await world.run(`INSERT INTO ${place.target}.kept SELECT Name, ExecuteType FROM ${J}`);
    expect(await world.rows(`select * from ${place.target}.kept order by name`)).toEqual([
      { name: 'daily', type: 'RECURRING' },
      { name: 'once', type: 'ONE_TIME' },
      { name: 'ours', type: 'STREAMING' },
    ]);
  });

  test('a name is given once, whoever asks first', async () => {
    const place = await world.place(T);
    const native = `CREATE JOB twice ON SCHEDULE EVERY 1 DAY DO INSERT INTO ${place.target}.x VALUES (1)`;
    const taken = 'errCode = 2, detailMessage = job name exist, jobName:twice';
    await world.run(native);
    await expect(place.createJob('twice', 't')).rejects.toMatchObject({
      errno: 1105,
      message: taken,
    });
    expect(await world.tables(place)).toEqual([]);
    await world.run("DROP JOB WHERE jobName = 'twice'");
    await place.createJob('twice', 't');
    await expect(world.run(native)).rejects.toMatchObject({ errno: 1105, message: taken });
    expect(await world.rows(`select Name, ExecuteType from ${J}`)).toEqual([
      { Name: 'twice', ExecuteType: 'STREAMING' },
    ]);
  });

  test('a user sees those whose target they may LOAD', async () => {
    const place = await world.place(T);
    await world.run(`CREATE DATABASE IF NOT EXISTS elsewhere`);
    await world.run(
      `CREATE JOB here ON SCHEDULE EVERY 1 DAY DO INSERT INTO ${place.target}.x VALUES (1)`,
    );
    await world.run(
      'CREATE JOB there ON SCHEDULE EVERY 1 DAY DO INSERT INTO elsewhere.x VALUES (1)',
    );
    await world.run("CREATE USER 'mary' IDENTIFIED BY 'pw'");
    await world.run(`GRANT LOAD_PRIV ON ${place.target}.* TO 'mary'`);
    const mary = await world.it.proxy.connect({ user: 'mary', password: 'pw' });
    expect((await mary.query(`select Name from ${J}`))[0]).toEqual([{ Name: 'here' }]);
    // Doris wants ADMIN for its own.
    await expect(mary.query("PAUSE JOB WHERE jobName = 'here'")).rejects.toMatchObject({
      errno: 1227,
    });
    mary.destroy();
  });
});

/** Doris of these releases has fewer columns than the manual's 18, or more. */
describe.each([
  ['2.1.9', 12],
  ['4.1.4', 21],
])('Doris %s', (version, columns) => {
  test(`its jobs, of ${columns} columns there, have the manual's 18; statements about them reach it byte for byte`, async () => {
    await using doris = await startStandin({ versionComment: `Doris version doris-${version}-x` });
    await using tap = await WireTap.open(Number(doris.query.split(':')[1]));
    await using proxy = await startProxy({ fe: `127.0.0.1:${tap.port}`, feHttp: doris.http });
    const client = await proxy.connect();
    const statements = [
      'CREATE DATABASE d',
      'CREATE TABLE d.t (id INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1 PROPERTIES("replication_num" = "1")',
      `/* a */ create  JOB \`na.t\` ${ONCE}\tdo insert into d.t select 1 -- end`,
      `CREATE JOB daily ON SCHEDULE EVERY 1 DAY DO INSERT INTO d.t VALUES (2) ;`,
      "PAUSE /* b */ JOB\nWHERE `JOBname` = 'daily'",
      "resume JOB where jobname='daily'; # c",
      "PAUSE JOB WHERE jobName = 'daily'",
      "DROP JOB IF EXISTS where jobName = 'na.t'",
    ];
    for (const sql of statements.slice(0, -1)) await client.query(sql);
    const [rows, fields] = await client.query<RowDataPacket[]>(`select * from ${J}`);
    expect(fields).toHaveLength(18);
    const common = {
      LoadStatistic: '\\N',
      ErrorMsg: '\\N',
      CurrentOffset: '\\N',
      JobRuntimeMsg: '\\N',
    };
    expect(rows).toMatchObject([
      { Name: 'na.t', Status: 'FINISHED', SucceedTaskCount: '1', ...common },
      { Name: 'daily', Status: 'PAUSED', SucceedTaskCount: '0', ...common },
    ]);
    const [joined] = await client.query(
      `select j.Name, k.JobName, k.RunningOffset from ${J} j, ${K} k where k.JobId = j.Id`,
    );
    expect(joined).toEqual([{ Name: 'na.t', JobName: 'na.t', RunningOffset: '\\N' }]);
    const [described] = await client.query(`DESC FUNCTION ${K}`);
    expect(described).toHaveLength(14);
    await expect(
      client.query("CANCEL TASK WHERE jobName = 'daily' AND taskId = 1"),
    ).rejects.toThrow('no running task');
    await expect(client.query("RESUME JOB WHERE jobName = 'na.t'")).rejects.toThrow(
      "Can't update job FINISHED",
    );
    await client.query(statements.at(-1) ?? '');
    // Prepared: it becomes the FE's when it runs.
    await client.execute("DROP JOB WHERE jobName = 'daily'");
    expect((await client.query(`select Name from ${J}`))[0]).toEqual([]);
    client.destroy();
    const sent = Buffer.concat(tap.recordings.flatMap(({ toServer }) => toServer)).toString();
    for (const sql of statements) expect(sent).toContain(sql);
  });
});
