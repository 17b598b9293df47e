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
  readonly #found = new Map<number, WalTable | undefined>();

  constructor(tables: readonly KnownTable[], own: boolean, typeName: TypeNamer) {
    this.#tables = tables;
    this.#own = own;
    this.#typeName = typeName;
  }

  /** The table of a relation that was described; undefined: it is not one of the job's. */
  get(oid: number): WalTable | undefined {
    if (!this.#found.has(oid)) {
      throw new ProxyError(
        'UNDECODABLE',
        `Postgres sent a row of relation ${oid} before describing it`,
      );
    }
    return this.#found.get(oid);
  }

  /** @throws ProxyError SOURCE_DDL, SOURCE_SETTING: the table is not the one that the job copies any more. */
  async learn(relation: Relation): Promise<void> {
    const known = this.#tables.find((t) => tableId(t.source) === tableId(relation));
    if (known === undefined) {
      this.#stranger(relation);
      this.#found.set(relation.oid, undefined);
      return;
    }
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

  /** A user's publication may hold more tables than the job; a table of the job under another name must not pass as one. */
  #stranger(relation: Relation): void {
    const before = this.#tables.find((t) => t.source.oid === relation.oid);
    if (before !== undefined || this.#own) {
      const was = before === undefined ? 'a table of the job' : tableId(before.source);
      throw ddl(`${was} was renamed to ${tableId(relation)}`);
    }
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
