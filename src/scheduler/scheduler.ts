import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.ts';
import { ProxyError } from '../model/error.ts';
import type { FailureReasonCode, Job } from '../model/job.ts';

/** What runs jobs: a pool of worker threads, or in tests something in this thread. */
export interface Runners extends AsyncDisposable {
  /** Starts a runner; `ended` of {@link RunnerEvents} tells when it is over, whatever happens. */
  run(jobId: number, epoch: number): void;
  /** Asks the job's runner to stop; no answer when it has none. */
  stop(jobId: number): void;
}

export interface RunnerEvents {
  ended(jobId: number): void;
}

/** Reasons that may pass by themselves (job-sql.md §4.3). */
const RESUMABLE: ReadonlySet<FailureReasonCode> = new Set([
  'INTERNAL_ERR',
  'GET_REMOTE_DATA_ERROR',
]);

/** Wait before automatic resume number n, in milliseconds: soon at first, then 20, 40, 80, 160 s, then 300 s. */
const RESUME_MS = [1_000, 20_000, 40_000, 80_000, 160_000, 300_000] as const;

/** Automatic resumes without a success in between; after them somebody must act (`streaming_job_max_auto_resume_count`). */
const RESUMES_MAX = 10;

/** Wait before a change that the disk did not take is tried again, in milliseconds. */
const FULL_DISK_MS = 5_000;

/** Wait before a job whose thread died is started again, in milliseconds. */
const RESTART_MS = 1_000;

interface Retry {
  readonly attempt: number;
  /** Of the paused job: the same pause is planned for once. */
  readonly epoch: number;
  /** `succeedTaskCount` at the last failure: a success in between starts the waits anew. */
  readonly succeeded: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Decides which jobs have a runner. The catalog says what should run; statements change the catalog and then call
 * {@link wake}. At most one runner of a job is alive: the next one starts when the last one has ended.
 */
export class Scheduler implements AsyncDisposable, RunnerEvents {
  readonly #catalog: Catalog;
  readonly #log: Logger;
  readonly #runners: Runners;
  /** Epoch of each living runner, by job. */
  readonly #running = new Map<number, number>();
  readonly #waiting = new Map<number, (() => void)[]>();
  readonly #retries = new Map<number, Retry>();
  #closing = false;

  constructor(catalog: Catalog, log: Logger, makeRunners: (events: RunnerEvents) => Runners) {
    this.#catalog = catalog;
    this.#log = log;
    this.#runners = makeRunners(this);
  }

  /** Takes up what was going on when the last process ended. */
  async start(): Promise<void> {
    for (const job of this.#catalog.jobs()) {
      if (job.status === 'RUNNING') await this.#restart(job.id, job.epoch);
      else this.wake(job.id);
    }
  }

  /** The job was created, resumed, paused, altered or dropped: makes what runs follow the catalog. */
  wake(jobId: number): void {
    if (this.#closing) return;
    const job = this.#catalog.job(jobId);
    this.#forgetRetry(jobId, job);
    if (job?.status === 'PENDING') {
      if (this.#running.has(jobId)) {
        // The runner of an older epoch is fenced already; `ended` comes back here.
        this.#runners.stop(jobId);
        return;
      }
      this.#running.set(jobId, job.epoch);
      this.#runners.run(jobId, job.epoch);
      return;
    }
    if (job?.status !== 'RUNNING') this.#runners.stop(jobId);
    if (job !== undefined) this.#planRetry(job);
  }

  /** Resolves when no runner of the job is alive any more; ask after the catalog says that none should be. */
  async stopped(jobId: number): Promise<void> {
    if (!this.#running.has(jobId)) return;
    this.#runners.stop(jobId);
    await new Promise<void>((resolve) => {
      this.#waiting.set(jobId, [...(this.#waiting.get(jobId) ?? []), resolve]);
    });
  }

  ended(jobId: number): void {
    const epoch = this.#running.get(jobId);
    this.#running.delete(jobId);
    for (const resolve of this.#waiting.get(jobId) ?? []) resolve();
    this.#waiting.delete(jobId);
    const job = this.#catalog.job(jobId);
    const active = job?.status === 'RUNNING' || job?.status === 'PENDING';
    if (!active || job.epoch !== epoch || this.#closing) {
      this.wake(jobId);
      return;
    }
    // Its thread died under it. Not at once, lest a job that kills its thread does nothing else.
    setTimeout(() => void this.#restart(jobId, epoch), RESTART_MS).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    for (const retry of this.#retries.values()) clearTimeout(retry.timer);
    await this.#runners[Symbol.asyncDispose]();
  }

  #forgetRetry(jobId: number, job: Job | undefined): void {
    const retry = this.#retries.get(jobId);
    if (retry === undefined) return;
    const paused = job?.status === 'PAUSED' && RESUMABLE.has(job.failure?.code ?? 'INTERNAL_ERR');
    if (paused) return;
    clearTimeout(retry.timer);
    // Resumed by itself a job keeps its count until a task succeeds, and its reason too. RESUME JOB clears both.
    const resumed = job?.status === 'PENDING' && job.failure !== undefined;
    if (!resumed && job?.status !== 'RUNNING') this.#retries.delete(jobId);
  }

  #planRetry(job: Job): void {
    if (job.status !== 'PAUSED' || job.failure === undefined) return;
    if (!RESUMABLE.has(job.failure.code)) return;
    const last = this.#retries.get(job.id);
    if (last?.epoch === job.epoch) return;
    const goesOn = last !== undefined && last.succeeded === job.succeedTaskCount;
    const attempt = goesOn ? last.attempt + 1 : 0;
    if (last !== undefined) clearTimeout(last.timer);
    if (attempt >= RESUMES_MAX) {
      this.#retries.delete(job.id);
      void this.#giveUp(job, attempt);
      return;
    }
    const waitMs = RESUME_MS[Math.min(attempt, RESUME_MS.length - 1)] ?? 300_000;
    const timer = setTimeout(() => void this.#restart(job.id, job.epoch), waitMs);
    this.#retries.set(job.id, {
      attempt,
      epoch: job.epoch,
      succeeded: job.succeedTaskCount,
      timer,
    });
    this.#log.info({ job: job.id, waitMs, attempt }, 'automatic resume planned');
  }

  async #giveUp(job: Job, attempts: number): Promise<void> {
    const last = job.failure?.message ?? '';
    this.#log.warn({ job: job.id, attempts }, 'automatic resume given up');
    await this.#changeIf(job.id, job.epoch, {
      failure: {
        code: 'CANNOT_RESUME_ERR',
        message: `Auto resume failed after ${attempts} attempts. Last error: ${last}`,
      },
    });
  }

  /** The reason stays visible until a task succeeds. */
  async #restart(jobId: number, epoch: number): Promise<void> {
    // A timer may be late: the catalog is closed next.
    if (this.#closing) return;
    const changed = await this.#changeIf(jobId, epoch, { status: 'PENDING' });
    if (changed === true) this.wake(jobId);
    if (changed !== undefined || this.#closing) return;
    setTimeout(() => void this.#restart(jobId, epoch), FULL_DISK_MS).unref();
  }

  /** Nothing happens to a job that has moved on, or is gone. Undefined: the catalog cannot be written now. */
  async #changeIf(
    jobId: number,
    epoch: number,
    changes: Partial<Job>,
  ): Promise<boolean | undefined> {
    try {
      await this.#catalog.changeJob(jobId, (job) => {
        if (job.epoch !== epoch) throw new ProxyError('JOB_FENCED', `job ${jobId} moved on`);
        return { ...job, ...changes, epoch: epoch + 1 };
      });
      return true;
    } catch (error) {
      if (error instanceof ProxyError && error.code === 'JOB_FENCED') return false;
      if (!(error instanceof ProxyError) || error.code !== 'CATALOG') throw error;
      this.#log.error({ err: error, job: jobId }, 'state of a job not written');
      return undefined;
    }
  }
}
