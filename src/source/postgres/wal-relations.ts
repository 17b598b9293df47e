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

/** What {@link WalRelations} asks of the catalog; a PartWatch has it. */
export interface Parts {
  ownerOf(relation: number): KnownTable | undefined;
  isWhole(table: KnownTable, relations: ReadonlySet<number>): boolean;
  verify(): Promise<void>;
  /** A table was changed somehow: it is looked at now, or soon. */
  suspect(): Promise<void>;
  /** Whether a relation that nobody knows is a partition of one of the job's tables. */
  isPart(relation: number): Promise<boolean>;
}

/** Of the tables in a TRUNCATE: those that are empty then, and a reason to stop for those that are not. */
export interface Truncated {
  readonly tables: readonly TableSpec[];
  readonly stop?: ProxyError;
}

/**
 * Which relation of the log is which table. The server describes a relation before its first row and again after each
 * DDL on it, so this is where a change of a table is seen: everything but the columns that the job knows is a
 * named stop (following DDL is not this part's business), and nothing is matched by position.
 */
export class WalRelations {
  readonly #tables: readonly KnownTable[];
  readonly #parts: Parts;
  readonly #typeName: TypeNamer;
  readonly #found = new Map<number, WalTable>();
  /** Of the relations found, those that are partitions under their own names. */
  readonly #partOf = new Map<number, { readonly known: KnownTable; readonly name: string }>();
  readonly #strangers = new Set<number>();

  constructor(tables: readonly KnownTable[], parts: Parts, typeName: TypeNamer) {
    this.#tables = tables;
    this.#parts = parts;
    this.#typeName = typeName;
  }

  /**
   * The table of a relation that was described; undefined: it is not one of the job's. A publication that the user made may
   * hold others, and the log of any one may hold a partition that is none any more: its rows are not the table's.
   */
  get(oid: number): WalTable | undefined {
    const table = this.#found.get(oid);
    if (table !== undefined || this.#strangers.has(oid)) return table;
    throw new ProxyError(
      'UNDECODABLE',
      `Postgres sent a row of relation ${oid} before describing it`,
    );
  }

  /** Another connection describes them anew. */
  forget(): void {
    this.#found.clear();
    this.#partOf.clear();
    this.#strangers.clear();
  }

  /** What a TRUNCATE of `relations` empties. Which rows of a table were those of one partition, Doris cannot be told. */
  truncated(relations: readonly number[]): Truncated {
    const whole = new Set<TableSpec>();
    const parts = new Map<KnownTable, Map<number, string>>();
    for (const oid of relations) {
      const table = this.get(oid);
      const part = this.#partOf.get(oid);
      if (part !== undefined) {
        const names = parts.get(part.known) ?? new Map<number, string>();
        parts.set(part.known, names.set(oid, part.name));
      } else if (table !== undefined) {
        whole.add(table.encoder.spec);
      }
    }
    const reasons: string[] = [];
    for (const [known, names] of parts) {
      const { spec } = known.encoder;
      if (this.#parts.isWhole(known, new Set(names.keys()))) whole.add(spec);
      else {
        reasons.push(
          `of table ${tableId(spec)} only a part was truncated (${[...names.values()].join(', ')}): DELETE its rows from the Doris table ${spec.target}`,
        );
      }
    }
    const tables = [...whole];
    if (reasons.length === 0) return { tables };
    const text = `${reasons.join('; ')}; then RESUME JOB, which goes on behind this`;
    return { tables, stop: new ProxyError('SOURCE_DDL', text) };
  }

  /** @throws ProxyError SOURCE_DDL, SOURCE_SETTING: the table is not the one that the job copies any more. */
  async learn(relation: Relation): Promise<void> {
    const named = this.#tables.find((t) => tableId(t.source) === tableId(relation));
    const same = this.#tables.find((t) => t.source.oid === relation.oid);
    if (named !== same) {
      throw ddl(
        same === undefined
          ? `${tableId(relation)} was dropped and created again`
          : `${tableId(same.source)} was renamed to ${tableId(relation)}`,
      );
    }
    const owner = same ?? (await this.#ownerOf(relation.oid));
    if (owner === undefined) {
      this.#strangers.add(relation.oid);
      return;
    }
    await this.#compare(owner, relation);
    // Described before: something about it was changed. Its key perhaps, or the publication, which are not in the message;
    // most often it was vacuumed.
    if (this.#found.has(relation.oid)) await this.#parts.suspect();
    this.#add(owner, relation);
  }

  /** A partition that nobody has heard of is looked up: it may be new. */
  async #ownerOf(relation: number): Promise<KnownTable | undefined> {
    const owner = this.#parts.ownerOf(relation);
    if (owner !== undefined || !(await this.#parts.isPart(relation))) return owner;
    await this.#parts.verify();
    return this.#parts.ownerOf(relation);
  }

  #add(known: KnownTable, relation: Relation): void {
    const table = new WalTable(relation, known.encoder);
    this.#found.set(relation.oid, table);
    if (relation.oid !== known.source.oid) {
      this.#partOf.set(relation.oid, { known, name: tableId(relation) });
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
