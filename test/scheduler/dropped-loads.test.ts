import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { runJob } from '../../src/scheduler/job-runner.ts';
import { FakeSource, FakeTarget, spec } from '../support/fake-world.ts';
import { sampleJob, sampleTask } from '../support/sample-job.ts';

const TABLE = spec('t1');

test('loads of a dropped job are fenced before a job loads into their tables, which says so meanwhile', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'djp-dropped-'));
  using _folder = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
  const options = { directory, keyFile: path.join(directory, 'key'), taskHistoryMax: 10 };
  await using catalog = await Catalog.open(options);
  await catalog.createJob(sampleJob({ id: 9, name: 'old' }), '');
  const loads = [
    { target: TABLE.target, label: '9_1' },
    { target: 'elsewhere', label: '9_2' },
  ];
  await catalog.changeJob(9, (job) => job, { intents: [sampleTask({ id: 10, jobId: 9, loads })] });
  await catalog.removeJob(9);
  const [source, target] = [new FakeSource([TABLE]), new FakeTarget()];
  source.log.push([{ table: TABLE, key: 1, value: 'new' }]);
  await catalog.createJob(sampleJob({ position: await source.safePosition() }), '', [TABLE]);
  const seen: unknown[] = [];
  target.step = (what) => {
    if (what === 'before fence') seen.push(catalog.job(1));
    if (what === 'before load') expect(target.labels.get('9_1')).toBe('');
  };
  const stop = new AbortController();
  const run = runJob(
    {
      catalog,
      target,
      openSource: () => Promise.resolve(source),
      limits: { rowsMax: 5, bytesMax: 1e6, ageMs: 1, idleMs: 1 },
      log: pino({ level: 'silent' }),
      now: Date.now,
      sleep: () => Promise.resolve(),
    },
    1,
    1,
    stop.signal,
  );
  await vi.waitFor(() => expect(target.tables.get(TABLE.target)?.get('1')).toBe('new'));
  stop.abort();
  await run;
  expect(seen).toEqual([
    expect.objectContaining({
      status: 'PENDING',
      failure: {
        code: 'INTERNAL_ERR',
        message: expect.stringMatching(
          /^Waiting for what the dropped job old left behind: load 9_1 .* table d\.t1$/,
        ) as string,
      },
    }),
  ]);
  expect(catalog.job(1)).not.toHaveProperty('failure');
  expect(catalog.droppedLoads()).toMatchObject([{ label: '9_2' }]);
});
