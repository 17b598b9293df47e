import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Job, Task } from '../model/job.ts';
import { VIOLATIONS, type Violation } from '../model/violation.ts';

const STATUSES = ['PENDING', 'RUNNING', 'PAUSED', 'STOPPED', 'FINISHED'] as const;

/** Where the figures come from: the catalog. */
interface Figures {
  jobs(): readonly Job[];
  intents(jobId: number): readonly Task[];
  violations(kind: Violation): number;
}

/**
 * The metrics page. Figures of jobs are read from the catalog at each scrape, so they are right
 * whichever thread runs the job, and start where they were after a restart. Names follow Doris'
 * `streaming_job_*` metrics (cdc-semantics.md §7.4).
 */
export function makeMetrics(catalog: Figures): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const byStatus = new Gauge({
    name: 'streaming_jobs',
    help: 'Streaming jobs by status',
    labelNames: ['status'],
    registers: [],
    collect() {
      const counts = new Map<string, number>(STATUSES.map((status) => [status, 0]));
      for (const job of catalog.jobs()) counts.set(job.status, (counts.get(job.status) ?? 0) + 1);
      for (const [status, count] of counts) this.set({ status }, count);
    },
  });
  registry.registerMetric(byStatus);
  addPerJob(registry, catalog);
  addViolations(registry, catalog);
  return registry;
}

function addPerJob(registry: Registry, catalog: Figures): void {
  const perJob = (
    name: string,
    help: string,
    value: (job: Job) => number,
    Metric: typeof Counter | typeof Gauge = Counter,
  ): void => {
    const metric = new Metric({
      name,
      help,
      labelNames: ['job_id', 'job_name'],
      registers: [],
      collect() {
        this.reset();
        for (const job of catalog.jobs()) {
          this.inc({ job_id: String(job.id), job_name: job.name }, value(job));
        }
      },
    });
    registry.registerMetric(metric);
  };
  perJob(
    'streaming_job_per_job_scanned_rows',
    'Rows read from the source',
    (job) => job.statistic.scannedRows,
  );
  perJob(
    'streaming_job_per_job_load_bytes',
    'Bytes loaded into Doris',
    (job) => job.statistic.loadBytes,
  );
  perJob(
    'streaming_job_per_job_succeed_task_count',
    'Tasks that succeeded',
    (job) => job.succeedTaskCount,
  );
  perJob(
    'streaming_job_per_job_failed_task_count',
    'Tasks that failed',
    (job) => job.failedTaskCount,
  );
  perJob(
    'streaming_job_per_job_snapshot_pending',
    '1 while tables are being copied, 0 once the log is followed',
    (job) => Number(job.snapshotPending),
    Gauge,
  );
  perJob(
    'streaming_job_per_job_unsettled_task_count',
    'Tasks whose outcome in Doris is not recorded: under way, or to be settled when the job runs',
    (job) => catalog.intents(job.id).length,
    Gauge,
  );
}

/** Counters that must stay 0: whatever else is shown is not to be trusted when one does not. */
function addViolations(registry: Registry, catalog: Figures): void {
  for (const [kind, help] of Object.entries(VIOLATIONS)) {
    const counter = new Counter({
      name: `streaming_job_violation_${kind}`,
      help: `${help}. Must be 0`,
      registers: [],
      collect() {
        this.reset();
        this.inc(catalog.violations(kind as Violation));
      },
    });
    registry.registerMetric(counter);
  }
}
