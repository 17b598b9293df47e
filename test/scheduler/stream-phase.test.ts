import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { Job } from '../../src/model/job.ts';
import type { LoadOptions } from '../../src/scheduler/job-context.ts';
import { runJob, type RunnerParts } from '../../src/scheduler/job-runner.ts';
import type { Fill, FillLimit } from '../../src/source/source.ts';
import { FakeSource, FakeTarget, spec } from '../support/fake-world.ts';
import { sampleJob } from '../support/sample-job.ts';

const T = spec('t1');
let directory: string;
let catalog: Catalog;
let source: FakeSource;
let target: FakeTarget;

beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'djp-stream-'));
  const keyFile = path.join(directory, 'key');
  catalog = await Catalog.open({ directory, keyFile, taskHistoryMax: 100 });
  source = new FakeSource([T]);
  target = new FakeTarget();
});
afterEach(async () => {
  await catalog[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

const create = async (parts: Partial<Job> = {}): Promise<void> => {
  const position = await source.safePosition();
  await catalog.createJob(sampleJob({ snapshotPending: false, position, ...parts }), '', [T]);
};

const parts = (): RunnerParts => ({
  catalog,
  target,
  openSource: () => Promise.resolve(source),
  limits: { rowsMax: 5, bytesMax: 1e6, ageMs: 1, idleMs: 1 },
  log: pino({ level: 'silent' }),
  now: Date.now,
  sleep: () => Promise.resolve(),
});

/** Runs the job while `during` does. */
async function running(during: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const run = runJob(parts(), 1, catalog.job(1)!.epoch, stop.signal);
  try {
    await during();
  } finally {
    stop.abort();
    await run;
  }
}

/** Puts `around` around every fill of the source's streams. */
function onFill(around: (fill: () => Promise<Fill>, limit: FillLimit) => Promise<Fill>): void {
  const openStream = source.openStream.bind(source);
  source.openStream = async (...args) => {
    const stream = await openStream(...args);
    const fill = stream.fill.bind(stream);
    stream.fill = async (batch, limit, signal) =>
      await around(() => fill(batch, limit, signal), limit);
    return stream;
  };
}

const statuses = (): string[] => catalog.tasks(1).map(({ status }) => status);
const eventually = (check: () => void): Promise<void> =>
  vi.waitFor(check, { timeout: 8_000, interval: 2 });
const loaded = (count: number): Promise<void> =>
  eventually(() => expect(catalog.job(1)!.succeedTaskCount).toBe(count));
const write = (key: number): void => void source.log.push([{ table: T, key, value: 'x' }]);

describe('the task that waits', () => {
  test('is shown while the source is idle, and becomes the next load', async () => {
    await create();
    await running(async () => {
      await eventually(() => expect(statuses()).toEqual(['PENDING']));
      const [waiting] = catalog.tasks(1);
      expect(waiting).not.toHaveProperty('startTimeMs');
      write(1);
      await loaded(1);
      expect(statuses()).toEqual(['PENDING', 'SUCCESS']);
      expect(catalog.tasks(1)[1]).toMatchObject({
        id: waiting?.id,
        createTimeMs: waiting?.createTimeMs,
        startTimeMs: expect.any(Number) as number,
        range: { from: waiting?.range.kind === 'stream' ? waiting.range.from : {} },
      });
    });
  });

  test('is not shown twice after a start, and costs an idle job no writes', async () => {
    await create();
    const ids = new Set<number>();
    for (let start = 0; start < 3; start += 1) {
      await running(async () => {
        await eventually(() => expect(catalog.job(1)!.status).toBe('RUNNING'));
        await eventually(() => expect(ids).not.toContain(catalog.tasks(1)[0]?.id));
      });
      expect(statuses()).toEqual(['PENDING']);
      ids.add(catalog.tasks(1)[0]!.id);
    }
    expect(ids.size).toBe(3);
  });

  test('a load that had to wait for its rows is newer than any number that was given meanwhile', async () => {
    await create({ jobProperties: { compute_group: 'etl' } });
    const sequences: number[] = [];
    const load = target.load.bind(target);
    vi.spyOn(target, 'load').mockImplementation((...args) => {
      const [, , , options] = args as unknown as [string, unknown, string, LoadOptions];
      expect(options.computeGroup).toBe('etl');
      sequences.push(options.sequence);
      return load(args[0], args[1], args[2]);
    });
    await running(async () => {
      await eventually(() => expect(statuses()).toEqual(['PENDING']));
      // Another job takes numbers, and may load into the same table.
      const other = await catalog.nextId();
      write(1);
      await loaded(1);
      expect(sequences[0]).toBeGreaterThan(other);
      expect(catalog.tasks(1)[1]!.id).toBeLessThan(other);
    });
  });

  test('is cancelled when the job is paused for a reason', async () => {
    await create();
    let purged = false;
    onFill((fill) => {
      if (purged) throw new ProxyError('POSITION_LOST', 'purged');
      return fill();
    });
    await running(async () => {
      await eventually(() => expect(statuses()).toEqual(['PENDING']));
      purged = true;
      await eventually(() => expect(catalog.job(1)!.status).toBe('PAUSED'));
    });
    expect(catalog.job(1)).toMatchObject({
      canceledTaskCount: 1,
      failedTaskCount: 0,
      failure: { message: 'purged' },
    });
    expect(catalog.tasks(1)).toMatchObject([
      { status: 'CANCELED', errorMessage: 'task cancelled' },
    ]);
  });
});

test('max_interval is how long changes wait for company, in pieces', async () => {
  await create({ jobProperties: { max_interval: '2s' } });
  const ages: number[] = [];
  onFill((fill, { ageMs }) => {
    ages.push(ageMs);
    return fill();
  });
  write(1);
  await running(() => loaded(1));
  // Two pieces of a second each before the first load.
  expect(ages.slice(0, 2)).toEqual([1000, 1000]);
  expect(ages.every((age) => age === 1000)).toBe(true);
});

test('rows that Doris has dropped are counted, of the task and over the life of the job', async () => {
  await create();
  target.filteredRows = 2;
  await running(async () => {
    write(1);
    await loaded(1);
    write(2);
    await loaded(2);
  });
  expect(catalog.job(1)!.statistic.filteredRows).toBe(4);
  expect(catalog.tasks(1).map(({ statistic }) => statistic.filteredRows)).toEqual([
    undefined,
    2,
    2,
  ]);
});
