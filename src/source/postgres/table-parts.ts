import type { TableSpec } from '../../model/table.ts';
import type { Session } from './connection.ts';
import { quoteTable } from './sql-text.ts';
import { copiedColumns } from './table-split.ts';

/** A relation that holds rows of a table: the table itself, or a partition at the end of its tree. */
export interface TablePart {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Whether its changes are in the log: not those of unlogged and of foreign tables. */
  readonly logged: boolean;
  /** It, its parent, …, the table. */
  readonly path: readonly number[];
  /**
   * How it came to belong to the table: the transactions that attached it and its parents. The text changes
   * when it is detached and attached again.
   */
  readonly attached: string;
  /** The file that it is stored in: another one after a TRUNCATE, and after what rewrites it (VACUUM FULL, CLUSTER). */
  readonly file: string;
}

interface PartRow {
  readonly root: string;
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly logged: boolean;
  readonly path: string[];
  readonly attached: string;
  readonly file: string;
}

/** `xmin`: a row of `pg_inherits` is written once, and freezing keeps the number to be read. */
const PARTS = `
  WITH RECURSIVE tree AS (
    SELECT r.oid AS root, r.oid, ARRAY[r.oid] AS path, '' AS attached FROM unnest($1::oid[]) r(oid)
    UNION ALL
    SELECT t.root, i.inhrelid, i.inhrelid || t.path, t.attached || '.' || i.xmin::text
    FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p' JOIN pg_inherits i ON i.inhparent = t.oid
  )
  SELECT t.root::int8 AS root, t.oid::int8 AS oid, n.nspname AS schema, c.relname AS name,
         c.relkind = 'r' AND c.relpersistence = 'p' AS logged, t.path::int8[] AS path, t.attached,
         COALESCE(pg_relation_filenode(c.oid), 0)::text AS file
  FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind <> 'p'
  ORDER BY t.root, t.oid`;

/** By the table's oid: where its rows are now. A partitioned table without partitions, and one that is gone, have none. */
export async function readParts(
  session: Session,
  tables: readonly number[],
): Promise<ReadonlyMap<number, readonly TablePart[]>> {
  const rows = await session.rows<PartRow>(PARTS, [tables.map(String)]);
  const byTable = new Map<number, TablePart[]>(tables.map((oid) => [oid, []]));
  for (const { root, oid, path, ...rest } of rows) {
    byTable.get(Number(root))?.push({ ...rest, oid: Number(oid), path: path.map(Number) });
  }
  return byTable;
}

/**
 * The COPY of a part's rows. Who may read a table may read it through its partitions' parent, and not always a partition that somebody
 * else has made: then by the condition that its rows fulfil, which the server also finds the partition by.
 */
export async function partCopy(
  session: Session,
  table: TableSpec,
  part: TablePart,
): Promise<string> {
  const [row] = await session.rows<{ readonly condition: string | null }>(
    `SELECT CASE WHEN NOT (has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE'))
            THEN COALESCE(pg_get_partition_constraintdef(c.oid), 'TRUE') END AS condition
     FROM pg_class c WHERE c.oid = $1::oid`,
    [String(part.oid)],
  );
  const condition = row?.condition ?? null;
  const rows =
    condition === null ? `ONLY ${quoteTable(part)}` : `${quoteTable(table)} WHERE ${condition}`;
  return `COPY (SELECT ${copiedColumns(table)} FROM ${rows}) TO STDOUT`;
}
