import { setImmediate as nextTurn, setTimeout as abortableDelay } from 'node:timers/promises';
import type { Batch } from '../../encode/batch.ts';
import type { TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { MysqlPosition } from '../../model/offset.ts';
import type { TableSpec } from '../../model/table.ts';
import { COPY_ANEW } from '../copy-anew.ts';
import type { ChangeStream, Fill, FillLimit } from '../source.ts';
import { type BinlogEvent, BinlogParser } from './binlog-event.ts';
import { BinlogReader, type DumpStart } from './binlog-reader.ts';
import { loadZstd } from './compression.ts';
import { type ExecutedGtids, MariadbGtids, MysqlGtids } from './gtid-set.ts';
import { LogCursor } from './log-cursor.ts';
import type { MysqlEndpoint } from './mysql-connection.ts';
import { LOG_START } from './mysql-position.ts';
import type { ServerFacts } from './mysql-server.ts';
import { StreamTables } from './stream-tables.ts';
import { type Outcome, TransactionReader } from './transaction-reader.ts';

/** After so many bytes the event loop gets a turn, so that the socket is read while we decode. */
const TURN_BYTES = 2 * 1024 * 1024;
/** A dump command has 32 bits for the offset. */
const DUMP_OFFSET_MAX = 0xffff_ffff;
/** Inside of a transaction there is nothing to do but wait; the reader notices when the server is gone. */
const INSIDE_MS = 60_000;

/** Between two calls of a caller that waits for something else with a batch that will not grow, in milliseconds. */
const LAST_FILL_MS = 50;

export interface StreamParts {
  readonly endpoint: MysqlEndpoint;
  readonly server: ServerFacts;
  readonly serverId: number;
  readonly tables: readonly TableSpec[];
  /** What moments are written in. */
  readonly zone: TimeZone;
  readonly from: MysqlPosition;
}

/** A job's view of a MySQL or MariaDB binlog. */
export class MysqlStream implements ChangeStream {
  readonly #reader: BinlogReader;
  readonly #parser = new BinlogParser();
  readonly #cursor: LogCursor;
  readonly #transactions: TransactionReader;
  /** The rest of a compressed transaction. */
  #inner: Generator<BinlogEvent> | undefined;
  /** Events that end here or before are passed over: the dump could not begin so far into the file. */
  #skipTo: number;
  #bytesInTurn = 0;
  #dead: unknown;
  /** Where the batch ends that was handed over because of `#dead`. */
  #lastFill: Fill | undefined;

  private constructor(reader: BinlogReader, parts: StreamParts, plan: Plan) {
    const { server, from } = parts;
    this.#reader = reader;
    this.#skipTo = plan.skipTo;
    this.#cursor = new LogCursor({ from, serverUuid: server.uuid, gtids: plan.gtids });
    this.#transactions = new TransactionReader(
      this.#cursor,
      new StreamTables(parts.tables, server, parts.zone),
      from.event > 0 && from.serverUuid === server.uuid
        ? { file: from.file, pos: from.pos, rowEvents: from.event }
        : undefined,
    );
  }

  /** @throws ProxyError SOURCE_UNREACHABLE, SOURCE_ACCESS, SOURCE_SETTING, POSITION_LOST. */
  static async open(parts: StreamParts): Promise<MysqlStream> {
    const plan = planDump(parts);
    await loadZstd();
    const reader = await BinlogReader.open(parts.endpoint, parts.serverId, plan.start);
    return new MysqlStream(reader, parts, plan);
  }

  /**
   * See {@link ChangeStream.fill}. A transaction is cut when it alone has put `rowsMax` or `bytesMax` into this batch, so a
   * batch holds at most twice the limits and one event.
   *
   * In front of something that cannot be read or carried over, what is in the batch is handed over first; the error
   * is thrown when the caller comes with an empty batch.
   */
  async fill(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<Fill> {
    if (this.#lastFill !== undefined && !batch.empty) {
      await abortableDelay(LAST_FILL_MS, undefined, { signal });
      return this.#lastFill;
    }
    if (this.#dead !== undefined) throw this.#dead;
    try {
      return await this.#fill(new FillState(this.#cursor, batch, limit), signal);
    } catch (error) {
      this.#dead = error;
      throw error;
    }
  }

  /** MySQL keeps its log by time, not by who has read it. */
  acknowledge(): void {
    // Nothing to tell.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }

  async #fill(state: FillState, signal: AbortSignal): Promise<Fill> {
    const met = state.atStart();
    if (met !== undefined) return met;
    for (;;) {
      const fill = this.#drain(state);
      if (fill !== undefined) return fill;
      if (this.#bytesInTurn >= TURN_BYTES) {
        this.#bytesInTurn = 0;
        await nextTurn();
        signal.throwIfAborted();
        continue;
      }
      const more = await this.#reader.wait(state.waitMs(), signal);
      if (!more && state.due()) return { to: this.#cursor.position() };
    }
  }

  /** Reads what has come, without a promise for each event; undefined when nothing is left or the event loop is due. */
  #drain(state: FillState): Fill | undefined {
    while (this.#bytesInTurn < TURN_BYTES) {
      try {
        const event = this.#next();
        if (event === undefined) return undefined;
        const fill = state.after(this.#read(event, state.batch));
        if (fill !== undefined) return fill;
      } catch (error) {
        if (!(error instanceof ProxyError) || !state.canEndHere) throw error;
        this.#cursor.stepBack();
        this.#dead = error;
        this.#lastFill = { to: this.#cursor.position() };
        return this.#lastFill;
      }
    }
    return undefined;
  }

  #next(): BinlogEvent | undefined {
    const inner = this.#inner?.next();
    if (inner?.done === false) {
      this.#bytesInTurn += inner.value.header.size;
      return inner.value;
    }
    this.#inner = undefined;
    for (;;) {
      const bytes = this.#reader.next();
      if (bytes === undefined) return undefined;
      this.#bytesInTurn += bytes.length;
      const event = this.#located(() => this.#parser.parse(bytes));
      this.#cursor.pass(event.header);
      if (event.kind === 'rotate' || event.kind === 'format') return event;
      if (this.#cursor.end > this.#skipTo) {
        this.#skipTo = 0;
        return event;
      }
    }
  }

  #read(event: BinlogEvent, batch: Batch): Outcome {
    return this.#located(() => {
      if (event.kind === 'payload') this.#inner = this.#parser.inner(event);
      return this.#transactions.read(event, batch);
    });
  }

  /** Says where in the log something could not be read. */
  #located<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      const { file, pos } = this.#cursor.position();
      throw new ProxyError(error.code, `${error.message} (${file}:${pos})`, { cause: error });
    }
  }
}

/** The limits of one fill, and what has come of them. */
class FillState {
  readonly batch: Batch;
  readonly #cursor: LogCursor;
  readonly #limit: FillLimit;
  readonly #until: MysqlPosition | undefined;
  readonly #startMs = performance.now();
  /** When the batch got its first change. A batch that comes with changes is as old as the call. */
  #firstMs: number | undefined;
  /** What was in the batch when the open transaction began, or this call. */
  #rowsBefore: number;
  #bytesBefore: number;

  constructor(cursor: LogCursor, batch: Batch, limit: FillLimit) {
    this.#cursor = cursor;
    this.batch = batch;
    this.#limit = limit;
    if (limit.until !== undefined && limit.until.kind !== 'mysql') {
      throw new ProxyError('POSITION_LOST', 'the recorded position is not one of MySQL');
    }
    this.#until = limit.until;
    this.#firstMs = batch.empty ? undefined : this.#startMs;
    this.#rowsBefore = batch.rows;
    this.#bytesBefore = batch.bytes;
  }

  /**
   * Whether the batch can be loaded as it is when the next event cannot be read: it has rows, all of complete transactions
   * (the open one may be the damaged one), and is not a recorded range, which ends at its recorded place and nowhere else.
   */
  get canEndHere(): boolean {
    const { batch } = this;
    return this.#until === undefined && !batch.empty && batch.rows === this.#rowsBefore;
  }

  /** A recorded range can be empty. */
  atStart(): Fill | undefined {
    return this.#until !== undefined && this.#cursor.isAt(this.#until)
      ? { to: this.#until }
      : undefined;
  }

  after(outcome: Outcome): Fill | undefined {
    if (outcome === 'within') return undefined;
    if (typeof outcome === 'object') {
      if (this.#until !== undefined) throw passed(this.#until);
      const barrier = { kind: 'truncate', tables: [outcome.truncated] } as const;
      return { to: outcome.to, barrier: { ...barrier, after: this.#cursor.position() } };
    }
    if (this.#until !== undefined) return this.#untilAfter(outcome, this.#until);
    const ends = outcome === 'rows' ? this.#transactionIsFull() : this.#batchIsDone();
    return ends ? { to: this.#cursor.position() } : undefined;
  }

  /** How long to wait for the next event, in milliseconds. */
  waitMs(): number {
    if (this.#until !== undefined || this.#cursor.inGroup) return INSIDE_MS;
    return Math.max(1, this.#deadlineMs() - performance.now());
  }

  /** Whether to return although nothing more has come. */
  due(): boolean {
    if (this.#until !== undefined || this.#cursor.inGroup) return false;
    return performance.now() >= this.#deadlineMs();
  }

  #deadlineMs(): number {
    return this.#firstMs === undefined
      ? this.#startMs + this.#limit.idleMs
      : this.#firstMs + this.#limit.ageMs;
  }

  #untilAfter(outcome: 'rows' | 'boundary', until: MysqlPosition): Fill | undefined {
    if (this.#cursor.isAt(until)) return { to: until };
    if (outcome === 'boundary' && this.#cursor.isPast(until)) throw passed(until);
    return undefined;
  }

  #transactionIsFull(): boolean {
    const { rowsMax, bytesMax } = this.#limit;
    return (
      this.batch.rows - this.#rowsBefore >= rowsMax ||
      this.batch.bytes - this.#bytesBefore >= bytesMax
    );
  }

  #batchIsDone(): boolean {
    const { batch } = this;
    this.#rowsBefore = batch.rows;
    this.#bytesBefore = batch.bytes;
    if (batch.rows >= this.#limit.rowsMax || batch.bytes >= this.#limit.bytesMax) return true;
    const now = performance.now();
    if (this.#firstMs === undefined && !batch.empty) this.#firstMs = now;
    return now >= this.#deadlineMs();
  }
}

interface Plan {
  readonly start: DumpStart;
  readonly gtids: ExecutedGtids | undefined;
  readonly skipTo: number;
}

/** By GTIDs where the position and the server have them: they survive a failover. Else by file and offset of the same server. */
function planDump({ server, from }: StreamParts): Plan {
  if (server.gtids && (from.gtids !== '' || from.file === '')) {
    const gtids = server.mariadb ? MariadbGtids.parse(from.gtids) : MysqlGtids.parse(from.gtids);
    return { start: { kind: 'gtids', gtids: gtids.toString() }, gtids, skipTo: 0 };
  }
  if (from.file === '') {
    throw new ProxyError(
      'SOURCE_SETTING',
      'the position is a GTID set, and the server has gtid_mode off',
    );
  }
  if (from.serverUuid !== '' && from.serverUuid !== server.uuid) {
    throw new ProxyError(
      'POSITION_LOST',
      `position ${from.file}:${from.pos} belongs to server ${from.serverUuid}, and this is ${server.uuid}. ${COPY_ANEW}`,
    );
  }
  const near = from.pos <= DUMP_OFFSET_MAX;
  const position = near ? from.pos : LOG_START;
  return {
    start: { kind: 'file', file: from.file, position },
    gtids: undefined,
    skipTo: near ? 0 : from.pos,
  };
}

function passed(until: MysqlPosition): ProxyError {
  return new ProxyError(
    'POSITION_LOST',
    `the log was read up to ${until.file}:${until.pos} (row event ${until.event}) before, and has no such place now. ${COPY_ANEW}`,
  );
}
