import type { ColumnType } from './column-type.ts';
import { ddlError, refusal } from './sql-error.ts';

export type ColumnDefault =
  | { readonly kind: 'literal'; readonly text: string }
  /** `CURRENT_TIMESTAMP[(p)]` or `CURRENT_DATE`. */
  | { readonly kind: 'now' }
  | { readonly kind: 'null' };

export interface Column {
  /** Names the column in DuckDB, so that a rename there is none. */
  readonly id: number;
  name: string;
  type: ColumnType;
  nullable: boolean;
  readonly isKey: boolean;
  readonly default?: ColumnDefault;
  comment: string;
}

/** Where the sequence value of a row comes from (doris-target.md §2.3). */
export type Sequence =
  | { readonly kind: 'column'; readonly columnId: number }
  | { readonly kind: 'type'; readonly type: ColumnType };

export interface AlterJob {
  readonly id: number;
  readonly createTimeMs: number;
  finishTimeMs?: number;
  state: 'PENDING' | 'RUNNING' | 'FINISHED' | 'CANCELLED';
  message: string;
}

export interface Table {
  readonly id: number;
  name: string;
  readonly model: 'UNIQUE' | 'DUPLICATE';
  /** Key columns first, in key order. */
  columns: Column[];
  readonly comment: string;
  readonly buckets: { readonly columnIds: readonly number[]; readonly count: number | 'AUTO' };
  readonly properties: Readonly<Record<string, string>>;
  readonly sequence?: Sequence;
  readonly createTimeMs: number;
  /** Grows with every committed load; decides which of two rows of a key is the newer. */
  version: number;
  /** Each one has put a new partition in the place of the old. */
  truncations?: number;
  /** Newest last. */
  readonly alterJobs: AlterJob[];
}

export interface Database {
  readonly name: string;
  readonly tables: Map<string, Table>;
}

export const DELETE_SIGN = '__DORIS_DELETE_SIGN__';
export const SEQUENCE_COLUMN = '__DORIS_SEQUENCE_COL__';

/** Databases that Doris has from the start; nobody writes to them. */
export const SYSTEM_DATABASES: readonly string[] = [
  '__internal_schema',
  'information_schema',
  'mysql',
];

/** Type of the sequence value, undefined for a table without one. */
export function sequenceType(table: Table): ColumnType | undefined {
  const { sequence } = table;
  if (sequence?.kind !== 'column') return sequence?.type;
  return table.columns.find((column) => column.id === sequence.columnId)?.type;
}

/** Column names are case-insensitive (§3.5). */
export function findColumn(table: Table, name: string): Column | undefined {
  const lower = name.toLowerCase();
  return table.columns.find((column) => column.name.toLowerCase() === lower);
}

interface StoredCatalog {
  readonly nextId: number;
  readonly databases: readonly { readonly name: string; readonly tables: readonly Table[] }[];
}

/** Background changes end with the process. */
function cancelUnfinished(jobs: readonly AlterJob[]): void {
  for (const job of jobs) {
    if (job.state !== 'PENDING' && job.state !== 'RUNNING') continue;
    job.state = 'CANCELLED';
    job.message = 'the FE was restarted';
  }
}

/** Names to tables. Case-sensitive, which DuckDB's own names are not. */
export class Catalog {
  readonly databases = new Map<string, Database>();
  private lastId: number;

  constructor(stored: string | undefined) {
    const from = stored === undefined ? undefined : (JSON.parse(stored) as StoredCatalog);
    // A statement that was cut short by a kill may have used ids that were not stored.
    this.lastId = (from?.nextId ?? 10_000) + 1000;
    for (const { name, tables } of from?.databases ?? []) {
      for (const { alterJobs } of tables) cancelUnfinished(alterJobs);
      this.databases.set(name, {
        name,
        tables: new Map(tables.map((table) => [table.name, table])),
      });
    }
  }

  nextId(): number {
    return ++this.lastId;
  }

  stored(): string {
    const databases = [...this.databases.values()].map(({ name, tables }) => ({
      name,
      tables: [...tables.values()],
    }));
    return JSON.stringify({ nextId: this.lastId, databases } satisfies StoredCatalog);
  }

  has(name: string): boolean {
    return this.databases.has(name) || SYSTEM_DATABASES.includes(name);
  }

  database(name: string): Database {
    const database = this.databases.get(name);
    if (database !== undefined) return database;
    if (SYSTEM_DATABASES.includes(name)) throw refusal(`database ${name} is not writable`);
    throw ddlError(1049, `Unknown database '${name}'`);
  }

  /** @throws SqlError 1049 for the database, 1105 for the table, as a query gets it (§3.6). */
  table(database: string, name: string): Table {
    const table = this.databases.get(database)?.tables.get(name);
    if (table !== undefined) return table;
    if (!this.has(database)) throw refusal(`Database [${database}] does not exist.`);
    throw refusal(`Table [${name}] does not exist in database [${database}].`);
  }
}
