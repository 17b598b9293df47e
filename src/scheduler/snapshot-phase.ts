import { Batch } from '../encode/batch.ts';
import { endsWithCopy, type Job, type SnapshotProgress, type SnapshotSplit } from '../model/job.ts';
import { tableId, type TableSpec } from '../model/table.ts';
import type { FillLimit } from '../source/source.ts';
import type { JobContext } from './job-context.ts';
import { allSettledOrThrow, runTask } from './task-journal.ts';

/** Tables that are copied at the same time (`snapshot_parallelism`): while one waits for Doris, the other reads. */
const LANES = 2;
/** Each has a connection to the source and a load in flight. */
const LANES_MAX = 16;
/** Rows of a split (`snapshot_split_size`): Doris 4.1.4's own default. */
const SPLIT_ROWS = 40_960;
/**
 * Bytes of all batches of a snapshot that can be alive, two for each lane, and of one of them. This keeps the process far
 * below 300 MB against a slow target.
 */
const ALIVE_BYTES_MAX = 40 * 1024 * 1024;
const BATCH_BYTES_MAX = 10 * 1024 * 1024;

/** Doris types whose values are shown as numbers. */
const NUMERIC = /^(?:TINYINT|SMALLINT|INT|BIGINT|LARGEINT|DECIMAL\b)/;

/** Copies what is left of every table. Afterwards the job's stream may start from its recorded position. */
export async function snapshotPhase(context: JobContext, signal: AbortSignal): Promise<void> {
  const job = context.job();
  const progress = context.catalog.progress(job.id);
  const tables = context.tables.filter((table) => progress.get(tableId(table))?.done !== true);
  const lanes = laneCount(job);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const lane = async (): Promise<void> => {
    try {
      for (let table = tables.shift(); table !== undefined; table = tables.shift()) {
        await new TableCopy(context, table, progress.get(tableId(table)), lanes, either).run();
      }
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  await allSettledOrThrow(Array.from({ length: lanes }, lane));
  await context.change(({ lastSplits, ...rest }) => ({
    ...rest,
    snapshotPending: false,
    // What a job that ends here has to show for its offset.
    ...(endsWithCopy(rest) && lastSplits !== undefined ? { lastSplits } : {}),
  }));
}

function laneCount({ sourceProperties }: Job): number {
  const wanted = Number(sourceProperties['snapshot_parallelism'] ?? LANES);
  return Math.max(1, Math.min(wanted, LANES_MAX));
}

/** Copies one table in key order. While one batch is loaded the next is read. */
class TableCopy {
  readonly #context: JobContext;
  readonly #table: TableSpec;
  readonly #signal: AbortSignal;
  readonly #limit: FillLimit;
  readonly #splitRows: number;
  #batch = new Batch();
  #spare = new Batch();
  /** Splits whose last row is in `#batch`. */
  #complete: SnapshotSplit[] = [];
  #last: SnapshotSplit | undefined;
  #rows: number;
  #loading: Promise<void> = Promise.resolve();

  constructor(
    context: JobContext,
    table: TableSpec,
    progress: SnapshotProgress | undefined,
    lanes: number,
    signal: AbortSignal,
  ) {
    this.#context = context;
    this.#table = table;
    this.#signal = signal;
    this.#last = progress?.last;
    this.#rows = progress?.rows ?? 0;
    this.#splitRows = Number(context.job().sourceProperties['snapshot_split_size'] ?? SPLIT_ROWS);
    this.#limit = {
      ...context.limits,
      bytesMax: Math.min(
        BATCH_BYTES_MAX,
        Math.floor(ALIVE_BYTES_MAX / (2 * lanes)),
        context.limits.bytesMax,
      ),
    };
  }

  async run(): Promise<void> {
    try {
      for (let split = await this.#next(); split !== undefined; split = await this.#next()) {
        await this.#read(split);
      }
      await this.#flush(true);
    } finally {
      // Nothing of this table may be on its way when the caller goes on, whatever ended the loop.
      await this.#loading.catch(() => undefined);
    }
    await this.#loading;
  }

  async #next(): Promise<SnapshotSplit | undefined> {
    this.#signal.throwIfAborted();
    return await this.#context.source.nextSplit(this.#table, this.#splitRows, this.#last);
  }

  async #read(split: SnapshotSplit): Promise<void> {
    await using reader = await this.#context.source.readSplit(this.#table, split);
    let exhausted = false;
    while (!exhausted) {
      exhausted = await reader.fill(this.#batch, this.#limit, this.#signal);
      if (exhausted) {
        this.#complete.push(split);
        this.#last = split;
      }
      const full =
        this.#batch.bytes >= this.#limit.bytesMax || this.#batch.rows >= this.#limit.rowsMax;
      if (full || !exhausted) await this.#flush(false);
    }
  }

  /** Hands the batch over to be loaded, once the batch before it is in. */
  async #flush(done: boolean): Promise<void> {
    await this.#loading;
    const batch = this.#batch;
    this.#rows += batch.rows;
    // What is complete once this batch is in: a split of which only a part is in it is read again after a crash.
    const progress: SnapshotProgress = {
      tableId: tableId(this.#table),
      ...(this.#last === undefined ? {} : { last: this.#last }),
      done,
      rows: this.#rows,
    };
    if (batch.empty) {
      await this.#context.change((job) => job, { progress: [progress] });
      return;
    }
    const splits = await this.#marked(this.#complete);
    [this.#batch, this.#spare, this.#complete] = [this.#spare, batch, []];
    this.#loading = runTask(
      this.#context,
      batch,
      { kind: 'snapshot', splits },
      {
        change: (job) => (splits.length === 0 ? job : { ...job, lastSplits: splits }),
        progress: [progress],
      },
      this.#signal,
    ).then(() => {
      batch.reset();
    });
    // Awaited at the next flush; until then a rejection must not count as unhandled.
    this.#loading.catch(() => undefined);
  }

  /** With the place in the log that their rows are at least as old as. It is for display: without it the copy goes on. */
  async #marked(splits: readonly SnapshotSplit[]): Promise<readonly SnapshotSplit[]> {
    if (splits.length === 0) return splits;
    const { key, columns } = this.#table;
    const types = new Map(columns.map(({ name, dorisType }) => [name, dorisType]));
    const numericKey = key.map((name) => NUMERIC.test(types.get(name) ?? ''));
    try {
      const highWatermark = await this.#context.source.latestPosition();
      return splits.map((split) => ({ ...split, highWatermark, numericKey }));
    } catch (error) {
      this.#context.log.debug({ err: error }, 'position after a split not available');
      return splits.map((split) => ({ ...split, numericKey }));
    }
  }
}
