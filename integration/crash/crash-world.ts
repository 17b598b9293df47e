import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import type { MysqlServer, PostgresServer } from '../servers.ts';
import type { DorisHandle } from '../support/doris.ts';
import { createMysqlJob, createPostgresJob, type JobRow, jobRow } from '../support/jobs.ts';
import { jobFigure, readMetrics } from '../support/metrics.ts';
import { type ProxyHandle, startProxy } from '../support/proxy.ts';
import {
  type Execute,
  RandomWriter,
  WRITER_TABLES,
  writerConnection,
} from '../support/random-writer.ts';
import { sameRows } from '../support/same-rows.ts';
import { removeFolder, temporaryFolder } from '../support/server-process.ts';
import { KNOWN } from './transitions.ts';

const HOOK = join(import.meta.dirname, 'kill-hook.mjs');
const DIST = join(import.meta.dirname, '..', '..', 'dist');
/** Rows that a large transaction of the writer has at least. */
const LARGE_ROWS = 600;
/** Generous: the machine may be busy with other things. */
const WAIT_MS = 60_000;

export interface CrashWorldOptions {
  readonly source: MysqlServer | PostgresServer;
  readonly doris: DorisHandle;
  readonly seed: number;
}

/**
 * One source, one Doris, and one proxy with one job, which is killed again and again: with the hook in it, at the point that
 * {@link arm} names.
 */
export class CrashWorld implements AsyncDisposable {
  readonly source: MysqlServer | PostgresServer;
  readonly job: string;
  readonly proxy: ProxyHandle;
  readonly #folder: string;
  readonly #database: string;
  readonly #target: string;
  readonly #writer: RandomWriter;
  readonly #execute: Execute;
  readonly #open: AsyncDisposable[];
  /** Past the proxy, so that it outlives it. */
  readonly #fe: Connection;
  #client: Connection | undefined;
  #orders = 0;
  #traceRead = 0;
  readonly #digests = new Map<string, string>();

  private constructor(
    options: CrashWorldOptions,
    parts: {
      readonly folder: string;
      readonly proxy: ProxyHandle;
      readonly fe: Connection;
      readonly execute: Execute;
      readonly writer: RandomWriter;
      readonly open: AsyncDisposable[];
    },
  ) {
    this.source = options.source;
    this.job = `crash_${options.source.kind}`;
    this.#database = `src_${this.job}`;
    this.#target = `dst_${this.job}`;
    this.#folder = parts.folder;
    this.proxy = parts.proxy;
    this.#fe = parts.fe;
    this.#execute = parts.execute;
    this.#writer = parts.writer;
    this.#open = parts.open;
  }

  static async open(options: CrashWorldOptions): Promise<CrashWorld> {
    const { source, doris, seed } = options;
    const folder = temporaryFolder('crash');
    const open: AsyncDisposable[] = [];
    try {
      writeFileSync(join(folder, 'trace'), '');
      const proxy = await startProxy({
        fe: doris.fe,
        feHttp: doris.feHttp,
        dorisUser: doris.dorisUser,
        dorisPassword: doris.dorisPassword,
        env: {
          NODE_OPTIONS: `--import=${pathToFileURL(HOOK).href}`,
          CRASH_DIST: `${pathToFileURL(DIST).href}/`,
          CRASH_ORDER: join(folder, 'order'),
          CRASH_TRACE: join(folder, 'trace'),
        },
      });
      open.unshift(proxy);
      const fe = await doris.connect();
      open.unshift({ [Symbol.asyncDispose]: () => fe.end() });
      const database = `src_crash_${source.kind}`;
      await clear(source, database);
      await fe.query(`DROP DATABASE IF EXISTS dst_crash_${source.kind}`);
      await fe.query(`CREATE DATABASE dst_crash_${source.kind}`);
      const connection = await writerConnection(source, database);
      open.unshift(connection);
      const dialect = source.kind === 'postgres' ? 'postgres' : 'mysql';
      const writer = new RandomWriter(seed, dialect, LARGE_ROWS);
      for (const statement of writer.schema()) await connection.execute(statement);
      await connection.execute({ sql: 'CREATE TABLE elsewhere (id INT)', values: [] });
      await writer.write(60, connection.execute);
      const { execute } = connection;
      return new CrashWorld(options, { folder, proxy, fe, execute, writer, open });
    } catch (error) {
      for (const part of open) await part[Symbol.asyncDispose]();
      removeFolder(folder);
      throw error;
    }
  }

  /** Kills the process when it passes `point` for the `nth` time from now on. */
  arm(point: string, nth = 1): void {
    this.#orders += 1;
    const order = join(this.#folder, 'order');
    writeFileSync(`${order}.new`, JSON.stringify({ id: this.#orders, point, nth }));
    renameSync(`${order}.new`, order);
  }

  disarm(): void {
    rmSync(join(this.#folder, 'order'), { force: true });
  }

  /** Waits until the hook has killed the process. @returns false when it does not come to that within `ms`. */
  async died(ms: number): Promise<boolean> {
    const deadline = Date.now() + ms;
    while (this.proxy.running) {
      if (Date.now() > deadline) return false;
      await sleep(10);
    }
    this.#hangUp();
    return true;
  }

  /** Starts the process anew. @returns false when it was killed before it served clients. */
  async start(): Promise<boolean> {
    try {
      await this.proxy.start();
      return true;
    } catch (error) {
      if (this.proxy.running) throw error;
      return false;
    }
  }

  async stop(): Promise<void> {
    await this.proxy.stop();
    this.#hangUp();
  }

  /** A statement over the proxy. */
  async query(sql: string): Promise<void> {
    const client = (this.#client ??= await this.proxy.connect());
    // A process that dies under a statement is what this is for; whoever asks sees the rejection.
    client.on('error', () => undefined);
    await client.query(sql);
  }

  /** As {@link query}, for a statement under which the process may die: then nobody learns of it. */
  async try(sql: string): Promise<void> {
    try {
      await this.query(sql);
    } catch (error) {
      this.#hangUp();
      if (this.proxy.running && 'sqlState' in (error as object)) throw error;
    }
  }

  createSql(): string {
    const wish = {
      name: this.job,
      database: this.#database,
      target: this.#target,
      tables: Object.keys(WRITER_TABLES).join(),
      properties: { snapshot_split_size: '60', snapshot_parallelism: '2' },
    };
    return this.source.kind === 'postgres'
      ? createPostgresJob(this.source, wish)
      : createMysqlJob(this.source, wish);
  }

  async row(): Promise<JobRow | undefined> {
    this.#client ??= await this.proxy.connect();
    return await jobRow(this.#client, this.job);
  }

  /** Random transactions at the source. */
  async write(transactions: number): Promise<void> {
    await this.#writer.write(transactions, this.#execute);
  }

  /** A change in a table that the job does not copy: the log grows, and the job has nothing to load. */
  async writeElsewhere(): Promise<void> {
    await this.#execute({ sql: 'INSERT INTO elsewhere VALUES (1)', values: [] });
  }

  async truncateSource(): Promise<void> {
    await this.#execute({ sql: 'TRUNCATE TABLE w_text', values: [] });
  }

  async dropTargets(): Promise<void> {
    for (const table of Object.keys(WRITER_TABLES)) {
      await this.#fe.query(`DROP TABLE IF EXISTS ${this.#target}.${table}`);
    }
  }

  /**
   * The job runs without complaint, nothing of it is in doubt, and every table has the source's rows.
   * @throws what is not so after a minute.
   */
  async settled(): Promise<void> {
    await this.#goingWell();
    for (const [table, { key }] of Object.entries(WRITER_TABLES)) {
      await this.#same(table, key);
    }
    await this.#goingWell();
    await this.#nothingLeft();
    this.#checkTrace();
  }

  /** Nothing was passed that has no name, and no label was sent with two contents. */
  #checkTrace(): void {
    const lines = readFileSync(join(this.#folder, 'trace'), 'utf8').split('\n');
    for (const line of lines.slice(this.#traceRead)) {
      const [what, ...rest] = line.split(' ');
      const point = rest.join(' ');
      if (what === 'pass' && !KNOWN.has(point))
        throw new Error(`transition without a cell: ${point}`);
      if (what !== 'send') continue;
      const [database, label, digest = ''] = rest;
      const name = `${database}.${label}`;
      const other = this.#digests.get(name);
      if (other !== undefined && other !== digest)
        throw new Error(`label ${name} was sent with two contents`);
      this.#digests.set(name, digest);
    }
    this.#traceRead = Math.max(0, lines.length - 1);
  }

  /** What the process did last, for the report of a failure. */
  lastSteps(): string {
    const lines = readFileSync(join(this.#folder, 'trace'), 'utf8').trimEnd().split('\n');
    return lines.slice(-15).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hangUp();
    for (const part of this.#open) await part[Symbol.asyncDispose]();
    removeFolder(this.#folder);
  }

  #hangUp(): void {
    this.#client?.destroy();
    this.#client = undefined;
  }

  async #same(table: string, key: readonly string[]): Promise<void> {
    const comparison = {
      source: `${this.#database}.${table}`,
      target: `${this.#target}.${table}`,
      key,
    };
    const timer = new AbortController();
    const watch = this.#watch(timer.signal);
    try {
      await Promise.race([sameRows(this.source, this.#fe, comparison, WAIT_MS), watch]);
    } finally {
      timer.abort();
      await watch.catch(() => undefined);
    }
  }

  /** Rejects when the process ends or the job is paused: then nobody need wait for rows. */
  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(500, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      if (!this.proxy.running)
        throw new Error(`the process ended:\n${this.proxy.stderr.slice(-2000)}`);
    }
  }

  /** A Postgres server has one slot and one publication, those of the job that lives: a slot that nobody knows of fills its disk. */
  async #nothingLeft(): Promise<void> {
    if (this.source.kind !== 'postgres') return;
    const id = (await this.row())?.['Id'];
    const rows = await this.source.query<{ name: string }>(
      'SELECT slot_name AS name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication',
    );
    const names = rows.map(({ name }) => name).toSorted();
    if (names.join() !== `doris_cdc_${id},doris_pub_${id}`) {
      throw new Error(`job ${id} and at the source: ${names.join()}`);
    }
  }

  async #goingWell(): Promise<void> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const wrong = await this.#wrong();
      if (wrong === undefined) return;
      if (Date.now() > deadline || wrong.startsWith('PAUSED')) throw new Error(`the job: ${wrong}`);
      await sleep(50);
    }
  }

  async #wrong(): Promise<string | undefined> {
    const row = await this.row();
    if (row === undefined) return 'not there';
    if (row['Status'] !== 'RUNNING') return `${row['Status']} ${row['ErrorMsg']}`;
    const metrics = await readMetrics(this.proxy);
    if (jobFigure(metrics, 'snapshot_pending', this.job) > 0) return 'still copying';
    // The stream's own tasks come and go; after the writer has stopped they end.
    const unsettled = jobFigure(metrics, 'unsettled_task_count', this.job);
    return unsettled === 0 ? undefined : `${unsettled} tasks are in doubt`;
  }
}

/** An empty place for the tables; whatever an earlier world left is gone. */
async function clear(source: MysqlServer | PostgresServer, database: string): Promise<void> {
  if (source.kind !== 'postgres') {
    await source.exec(`DROP DATABASE IF EXISTS ${database}; CREATE DATABASE ${database}`);
    return;
  }
  await source.exec(`DROP SCHEMA IF EXISTS ${database} CASCADE; CREATE SCHEMA ${database}`);
  for (const { name } of await source.query<{ name: string }>(
    'SELECT pubname AS name FROM pg_publication',
  )) {
    await source.exec(`DROP PUBLICATION ${name}`);
  }
  await source.exec('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
}
