import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Catalog, type Along } from '../../src/catalog/catalog.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { Job } from '../../src/model/job.ts';
import type { MysqlPosition } from '../../src/model/offset.ts';
import { runJob, type RunnerParts } from '../../src/scheduler/job-runner.ts';
import { FakeSource, FakeTarget, spec, type Transaction } from '../support/fake-world.ts';
import { sampleJob } from '../support/sample-job.ts';

const [T1, T2] = [spec('t1'), spec('t2')];
const log = pino({ level: 'silent' });
const bug = (): Promise<FakeSource> => Promise.reject(new TypeError('x is undefined'));

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'djp-runner-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const openCatalog = (): Promise<Catalog> =>
  Catalog.open({ directory, keyFile: path.join(directory, 'key'), taskHistoryMax: 1000 });

const newJob = (position: Job['position']): Job =>
  sampleJob({
    sourceProperties: { snapshot_split_size: '4' },
    ...(position === undefined ? {} : { position }),
  });

class World {
  readonly source = new FakeSource([T1, T2]);
  readonly target = new FakeTarget();
  catalog!: Catalog;
  #sleptMs = 0;

  parts(extra: Partial<RunnerParts> = {}): RunnerParts {
    return {
      catalog: this.catalog,
      target: this.target,
      openSource: () => Promise.resolve(this.source),
      limits: { rowsMax: 5, bytesMax: 1e6, ageMs: 1, idleMs: 1 },
      log,
      // Sleep costs a turn of the loop, so that a test can time out, and moves the clock.
      now: () => Date.now() + this.#sleptMs,
      sleep: (ms) => {
        this.#sleptMs += ms;
        return new Promise((resolve) => {
          setImmediate(resolve);
        });
      },
      ...extra,
    };
  }

  /** Runs until the target equals the source and stays so, then stops the runner. */
  async settle(): Promise<void> {
    const stop = new AbortController();
    const epoch = this.catalog.job(1)!.epoch;
    const run = runJob(this.parts(), 1, epoch, stop.signal);
    try {
      await vi.waitFor(
        () => {
          expect(this.catalog.job(1)).toMatchObject({ status: 'RUNNING', snapshotPending: false });
          expect(this.catalog.job(1)!.position).toMatchObject({ pos: this.source.log.length });
          this.expectEqual();
        },
        { timeout: 5000, interval: 2 },
      );
    } finally {
      stop.abort();
      await run;
    }
  }

  expectEqual(): void {
    for (const table of [T1, T2]) {
      const found = this.target.tables.get(table.target) ?? new Map<string, string>();
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(this.source.rows(table)));
    }
  }
}

const transactions = fc.array(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.array(
        fc.record({
          table: fc.constantFrom(T1, T2),
          key: fc.nat(8),
          value: fc.option(fc.string({ maxLength: 3 }), { nil: undefined }),
        }),
        { minLength: 1, maxLength: 12 },
      ),
    },
    { weight: 1, arbitrary: fc.constantFrom({ truncate: T1 }, { truncate: T2 }) },
  ),
  { maxLength: 12 },
) as fc.Arbitrary<Transaction[]>;

/** Thrown at a step where the process is to die: nothing after it happens, not even clean-up in the catalog. */
class Killed extends Error {}

/** A catalog whose next changes may be the last thing the process does. */
function dying(catalog: Catalog, step: (what: string) => void): Catalog {
  return new Proxy(catalog, {
    get(on, name) {
      if (name === 'changeJob') {
        return async (id: number, change: (job: Job) => Job, along?: Along) => {
          step('before change');
          const job = await on.changeJob(id, change, along);
          step('after change');
          return job;
        };
      }
      const value: unknown = Reflect.get(on, name, on);
      return typeof value === 'function' ? value.bind(on) : value;
    },
  });
}

test('whatever the source does, the target ends equal, and no key comes twice in a load', async () => {
  await fc.assert(
    fc.asyncProperty(transactions, transactions, async (before, after) => {
      rmSync(directory, { recursive: true, force: true });
      const world = new World();
      world.source.log.push(...before);
      await using catalog = await openCatalog();
      world.catalog = catalog;
      await catalog.createJob(newJob(await world.source.safePosition()), '', [T1, T2]);
      world.source.log.push(...after);
      await world.settle();
    }),
    { numRuns: 30 },
  );
}, 60_000);

/** The labels: Doris remembers them for 12 hours or 2000 loads (doris-target.md §1.9), a proxy may be down for longer. */
test.each([
  { labels: 'remembered', stride: 1 },
  { labels: 'forgotten', stride: 4 },
])(
  'killed at any step, before or after any effect, it ends equal; labels $labels',
  async ({ labels, stride }) => {
    const before: Transaction[] = Array.from({ length: 9 }, (_, key) => [
      { table: T1, key, value: `s${key}` },
      { table: T2, key, value: `s${key}` },
    ]);
    const after: Transaction[] = [
      [
        { table: T1, key: 1, value: 'a' },
        { table: T2, key: 2, value: 'b' },
      ],
      Array.from({ length: 14 }, (_, key) => ({ table: T1, key, value: `big${key}` })),
      { truncate: T2 },
      [
        { table: T2, key: 1, value: 'after' },
        { table: T1, key: 3, value: undefined },
      ],
    ];
    let steps = 0;
    for (let killAt = 1; ; killAt += stride) {
      rmSync(directory, { recursive: true, force: true });
      const world = new World();
      world.source.log.push(...before);
      let killed = false;
      {
        await using catalog = await openCatalog();
        await catalog.createJob(newJob(await world.source.safePosition()), '', [T1, T2]);
        world.source.log.push(...after);
        const stop = new AbortController();
        let count = 0;
        const step = (): void => {
          // Once dead, every further step of what still unwinds is refused: a killed process does nothing.
          if (killed || ++count === killAt) {
            killed = true;
            stop.abort();
            throw new Killed();
          }
        };
        world.target.step = step;
        world.catalog = dying(catalog, step);
        const run = runJob(world.parts(), 1, 1, stop.signal);
        await vi.waitFor(
          () => {
            if (!killed) {
              expect(catalog.job(1)!.position).toMatchObject({ pos: world.source.log.length });
            }
          },
          { timeout: 5000, interval: 2 },
        );
        stop.abort();
        await run;
        steps = count;
      }
      world.target.step = () => undefined;
      if (labels === 'forgotten') world.target.labels.clear();
      await using catalog = await openCatalog();
      world.catalog = catalog;
      await catalog.changeJob(1, (job) => ({ ...job, status: 'PENDING', epoch: job.epoch + 1 }));
      await world.settle();
      expect(catalog.intents(1)).toEqual([]);
      if (!killed) break;
    }
    // The run above must have had many places to die at, or the test shows nothing.
    expect(steps).toBeGreaterThan(30);
  },
  120_000,
);

test('a refused row pauses the job with the reason, and after the cure it goes on under the same label', async () => {
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  world.source.log.push([{ table: T1, key: 1, value: 'x' }]);
  await catalog.createJob(newJob(await world.source.safePosition()), '', [T1, T2]);
  const labels: string[] = [];
  world.target.refuse = (label) => {
    labels.push(label);
    return new ProxyError('TARGET_DATA', 'table t1: too many filtered rows');
  };
  await runJob(world.parts(), 1, 1, new AbortController().signal);
  expect(catalog.job(1)).toMatchObject({
    status: 'PAUSED',
    failedTaskCount: 1,
    failure: {
      code: 'TOO_MANY_FAILURE_ROWS_ERR',
      message: expect.stringMatching(
        /^table t1: too many filtered rows; it came with split s\.t1:0 of the copy\. .*RESUME JOB\.$/,
      ) as string,
    },
  });
  expect(catalog.tasks(1)[0]).toMatchObject({ status: 'FAILED' });
  world.target.refuse = undefined;
  await catalog.changeJob(1, (job) => ({ ...job, status: 'PENDING', epoch: job.epoch + 1 }));
  await world.settle();
  expect(catalog.job(1)).not.toHaveProperty('failure');
  expect(labels).toHaveLength(1);
});

test('a failure that passes is retried quietly; one that stays pauses the job', async () => {
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  await catalog.createJob(newJob(await world.source.safePosition()), '', [T1, T2]);
  let attempts = 0;
  const openSource = (): Promise<FakeSource> => {
    attempts++;
    return Promise.reject(new ProxyError('SOURCE_UNREACHABLE', 'connect ECONNREFUSED'));
  };
  await runJob(world.parts({ openSource }), 1, 1, new AbortController().signal);
  expect(attempts).toBe(4);
  expect(catalog.job(1)).toMatchObject({
    status: 'PAUSED',
    failure: { code: 'GET_REMOTE_DATA_ERROR', message: 'connect ECONNREFUSED' },
  });
});

test('a runner whose job was paused writes nothing any more', async () => {
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  world.source.log.push([{ table: T1, key: 1, value: 'x' }]);
  await catalog.createJob(newJob(await world.source.safePosition()), '', [T1, T2]);
  world.target.step = (what) => {
    if (what !== 'after load') return;
    void catalog.changeJob(1, (job) => ({ ...job, status: 'PAUSED', epoch: job.epoch + 1 }));
  };
  await runJob(world.parts(), 1, 1, new AbortController().signal);
  expect(catalog.job(1)).toMatchObject({ status: 'PAUSED', succeedTaskCount: 0 });
  expect(catalog.intents(1)).toHaveLength(1);
});

test('offset snapshot: the job is finished when the tables are copied', async () => {
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  const rows = Array.from({ length: 10 }, (_, key) => ({ table: T1, key, value: 'x' }));
  world.source.log.push(rows);
  const job = newJob(undefined);
  const sourceProperties = {
    ...job.sourceProperties,
    offset: 'snapshot',
    snapshot_parallelism: '1',
  };
  await catalog.createJob({ ...job, sourceProperties }, '', [T1, T2]);
  await runJob(world.parts(), 1, 1, new AbortController().signal);
  world.expectEqual();
  expect(catalog.job(1)).toMatchObject({
    status: 'FINISHED',
    snapshotPending: false,
  });
  const splits = catalog.job(1)?.lastSplits ?? [];
  expect(splits.map(({ highWatermark }) => highWatermark)).toMatchObject(
    splits.map(() => ({ pos: 1 })),
  );
  expect(splits.length).toBeGreaterThan(0);
});

/** Tables read at once. */
const lanesOf = async (parallelism: string): Promise<number> => {
  rmSync(directory, { recursive: true, force: true });
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  const tables = ['a', 'b', 'c', 'd', 'e'].map(spec);
  world.source.log.push(tables.map((table) => ({ table, key: 1, value: 'x' })));
  const sourceProperties = { offset: 'snapshot', snapshot_parallelism: parallelism };
  await catalog.createJob({ ...newJob(undefined), sourceProperties }, '', tables);
  let [reading, highest] = [0, 0];
  const readSplit = world.source.readSplit.bind(world.source);
  vi.spyOn(world.source, 'readSplit').mockImplementation(async (table, split) => {
    reading += 1;
    highest = Math.max(highest, reading);
    await sleep(5);
    reading -= 1;
    return await readSplit(table, split);
  });
  await runJob(world.parts(), 1, 1, new AbortController().signal);
  expect(catalog.job(1)?.status).toBe('FINISHED');
  return highest;
};

test('snapshot_parallelism is the number of tables that are read at once', async () => {
  expect(await lanesOf('1')).toBe(1);
  expect(await lanesOf('4')).toBe(4);
});

test('a position that a statement has set is not moved by what was loaded before', async () => {
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  world.source.log.push([{ table: T1, key: 1, value: 'a' }], [{ table: T1, key: 2, value: 'b' }]);
  const from = (await world.source.earliestPosition()) as MysqlPosition;
  await catalog.createJob({ ...newJob(from), snapshotPending: false }, '', [T1, T2]);
  world.target.step = (what) => {
    if (what === 'after load') throw new ProxyError('TARGET_TABLE', 'no answer');
  };
  await runJob(world.parts(), 1, 1, new AbortController().signal);
  const [intent] = catalog.intents(1);
  world.target.step = () => undefined;
  await catalog.changeJob(
    1,
    (job) => ({ ...job, status: 'PENDING', epoch: job.epoch + 1, position: { ...from, pos: 1 } }),
    { intents: [{ ...intent!, abandoned: true }] },
  );
  const positions: unknown[] = [];
  const watched = dying(catalog, () => positions.push(catalog.job(1)?.position));
  const stop = new AbortController();
  const run = runJob(world.parts({ catalog: watched }), 1, catalog.job(1)!.epoch, stop.signal);
  await vi.waitFor(() => expect(catalog.job(1)?.position).toMatchObject({ pos: 2 }));
  stop.abort();
  await run;
  expect(positions[0]).toMatchObject({ pos: 1 });
  expect(catalog.intents(1)).toEqual([]);
  expect(catalog.tasks(1).map(({ status }) => status)).toEqual(['PENDING', 'SUCCESS', 'FAILED']);
});

test('a bug of ours pauses its job and says so', async () => {
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  await catalog.createJob(newJob(await world.source.safePosition()), '', [T1, T2]);
  await runJob(world.parts({ openSource: bug }), 1, 1, new AbortController().signal);
  expect(catalog.job(1)?.failure).toEqual({
    code: 'CANNOT_RESUME_ERR',
    message: 'internal error: x is undefined',
  });
});

test('a label that somebody else has is not believed: its rows are loaded under another', async () => {
  const world = new World();
  await using catalog = await openCatalog();
  world.catalog = catalog;
  await catalog.createJob(newJob(await world.source.safePosition()), '', [T1, T2]);
  world.source.log.push([{ table: T1, key: 1, value: 'x' }]);
  world.target.refuse = (label) => {
    world.target.refuse = undefined;
    world.target.labels.set(label, 'a stranger\n');
    return new ProxyError('LABEL_TAKEN', `label ${label} is not ours`);
  };
  await world.settle();
  expect(catalog.job(1)).toMatchObject({ failedTaskCount: 1 });
});
