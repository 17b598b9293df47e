import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.ts';
import { ProxyError } from '../model/error.ts';
import {
  canceled,
  endsWithCopy,
  idleIntervalMs,
  type FailureReason,
  type Job,
} from '../model/job.ts';
import type { Source } from '../source/source.ts';
import { JobContext, waitingTasks, type BatchLimits, type Target } from './job-context.ts';
import { fenceDropped, recover } from './recovery.ts';
import { snapshotPhase } from './snapshot-phase.ts';
import { streamPhase } from './stream-phase.ts';

/** What a runner needs; a worker thread has one set for all its jobs. */
export interface RunnerParts {
  readonly catalog: Catalog;
  readonly target: Target;
  openSource(job: Job, password: string): Promise<Source>;
  readonly limits: BatchLimits;
  readonly log: Logger;
  now(): number;
  /** Resolves after `ms` milliseconds, or rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/**
 * Pauses after which an attempt that failed for a passing reason is repeated without anyone noticing: a dropped
 * connection, a restarted server. What lasts longer becomes visible as PAUSED with its reason.
 */
const QUIET_RETRIES_MS = [200, 1_000, 3_000] as const;

/** How often the newest position of the source is looked up for `EndOffset`, unless `max_interval` is set. */
const END_POSITION_MS = 5_000;

/**
 * Runs one job until `signal` aborts, the job is taken away, or a failure pauses it. The one place that decides what
 * an error means for a job. Never rejects because of a job's own troubles.
 */
export async function runJob(
  parts: RunnerParts,
  jobId: number,
  epoch: number,
  signal: AbortSignal,
): Promise<void> {
  const log = parts.log.child({ job: jobId });
  let retries = 0;
  let succeeded = parts.catalog.job(jobId)?.succeedTaskCount ?? 0;
  for (;;) {
    try {
      await attempt(parts, log, jobId, epoch, signal);
      return;
    } catch (error) {
      if (signal.aborted || isFenced(error)) return;
      const now = parts.catalog.job(jobId)?.succeedTaskCount ?? 0;
      if (now > succeeded) [retries, succeeded] = [0, now];
      const quietMs = quietRetryMs(error, retries++);
      if (quietMs === undefined) {
        log.error({ err: error }, 'job paused');
        if (await pause(parts, log, jobId, epoch, reasonOf(error))) return;
      }
      const waitMs = quietMs ?? QUIET_RETRIES_MS.at(-1)!;
      log.warn({ err: error, waitMs }, 'attempt failed, trying again');
      await parts.sleep(waitMs, signal).catch(() => undefined);
    }
  }
}

function isFenced(error: unknown): boolean {
  return error instanceof ProxyError && error.code === 'JOB_FENCED';
}

/** How long to wait before failure number `n` in a row is tried again without a word; undefined: it is time to say so. */
function quietRetryMs(error: unknown, n: number): number | undefined {
  if (!(error instanceof ProxyError) || error.failure.cure !== 'retry') return undefined;
  // Not even the reason of a pause could be written.
  if (error.code === 'CATALOG') return QUIET_RETRIES_MS.at(-1);
  // The sink has tried for as long as may pass in silence.
  if (error.code === 'TARGET_BUSY' || error.code === 'TARGET_UNREACHABLE') return undefined;
  return QUIET_RETRIES_MS[n];
}

/** job-sql.md §4.2: only the codes of failures that may pass by themselves are resumed automatically. */
function reasonOf(error: unknown): FailureReason {
  if (!(error instanceof ProxyError)) {
    // A bug of ours. It may not take the other jobs down, and must not be retried blindly.
    const text = error instanceof Error ? error.message : String(error);
    return { code: 'CANNOT_RESUME_ERR', message: `internal error: ${text}` };
  }
  if (error.code === 'TARGET_DATA') {
    return { code: 'TOO_MANY_FAILURE_ROWS_ERR', message: error.message };
  }
  if (error.failure.cure !== 'retry') return { code: 'CANNOT_RESUME_ERR', message: advised(error) };
  return error.code === 'SOURCE_UNREACHABLE'
    ? { code: 'GET_REMOTE_DATA_ERROR', message: error.message }
    : { code: 'INTERNAL_ERR', message: error.message };
}

/** The servers' own words about a login say what is wrong, not what to do. */
function advised({ code, message }: ProxyError): string {
  if (code !== 'SOURCE_ACCESS' || message.includes('RESUME JOB')) return message;
  return `${message}. Correct the user, its password or rights, or the certificate, at the source or by ALTER JOB, then RESUME JOB.`;
}

/** Whether the job is paused, or no longer ours; false: the catalog does not take it. */
async function pause(
  parts: RunnerParts,
  log: Logger,
  jobId: number,
  epoch: number,
  failure: FailureReason,
): Promise<boolean> {
  try {
    const waiting = waitingTasks(parts.catalog, jobId);
    const pausing = (job: Job): Job => {
      if (job.epoch !== epoch) throw new ProxyError('JOB_FENCED', `job ${jobId} moved on`);
      const canceledTaskCount = job.canceledTaskCount + waiting.length;
      return { ...job, status: 'PAUSED', failure, canceledTaskCount, epoch: epoch + 1 };
    };
    await parts.catalog.changeJob(jobId, pausing, { tasks: waiting.map(canceled) });
  } catch (error) {
    if (isFenced(error)) return true;
    if (!(error instanceof ProxyError) || error.code !== 'CATALOG') throw error;
    log.error({ err: error }, 'pause not written');
    return false;
  }
  return true;
}

async function attempt(
  parts: RunnerParts,
  log: Logger,
  jobId: number,
  epoch: number,
  signal: AbortSignal,
): Promise<void> {
  const job = parts.catalog.job(jobId);
  if (job === undefined || job.epoch !== epoch) return;
  await using source = await parts.openSource(job, parts.catalog.password(jobId));
  const context = new JobContext({ ...parts, source, log }, jobId, epoch);
  parts.catalog.renewIds();
  await fenceDropped(context, signal);
  await context.change((found) => ({ ...found, status: 'RUNNING' }));
  using _watch = watchEnd(context);
  await recover(context, signal);
  if (context.job().snapshotPending) await snapshotPhase(context, signal);
  if (endsWithCopy(job)) {
    await context.change((found) => ({ ...found, status: 'FINISHED' }));
    log.info('tables are copied, the job is finished');
    return;
  }
  const { position } = context.job();
  if (position === undefined) throw new ProxyError('POSITION_LOST', 'the job has no position');
  await streamPhase(context, position, signal);
}

/** Keeps `context.endPosition` fresh. A failure is not a failure of the job: its next read will tell. */
function watchEnd(context: JobContext): Disposable {
  let busy = false;
  const look = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    try {
      context.endPosition = await context.source.latestPosition();
    } catch (error) {
      context.log.debug({ err: error }, 'end position not available');
    } finally {
      busy = false;
    }
  };
  void look();
  const timer = setInterval(() => void look(), idleIntervalMs(context.job(), END_POSITION_MS));
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
