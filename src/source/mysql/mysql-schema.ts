import { ProxyError } from '../../model/error.ts';
import type { ColumnSpec, TableSpec } from '../../model/table.ts';
import { mysqlToDoris } from '../../typemap/mysql-to-doris.ts';
import type { TableSelection } from '../source.ts';
import { selectNames } from '../table-selection.ts';
import { type MysqlConnection, textLiteral } from './mysql-connection.ts';
import type { ServerFacts } from './mysql-server.ts';

/** A mistake that preflight found; several become one error. */
export interface Finding {
  readonly code: 'SOURCE_ACCESS' | 'SOURCE_SETTING' | 'SOURCE_TABLE';
  readonly text: string;
  /** The tables that it is about; absent: all of the job. */
  readonly tables?: readonly string[];
  /** Instead of `text`, when one table is spoken of. */
  readonly reason?: string;
}

/** Notes what is wrong with one table. */
type Find = (table: string, text: string) => void;

interface SchemaReport {
  readonly tables: readonly TableSpec[];
  readonly findings: readonly Finding[];
}

/** Steps 16 to 20 of job-sql.md §2.4, with Doris' texts. */
export async function readSchema(
  connection: MysqlConnection,
  server: ServerFacts,
  database: string,
  selection: TableSelection,
): Promise<SchemaReport> {
  const all = await readTableNames(connection, database);
  if (all.size === 0) return failed(`No tables found in database ${database}`);
  const names = selectNames([...all.keys()], selection);
  if (names.length === 0) return failed(`Can not found match table in database ${database}`);

  const columns = await readColumns(connection, database, names);
  const keys = await readKeys(connection, server, database, names);
  const findings: Finding[] = [];
  const find: Find = (table, text) =>
    void findings.push({ code: 'SOURCE_TABLE', text, tables: [table] });
  const keyless = names.filter((name) => !keys.has(name));
  if (keyless.length > 0) {
    findings.push({
      code: 'SOURCE_TABLE',
      text: `The following tables do not have primary key defined: ${keyless.join(', ')}`,
      tables: keyless,
      reason: 'it has no primary key, and no unique index over columns that are NOT NULL',
    });
  }
  for (const name of names.filter((table) => all.get(table) === 'SYSTEM VERSIONED')) {
    find(
      name,
      `table ${name} is system-versioned: its history cannot be told from its rows, exclude it`,
    );
  }
  const tables = names.map((name) =>
    describe(database, name, columns.get(name) ?? [], keys.get(name), selection, find),
  );
  return { tables, findings };
}

function failed(text: string): SchemaReport {
  return { tables: [], findings: [{ code: 'SOURCE_TABLE', text }] };
}

interface SourceColumn {
  readonly name: string;
  readonly type: string;
  readonly charset: string | null;
  readonly nullable: boolean;
  readonly comment: string;
}

function describe(
  database: string,
  name: string,
  columns: readonly SourceColumn[],
  found: SourceKey | undefined,
  selection: TableSelection,
  find: Find,
): TableSpec {
  const key = found?.columns ?? [];
  const excluded = checkedExclusions(name, columns, key, selection, find);
  const specs = columns.map((column): ColumnSpec => {
    const isExcluded = excluded.has(column.name);
    const role = key.includes(column.name) ? 'key' : 'value';
    const dorisType = isExcluded ? '' : dorisTypeOf(name, column, role, find);
    return {
      name: column.name,
      sourceType: column.type,
      ...(column.charset === null ? {} : { charset: column.charset }),
      dorisType,
      nullable: column.nullable,
      comment: column.comment,
      ...(isExcluded ? { excluded: true } : {}),
    };
  });
  const target = Object.hasOwn(selection.targets, name) ? selection.targets[name]! : name;
  const keyIndex = found === undefined || found.index === PRIMARY ? {} : { keyIndex: found.index };
  return { schema: database, name, target, columns: specs, key, ...keyIndex };
}

function checkedExclusions(
  table: string,
  columns: readonly SourceColumn[],
  key: readonly string[],
  selection: TableSelection,
  find: Find,
): ReadonlySet<string> {
  const names = (selection.excludeColumns[table] ?? []).map((name) => name.trim());
  for (const name of names) {
    if (!columns.some((column) => column.name === name)) {
      find(
        table,
        `exclude_columns validation failed: column '${name}' does not exist in table '${table}'`,
      );
    } else if (key.includes(name)) {
      find(
        table,
        `exclude_columns validation failed: column '${name}' in table '${table}' is a primary key column and cannot be excluded`,
      );
    }
  }
  return new Set(names);
}

function dorisTypeOf(
  table: string,
  column: SourceColumn,
  role: 'key' | 'value',
  find: Find,
): string {
  try {
    return mysqlToDoris(column.type, role);
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    find(table, `Unsupported column type, table:[${table}], column:[${column.name}]`);
    return '';
  }
}

/** Tables by name, with their type. Views and MariaDB's sequences are no tables. */
async function readTableNames(
  connection: MysqlConnection,
  database: string,
): Promise<ReadonlyMap<string, string>> {
  const rows = await connection.query(
    `SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${textLiteral(database)} ` +
      `AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME`,
  );
  return new Map(rows.map(([name, type]) => [name!, type!]));
}

/** Columns in the order of the row image: ordinal, invisible and generated ones included. */
async function readColumns(
  connection: MysqlConnection,
  database: string,
  tables: readonly string[],
): Promise<ReadonlyMap<string, readonly SourceColumn[]>> {
  const rows = await connection.query(
    `SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, COLUMN_COMMENT ` +
      `FROM information_schema.COLUMNS WHERE ${ofTables(database, tables)} ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  );
  return grouped(rows, ([, name, type, charset, nullable, comment]) => ({
    name: name!,
    type: type!,
    charset: charset ?? null,
    nullable: nullable === 'YES',
    comment: comment ?? '',
  }));
}

interface SourceKey {
  readonly index: string;
  readonly columns: readonly string[];
}

const PRIMARY = 'PRIMARY';

/**
 * Each table's primary key, or the unique index that stands in for it: the one with the fewest columns, all of them NOT NULL
 * (of NULLs it takes many) and indexed whole, in an order that splits can be read in.
 */
async function readKeys(
  connection: MysqlConnection,
  server: ServerFacts,
  database: string,
  tables: readonly string[],
): Promise<ReadonlyMap<string, SourceKey>> {
  // The server refuses to be told to use an index that was made invisible.
  const visible = server.mariadb ? "'YES'" : 'IS_VISIBLE';
  const rows = await connection.query(
    `SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, COLUMN_NAME IS NOT NULL AND SUB_PART IS NULL ` +
      `AND NULLABLE <> 'YES' AND INDEX_TYPE = 'BTREE' AND ${visible} = 'YES' ` +
      `FROM information_schema.STATISTICS WHERE ${ofTables(database, tables)} AND NON_UNIQUE = 0 ` +
      `ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`,
  );
  const parts = grouped(rows, ([, index, column, usable]) => ({
    index: index!,
    column: column ?? '',
    usable: usable === '1' || index === PRIMARY,
  }));
  const keys = new Map<string, SourceKey>();
  for (const [table, all] of parts) {
    const candidates = [...new Set(all.map(({ index }) => index))]
      .map((index) => all.filter((part) => part.index === index))
      .filter((index) => index.every(({ usable }) => usable))
      .toSorted((a, b) => a.length - b.length);
    const best = candidates.find(([first]) => first!.index === PRIMARY) ?? candidates[0];
    if (best === undefined) continue;
    keys.set(table, { index: best[0]!.index, columns: best.map(({ column }) => column) });
  }
  return keys;
}

/**
 * Foreign keys by which another table's rows change rows of `tables` behind the log's back. The copy of such a table would
 * differ from it for ever, without an error anywhere.
 */
export async function cascadeFindings(
  connection: MysqlConnection,
  server: ServerFacts,
  tables: readonly TableSpec[],
): Promise<readonly Finding[]> {
  const [first] = tables;
  if (first === undefined || server.logsCascades) return [];
  const names = tables.map(({ name }) => textLiteral(name)).join(', ');
  const rows = await connection.query(
    `SELECT TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_NAME, DELETE_RULE, UPDATE_RULE ` +
      `FROM information_schema.REFERENTIAL_CONSTRAINTS ` +
      `WHERE CONSTRAINT_SCHEMA = ${textLiteral(first.schema)} AND TABLE_NAME IN (${names}) ` +
      `AND (DELETE_RULE IN (${ACTING}) OR UPDATE_RULE IN (${ACTING})) ORDER BY TABLE_NAME, CONSTRAINT_NAME`,
  );
  const product = server.mariadb ? 'MariaDB' : `MySQL ${server.version}`;
  return rows.map(([table, constraint, parent, onDelete, onUpdate]): Finding => {
    const rules = [
      ...(ACTING.includes(`'${onDelete}'`) ? [`ON DELETE ${onDelete}`] : []),
      ...(ACTING.includes(`'${onUpdate}'`) ? [`ON UPDATE ${onUpdate}`] : []),
    ];
    const upgrade = server.mariadb
      ? ''
      : ', or use MySQL 9.6 or later without innodb_native_foreign_keys';
    const text =
      `foreign key ${constraint} of table ${table} changes its rows with those of ${parent} (${rules.join(', ')}), ` +
      `and ${product} does not log such changes: exclude the table, or give the key the rule RESTRICT${upgrade}`;
    return { code: 'SOURCE_TABLE', text, tables: [table!] };
  });
}

/** Rules that change rows; RESTRICT and NO ACTION refuse the statement instead. */
const ACTING = "'CASCADE', 'SET NULL', 'SET DEFAULT'";

/** Collations of a table's columns, for the text columns: what the server compares them by. */
export async function readCollations(
  connection: MysqlConnection,
  table: TableSpec,
): Promise<ReadonlyMap<string, string>> {
  const rows = await connection.query(
    `SELECT COLUMN_NAME, COLLATION_NAME FROM information_schema.COLUMNS ` +
      `WHERE ${ofTables(table.schema, [table.name])} AND COLLATION_NAME IS NOT NULL`,
  );
  return new Map(rows.map(([column, collation]) => [column!, collation!]));
}

function ofTables(database: string, tables: readonly string[]): string {
  const names = tables.map(textLiteral).join(', ');
  return `TABLE_SCHEMA = ${textLiteral(database)} AND TABLE_NAME IN (${names})`;
}

/** By the exact table name: the server may compare names without case. */
function grouped<T>(
  rows: readonly (readonly (string | null)[])[],
  read: (row: readonly (string | null)[]) => T,
): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(row[0]!);
    if (group === undefined) groups.set(row[0]!, [read(row)]);
    else group.push(read(row));
  }
  return groups;
}
