import { ProxyError } from '../model/error.ts';
import { firstRefusal, shorten, type LoadReply, type Refusal } from './load-reply.ts';
import { findPoison, keyText, type Poison } from './poison.ts';
import type { LoadRequest, StreamLoadClient } from './stream-load.ts';

/** Longest value in a message, in characters: it ends up in `jobs()`, and rows are the users' data. */
const VALUE_CHARS_MAX = 40;
const MESSAGE_CHARS_MAX = 800;

/** Finds out which row of a load Doris refuses, and why. */
export class RefusedRows {
  readonly #http: StreamLoadClient;
  readonly #load: LoadRequest;
  readonly #key: readonly string[];
  readonly #signal: AbortSignal;

  /** @param key the table's key columns. */
  constructor(
    http: StreamLoadClient,
    load: LoadRequest,
    key: readonly string[],
    signal: AbortSignal,
  ) {
    this.#http = http;
    this.#load = load;
    this.#key = key;
    this.#signal = signal;
  }

  /**
   * The error that names one refused row by its key: without it nobody finds the cause among a million rows.
   *
   * @throws the reason of the signal when it aborts.
   */
  async explain(reply: LoadReply): Promise<ProxyError> {
    const seen = await this.#reason(reply);
    // The log mostly has the row as it was sent, unless it is long or was refused after it was taken apart.
    const logged = seen.row === undefined ? undefined : this.#keyOf(seen.row);
    if (logged !== undefined) return this.#error(`the row with key ${logged}`, seen.text);
    const found = await findPoison(this.#load, (request) => this.#probe(request));
    const near = found.reply === undefined ? seen : await this.#reason(found.reply);
    return this.#error(this.#place(found), near.text);
  }

  #keyOf(row: string): string | undefined {
    return keyText(row, this.#key, VALUE_CHARS_MAX);
  }

  #place({ row, suspects }: Poison): string {
    const key = this.#keyOf(row);
    if (key === undefined) return 'rows';
    return suspects === 1
      ? `the row with key ${key}`
      : `one of ${suspects} rows from key ${key} on`;
  }

  #error(what: string, reason: string): ProxyError {
    const { database, table, label } = this.#load;
    const text = `Doris refuses ${what} in table ${database}.${table} (label ${label}): ${reason}`;
    return new ProxyError('TARGET_DATA', shorten(text, MESSAGE_CHARS_MAX));
  }

  /** Why rows were refused: the first line of the error log, or Doris' own words when there is none. */
  async #reason(reply: LoadReply): Promise<Refusal> {
    const { errorUrl } = reply;
    const log =
      errorUrl === undefined ? undefined : await this.#http.errorLog(errorUrl, this.#signal);
    const first = log === undefined ? undefined : firstRefusal(log, VALUE_CHARS_MAX);
    if (first !== undefined && first.text !== '') return first;
    return { text: reply.firstError ?? reply.message, row: undefined };
  }

  /** Asks whether Doris would take the rows, and leaves none of them. */
  async #probe(request: LoadRequest): Promise<LoadReply> {
    const { database, label } = request;
    let reply = await this.#http.load(request, this.#signal);
    if (reply.verdict === 'exists-precommitted') {
      // Left by a search that was interrupted.
      await this.#http.abort(database, label, this.#signal);
      reply = await this.#http.load(request, this.#signal);
    }
    if (reply.verdict === 'precommitted') await this.#http.abort(database, label, this.#signal);
    return reply;
  }
}
