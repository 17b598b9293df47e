import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Column, type ColumnDefault, sequenceType, type Table } from './catalog.ts';
import { duckType } from './column-type.ts';
import type { Transaction } from './transactions.ts';

export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Runs tasks one after another; a failed one does not stop the next. */
export class Mutex {
  private tail: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.tail.then(task);
    this.tail = result.catch(() => undefined);
    return result;
  }
}

/** The expression that fills a column which a row does not mention, `undefined` if there is none. */
export function defaultSql(column: Column): string | undefined {
  const from: ColumnDefault | undefined =
    column.default ?? (column.nullable ? { kind: 'null' } : undefined);
  if (from === undefined) return undefined;
  const type = duckType(column.type);
  if (from.kind === 'null') return `CAST(NULL AS ${type})`;
  if (from.kind === 'literal') return `CAST(${quoteText(from.text)} AS ${type})`;
  return `CAST(now() AT TIME ZONE 'UTC' AS ${type})`;
}

/**
 * Rows in DuckDB: a table `t<id>` with the columns `c<id>` and, for UNIQUE tables, delete sign, sequence and version as
 * plain columns. Reads use MVCC snapshots, so a load is seen whole or not at all; all writes go through one mutex.
 */
export class Store {
  private readonly instance: DuckDBInstance;
  private readonly writer: DuckDBConnection;
  private readonly mutex = new Mutex();

  private constructor(instance: DuckDBInstance, writer: DuckDBConnection) {
    this.instance = instance;
    this.writer = writer;
  }

  /** In memory without `dataDir`. */
  static async open(dataDir: string | undefined): Promise<Store> {
    if (dataDir !== undefined) mkdirSync(dataDir, { recursive: true });
    const path = dataDir === undefined ? ':memory:' : join(dataDir, 'standin.duckdb');
    const instance = await DuckDBInstance.create(path, {
      threads: '2',
      memory_limit: '2GB',
      preserve_insertion_order: 'true',
    });
    const writer = await instance.connect();
    await writer.run("SET TimeZone='UTC'");
    await writer.run('CREATE TABLE IF NOT EXISTS meta(name VARCHAR PRIMARY KEY, value VARCHAR)');
    await writer.run(
      'CREATE TABLE IF NOT EXISTS labels(id BIGINT, database VARCHAR, label VARCHAR, finish_ms BIGINT)',
    );
    return new Store(instance, writer);
  }

  async connect(): Promise<DuckDBConnection> {
    const connection = await this.instance.connect();
    await connection.run("SET TimeZone='UTC'");
    return connection;
  }

  /** Runs a task that writes, alone, in one transaction of `connection` (the store's own when absent). */
  write<T>(
    task: (connection: DuckDBConnection) => Promise<T>,
    connection: DuckDBConnection = this.writer,
  ): Promise<T> {
    return this.mutex.run(async () => {
      await connection.run('BEGIN');
      try {
        const result = await task(connection);
        await connection.run('COMMIT');
        return result;
      } catch (error) {
        await connection.run('ROLLBACK').catch(() => undefined);
        throw error;
      }
    });
  }

  async readMeta(name: string): Promise<string | undefined> {
    const result = await this.writer.runAndReadAll(
      `SELECT value FROM meta WHERE name = ${quoteText(name)}`,
    );
    const value = result.getRows()[0]?.[0];
    return typeof value === 'string' ? value : undefined;
  }

  async writeMeta(name: string, value: string): Promise<void> {
    await this.write((connection) => putMeta(connection, name, value));
  }

  /** Visible transactions that finished after `sinceMs`, oldest first; older ones are dropped for good. */
  async readLabels(sinceMs: number): Promise<Transaction[]> {
    await this.writer.run(`DELETE FROM labels WHERE finish_ms < ${sinceMs}`);
    const result = await this.writer.runAndReadAll('SELECT * FROM labels ORDER BY finish_ms, id');
    return result.getRows().map(([id, database, label, finish]) => ({
      id: Number(id),
      database: String(database),
      label: String(label),
      status: 'VISIBLE',
      finishTimeMs: Number(finish),
    }));
  }

  /** The newest version in a table, 1 for an empty one. */
  async readVersion(table: Table): Promise<number> {
    if (table.model !== 'UNIQUE') return table.version;
    const result = await this.writer.runAndReadAll(
      `SELECT coalesce(max(__version), 1) FROM ${physicalName(table)}`,
    );
    return Number(result.getRows()[0]?.[0]);
  }

  async close(): Promise<void> {
    await this.mutex.run(async () => {
      await this.writer.run('CHECKPOINT').catch(() => undefined);
      this.writer.closeSync();
      this.instance.closeSync();
    });
  }
}

async function putMeta(connection: DuckDBConnection, name: string, value: string): Promise<void> {
  await connection.run(
    `INSERT OR REPLACE INTO meta VALUES (${quoteText(name)}, ${quoteText(value)})`,
  );
}

/** Keeps a label with the rows that it stands for. */
export async function putLabel(
  connection: DuckDBConnection,
  { database, finishTimeMs = 0, id, label }: Transaction,
): Promise<void> {
  await connection.run(
    `INSERT INTO labels VALUES (${id}, ${quoteText(database)}, ${quoteText(label)}, ${finishTimeMs})`,
  );
}

export function physicalName(table: Table): string {
  return `t${table.id}`;
}

export function createTableSql(table: Table): string {
  const columns = table.columns.map((column) => `c${column.id} ${duckType(column.type)}`);
  if (table.model === 'UNIQUE') columns.push('__delete TINYINT', '__version BIGINT');
  const sequence = sequenceType(table);
  if (sequence !== undefined) columns.push(`__seq ${duckType(sequence)}`);
  return `CREATE TABLE ${physicalName(table)} (${columns.join(', ')})`;
}

/** What a reader sees of a table, as a derived table: rows with a delete sign are hidden (§2.6). */
export function visibleRowsSql(table: Table, hiddenColumns: boolean): string {
  const columns = table.columns.map((column) => `c${column.id} AS ${quoteName(column.name)}`);
  if (table.model === 'DUPLICATE')
    return `(SELECT ${columns.join(', ')} FROM ${physicalName(table)})`;
  if (hiddenColumns) {
    columns.push('__delete AS __DORIS_DELETE_SIGN__', '__version AS __DORIS_VERSION_COL__');
    if (table.sequence !== undefined) columns.push('__seq AS __DORIS_SEQUENCE_COL__');
  }
  const where = hiddenColumns ? '' : ' WHERE __delete = 0';
  return `(SELECT ${columns.join(', ')} FROM ${physicalName(table)}${where})`;
}
