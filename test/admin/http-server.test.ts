import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { AdminServer } from '../../src/admin/http-server.ts';
import { makeMetrics } from '../../src/admin/metrics.ts';
import type { Job } from '../../src/model/job.ts';
import { sampleTask } from '../support/sample-job.ts';

const job: Job = {
  id: 7,
  name: 'sync',
  definer: 'root',
  comment: '',
  sourceType: 'MYSQL',
  sourceProperties: {},
  targetDatabase: 'd',
  targetProperties: {},
  jobProperties: {},
  createTimeMs: 1,
  status: 'RUNNING',
  succeedTaskCount: 3,
  failedTaskCount: 1,
  canceledTaskCount: 0,
  statistic: { scannedRows: 24, loadBytes: 1146 },
  snapshotPending: false,
  epoch: 1,
};

test('metrics are what the catalog says at the moment of the scrape', async () => {
  let jobs = [job];
  await using admin = await AdminServer.open({
    host: '127.0.0.1',
    port: 0,
    metrics: makeMetrics({
      jobs: () => jobs,
      intents: () => [sampleTask({ id: 9, jobId: 7 })],
      violations: (kind) => (kind === 'position_went_back' ? 2 : 0),
    }),
    ready: () => true,
  });
  const scrape = async (): Promise<string> =>
    await (await fetch(`http://${admin.address}/metrics`)).text();
  expect(await scrape()).toContain(
    'streaming_job_per_job_scanned_rows{job_id="7",job_name="sync"} 24',
  );
  expect(await scrape()).toContain('streaming_jobs{status="RUNNING"} 1');
  expect(await scrape()).toContain(
    'streaming_job_per_job_unsettled_task_count{job_id="7",job_name="sync"} 1',
  );
  expect(await scrape()).toContain(
    'streaming_job_per_job_snapshot_pending{job_id="7",job_name="sync"} 0',
  );
  expect(await scrape()).toContain('streaming_job_violation_position_went_back 2');
  expect(await scrape()).toContain('streaming_job_violation_load_without_intent 0');
  jobs = [];
  const after = await scrape();
  expect(after).not.toContain('job_name="sync"');
  expect(after).toContain('streaming_jobs{status="RUNNING"} 0');
});

test('health is told apart from readiness, and nothing else is served', async () => {
  let ready = false;
  await using admin = await AdminServer.open({
    host: '127.0.0.1',
    port: 0,
    metrics: makeMetrics({ jobs: () => [], intents: () => [], violations: () => 0 }),
    ready: () => ready,
  });
  const status = async (path: string, init?: RequestInit): Promise<number> =>
    (await fetch(`http://${admin.address}${path}`, init)).status;
  expect(await status('/healthz')).toBe(200);
  expect(await status('/readyz')).toBe(503);
  ready = true;
  expect(await status('/readyz')).toBe(200);
  expect(await status('/etc/passwd')).toBe(404);
  expect(await status('/healthz', { method: 'POST' })).toBe(405);
  expect(await status('/healthz?probe=1')).toBe(200);
});

test('neither a path that is no URL nor a catalog that cannot be read ends the process', async () => {
  await using admin = await AdminServer.open({
    host: '127.0.0.1',
    port: 0,
    metrics: makeMetrics({
      jobs: () => {
        throw new Error('the catalog is closed');
      },
      intents: () => [],
      violations: () => 0,
    }),
    ready: () => true,
  });
  const [host, port] = admin.address.split(':');
  const statusOf = async (path: string): Promise<number | undefined> => {
    const [response] = (await once(get({ host, port, path, agent: false }), 'response')) as [
      IncomingMessage,
    ];
    response.resume();
    return response.statusCode;
  };
  expect(await statusOf('//')).toBe(404);
  expect(await statusOf('http://[')).toBe(404);
  expect(await statusOf('/metrics')).toBe(500);
});
