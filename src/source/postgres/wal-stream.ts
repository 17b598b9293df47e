import type { Batch } from '../../encode/batch.ts';
import { ProxyError } from '../../model/error.ts';
import type { PostgresPosition, Position } from '../../model/offset.ts';
import { COPY_ANEW } from '../copy-anew.ts';
import type { ChangeStream, Fill, FillLimit } from '../source.ts';
import {
  malformed,
  MESSAGE,
  readBegin,
  readCommit,
  readRelation,
  readTruncate,
  rowRelation,
} from './pgoutput.ts';
import type { PartWatch } from './part-watch.ts';
import type { RowReread } from './row-reread.ts';
import { KEEPALIVE } from './wal-queue.ts';
import type { WalReader } from './wal-reader.ts';
import type { WalRelations } from './wal-relations.ts';
import { WalRows } from './wal-rows.ts';

/** A silent server is asked how far it has read, so that an idle job's position moves on. */
const ASK_MS = 1_000;
/** How often a job looks whether its tables are still those of the publication. */
const VERIFY_MS = 30_000;

interface Transaction {
  readonly xid: number;
  readonly commitLsn: bigint;
  /** Row and truncate messages of the job's tables that were seen. */
  events: number;
  /** Of these, how many at its start were loaded by an earlier attempt. */
  readonly skip: number;
}

/** One connection of the stream. */
export type StreamReader = Pick<
  WalReader,
  'queue' | 'advance' | 'wait' | 'confirm' | 'confirmed' | 'ask' | typeof Symbol.asyncDispose
>;

/** What the stream is made of; as wide as it is used, so that a test can stand in for the server. */
export interface StreamParts {
  readonly reader: StreamReader;
  /** Ends the connection and opens another one, from `at` on, where nothing was changed between the two. */
  reopen(reader: StreamReader, at: bigint): Promise<StreamReader>;
  readonly relations: Pick<WalRelations, 'get' | 'learn' | 'truncated' | 'forget'>;
  readonly reread: Pick<RowReread, 'size' | 'full' | 'want' | 'fill'>;
  readonly watch: Pick<
    PartWatch,
    'verify' | 'isDue' | 'takeStop' | 'isUnheard' | 'heard' | 'copy' | typeof Symbol.asyncDispose
  >;
}

/**
 * The job's view of the log. A position is a place in the order of commits, as pgoutput sends transactions whole and in
 * that order: `lsn` is the end of the last commit before it, `event` counts row and truncate messages of the job's tables
 * in the transaction that follows (`txId` says which one). Inside a transaction the position does not move for the
 * server: it is confirmed up to the transaction's start.
 */
export class PostgresChangeStream implements ChangeStream {
  readonly #parts: StreamParts;
  readonly #rows: WalRows;
  #reader: StreamReader;
  #at: PostgresPosition;
  #tx: Transaction | undefined;
  /** A place inside a transaction that is to be found again. */
  #resume: PostgresPosition | undefined;
  /** What the batch held when the transaction began to be put into it: for "this one alone exceeds the limits". */
  #before = { rows: 0, bytes: 0 };
  /** Found at the head of the queue, and reported before: thrown at the next call. */
  #held: ProxyError | undefined;
  #verifiedAt = Date.now();

  constructor(parts: StreamParts, from: PostgresPosition) {
    this.#parts = parts;
    this.#reader = parts.reader;
    this.#at = from;
    if (from.event > 0) this.#resume = from;
    this.#rows = new WalRows((encoder, key) => parts.reread.want(encoder, key, this.#tx!.xid));
  }

  async fill(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill> {
    signal.throwIfAborted();
    if (this.#held !== undefined) throw this.#held;
    this.#before = batch.empty ? { rows: 0, bytes: 0 } : this.#before;
    // What is read again after a crash is the range, and nothing beside it.
    const beside = limit.until === undefined ? await this.#watch(batch, limit, signal) : undefined;
    const fill = beside ?? (await this.#collect(batch, limit, signal));
    // Last, so that it wins over what the batch holds of the same rows.
    await this.#parts.reread.fill(batch, signal);
    return fill;
  }

  acknowledge(position: Position): void {
    if (position.kind === 'postgres') this.#reader.confirm(BigInt(position.lsn));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.watch[Symbol.asyncDispose]();
    await this.#reader[Symbol.asyncDispose]();
  }

  /** What the log does not tell: a reason to stop, or rows of a new partition, put in between two transactions. */
  async #watch(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill | undefined> {
    const { watch } = this.#parts;
    if (Date.now() - this.#verifiedAt > VERIFY_MS || watch.isDue()) {
      this.#verifiedAt = Date.now();
      await watch.verify();
    }
    const to = this.#tx === undefined ? this.#at : this.#inside();
    const stop = watch.takeStop(BigInt(this.#at.lsn));
    if (stop !== undefined) return { to, barrier: { kind: 'note', ...stop, after: to } };
    if (this.#tx !== undefined || this.#resume !== undefined) return undefined;
    const at = BigInt(this.#at.lsn);
    if (watch.isUnheard(at)) {
      this.#reader = await this.#parts.reopen(this.#reader, at);
      this.#parts.relations.forget();
      watch.heard(at);
    }
    const copied = await watch.copy(at, batch, limit, signal);
    if (copied === undefined) return undefined;
    return copied === 'more' ? { to } : { to, barrier: { kind: 'note', ...copied, after: to } };
  }

  async #collect(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill> {
    const { queue } = this.#reader;
    const startedAt = Date.now();
    // A batch that came with changes is given its age anew: its owner is waiting for something else.
    let changedAt = this.#empty(batch) ? undefined : startedAt;
    let askedAt = 0;
    if (this.#reached(limit.until)) return { to: this.#at };
    for (;;) {
      while (queue.peek()) {
        const fill = await this.#step(batch, limit, signal);
        if (fill !== undefined) return fill;
      }
      const now = Date.now();
      if (!this.#empty(batch)) changedAt ??= now;
      const due = changedAt === undefined ? startedAt + limit.idleMs : changedAt + limit.ageMs;
      // Inside a transaction the rest is on its way: the server sends them whole.
      const open = this.#tx !== undefined || limit.until !== undefined;
      if (!open && now >= due) return { to: this.#at };
      if (this.#tx === undefined && now - askedAt >= ASK_MS) {
        askedAt = now;
        this.#reader.ask();
      }
      await this.#reader.wait(open ? ASK_MS : Math.min(ASK_MS, due - now), signal);
    }
  }

  /** Takes messages while they need no waiting; returns where to stop, if so. */
  async #step(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill | undefined> {
    const reader = this.#reader;
    const { queue } = reader;
    const { buffer, start, end } = queue;
    switch (buffer[start]!) {
      case MESSAGE.INSERT:
      case MESSAGE.UPDATE:
      case MESSAGE.DELETE:
        return await this.#run(batch, limit, signal);
      case MESSAGE.RELATION: {
        const fill = await this.#relation(batch);
        if (fill !== undefined) return fill;
        break;
      }
      case MESSAGE.BEGIN: {
        const begin = readBegin(buffer, start, end);
        const { until } = limit;
        if (
          until?.kind === 'postgres' &&
          until.event === 0 &&
          begin.commitLsn >= BigInt(until.lsn)
        ) {
          this.#at = until;
          return { to: until };
        }
        const skip = this.#resume?.txId === String(begin.xid) ? this.#resume.event : 0;
        this.#tx = { ...begin, events: 0, skip };
        this.#before = { rows: batch.rows, bytes: batch.bytes };
        break;
      }
      case MESSAGE.COMMIT:
        this.#commit(buffer, start, end, limit.until);
        reader.advance();
        return this.#afterTransaction(batch, limit);
      case MESSAGE.TRUNCATE: {
        const fill = this.#truncate(buffer, start, end, limit);
        reader.advance();
        return fill;
      }
      case KEEPALIVE:
        this.#keepalive(buffer.readBigUInt64BE(start + 1));
        reader.advance();
        return this.#reached(limit.until) ? { to: this.#at } : undefined;
      // Irrelevant: where a change came from, names of types, and messages that are no table's data.
      case MESSAGE.ORIGIN:
      case MESSAGE.TYPE:
      case MESSAGE.LOGICAL:
        break;
      default:
        throw malformed(buffer, start, 'a type that is not decoded');
    }
    reader.advance();
    return undefined;
  }

  /** Row messages, as many as follow each other: the hot loop, without a promise for a row. */
  async #run(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill | undefined> {
    const reader = this.#reader;
    const { reread } = this.#parts;
    const { queue } = reader;
    while (queue.peek()) {
      const tag = queue.buffer[queue.start];
      if (tag !== MESSAGE.INSERT && tag !== MESSAGE.UPDATE && tag !== MESSAGE.DELETE)
        return undefined;
      this.#row(batch, queue.buffer, queue.start, queue.end);
      reader.advance();
      if (reread.full) await reread.fill(batch, signal);
      if (limit.until === undefined) {
        const alone =
          batch.rows - this.#before.rows + reread.size >= limit.rowsMax ||
          batch.bytes - this.#before.bytes >= limit.bytesMax;
        if (alone) return { to: this.#inside() };
      } else if (this.#reachedInside(limit.until)) {
        return { to: limit.until };
      }
    }
    return undefined;
  }

  #row(batch: Batch, b: Buffer, start: number, end: number): void {
    const table = this.#parts.relations.get(rowRelation(b, start, end));
    if (table !== undefined && this.#counts(b, start)) {
      this.#rows.write(table, batch, b, start, end);
    }
  }

  /** Counts an event of the job's tables; `false` for one that was loaded before. */
  #counts(b: Buffer, start: number): boolean {
    const tx = this.#tx;
    if (tx === undefined) throw malformed(b, start, 'outside of a transaction');
    if (this.#resume !== undefined && tx.skip === 0) throw this.#notFound();
    tx.events++;
    return tx.events > tx.skip;
  }

  /** A table's description. One that is not as the job knows it stops the stream behind what came before it. */
  async #relation(batch: Batch): Promise<Fill | undefined> {
    const { queue } = this.#reader;
    try {
      await this.#parts.relations.learn(readRelation(queue.buffer, queue.start, queue.end));
      return undefined;
    } catch (error) {
      if (!(error instanceof ProxyError) || this.#empty(batch)) throw error;
      this.#held = error;
      return { to: this.#tx === undefined ? this.#at : this.#inside() };
    }
  }

  #commit(b: Buffer, start: number, end: number, until: Position | undefined): void {
    const tx = this.#tx;
    if (tx === undefined) throw malformed(b, start, 'outside of a transaction');
    if (tx.skip > 0) {
      if (tx.events < tx.skip) throw this.#notFound();
      this.#resume = undefined;
    }
    const { endLsn, usec } = readCommit(b, start, end);
    this.#at = {
      kind: 'postgres',
      lsn: String(endLsn),
      event: 0,
      txId: String(tx.xid),
      tsUsec: String(usec),
    };
    this.#tx = undefined;
    // The place to stop at is inside a transaction, and this one, behind it, is another.
    const past = until?.kind === 'postgres' && until.event > 0 && endLsn > BigInt(until.lsn);
    if (past && tx.events > 0) throw this.#notFound();
  }

  #afterTransaction(batch: Batch, limit: FillLimit): Fill | undefined {
    if (limit.until !== undefined) {
      return this.#reached(limit.until) ? { to: this.#at } : undefined;
    }
    const rows = batch.rows + this.#parts.reread.size;
    const full = rows >= limit.rowsMax || batch.bytes >= limit.bytesMax;
    return full ? { to: this.#at } : undefined;
  }

  /**
   * Between transactions the server's word that it has sent everything before `lsn` (cdc-semantics.md §4.5.4): its place in
   * our queue is its place among the commits. Inside one it says nothing about it.
   */
  #keepalive(lsn: bigint): void {
    if (this.#tx !== undefined || this.#resume !== undefined) return;
    if (lsn > BigInt(this.#at.lsn)) this.#at = { ...this.#at, lsn: String(lsn) };
  }

  #truncate(b: Buffer, start: number, end: number, limit: FillLimit): Fill | undefined {
    const { tables, stop } = this.#parts.relations.truncated(readTruncate(b, start, end));
    if (tables.length === 0 && stop === undefined) return undefined;
    const to = this.#tx === undefined || this.#tx.events === 0 ? this.#at : this.#inside();
    if (!this.#counts(b, start)) return undefined;
    if (limit.until !== undefined) throw this.#notFound();
    const barrier = { kind: 'truncate', tables, after: this.#inside() } as const;
    return { to, barrier: stop === undefined ? barrier : { ...barrier, stop } };
  }

  /** The place after the last event that was seen. */
  #inside(): PostgresPosition {
    const { xid, events } = this.#tx!;
    return events === 0 ? this.#at : { ...this.#at, event: events, txId: String(xid) };
  }

  #empty(batch: Batch): boolean {
    return batch.empty && this.#parts.reread.size === 0;
  }

  /** Whether everything up to `until`, a place between transactions or inside one, has been taken. */
  #reached(until: Position | undefined): boolean {
    if (until?.kind !== 'postgres') return false;
    if (until.event > 0) return this.#reachedInside(until);
    return this.#tx === undefined && BigInt(this.#at.lsn) >= BigInt(until.lsn);
  }

  #reachedInside(until: Position): boolean {
    const tx = this.#tx;
    return (
      until.kind === 'postgres' &&
      until.event > 0 &&
      tx !== undefined &&
      String(tx.xid) === until.txId &&
      tx.events === until.event
    );
  }

  #notFound(): ProxyError {
    return new ProxyError(
      'POSITION_LOST',
      `the log does not hold the place that the job was at (transaction ${this.#resume?.txId ?? '?'}). ${COPY_ANEW}`,
    );
  }
}
