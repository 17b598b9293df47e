import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Task } from '../../src/model/job.ts';
import { create, JobWorld, list, plain } from './job-world.ts';

let world: JobWorld;

beforeEach(async () => {
  world = await JobWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const ends = (source: Record<string, string>, target = ''): string =>
  `FROM MYSQL (${list(source)}) TO DATABASE db ${target}`;

describe('ALTER', () => {
  beforeEach(async () => {
    await world.run(create({ job: 'PROPERTIES("max_interval"="5")' }));
    await world.run("PAUSE JOB WHERE jobname = 'j'");
    world.parts.woken.length = 0;
  });
  test('merges lists, keeps the password apart, wakes the scheduler', async () => {
    const target = '("load.strict_mode"="true")';
    expect(
      await world.run(
        `ALTER JOB j PROPERTIES("max_interval"="7") ${ends({ user: 'me', password: 'n3w' }, target)}`,
      ),
    ).toEqual({ kind: 'ok' });
    expect(world.job()).toMatchObject({
      status: 'PAUSED',
      jobProperties: { max_interval: '7' },
      sourceProperties: { user: 'me', database: 'test', offset: 'initial' },
      targetProperties: {
        'table.create.properties.replication_num': '1',
        'load.strict_mode': 'true',
      },
      epoch: 3,
    });
    expect(world.job().sourceProperties).not.toHaveProperty('password');
    expect(world.parts.catalog.password(world.job().id)).toBe('n3w');
    expect(world.parts.woken).toEqual([world.job().id]);
  });

  test('repeating fixed keys is no change of them', async () => {
    expect(
      await world.run(
        `ALTER JOB j ${ends({ include_tables: 'user_info,order_info', user: 'root' })}`,
      ),
    ).toEqual({ kind: 'ok' });
  });

  test('moves the position, and what is in doubt of the log is abandoned', async () => {
    const from = world.job().position!;
    const streaming: Task = { ...world.runningTask(10), range: { kind: 'stream', from, to: from } };
    await world.parts.catalog.changeJob(world.job().id, (job) => job, {
      intents: [world.runningTask(9), streaming],
    });
    const offset = '{"file":"binlog.000009","pos":"154"}';
    expect(await world.run(`ALTER JOB j PROPERTIES('offset' = '${offset}')`)).toEqual({
      kind: 'ok',
    });
    expect(world.job()).toMatchObject({
      position: { kind: 'mysql', file: 'binlog.000009', pos: 154, event: 0 },
      jobProperties: { max_interval: '5', offset },
    });
    expect(world.parts.catalog.intents(world.job().id)).toEqual([
      world.runningTask(9),
      { ...streaming, abandoned: true },
    ]);
  });

  test.each<[string, string]>([
    ['ALTER JOB j PROPERTIES("max_interval"="5")', 'No properties or sql changed in ALTER JOB'],
    [
      'ALTER JOB j FROM MYSQL TO DATABASE db',
      'No properties or source or target properties changed in ALTER JOB',
    ],
    ['ALTER JOB j FROM POSTGRES TO DATABASE db', "source type can't be modified in ALTER JOB"],
    ['ALTER JOB j FROM mysql TO DATABASE DB', "target database can't be modified in ALTER JOB"],
    [
      'ALTER JOB j PROPERTIES("max_interval"="0")',
      'max_interval must be at least 1 second, but was 0',
    ],
    [
      'ALTER JOB j PROPERTIES("offset"="initial")',
      `ALTER JOB for CDC only supports JSON specific offset, e.g. '{"file":"binlog.000001","pos":"154"}' for MySQL or '{"lsn":"12345678"}' for PostgreSQL`,
    ],
    [`ALTER JOB j PROPERTIES("offset"='{"file":{}}')`, 'Invalid format for offset: {"file":{}}'],
    [`ALTER JOB j PROPERTIES("offset"='{"lsn":"1"}')`, 'Invalid format for offset: {"lsn":"1"}'],
    [`ALTER JOB j ${ends({ foo: 'x' })}`, "Unexpected key: 'foo'"],
    [
      `ALTER JOB j ${ends({ offset: 'latest' })}`,
      "The offset in source properties cannot be modified in ALTER JOB. Use PROPERTIES('offset'='{...}') to alter offset",
    ],
    ...[
      'jdbc_url',
      'database',
      'schema',
      'include_tables',
      'exclude_tables',
      'slot_name',
      'publication_name',
      'table.a.target_table',
    ].map((key): [string, string] => [
      `ALTER JOB j ${ends({ [key]: 'other' })}`,
      `The ${key} property cannot be modified in ALTER JOB`,
    ]),
    [
      `ALTER JOB j ${ends({ server_time_zone: '+08:00' })}`,
      'The server_time_zone property cannot be modified in ALTER JOB',
    ],
    [`ALTER JOB j FROM MYSQL TO DATABASE db ("x"="y")`, 'Not support target properties key x'],
  ])('%s', async (sql, text) => {
    const before = world.job();
    expect(await world.refusal(sql)).toBe(plain(text));
    expect(world.job()).toEqual(before);
  });

  test('only a paused job', async () => {
    await world.run("RESUME JOB WHERE jobname = 'j'");
    expect(await world.refusal('ALTER JOB j PROPERTIES("max_interval"="9")')).toBe(
      plain('Only PAUSED job can be altered'),
    );
  });
});

test('the slot and publication of a Postgres job are among its properties, and may be repeated', async () => {
  await world.run(create({ type: 'POSTGRES', source: { schema: 's', slot_name: 'mine' } }));
  const publication_name = `doris_pub_${world.job().id}`;
  expect(world.job().sourceProperties).toMatchObject({ slot_name: 'mine', publication_name });
  await world.run("PAUSE JOB WHERE jobName = 'j'");
  const same = `ALTER JOB j FROM POSTGRES ("user"="u", "publication_name"="${publication_name}") TO DATABASE db`;
  expect(await world.run(same)).toEqual({ kind: 'ok' });
  expect(await world.refusal(same.replace(publication_name, 'another'))).toBe(
    plain('The publication_name property cannot be modified in ALTER JOB'),
  );
  await world.run("DROP JOB WHERE jobName = 'j'");
  await world.run(create({ type: 'POSTGRES', source: { schema: 's', offset: 'snapshot' } }));
  expect(world.job().sourceProperties).not.toHaveProperty('slot_name');
});
