import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { OwnerLock } from '../../src/catalog/owner-lock.ts';
import type { Job, Task } from '../../src/model/job.ts';
import { sampleJob, sampleTask } from '../support/sample-job.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'djp-catalog-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const openCatalog = (taskHistoryMax = 3): Promise<Catalog> =>
  Catalog.open({ directory, keyFile: path.join(directory, 'key'), taskHistoryMax });

const job = (id: number, name: string): Job =>
  sampleJob({ id, name, sourceProperties: { user: 'u' } });

const task = (id: number, jobId: number): Task => sampleTask({ id, jobId });

test('a job, its tasks, intents, progress and password survive closing', async () => {
  {
    await using catalog = await openCatalog();
    await catalog.createJob(job(7, 'a'), 'geheim');
    await catalog.changeJob(7, (found) => ({ ...found, status: 'RUNNING' }), {
      tasks: [task(8, 7)],
      intents: [task(8, 7)],
      progress: [{ tableId: 'd.t', done: true, rows: 3 }],
    });
  }
  await using catalog = await openCatalog();
  expect(catalog.job(7)?.status).toBe('RUNNING');
  expect(catalog.jobByName('a')?.id).toBe(7);
  expect(catalog.tasks(7).map((found) => found.id)).toEqual([8]);
  expect(catalog.intents(7).map((found) => found.id)).toEqual([8]);
  expect(catalog.progress(7).get('d.t')?.rows).toBe(3);
  expect(catalog.password(7)).toBe('geheim');
});

test('the password is not in the file, and another key does not open it', async () => {
  {
    await using catalog = await openCatalog();
    await catalog.createJob(job(7, 'a'), 'Sesam-öffne-dich');
  }
  expect(readFileSync(path.join(directory, 'catalog.mdb')).includes('Sesam')).toBe(false);
  writeFileSync(path.join(directory, 'key'), 'ab'.repeat(32));
  await using catalog = await openCatalog();
  expect(() => catalog.password(7)).toThrow(/key file/);
});

test('of two jobs created at once with one name, one wins', async () => {
  await using catalog = await openCatalog();
  const outcomes = await Promise.allSettled([
    catalog.createJob(job(1, 'same'), ''),
    catalog.createJob(job(2, 'same'), ''),
  ]);
  expect(outcomes.filter((outcome) => outcome.status === 'rejected')).toMatchObject([
    { reason: { message: 'job name exist, jobName:same' } },
  ]);
  expect(catalog.jobs()).toHaveLength(1);
});

test('changes made at once are all applied', async () => {
  await using catalog = await openCatalog();
  await catalog.createJob(job(1, 'a'), '');
  await Promise.all(
    Array.from({ length: 20 }, () =>
      catalog.changeJob(1, (found) => ({
        ...found,
        succeedTaskCount: found.succeedTaskCount + 1,
      })),
    ),
  );
  expect(catalog.job(1)?.succeedTaskCount).toBe(20);
});

test('a change that refuses leaves everything as it was', async () => {
  await using catalog = await openCatalog();
  await catalog.createJob(job(1, 'a'), '');
  await expect(
    catalog.changeJob(
      1,
      () => {
        throw new Error('no');
      },
      { tasks: [task(5, 1)] },
    ),
  ).rejects.toThrow('no');
  expect(catalog.tasks(1)).toEqual([]);
});

test('only the newest tasks are kept', async () => {
  await using catalog = await openCatalog(3);
  await catalog.createJob(job(1, 'a'), '');
  for (const taskId of [11, 12, 13, 14, 15]) {
    await catalog.changeJob(1, (found) => found, { tasks: [task(taskId, 1)] });
  }
  expect(catalog.tasks(1).map((found) => found.id)).toEqual([15, 14, 13]);
});

test('a dropped job takes everything along, and its name is free', async () => {
  await using catalog = await openCatalog();
  await catalog.createJob(job(1, 'a'), 'x');
  await catalog.createJob(job(12, 'b'), 'y');
  await catalog.changeJob(1, (found) => found, { tasks: [task(5, 1)], intents: [task(5, 1)] });
  await catalog.removeJob(1);
  expect(catalog.jobs().map((found) => found.name)).toEqual(['b']);
  expect(catalog.intents(1)).toEqual([]);
  expect(catalog.password(1)).toBe('');
  await catalog.createJob(job(3, 'a'), 'x');
});

test('loads in doubt outlive their job, until they are fenced or too old to come', async () => {
  await using catalog = await openCatalog();
  await catalog.createJob(job(1, 'a'), 'x');
  const loads = [
    { target: 't', label: '1_5_0' },
    { target: 'u', label: '1_5_1' },
  ];
  await catalog.changeJob(1, (found) => found, { intents: [{ ...task(5, 1), loads }] });
  const { targetDatabase: database } = catalog.job(1)!;
  const before = Date.now();
  await catalog.removeJob(1);
  const [first, second] = catalog.droppedLoads();
  expect(first).toMatchObject({ job: 'a', database, target: 't', label: '1_5_0' });
  expect(second).toMatchObject({ target: 'u', label: '1_5_1' });
  expect(first!.dropTimeMs).toBeGreaterThanOrEqual(before);
  await catalog.forgetDropped('1_5_0');
  expect(catalog.droppedLoads()).toEqual([second]);
  await catalog.createJob(job(2, 'b'), 'x');
  vi.setSystemTime(Date.now() + 4 * 24 * 3_600_000);
  try {
    await catalog.removeJob(2);
  } finally {
    vi.useRealTimers();
  }
  expect(catalog.droppedLoads()).toEqual([]);
});

test('ids grow, over two openings and two users at once', async () => {
  const seen: number[] = [];
  for (let round = 0; round < 2; round++) {
    await using one = await openCatalog();
    await using two = await openCatalog();
    for (let i = 0; i < 150; i++) seen.push(await one.nextId(), await two.nextId());
  }
  expect(new Set(seen).size).toBe(seen.length);
  expect(Math.min(...seen)).toBeGreaterThan(1_700_000_000_000);
});

/** An id that a process gives which starts at this time. */
async function idGivenAt(timeMs: number): Promise<number> {
  vi.setSystemTime(timeMs);
  await using catalog = await openCatalog();
  return await catalog.nextId();
}

test('a catalog restored from a copy gives no id that was given after the copy, nor does a clock that goes back', async () => {
  const [file, copy] = ['catalog.mdb', 'copy'].map((name) => path.join(directory, name)) as [
    string,
    string,
  ];
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    await idGivenAt(1_000_000);
    copyFileSync(file, copy);
    const given = [await idGivenAt(1_060_000), await idGivenAt(1_061_000)];
    copyFileSync(copy, file);
    given.push(await idGivenAt(1_120_000), await idGivenAt(1_000_000));
    expect(given).toEqual(given.toSorted((a, b) => a - b));
    expect(new Set(given).size).toBe(4);
  } finally {
    vi.useRealTimers();
  }
});

test('a catalog of a newer program is refused', async () => {
  {
    await using catalog = await openCatalog();
    await catalog.nextId();
  }
  const { open } = await import('lmdb');
  const raw = open({
    path: path.join(directory, 'catalog.mdb'),
    noSubdir: true,
    encoding: 'json',
  });
  await raw.put('meta/format', { revision: 2, value: 99 });
  await raw.close();
  await expect(openCatalog()).rejects.toThrow(/format 99/);
});

test('a directory in use is refused, one left behind by a dead process is not', () => {
  const file = path.join(directory, 'owner.json');
  let left: string;
  {
    using _lock = OwnerLock.acquire(directory);
    expect(() => OwnerLock.acquire(directory)).toThrow(`in use by process ${process.pid}`);
    left = readFileSync(file, 'utf8');
  }
  writeFileSync(file, left.replace(/"startedAt":"\d+"/, '"startedAt":"not-then"'));
  using _lock = OwnerLock.acquire(directory);
});

test('an owner in another container is believed as long as it touches its file', () => {
  const file = path.join(directory, 'owner.json');
  writeFileSync(file, '{"pid":1,"startedAt":"1","where":"db-7f9c pid:[1]"}');
  expect(() => OwnerLock.acquire(directory)).toThrow(/process 1 on db-7f9c/);
  const longAgo = new Date(Date.now() - 31_000);
  utimesSync(file, longAgo, longAgo);
  using _lock = OwnerLock.acquire(directory);
});
