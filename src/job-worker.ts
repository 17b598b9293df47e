import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { pino } from 'pino';
import { Catalog, type CatalogOptions } from './catalog/catalog.ts';
import type { DorisAccount } from './model/endpoint.ts';
import type { Target } from './scheduler/job-context.ts';
import { runJob, type RunnerParts } from './scheduler/job-runner.ts';
import type { WorkerReport, WorkerRequest } from './scheduler/worker-pool.ts';
import { DorisSink } from './sink/doris-sink.ts';
import { FrontendClient } from './sink/frontend-client.ts';
import { openJobSource } from './source/open-source.ts';

/** What a worker thread is opened with: everything it needs to run jobs by itself. */
export interface WorkerData {
  readonly catalog: CatalogOptions;
  readonly doris: DorisAccount;
  readonly logLevel: string;
  readonly certificateDir: string | undefined;
}

/** Two batches of a stream and four of a snapshot may be alive for each job: far below 300 MB for a job at full speed. */
const LIMITS = { rowsMax: 500_000, bytesMax: 16 * 1024 * 1024, ageMs: 300, idleMs: 1_000 };

assert(parentPort !== null, 'this module is the entry of a worker thread');
const port = parentPort;
const { catalog: catalogOptions, doris, logLevel, certificateDir } = workerData as WorkerData;
const log = pino({ level: logLevel, base: { thread: 'jobs' } }, pino.destination(2));

await using catalog = await Catalog.open(catalogOptions);
await using frontend = new FrontendClient(doris);
await using sink = new DorisSink({
  frontends: doris.frontendsHttp,
  user: doris.user,
  password: doris.password,
  onRetry: (retry) => log.warn(retry, 'load is tried again'),
});
const target: Target = {
  load: (...args) => sink.load(...args),
  settle: (...args) => sink.settle(...args),
  fence: (...args) => sink.fence(...args),
  truncate: (database, table) => frontend.truncate(database, table),
  emptying: (database, table) => frontend.emptying(database, table),
};
const parts: RunnerParts = {
  catalog,
  target,
  openSource: (job, password) =>
    openJobSource(job, password, certificateDir, (kind) => catalog.countViolation(kind)),
  limits: LIMITS,
  log,
  now: Date.now,
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
};

const running = new Map<number, { readonly stop: AbortController; readonly done: Promise<void> }>();

function run(jobId: number, epoch: number): void {
  const stop = new AbortController();
  const done = runJob(parts, jobId, epoch, stop.signal).finally(() => {
    running.delete(jobId);
    port.postMessage({ kind: 'ended', jobId } satisfies WorkerReport);
  });
  running.set(jobId, { stop, done });
}

/** Resolves when the thread is to end, every runner stopped. */
const closed = new Promise<void>((resolve, reject) => {
  port.on('message', (request: WorkerRequest) => {
    switch (request.kind) {
      case 'run':
        run(request.jobId, request.epoch);
        return;
      case 'stop':
        running.get(request.jobId)?.stop.abort();
        return;
      case 'close':
        for (const runner of running.values()) runner.stop.abort();
        Promise.all([...running.values()].map((runner) => runner.done)).then(
          () => resolve(),
          reject,
        );
    }
  });
});

await closed;
port.close();
