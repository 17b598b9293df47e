import type { Logger } from 'pino';
import type { Along, Catalog } from '../catalog/catalog.ts';
import type { LoadBody } from '../encode/batch.ts';
import { ProxyError } from '../model/error.ts';
import { canceled, maxIntervalMs, type Job, type Task } from '../model/job.ts';
import type { Position } from '../model/offset.ts';
import { tableId, type TableSpec } from '../model/table.ts';
import type { Violation } from '../model/violation.ts';
import type { Source } from '../source/source.ts';
import { FilterWindow } from './filter-window.ts';
import { isBefore } from './position-order.ts';

/** What came of a load that is visible in Doris. */
export interface Loaded {
  readonly loadedRows: number;
  readonly loadBytes: number;
  /** Dropped by Doris, as far as `maxFilterRatio` allows. */
  readonly filteredRows: number;
}

/** How a job's loads treat rows that Doris would filter (target properties `load.*`). */
export interface LoadOptions {
  readonly strictMode: boolean;
  /** 0..1. */
  readonly maxFilterRatio: number;
  /** Grows with every load of a table: what a sequence column gets, where the table has one. */
  readonly sequence: number;
  /** Where the load runs, in a cluster that decouples compute from storage; absent: where the service account's loads do. */
  readonly computeGroup?: string;
  /** The label was never sent: if Doris knows it, it is somebody else's. */
  readonly fresh?: boolean;
}

/** The Doris side of a job, as the scheduler needs it; `sink/` has it. */
export interface Target {
  /** Returns when the rows are visible. @throws ProxyError TARGET_*. */
  load(
    database: string,
    body: LoadBody,
    label: string,
    options: LoadOptions,
    signal: AbortSignal,
  ): Promise<Loaded>;
  /** Waits until the label's transaction has ended; `absent`: for now. @throws ProxyError TARGET_*. */
  settle(database: string, label: string, signal: AbortSignal): Promise<'loaded' | 'absent'>;
  /** Returns when nothing more can come under the label. @throws ProxyError TARGET_*. */
  fence(
    database: string,
    table: string,
    label: string,
    signal: AbortSignal,
    computeGroup?: string,
  ): Promise<void>;
  /** Empties a table; returns when that is visible. @throws ProxyError TARGET_*. */
  truncate(database: string, table: string): Promise<void>;
  /** Ids of the table's partitions, which TRUNCATE changes, and whether one is seen running. @throws ProxyError TARGET_*. */
  emptying(database: string, table: string): Promise<Emptying>;
}

/** What Doris shows of a TRUNCATE. */
export interface Emptying {
  readonly partitions: string;
  readonly running: boolean;
}

export interface BatchLimits {
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** From a batch's first change to its load, in milliseconds, when nothing else delays it. */
  readonly ageMs: number;
  /** How often an idle job looks up and notes its position, in milliseconds. */
  readonly idleMs: number;
}

/** What a running job works with. Made for one attempt of one runner. */
export class JobContext {
  readonly catalog: Catalog;
  readonly target: Target;
  readonly source: Source;
  readonly limits: BatchLimits;
  readonly log: Logger;
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly jobId: number;
  readonly #epoch: number;
  #tables: readonly TableSpec[] | undefined;
  #recorded: ReadonlySet<string> | undefined;
  #filters: FilterWindow | undefined;

  constructor(
    parts: {
      catalog: Catalog;
      target: Target;
      source: Source;
      limits: BatchLimits;
      log: Logger;
      now: () => number;
      sleep: (ms: number, signal: AbortSignal) => Promise<void>;
    },
    jobId: number,
    epoch: number,
  ) {
    this.catalog = parts.catalog;
    this.target = parts.target;
    this.source = parts.source;
    this.limits = parts.limits;
    this.log = parts.log;
    this.now = parts.now;
    this.sleep = parts.sleep;
    this.jobId = jobId;
    this.#epoch = epoch;
  }

  /** What Doris may drop of the job's rows, and has dropped lately. */
  get filters(): FilterWindow {
    this.#filters ??= filterWindow(this.job(), this.now);
    return this.#filters;
  }

  /** The newest position of the source's log, when it is known: `EndOffset`. */
  endPosition: Position | undefined;

  /** @throws ProxyError JOB_FENCED when the job is gone or another runner has it. */
  job(): Job {
    const job = this.catalog.job(this.jobId);
    if (job === undefined) throw new ProxyError('JOB_FENCED', `job ${this.jobId} was dropped`);
    this.#fence(job);
    return job;
  }

  /** Read once: there may be thousands, and nobody else changes them while this runner has the job. */
  get tables(): readonly TableSpec[] {
    this.#tables ??= this.catalog.tables(this.jobId);
    return this.#tables;
  }

  /** Whether these columns of the table are on disk. */
  isRecorded(table: TableSpec): boolean {
    this.#recorded ??= new Set(this.tables.map(columnsText));
    return this.#recorded.has(columnsText(table));
  }

  /**
   * Writes progress, if this runner still has the job.
   *
   * @throws ProxyError JOB_FENCED otherwise; nothing was written then.
   */
  async change(change: (job: Job) => Job, along: Along = {}): Promise<Job> {
    let wentBack = false;
    const written = await this.catalog.changeJob(
      this.jobId,
      (job) => {
        this.#fence(job);
        const changed = change(job);
        wentBack = isBefore(changed.position, job.position);
        return this.endPosition === undefined
          ? changed
          : { ...changed, endPosition: this.endPosition };
      },
      along,
    );
    if (along.tables !== undefined) this.#tables = this.#recorded = undefined;
    if (wentBack) await this.violated('position_went_back');
    return written;
  }

  /**
   * Writes progress, and pauses the job for a reason that somebody must act on, both or neither.
   *
   * @throws ProxyError JOB_FENCED, always: the job is no longer this runner's.
   */
  async pause(change: (job: Job) => Job, reason: ProxyError, along: Along = {}): Promise<never> {
    this.log.error({ err: reason }, 'job paused');
    const waiting = waitingTasks(this.catalog, this.jobId);
    await this.change(
      (job) => ({
        ...change(job),
        status: 'PAUSED',
        failure: { code: 'CANNOT_RESUME_ERR', message: reason.message },
        canceledTaskCount: job.canceledTaskCount + waiting.length,
        epoch: job.epoch + 1,
      }),
      { ...along, tasks: [...(along.tasks ?? []), ...waiting.map(canceled)] },
    );
    throw new ProxyError('JOB_FENCED', `job ${this.jobId} was paused`, { cause: reason });
  }

  /** Whether everything up to `position` is in Doris and on disk, so that the source may forget it. */
  async isDurable(position: Position): Promise<boolean> {
    const durable = this.catalog.job(this.jobId)?.position;
    if (durable !== undefined && !isBefore(durable, position)) return true;
    await this.violated('acknowledged_ahead');
    return false;
  }

  /** Something happened that must never happen: said, counted, and survived. */
  async violated(kind: Violation): Promise<void> {
    this.log.error({ violation: kind }, 'an invariant was violated');
    await this.catalog.countViolation(kind);
  }

  #fence(job: Job): void {
    if (job.epoch !== this.#epoch) {
      throw new ProxyError('JOB_FENCED', `job ${this.jobId} was paused, altered or started anew`);
    }
  }
}

/** Doris' own default of `max_interval`, in milliseconds. */
const INTERVAL_MS = 10_000;
/** Intervals that `load.max_filter_ratio` is a share of (job-sql.md §5.4). */
const WINDOW_INTERVALS = 10;

function filterWindow(job: Job, now: () => number): FilterWindow {
  // Doris takes any number for the property, and stream load only these.
  const ratio = Number(job.targetProperties['load.max_filter_ratio'] ?? 0);
  const windowMs = WINDOW_INTERVALS * (maxIntervalMs(job) ?? INTERVAL_MS);
  return new FilterWindow(Math.max(0, Math.min(1, ratio)), windowMs, now);
}

/** The task that is shown while there is nothing to load. */
export function waitingTasks(catalog: Pick<Catalog, 'tasks'>, jobId: number): readonly Task[] {
  return catalog.tasks(jobId).filter(({ status }) => status === 'PENDING');
}

function columnsText(table: TableSpec): string {
  return JSON.stringify([tableId(table), table.columns.map(({ name }) => name)]);
}
