import type { ColumnSpec, TableSpec } from '../../model/table.ts';
import { postgresToDoris, type PostgresType } from '../../typemap/postgres-to-doris.ts';
import type { Session } from './connection.ts';

/** A table as the server's catalog has it now. */
export interface SourceTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `r` table, `p` partitioned table. */
  readonly kind: string;
  readonly unlogged: boolean;
  /** Partitions or the table itself that log other columns than the key (`i` without it, `n`). */
  readonly identityLacks: readonly string[];
  readonly readable: boolean;
  readonly owned: boolean;
  /** Row-level security hides rows from this user. */
  readonly filtered: boolean;
  readonly keyDeferrable: boolean;
  readonly columns: readonly SourceColumn[];
  readonly key: readonly string[];
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
  readonly key: string[];
  readonly lacks: string[];
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

/**
 * Ordinary and partitioned tables; a partition is read through its parent. `lacks` names the relations whose replica
 * identity does not hold the whole key, so that an UPDATE or DELETE could not be told to Doris: the table, or, because
 * a partition logs by its own identity, its leaves.
 */
const TABLES = `
  SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
         c.relpersistence <> 'p' AS unlogged,
         has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS readable,
         pg_has_role(c.relowner, 'USAGE') AS owned, row_security_active(c.oid) AS filtered,
         EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate)
           AS key_deferrable,
         COALESCE((SELECT array_agg(a.attname::text ORDER BY k.nth)
                   FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, nth), pg_attribute a
                   WHERE i.indrelid = c.oid AND i.indisprimary AND k.nth <= i.indnkeyatts
                     AND a.attrelid = c.oid AND a.attnum = k.attnum), '{}') AS key,
         leaf.lacks
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(l.oid::regclass::text) FILTER (WHERE l.relreplident = 'n' OR l.relreplident = 'i'
             AND EXISTS (SELECT FROM pg_index p, unnest(p.indkey::int2[]) WITH ORDINALITY k(attnum, nth)
                         WHERE p.indrelid = l.oid AND p.indisprimary AND k.nth <= p.indnkeyatts
                           AND NOT EXISTS (SELECT FROM pg_index r
                                           WHERE r.indrelid = l.oid AND r.indisreplident
                                             AND k.attnum = ANY (r.indkey::int2[])))), '{}') AS lacks
    FROM pg_class l
    WHERE l.oid = c.oid
       OR c.relkind = 'p' AND l.relkind = 'r' AND l.oid IN (SELECT relid FROM pg_partition_tree(c.oid))
  ) leaf
  WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  ORDER BY c.relname`;

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
  const byTable = new Map<number, SourceColumn[]>();
  for (const column of columns) {
    const oid = Number(column.table_oid);
    const list = byTable.get(oid);
    if (list === undefined) byTable.set(oid, [sourceColumn(column)]);
    else list.push(sourceColumn(column));
  }
  return tables.map((table) => ({
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
    key: table.key,
    columns: byTable.get(Number(table.oid)) ?? [],
  }));
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
  return { schema: table.schema, name: table.name, target, columns, key: table.key };
}
