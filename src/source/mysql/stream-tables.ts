import type { TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { type LoggedStatement, readLoggedStatement, type TableName } from './mysql-ddl.ts';
import type { ServerFacts } from './mysql-server.ts';
import type { QueryEvent } from './query-event.ts';
import { createRowCodec, type RowCodec } from './row-codec.ts';
import type { TableMap } from './table-map.ts';

/** A table of the job as the log's rows describe it now. */
export interface MappedTable {
  readonly spec: TableSpec;
  readonly codec: RowCodec;
}

/** The tables of a stream: which rows are theirs, and what a statement means for them. */
export class StreamTables {
  readonly #specs: ReadonlyMap<string, TableSpec>;
  readonly #foldsNames: boolean;
  readonly #logsCascades: boolean;
  readonly #zone: TimeZone;
  /** By the map's identity, which is kept for as long as the server repeats it. `undefined`: not a table of the job. */
  readonly #mapped = new WeakMap<TableMap, MappedTable | 'other'>();
  /** By the id that rows use. */
  readonly #byId = new Map<number, MappedTable | 'other'>();

  constructor(
    tables: readonly TableSpec[],
    server: Pick<ServerFacts, 'foldsNames' | 'logsCascades'>,
    zone: TimeZone,
  ) {
    this.#zone = zone;
    this.#foldsNames = server.foldsNames;
    this.#logsCascades = server.logsCascades;
    this.#specs = new Map(tables.map((table) => [this.#key(table), table]));
  }

  /** @throws ProxyError UNDECODABLE when the log's columns are not those of the table's description. */
  map(map: TableMap): void {
    let table = this.#mapped.get(map);
    if (table === undefined) {
      const spec = this.find({ schema: map.schema, name: map.table });
      table = spec === undefined ? 'other' : { spec, codec: createRowCodec(spec, map, this.#zone) };
      this.#mapped.set(map, table);
    }
    this.#byId.set(map.tableId, table);
  }

  /** The server numbers its tables anew. */
  forgetIds(): void {
    this.#byId.clear();
  }

  /** Whose rows those of table id `id` are; undefined when no table map said so. */
  rowsOf(id: number): MappedTable | 'other' | undefined {
    return this.#byId.get(id);
  }

  find(name: TableName): TableSpec | undefined {
    return this.#specs.get(this.#key(name));
  }

  /**
   * What a statement means for the job: nothing, or a table that is to be emptied.
   *
   * @throws ProxyError SOURCE_DDL, UNDECODABLE when the job cannot go past it.
   */
  judge(query: QueryEvent): TableSpec | undefined {
    const statement = readLoggedStatement(query.sql, query.schema);
    if (statement.kind === 'truncate') return this.find(statement.table);
    if (statement.kind === 'drop-database') {
      for (const table of this.#specs.values()) {
        if (this.#fold(table.schema) === this.#fold(statement.schema)) {
          throw stopped('DROP DATABASE', table, query.sql);
        }
      }
    }
    if (statement.kind === 'keys') this.#judgeKeys(statement, query.sql);
    if (statement.kind === 'change' || statement.kind === 'text') {
      this.#refuse(statement, query.sql);
    }
    return undefined;
  }

  #judgeKeys(statement: LoggedStatement & { kind: 'keys' }, sql: string): void {
    const table = this.find(statement.table);
    if (table === undefined) return;
    if (statement.cascades && !this.#logsCascades) throw cascades(table, sql);
    // Without the index that stands for a primary key, rows could be there twice that the copy takes for one.
    const own = table.keyIndex?.toLowerCase();
    if (statement.dropped.some((name) => name.toLowerCase() === own)) {
      throw stopped('A change of the key', table, sql);
    }
  }

  #refuse(statement: LoggedStatement & { kind: 'change' | 'text' }, sql: string): void {
    const names = statement.kind === 'change' ? statement.tables : statement.names;
    const table = names.map((name) => this.find(name)).find((spec) => spec !== undefined);
    if (table === undefined) return;
    if (statement.kind === 'change') throw stopped(statement.what, table, sql);
    throw new ProxyError(
      'UNDECODABLE',
      `a change of table ${tableId(table)} was logged as a statement, not as rows: ${excerpt(sql)}. ` +
        `Set binlog_format=ROW in every session that writes, and create the job anew`,
    );
  }

  #key(table: Pick<TableSpec, 'schema' | 'name'>): string {
    return `${this.#fold(table.schema)}\0${this.#fold(table.name)}`;
  }

  #fold(name: string): string {
    return this.#foldsNames ? name.toLowerCase() : name;
  }
}

function stopped(what: string, table: TableSpec, sql: string): ProxyError {
  return new ProxyError(
    'SOURCE_DDL',
    `${what} on table ${tableId(table)} cannot be carried over: ${excerpt(sql)}. ` +
      `Drop the job, change or drop the Doris table ${table.target} accordingly, and create the job anew`,
  );
}

function cascades(table: TableSpec, sql: string): ProxyError {
  return new ProxyError(
    'SOURCE_DDL',
    `A foreign key of table ${tableId(table)} changes its rows by CASCADE or SET NULL, which this server does not log: ${excerpt(sql)}. ` +
      'Drop the job, take the rule away at the source, and create the job anew, or without the table',
  );
}

function excerpt(sql: string): string {
  const line = sql.replaceAll(/\s+/g, ' ').trim();
  return line.length <= 200 ? line : `${line.slice(0, 200)}…`;
}
