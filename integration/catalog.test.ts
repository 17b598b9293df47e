import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Catalog } from '../src/catalog/catalog.ts';
import { OwnerLock } from '../src/catalog/owner-lock.ts';
import type { Job, Task } from '../src/model/job.ts';
import { sampleJob, sampleTask } from '../test/support/sample-job.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'djp-catalog-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const openCatalog = (taskHistoryMax = 1_000_000): Promise<Catalog> =>
  Catalog.open({ directory, keyFile: path.join(directory, 'key'), taskHistoryMax });

/** A process that works on `directory`, and the lines that it has written. `before`: a command that runs it. */
function child(what: string, before: readonly string[] = []): [ChildProcess, string[]] {
  const script = path.join(import.meta.dirname, 'catalog-child', 'main.ts');
  const [program, ...args] = [...before, process.execPath, '--import=tsx', script, what, directory];
  const started = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const lines: string[] = [];
  createInterface(started.stdout).on('line', (line) => lines.push(line));
  return [started, lines];
}

async function kill(running: ChildProcess): Promise<void> {
  const exited = once(running, 'exit');
  running.kill('SIGKILL');
  await exited;
}

const job = (id: number): Job =>
  sampleJob({ id, name: `job ${id}`, status: 'RUNNING', snapshotPending: false });

const task = (id: number, jobId: number, errorMessage = ''): Task =>
  sampleTask({ id, jobId, status: 'SUCCESS', errorMessage });

/** Job, tasks, intents and progress tell of the same tasks, or one of them is in between: begun, its outcome unknown. */
function expectWhole(catalog: Catalog): number {
  const done = catalog.job(1)!.succeedTaskCount;
  const begun = catalog.intents(1).map(({ id }) => id);
  expect([[], [done + 1]]).toContainEqual(begun);
  const ids = catalog.tasks(1).map(({ id }) => id);
  expect(ids).toHaveLength(done + begun.length);
  const unfinished = catalog.tasks(1).filter(({ status }) => status !== 'SUCCESS');
  expect(unfinished.map(({ id }) => id)).toEqual(begun);
  expect(catalog.progress(1).get('d.t')?.rows ?? 0).toBe(done);
  return done;
}

test('killed at any moment, a change is there whole or not at all, and what was confirmed is there', async () => {
  for (let round = 0; round < 6; round++) {
    const [writer, lines] = child('write');
    await expect.poll(() => lines.length, { timeout: 20_000, interval: 2 }).toBeGreaterThan(0);
    await new Promise((resolve) => {
      setTimeout(resolve, Math.random() * 60);
    });
    await kill(writer);
    await using catalog = await openCatalog();
    expect(expectWhole(catalog)).toBeGreaterThanOrEqual(Number(lines.at(-1)));
  }
}, 60_000);

test('a disk that is full is said, keeps what was there, and is gone when there is room', async () => {
  // The largest file that the process may write: LMDB is told what it is told by a full disk.
  const [writer, lines] = child('write', ['prlimit', '--fsize=300000']);
  const refused = /^The catalog in .* cannot be written .* is its disk full\?/;
  await expect
    .poll(() => lines.filter((line) => refused.test(line)).length, { timeout: 20_000 })
    .toBeGreaterThan(3);
  expect(writer.exitCode).toBeNull();
  await kill(writer);
  const confirmed = Math.max(...lines.filter((line) => /^\d+$/.test(line)).map(Number));
  await using catalog = await openCatalog();
  expect(expectWhole(catalog)).toBe(confirmed);
  await catalog.changeJob(1, (found) => ({ ...found, comment: 'there is room' }));
}, 40_000);

test('a second process is refused with the pid of the first, until that is killed', async () => {
  const [owner, lines] = child('own');
  await expect.poll(() => lines.length, { timeout: 20_000 }).toBe(1);
  expect(() => OwnerLock.acquire(directory)).toThrow(`in use by process ${lines[0]}. Stop it`);
  await kill(owner);
  using _lock = OwnerLock.acquire(directory);
});

test('a file that is no catalog is refused and left as it is', async () => {
  const file = path.join(directory, 'catalog.mdb');
  for (const content of ['SQLite format 3\0'.padEnd(9_000, 'x'), 'x']) {
    writeFileSync(file, content);
    await expect(openCatalog()).rejects.toThrow(
      /catalog\.mdb cannot be read: it is not an LMDB file/,
    );
  }
  // What a kill leaves that came before the first write.
  truncateSync(file);
  await using catalog = await openCatalog();
  expect(catalog.jobs()).toEqual([]);
});

test('it grows beyond 100 MB', async () => {
  await using catalog = await openCatalog();
  await catalog.createJob(job(1), '');
  const text = 'y'.repeat(4 << 20);
  for (let id = 1; id <= 28; id++) {
    await catalog.changeJob(1, (found) => found, { tasks: [task(id, 1, text)] });
  }
  expect(catalog.tasks(1).map(({ errorMessage }) => errorMessage!.length)).toEqual(
    Array.from({ length: 28 }, () => text.length),
  );
}, 40_000);

test('a thousand jobs with a hundred tasks each are listed at once', async () => {
  await using catalog = await openCatalog(100);
  const column = { name: 'c', sourceType: 'int', dorisType: 'INT', nullable: true, comment: '' };
  const columns = Array.from({ length: 20 }, () => column);
  const table = { schema: 's', name: 't', target: 't', columns, key: ['c'] };
  for (let from = 0; from < 1000; from += 200) {
    const ids = Array.from({ length: 200 }, (_, i) => from + i + 1);
    for (const id of ids) await catalog.createJob(job(id), '', [table]);
    await Promise.all(
      ids.map((id) =>
        catalog.changeJob(id, (found) => found, {
          tasks: Array.from({ length: 100 }, (_, i) => task(id * 1000 + i, id)),
        }),
      ),
    );
  }
  const startedAt = performance.now();
  expect(catalog.jobs()).toHaveLength(1000);
  const listedMs = performance.now() - startedAt;
  expect(catalog.jobs().flatMap(({ id }) => catalog.tasks(id))).toHaveLength(100_000);
  const tasksMs = performance.now() - startedAt - listedMs;
  // A busy machine takes several times as long as a quiet one: 30 ms and 700 ms.
  expect(listedMs).toBeLessThan(500);
  expect(tasksMs).toBeLessThan(10_000);
}, 60_000);

test('a thread that gives back its ids gets larger ones than any other thread was given', async () => {
  await using one = await openCatalog();
  await using two = await openCatalog();
  await one.nextId();
  const elsewhere = await two.nextId();
  expect(await one.nextId()).toBeLessThan(elsewhere);
  one.renewIds();
  expect(await one.nextId()).toBeGreaterThan(elsewhere);
});

test('what must never happen is counted for good', async () => {
  {
    await using catalog = await openCatalog();
    expect(catalog.violations('acknowledged_ahead')).toBe(0);
    await Promise.all([1, 2, 3].map(() => catalog.countViolation('acknowledged_ahead')));
  }
  await using catalog = await openCatalog();
  expect(catalog.violations('acknowledged_ahead')).toBe(3);
  expect(catalog.violations('position_went_back')).toBe(0);
});
