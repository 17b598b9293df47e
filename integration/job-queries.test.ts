import { describe, expect, test, vi } from 'vitest';
import { available } from './servers.ts';
import { T, Worlds } from './support/worlds.ts';

describe.runIf(available('mariadb'))('statements that no source is needed for', () => {
  const world = new Worlds('mariadb');

  test('jobs() and tasks() are tables in any query', async () => {
    const place = await world.place(T);
    await place.createJob('shown', 't');
    await place.same('t');
    await world.run("PAUSE JOB WHERE jobName = 'shown'");
    const [job] = await world.rows('select * from jobs("type"="insert")');
    const [tasks] = await world.rows('select count(*) n from tasks("type"="insert")');
    const [id, n] = [String(job?.['Id']), Number(tasks?.['n'])];
    const J = 'jobs("type"="insert")';
    const K = 'tasks("type"="insert")';
    const answers: [string, unknown[]][] = [
      [
        `select j.Name, k.Status from ${J} j join ${K} k on j.Id = k.JobId where k.Status = 'SUCCESS' limit 1`,
        [{ Name: 'shown', Status: 'SUCCESS' }],
      ],
      [`with a as (select * from ${J}) select Name from a`, [{ Name: 'shown' }]],
      [`select Name, row_number() over (order by Id) r from ${J}`, [{ Name: 'shown', r: 1 }]],
      [
        `select t.v, j.Status from ${place.target}.t t, ${J} j where t.id = 1`,
        [{ v: 'one', Status: 'PAUSED' }],
      ],
      [`select Name from ${J} where Id in (select JobId from ${K})`, [{ Name: 'shown' }]],
      [`select Name from ${J} union all select 'x' order by 1`, [{ Name: 'shown' }, { Name: 'x' }]],
      [`select JobName, count(*) c from ${K} group by JobName`, [{ JobName: 'shown', c: n }]],
      [`select max(Id) m from ${J} where Name like 'sh%'`, [{ m: id }]],
      [`select concat(Name, '-', Status) x from ${J}`, [{ x: 'shown-PAUSED' }]],
    ];
    for (const [sql, expected] of answers) expect(await world.rows(sql)).toEqual(expected);
    // A row of the rewritten form is the row of the local one.
    const [rewritten] = await world.rows(`select j.* from (select * from ${J}) j`);
    expect(rewritten).toEqual(job);
    expect(
      (await world.rows(`explain select count(distinct Name) from ${J}`)).length,
    ).toBeGreaterThan(0);
    await world.run(
      `CREATE TABLE ${place.target}.kept (name VARCHAR(50), status VARCHAR(20)) DISTRIBUTED BY HASH(name) BUCKETS 1 PROPERTIES("replication_num" = "1")`,
    );
    await world.run(`INSERT INTO ${place.target}.kept SELECT Name, Status FROM ${J}`);
    expect(await world.rows(`select * from ${place.target}.kept`)).toEqual([
      { name: 'shown', status: 'PAUSED' },
    ]);
  });

  test('prepared: columns are known at once, and parameters are of any type', async () => {
    const place = await world.place(T);
    await place.createJob('prepared', 't');
    const J = 'jobs("type"="insert")';
    const shapes = [
      `select Name AS n, Status s from ${J} where Name = ? and ? = ? limit ?`,
      `select concat(Name, ?) AS n, max(Status) s from ${J} where Name = ? and 1 = ? group by 1 limit ?`,
    ];
    const parameters = [
      ['prepared', 1.5, '1.5', 10],
      ['', 'prepared', 1, 10],
    ];
    for (const [i, sql] of shapes.entries()) {
      const statement = await world.it.client.prepare(sql);
      const internals = statement as unknown as {
        statement: { columns: { name: string }[]; parameters: unknown[] };
      };
      expect(internals.statement.columns.map(({ name }) => name)).toEqual(['n', 's']);
      expect(internals.statement.parameters).toHaveLength(4);
      const [rows] = await statement.execute(parameters[i] ?? []);
      expect(rows).toMatchObject([{ n: 'prepared' }]);
      await statement.close();
    }
    // Numbers are numbers in both forms and both protocols.
    for (const sql of [`select count(*) n from ${J}`, `select count(*) + 0 n from ${J}`]) {
      expect(await world.rows(sql)).toEqual([{ n: 1 }]);
      expect((await world.it.client.execute(sql))[0]).toEqual([{ n: 1 }]);
    }
    const when = new Date(0);
    const [none] = await world.it.client.execute(
      `select Name from ${J} where Name = ? or CreateTime < ? or Id < ?`,
      [null, when, 5],
    );
    expect(none).toEqual([]);
  });

  test('DESC FUNCTION', async () => {
    const rows = await world.rows('DESC FUNCTION jobs("type"="insert")');
    expect(rows).toHaveLength(18);
    expect(rows[0]).toEqual({
      Field: 'Id',
      Type: 'text',
      Null: 'No',
      Key: 'false',
      Default: null,
      Extra: 'NONE',
    });
  });

  test('settings are kept, need ADMIN, and are nobody else’s', async () => {
    const place = await world.place(T);
    const show = "SHOW FRONTEND CONFIG LIKE 'max_streaming_job_num'";
    const set = 'ADMIN SET FRONTEND CONFIG ("max_streaming_job_num" = "1")';
    expect(await world.rows(show)).toEqual([
      expect.objectContaining({ Key: 'max_streaming_job_num', Value: '1024' }),
    ]);
    await world.run(set);
    const all = 'ADMIN SHOW FRONTEND CONFIG';
    for (const sql of [all, `${all} LIKE '%'`]) {
      const values = (await world.rows(sql)).map((row) => `${row['Key']}=${row['Value']}`);
      expect(values).toEqual([
        'enable_debug_points=false',
        'job_streaming_task_exec_thread_num=10',
        'max_streaming_job_num=1',
        'max_streaming_task_show_count=100',
      ]);
    }
    expect(await world.rows(`${all} LIKE 'enable%'`)).toHaveLength(1);
    await world.it.proxy.stop();
    await world.it.proxy.start();
    await world.it.reconnect();
    expect(await world.rows(show)).toMatchObject([{ Value: '1' }]);
    await place.createJob('only', 't');
    await expect(place.createJob('one_more', 't')).rejects.toThrow(
      'Exceed max streaming job num limit in fe.conf:1',
    );
    await world.run(set.replace('"1"', '"1024"'));
    await world.run("CREATE USER 'jack' IDENTIFIED BY 'pw'");
    const jack = await world.it.proxy.connect({ user: 'jack', password: 'pw' });
    await expect(jack.query(set)).rejects.toMatchObject({ errno: 1227, sqlState: '42000' });
    // He sees no job of a database that he may not load.
    const [unseen] = await jack.query('select Name from jobs("type"="insert")');
    expect(unseen).toEqual([]);
    await expect(jack.query("DROP JOB WHERE jobName = 'only'")).rejects.toMatchObject({
      errno: 1225,
    });
    jack.destroy();
  });

  test('what does not parse is refused here, and the password is nowhere', async () => {
    const secret = 'hunter2-unparsed';
    const broken = `CREATE JOB x ON STREAMING\nFROM MYSQL ("user" = "u", "password" = "${secret}" "database" = "d") TO DATABASE d`;
    await expect(world.run(broken)).rejects.toMatchObject({
      errno: 1105,
      message: expect.stringMatching(
        /^errCode = 2, detailMessage = mismatched input a string expecting \{'\)', ','\}\(line 2, pos \d+\)$/,
      ),
    });
    await vi.waitFor(() => {
      // The last line may not be whole yet.
      const lines = world.it.proxy.stderr.split('\n').slice(0, -1);
      const line = lines.find((text) => text.includes('CREATE JOB x'));
      expect(JSON.parse(line ?? '{}')).toMatchObject({
        audit: true,
        user: 'root',
        client: expect.stringContaining('127.0.0.1'),
        result: 'refused',
        durationMs: expect.any(Number),
      });
    });
    expect(world.it.proxy.stderr).not.toContain(secret);
    // What is Doris' own gets its words.
    await expect(
      world.run('CREATE JOB y ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)'),
    ).rejects.not.toThrow('expecting a');
  });
});
