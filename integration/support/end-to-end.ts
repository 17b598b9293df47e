import type { Connection } from 'mysql2/promise';
import { type ServerKind, startMariadb, startMysql, startPostgres } from '../servers.ts';
import { type DorisHandle, startDoris } from './doris.ts';
import { createMysqlJob, createPostgresJob } from './jobs.ts';
import type { MysqlServer } from './mysql-server.ts';
import type { PostgresServer } from './postgres-server.ts';
import { readMetrics } from './metrics.ts';
import { type ProxyHandle, startProxy } from './proxy.ts';
import { WRITER_TABLES } from './random-writer.ts';
import { sameRows } from './same-rows.ts';

const START: Readonly<Record<ServerKind, () => Promise<MysqlServer | PostgresServer>>> = {
  mysql: () => startMysql(),
  mariadb: () => startMariadb(),
  postgres18: () => startPostgres(),
  postgres15: () => startPostgres({ version: 15 }),
};

/** A source, a Doris, the proxy between them as its own process, and a client of the proxy. */
export class EndToEnd implements AsyncDisposable {
  readonly source: MysqlServer | PostgresServer;
  readonly doris: DorisHandle;
  readonly proxy: ProxyHandle;
  client: Connection;

  private constructor(
    source: MysqlServer | PostgresServer,
    doris: DorisHandle,
    proxy: ProxyHandle,
    client: Connection,
  ) {
    this.source = source;
    this.doris = doris;
    this.proxy = proxy;
    this.client = client;
  }

  /** `start`: how the source is started where it is not as usual. `proxyArgs`: more flags of the proxy's. */
  static async open(
    kind: ServerKind,
    start = START[kind],
    proxyArgs: readonly string[] = [],
  ): Promise<EndToEnd> {
    const opened: AsyncDisposable[] = [];
    try {
      const source = await start();
      opened.unshift(source);
      const doris = await startDoris();
      opened.unshift(doris);
      const { fe, feHttp, dorisUser, dorisPassword } = doris;
      const proxy = await startProxy({ fe, feHttp, dorisUser, dorisPassword, args: proxyArgs });
      opened.unshift(proxy);
      return new EndToEnd(source, doris, proxy, await proxy.connect());
    } catch (error) {
      for (const part of opened) await part[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** After the proxy was stopped and started: the client's connection went with it. */
  async reconnect(): Promise<void> {
    this.client.destroy();
    this.client = await this.proxy.connect();
  }

  /** Makes a place for tables at the source (a MySQL database, a Postgres schema) and a database in Doris, both empty. */
  async place(name: string): Promise<Place> {
    const place = new Place(this, `src_${name}`, `dst_${name}`);
    await this.source.exec(
      this.source.kind === 'postgres'
        ? `DROP SCHEMA IF EXISTS ${place.database} CASCADE; CREATE SCHEMA ${place.database}`
        : `DROP DATABASE IF EXISTS ${place.database}; CREATE DATABASE ${place.database}`,
    );
    await this.client.query(`DROP DATABASE IF EXISTS ${place.target}`);
    await this.client.query(`CREATE DATABASE ${place.target}`);
    return place;
  }

  /**
   * The counters of what must never happen, kills and restarts included.
   * @throws when one of them is not 0.
   */
  async expectNoViolation(): Promise<void> {
    const metrics = await readMetrics(this.proxy);
    const counters = [...metrics.matchAll(/^streaming_job_violation_(\w+) (\d+)$/gm)];
    if (counters.length === 0) throw new Error('the proxy exports no counters of violations');
    const violated = counters.filter(([, , count]) => count !== '0').map(([line]) => line);
    if (violated.length > 0) throw new Error(`this must never happen: ${violated.join(', ')}`);
  }

  /** @throws what {@link expectNoViolation} throws, after everything was closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // A test that has stopped the proxy for good has nothing to ask.
      if (this.proxy.running) await this.expectNoViolation();
    } finally {
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    this.client.destroy();
    await this.proxy[Symbol.asyncDispose]();
    await this.doris[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
  }
}

/** One test's tables: where they are at the source and in Doris. */
export class Place {
  readonly #world: EndToEnd;
  readonly database: string;
  readonly target: string;

  constructor(world: EndToEnd, database: string, target: string) {
    this.#world = world;
    this.database = database;
    this.target = target;
  }

  /** Runs statements at the source, names without a qualifier being this place's. */
  async sql(script: string): Promise<void> {
    const { source } = this.#world;
    const use =
      source.kind === 'postgres' ? `SET search_path = ${this.database}` : `USE ${this.database}`;
    await source.exec(`${use}; ${script}`);
  }

  /** CREATE JOB for `tables`, as the manual writes it. */
  async createJob(
    name: string,
    tables: string,
    properties: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const { source, client } = this.#world;
    const wish = { name, tables, properties, database: this.database, target: this.target };
    await client.query(
      source.kind === 'postgres' ? createPostgresJob(source, wish) : createMysqlJob(source, wish),
    );
  }

  async dropJob(name: string): Promise<void> {
    await this.#world.client.query(`DROP JOB WHERE jobName = '${name}'`);
  }

  /** Waits until `table` has the same rows on both sides. `columns`: what to compare where it is not every column. */
  async same(
    table: string,
    options: {
      readonly key?: readonly string[];
      readonly where?: string;
      readonly columns?: string;
      readonly timeoutMs?: number;
    } = {},
  ): Promise<void> {
    const { key = ['id'], where = 'TRUE', columns, timeoutMs } = options;
    await sameRows(
      this.#world.source,
      this.#world.client,
      {
        source: `(SELECT * FROM ${this.database}.${table} WHERE ${where}) AS wanted`,
        target: `${this.target}.${table}`,
        key,
        ...(columns === undefined ? {} : { columns, targetColumns: columns }),
      },
      timeoutMs,
    );
  }

  /** The tables of a `RandomWriter`. */
  async sameWritten(timeoutMs = 60_000): Promise<void> {
    for (const [table, { key }] of Object.entries(WRITER_TABLES)) {
      await this.same(table, { key, timeoutMs });
    }
  }
}
