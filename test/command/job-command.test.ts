import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FrontendError } from '../../src/command/commands.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { Job, Task } from '../../src/model/job.ts';
import { grants } from './fake-parts.ts';
import { create, JobWorld, plain, SECRET } from './job-world.ts';

let world: JobWorld;

beforeEach(async () => {
  world = await JobWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const native = (name: string): string =>
  `CREATE JOB ${name} ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)`;

describe('PAUSE and RESUME', () => {
  beforeEach(async () => {
    await world.run(create());
    world.parts.woken.length = 0;
  });

  test('pause: manual reason, a new epoch, the live task cancelled', async () => {
    const finished: Task = { ...world.runningTask(1), status: 'SUCCESS' };
    await world.parts.catalog.changeJob(world.job().id, (job) => ({ ...job, status: 'RUNNING' }), {
      tasks: [finished, world.runningTask(2)],
      intents: [world.runningTask(2)],
    });
    expect(await world.run("PAUSE JOB WHERE jobname = 'j' ;")).toEqual({ kind: 'ok' });
    expect(world.job()).toMatchObject({
      status: 'PAUSED',
      failure: { code: 'MANUAL_PAUSE_ERR', message: 'Paused by user root' },
      canceledTaskCount: 1,
      epoch: 2,
    });
    expect(world.parts.catalog.tasks(world.job().id)).toMatchObject([
      { id: 2, status: 'CANCELED', errorMessage: 'task cancelled' },
      { id: 1, status: 'SUCCESS' },
    ]);
    // What Doris has of it is settled at the next start.
    expect(world.parts.catalog.intents(world.job().id)).toHaveLength(1);
    expect(world.parts.woken).toEqual([world.job().id]);
  });

  test('resume: no reason, PENDING, a new epoch', async () => {
    await world.run('pause job where jobName = j');
    expect(await world.run('resume job where jobName = `j`')).toEqual({ kind: 'ok' });
    expect(world.job()).toMatchObject({ status: 'PENDING', epoch: 3 });
    expect(world.job()).not.toHaveProperty('failure');
    expect(world.parts.woken).toEqual([world.job().id, world.job().id]);
  });

  test.each<[Job['status'], string, string]>([
    ['PAUSED', 'PAUSE', "Can't change job status to the same status"],
    ['PENDING', 'RESUME', "Can't change job status to the same status"],
    ['RUNNING', 'RESUME', "Can't change job status to the same status, job already running"],
    ['FINISHED', 'PAUSE', "Can't update job FINISHED status to the PAUSED status"],
    ['FINISHED', 'RESUME', "Can't update job FINISHED status to the PENDING status"],
    ['STOPPED', 'RESUME', "Can't update job STOPPED status to the PENDING status"],
  ])('a %s job refuses %s', async (status, verb, reason) => {
    await world.setStatus(status);
    expect(await world.refusal(`${verb} JOB WHERE jobname = 'j'`)).toBe(
      plain(`Alter job status error, jobName is j, errorMsg is ${reason}`),
    );
    expect(world.job()).toMatchObject({ status, epoch: 1 });
  });
});

describe('DROP', () => {
  test('takes the job, its tasks and its password away', async () => {
    await world.run(create());
    const { id } = world.job();
    await world.parts.catalog.changeJob(id, (job) => job, { tasks: [world.runningTask(1)] });
    expect(await world.run("DROP JOB where jobName = 'j' ;")).toEqual({ kind: 'ok' });
    expect(world.parts.catalog.jobs()).toEqual([]);
    expect(world.parts.catalog.tasks(id)).toEqual([]);
    expect(world.parts.catalog.password(id)).toBe('');
    expect(world.parts.source.released).toBe(0);
    expect([...world.parts.target.tables.keys()]).toHaveLength(2);
    expect(await world.run(create())).toEqual({ kind: 'ok' });
  });

  test('releases what a Postgres job made, or drops it all the same', async () => {
    const pg = { type: 'POSTGRES', source: { schema: 'public' } };
    await world.run(create(pg));
    await world.run("DROP JOB where jobName = 'j'");
    expect(world.parts.source.released).toBe(1);
    await world.run(create(pg));
    world.parts.source.failures = { open: new ProxyError('SOURCE_UNREACHABLE', 'gone') };
    await world.run("DROP JOB where jobName = 'j'");
    expect(world.parts.catalog.jobs()).toEqual([]);
    expect(world.parts.logged.join('')).toContain('was not cleaned up');
  });
});

describe('statements about other jobs', () => {
  test.each([
    ["PAUSE JOB WHERE jobname = 'x'", 'job not exist, jobName: x'],
    ["RESUME JOB WHERE jobname = 'x'", 'job not exist, jobName: x'],
    ["DROP JOB WHERE jobname = 'x'", 'unregister job error, jobName:x'],
    ["ALTER JOB x PROPERTIES('max_interval'='5')", 'job not exist, jobName: x'],
    ["CANCEL TASK WHERE jobName = 'x' AND taskId = 1", 'job not exist, jobName:x'],
    ["PAUSE JOB WHERE jobname = 'inner_x'", "Can't alter inner job status"],
    ["DROP JOB WHERE jobname = 'inner_x'", "Can't alter inner job status"],
    ["ALTER JOB inner_x PROPERTIES('max_interval'='5')", "Can't alter inner job"],
    ["PAUSE JOB WHERE name = 'x'", "jobName should be: 'jobName'"],
  ])('%s', async (sql, text) => {
    expect(await world.refusal(sql)).toBe(plain(text));
  });

  test('IF EXISTS', async () => {
    expect(await world.run("DROP JOB IF EXISTS WHERE jobname = 'x'")).toEqual({ kind: 'ok' });
  });

  test('a job that only Doris has is Doris’', async () => {
    world.caller.native = { columns: ['Name'], rows: [['x']] };
    expect(await world.run("PAUSE JOB WHERE jobname = 'x'")).toBe('relay');
    expect(await world.run("DROP JOB IF EXISTS WHERE jobname = 'x'")).toBe('relay');
    expect(await world.run("CANCEL TASK WHERE jobName = 'x' AND taskId = 1")).toBe('relay');
    expect(await world.run("ALTER JOB x PROPERTIES('max_interval'='5')")).toBe('relay');
  });

  test('a new job for Doris to run is Doris’, unless one of ours has its name', async () => {
    expect(await world.run(native('j'))).toBe('relay');
    await world.run(create());
    expect(await world.refusal(native('j'))).toBe(plain('job name exist, jobName:j'));
    expect(await world.run(native('k'))).toBe('relay');
    expect(await world.refusal(`${native('k')}; ${native('j')}`)).toMatch(/job name exist/);
    const prepare = (name: string): Promise<unknown> | undefined =>
      world.commands.recognize(native(name))?.describe?.(world.caller);
    expect(await prepare('k')).toBe('relay');
    await expect(prepare('j')).rejects.toThrow(/job name exist, jobName:j/);
  });

  test('a task of ours cannot be cancelled', async () => {
    await world.run(create());
    expect(await world.refusal("CANCEL TASK WHERE jobName = 'j' AND taskId = 1")).toBe(
      plain('streaming job not support cancel task by id'),
    );
  });

  test('a batch is handed out in parts', () => {
    const { batch } = world.commands.recognize("DROP JOB WHERE jobname='j'; select 1") ?? {};
    expect(batch?.map(({ sql, own }) => [sql, own !== undefined])).toEqual([
      ["DROP JOB WHERE jobname='j'", true],
      [' select 1', false],
    ]);
  });

  test('without LOAD nothing may be done', async () => {
    await world.run(create());
    world.caller.grants = grants('jack', 'DatabasePrivs', null);
    for (const verb of ['PAUSE', 'DROP']) {
      expect(await world.refusal(`${verb} JOB WHERE jobname = 'j'`)).toMatch(
        /^1225 42000 .*\(LOAD\)/,
      );
    }
    await world.setStatus('PAUSED');
    expect(await world.refusal("RESUME JOB WHERE jobname = 'j'")).toMatch(/^1225/);
    expect(await world.refusal("ALTER JOB j PROPERTIES('max_interval'='5')")).toMatch(/^1225/);
    expect(world.job().status).toBe('PAUSED');
  });
});

describe('the log', () => {
  test('has one line for each statement, without the password', async () => {
    await world.run(create());
    await world.refusal(create());
    world.caller.native = { columns: ['Name'], rows: [['x']] };
    await world.run("PAUSE JOB WHERE jobname = 'x'");
    await world.run('select * from jobs("type"="insert")');
    const lines = world.parts.logged.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toMatchObject([
      { audit: true, user: 'root', client: '10.0.0.7:4711', result: 'ok' },
      { result: 'refused', reason: 'job name exist, jobName:j' },
      { result: 'relayed', statement: "PAUSE JOB WHERE jobname = 'x'" },
    ]);
    expect(lines[0]?.['statement']).toContain(`"user" = 'root', "password" = '***'`);
    expect(world.parts.logged.join('')).not.toContain(SECRET);
  });

  test('an error of the FE is passed on as it is', async () => {
    const denied = new FrontendError(1045, '28000', 'Access denied');
    world.caller.ask = () => Promise.reject(denied);
    await expect(world.run(create())).rejects.toBe(denied);
  });
});
