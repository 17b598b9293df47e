import type { ColumnSpec, TableSpec } from '../../model/table.ts';
import { postgresToDoris, type PostgresType } from '../../typemap/postgres-to-doris.ts';
import type { Session } from './connection.ts';
import { readParts, type TablePart } from './table-parts.ts';

/** A table as the server's catalog has it now. */
export interface SourceTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `r` table, `p` partitioned table. */
  readonly kind: string;
  readonly unlogged: boolean;
  /** Partitions, or the table itself, whose replica identity does not hold the key. */
  readonly identityLacks: readonly IdentityLack[];
  readonly readable: boolean;
  readonly owned: boolean;
  /** Row-level security hides rows from this user. */
  readonly filtered: boolean;
  readonly keyDeferrable: boolean;
  readonly columns: readonly SourceColumn[];
  /** In the index's order; empty: nothing can be a key. */
  readonly key: readonly string[];
  /** The unique index that stands in for a primary key. */
  readonly keyIndex?: string;
  readonly parts: readonly TablePart[];
}

/** A relation that logs no old keys, or others than the job's. */
export interface IdentityLack {
  /** Quoted, with its schema. */
  readonly relation: string;
  /** Quoted: its own unique index over the columns of the key, which could be its replica identity. */
  readonly index: string | null;
}

export interface SourceColumn {
  readonly name: string;
  readonly sourceType: string;
  readonly type: PostgresType;
  readonly nullable: boolean;
  /** STORED or VIRTUAL: the log does not hold it, or only since Postgres 18. */
  readonly generated: boolean;
  readonly comment: string;
}

interface TableRow {
  /** bigint, which the driver leaves as text. */
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly unlogged: boolean;
  readonly readable: boolean;
  readonly owned: boolean;
  readonly filtered: boolean;
  readonly key_deferrable: boolean;
  readonly key: string[] | null;
  readonly key_index: string | null;
  readonly lacks: IdentityLack[];
}

interface ColumnRow {
  readonly table_oid: string;
  readonly name: string;
  readonly source_type: string;
  readonly nullable: boolean;
  readonly generated: boolean;
  readonly dimensions: number;
  readonly comment: string;
  readonly oid: string;
  readonly modifier: number;
  readonly type_name: string;
  readonly element_oid: string | null;
  readonly element_name: string | null;
}

/** Names of the columns that index `i` keeps unique, in its order; what it merely carries (INCLUDE) is behind them. */
const INDEX_COLUMNS = `
  (SELECT array_agg(a.attname::text ORDER BY n.nth)
   FROM unnest(i.indkey::int2[]) WITH ORDINALITY n(attnum, nth)
   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.attnum
   WHERE n.nth <= i.indnkeyatts)`;

/**
 * Whether no two rows, whole tables and all moments considered, have the same values in index `i`: not for a part of the rows
 * or for expressions, not checked only at the commit, and of NULLs there may be many. A NOT NULL constraint can be
 * unchecked (NOT VALID, since Postgres 18): the catalog calls the column NOT NULL all the same.
 */
const INDEX_IS_KEY = `
  i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (
    SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY n(attnum, nth)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.attnum
    WHERE n.nth <= i.indnkeyatts
      AND (NOT a.attnotnull OR EXISTS (
        SELECT FROM pg_constraint c WHERE c.conrelid = i.indrelid AND c.contype = 'n'
          AND NOT c.convalidated AND a.attnum = ANY (c.conkey))))`;

/**
 * The key of each table of schema `$1`: its primary key, or the unique index that stands in for one. Of several the one that the server
 * logs by already, then the one with the fewest columns, then the first by name: the same at every look.
 */
const KEYS = `
  SELECT DISTINCT ON (i.indrelid) i.indrelid AS relation, x.relname AS name, i.indisprimary AS is_primary,
         NOT i.indimmediate AS deferrable, ${INDEX_COLUMNS} AS columns
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
  WHERE ${INDEX_IS_KEY} AND (i.indisprimary OR i.indimmediate) AND x.relnamespace = (
    SELECT n.oid FROM pg_namespace n WHERE n.nspname = $1)
  ORDER BY i.indrelid, i.indisprimary DESC, i.indisreplident DESC, i.indnkeyatts, x.relname`;

/**
 * Ordinary and partitioned tables; a partition is read through its parent. `lacks` names the relations whose replica
 * identity does not hold the whole key, so that an UPDATE or DELETE could not be told to Doris: the table, or, because
 * a partition logs by its own identity, its leaves.
 */
const TABLES = `
  WITH RECURSIVE keys AS MATERIALIZED (${KEYS}),
  tables AS (
    SELECT c.oid, n.oid AS namespace, n.nspname, c.relname, c.relkind, c.relpersistence, c.relowner
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  ),
  tree(root, oid) AS (
    SELECT t.oid, t.oid FROM tables t
    UNION ALL
    SELECT t.root, i.inhrelid FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p' JOIN pg_inherits i ON i.inhparent = t.oid
  ),
  lacking AS (
    SELECT t.root, jsonb_agg(jsonb_build_object('relation', l.oid::regclass::text, 'index', (
             SELECT quote_ident(x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
             WHERE i.indrelid = l.oid AND ${INDEX_IS_KEY} AND i.indimmediate AND ${INDEX_COLUMNS} = k.columns
             ORDER BY x.relname LIMIT 1)) ORDER BY l.oid) AS lacks
    FROM tree t JOIN pg_class l ON l.oid = t.oid JOIN keys k ON k.relation = t.root
    WHERE (l.oid = t.root OR l.relkind = 'r') AND l.relreplident <> 'f' AND NOT EXISTS (
      SELECT FROM pg_index i
      WHERE i.indrelid = l.oid AND CASE l.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END
        AND ${INDEX_COLUMNS} @> k.columns)
    GROUP BY t.root
  )
  SELECT c.oid::int8 AS oid, c.nspname AS schema, c.relname AS name, c.relkind AS kind,
         c.relpersistence <> 'p' AS unlogged,
         has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.namespace, 'USAGE') AS readable,
         pg_has_role(c.relowner, 'USAGE') AS owned, row_security_active(c.oid) AS filtered,
         COALESCE(k.deferrable, false) AS key_deferrable, k.columns AS key,
         CASE WHEN NOT k.is_primary THEN k.name END AS key_index, COALESCE(l.lacks, '[]') AS lacks
  FROM tables c LEFT JOIN keys k ON k.relation = c.oid LEFT JOIN lacking l ON l.root = c.oid
  ORDER BY c.relname`;

/** By the table's oid: the columns of each index that is, or could be, its key. */
export async function readKeys(
  session: Session,
  tables: readonly number[],
): Promise<ReadonlyMap<number, readonly (readonly string[])[]>> {
  const rows = await session.rows<{ readonly relation: string; readonly columns: string[] }>(
    `SELECT i.indrelid::int8 AS relation, ${INDEX_COLUMNS} AS columns FROM pg_index i
     WHERE i.indrelid = ANY ($1::oid[]) AND ${INDEX_IS_KEY} AND (i.indisprimary OR i.indimmediate)`,
    [tables.map(String)],
  );
  const keys = new Map<number, string[][]>(tables.map((oid) => [oid, []]));
  for (const { relation, columns } of rows) keys.get(Number(relation))?.push(columns);
  return keys;
}

/** Columns with their domains followed to the base type; a domain over a domain, and arrays of domains too. */
const COLUMNS = `
  WITH RECURSIVE base(attrelid, attnum, oid, modifier, dimensions) AS (
    SELECT a.attrelid, a.attnum, a.atttypid, a.atttypmod, a.attndims::int4
    FROM pg_attribute a
    WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attrelid, b.attnum, t.typbasetype, t.typtypmod, GREATEST(b.dimensions, t.typndims)
    FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
  )
  SELECT a.attrelid::int8 AS table_oid, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS source_type,
         NOT a.attnotnull AS nullable, a.attgenerated <> '' AS generated, b.dimensions,
         COALESCE(col_description(a.attrelid, a.attnum), '') AS comment,
         t.oid::int8 AS oid, b.modifier, t.typname AS type_name,
         e.oid::int8 AS element_oid, e.typname AS element_name
  FROM base b
  JOIN pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
  JOIN pg_type t ON t.oid = b.oid AND t.typtype <> 'd'
  LEFT JOIN pg_type e ON e.typarray = t.oid
  ORDER BY a.attrelid, a.attnum`;

/** Every table of `schema` that has rows of its own, with its columns, in the order of their names. */
export async function readTables(
  session: Session,
  schema: string,
  names?: readonly string[],
): Promise<readonly SourceTable[]> {
  const found = await session.rows<TableRow>(TABLES, [schema]);
  const tables = names === undefined ? found : found.filter((t) => names.includes(t.name));
  const columns = await session.rows<ColumnRow>(COLUMNS, [tables.map((t) => t.oid)]);
  const parts = await readParts(
    session,
    tables.map((t) => Number(t.oid)),
  );
  const byTable = new Map<number, SourceColumn[]>();
  for (const column of columns) {
    const oid = Number(column.table_oid);
    const list = byTable.get(oid);
    if (list === undefined) byTable.set(oid, [sourceColumn(column)]);
    else list.push(sourceColumn(column));
  }
  return tables.map((table) => sourceTable(table, byTable, parts));
}

function sourceTable(
  table: TableRow,
  columns: ReadonlyMap<number, readonly SourceColumn[]>,
  parts: ReadonlyMap<number, readonly TablePart[]>,
): SourceTable {
  return {
    oid: Number(table.oid),
    schema: table.schema,
    name: table.name,
    kind: table.kind,
    unlogged: table.unlogged,
    identityLacks: table.lacks,
    readable: table.readable,
    owned: table.owned,
    filtered: table.filtered,
    keyDeferrable: table.key_deferrable,
    key: table.key ?? [],
    ...(table.key_index === null ? {} : { keyIndex: table.key_index }),
    columns: columns.get(Number(table.oid)) ?? [],
    parts: parts.get(Number(table.oid)) ?? [],
  };
}

function sourceColumn(row: ColumnRow): SourceColumn {
  const element =
    row.element_oid === null
      ? undefined
      : {
          oid: Number(row.element_oid),
          // `numeric(10,2)[]`: the modifier is the column's own.
          modifier: row.modifier,
          name: row.element_name ?? '',
        };
  return {
    name: row.name,
    sourceType: row.source_type,
    type: {
      oid: Number(row.oid),
      modifier: row.modifier,
      name: row.type_name,
      ...(element === undefined ? {} : { element, dimensions: row.dimensions }),
    },
    nullable: row.nullable,
    generated: row.generated,
    comment: row.comment,
  };
}

/** The table as the job keeps it. */
export function tableSpec(
  table: SourceTable,
  target: string,
  excluded: readonly string[],
): TableSpec {
  const columns = table.columns.map((column): ColumnSpec => ({
    name: column.name,
    sourceType: column.sourceType,
    typeOid: column.type.oid,
    dorisType: postgresToDoris(column.type, table.key.includes(column.name)),
    nullable: column.nullable,
    comment: column.comment,
    ...(excluded.includes(column.name) ? { excluded: true } : {}),
  }));
  const { schema, name, key, keyIndex } = table;
  return { schema, name, target, columns, key, ...(keyIndex === undefined ? {} : { keyIndex }) };
}
