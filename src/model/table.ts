/** A column of a source table and the Doris column that takes its values. */
export interface ColumnSpec {
  readonly name: string;
  /**
   * The type as the source prints it, attributes included: MySQL's `COLUMN_TYPE`
   * (`int unsigned`, `enum('a','b')`, `datetime(6)`), Postgres' `format_type` (`numeric(10,2)`, `text[]`).
   */
  readonly sourceType: string;
  /** Postgres only: the type's OID, base type for domains resolved by the reader of the catalog. */
  readonly typeOid?: number;
  /** MySQL only, for text columns: the character set's name (`utf8mb4`, `latin1`). */
  readonly charset?: string;
  /** The Doris type, e.g. `DECIMAL(10,2)`, from the typemap of the source. */
  readonly dorisType: string;
  readonly nullable: boolean;
  readonly comment: string;
  /** In the source's rows, but not copied (`exclude_columns`): decoders step over it, Doris has no such column. */
  readonly excluded?: boolean;
}

/** A source table that a job copies, as it was when the schema version was recorded. */
export interface TableSpec {
  /** MySQL: the database. Postgres: the schema. */
  readonly schema: string;
  readonly name: string;
  /** Table name in the job's Doris database. */
  readonly target: string;
  /** In the source's order (MySQL: the order of the row image, invisible columns included). */
  readonly columns: readonly ColumnSpec[];
  /** Primary-key columns in key order; those of a unique index where a table has no primary key. */
  readonly key: readonly string[];
  /** The name of that unique index. Absent: the primary key. */
  readonly keyIndex?: string;
  /**
   * Postgres: which relations hold the table's rows, by oid, and a text that changes when the log may have missed changes of
   * one. Absent: not recorded.
   */
  readonly parts?: Readonly<Record<string, string>>;
}

/** `schema.name`, as Doris' split ids and messages write a table. */
export function tableId(table: Pick<TableSpec, 'schema' | 'name'>): string {
  return `${table.schema}.${table.name}`;
}
