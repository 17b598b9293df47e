import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ProxyError } from '../../src/model/error.ts';
import type { Job } from '../../src/model/job.ts';
import { grants, sourceTable } from './fake-parts.ts';
import { create, JobWorld, plain, SECRET, SOURCE, type Written } from './job-world.ts';

let world: JobWorld;

beforeEach(async () => {
  world = await JobWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const withSession = (name: string): string =>
  create({ job: `PROPERTIES("session.${name}" = "5")` });

describe('CREATE JOB', () => {
  test('makes the missing tables, then the job, then wakes the scheduler', async () => {
    world.parts.target.tables.set('db.order_info', {
      keyModel: 'UNIQUE',
      key: ['id'],
      columns: [{ name: 'id', type: 'int', nullable: false, defaultValue: undefined, comment: '' }],
    });
    expect(await world.run(create({ job: 'PROPERTIES("max_interval"="10s")' }))).toEqual({
      kind: 'ok',
    });
    expect(world.parts.target.statements).toHaveLength(1);
    expect(world.parts.target.statements[0]).toMatch(/^CREATE TABLE `db`\.`user_info`/);
    expect(world.parts.target.statements[0]).toContain('"replication_num" = "1"');
    const { password: _hidden, ...shown } = SOURCE;
    expect(world.job()).toMatchObject({
      name: 'j',
      definer: 'root',
      comment: 'my job',
      sourceType: 'MYSQL',
      sourceProperties: { ...shown, offset: 'initial', include_tables: 'user_info,order_info' },
      targetDatabase: 'db',
      jobProperties: { max_interval: '10s' },
      status: 'PENDING',
      snapshotPending: true,
      createTimeMs: world.parts.now(),
      position: { pos: 1000 },
    });
    expect(world.parts.catalog.tables(world.job().id)).toHaveLength(2);
    expect(world.parts.catalog.password(world.job().id)).toBe(SECRET);
    expect(world.parts.source.password).toBe(SECRET);
    expect(world.parts.woken).toEqual([world.job().id]);
    expect([
      world.parts.source.opened,
      world.parts.source.closed,
      world.parts.source.released,
    ]).toEqual([1, 1, 0]);
  });

  test.each([
    ['latest', { snapshotPending: false, position: { pos: 2000 } }],
    ['LATEST', { snapshotPending: false, position: { pos: 2000 } }],
    ['initial', { snapshotPending: true, position: { pos: 1000 } }],
    ['earliest', { snapshotPending: false, position: { pos: 4 } }],
    ['{"gtids":"a:1-5"}', { snapshotPending: false, position: { file: '', gtids: 'a:1-5' } }],
    [
      '{"file":"binlog.000001","pos":"154"}',
      { snapshotPending: false, position: { file: 'binlog.000001', pos: 154 } },
    ],
  ])('offset %s says where it starts', async (offset, expected) => {
    await world.run(create({ source: { offset } }));
    expect(world.job()).toMatchObject(expected);
  });

  test('offset snapshot needs no place in the log', async () => {
    await world.run(create({ source: { offset: 'Snapshot' } }));
    expect(world.job()).toMatchObject({ snapshotPending: true });
    expect(world.job().position).toBeUndefined();
  });

  test('a given place is tried before the job is made, and nothing is left when it is not there', async () => {
    const source = { offset: '{"lsn":"77"}', schema: 's' };
    const sql = create({ type: 'POSTGRES', source });
    world.parts.source.failures = { stream: new ProxyError('POSITION_LOST', 'slot is at 99') };
    expect(await world.refusal(sql)).toBe(
      plain('Failed to init source reader, error: slot is at 99'),
    );
    expect(world.parts.source.released).toBe(1);
    expect(world.parts.target.statements).toEqual([]);
    world.parts.source.failures = {};
    await world.run(sql);
    expect(world.job().position).toMatchObject({ kind: 'postgres', lsn: '77' });
    expect(world.parts.source.streams).toMatchObject([{ lsn: '77' }, { lsn: '77' }]);
    expect(world.parts.source.streamsClosed).toBe(1);
  });

  test.each([
    [{ include_tables: 'user*' }, 'user_info'],
    [{ include_tables: 'user_info,missing' }, 'user_info'],
    [{ exclude_tables: 'user_*' }, 'order_info'],
    [{ include_tables: ' order_info , user_info' }, ' order_info , user_info'],
  ])('%j: the list that was found is kept', async (source, expected) => {
    await world.run(create({ source }));
    expect(world.job().sourceProperties['include_tables']).toBe(expected);
  });

  test.each([
    ['UTC', {}, undefined],
    ['Asia/Shanghai', {}, 'Asia/Shanghai'],
    ['Asia/Shanghai', { server_time_zone: 'SYSTEM' }, 'Asia/Shanghai'],
    ['UTC', { server_time_zone: 'UTC' }, 'UTC'],
  ])('the zone %s that the source found is kept with the job: %o', async (zone, source, kept) => {
    world.parts.source.zone = zone;
    await world.run(create({ source }));
    expect(world.job().sourceProperties['server_time_zone']).toBe(kept);
  });

  test('table lists are trimmed, and per-table keys read', async () => {
    await world.run(
      create({
        source: {
          include_tables: ' user_info , order_info',
          'table.user_info.target_table': 'users',
          'table.user_info.exclude_columns': 'a, b',
          'table.with.dots.target_table': 'dots',
          'table.__proto__.target_table': 'proto',
        },
      }),
    );
    expect(world.parts.source.selection).toEqual({
      include: ['user_info', 'order_info'],
      exclude: [],
      targets: { user_info: 'users', 'with.dots': 'dots', ['__proto__']: 'proto' },
      excludeColumns: { user_info: ['a', 'b'] },
    });
  });

  test.each<[string, Written, string]>([
    [
      'time zone',
      { source: { server_time_zone: 'CST' } },
      "Invalid value for key 'server_time_zone': CST: expected is a name like 'Asia/Shanghai', an offset like '+08:00', 'UTC', or 'SYSTEM' for the server's own",
    ],
    [
      'on_table_error',
      { source: { on_table_error: 'ignore' } },
      "Invalid value for key 'on_table_error': ignore",
    ],
    ['key', { source: { JDBC_URL: 'x' } }, "Unexpected key: 'JDBC_URL'"],
    ['empty value', { source: { user: ' ' } }, "Invalid value for key 'user':  "],
    ['empty password', { source: { password: '' } }, "Invalid value for key 'password': "],
    ['offset', { source: { offset: 'now' } }, "Invalid value for key 'offset': now"],
    [
      'number',
      { source: { snapshot_split_size: '0' } },
      "Invalid value for key 'snapshot_split_size': 0",
    ],
    ['ssl mode', { source: { ssl_mode: 'Require' } }, "Invalid value for key 'ssl_mode': Require"],
    [
      'ssl',
      { source: { ssl_mode: 'verify-ca' } },
      "ssl_mode 'verify-ca' requires ssl_rootcert to be set",
    ],
    ['slot', { source: { slot_name: 'A' } }, "Invalid value for key 'slot_name': A"],
    ['server id', { source: { server_id: '9-5' } }, "Invalid value for key 'server_id': 9-5"],
    [
      'server id range',
      { source: { server_id: '5400-5401', snapshot_parallelism: '4' } },
      "server_id range size 2 must be >= snapshot_parallelism 4. Widen the range (e.g. '5400-5403') or reduce parallelism.",
    ],
    [
      'table key',
      { source: { 'table.target_table': 'x' } },
      "Malformed per-table config key: 'table.target_table'. Expected format: table.<tableName>.<suffix>",
    ],
    ['table suffix', { source: { 'table.a.x': 'y' } }, "Unknown per-table config key: 'table.a.x'"],
    [
      'table value',
      { source: { 'table.a.target_table': ' ' } },
      "Value for per-table config key 'table.a.target_table' must not be empty",
    ],
    [
      'URL with password',
      { source: { jdbc_url: `jdbc:mysql://h/?password=${SECRET}` } },
      "Invalid value for key 'jdbc_url': it must not hold a password, use the property 'password'",
    ],
    ['target key', { targetProperties: '"x"="y"' }, 'Not support target properties key x'],
    [
      'load key',
      { targetProperties: '"load.x"="y"' },
      "Unsupported load property: 'load.x'. Supported keys: [load.max_filter_ratio, load.strict_mode]",
    ],
    [
      'ratio',
      { targetProperties: '"load.max_filter_ratio"="y"' },
      "Invalid value for key 'load.max_filter_ratio': y",
    ],
    ['no name', { name: '``' }, 'Job name can not be empty'],
    ['inner name', { name: 'inner_x' }, 'job name can not start with inner_'],
    [
      'source type',
      { type: 'Oracle' },
      'No enum constant org.apache.doris.job.common.DataSourceType.ORACLE',
    ],
    ['database', { target: 'nodb' }, 'Target database nodb does not exist'],
    [
      'job key',
      { job: 'PROPERTIES("a"="1", "max_interval"="5", "b"="2")' },
      "Invalid properties: [a, b]. Supported keys are [max_interval, s3.max_batch_files, s3.max_batch_bytes, offset, compute_group] or any key starting with 'session.'.",
    ],
    [
      'interval',
      { job: 'PROPERTIES("max_interval"="0s")' },
      'max_interval must be at least 1 second, but was 0s',
    ],
    [
      'interval text',
      { job: 'PROPERTIES("max_interval"="fast")' },
      'max_interval must be at least 1 second, but was fast',
    ],
    [
      'compute group',
      { job: 'PROPERTIES("compute_group"="g")' },
      'compute_group is only supported in cloud mode',
    ],
    ['no URL', { source: { jdbc_url: undefined } }, 'jdbc_url is required property'],
    ['no driver', { source: { driver_url: undefined } }, 'driver_url is required property'],
    ['no password', { source: { password: undefined } }, 'password is required property'],
    ['no schema', { type: 'POSTGRES' }, 'schema is required'],
    [
      'a place in the wrong log',
      { source: { offset: '{"lsn":"5"}' } },
      'Invalid format for offset: {"lsn":"5"}',
    ],
    [
      'a place without numbers',
      { type: 'POSTGRES', source: { schema: 's', offset: '{"lsn":"0/5"}' } },
      'Invalid format for offset: {"lsn":"0/5"}',
    ],
    [
      'earliest in Postgres',
      { type: 'POSTGRES', source: { schema: 's', offset: 'earliest' } },
      "Invalid value for key 'offset': earliest",
    ],
  ])('refuses: %s', async (_what, written, text) => {
    expect(await world.refusal(create(written))).toBe(plain(text));
    expect(world.parts.catalog.jobs()).toEqual([]);
    expect(world.parts.target.statements).toEqual([]);
    expect(world.parts.source.opened).toBe(0);
  });

  test('refuses a duplicate key without showing a password', async () => {
    const sql = create().replace('"user" =', `"password" = '${SECRET}', "user" =`);
    expect(await world.refusal(sql)).toBe(
      plain('Multiple entries with same key: password=*** and password=***'),
    );
  });

  test('refuses a name that we or Doris have', async () => {
    await world.run(create());
    expect(await world.refusal(create())).toBe(plain('job name exist, jobName:j'));
    world.caller.native = { columns: ['Id', 'Name'], rows: [['1', 'theirs']] };
    expect(await world.refusal(create({ name: 'theirs' }))).toBe(
      plain('job name exist, jobName:theirs'),
    );
    world.parts.target.jobs.push('hidden'); // from the caller
    expect(await world.refusal(create({ name: 'hidden' }))).toMatch(/job name exist/);
    expect(await world.run(create({ name: 'J' }))).toEqual({ kind: 'ok' });
  });

  test('refuses more jobs than allowed', async () => {
    await world.parts.settings.set('max_streaming_job_num', 1);
    await world.run(create());
    expect(await world.refusal(create({ name: 'k' }))).toBe(
      plain('Exceed max streaming job num limit in fe.conf:1'),
    );
  });

  test('a session variable must be one of Doris, though the job has no use for it', async () => {
    world.caller.answer = {
      columns: ['Variable_name'],
      rows: [['query_timeout'], ['queryXtimeout']],
    };
    for (const name of ['query_timeou', 'a b', 'x']) {
      expect(await world.refusal(withSession(name))).toBe(
        plain(`Invalid session variable, [${name}]`),
      );
    }
    expect(await world.run(withSession('Query_Timeout'))).toEqual({ kind: 'ok' });
    expect(world.caller.asked).toContain("SHOW VARIABLES LIKE 'Query_Timeout'");
  });

  test('needs LOAD on the target database', async () => {
    world.caller.grants = grants('jack', 'DatabasePrivs', 'internal.other: Load_priv,Create_priv');
    expect(await world.refusal(create())).toBe(
      '1225 42000 errCode = 2, detailMessage = Access denied; you need (at least one of) the (LOAD) privilege(s) on database db for this operation',
    );
    expect(world.parts.source.opened).toBe(0);
  });

  test('needs CREATE only for tables that are missing', async () => {
    world.caller.grants = grants('jack', 'DatabasePrivs', 'internal.db: Load_priv');
    expect(await world.refusal(create())).toBe(
      '1224 42000 errCode = 2, detailMessage = Access denied; you need (at least one of) the (CREATE) privilege(s) on table user_info for this operation',
    );
    for (const name of ['user_info', 'order_info']) {
      await world.parts.target.execute(`CREATE TABLE \`db\`.\`${name}\``);
    }
    expect(await world.run(create())).toEqual({ kind: 'ok' });
    expect(world.job().definer).toBe('jack');
  });

  test('tells what the source refused as a failed statement', async () => {
    world.parts.source.failures = {
      preflight: new ProxyError(
        'SOURCE_TABLE',
        'The following tables do not have primary key defined: t1',
      ),
    };
    expect(await world.refusal(create())).toBe(
      plain('The following tables do not have primary key defined: t1'),
    );
    world.parts.source.failures = {
      open: new ProxyError('SOURCE_UNREACHABLE', 'connection refused'),
    };
    expect(await world.refusal(create())).toBe(plain('connection refused'));
    expect(world.parts.catalog.jobs()).toEqual([]);
    expect([world.parts.source.opened, world.parts.source.closed]).toEqual([2, 1]);
  });

  test('refuses an existing table that is no copy, and two tables with one target', async () => {
    world.parts.target.tables.set('db.user_info', {
      keyModel: 'DUPLICATE',
      key: ['id'],
      columns: [],
    });
    expect(await world.refusal(create())).toMatch(/user_info exists, but cannot take the rows/);
    world.parts.source.tables = [sourceTable('a', 'x'), sourceTable('b', 'x')];
    expect(await world.refusal(create())).toMatch(/tables a and b have the same target table x/);
    expect(world.parts.target.statements).toEqual([]);
  });

  test('leaves nothing behind when a table cannot be made', async () => {
    world.parts.target.broken = 'order_info';
    expect(await world.refusal(create())).toBe(plain('no luck with db.order_info'));
    expect([...world.parts.target.tables.keys()]).toEqual([]);
    expect(world.parts.catalog.jobs()).toEqual([]);
    expect(world.parts.source.released).toBe(1);
    expect(world.parts.woken).toEqual([]);
  });

  test('a process that dies in the middle leaves a job that can be dropped, with what it made', async () => {
    const position = vi.spyOn(world.parts.source, 'safePosition');
    let left: Job | undefined;
    position.mockImplementation(() => {
      left = world.job();
      return Promise.reject(new ProxyError('SOURCE_SETTING', 'no slot left'));
    });
    const sql = create({ type: 'POSTGRES', source: { schema: 's' } });
    expect(await world.refusal(sql)).toBe(plain('no slot left'));
    expect(world.parts.catalog.jobs()).toEqual([]);
    expect(left).toMatchObject({
      status: 'STOPPED',
      failure: { message: 'CREATE JOB was not finished: DROP the job, and create it again' },
    });
    await world.parts.catalog.createJob(left!, SECRET);
    expect(await world.refusal(sql)).toBe(plain('job name exist, jobName:j'));
    expect(await world.refusal("RESUME JOB WHERE jobName = 'j'")).toMatch(/STOPPED status/);
    const before = world.parts.source.released;
    await world.run("DROP JOB WHERE jobName = 'j'");
    expect(world.parts.source.released).toBe(before + 1);
    expect(world.parts.catalog.jobs()).toEqual([]);
  });

  test('a job that is dropped while it is made is not made', async () => {
    const position = vi.spyOn(world.parts.source, 'safePosition');
    position.mockImplementation(async () => {
      await world.run("DROP JOB WHERE jobName = 'j'");
      return await world.parts.source.latestPosition();
    });
    expect(await world.refusal(create())).toMatch(/was dropped/);
    expect(world.parts.catalog.jobs()).toEqual([]);
    expect([...world.parts.target.tables.keys()]).toEqual([]);
  });

  test('two at once with one name: one is made, the other leaves the tables alone', async () => {
    const results = await Promise.allSettled([world.run(create()), world.run(create())]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(world.parts.catalog.jobs()).toHaveLength(1);
    expect([...world.parts.target.tables.keys()]).toEqual(['db.user_info', 'db.order_info']);
    expect(world.parts.target.statements.filter((sql) => sql.startsWith('DROP'))).toEqual([]);
  });

  test('the position fails: what the source made is released, and that failure is not hidden', async () => {
    world.parts.source.failures = {
      position: new ProxyError('SOURCE_SETTING', 'no slot left'),
      release: new ProxyError('SOURCE_UNREACHABLE', 'gone'),
    };
    expect(await world.refusal(create())).toBe(plain('no slot left'));
    expect(world.parts.source.released).toBe(1);
    expect(world.parts.target.statements).toEqual([]);
  });
});
