import { type Column, type Table, SYSTEM_DATABASES } from './catalog.ts';
import { typeText } from './column-type.ts';
import { words } from './result.ts';
import type { Session } from './session.ts';
import { refusal } from './sql-error.ts';
import { quoteName, quoteText } from './store.ts';
import { seesDatabase } from './users.ts';

type Value = string | number | null;

const SCHEMATA = words(`CATALOG_NAME SCHEMA_NAME DEFAULT_CHARACTER_SET_NAME DEFAULT_COLLATION_NAME
    SQL_PATH DEFAULT_ENCRYPTION`);
const TABLES = words(`TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE VERSION ROW_FORMAT
    TABLE_ROWS AVG_ROW_LENGTH DATA_LENGTH MAX_DATA_LENGTH INDEX_LENGTH DATA_FREE
    AUTO_INCREMENT CREATE_TIME UPDATE_TIME CHECK_TIME TABLE_COLLATION CHECKSUM
    CREATE_OPTIONS TABLE_COMMENT`);
const COLUMNS = words(`TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION
    COLUMN_DEFAULT IS_NULLABLE DATA_TYPE CHARACTER_MAXIMUM_LENGTH
    CHARACTER_OCTET_LENGTH NUMERIC_PRECISION NUMERIC_SCALE DATETIME_PRECISION
    CHARACTER_SET_NAME COLLATION_NAME COLUMN_TYPE COLUMN_KEY EXTRA PRIVILEGES
    COLUMN_COMMENT COLUMN_SIZE DECIMAL_DIGITS GENERATION_EXPRESSION SRS_ID`);
const NUMBERS = new Set(
  words(`VERSION TABLE_ROWS AVG_ROW_LENGTH DATA_LENGTH MAX_DATA_LENGTH INDEX_LENGTH
    DATA_FREE AUTO_INCREMENT CHECKSUM ORDINAL_POSITION CHARACTER_MAXIMUM_LENGTH
    CHARACTER_OCTET_LENGTH NUMERIC_PRECISION NUMERIC_SCALE DATETIME_PRECISION
    COLUMN_SIZE DECIMAL_DIGITS SRS_ID`),
);

/** A table of information_schema as a derived table of literal rows: what the session's user may see of the catalog now. */
export function informationSchemaSql(session: Session, table: string): string {
  switch (table.toLowerCase()) {
    case 'schemata':
      return rowsSql(
        SCHEMATA,
        visibleDatabases(session).map((name) => [
          'internal',
          name,
          'utf8',
          'utf8_general_ci',
          null,
          null,
        ]),
      );
    case 'tables':
      return rowsSql(
        TABLES,
        visibleTables(session).map(([name, each]) => tableRow(name, each)),
      );
    case 'columns':
      return rowsSql(
        COLUMNS,
        visibleTables(session).flatMap(([name, each]) =>
          each.columns.map((column, i) => columnRow(name, each, column, i)),
        ),
      );
    default:
      throw refusal(`Table [${table}] does not exist in database [information_schema].`);
  }
}

function rowsSql(names: readonly string[], rows: readonly (readonly Value[])[]): string {
  const literal = (value: Value): string => {
    if (value === null) return 'NULL';
    return typeof value === 'number' ? String(value) : quoteText(value);
  };
  const columns = names.map(
    (name, i) => `CAST(v${i} AS ${NUMBERS.has(name) ? 'BIGINT' : 'VARCHAR'}) AS ${quoteName(name)}`,
  );
  const nulls = `(${names.map(() => 'NULL').join(', ')})`;
  const values = rows.map((row) => `(${row.map(literal).join(', ')})`);
  const from = values.length === 0 ? nulls : values.join(', ');
  const where = values.length === 0 ? ' WHERE false' : '';
  return `(SELECT ${columns.join(', ')} FROM (VALUES ${from}) AS v(${names.map((_, i) => `v${i}`).join(', ')})${where})`;
}

/** The databases that a user may see. */
export function visibleDatabases({ account, state }: Session): string[] {
  const names = [...SYSTEM_DATABASES, ...state.catalog.databases.keys()];
  return names.filter((name) => seesDatabase(account, name)).toSorted();
}

function visibleTables(session: Session): [string, Table][] {
  return [...session.state.catalog.databases.values()]
    .filter(({ name }) => seesDatabase(session.account, name))
    .flatMap(({ name, tables }) =>
      [...tables.values()].map((table): [string, Table] => [name, table]),
    );
}

function tableRow(database: string, table: Table): Value[] {
  const created = new Date(table.createTimeMs).toISOString().slice(0, 19).replace('T', ' ');
  return [
    'internal',
    database,
    table.name,
    'BASE TABLE',
    'Doris',
    null,
    null,
    null,
    0,
    0,
    null,
    null,
    null,
    null,
    created,
    created,
    null,
    'utf-8',
    null,
    null,
    table.comment,
  ];
}

function columnRow(database: string, table: Table, column: Column, index: number): Value[] {
  const { type } = column;
  const bytes = 'length' in type ? type.length : type.name === 'STRING' ? 2_147_483_643 : null;
  const precision = type.name === 'DECIMAL' ? type.precision : null;
  const scale = type.name === 'DECIMAL' ? type.scale : null;
  const timeScale = type.name === 'DATETIME' ? type.scale : null;
  const key = table.model === 'UNIQUE' ? 'UNI' : 'DUP';
  // LARGEINT has no word in MySQL's vocabulary (doris-target.md §6).
  const dataType =
    type.name === 'LARGEINT' ? 'bigint unsigned' : typeText(type).replace(/[(<].*/, '');
  return [
    'internal',
    database,
    table.name,
    column.name,
    index + 1,
    defaultText(column),
    column.nullable ? 'YES' : 'NO',
    dataType,
    bytes,
    bytes,
    precision,
    scale,
    timeScale,
    null,
    null,
    typeText(type),
    column.isKey ? key : '',
    '',
    '',
    column.comment,
    precision ?? bytes,
    scale,
    null,
    null,
  ];
}

/** A column's default as DESC and information_schema show it. */
export function defaultText({ default: from }: Column): string | null {
  if (from === undefined || from.kind === 'null') return null;
  return from.kind === 'now' ? 'CURRENT_TIMESTAMP' : from.text;
}
