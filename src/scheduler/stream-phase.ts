import { Batch } from '../encode/batch.ts';
import { idleIntervalMs, maxIntervalMs, type Job, type Task } from '../model/job.ts';
import type { Position } from '../model/offset.ts';
import type { Barrier, ChangeStream, Fill } from '../source/source.ts';
import { emptyTables } from './emptying.ts';
import { waitingTasks, type JobContext } from './job-context.ts';
import { runTask } from './task-journal.ts';

/** An idle job notes its position at most this often, unless `max_interval` is set: each note is a durable transaction. */
const NOTE_POSITION_MS = 2_000;

/** A stream is asked again at least this often, however long changes may wait: it looks at more than its log. */
const SLICE_MS = 1_000;

/** Follows the source's log from the job's position until `signal` aborts or something fails. */
export async function streamPhase(
  context: JobContext,
  from: Position,
  signal: AbortSignal,
): Promise<void> {
  await using stream = await context.source.openStream(context.tables, from);
  await new StreamPhase(context, stream, from, signal).run();
}

/**
 * While one batch is loaded the next one is filled: it is handed over when the load before it is done and it is
 * old enough or full, so batches grow by themselves when Doris is slow and stay small when it is quick.
 */
class StreamPhase {
  readonly #context: JobContext;
  readonly #stream: ChangeStream;
  readonly #signal: AbortSignal;
  #batch = new Batch();
  #spare = new Batch();
  /** Everything up to here is in a batch that was handed over. */
  #position: Position;
  #loading: Promise<void> = Promise.resolve();
  #inFlight = false;
  #notedAt = 0;
  #noted = '';
  /** Shown as PENDING: the next load will be this task. */
  #waiting: Task | undefined;
  readonly #ageMs: number;
  readonly #noteMs: number;

  constructor(context: JobContext, stream: ChangeStream, from: Position, signal: AbortSignal) {
    this.#context = context;
    this.#stream = stream;
    this.#position = from;
    this.#signal = signal;
    this.#ageMs = maxIntervalMs(context.job()) ?? context.limits.ageMs;
    this.#noteMs = idleIntervalMs(context.job(), NOTE_POSITION_MS);
  }

  async run(): Promise<void> {
    this.#waiting = await this.#nextTask(this.#position);
    await this.#context.change((job) => job, {
      tasks: [this.#waiting],
      // Of an earlier attempt. Its number may be in a copy of the catalog too, so it is not used.
      withdrawn: waitingTasks(this.#context.catalog, this.#context.jobId).map(({ id }) => id),
    });
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        const fill = await this.#collect();
        await this.#loading;
        if (!this.#batch.empty) this.#load(fill.to);
        else await this.#note(fill.to);
        if (fill.barrier !== undefined) await this.#pass(fill.barrier);
      }
    } finally {
      await this.#loading.catch(() => undefined);
    }
  }

  /** Fills the batch until it is worth a load and the load before it is done. */
  async #collect(): Promise<Fill> {
    const { limits } = this.#context;
    let leftMs = this.#ageMs;
    for (;;) {
      const ageMs = leftMs > 0 ? Math.min(leftMs, SLICE_MS) : limits.ageMs;
      const fill = await this.#stream.fill(this.#batch, { ...limits, ageMs }, this.#signal);
      const full = this.#batch.rows >= limits.rowsMax || this.#batch.bytes >= limits.bytesMax;
      if (full || fill.barrier !== undefined) return fill;
      // The first change has waited for as long as the stream was told to.
      if (!this.#batch.empty) leftMs -= ageMs;
      if (!this.#inFlight && (this.#batch.empty || leftMs <= 0)) return fill;
    }
  }

  /** As `tasks()` shows it while there is nothing to load (job-sql.md §3.4). */
  async #nextTask(from: Position): Promise<Task> {
    return {
      id: await this.#context.catalog.nextId(),
      jobId: this.#context.jobId,
      status: 'PENDING',
      createTimeMs: this.#context.now(),
      statistic: { scannedRows: 0, loadBytes: 0 },
      range: { kind: 'stream', from },
      loads: [],
    };
  }

  #load(to: Position): void {
    const [batch, from] = [this.#batch, this.#position];
    [this.#batch, this.#spare] = [this.#spare, batch];
    this.#position = to;
    this.#inFlight = true;
    this.#loading = this.#runTask(batch, from, to);
    // Awaited before the next load; until then a rejection must not count as unhandled.
    this.#loading.catch(() => undefined);
  }

  async #runTask(batch: Batch, from: Position, to: Position): Promise<void> {
    try {
      const next = await this.#nextTask(to);
      await runTask(
        this.#context,
        batch,
        { kind: 'stream', from, to },
        { change: (job) => ({ ...job, position: to }), next },
        this.#signal,
        this.#waiting,
      );
      this.#waiting = next;
      await this.#acknowledge(to);
      this.#notedAt = this.#context.now();
      batch.reset();
    } finally {
      this.#inFlight = false;
    }
  }

  /** The source may drop its log up to here: the last check before something cannot be had again. */
  async #acknowledge(position: Position): Promise<void> {
    if (await this.#context.isDurable(position)) this.#stream.acknowledge(position);
  }

  /** Nothing for us up to `to`: the log of a busy server may be dropped all the same. */
  async #note(to: Position): Promise<void> {
    this.#position = to;
    if (this.#context.now() - this.#notedAt < this.#noteMs) return;
    this.#notedAt = this.#context.now();
    // An idle source costs no writes: a thousand idle jobs would keep the disk busy with what it already holds.
    const noted = JSON.stringify([to, this.#context.endPosition]);
    if (noted === this.#noted) return;
    this.#noted = noted;
    await this.#context.change((job) => ({ ...job, position: to }));
    await this.#acknowledge(to);
  }

  /** What must happen between two batches. It may happen twice after a crash: nothing was loaded in between. */
  async #pass(barrier: Barrier): Promise<void> {
    await this.#loading;
    const { after, kind, tables, stop } = barrier;
    if (kind === 'truncate') {
      const range = { kind: 'stream', from: this.#position, to: after } as const;
      await emptyTables(this.#context, tables, range);
    }
    const pass = (job: Job): Job => ({ ...job, position: after });
    const along = kind === 'note' ? { tables } : {};
    // In one transaction: what is noted would not be found a second time.
    if (stop !== undefined) await this.#context.pause(pass, stop, along);
    await this.#context.change(pass, along);
    this.#position = after;
    await this.#acknowledge(after);
  }
}
