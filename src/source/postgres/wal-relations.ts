import { ProxyError } from '../../model/error.ts';
import { tableId, type ColumnSpec, type TableSpec } from '../../model/table.ts';
import { postgresToDoris } from '../../typemap/postgres-to-doris.ts';
import type { Relation, RelationColumn } from './pgoutput.ts';
import type { RowEncoder } from './row-encoder.ts';
import type { SourceTable } from './table-catalog.ts';
import { WalTable } from './wal-rows.ts';

/** A table of the job as it is today. */
export interface KnownTable {
  readonly encoder: RowEncoder;
  readonly source: SourceTable;
}

/** `format_type` of the server. */
export type TypeNamer = (oid: number, modifier: number) => Promise<string>;

/**
 * Which relation of the log is which table. The server describes a relation before its first row and again after each
 * DDL on it, so this is where a change of a table is seen: everything but the columns that the job knows is a
 * named stop (following DDL is not this part's business), and nothing is matched by position.
 */
export class WalRelations {
  readonly #tables: readonly KnownTable[];
  /** The publication is ours: it holds the job's tables and no others. */
  readonly #own: boolean;
  readonly #typeName: TypeNamer;
  readonly #found = new Map<number, WalTable>();
  /** Names of relations that are not the job's. */
  readonly #strangers = new Map<number, string>();

  constructor(tables: readonly KnownTable[], own: boolean, typeName: TypeNamer) {
    this.#tables = tables;
    this.#own = own;
    this.#typeName = typeName;
  }

  /**
   * The table of a relation that was described; undefined: it is not one of the job's, in a publication that the
   * user made and that may hold others.
   */
  get(oid: number): WalTable | undefined {
    const table = this.#found.get(oid);
    if (table !== undefined) return table;
    const name = this.#strangers.get(oid);
    if (name === undefined) {
      throw new ProxyError(
        'UNDECODABLE',
        `Postgres sent a row of relation ${oid} before describing it`,
      );
    }
    if (this.#own)
      throw ddl(`the publication of the job holds ${name}, which is not a table of the job`);
    return undefined;
  }

  /** @throws ProxyError SOURCE_DDL, SOURCE_SETTING: the table is not the one that the job copies any more. */
  async learn(relation: Relation): Promise<void> {
    const known = this.#tables.find((t) => tableId(t.source) === tableId(relation));
    const renamed = this.#tables.find((t) => t.source.oid === relation.oid);
    if (known === undefined) {
      if (renamed !== undefined) {
        throw ddl(`${tableId(renamed.source)} was renamed to ${tableId(relation)}`);
      }
      // Partitions are described too, although their rows come as their parent's.
      this.#strangers.set(relation.oid, tableId(relation));
      return;
    }
    if (known !== renamed) throw ddl(`${tableId(relation)} was dropped and created again`);
    await this.#compare(known, relation);
    const table = new WalTable(relation, known.encoder);
    const { spec } = known.encoder;
    if (table.keyAt.some((i) => table.identity[i] !== true)) {
      throw new ProxyError(
        'SOURCE_SETTING',
        `the replica identity of ${tableId(spec)} no longer holds the primary key (${spec.key.join(', ')}): ` +
          'ALTER TABLE ... REPLICA IDENTITY DEFAULT, or FULL',
      );
    }
    this.#found.set(relation.oid, table);
  }

  async #compare({ encoder: { spec }, source }: KnownTable, relation: Relation): Promise<void> {
    const byName = new Map(spec.columns.map((column) => [column.name, column]));
    const changes: string[] = [];
    for (const column of relation.columns) {
      const known = byName.get(column.name);
      byName.delete(column.name);
      if (known === undefined) changes.push(`column ${column.name} was added`);
      else if (known.excluded !== true)
        changes.push(...(await this.#typeChange(spec, known, column)));
    }
    for (const [name, column] of byName) {
      const generated = source.columns.some((c) => c.name === name && c.generated);
      if (column.excluded !== true && !generated) changes.push(`column ${name} was dropped`);
    }
    if (changes.length > 0) throw ddl(`table ${tableId(spec)}: ${changes.join(', ')}`);
  }

  /** A type that maps to the same Doris type is no change for us: `varchar(10)` to `varchar(20)`. */
  async #typeChange(
    spec: TableSpec,
    known: ColumnSpec,
    column: RelationColumn,
  ): Promise<readonly string[]> {
    const { typeOid: oid, modifier } = column;
    const name = await this.#typeName(oid, modifier);
    if (name === known.sourceType) return [];
    const key = spec.key.includes(known.name);
    const same =
      oid === known.typeOid &&
      !known.dorisType.startsWith('ARRAY<') &&
      postgresToDoris({ oid, modifier, name }, key) === known.dorisType;
    return same ? [] : [`column ${known.name} changed from ${known.sourceType} to ${name}`];
  }
}

function ddl(what: string): ProxyError {
  return new ProxyError(
    'SOURCE_DDL',
    `${what}. DDL on a synchronised table is not followed: undo it, or drop the job, correct the Doris table and create the job again.`,
  );
}
