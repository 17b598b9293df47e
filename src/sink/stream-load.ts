import { request as httpRequest } from 'node:http';
import { Readable } from 'node:stream';
import { Agent } from 'undici';
import { DELETE_SIGN } from '../encode/row-layout.ts';
import { Deadline } from './deadline.ts';
import {
  describe,
  neverConnected,
  originOf,
  redirectTarget,
  targetOf,
  type Answer,
  type HostPort,
  type Target,
} from './http-target.ts';
import { bytesSent, pieces, SEQUENCE_COLUMN, type Lines } from './load-body.ts';
import {
  bareReply,
  parseLabelState,
  parseLoadReply,
  type LabelState,
  type LoadReply,
} from './load-reply.ts';

/** The Doris cluster as seen over HTTP. */
export interface DorisHttpOptions {
  /** HTTP ports of the FEs; the one that answered last is asked first. */
  readonly frontends: readonly HostPort[];
  readonly user: string;
  readonly password: string;
  /** How often a load that is not answered is looked up at the FE, in milliseconds. Default 15,000. */
  readonly answerCheckMs?: number;
  /** A BE that neither takes bytes nor answers for this time is given up, in milliseconds. Default 40,000. */
  readonly silenceMs?: number;
}

/** One load: may be sent any number of times, always with the same bytes. `__DORIS_DELETE_SIGN__` is in every row. */
export interface LoadRequest extends Lines {
  readonly database: string;
  readonly table: string;
  readonly label: string;
  /** A two-phase load: its rows are checked, and invisible until they are committed, which nobody here ever does. */
  readonly probe?: boolean;
  readonly strictMode: boolean;
  /** 0..1 */
  readonly maxFilterRatio: number;
  readonly computeGroup?: string;
  /** Doris aborts the transaction after this time, in seconds. */
  readonly timeoutS: number;
}

/** An FE that does not answer a request without a body within this time is passed over. */
const FRONTEND_MS = 10_000;
const CONNECT_MS = 10_000;
/** The BE answers at the end of its own timeout at the latest; this is for the way there and back. */
const ANSWER_MARGIN_MS = 30_000;
const ANSWER_CHECK_MS = 15_000;
/** Longer than the 30 s after which an FE answers `Publish Timeout`, short enough to name the trouble within a minute. */
const SILENCE_MS = 40_000;
/** An FE takes a BE out of its rounds after missing heartbeats; until then it may send us to a dead one. */
const SUSPECT_MS = 15_000;
const REDIRECTS_MAX = 4;
/** Answers are a page of JSON; whatever is larger did not come from Doris. */
const ANSWER_BYTES_MAX = 1 << 20;
const ERROR_LOG_BYTES_MAX = 64 << 10;

/**
 * Stream Load over HTTP (doris-target.md §1): one attempt for each call, its outcome as a value. What to do
 * about the outcome is decided in `doris-sink.ts`.
 *
 * Two legs. The FE only says which BE is next; it insists on `Expect`, which undici refuses to send, and reads
 * no body, so it is asked with a body-less `node:http` request. The BE gets the body over a kept-alive connection.
 * Credentials go out in a header of ours on both legs; the copy that the FE puts into `Location` is dropped unread.
 */
export class StreamLoadClient implements AsyncDisposable {
  readonly #options: DorisHttpOptions;
  readonly #authorization: string;
  readonly #agent = new Agent({
    connect: { timeout: CONNECT_MS },
    maxResponseSize: ANSWER_BYTES_MAX,
    // The deadline of each request rules; undici's own defaults would end a load after five minutes.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  /** BEs that failed lately, by origin, until when they are avoided (milliseconds since 1970). */
  readonly #suspects = new Map<string, number>();
  #preferred = 0;

  constructor(options: DorisHttpOptions) {
    this.#options = options;
    const credentials = Buffer.from(`${options.user}:${options.password}`);
    this.#authorization = `Basic ${credentials.toString('base64')}`;
  }

  /**
   * Sends the load once, to the BE that an FE chooses.
   * @throws the reason of `signal` when it aborts; everything else is a reply.
   */
  async load(load: LoadRequest, signal: AbortSignal): Promise<LoadReply> {
    const target = await this.#chooseBackend(load, signal);
    if ('verdict' in target) return target;
    using deadline = new Deadline(signal, load.timeoutS * 1000 + ANSWER_MARGIN_MS);
    using _watch = this.#watchForLostAnswer(load, deadline);
    using silence = this.#watchForSilence(deadline);
    try {
      const response = await this.#agent.request({
        origin: target.origin,
        path: target.path,
        method: 'PUT',
        headers: { ...this.#headers(load), 'content-length': String(bytesSent(load)) },
        // A fresh reader of the same buffers for each attempt; they are written one by one and never joined.
        body: Readable.from(pieces(load, silence.broken), { objectMode: false }),
        signal: deadline.signal,
      });
      const reply = parseLoadReply(response.statusCode, await response.body.text());
      this.#suspects.delete(target.origin);
      return reply;
    } catch (error) {
      signal.throwIfAborted();
      this.#suspects.set(target.origin, Date.now() + SUSPECT_MS);
      return bareReply(
        neverConnected(error) ? 'unreachable' : 'unknown',
        `BE ${target.origin}: ${describe(error)}`,
      );
    }
  }

  /**
   * State of a label at the master FE, or the reply that says why it cannot be had.
   * @throws the reason of `signal` when it aborts.
   */
  async labelState(
    database: string,
    label: string,
    signal: AbortSignal,
  ): Promise<LabelState | LoadReply> {
    const path = `/api/${encodeURIComponent(database)}/get_load_state?label=${encodeURIComponent(label)}`;
    let failure = bareReply('unreachable', 'no FE is configured');
    for (const origin of this.#frontendOrigins()) {
      const answer = await this.#get({ origin, path }, signal);
      if ('verdict' in answer) {
        failure = answer;
        continue;
      }
      return parseLabelState(answer.status, answer.text);
    }
    return failure;
  }

  /**
   * Ends a probe without a trace. Best effort: an FE aborts a transaction that nobody commits by itself (doris-target.md §1.10).
   * @throws the reason of `signal` when it aborts.
   */
  async abort(database: string, label: string, signal: AbortSignal): Promise<void> {
    const path = `/api/${encodeURIComponent(database)}/_stream_load_2pc`;
    const headers = { authorization: this.#authorization, label, txn_operation: 'abort' };
    const target = await this.#redirected(path, headers, signal);
    if ('verdict' in target) return;
    using deadline = new Deadline(signal, FRONTEND_MS);
    try {
      const { body } = await this.#agent.request({
        ...target,
        method: 'PUT',
        headers,
        signal: deadline.signal,
      });
      await body.dump();
    } catch {
      signal.throwIfAborted();
    }
  }

  /**
   * Beginning of the error log of a load, at most 64 KiB; undefined when the BE does not hand it out.
   * @throws the reason of `signal` when it aborts.
   */
  async errorLog(url: string, signal: AbortSignal): Promise<string | undefined> {
    const target = targetOf(url);
    if (target === undefined) return undefined;
    using deadline = new Deadline(signal, FRONTEND_MS);
    try {
      const { body, statusCode } = await this.#agent.request({
        ...target,
        method: 'GET',
        signal: deadline.signal,
      });
      let text = '';
      body.setEncoding('utf8');
      for await (const piece of body) {
        text += piece as string;
        if (text.length >= ERROR_LOG_BYTES_MAX) break;
      }
      return statusCode === 200 ? text.slice(0, ERROR_LOG_BYTES_MAX) : undefined;
    } catch {
      // The log is an extra; Doris' own message is reported without it.
      signal.throwIfAborted();
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  /**
   * Ends a request whose transaction is over without an answer: what stands between us and the BE may have forgotten
   * a connection that was silent during a long load. Two looks in a row, so that the answer has had time to arrive.
   */
  #watchForLostAnswer(load: LoadRequest, deadline: Deadline): Disposable {
    let seenOver = 0;
    const look = async (): Promise<void> => {
      const state = await this.labelState(load.database, load.label, deadline.signal);
      seenOver = state === 'VISIBLE' || state === 'ABORTED' ? seenOver + 1 : 0;
      if (seenOver === 2) deadline.expire(new Error('the load has ended, but its answer is lost'));
    };
    const timer = setInterval(() => {
      // The only failure is the end of the request that is watched.
      look().catch(() => undefined);
    }, this.#options.answerCheckMs ?? ANSWER_CHECK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  /** Ends a request whose BE has gone quiet: what became of the load is then asked of the FE, not waited for. */
  #watchForSilence(deadline: Deadline): Disposable & { readonly broken: () => void } {
    const silenceMs = this.#options.silenceMs ?? SILENCE_MS;
    const expire = (): void => {
      deadline.expire(new Error(`no answer, and no byte taken, for ${silenceMs} ms`));
    };
    const timer = setTimeout(expire, silenceMs);
    return { broken: () => timer.refresh(), [Symbol.dispose]: () => clearTimeout(timer) };
  }

  /** Asks for a BE, again while the answer is one that just failed: an FE goes round its BEs. */
  async #chooseBackend(load: LoadRequest, signal: AbortSignal): Promise<Target | LoadReply> {
    const path = `/api/${encodeURIComponent(load.database)}/${encodeURIComponent(load.table)}/_stream_load`;
    for (let asked = 1; ; asked++) {
      const target = await this.#redirected(path, this.#headers(load), signal);
      if ('verdict' in target || asked === REDIRECTS_MAX) return target;
      const avoidUntil = this.#suspects.get(target.origin);
      if (avoidUntil === undefined || avoidUntil <= Date.now()) return target;
    }
  }

  /** Where an FE sends the request: to a BE. */
  async #redirected(
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Target | LoadReply> {
    let failure = bareReply('unreachable', 'no FE is configured');
    for (const origin of this.#frontendOrigins()) {
      const answer = await this.#put({ origin, path }, headers, signal);
      const target = 'verdict' in answer ? answer : redirectTarget(origin, answer);
      if (!('verdict' in target) || target.verdict !== 'unreachable') return target;
      failure = target;
    }
    return failure;
  }

  /** The FEs, the one that answered last first. The caller leaves the loop when it has its answer. */
  *#frontendOrigins(): Generator<string> {
    const { frontends } = this.#options;
    const first = this.#preferred;
    for (let i = 0; i < frontends.length; i++) {
      this.#preferred = (first + i) % frontends.length;
      const frontend = frontends[this.#preferred];
      if (frontend !== undefined) yield originOf(frontend);
    }
  }

  #headers(load: LoadRequest): Record<string, string> {
    return {
      authorization: this.#authorization,
      label: load.label,
      format: 'json',
      read_json_by_line: 'true',
      strict_mode: String(load.strictMode),
      max_filter_ratio: String(load.maxFilterRatio),
      hidden_columns:
        load.sequence === undefined ? DELETE_SIGN : `${DELETE_SIGN},${SEQUENCE_COLUMN}`,
      ...(load.probe === true ? { two_phase_commit: 'true' } : {}),
      timeout: String(load.timeoutS),
      // Releases before 4.0 know the second one (doris-target.md §1.5).
      ...(load.computeGroup === undefined
        ? {}
        : { compute_group: load.computeGroup, cloud_cluster: load.computeGroup }),
      // Values carry no offset, but functions and defaults of the target may depend on the zone.
      timezone: '+00:00',
      // A table property may turn group commit on, which would take the label away.
      group_commit: 'off_mode',
    };
  }

  /** The FE leg. A 100 is not waited for: there is no body that it could permit. */
  async #put(
    target: Target,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Answer | LoadReply> {
    using deadline = new Deadline(signal, FRONTEND_MS);
    try {
      return await new Promise<Answer>((resolve, reject) => {
        const request = httpRequest(target.origin + target.path, {
          method: 'PUT',
          headers: { ...headers, expect: '100-continue', 'content-length': 0 },
          signal: deadline.signal,
          agent: false,
        });
        request.once('error', reject);
        request.once('response', (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (piece: string) => {
            if (text.length < ANSWER_BYTES_MAX) text += piece;
          });
          response.once('error', reject);
          response.once('end', () => {
            resolve({
              status: response.statusCode ?? 0,
              location: response.headers.location,
              text,
            });
          });
        });
        request.end();
      });
    } catch (error) {
      signal.throwIfAborted();
      return bareReply('unreachable', `FE ${target.origin}: ${describe(error)}`);
    }
  }

  /** A GET at an FE, following the one redirect from a follower to the master. */
  async #get(target: Target, signal: AbortSignal): Promise<Answer | LoadReply> {
    using deadline = new Deadline(signal, FRONTEND_MS);
    let at = target;
    try {
      for (let hop = 0; ; hop++) {
        const response = await this.#agent.request({
          ...at,
          method: 'GET',
          headers: { authorization: this.#authorization },
          signal: deadline.signal,
        });
        const text = await response.body.text();
        const { location } = response.headers;
        const next = typeof location === 'string' && hop === 0 ? targetOf(location) : undefined;
        if (response.statusCode !== 307 || next === undefined) {
          return { status: response.statusCode, location: undefined, text };
        }
        at = next;
      }
    } catch (error) {
      signal.throwIfAborted();
      return bareReply('unreachable', `FE ${at.origin}: ${describe(error)}`);
    }
  }
}
