import type { MysqlServer } from './mysql-server.ts';
import type { PostgresServer } from './postgres-server.ts';

export interface Statement {
  /** With `?` for each value; the caller's driver may want another mark. */
  readonly sql: string;
  readonly values: readonly Value[];
}

type Value = string | number | null;
type Dialect = 'mysql' | 'postgres';
/** Runs one statement on the one connection that a writer's transactions use. */
export type Execute = (statement: Statement) => Promise<void>;

/**
 * Three tables with one key each that a change log makes hard: a number, two columns of which one is text,
 * and a text alone. Keys come from a small range, so rows are changed, moved and deleted again and again.
 */
const TABLES = ['w_number', 'w_pair', 'w_text'] as const;
type Table = (typeof TABLES)[number];

export const WRITER_TABLES: Readonly<Record<Table, { readonly key: readonly string[] }>> = {
  w_number: { key: ['id'] },
  w_pair: { key: ['a', 'b'] },
  w_text: { key: ['name'] },
};

const KEYS = 400;
const TEXTS = [
  '',
  ' ',
  'plain',
  'it\'s "quoted"',
  'back\\slash\\n',
  'tab\tand\nline\r\n',
  'ünïcödé',
  '日本語',
  '🦆🦆',
  '{"a":[1,null]}',
  '\\N',
  'NULL',
  '\u0001\u007f',
  'x'.repeat(300),
];

/**
 * Transactions that are the same for the same seed: inserts, updates, changes of a key, deletes, savepoints that are
 * rolled back, whole transactions that are, several tables in one, and now and then a large one.
 * It need not know which rows exist: every statement is right for any content.
 */
export class RandomWriter {
  readonly #dialect: Dialect;
  readonly #largeRows: number;
  #state: number;

  /** `largeRows`: how many rows a large transaction writes at least. */
  constructor(seed: number, dialect: Dialect, largeRows = 3000) {
    this.#state = seed >>> 0;
    this.#dialect = dialect;
    this.#largeRows = largeRows;
  }

  /** The tables, in the connection's current database or schema. */
  schema(): Statement[] {
    // MariaDB of Debian 12 has latin1 by default; Postgres compares text by bytes anyway.
    const charset = this.#dialect === 'mysql' ? ' CHARACTER SET utf8mb4 COLLATE utf8mb4_bin' : '';
    const text = `VARCHAR(100)${charset}`;
    const columns = `v TEXT${charset}, n BIGINT, d DECIMAL(20,4), f DOUBLE PRECISION, ts TIMESTAMP(6) NULL`;
    return [
      { sql: `CREATE TABLE w_number (id INT PRIMARY KEY, ${columns})`, values: [] },
      { sql: `CREATE TABLE w_pair (a INT, b ${text}, ${columns}, PRIMARY KEY (a, b))`, values: [] },
      { sql: `CREATE TABLE w_text (name ${text} PRIMARY KEY, ${columns})`, values: [] },
    ];
  }

  /** The next transaction, its BEGIN and its COMMIT or ROLLBACK included. */
  transaction(): Statement[] {
    const statements = [plain('BEGIN'), ...this.#body()];
    return [...statements, plain(this.#chance(0.1) ? 'ROLLBACK' : 'COMMIT')];
  }

  /** Writes `count` transactions, in order. After an error of one (a deadlock with another writer) it is rolled back. */
  async write(count: number, execute: Execute): Promise<void> {
    for (let i = 0; i < count; i++) {
      try {
        for (const statement of this.transaction()) await execute(statement);
      } catch (error) {
        if (!isConflict(error)) throw error;
        await execute(plain('ROLLBACK'));
      }
    }
  }

  #body(): Statement[] {
    if (this.#chance(0.02)) return this.#large();
    const statements: Statement[] = [];
    const steps = 1 + this.#below(8);
    for (let step = 0; step < steps; step++) {
      if (this.#chance(0.1)) {
        statements.push(
          plain('SAVEPOINT s'),
          ...this.#changes(3),
          plain('ROLLBACK TO SAVEPOINT s'),
        );
      } else {
        statements.push(this.#change(this.#pick(TABLES)));
      }
    }
    return statements;
  }

  #changes(count: number): Statement[] {
    return Array.from({ length: count }, () => this.#change(this.#pick(TABLES)));
  }

  /** More rows than one batch is likely to hold, over all tables, and then changes to some of them. */
  #large(): Statement[] {
    const statements: Statement[] = [];
    for (let rows = 0; rows < this.#largeRows;) {
      const table = this.#pick(TABLES);
      const insert = this.#insert(table, 200);
      statements.push(insert);
      rows += 200;
    }
    return [...statements, ...this.#changes(20)];
  }

  #change(table: Table): Statement {
    const kind = this.#below(10);
    if (kind < 4) return this.#insert(table, 1 + this.#below(5));
    if (kind < 7) return this.#update(table);
    if (kind < 8) return this.#moveKey(table);
    return this.#delete(table);
  }

  /** Rows that exist already are left alone, which leaves no trace in the log. */
  #insert(table: Table, rows: number): Statement {
    const { key } = WRITER_TABLES[table];
    const columns = [...key, 'v', 'n', 'd', 'f', 'ts'];
    const tuple = `(${columns.map(() => '?').join(', ')})`;
    const tuples = Array.from({ length: rows }, () => tuple).join(', ');
    const values = Array.from({ length: rows }, () => [...this.#key(table), ...this.#row()]).flat();
    const into = `${table} (${columns.join(', ')}) VALUES ${tuples}`;
    return this.#dialect === 'mysql'
      ? { sql: `INSERT IGNORE INTO ${into}`, values }
      : { sql: `INSERT INTO ${into} ON CONFLICT DO NOTHING`, values };
  }

  #update(table: Table): Statement {
    const key = this.#key(table);
    const [v, n, d, f, ts] = this.#row();
    // One row, or the neighbourhood of a number with an expression over what is there.
    if (table === 'w_number' && this.#chance(0.3)) {
      const from = key[0] as number;
      return {
        sql: 'UPDATE w_number SET n = COALESCE(n, 0) % 1000 + 1, v = ? WHERE id BETWEEN ? AND ?',
        values: [v ?? null, from, from + 20],
      };
    }
    return {
      sql: `UPDATE ${table} SET v = ?, n = ?, d = ?, f = ?, ts = ? WHERE ${where(table)}`,
      values: [v ?? null, n ?? null, d ?? null, f ?? null, ts ?? null, ...key],
    };
  }

  /** Gives a row a key that no other row has. */
  #moveKey(table: Table): Statement {
    const { key } = WRITER_TABLES[table];
    const [from, to] = [this.#key(table), this.#key(table)];
    const set = key.map((column) => `${column} = ?`).join(', ');
    if (this.#dialect === 'mysql') {
      return {
        sql: `UPDATE IGNORE ${table} SET ${set} WHERE ${where(table)}`,
        values: [...to, ...from],
      };
    }
    const free = `NOT EXISTS (SELECT 1 FROM ${table} WHERE ${where(table)})`;
    return {
      sql: `UPDATE ${table} SET ${set} WHERE ${where(table)} AND ${free}`,
      values: [...to, ...from, ...to],
    };
  }

  #delete(table: Table): Statement {
    const key = this.#key(table);
    if (table !== 'w_text' && this.#chance(0.1)) {
      const column = table === 'w_number' ? 'id' : 'a';
      const from = key[0] as number;
      return {
        sql: `DELETE FROM ${table} WHERE ${column} BETWEEN ? AND ?`,
        values: [from, from + 5],
      };
    }
    return { sql: `DELETE FROM ${table} WHERE ${where(table)}`, values: key };
  }

  #key(table: Table): Value[] {
    // Mostly from a small range, so that rows meet again.
    const n = this.#chance(0.9) ? this.#below(KEYS) : KEYS + this.#below(100_000);
    if (table === 'w_number') return [n];
    const text = `${['k', 'K', 'é', '键', "q'"][n % 5]}-${n}`;
    return table === 'w_pair' ? [n % 20, text] : [text];
  }

  #row(): Value[] {
    return [
      this.#maybe(() => this.#pick(TEXTS)),
      this.#maybe(() => this.#below(2 ** 31) - 2 ** 30),
      this.#maybe(() => `${this.#below(1e9) - 5e8}.${String(this.#below(1e4)).padStart(4, '0')}`),
      this.#maybe(() => (this.#below(1e6) - 5e5) / 64),
      // Microseconds that end in no zero: Postgres leaves one out that Doris prints.
      this.#maybe(
        () =>
          `2026-0${1 + this.#below(9)}-1${this.#below(9)} 0${this.#below(9)}:30:15.${this.#below(90_000) * 10 + 100_001 + this.#below(9)}`,
      ),
    ];
  }

  #maybe(make: () => Value): Value {
    return this.#chance(0.15) ? null : make();
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#below(items.length)] as T;
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  /** mulberry32 (public domain): small, and good enough to be unlike itself for any seed. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** A connection of its own to `server` in which a {@link RandomWriter} writes into `database` (Postgres: that schema). */
export async function writerConnection(
  server: MysqlServer | PostgresServer,
  database: string,
): Promise<{ execute: Execute } & AsyncDisposable> {
  if (server.kind === 'postgres') {
    const client = await server.connect({ options: `-c search_path=${database}` });
    return {
      execute: async ({ sql, values }) => {
        let index = 0;
        await client.query(
          sql.replaceAll('?', () => `$${++index}`),
          [...values],
        );
      },
      [Symbol.asyncDispose]: () => client.end(),
    };
  }
  const connection = await server.connect({ database });
  return {
    execute: async ({ sql, values }) => void (await connection.query(sql, [...values])),
    [Symbol.asyncDispose]: async () => connection.destroy(),
  };
}

const plain = (sql: string): Statement => ({ sql, values: [] });

const where = (table: Table): string =>
  WRITER_TABLES[table].key.map((column) => `${column} = ?`).join(' AND ');

/** Deadlock or lock timeout: MySQL's error numbers, Postgres' SQLSTATEs. */
function isConflict(error: unknown): boolean {
  const { errno, code } = error as { errno?: number; code?: string };
  return (
    errno === 1213 || errno === 1205 || code === '40P01' || code === '55P03' || code === '40001'
  );
}
