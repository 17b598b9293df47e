import { DELETE_SIGN } from '../encode/row-layout.ts';
import { ProxyError } from '../model/error.ts';
import type { Properties } from '../model/job.ts';
import { tableId, type ColumnSpec, type TableSpec } from '../model/table.ts';
import { holds } from './doris-type.ts';
import { SEQUENCE_COLUMN } from './load-body.ts';

const CREATE_PROPERTY = 'table.create.properties.';
const SEQUENCE_TYPE = 'function_column.sequence_type';
const SEQUENCE_BY_COLUMN = 'function_column.sequence_col';

/** Types that hold the number of a task: milliseconds since 1970, counted on. */
const SEQUENCE_TYPES = /^(bigint|largeint)$/i;

/** Types that Doris takes as a key (doris-target.md §3.2); STRING is not one, but has a substitute. */
const KEY_TYPES =
  /^(BOOLEAN|TINYINT|SMALLINT|INT|BIGINT|LARGEINT|DECIMAL|DATE|DATETIME|CHAR|VARCHAR|IPV4|IPV6)\b/i;

/** A column of a table in Doris. */
export interface TargetColumn {
  readonly name: string;
  /** As Doris prints it. */
  readonly type: string;
  readonly nullable: boolean;
  /** Undefined: none. */
  readonly defaultValue: string | undefined;
  readonly comment: string;
}

/** A table in Doris as it is. */
export interface TargetTable {
  /** Undefined for what is not a table of Doris' own: a view. */
  readonly keyModel: 'UNIQUE' | 'DUPLICATE' | 'AGGREGATE' | undefined;
  readonly key: readonly string[];
  readonly columns: readonly TargetColumn[];
  /** How Doris decides which of two rows of a key stays, when it is not the one that was loaded later (doris-target.md §2.3). */
  readonly sequence?: Sequence;
}

/** A sequence column: a hidden one of a type, or a column of the table. */
export type Sequence = { readonly type: string } | { readonly column: string };

/**
 * The statement that makes the copy of a source table: UNIQUE KEY on the source's primary key, key columns first
 * (cdc-semantics.md §2.2, doris-target.md §3.1). Values are nullable whatever the source says, because a delete may carry no
 * more than the key, and Doris checks NOT NULL on deleted rows too.
 *
 * @param properties the job's target properties; `table.create.properties.*` go into the statement.
 * @returns a statement that fails when the table is there: a table that somebody else has just made is not ours to use unchecked,
 *   and not ours to drop when the job comes to nothing.
 * @throws ProxyError TARGET_TABLE when the table cannot exist in Doris.
 */
export function createTable(database: string, table: TableSpec, properties: Properties): string {
  checkSource(database, table);
  checkNames(database, table);
  checkSequence(database, table, properties);
  const columns = copied(table).map((column) => {
    const comment = column.comment === '' ? '' : ` COMMENT ${quoted(column.comment)}`;
    return `  ${definition(table, column)}${comment}`;
  });
  const keys = table.key.map(identifier).join(', ');
  return [
    `CREATE TABLE ${tableName(database, table.target)} (`,
    columns.join(',\n'),
    ') ENGINE=OLAP',
    `UNIQUE KEY(${keys})`,
    `DISTRIBUTED BY HASH(${keys}) BUCKETS AUTO`,
    'PROPERTIES (',
    tableProperties(properties)
      .map(([name, value]) => `  ${quoted(name)} = ${quoted(value)}`)
      .join(',\n'),
    ')',
  ].join('\n');
}

/** Empties a table; synchronous and atomic in Doris (doris-target.md §3.4). */
export function truncateTable(database: string, target: string): string {
  return `TRUNCATE TABLE ${tableName(database, target)}`;
}

/**
 * Checks that an existing table takes every row of `table` and keeps it as it is.
 *
 * @throws ProxyError TARGET_TABLE naming all differences at once, each with the ALTER that cures it where there is one.
 */
export function checkTable(database: string, existing: TargetTable, table: TableSpec): void {
  checkSource(database, table);
  const differences = [...keyDifferences(existing, table), ...sequenceDifference(existing)];
  const alter = `ALTER TABLE ${tableName(database, table.target)}`;
  const byName = new Map(existing.columns.map((column) => [column.name.toLowerCase(), column]));
  for (const wanted of copied(table)) {
    const column = byName.get(wanted.name.toLowerCase());
    byName.delete(wanted.name.toLowerCase());
    const cure = column === undefined ? missing(table, wanted) : different(table, wanted, column);
    if (cure !== undefined) differences.push(`${cure.what}; cure: ${alter} ${cure.clause}`);
  }
  for (const column of byName.values()) {
    if (column.nullable || column.defaultValue !== undefined) continue;
    const clause = `MODIFY COLUMN ${identifier(column.name)} ${column.type} NULL`;
    differences.push(
      `column ${column.name} is not in the source, and is NOT NULL without a default; cure: ${alter} ${clause}`,
    );
  }
  if (differences.length === 0) return;
  throw new ProxyError(
    'TARGET_TABLE',
    `table ${database}.${table.target} exists, but cannot take the rows of ${tableId(table)}: ${differences
      .map((difference, i) => `(${i + 1}) ${difference}`)
      .join('. ')}`,
  );
}

interface Cure {
  readonly what: string;
  readonly clause: string;
}

/** Nothing alters a table's key: these have to be made anew. */
function* keyDifferences(existing: TargetTable, table: TableSpec): Generator<string> {
  if (existing.keyModel !== 'UNIQUE') {
    const model = existing.keyModel === undefined ? 'a view' : `a ${existing.keyModel} KEY table`;
    yield `it is ${model}, not a UNIQUE KEY table; cure: rename or drop it, the job makes a new one`;
    return;
  }
  if (folded(existing.key) !== folded(table.key)) {
    yield `its key is (${existing.key.join(', ')}), the source's primary key is (${table.key.join(', ')}); cure: rename or drop it, the job makes a new one`;
  }
}

/** The number of a task goes into a hidden sequence column; what a column of the table decides is not ours to decide. */
function* sequenceDifference({ sequence }: TargetTable): Generator<string> {
  if (sequence === undefined) return;
  if ('column' in sequence) {
    yield `it keeps the row with the largest ${sequence.column} (${SEQUENCE_BY_COLUMN}), so that a change that lowers it would be lost; cure: rename or drop it, the job makes a new one`;
  } else if (!SEQUENCE_TYPES.test(sequence.type)) {
    yield `its sequence column is ${sequence.type}, which does not hold the number of a task; cure: rename or drop it, and give a ${SEQUENCE_TYPE} of bigint`;
  }
}

/** Names of columns are equal whatever their case, and the order in a key does not change which rows are equal. */
function folded(names: readonly string[]): string {
  return names
    .map((name) => name.toLowerCase())
    .toSorted()
    .join('\0');
}

function missing(table: TableSpec, wanted: ColumnSpec): Cure {
  return {
    what: `column ${wanted.name} is missing`,
    clause: `ADD COLUMN ${definition(table, wanted)}`,
  };
}

function different(table: TableSpec, wanted: ColumnSpec, column: TargetColumn): Cure | undefined {
  if (column.name !== wanted.name) {
    // doris-target.md §1.13: JSON keys are matched by exact spelling; the column would be NULL in every row.
    return {
      what: `column ${wanted.name} is spelled ${column.name}`,
      clause: `RENAME COLUMN ${identifier(column.name)} ${identifier(wanted.name)}`,
    };
  }
  const isKey = table.key.includes(wanted.name);
  const type = targetType(table, wanted);
  const narrow = !holds(column.type, type) && !isDorisOwnBoolean(wanted, column);
  const notNull = !isKey && !column.nullable;
  if (!narrow && !notNull) return undefined;
  const findings = [
    ...(narrow ? [`is ${column.type}, which does not hold every ${type}`] : []),
    ...(notNull ? ['is NOT NULL, but a delete carries no more than the key'] : []),
  ];
  // MODIFY COLUMN drops what it does not repeat (doris-target.md §3.3).
  const words = [
    'MODIFY COLUMN',
    identifier(wanted.name),
    narrow ? type : column.type,
    ...(isKey ? ['KEY', column.nullable ? 'NULL' : 'NOT NULL'] : ['NULL']),
    ...(column.defaultValue === undefined ? [] : ['DEFAULT', defaultText(column.defaultValue)]),
    ...(column.comment === '' ? [] : ['COMMENT', quoted(column.comment)]),
  ];
  return { what: `column ${wanted.name} ${findings.join(', and ')}`, clause: words.join(' ') };
}

/** A default as DESC prints it, as DDL reads it: functions stand bare, literals are quoted whatever their type. */
function defaultText(value: string): string {
  return /^(CURRENT_TIMESTAMP(\(\d\))?|CURRENT_DATE)$/i.test(value) ? value : quoted(value);
}

/** Doris 4.0 made BOOLEAN of `tinyint(1)` (cdc-semantics.md §1.1): its tables stay usable. */
function isDorisOwnBoolean(wanted: ColumnSpec, column: TargetColumn): boolean {
  return (
    /^tinyint\(1\)/i.test(wanted.sourceType) && /^(boolean|tinyint\(1\))$/i.test(column.type.trim())
  );
}

/** Columns that Doris gets, key columns first and in key order. */
function copied(table: TableSpec): readonly ColumnSpec[] {
  const byName = new Map(table.columns.map((column) => [column.name, column]));
  const values = table.columns.filter(
    ({ name, excluded }) => excluded !== true && !table.key.includes(name),
  );
  return [...table.key.flatMap((name) => byName.get(name) ?? []), ...values];
}

function definition(table: TableSpec, column: ColumnSpec): string {
  const nullability = table.key.includes(column.name) ? 'NOT NULL' : 'NULL';
  return `${identifier(column.name)} ${targetType(table, column)} ${nullability}`;
}

/** A STRING cannot be a key: the longest VARCHAR takes its place. */
function targetType(table: TableSpec, { name, dorisType }: ColumnSpec): string {
  const isText = /^(STRING|TEXT)$/i.test(dorisType);
  return isText && table.key.includes(name) ? 'VARCHAR(65533)' : dorisType;
}

/** @throws ProxyError TARGET_TABLE for what no table of Doris can take. */
function checkSource(database: string, table: TableSpec): void {
  const findings = copied(table).flatMap((column) => {
    const { name } = column;
    if (name.toUpperCase() === DELETE_SIGN || name.toUpperCase() === SEQUENCE_COLUMN) {
      return [`column ${name} has the name of a hidden column of Doris`];
    }
    if (!table.key.includes(name) || KEY_TYPES.test(targetType(table, column))) return [];
    return [`key column ${name} is ${column.dorisType}, which Doris does not take as a key`];
  });
  if (findings.length === 0) return;
  throw new ProxyError(
    'TARGET_TABLE',
    `table ${database}.${table.target} cannot be a copy of ${tableId(table)}: ${findings.join('; ')}`,
  );
}

/**
 * Names that Doris takes with `enable_unicode_name_support` (doris-target.md §3.5); whether it takes letters beyond ASCII is for
 * Doris to say.
 */
const TABLE_NAME = /^[a-z\p{L}][a-z0-9\-_\p{L}]{0,63}$/iu;
const COLUMN_NAME = /^[.a-z0-9_+\-/?@#$%^&*"\s,:\p{L}]{1,256}$/iu;
const RESERVED_COLUMN_NAME = /^(__doris_|mva?_)/i;

/** @throws ProxyError TARGET_TABLE naming what Doris does not take, with the cure. */
function checkNames(database: string, table: TableSpec): void {
  const findings: string[] = [];
  if (!TABLE_NAME.test(table.target)) {
    findings.push(
      `Doris takes no table name but letters, digits, - and _, a letter first, 64 at most; set "table.${table.name}.target_table"`,
    );
  }
  const seen = new Map<string, string>();
  for (const { name } of copied(table)) {
    const other = seen.get(name.toLowerCase());
    seen.set(name.toLowerCase(), name);
    const cure = table.key.includes(name)
      ? 'rename it at the source'
      : `rename it at the source, or leave it out by "table.${table.name}.exclude_columns"`;
    if (other !== undefined) {
      findings.push(`columns ${other} and ${name} are one name to Doris: ${cure}`);
    } else if (!COLUMN_NAME.test(name) || RESERVED_COLUMN_NAME.test(name)) {
      findings.push(`Doris takes no column named ${name}: ${cure}`);
    }
  }
  if (findings.length === 0) return;
  throw new ProxyError(
    'TARGET_TABLE',
    `table ${database}.${table.target} cannot be made for ${tableId(table)}: ${findings.join('; ')}`,
  );
}

/** @throws ProxyError TARGET_TABLE for a sequence column that would make the copy differ from its source. */
function checkSequence(database: string, table: TableSpec, properties: Properties): void {
  const type = properties[CREATE_PROPERTY + SEQUENCE_TYPE];
  const column = properties[CREATE_PROPERTY + SEQUENCE_BY_COLUMN];
  const wrong =
    column !== undefined
      ? `${SEQUENCE_BY_COLUMN} = ${column}: a change that lowers the column would be lost`
      : type !== undefined && !SEQUENCE_TYPES.test(type)
        ? `${SEQUENCE_TYPE} = ${type}: it does not hold the number of a task`
        : undefined;
  if (wrong === undefined) return;
  throw new ProxyError(
    'TARGET_TABLE',
    `table ${database}.${table.target} cannot be made with ${wrong}; use ${CREATE_PROPERTY}${SEQUENCE_TYPE} = bigint`,
  );
}

function tableProperties(properties: Properties): readonly (readonly [string, string])[] {
  const given = Object.entries(properties)
    .filter(([name]) => name.startsWith(CREATE_PROPERTY))
    .map(([name, value]) => [name.slice(CREATE_PROPERTY.length), value] as const);
  // The default since 2.1, said all the same: a cluster's setting may differ, and upserts rely on its speed.
  const merge = 'enable_unique_key_merge_on_write';
  return given.some(([name]) => name === merge) ? given : [[merge, 'true'], ...given];
}

function tableName(database: string, table: string): string {
  return `${identifier(database)}.${identifier(table)}`;
}

/** A name as Doris' parser reads it back. */
export function identifier(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** A string literal of Doris' parser. Backslash escapes are on, whatever the cluster's `sql_mode`: `FrontendClient` sets its own. */
function quoted(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\0', '\\0');
  return `"${escaped}"`;
}
