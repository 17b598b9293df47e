import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import type { MysqlServer } from './mysql-server.ts';
import type { PostgresServer } from './postgres-server.ts';

export interface Comparison {
  /** Table of the source, qualified: `test.user_info`. */
  readonly source: string;
  /** Table in Doris, qualified. */
  readonly target: string;
  readonly key: readonly string[];
  /**
   * SELECT list of the source where `*` is not what Doris should show, e.g. `id, HEX(b) AS b, f + 0e0 AS f`.
   * The columns are compared by name.
   */
  readonly columns?: string;
  /** The same for Doris. */
  readonly targetColumns?: string;
}

interface Rows {
  readonly columns: readonly string[];
  /** By the key's values. Every value is the server's own text, null for NULL. */
  readonly byKey: ReadonlyMap<string, readonly (string | null)[]>;
}

const DIFFERENCES_MAX = 10;

/**
 * What differs between a source table and its Doris table, row by row and value by value, as the servers print the values:
 * no driver comes between. Empty: they are equal.
 */
export async function differences(
  source: MysqlServer | PostgresServer,
  doris: Connection,
  table: Comparison,
): Promise<string[]> {
  const [wanted, got] = await Promise.all([
    sourceRows(source, table),
    textRows(doris, table.target, table.targetColumns, table.key),
  ]);
  if (wanted.columns.join() !== got.columns.join()) {
    return [`columns: source has ${wanted.columns.join()}, Doris has ${got.columns.join()}`];
  }
  const found: string[] = [];
  for (const [key, row] of wanted.byKey) {
    const other = got.byKey.get(key);
    if (other === undefined) found.push(`${key} is missing in Doris`);
    else if (row.some((value, i) => value !== other[i])) {
      const values = wanted.columns.flatMap((column, i) =>
        row[i] === other[i] ? [] : [`${column}: source ${print(row[i])}, Doris ${print(other[i])}`],
      );
      found.push(`${key} differs in ${values.join('; ')}`);
    }
  }
  for (const key of got.byKey.keys()) {
    if (!wanted.byKey.has(key)) found.push(`${key} is in Doris only`);
  }
  if (found.length <= DIFFERENCES_MAX) return found;
  const more = `and ${found.length - DIFFERENCES_MAX} more (source ${wanted.byKey.size} rows, Doris ${got.byKey.size})`;
  return [...found.slice(0, DIFFERENCES_MAX), more];
}

/**
 * Waits until both tables hold the same rows.
 * @throws after `timeoutMs` with what still differs.
 */
export async function sameRows(
  source: MysqlServer | PostgresServer,
  doris: Connection,
  table: Comparison,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    // Before the job has made it, the target table is a reason like any other to go on waiting.
    const found = await differences(source, doris, table).catch((error: unknown) => [
      String(error),
    ]);
    if (found.length === 0) return;
    if (Date.now() > deadline) {
      throw new Error(
        `${table.source} and ${table.target} differ after ${timeoutMs} ms:\n${found.join('\n')}`,
      );
    }
    await sleep(200);
  }
}

async function sourceRows(source: MysqlServer | PostgresServer, table: Comparison): Promise<Rows> {
  if (source.kind !== 'postgres') {
    const connection = await source.connect();
    try {
      return await textRows(connection, table.source, table.columns, table.key);
    } finally {
      connection.destroy();
    }
  }
  const client = await source.connect();
  try {
    const result = await client.query<(string | null)[]>({
      text: `SELECT ${table.columns ?? '*'} FROM ${table.source}`,
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text },
    });
    return collect(
      result.fields.map((field) => field.name),
      result.rows,
      table.key,
    );
  } finally {
    await client.end();
  }
}

async function textRows(
  connection: Connection,
  table: string,
  columns: string | undefined,
  key: readonly string[],
): Promise<Rows> {
  const [rows, fields] = await connection.query({
    sql: `SELECT ${columns ?? '*'} FROM ${table}`,
    rowsAsArray: true,
    // The bytes as the server sent them, so that neither side's driver makes them equal or unequal.
    typeCast: (field) => field.buffer()?.toString('utf8') ?? null,
  });
  return collect(
    fields.map((field) => field.name),
    rows as (string | null)[][],
    key,
  );
}

function collect(
  columns: readonly string[],
  rows: readonly (string | null)[][],
  key: readonly string[],
): Rows {
  const order = columns
    .map((_, i) => i)
    .toSorted((a, b) => ((columns[a] ?? '') < (columns[b] ?? '') ? -1 : 1));
  const keyAt = key.map((column) => columns.indexOf(column));
  if (keyAt.includes(-1)) throw new Error(`no key column ${key.join()} among ${columns.join()}`);
  const byKey = new Map<string, (string | null)[]>();
  for (const row of rows) {
    const name = keyAt.map((i) => print(row[i])).join(',');
    if (byKey.has(name)) throw new Error(`key ${name} is there twice`);
    byKey.set(
      name,
      order.map((i) => row[i] ?? null),
    );
  }
  return { columns: order.map((i) => columns[i] ?? ''), byKey };
}

const print = (value: string | null | undefined): string => JSON.stringify(value ?? null);
