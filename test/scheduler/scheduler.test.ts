import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import type { Job } from '../../src/model/job.ts';
import { Scheduler, type RunnerEvents, type Runners } from '../../src/scheduler/scheduler.ts';
import { sampleJob } from '../support/sample-job.ts';

/** Runners that do nothing by themselves; a test ends them. */
class HeldRunners implements Runners {
  readonly started: [jobId: number, epoch: number][] = [];
  readonly stopping: number[] = [];
  events!: RunnerEvents;

  run(jobId: number, epoch: number): void {
    this.started.push([jobId, epoch]);
  }
  stop(jobId: number): void {
    this.stopping.push(jobId);
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

const job = sampleJob();

let directory: string;
let catalog: Catalog;
let runners: HeldRunners;
let scheduler: Scheduler;

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'djp-scheduler-'));
  catalog = await Catalog.open({
    directory,
    keyFile: path.join(directory, 'key'),
    taskHistoryMax: 10,
  });
  runners = new HeldRunners();
  scheduler = new Scheduler(catalog, pino({ level: 'silent' }), (events) => {
    runners.events = events;
    return runners;
  });
  await catalog.createJob(job, '');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(async () => {
  vi.useRealTimers();
  await scheduler[Symbol.asyncDispose]();
  await catalog[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

const change = async (changes: Partial<Job>): Promise<void> => {
  await catalog.changeJob(1, (found) => ({ ...found, ...changes, epoch: found.epoch + 1 }));
  scheduler.wake(1);
};
/** As RESUME JOB does it. */
const resume = async (): Promise<void> => {
  await catalog.changeJob(1, ({ failure: _cured, ...found }) => ({
    ...found,
    status: 'PENDING',
    epoch: found.epoch + 1,
  }));
  scheduler.wake(1);
};
const statusOf = (): string | undefined => catalog.job(1)?.status;

test('what ran when the process was killed runs again, under a new epoch', async () => {
  await catalog.changeJob(1, (found) => ({ ...found, status: 'RUNNING' }));
  await scheduler.start();
  expect(statusOf()).toBe('PENDING');
  expect(runners.started).toEqual([[1, 2]]);
});

test('a job has one runner: the next one starts when the last one has ended', async () => {
  await scheduler.start();
  await change({ status: 'PAUSED' });
  await change({ status: 'PENDING' });
  expect(runners.started).toEqual([[1, 1]]);
  expect(runners.stopping).toEqual([1, 1]);
  runners.events.ended(1);
  expect(runners.started).toEqual([
    [1, 1],
    [1, 3],
  ]);
});

test('stopped() waits for the end of the runner', async () => {
  await scheduler.start();
  await change({ status: 'PAUSED' });
  let over = false;
  const stopped = scheduler.stopped(1).then(() => {
    over = true;
  });
  await Promise.resolve();
  expect(over).toBe(false);
  runners.events.ended(1);
  await stopped;
  await scheduler.stopped(1);
});

test('a passing failure is resumed by itself, later and later, until a task succeeds', async () => {
  await scheduler.start();
  const failure = { code: 'GET_REMOTE_DATA_ERROR', message: 'away' } as const;
  for (const [failed, waitMs] of [1_000, 20_000, 40_000].entries()) {
    await change({ status: 'PAUSED', failure });
    runners.events.ended(1);
    await vi.advanceTimersByTimeAsync(waitMs - 1);
    expect(statusOf()).toBe('PAUSED');
    await vi.advanceTimersByTimeAsync(1);
    await vi.waitFor(() => expect(runners.started).toHaveLength(failed + 2));
    expect(catalog.job(1)).toMatchObject({ status: 'PENDING', failure });
  }
  await change({ status: 'PAUSED', failure, succeedTaskCount: 1 });
  runners.events.ended(1);
  await vi.advanceTimersByTimeAsync(1_000);
  await vi.waitFor(() => expect(runners.started).toHaveLength(5));
});

test('after ten resumes in vain somebody must act, and RESUME JOB counts anew', async () => {
  await scheduler.start();
  const failure = { code: 'INTERNAL_ERR', message: 'disk full' } as const;
  for (let attempt = 0; attempt < 10; attempt++) {
    await change({ status: 'PAUSED', failure });
    runners.events.ended(1);
    await vi.advanceTimersByTimeAsync(300_000);
    await vi.waitFor(() => expect(runners.started).toHaveLength(attempt + 2));
  }
  await change({ status: 'PAUSED', failure });
  runners.events.ended(1);
  await vi.waitFor(() =>
    expect(catalog.job(1)).toMatchObject({
      status: 'PAUSED',
      failure: {
        code: 'CANNOT_RESUME_ERR',
        message: 'Auto resume failed after 10 attempts. Last error: disk full',
      },
    }),
  );
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(statusOf()).toBe('PAUSED');
  expect(runners.started).toHaveLength(11);
  await resume();
  await change({ status: 'PAUSED', failure });
  runners.events.ended(1);
  await vi.advanceTimersByTimeAsync(1_000);
  await vi.waitFor(() => expect(statusOf()).toBe('PENDING'));
});

test('RESUME JOB starts the waits anew', async () => {
  await scheduler.start();
  const failure = { code: 'INTERNAL_ERR', message: 'x' } as const;
  const fail = async (): Promise<void> => {
    await change({ status: 'PAUSED', failure });
    runners.events.ended(1);
  };
  await fail();
  await vi.advanceTimersByTimeAsync(1_000);
  await vi.waitFor(() => expect(statusOf()).toBe('PENDING'));
  await fail();
  await resume();
  await fail();
  await vi.advanceTimersByTimeAsync(1_000);
  await vi.waitFor(() => expect(statusOf()).toBe('PENDING'));
});

test.each(['MANUAL_PAUSE_ERR', 'TOO_MANY_FAILURE_ROWS_ERR', 'CANNOT_RESUME_ERR'] as const)(
  'after %s nothing resumes by itself',
  async (code) => {
    await scheduler.start();
    await change({ status: 'PAUSED', failure: { code, message: 'x' } });
    runners.events.ended(1);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(statusOf()).toBe('PAUSED');
    expect(runners.started).toHaveLength(1);
  },
);

test('a thread that dies under its job is not started again at once', async () => {
  await scheduler.start();
  runners.events.ended(1);
  expect(runners.started).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1_000);
  await vi.waitFor(() =>
    expect(runners.started).toEqual([
      [1, 1],
      [1, 2],
    ]),
  );
});

test('a scheduler that was closed writes nothing more: the catalog is closed next', async () => {
  await scheduler.start();
  runners.events.ended(1);
  await scheduler[Symbol.asyncDispose]();
  const before = catalog.job(1);
  await vi.advanceTimersByTimeAsync(1_000);
  await catalog.putSetting('max_streaming_job_num', 1);
  expect(catalog.job(1)).toEqual(before);
});

test('a dropped job is stopped and not started again', async () => {
  await scheduler.start();
  await catalog.removeJob(1);
  scheduler.wake(1);
  expect(runners.stopping).toEqual([1]);
  runners.events.ended(1);
  expect(runners.started).toHaveLength(1);
});
