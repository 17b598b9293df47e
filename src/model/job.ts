import type { Position } from './offset.ts';

export type JobStatus = 'PENDING' | 'RUNNING' | 'PAUSED' | 'STOPPED' | 'FINISHED';

/**
 * What may become of a job. Statements check {@link canTransition} before they write,
 * so a pair missing here is refused to the user and never stored.
 *
 * RUNNING -> PENDING is the restart path: after a crash nobody is running.
 */
const NEXT: Readonly<Record<JobStatus, readonly JobStatus[]>> = {
  PENDING: ['RUNNING', 'PAUSED', 'STOPPED', 'FINISHED'],
  RUNNING: ['PENDING', 'PAUSED', 'STOPPED', 'FINISHED'],
  PAUSED: ['PENDING', 'STOPPED'],
  STOPPED: [],
  FINISHED: ['STOPPED'],
};

/** Whether a job in state `from` may be put into state `to`. */
export function canTransition(from: JobStatus, to: JobStatus): boolean {
  return NEXT[from].includes(to);
}

export type SourceType = 'MYSQL' | 'POSTGRES';
export type Properties = Readonly<Record<string, string>>;

/** Why a job is paused: Doris' `FailureReason` names (job-sql.md §4.2). */
export type FailureReasonCode =
  | 'INTERNAL_ERR'
  | 'MANUAL_PAUSE_ERR'
  | 'TOO_MANY_FAILURE_ROWS_ERR'
  | 'CANNOT_RESUME_ERR'
  | 'GET_REMOTE_DATA_ERROR';

export interface FailureReason {
  readonly code: FailureReasonCode;
  readonly message: string;
}

/** Totals over a job's life (`LoadStatistic`). */
export interface JobStatistic {
  readonly scannedRows: number;
  readonly loadBytes: number;
  /** Of the scanned rows, those that Doris refused and `load.max_filter_ratio` let it drop; absent: none. */
  readonly filteredRows?: number;
}

/** A table of the source that a job was asked for and does not copy. */
export interface LeftOutTable {
  readonly table: string;
  readonly reason: string;
}

/** A streaming job as the catalog keeps it. Its tables and its password are kept apart. */
export interface Job {
  readonly id: number;
  readonly name: string;
  /** User name without host. */
  readonly definer: string;
  readonly comment: string;
  readonly sourceType: SourceType;
  /** The effective source properties in the order given, without `password`. */
  readonly sourceProperties: Properties;
  readonly targetDatabase: string;
  readonly targetProperties: Properties;
  readonly jobProperties: Properties;
  /** Milliseconds since 1970. */
  readonly createTimeMs: number;
  readonly status: JobStatus;
  readonly failure?: FailureReason;
  readonly succeedTaskCount: number;
  readonly failedTaskCount: number;
  readonly canceledTaskCount: number;
  readonly statistic: JobStatistic;
  /** Tables that were selected and are not copied, with the reason (source property `on_table_error` = `skip`). */
  readonly leftOut?: readonly LeftOutTable[];
  /** Values that became NULL because Doris cannot hold them, by `table.column`, over the job's life. */
  readonly unheld?: Readonly<Record<string, number>>;
  /** `true` until every split of every table was loaded. */
  readonly snapshotPending: boolean;
  /** During the snapshot: the splits of the last successful task, for `CurrentOffset`. */
  readonly lastSplits?: readonly SnapshotSplit[];
  /** Where the stream goes on. During the snapshot: where it will start. */
  readonly position?: Position;
  /** The newest position seen at the source. */
  readonly endPosition?: Position;
  /**
   * Grows with every start, pause, alteration; a runner holds the number it was started with and
   * every write of its progress compares it, so that a displaced runner cannot write.
   */
  readonly epoch: number;
}

/** Whether the job is over once its tables are copied: `offset` = `snapshot`. */
export function endsWithCopy({ sourceProperties }: Pick<Job, 'sourceProperties'>): boolean {
  return sourceProperties['offset']?.trim().toLowerCase() === 'snapshot';
}

/** A source keeps its log for as long as nobody says how far they have read, in milliseconds. */
const IDLE_MS_MAX = 60_000;

/** How often an idle job looks around, in milliseconds: `max_interval` where it is set, a minute at most. */
export function idleIntervalMs(job: Pick<Job, 'jobProperties'>, unsetMs: number): number {
  const interval = maxIntervalMs(job);
  return interval === undefined ? unsetMs : Math.min(interval, IDLE_MS_MAX);
}

/**
 * `max_interval` (`10`, `10s`) in milliseconds: how long changes may wait for others to be loaded with. Undefined when it is not set:
 * then nothing waits for company.
 */
export function maxIntervalMs({ jobProperties }: Pick<Job, 'jobProperties'>): number | undefined {
  const text = jobProperties['max_interval'];
  // A timer takes no more.
  return text === undefined ? undefined : Math.min(Number.parseInt(text, 10) * 1000, 2 ** 31 - 1);
}

export type TaskStatus = 'PENDING' | 'RUNNING' | 'SUCCESS' | 'FAILED' | 'CANCELED';

/** One key range of a table: `start` inclusive, `end` exclusive, absent at the table's ends. */
export interface SnapshotSplit {
  /** `schema.table:n`, n from 0. */
  readonly splitId: string;
  readonly tableId: string;
  readonly splitKey: readonly string[];
  /** Key values as the source's text, one for each key column of the range's bound. */
  readonly splitStart?: readonly string[];
  readonly splitEnd?: readonly string[];
  /** Which of the key's columns are shown as numbers; absent: none. */
  readonly numericKey?: readonly boolean[];
  /** The newest position of the log when the split had been read. */
  readonly highWatermark?: Position;
}

/** What a task covers: parts of the snapshot, or a range `(from, to]` of the source's log. */
export type TaskRange =
  | { readonly kind: 'snapshot'; readonly splits: readonly SnapshotSplit[] }
  | { readonly kind: 'stream'; readonly from: Position; readonly to?: Position };

/** One table's part of a task: the label under which its bytes are, or were, loaded. */
export interface TaskLoad {
  /** Table name in the job's Doris database. */
  readonly target: string;
  readonly label: string;
  /** Not a load but a TRUNCATE: the ids of the table's partitions before it. */
  readonly partitions?: string;
}

/** A load of a job that was dropped: it may still be on the way into a table that another job loads into by now. */
export interface DroppedLoad extends TaskLoad {
  readonly database: string;
  /** Name of the job. */
  readonly job: string;
  /** Milliseconds since 1970. */
  readonly dropTimeMs: number;
}

/** How far the copy of one table has come. Splits of a table are loaded in key order, so the last one says it all. */
export interface SnapshotProgress {
  readonly tableId: string;
  /** The last split that was loaded whole; absent before the first. */
  readonly last?: SnapshotSplit;
  readonly done: boolean;
  readonly rows: number;
}

/** One load of one batch. Row of `tasks()`. */
export interface Task {
  readonly id: number;
  readonly jobId: number;
  readonly status: TaskStatus;
  readonly errorMessage?: string;
  readonly createTimeMs: number;
  readonly startTimeMs?: number;
  readonly finishTimeMs?: number;
  readonly statistic: JobStatistic;
  /** Of `Job.unheld`, what this batch adds when it is in. */
  readonly unheld?: Readonly<Record<string, number>>;
  readonly range: TaskRange;
  /** What a sequence column gets; absent: {@link id}, which is as new unless the task had to wait for its rows. */
  readonly sequence?: number;
  /** Written before the first byte is sent, so that a crash finds the labels again (design: effectively once). */
  readonly loads: readonly TaskLoad[];
  /** ALTER JOB has moved the position: the end of its loads is waited for, and nothing follows from them. */
  readonly abandoned?: true;
}

/** A task that will not run to its end. No finish time, as in Doris (job-sql.md §3.4). */
export function canceled(task: Task): Task {
  return { ...task, status: 'CANCELED', errorMessage: 'task cancelled' };
}

/** The label that `tasks()` shows and that a task of one table loads under: `<jobId>_<taskId>`. */
export function taskLabel(jobId: number, taskId: number): string {
  return `${jobId}_${taskId}`;
}
