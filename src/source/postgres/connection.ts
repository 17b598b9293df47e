import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import {
  Client,
  type ClientConfig,
  type QueryConfig,
  type QueryResult,
  type QueryResultRow,
} from 'pg';
import { openSocket } from './inflow.ts';
import { postgresError } from './postgres-error.ts';

/** Where a job's database is, and who logs in. */
export interface PostgresTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Absent: plain text. */
  readonly tls?: ConnectionOptions;
  /** Shown in `pg_stat_activity`, and how the job knows its own walsender again. */
  readonly applicationName: string;
  /** The job's zone: how moments are printed. Absent: as the server does it for somebody who says nothing. */
  readonly timeZone?: string;
}

const CONNECT_TIMEOUT_MS = 15_000;
/** A look into the catalog takes milliseconds; what takes this long is a server that hangs. */
const QUERY_TIMEOUT_MS = 60_000;

/**
 * The same on every connection, the walsender's included, so that a type's output function prints the same text
 * everywhere (cdc-semantics.md §1.7.4). No search path: names of types come with their schema, and nobody's
 * table can pose as a catalog's. `row_security=off`: a policy that would hide rows is an error instead.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'ISO,YMD',
  IntervalStyle: 'iso_8601',
  bytea_output: 'hex',
  extra_float_digits: '3',
  lc_monetary: 'C',
  xmloption: 'content',
  standard_conforming_strings: 'on',
  search_path: 'pg_catalog',
  row_security: 'off',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
};

/** The driver's options for `target`. */
export function clientConfig(target: PostgresTarget): ClientConfig {
  const { timeZone } = target;
  const settings = timeZone === undefined ? SETTINGS : { ...SETTINGS, TimeZone: timeZone };
  return {
    host: target.host,
    port: target.port,
    user: target.user,
    password: target.password,
    database: target.database,
    application_name: target.applicationName,
    client_encoding: 'UTF8',
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    ...(target.tls === undefined ? { stream: openSocket, ssl: false } : { ssl: target.tls }),
  };
}

/** What of the driver's connection we use beneath its queries. Internals: the version is pinned, a test watches them. */
export interface RawConnection {
  readonly stream: Socket;
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
}

export function rawConnection(client: Client): RawConnection {
  return (client as unknown as { readonly connection: RawConnection }).connection;
}

/**
 * One connection for catalog queries, transactions and COPY.
 * @throws ProxyError SOURCE_UNREACHABLE, SOURCE_ACCESS or SOURCE_SETTING (no such database).
 */
export class Session implements AsyncDisposable {
  readonly client: Client;
  readonly #where: string;
  #dead = false;

  private constructor(client: Client, where: string) {
    this.client = client;
    this.#where = where;
    // Without a listener the loss of an idle connection would end the process.
    client.on('error', () => (this.#dead = true));
    client.on('end', () => (this.#dead = true));
  }

  static async open(target: PostgresTarget): Promise<Session> {
    const where = `Postgres at ${target.host}:${target.port}`;
    const client = new Client(clientConfig(target));
    const session = new Session(client, where);
    try {
      await client.connect();
    } catch (cause) {
      session.destroy();
      throw postgresError(`cannot connect to ${where} as ${target.user}`, cause);
    }
    return session;
  }

  get dead(): boolean {
    return this.#dead;
  }

  async rows<Row extends QueryResultRow>(
    sql: string,
    values: readonly unknown[] = [],
    timeoutMs = QUERY_TIMEOUT_MS,
  ): Promise<Row[]> {
    return (await this.#query<Row>({ text: sql, values: [...values], query_timeout: timeoutMs }))
      .rows;
  }

  /** A statement without parameters; may be several. */
  async run(sql: string): Promise<void> {
    await this.#query({ text: sql, query_timeout: QUERY_TIMEOUT_MS });
  }

  async #query<Row extends QueryResultRow>(
    // The driver knows it; its types do not.
    config: QueryConfig & { readonly query_timeout: number },
  ): Promise<QueryResult<Row>> {
    try {
      return await this.client.query<Row>(config);
    } catch (cause) {
      // The driver's own time-out leaves the query running: this connection answers nothing any more.
      if (cause instanceof Error && cause.message === 'Query read timeout') this.destroy();
      throw postgresError(this.#where, cause);
    }
  }

  /** Ends the connection without waiting for the server. */
  destroy(): void {
    this.#dead = true;
    rawConnection(this.client).stream.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#dead) {
      // A paused socket never sees the server's end of the conversation.
      rawConnection(this.client).stream.resume();
      await this.client.end().catch(() => undefined);
    }
    this.destroy();
  }
}
