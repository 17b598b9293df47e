import { afterEach, beforeEach, expect, test } from 'vitest';
import { grants } from './fake-parts.ts';
import { create, JobWorld, plain } from './job-world.ts';

let world: JobWorld;

beforeEach(async () => {
  world = await JobWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const SET = 'ADMIN SET FRONTEND CONFIG ("max_streaming_job_num" = "1")';
const SHOW = "SHOW FRONTEND CONFIG LIKE 'max_streaming_job_num'";

test('what is set is shown, and counts', async () => {
  const columns = ['Key', 'Value', 'Type', 'IsMutable', 'MasterOnly', 'Comment'];
  expect(world.commands.recognize(SHOW)?.columns).toEqual(columns);
  expect(await world.run(SHOW)).toEqual({
    kind: 'rows',
    columns,
    rows: [['max_streaming_job_num', '1024', 'int', 'true', 'true', '']],
  });
  expect(await world.run(SET)).toEqual({ kind: 'ok' });
  expect(await world.run(SHOW)).toMatchObject({
    rows: [['max_streaming_job_num', '1', 'int', 'true', 'true', '']],
  });
  await world.run(create());
  expect(await world.refusal(create({ name: 'k' }))).toBe(
    plain('Exceed max streaming job num limit in fe.conf:1'),
  );
  expect(world.parts.catalog.setting('max_streaming_job_num')).toBe(1);
});

test('patterns, and no pattern, show them among those of Doris', async () => {
  world.caller.answer = {
    columns: ['Key', 'Value', 'Type', 'IsMutable', 'MasterOnly', 'Comment'],
    rows: [
      ['max_streaming_job_num', '77', 'int', 'true', 'true', 'theirs'],
      ['max_tolerable_backend_down_num', '0', 'int', 'true', 'true', ''],
    ],
  };
  const sql = "ADMIN SHOW FRONTEND CONFIG LIKE 'max%'";
  expect(await world.run(sql)).toMatchObject({
    columns: world.commands.recognize(sql)?.columns,
    rows: [
      ['max_streaming_job_num', '1024', 'int', 'true', 'true', ''],
      ['max_streaming_task_show_count', '100', 'int', 'true', 'true', ''],
      ['max_tolerable_backend_down_num', '0', 'int', 'true', 'true', ''],
    ],
  });
  expect(world.caller.asked).toContain(sql);
});

test('a shorter history is shown at once', async () => {
  await world.run(create());
  await world.parts.catalog.changeJob(world.job().id, (job) => job, {
    tasks: [world.runningTask(1), world.runningTask(2), world.runningTask(3)],
  });
  await world.run('ADMIN SET FRONTEND CONFIG ("max_streaming_task_show_count" = "2")');
  expect(world.parts.catalog.tasks(world.job().id).map(({ id }) => id)).toEqual([3, 2]);
  await world.parts.catalog.changeJob(world.job().id, (job) => job, {
    tasks: [world.runningTask(4)],
  });
  expect(world.parts.catalog.tasks(world.job().id).map(({ id }) => id)).toEqual([4, 3]);
});

test.each(['-1', '1.5', 'many', '', '1000001'])('%j is no value', async (value) => {
  expect(await world.refusal(SET.replace('"1"', `"${value}"`))).toBe(
    plain(`Config 'max_streaming_job_num' takes a whole number from 0 to 1000000, got '${value}'`),
  );
});

test.each([SET, SHOW])('%s needs ADMIN, and is in the audit log', async (sql) => {
  world.caller.grants = grants('jack', 'DatabasePrivs', 'internal.db: Load_priv');
  expect(await world.refusal(sql)).toBe(
    '1227 42000 errCode = 2, detailMessage = Access denied; you need (at least one of) the (ADMIN) privilege(s) for this operation',
  );
  expect(world.parts.logged.map((line) => JSON.parse(line) as object)).toMatchObject([
    { audit: true, user: 'jack', client: '10.0.0.7:4711', statement: sql, result: 'refused' },
  ]);
});
