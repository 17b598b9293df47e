import assert from 'node:assert/strict';
import type { LoadBody } from '../encode/batch.ts';
import { Backoff, type BackoffLimits } from '../lib/backoff.ts';
import { ProxyError, type FailureCode } from '../model/error.ts';
import {
  bareReply,
  firstRefusal,
  shorten,
  type LabelState,
  type LoadReply,
  type LoadVerdict,
} from './load-reply.ts';
import { StreamLoadClient, type DorisHttpOptions, type LoadRequest } from './stream-load.ts';

/** What a job's target properties say about its loads (cdc-semantics.md §2.4). */
export interface LoadOptions {
  /** `load.strict_mode`: false lets Doris store NULL where a value does not convert. */
  readonly strictMode: boolean;
  /** Rows that Doris may refuse in one load without failing it, 0..1. */
  readonly maxFilterRatio: number;
}

/** A load that is in Doris. */
export interface LoadOutcome {
  readonly label: string;
  readonly loadedRows: number;
  /** Rows that Doris refused within `maxFilterRatio`; they are lost. */
  readonly filteredRows: number;
  readonly loadBytes: number;
  /** Decimal; undefined when Doris did not say. */
  readonly txnId: string | undefined;
  /** An earlier attempt had loaded these bytes; then the counts are what was sent. */
  readonly alreadyThere: boolean;
}

/** An attempt that failed and will be made again, for the log. */
export interface LoadRetry {
  readonly label: string;
  readonly verdict: LoadVerdict;
  readonly message: string;
}

export interface DorisSinkOptions extends DorisHttpOptions {
  /** A transaction of Doris lives no longer, in seconds: also the longest wait for an abandoned one. Default 300. */
  readonly loadTimeoutS?: number;
  /** After this time no new attempt is begun, in milliseconds. Default 120,000. */
  readonly retryMs?: number;
  /** How long to wait for a committed load to become visible before going on without, in milliseconds. Default 30,000. */
  readonly visibleMs?: number;
  /**
   * For how long {@link DorisSink.settle} does not believe that a label is unknown, in milliseconds. A process that
   * was killed may have left a whole body in a socket, whose transaction begins after we have started again. Default 5,000.
   */
  readonly quietMs?: number;
  readonly backoff?: BackoffLimits;
  readonly onRetry?: (retry: LoadRetry) => void;
}

const BACKOFF: BackoffLimits = { firstMs: 100, maxMs: 10_000 };
const POLL: BackoffLimits = { firstMs: 50, maxMs: 1_000 };
/** Doris aborts a transaction at its timeout, but looks for such transactions only now and then. */
const ABORT_MARGIN_MS = 60_000;
const VALUE_CHARS_MAX = 40;
const MESSAGE_CHARS_MAX = 1_000;

/** Whether sending the same bytes again is of any use, and what the job is told when nothing more is sent. */
const MEANING: Readonly<
  Record<LoadVerdict, { readonly again: boolean; readonly code: FailureCode | undefined }>
> = {
  visible: { again: false, code: undefined },
  committed: { again: false, code: undefined },
  'exists-finished': { again: false, code: undefined },
  'exists-running': { again: true, code: 'TARGET_BUSY' },
  precommitted: { again: false, code: 'TARGET_TABLE' },
  data: { again: false, code: 'TARGET_DATA' },
  schema: { again: false, code: 'TARGET_TABLE' },
  access: { again: false, code: 'TARGET_ACCESS' },
  busy: { again: true, code: 'TARGET_BUSY' },
  unreachable: { again: true, code: 'TARGET_UNREACHABLE' },
  unknown: { again: true, code: 'TARGET_UNREACHABLE' },
};

/** Where a label's transaction ended: in the table, or nowhere. */
export type Settled = 'loaded' | 'absent';

const ENDS: Readonly<Partial<Record<LabelState, Settled>>> = {
  VISIBLE: 'loaded',
  COMMITTED: 'loaded',
  ABORTED: 'absent',
  UNKNOWN: 'absent',
};

/**
 * Loads batches into Doris so that every batch is in its table once (design.md decision 10).
 *
 * One batch is one byte sequence under one label. On any doubt the same bytes go out again under the same label:
 * Doris either loads them, or says that the label was used, which then proves that they are loaded
 * (doris-target.md §1.7, safe retry rule). A label must therefore never be given to other bytes.
 */
export class DorisSink implements AsyncDisposable {
  readonly #http: StreamLoadClient;
  readonly #options: Required<Omit<DorisSinkOptions, keyof DorisHttpOptions>>;
  /** The end of the last load of each table: Doris orders two loads of a table by commit, not by label. */
  readonly #tails = new Map<string, Promise<unknown>>();
  /** Since when nothing of unknown fate was sent, by this process or by the one before it. */
  #quietSince = Date.now();

  constructor(options: DorisSinkOptions) {
    this.#http = new StreamLoadClient(options);
    this.#options = {
      loadTimeoutS: options.loadTimeoutS ?? 300,
      retryMs: options.retryMs ?? 120_000,
      visibleMs: options.visibleMs ?? 30_000,
      quietMs: options.quietMs ?? 5_000,
      backoff: options.backoff ?? BACKOFF,
      onRetry: options.onRetry ?? (() => undefined),
    };
  }

  /**
   * Loads one table's rows and returns when they are committed, normally also visible. Loads of the same table wait for each other.
   * `body` must not change before the promise settles.
   *
   * @throws ProxyError TARGET_DATA (rows refused), TARGET_TABLE, TARGET_ACCESS;
   *   TARGET_UNREACHABLE, TARGET_BUSY when retries did not help: then the load may still be in, so the caller comes
   *   back with the same bytes and label, or calls {@link settle} first.
   * @throws the reason of `signal` when it aborts, with the same doubt.
   */
  async load(
    database: string,
    body: LoadBody,
    label: string,
    options: LoadOptions,
    signal: AbortSignal,
  ): Promise<LoadOutcome> {
    assert.match(label, /^[-_A-Za-z0-9:]{1,128}$/, 'a label that Doris refuses');
    const request: LoadRequest = {
      database,
      table: body.table.target,
      label,
      body: body.body,
      bytes: body.bytes,
      timeoutS: this.#options.loadTimeoutS,
      ...options,
    };
    return await this.#afterPrevious(`${database}.${request.table}`, async () => {
      signal.throwIfAborted();
      const reply = await this.#drive(request, signal);
      return await this.#outcome(request, body.rows, reply, signal);
    });
  }

  /**
   * Waits until the transaction of a label has ended, after a crash, and says whether its rows are in the table.
   * Afterwards the range may be read again with other bytes, under another label.
   *
   * Only for labels younger than Doris' memory of them (doris-target.md §1.9: 12 hours and 2000 loads of the database).
   * @throws ProxyError TARGET_UNREACHABLE, TARGET_BUSY, TARGET_ACCESS, TARGET_TABLE when Doris does not say.
   */
  async settle(database: string, label: string, signal: AbortSignal): Promise<Settled> {
    const { quietMs, retryMs } = this.#options;
    const quietAt = this.#quietSince + quietMs;
    const ended = await this.#ended({ database, label }, quietAt, retryMs, signal);
    if (typeof ended === 'string') return ended;
    throw refusal(ended, `state of label ${label} in database ${database}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]();
  }

  /** Sends the load until its fate is certain; returns the reply that made it so. */
  async #drive(request: LoadRequest, signal: AbortSignal): Promise<LoadReply> {
    const { retryMs, backoff: limits } = this.#options;
    const backoff = new Backoff(limits);
    let giveUpAt = Date.now() + retryMs;
    for (;;) {
      let reply = await this.#attempt(request, signal);
      if (reply.verdict === 'unknown' || reply.verdict === 'exists-running') {
        // Asked before sending again: a BE that refuses a used label may cut the connection before we read why.
        const askedAt = Date.now();
        const ended = await this.#ended(request, 0, 0, signal);
        if (ended === 'loaded') return { ...reply, verdict: 'exists-finished' };
        // Waiting for an abandoned transaction is not failing.
        if (ended === 'absent') giveUpAt += Date.now() - askedAt;
        // When the FE does not say, the load is simply sent again: the label makes that safe.
        else if (ended.verdict !== 'access' && ended.verdict !== 'schema') reply = ended;
      }
      if (!MEANING[reply.verdict].again || Date.now() >= giveUpAt) return reply;
      this.#options.onRetry({
        label: request.label,
        verdict: reply.verdict,
        message: reply.message,
      });
      await backoff.wait(signal);
      signal.throwIfAborted();
    }
  }

  async #attempt(request: LoadRequest, signal: AbortSignal): Promise<LoadReply> {
    let reply: LoadReply | undefined;
    try {
      reply = await this.#http.load(request, signal);
      return reply;
    } finally {
      if (reply === undefined || reply.verdict === 'unknown') this.#quietSince = Date.now();
    }
  }

  /** Turns the last reply into the result of {@link load}. */
  async #outcome(
    request: LoadRequest,
    rows: number,
    reply: LoadReply,
    signal: AbortSignal,
  ): Promise<LoadOutcome> {
    const { label } = request;
    const { verdict, txnId, counts } = reply;
    if (verdict === 'data') throw await this.#refusedRows(request, reply, signal);
    if (MEANING[verdict].code !== undefined) {
      throw refusal(reply, `load into ${nameOf(request)} (label ${label})`);
    }
    const alreadyThere = verdict === 'exists-finished';
    if (verdict !== 'visible') await this.#visible(request, signal);
    if (alreadyThere) {
      return {
        label,
        loadedRows: rows,
        filteredRows: 0,
        loadBytes: request.bytes,
        txnId,
        alreadyThere,
      };
    }
    checkRows(request, rows, reply);
    const { loadedRows = rows, filteredRows = 0, loadBytes = request.bytes } = counts;
    return { label, loadedRows, filteredRows, loadBytes, txnId, alreadyThere };
  }

  /** Names the first refused row: without it nobody finds the cause among a million rows. */
  async #refusedRows(
    request: LoadRequest,
    reply: LoadReply,
    signal: AbortSignal,
  ): Promise<ProxyError> {
    const log =
      reply.errorUrl === undefined ? undefined : await this.#http.errorLog(reply.errorUrl, signal);
    const first = log === undefined ? '' : firstRefusal(log, VALUE_CHARS_MAX);
    const reason = first === '' ? (reply.firstError ?? reply.message) : first;
    return new ProxyError(
      'TARGET_DATA',
      shorten(
        `Doris refuses rows of table ${nameOf(request)} (label ${request.label}): ${reason}`,
        MESSAGE_CHARS_MAX,
      ),
    );
  }

  /**
   * Polls a label until its transaction has ended.
   * @param quietAt from when on UNKNOWN means absent, in milliseconds since 1970.
   * @param awayMs how long the FEs may be away.
   * @returns a reply when the FE refuses to say, or is still away or the load still running at the end.
   */
  async #ended(
    { database, label }: Pick<LoadRequest, 'database' | 'label'>,
    quietAt: number,
    awayMs: number,
    signal: AbortSignal,
  ): Promise<Settled | LoadReply> {
    const startedAt = Date.now();
    const poll = new Backoff(POLL);
    for (;;) {
      const state = await this.#http.labelState(database, label, signal);
      const elapsedMs = Date.now() - startedAt;
      if (typeof state !== 'string') {
        if (state.verdict !== 'unreachable' || elapsedMs >= awayMs) return state;
      } else if (state === 'PREPARE') {
        if (elapsedMs >= this.#options.loadTimeoutS * 1000 + ABORT_MARGIN_MS) {
          return bareReply('busy', `still being loaded after ${Math.round(elapsedMs / 1000)} s`);
        }
      } else if (state !== 'UNKNOWN' || Date.now() >= quietAt) {
        return ENDS[state] ?? bareReply('precommitted', 'a two-phase transaction holds the label');
      }
      await poll.wait(signal);
      signal.throwIfAborted();
    }
  }

  /** Waits until a committed load can be read. Best effort: it is durable, and later loads become visible after it. */
  async #visible(request: LoadRequest, signal: AbortSignal): Promise<void> {
    const giveUpAt = Date.now() + this.#options.visibleMs;
    const poll = new Backoff(POLL);
    while ((await this.#http.labelState(request.database, request.label, signal)) === 'COMMITTED') {
      if (Date.now() >= giveUpAt) return;
      await poll.wait(signal);
      signal.throwIfAborted();
    }
  }

  async #afterPrevious<T>(table: string, run: () => Promise<T>): Promise<T> {
    const previous = this.#tails.get(table) ?? Promise.resolve();
    // The previous load's failure is its own caller's affair.
    const mine = previous.then(run, run);
    this.#tails.set(table, mine);
    try {
      return await mine;
    } finally {
      if (this.#tails.get(table) === mine) this.#tails.delete(table);
    }
  }
}

/** A BE that found another number of rows read the body in another way than we wrote it: the table is wrong. */
function checkRows(request: LoadRequest, rows: number, reply: LoadReply): void {
  const { totalRows } = reply.counts;
  if (totalRows === undefined || totalRows === rows) return;
  throw new ProxyError(
    'TARGET_DATA',
    `Doris found ${totalRows} rows in a load of ${rows} rows into ${nameOf(request)} (label ${request.label})`,
  );
}

function refusal(reply: LoadReply, what: string): ProxyError {
  const { code } = MEANING[reply.verdict];
  assert(code !== undefined, `${reply.verdict} is not a failure`);
  return new ProxyError(code, shorten(`${what}: ${reply.message}`, MESSAGE_CHARS_MAX));
}

function nameOf({ database, table }: Pick<LoadRequest, 'database' | 'table'>): string {
  return `${database}.${table}`;
}
