import { addAbortListener } from 'node:events';
import { createPool, type Pool, type PoolConnection, type RowDataPacket } from 'mysql2/promise';
import { ProxyError } from '../model/error.ts';
import type { HostPort } from './http-target.ts';
import { identifier, truncateTable, type TargetColumn, type TargetTable } from './table-ddl.ts';

/** The service account at the query ports of the FEs. */
export interface FrontendOptions {
  /** Tried in this order, the one that answered last first. */
  readonly frontends: readonly HostPort[];
  readonly user: string;
  readonly password: string;
}

/** A row by column name; all values as Doris prints them. */
export type TextRow = Readonly<Record<string, string | null>>;

const CONNECT_MS = 10_000;
const QUERY_MS = 30_000;
/** Doris creates the tablets of a table before it answers. */
const DDL_MS = 300_000;
/** TRUNCATE makes tablets too, but a job that waits for it is to say so within a minute. */
const TRUNCATE_MS = 40_000;

/** Error numbers of refused access (doris-target.md §3.6). */
const ACCESS = new Set([1044, 1045, 1142, 1224, 1225, 1227]);
const TOO_MANY_CONNECTIONS = new Set([1040, 1203]);

/**
 * SQL at the FEs: look-ups and DDL under the service account. Text protocol only: a prepared statement
 * would live at one FE, and every statement here is sent once.
 */
export class FrontendClient implements AsyncDisposable {
  readonly #pools: readonly { readonly at: string; readonly pool: Pool }[];
  #preferred = 0;

  constructor(options: FrontendOptions) {
    this.#pools = options.frontends.map((frontend) => ({
      at: `${frontend.host}:${frontend.port}`,
      pool: openPool(frontend, options),
    }));
  }

  /**
   * Rows of a statement that changes nothing: repeated at the next FE when a connection breaks.
   * @throws ProxyError TARGET_UNREACHABLE, TARGET_BUSY, TARGET_ACCESS; TARGET_TABLE with Doris' text for any other refusal.
   */
  async query(sql: string, signal?: AbortSignal): Promise<readonly TextRow[]> {
    return await this.#run(sql, QUERY_MS, true, signal);
  }

  /**
   * Runs a DDL statement. Not repeated once it was sent: the caller knows whether it may be.
   * @throws ProxyError as {@link query}
   */
  async execute(ddl: string, signal?: AbortSignal): Promise<void> {
    await this.#run(ddl, DDL_MS, false, signal);
  }

  /**
   * Empties a table. Sent once.
   * @throws ProxyError as {@link query}; after TARGET_UNREACHABLE the statement may still run, see {@link emptying}.
   */
  async truncate(database: string, table: string): Promise<void> {
    const sql = truncateTable(database, table);
    try {
      await this.#run(sql, TRUNCATE_MS, false, undefined);
    } catch (cause) {
      if (!(cause instanceof ProxyError) || cause.code !== 'TARGET_UNREACHABLE') throw cause;
      throw new ProxyError(cause.code, `${sql}: ${cause.message}`, { cause });
    }
  }

  /**
   * What is to be seen of a {@link truncate}: the ids of the table's partitions, `''` where Doris does not show them, and whether an FE
   * lists the statement as running, or may run it and does not answer.
   *
   * @throws ProxyError TARGET_UNREACHABLE, TARGET_BUSY
   */
  async emptying(
    database: string,
    table: string,
  ): Promise<{ readonly partitions: string; readonly running: boolean }> {
    const name = `${identifier(database)}.${identifier(table)}`;
    const rows = await this.query(`SHOW PARTITIONS FROM ${name}`).catch(noneIfRefused);
    const ids = rows.map((row) => valueOf(row, 'PartitionId')).toSorted();
    const sql = truncateTable(database, table);
    return { partitions: ids.join(), running: await this.#isRunning(sql) };
  }

  /** A process list has the connections of its FE alone. */
  async #isRunning(sql: string): Promise<boolean> {
    const lists = this.#pools.map(async ({ pool }): Promise<readonly TextRow[]> => {
      try {
        return await ask(await pool.getConnection(), 'SHOW FULL PROCESSLIST', QUERY_MS, undefined);
      } catch (error) {
        // Nobody listens there any more: what ran there ended with it. An FE that is only out of sight may go on.
        return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? [] : [{ Info: sql }];
      }
    });
    const rows = (await Promise.all(lists)).flat();
    // An idle connection shows its last statement (Doris: `ConnectContext.ThreadInfo`).
    return rows.some(
      (row) => valueOf(row, 'Command') !== 'Sleep' && valueOf(row, 'Info').startsWith(sql),
    );
  }

  async databaseExists(database: string, signal?: AbortSignal): Promise<boolean> {
    const rows = await this.query(
      `SELECT SCHEMA_NAME FROM information_schema.schemata WHERE SCHEMA_NAME = ${literal(database)}`,
      signal,
    );
    // Compared again: which names are equal to Doris depends on a setting.
    return rows.some((row) => valueOf(row, 'SCHEMA_NAME') === database);
  }

  async tableExists(database: string, table: string, signal?: AbortSignal): Promise<boolean> {
    const rows = await this.query(
      `SELECT TABLE_NAME FROM information_schema.tables WHERE TABLE_SCHEMA = ${literal(database)} AND TABLE_NAME = ${literal(table)}`,
      signal,
    );
    return rows.length > 0;
  }

  /** The table as it is; undefined when there is none. @throws ProxyError as {@link query} */
  async describeTable(
    database: string,
    table: string,
    signal?: AbortSignal,
  ): Promise<TargetTable | undefined> {
    if (!(await this.tableExists(database, table, signal))) return undefined;
    const name = `${identifier(database)}.${identifier(table)}`;
    const columns = await this.query(`SHOW FULL COLUMNS FROM ${name}`, signal);
    const created = await this.query(`SHOW CREATE TABLE ${name}`, signal);
    const ddl = created[0] === undefined ? '' : valueOf(created[0], 'Create Table');
    return { ...parseKey(ddl), ...parseSequence(ddl), columns: columns.map(columnOf) };
  }

  /**
   * Names of Doris' own insert jobs that the account may see; none where Doris has no such jobs.
   * @throws ProxyError TARGET_UNREACHABLE, TARGET_BUSY
   */
  async jobNames(): Promise<readonly string[]> {
    const sql = 'SELECT Name FROM jobs("type"="insert")';
    const rows = await this.query(sql).catch(noneIfRefused);
    return rows.map((row) => valueOf(row, 'Name'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#pools.map(({ pool }) => pool.end()));
  }

  async #run(
    sql: string,
    timeoutMs: number,
    repeatable: boolean,
    signal: AbortSignal | undefined,
  ): Promise<readonly TextRow[]> {
    let failure = new ProxyError('TARGET_UNREACHABLE', 'no FE is configured');
    const first = this.#preferred;
    for (let i = 0; i < this.#pools.length; i++) {
      signal?.throwIfAborted();
      this.#preferred = (first + i) % this.#pools.length;
      const { at, pool } = this.#pools[this.#preferred]!;
      let connection: PoolConnection | undefined;
      try {
        connection = await pool.getConnection();
        return await ask(connection, sql, timeoutMs, signal);
      } catch (error) {
        signal?.throwIfAborted();
        failure = translate(error, at, connection === undefined ? 'login' : sql);
        const away = failure.code === 'TARGET_UNREACHABLE';
        if (!away || (connection !== undefined && !repeatable)) throw failure;
      }
    }
    throw failure;
  }
}

function openPool({ host, port }: HostPort, { user, password }: FrontendOptions): Pool {
  const pool = createPool({
    host,
    port,
    user,
    password,
    connectTimeout: CONNECT_MS,
    connectionLimit: 4,
    maxIdle: 1,
    idleTimeout: 60_000,
    // STRING and JSON columns are labelled binary (doris-target.md §4.4), but Doris has no other text than UTF-8.
    typeCast: (field) => field.string('utf8'),
  });
  // In front of the first statement: what we escape in literals is not to depend on the cluster's NO_BACKSLASH_ESCAPES.
  pool.pool.on('connection', (connection) => {
    connection.query("SET SESSION sql_mode = ''", (error) => {
      if (error !== null) connection.destroy();
    });
  });
  return pool;
}

/** Runs one statement and gives the connection back, or ends it when nobody knows any more what it is doing. */
async function ask(
  connection: PoolConnection,
  sql: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<readonly TextRow[]> {
  try {
    const asked = connection.query<RowDataPacket[]>({ sql, timeout: timeoutMs });
    const [rows] = await orAbort(asked, signal);
    connection.release();
    return Array.isArray(rows) ? rows : [];
  } catch (error) {
    if (isRefusal(error)) connection.release();
    else connection.destroy();
    throw error;
  }
}

/** `asked`, unless `signal` aborts first: a statement whose connection is destroyed would never settle. */
async function orAbort<T>(asked: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await asked;
  return await new Promise<T>((resolve, reject) => {
    const listener = addAbortListener(signal, () => reject(signal.reason as Error));
    void asked.then(resolve, reject).finally(() => listener[Symbol.dispose]());
  });
}

/** Nothing, where Doris answers but does not say. */
function noneIfRefused(error: unknown): readonly TextRow[] {
  if (error instanceof ProxyError && /^TARGET_(TABLE|ACCESS)$/.test(error.code)) return [];
  throw error;
}

/** An answer of the server, as opposed to a failure of the connection. */
function isRefusal(error: unknown): error is Error & { errno: number; sqlMessage: string } {
  return error instanceof Error && 'sqlMessage' in error && 'sqlState' in error;
}

function translate(cause: unknown, at: string, sql: string): ProxyError {
  if (!isRefusal(cause)) {
    const words = cause instanceof Error ? cause.message || ('code' in cause && cause.code) : cause;
    return new ProxyError('TARGET_UNREACHABLE', `FE ${at}: ${String(words)}`, { cause });
  }
  const { errno, sqlMessage } = cause;
  if (ACCESS.has(errno) || /Access denied|command denied|denied;/i.test(sqlMessage)) {
    return new ProxyError('TARGET_ACCESS', `FE ${at}: ${sqlMessage}`, { cause });
  }
  if (TOO_MANY_CONNECTIONS.has(errno)) {
    return new ProxyError('TARGET_BUSY', `FE ${at}: ${sqlMessage}`, { cause });
  }
  const statement = sql.split('\n', 1)[0]!.replace(/ \($/, '');
  return new ProxyError('TARGET_TABLE', `${statement}: ${sqlMessage}`, { cause });
}

/** Key model and key columns out of `SHOW CREATE TABLE`: the one place where every version names them. */
function parseKey(ddl: string): Pick<TargetTable, 'keyModel' | 'key'> {
  const clauses = ddl.slice(Math.max(ddl.lastIndexOf(') ENGINE='), 0));
  const match = /\b(UNIQUE|DUPLICATE|AGGREGATE) KEY\s*\(((?:`(?:[^`]|``)*`|[^`)])*)\)/i.exec(
    clauses,
  );
  if (match === null) return { keyModel: undefined, key: [] };
  return {
    keyModel: match[1]!.toUpperCase() as TargetTable['keyModel'],
    key: [...match[2]!.matchAll(/`((?:[^`]|``)*)`|([^\s,`]+)/g)].map(
      ([, name, bare]) => name?.replaceAll('``', '`') ?? bare!,
    ),
  };
}

/** The sequence column, out of the table's properties. */
function parseSequence(ddl: string): Pick<TargetTable, 'sequence'> {
  const properties = ddl.slice(Math.max(ddl.lastIndexOf('PROPERTIES ('), 0));
  const match = /"function_column\.sequence_(col|type)"\s*=\s*"([^"]*)"/i.exec(properties);
  if (match === null) return {};
  const [, kind, value = ''] = match;
  return { sequence: kind === 'col' ? { column: value } : { type: value } };
}

function columnOf(row: TextRow): TargetColumn {
  const defaultValue = row['Default'];
  return {
    name: valueOf(row, 'Field'),
    type: valueOf(row, 'Type'),
    nullable: valueOf(row, 'Null').toUpperCase() === 'YES',
    defaultValue: defaultValue === null ? undefined : defaultValue,
    comment: valueOf(row, 'Comment'),
  };
}

/** '' where Doris has NULL or, in an older version, no such column. */
function valueOf(row: TextRow, column: string): string {
  return row[column] ?? '';
}

function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
