import type { Batch } from '../encode/batch.ts';
import type { ProxyError } from '../model/error.ts';
import type { Position } from '../model/offset.ts';
import type { SnapshotSplit } from '../model/job.ts';
import type { TableSpec } from '../model/table.ts';

/** Which tables of the source a job wants: names and patterns, see `selectNames` (job-sql.md §2.4 step 17). */
export interface TableSelection {
  /** Empty: all tables but `exclude`. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Target name by source table name, where it differs. */
  readonly targets: Readonly<Record<string, string>>;
  /** Columns left out, by source table name. */
  readonly excludeColumns: Readonly<Record<string, readonly string[]>>;
}

/** Called for a table that cannot be copied, with the reason. */
export type LeaveOut = (table: string, reason: string) => void;

/** How much one `fill` may take, and how long it may wait. */
export interface FillLimit {
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** From the first change in the batch until the batch is handed over, in milliseconds. */
  readonly ageMs: number;
  /** Without any change: how long to wait before returning an empty batch with a newer position, in milliseconds. */
  readonly idleMs: number;
  /**
   * Set when a range is read again after a crash: stop exactly here and nowhere before, whatever the
   * other limits say, so that the batch has the bytes that were loaded under its labels.
   */
  readonly until?: Position;
}

/**
 * Something that must happen between two batches: `truncate` empties tables in Doris, `note` records the tables as they are
 * given from now on.
 */
export interface Barrier {
  readonly kind: 'truncate' | 'note';
  readonly tables: readonly TableSpec[];
  /** Position after the barrier. */
  readonly after: Position;
  /** The job is paused for this reason when the barrier is passed; when it is resumed, it goes on behind it. */
  readonly stop?: ProxyError;
}

/** What a `fill` put into the batch: every change in `(position before, to]`. */
export interface Fill {
  readonly to: Position;
  readonly barrier?: Barrier;
}

/** One job's view of the log, from one position on. Not restartable: after an error open another one. */
export interface ChangeStream extends AsyncDisposable {
  /**
   * Decodes changes straight into `batch` until a limit or a barrier is reached, and returns where it stopped:
   * at the end of a transaction, or inside one that alone exceeds the limits. While nobody
   * calls, the source's socket is paused once the queue is full (bounded in bytes).
   *
   * @throws ProxyError SOURCE_UNREACHABLE, POSITION_LOST, UNDECODABLE, SOURCE_DDL, SOURCE_ACCESS; the stream is then dead.
   */
  fill(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill>;

  /** `position` is durable in Doris and in the catalog. Postgres tells the server; MySQL has nothing to tell. */
  acknowledge(position: Position): void;
}

/** Reads one split; a split larger than a batch takes several fills. */
export interface SplitReader extends AsyncDisposable {
  /** Puts rows into `batch` up to the limits; `true` when the split is exhausted. */
  fill(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<boolean>;
}

/** A database server that changes come from. Opened for one job, used by one runner. */
export interface Source extends AsyncDisposable {
  /**
   * CREATE JOB, before anything else: the zone whose clocks the moments of the job's rows are written by, as its source
   * property `server_time_zone` is to keep it. What the properties say counts, then what the URL says, then the server's own zone.
   *
   * @throws ProxyError STATEMENT for a zone that is not known, SOURCE_SETTING when the server's is not.
   */
  findTimeZone(): Promise<string>;

  /**
   * Checks the server's settings and the user's rights, and describes the selected tables, columns mapped to Doris.
   * All findings are reported in one error, with the texts of job-sql.md §2.4 where Doris has one. With `leaveOut`, what is wrong with
   * single tables is told there instead and they are left out, unless none would be left.
   */
  preflight(selection: TableSelection, leaveOut?: LeaveOut): Promise<readonly TableSpec[]>;

  /**
   * A position from which the stream shows every change that a SELECT begun after this call may not see
   * (the log runs ahead of visibility, cdc-semantics.md §3.5).
   */
  safePosition(): Promise<Position>;

  /** The newest position of the log; where `offset = latest` starts, and `EndOffset`. */
  latestPosition(): Promise<Position>;

  /**
   * The oldest position that the log still has; where `offset = earliest` starts.
   *
   * @throws ProxyError STATEMENT for a source whose log has no beginning (Postgres).
   */
  earliestPosition(): Promise<Position>;

  /** Bytes of log between two positions, -1 when unknown. */
  lagBytes(from: Position): Promise<number>;

  /**
   * The split that follows `previous` (the first one when absent), with about `rows` rows; undefined after the last one.
   * Splits are ranges of the whole primary key, compared by the server only.
   */
  nextSplit(
    table: TableSpec,
    rows: number,
    previous: SnapshotSplit | undefined,
  ): Promise<SnapshotSplit | undefined>;

  readSplit(table: TableSpec, split: SnapshotSplit): Promise<SplitReader>;

  /**
   * CREATE JOB, after the position was taken: the tables with what later shows whether the log told all that happened to them
   * (`TableSpec.parts`). Absent: this source's log does.
   */
  mark?(tables: readonly TableSpec[]): Promise<readonly TableSpec[]>;

  openStream(tables: readonly TableSpec[], from: Position): Promise<ChangeStream>;

  /** DROP JOB: removes what the job made at the source (slot, publication). Best effort is the caller's decision. */
  release(): Promise<void>;
}
