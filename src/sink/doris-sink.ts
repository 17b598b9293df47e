import assert from 'node:assert/strict';
import type { LoadBody } from '../encode/batch.ts';
import { Backoff, type BackoffLimits } from '../lib/backoff.ts';
import { ProxyError, type FailureCode } from '../model/error.ts';
import {
  bareReply,
  shorten,
  type LabelState,
  type LoadReply,
  type LoadVerdict,
} from './load-reply.ts';
import { RefusedRows } from './refused-rows.ts';
import { StreamLoadClient, type DorisHttpOptions, type LoadRequest } from './stream-load.ts';

/** What a job's target properties say about its loads (cdc-semantics.md §2.4). */
export interface LoadOptions {
  /** `load.strict_mode`: false lets Doris store NULL where a value does not convert. */
  readonly strictMode: boolean;
  /** Rows that Doris may refuse in one load without failing it, 0..1. */
  readonly maxFilterRatio: number;
  /**
   * What a sequence column of the table gets, where it has one: a number that grows with every load of the table, so that a
   * late duplicate of an older load never beats a newer row (doris-target.md §2.3).
   */
  readonly sequence: number;
  /** Where the load runs (`compute_group`); absent: where the account's loads do. */
  readonly computeGroup?: string;
  /**
   * The label was never sent before this call. If Doris knows it all the same (a copied data directory, two proxies whose
   * numbers began in the same moment), believing it would skip the rows in silence.
   */
  readonly fresh?: boolean;
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
  /** A transaction of Doris lives no longer, in seconds. Default 300. */
  readonly loadTimeoutS?: number;
  /** After this time no new attempt is begun, in milliseconds. Default 25,000. */
  readonly retryMs?: number;
  /**
   * Counted from the load's start: a transaction that Doris is still busy with then is no longer waited for, in milliseconds. The
   * caller learns what it is waiting for, and comes back. Default 50,000.
   */
  readonly runningMs?: number;
  /** How long to wait for a committed load to become visible before going on without, in milliseconds. Default 20,000. */
  readonly visibleMs?: number;
  readonly backoff?: BackoffLimits;
  readonly onRetry?: (retry: LoadRetry) => void;
}

const BACKOFF: BackoffLimits = { firstMs: 100, maxMs: 10_000 };
const POLL: BackoffLimits = { firstMs: 50, maxMs: 1_000 };
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
  'exists-precommitted': { again: false, code: 'TARGET_TABLE' },
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
  /** Tables found to have a sequence column, `database.table`. */
  readonly #sequenced = new Set<string>();

  constructor(options: DorisSinkOptions) {
    this.#http = new StreamLoadClient(options);
    this.#options = {
      loadTimeoutS: options.loadTimeoutS ?? 300,
      retryMs: options.retryMs ?? 25_000,
      runningMs: options.runningMs ?? 50_000,
      visibleMs: options.visibleMs ?? 20_000,
      backoff: options.backoff ?? BACKOFF,
      onRetry: options.onRetry ?? (() => undefined),
    };
  }

  /**
   * Loads one table's rows and returns when they are committed, normally also visible. Loads of the same table wait for each other.
   * `body` must not change before the promise settles.
   *
   * @throws ProxyError TARGET_DATA (rows refused), TARGET_TABLE, TARGET_ACCESS; LABEL_TAKEN when the label is fresh and Doris has it;
   *   TARGET_UNREACHABLE, TARGET_BUSY when retries did not help: then the load may still be in, so the caller comes
   *   back with the same bytes and label, or closes the label by {@link fence}.
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
    const { sequence, fresh = false, ...rules } = options;
    const request: LoadRequest = {
      database,
      table: body.table.target,
      label,
      body: body.body,
      bytes: body.bytes,
      rows: body.rows,
      timeoutS: this.#options.loadTimeoutS,
      ...rules,
    };
    return await this.#afterPrevious(nameOf(request), async () => {
      signal.throwIfAborted();
      const [reply, sent] = await this.#driveSequenced(request, { sequence, fresh }, signal);
      if (reply.verdict === 'data') {
        throw await new RefusedRows(this.#http, sent, body.table.key, signal).explain(reply);
      }
      return await this.#outcome(request, reply, signal);
    });
  }

  /**
   * Waits until the transaction of a label has ended, after a crash, and says whether its rows are in the table. `absent` is no promise:
   * a body that a killed process left in a socket may begin its transaction later. Who sends the same bytes under
   * the same label need not care; everybody else calls {@link fence}.
   *
   * Only for labels younger than Doris' memory of them (doris-target.md §1.9: 12 hours and 2000 loads of the database).
   * @throws ProxyError TARGET_UNREACHABLE, TARGET_BUSY, TARGET_ACCESS, TARGET_TABLE when Doris does not say.
   */
  async settle(database: string, label: string, signal: AbortSignal): Promise<Settled> {
    const { retryMs: awayMs, runningMs } = this.#options;
    const ended = await this.#ended({ database, label }, { awayMs, runningMs }, signal);
    if (typeof ended === 'string') return ended;
    throw refusal(ended, `state of label ${label} in database ${database}`);
  }

  /**
   * Sees to it that nothing more comes under a label, however late: what runs is waited for, and else the label is taken by a load
   * without rows, so that a body that is still in a socket somewhere meets `Label Already Exists` (doris-target.md §1.4: a load
   * of no bytes consumes its label). Afterwards newer rows of the same keys may be loaded under other labels.
   *
   * @throws ProxyError as {@link settle}; then the label is still open.
   */
  async fence(
    database: string,
    table: string,
    label: string,
    signal: AbortSignal,
    computeGroup?: string,
  ): Promise<void> {
    const nothing = {
      body: [],
      bytes: 0,
      rows: 0,
      strictMode: true,
      maxFilterRatio: 0,
      ...(computeGroup === undefined ? {} : { computeGroup }),
    };
    const timeoutS = this.#options.loadTimeoutS;
    const request: LoadRequest = { database, table, label, timeoutS, ...nothing };
    await this.#afterPrevious(nameOf(request), async () => {
      signal.throwIfAborted();
      const [reply] = await this.#driveSequenced(request, { sequence: 0, fresh: false }, signal);
      if (MEANING[reply.verdict].code !== undefined) {
        throw refusal(reply, `waiting for an earlier load of ${nameOf(request)} (label ${label})`);
      }
      if (reply.verdict !== 'visible') await this.#visible(request, signal);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]();
  }

  /**
   * Finds out whether the table has a sequence column by Doris' refusal, which comes before a row is read: a table may be
   * dropped and made anew at any time, so what was found when the job was created proves nothing.
   */
  async #driveSequenced(
    request: LoadRequest,
    { sequence, fresh }: { readonly sequence: number; readonly fresh: boolean },
    signal: AbortSignal,
  ): Promise<[LoadReply, LoadRequest]> {
    const table = nameOf(request);
    for (let asked = 1; ; asked++) {
      const has = this.#sequenced.has(table);
      const sent = has ? { ...request, sequence } : request;
      const reply = await this.#drive(sent, fresh, signal);
      const isOtherwise =
        reply.verdict === 'schema' &&
        (has
          ? /unknown column.*__DORIS_SEQUENCE_COL__/i.test(reply.message)
          : /has sequence column/i.test(reply.message));
      if (!isOtherwise || asked === 2) return [reply, sent];
      if (has) this.#sequenced.delete(table);
      else this.#sequenced.add(table);
    }
  }

  /** Sends the load until its fate is certain; returns the reply that made it so. */
  async #drive(request: LoadRequest, fresh: boolean, signal: AbortSignal): Promise<LoadReply> {
    const { retryMs, runningMs, backoff: limits } = this.#options;
    const backoff = new Backoff(limits);
    const startedAt = Date.now();
    let giveUpAt = startedAt + retryMs;
    for (let attempt = 1; ; attempt++) {
      let reply = await this.#http.load(request, signal);
      if (fresh && attempt === 1 && reply.verdict.startsWith('exists-')) throw taken(request);
      if (reply.verdict === 'unknown' || reply.verdict === 'exists-running') {
        // Asked before sending again: a BE that refuses a used label may cut the connection before we read why.
        const askedAt = Date.now();
        const until = { awayMs: 0, runningMs: runningMs - (askedAt - startedAt) };
        const ended = await this.#ended(request, until, signal);
        if (ended === 'loaded') return { ...reply, verdict: 'exists-finished' };
        // Waiting for an abandoned transaction is not failing.
        if (ended === 'absent')
          giveUpAt = Math.min(giveUpAt + Date.now() - askedAt, startedAt + runningMs);
        else if (ended.verdict === 'busy') return ended;
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

  /** Turns the last reply into the result of {@link load}. */
  async #outcome(
    request: LoadRequest,
    reply: LoadReply,
    signal: AbortSignal,
  ): Promise<LoadOutcome> {
    const { label, rows } = request;
    const { verdict, txnId, counts } = reply;
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

  /**
   * Polls a label until its transaction has ended.
   * @param until.awayMs how long the FEs may be away.
   * @param until.runningMs how long the transaction may still be running; then the reply is `busy`.
   * @returns a reply when the FE refuses to say, or is still away or the load still running at the end.
   */
  async #ended(
    { database, label }: Pick<LoadRequest, 'database' | 'label'>,
    { awayMs, runningMs }: Record<'awayMs' | 'runningMs', number>,
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
        if (elapsedMs >= runningMs) {
          return bareReply('busy', 'Doris has not ended an earlier attempt of this load yet');
        }
      } else {
        return (
          ENDS[state] ?? bareReply('exists-precommitted', 'a two-phase transaction holds the label')
        );
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

function taken(request: LoadRequest): ProxyError {
  return new ProxyError(
    'LABEL_TAKEN',
    `Doris has a load under label ${request.label} that is not ours: another proxy loads into database ${request.database} with the ` +
      'same numbers, perhaps from a copy of this data directory. The rows are loaded under another label.',
  );
}

function nameOf({ database, table }: Pick<LoadRequest, 'database' | 'table'>): string {
  return `${database}.${table}`;
}
