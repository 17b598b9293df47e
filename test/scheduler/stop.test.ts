import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { Catalog, type Along } from '../../src/catalog/catalog.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { Job } from '../../src/model/job.ts';
import type { TableSpec } from '../../src/model/table.ts';
import { runJob } from '../../src/scheduler/job-runner.ts';
import { FakeSource, FakeTarget, spec } from '../support/fake-world.ts';
import { sampleJob } from '../support/sample-job.ts';

const TABLE = spec('t');
const NOTED: TableSpec = { ...TABLE, parts: { '16384': '/1.2/3 s.t' } };
const ACT = new ProxyError('SOURCE_DDL', 'a partition was dropped');

/** One row in the log, and behind it the reason to stop, for as long as it was not recorded. */
function stoppingSource(): FakeSource {
  const source = new FakeSource([TABLE]);
  source.log.push([{ table: TABLE, key: 1, value: 'x' }]);
  const openStream = source.openStream.bind(source);
  vi.spyOn(source, 'openStream').mockImplementation(async (tables, from) => {
    const stream = await openStream(tables, from);
    if (tables.some(({ parts }) => parts !== undefined)) return stream;
    const fill: typeof stream.fill = async (...args) => {
      const { to } = await stream.fill(...args);
      return { to, barrier: { kind: 'note', tables: [NOTED], after: to, stop: ACT } };
    };
    return { ...stream, fill };
  });
  return source;
}

/** Runs the job until it pauses, or the process dies at step `killAt` of its writing. @returns the number of steps. */
async function run(catalog: Catalog, source: FakeSource, killAt: number): Promise<number> {
  let count = 0;
  const step = (): void => {
    // Once dead, it does nothing more.
    if (++count >= killAt) throw new Error('killed');
  };
  const changeJob = catalog.changeJob.bind(catalog);
  const dying = vi
    .spyOn(catalog, 'changeJob')
    .mockImplementation(async (id: number, change: (job: Job) => Job, along?: Along) => {
      step();
      const job = await changeJob(id, change, along);
      step();
      return job;
    });
  const parts = {
    catalog,
    target: new FakeTarget(),
    openSource: () => Promise.resolve(source),
    limits: { rowsMax: 5, bytesMax: 1e6, ageMs: 1, idleMs: 1 },
    log: pino({ level: 'silent' }),
    now: Date.now,
    sleep: () => Promise.reject(new Error('nothing here is worth a retry')),
  };
  const { epoch } = catalog.job(1)!;
  await runJob(parts, 1, epoch, new AbortController().signal).catch(() => undefined);
  dying.mockRestore();
  return count;
}

test('a reason to act is written with the pause or not at all, wherever the process dies, and not met again', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'djp-stop-'));
  const keyFile = path.join(directory, 'key');
  let steps = Infinity;
  for (let killAt = 1; killAt <= steps + 1; killAt++) {
    const folder = path.join(directory, String(killAt));
    await using catalog = await Catalog.open({ directory: folder, keyFile, taskHistoryMax: 10 });
    const source = stoppingSource();
    const position = { ...(await source.earliestPosition()) };
    await catalog.createJob(sampleJob({ position, snapshotPending: false }), '', [TABLE]);
    const count = await run(catalog, source, killAt);
    const job = catalog.job(1)!;
    const stopped = job.failure?.message === ACT.message;
    expect([stopped, job.status === 'PAUSED']).toEqual([stopped, stopped]);
    expect(catalog.tables(1)).toEqual([stopped ? NOTED : TABLE]);
    if (count < killAt) {
      steps = count;
      expect(job).toMatchObject({ failure: { code: 'CANNOT_RESUME_ERR' }, position: { pos: 1 } });
    }
    // Resumed it goes on; or, where it was not written, it is found again.
    await catalog.changeJob(1, (paused) => ({ ...paused, status: 'PENDING' }));
    if (!stopped) {
      await run(catalog, source, Infinity);
      expect(catalog.job(1)).toMatchObject({ status: 'PAUSED', failure: { message: ACT.message } });
    }
  }
  expect(steps).toBeGreaterThan(6);
  rmSync(directory, { recursive: true });
});
