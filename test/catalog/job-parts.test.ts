import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { open } from 'lmdb';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import type { Job } from '../../src/model/job.ts';
import type { TableSpec } from '../../src/model/table.ts';
import { sampleJob, sampleTask } from '../support/sample-job.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'djp-parts-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const openCatalog = (): Promise<Catalog> =>
  Catalog.open({ directory, keyFile: path.join(directory, 'key'), taskHistoryMax: 100 });

interface Stored {
  readonly revision: number;
  readonly value: unknown;
}

const openRaw = () =>
  open<Stored, string>({
    path: path.join(directory, 'catalog.mdb'),
    noSubdir: true,
    encoding: 'json',
  });

/** Every record by its key. */
async function records(): Promise<ReadonlyMap<string, Stored>> {
  const raw = openRaw();
  const all = new Map([...raw.getRange()].map(({ key, value }) => [key, value]));
  await raw.close();
  return all;
}

const wideColumn = (i: number) => ({
  name: `column_${i}`,
  sourceType: 'varchar(100)',
  charset: 'utf8mb4',
  dorisType: 'VARCHAR(400)',
  nullable: true,
  comment: 'what a comment says',
});

function wideTable(name: string, columns = 60): TableSpec {
  return {
    schema: 'shop',
    name,
    target: name,
    columns: Array.from({ length: columns }, (_, i) => wideColumn(i)),
    key: ['column_0'],
  };
}

const TABLES = Array.from({ length: 1000 }, (_, i) => wideTable(`t_${String(i).padStart(4, '0')}`));

const JOB: Job = sampleJob({
  id: 7,
  sourceProperties: { user: 'u', include_tables: TABLES.map(({ name }) => name).join() },
});

test('a job of a thousand wide tables writes little with a batch, and all of it is there again', async () => {
  {
    await using catalog = await openCatalog();
    await catalog.createJob(JOB, 'geheim', TABLES);
  }
  const before = await records();
  const loads = [{ target: 't_0001', label: '7_8' }];
  {
    await using catalog = await openCatalog();
    const running = sampleTask({ id: 8, jobId: 7, loads });
    await catalog.changeJob(7, (job) => job, { tasks: [running], intents: [running] });
    await catalog.changeJob(
      7,
      (job) => ({ ...job, succeedTaskCount: 1, statistic: { scannedRows: 3, loadBytes: 99 } }),
      { tasks: [{ ...running, status: 'SUCCESS' }], settled: [8] },
    );
  }
  const after = await records();
  const written = [...after].filter(
    ([key, { revision }]) => before.get(key)?.revision !== revision,
  );
  expect(written.map(([key]) => key.split('/')[0])).toEqual(['job', 'task']);
  const bytes = written.map(([, { value }]) => JSON.stringify(value).length);
  expect(bytes.reduce((sum, n) => sum + n, 0)).toBeLessThan(1000);

  await using catalog = await openCatalog();
  expect(catalog.tables(7)).toEqual(TABLES);
  const { succeedTaskCount: _count, statistic: _statistic, ...rest } = JOB;
  expect(catalog.job(7)).toMatchObject({ ...rest, succeedTaskCount: 1 });
  expect(catalog.jobs()).toEqual([catalog.job(7)]);
});

test('tables that change are written, the others are not', async () => {
  await using catalog = await openCatalog();
  await catalog.createJob(JOB, '', TABLES.slice(0, 3));
  const changed = wideTable('t_0001', 61);
  await catalog.changeJob(7, (job) => job, { tables: [changed] });
  expect(catalog.tables(7)).toEqual([TABLES[0], changed, TABLES[2]]);
  expect((await records()).get(`table/${'7'.padStart(16, '0')}/shop.t_0000`)?.revision).toBe(1);
  await catalog.removeJob(7);
  expect(catalog.tables(7)).toEqual([]);
  expect([...(await records()).keys()]).toEqual(['meta/format', 'names']);
});

test('what another thread alters is seen, and both changes hold', async () => {
  await using one = await openCatalog();
  await using two = await openCatalog();
  await one.createJob(JOB, '');
  // LMDB's reader looks anew when a timer has had its turn.
  await expect.poll(() => two.job(7)?.comment).toBe('');
  await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      await one.changeJob(7, (job) => ({ ...job, comment: `${job.comment}.`, epoch: n }));
      expect(one.job(7)!.comment.length).toBeGreaterThan(0);
      await two.changeJob(7, (job) => ({ ...job, failedTaskCount: job.failedTaskCount + 1 }));
    }),
  );
  for (const catalog of [one, two]) {
    await expect
      .poll(() => catalog.job(7))
      .toMatchObject({ comment: '.'.repeat(20), failedTaskCount: 20 });
    expect(catalog.jobs()).toEqual([catalog.job(7)]);
  }
});

/** A catalog as the first format had it: a job with its tables was one record. */
async function writeFormat1(jobs: readonly Job[]): Promise<void> {
  {
    await using catalog = await openCatalog();
    for (const job of jobs) await catalog.createJob(job, 'geheim');
  }
  const raw = openRaw();
  await raw.transaction(() => {
    for (const job of jobs) {
      const id = String(job.id).padStart(16, '0');
      void raw.put(`job/${id}`, { revision: 5, value: { ...job, tables: TABLES.slice(0, 2) } });
      void raw.remove(`definition/${id}`);
    }
    void raw.put('meta/format', { revision: 1, value: 1 });
  });
  await raw.flushed;
  await raw.close();
}

test('a catalog of the first format is made into this one when it is opened', async () => {
  const paused = sampleJob({
    id: 9,
    name: 'k',
    status: 'PAUSED',
    failure: { code: 'INTERNAL_ERR', message: 'm' },
    epoch: 4,
    unheld: { 't.d': 3 },
  });
  await writeFormat1([JOB, paused]);
  for (let round = 0; round < 2; round++) {
    await using catalog = await openCatalog();
    expect(catalog.jobs()).toEqual([JOB, paused]);
    expect(catalog.tables(9)).toEqual(TABLES.slice(0, 2));
    expect(catalog.password(7)).toBe('geheim');
  }
  expect((await records()).get('meta/format')).toEqual({ revision: 2, value: 2 });
  await using catalog = await openCatalog();
  await catalog.changeJob(7, (job) => ({ ...job, comment: 'new' }));
  expect(catalog.job(7)?.comment).toBe('new');
});

test('two that open a catalog of the first format at once both find it whole', async () => {
  await writeFormat1([JOB]);
  const both = await Promise.all([openCatalog(), openCatalog()]);
  for (const catalog of both) {
    expect(catalog.jobs()).toEqual([JOB]);
    await catalog[Symbol.asyncDispose]();
  }
});

test('a mark of a format that never was is refused', async () => {
  await writeFormat1([]);
  const raw = openRaw();
  await raw.put('meta/format', { revision: 2, value: 0 });
  await raw.close();
  await expect(openCatalog()).rejects.toThrow(/has format 0, this program writes format 2/);
});
