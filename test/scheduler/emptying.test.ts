import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { MysqlPosition } from '../../src/model/offset.ts';
import { emptyTables, settleEmptying } from '../../src/scheduler/emptying.ts';
import { JobContext, type Emptying } from '../../src/scheduler/job-context.ts';
import { FakeSource, FakeTarget, spec } from '../support/fake-world.ts';
import { sampleJob } from '../support/sample-job.ts';

const TABLE = spec('t1');
const never = new AbortController().signal;
const BEFORE = { database: 'd', target: TABLE.target, partitions: 'p0' };

let directory: string;
let catalog: Catalog;
beforeEach(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'djp-emptying-'));
  const keyFile = path.join(directory, 'key');
  catalog = await Catalog.open({ directory, keyFile, taskHistoryMax: 10 });
  await catalog.createJob(sampleJob(), '');
});
afterEach(async () => {
  await catalog[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** A context whose clock moves only when it sleeps. */
function contextOf(target: FakeTarget): { readonly context: JobContext; slept: number } {
  const world = { slept: 0 };
  const context = new JobContext(
    {
      catalog,
      target,
      source: new FakeSource([TABLE]),
      limits: { rowsMax: 1, bytesMax: 1, ageMs: 1, idleMs: 1 },
      log: pino({ level: 'silent' }),
      now: () => world.slept,
      sleep: (ms) => {
        world.slept += ms;
        return Promise.resolve();
      },
    },
    1,
    1,
  );
  return Object.assign(world, { context });
}

/** A Doris in which the truncation shows as `look` says, time after time. */
function showing(look: (n: number) => Partial<Emptying>): FakeTarget {
  const target = new FakeTarget();
  let n = 0;
  target.emptying = () =>
    Promise.resolve({ partitions: 'p0', running: false, ...look(n++) } satisfies Emptying);
  return target;
}

test('a TRUNCATE is on disk, with the partitions before it, while it is sent', async () => {
  const target = new FakeTarget();
  const { context } = contextOf(target);
  const position = (await new FakeSource([TABLE]).safePosition()) as MysqlPosition;
  const range = { kind: 'stream', from: position, to: position } as const;
  let seen: unknown;
  target.step = (what) => {
    if (what === 'before truncate') seen = catalog.intents(1);
  };
  await emptyTables(context, [TABLE], range);
  expect(seen).toMatchObject([
    { abandoned: true, range, loads: [{ target: TABLE.target, partitions: 'p0' }] },
  ]);
  expect(catalog.intents(1)).toEqual([]);
  target.step = () => {
    throw new ProxyError('TARGET_UNREACHABLE', 'cut');
  };
  await expect(emptyTables(context, [TABLE], range)).rejects.toThrow('cut');
  expect(catalog.intents(1)).toMatchObject([{ loads: [{ partitions: 'p1' }] }]);
});

test('one of unknown fate is over when the partitions have changed', async () => {
  const world = contextOf(showing((n) => (n < 6 ? {} : { partitions: 'p1' })));
  await settleEmptying(world.context, BEFORE, never);
  expect(world.slept).toBe(3_000);
});

test('a partition more is no sign that it ran', async () => {
  const world = contextOf(showing((n) => ({ partitions: n < 8 ? 'p0,p1' : 'p2,p3' })));
  await settleEmptying(world.context, BEFORE, never);
  expect(world.slept).toBe(4_000);
});

test('one that nobody has seen for a while is lost; one that runs is waited for', async () => {
  const lost = contextOf(showing(() => ({})));
  await settleEmptying(lost.context, BEFORE, never);
  expect(lost.slept).toBe(10_000);
  const failed = contextOf(showing((n) => ({ running: n < 20 })));
  await settleEmptying(failed.context, BEFORE, never);
  expect(failed.slept).toBe(19_500);
});

test('one that does not end is named within a minute', async () => {
  const world = contextOf(showing(() => ({ running: true })));
  await expect(settleEmptying(world.context, BEFORE, never)).rejects.toMatchObject({
    code: 'TARGET_BUSY',
    message: expect.stringContaining('TRUNCATE TABLE d.t1 was sent and still runs') as string,
  });
  expect(world.slept).toBeLessThan(60_000);
});
