import {
  type Catalog,
  type Column,
  type ColumnDefault,
  type Sequence,
  type Table,
} from './catalog.ts';
import { type ColumnType, mayBeKey, parseColumnType, typeText } from './column-type.ts';
import { STRING } from './json-line.ts';
import { ddlError, notModelled, refusal } from './sql-error.ts';
import { isSymbol, isWord, type Statement } from './tokens.ts';
import { converterFor, Rejected } from './values.ts';

/** A column as written in CREATE or ALTER TABLE. */
export interface ColumnDefinition {
  readonly name: string;
  readonly type: ColumnType;
  readonly key: boolean;
  readonly nullable: boolean;
  readonly default?: ColumnDefault;
  readonly comment: string;
}

interface TableDefinition {
  readonly columns: readonly ColumnDefinition[];
  readonly model: 'UNIQUE' | 'DUPLICATE' | undefined;
  readonly keys: readonly string[];
  readonly comment: string;
  readonly hash: readonly string[] | undefined;
  readonly buckets: number | 'AUTO';
  readonly properties: ReadonlyMap<string, string>;
}

/** `name type [KEY] [[NOT] NULL] [DEFAULT value] [COMMENT 'text']` */
export function parseColumn(statement: Statement): ColumnDefinition {
  const name = statement.identifier();
  const type = parseColumnType(statement);
  if (isWord(statement.peek(), 'AUTO_INCREMENT')) throw notModelled('AUTO_INCREMENT');
  const key = statement.accept('KEY');
  const nullable = !statement.accept('NOT', 'NULL');
  if (nullable) statement.accept('NULL');
  const value = statement.accept('DEFAULT') ? parseDefault(statement) : undefined;
  const comment = statement.accept('COMMENT') ? statement.string() : '';
  const definition = { name, type, key, nullable, comment };
  checkColumnName(name);
  if (value === undefined) return definition;
  checkDefault(definition, value);
  return { ...definition, default: value };
}

function parseDefault(statement: Statement): ColumnDefault {
  if (statement.accept('NULL')) return { kind: 'null' };
  if (statement.accept('CURRENT_TIMESTAMP')) {
    if (isSymbol(statement.peek(), '('))
      statement.list(() => (isSymbol(statement.peek(), ')') ? 0 : statement.integer()));
    return { kind: 'now' };
  }
  if (statement.accept('CURRENT_DATE')) return { kind: 'now' };
  const minus = statement.acceptSymbol('-') ? '-' : '';
  const token = statement.next();
  // A bare TRUE is a syntax error in Doris: a BOOLEAN default must be quoted (§3.2).
  if (token.kind !== 'string' && token.kind !== 'number')
    throw statement.error('a quoted default value', token);
  return { kind: 'literal', text: minus + token.text };
}

function checkDefault({ name, type, nullable }: ColumnDefinition, value: ColumnDefault): void {
  const wrong = refusal(`Invalid default value for '${name}'`);
  if (value.kind === 'null' && !nullable)
    throw refusal(`Can not set null default value to non nullable column: ${name}`);
  if (value.kind === 'now' && type.name !== 'DATETIME' && type.name !== 'DATE') throw wrong;
  if (value.kind !== 'literal') return;
  if (['JSON', 'VARIANT', 'ARRAY'].includes(type.name))
    throw refusal(`${type.name} type column default value just support null`);
  const convert = converterFor(type, { zoneMinutes: undefined, stringBytesMax: 1_048_576 });
  if (convert(STRING, value.text) instanceof Rejected) throw wrong;
}

/** Names by doris-target.md §3.5. @throws SqlError 1102, 1103, 1166 */
export function checkDatabaseName(name: string): void {
  if (!/^[a-zA-Z][a-zA-Z0-9\-_]{0,63}$/.test(name))
    throw ddlError(1102, `Incorrect database name '${name}'`);
}

export function checkTableName(name: string): void {
  if (!/^[a-zA-Z][a-zA-Z0-9\-_]{0,63}$/.test(name))
    throw ddlError(
      1103,
      `Incorrect table name '${name}'. Table name regex is '^[a-zA-Z][a-zA-Z0-9\\-_]*$'`,
    );
}

export function checkColumnName(name: string): void {
  const pattern = /^[.a-zA-Z0-9_+\-/?@#$%^&*"\s,:]{1,256}$/;
  if (!pattern.test(name) || /^(?:__doris_shadow_|mva?_|__DORIS_)/i.test(name))
    throw ddlError(1166, `Incorrect column name '${name}'. Column regex is '${pattern.source}'`);
}

/** What follows `CREATE TABLE [IF NOT EXISTS] path`. */
export function parseTableDefinition(statement: Statement): TableDefinition {
  const columns = statement.list(() => {
    if (isWord(statement.peek(), 'INDEX')) throw notModelled('indexes');
    return parseColumn(statement);
  });
  if (statement.accept('ENGINE')) {
    statement.expectSymbol('=');
    if (statement.identifier().toUpperCase() !== 'OLAP') throw notModelled('engines but OLAP');
  }
  let model: TableDefinition['model'];
  if (statement.accept('UNIQUE', 'KEY')) model = 'UNIQUE';
  else if (statement.accept('DUPLICATE', 'KEY')) model = 'DUPLICATE';
  const keys = model === undefined ? [] : statement.list(() => statement.identifier());
  const comment = statement.accept('COMMENT') ? statement.string() : '';
  let hash: string[] | undefined;
  let buckets: number | 'AUTO' = 10;
  if (statement.accept('DISTRIBUTED', 'BY')) {
    if (!statement.accept('RANDOM')) {
      statement.expect('HASH');
      hash = statement.list(() => statement.identifier());
    }
    if (statement.accept('BUCKETS'))
      buckets = statement.accept('AUTO') ? 'AUTO' : statement.integer();
  }
  const properties = statement.accept('PROPERTIES')
    ? statement.properties()
    : new Map<string, string>();
  statement.end();
  return { columns, model, keys, comment, hash, buckets, properties };
}

/** Builds a table after the checks of §3.1, §3.2. `backends` bounds the replicas. */
export function buildTable(
  catalog: Catalog,
  name: string,
  definition: TableDefinition,
  backends: number,
): Table {
  checkTableName(name);
  const model = definition.model ?? 'DUPLICATE';
  const keyNames = definition.model === undefined ? defaultKeys(definition) : definition.keys;
  checkKeys(definition.columns, keyNames, model);
  checkProperties(definition.properties, backends);
  const columns = definition.columns.map(({ key: _key, ...column }, i): Column => ({
    ...column,
    id: catalog.nextId(),
    isKey: i < keyNames.length,
  }));
  const sequence = sequenceOf(definition.properties, columns, model);
  return {
    id: catalog.nextId(),
    name,
    model,
    columns,
    comment: definition.comment,
    buckets: { columnIds: bucketColumns(definition, columns, model), count: definition.buckets },
    properties: Object.fromEntries(definition.properties),
    ...(sequence === undefined ? {} : { sequence }),
    createTimeMs: Date.now(),
    version: 1,
    alterJobs: [],
  };
}

/** Without a key clause Doris takes up to three leading columns as sort key of a DUPLICATE table. */
function defaultKeys({ columns }: TableDefinition): string[] {
  const keys: string[] = [];
  for (const { name, type } of columns.slice(0, 3)) {
    if (!mayBeKey(type)) break;
    keys.push(name);
    if (type.name === 'VARCHAR') break;
  }
  if (keys.length === 0)
    throw refusal(
      'The olap table first column could not be float, double, string or array, struct, map, please use decimal or varchar instead.',
    );
  return keys;
}

function checkKeys(
  columns: readonly ColumnDefinition[],
  keys: readonly string[],
  model: string,
): void {
  const seen = new Set<string>();
  for (const { name } of columns) {
    if (seen.has(name.toLowerCase())) throw ddlError(1060, `Duplicate column name '${name}'`);
    seen.add(name.toLowerCase());
  }
  const marked = columns.find(({ key }) => key);
  if (marked !== undefined) throw notModelled('KEY behind a column of CREATE TABLE');
  keys.forEach((key, i) => {
    const column = columns[i];
    if (!seen.has(key.toLowerCase())) throw refusal(`Key column[${key}] doesn't exist.`);
    if (column?.name.toLowerCase() !== key.toLowerCase())
      throw refusal(
        `Key columns should be a ordered prefix of the schema. KeyColumns[${i}] (starts from zero) is ${key}, but corresponding column is ${column?.name} in the previous columns declaration.`,
      );
    if (column.type.name === 'FLOAT' || column.type.name === 'DOUBLE')
      throw refusal('Float or double can not used as a key, use decimal instead.');
    if (!mayBeKey(column.type))
      throw refusal(`${typeText(column.type)} type should not be used in key column[${key}].`);
  });
  if (model === 'UNIQUE' && keys.length === 0) throw refusal('UNIQUE KEY needs columns');
}

function bucketColumns(
  { hash }: TableDefinition,
  columns: readonly Column[],
  model: string,
): number[] {
  if (hash === undefined) {
    if (model === 'UNIQUE')
      throw refusal('Create unique keys table should not contain random distribution desc');
    return [];
  }
  return hash.map((name) => {
    const column = columns.find((each) => each.name.toLowerCase() === name.toLowerCase());
    if (column === undefined) throw refusal(`Distribution column(${name}) doesn't exist.`);
    if (model === 'UNIQUE' && !column.isKey)
      throw refusal(`Distribution column[${name}] is not key column`);
    if (!mayBeKey(column.type))
      throw refusal(
        `${typeText(column.type)} Type should not be used in distribution column[${name}].`,
      );
    return column.id;
  });
}

/** Properties without an effect here, with the values that Doris takes. */
const PROPERTIES: Readonly<Record<string, RegExp>> = {
  replication_num: /^[1-9]\d*$/,
  replication_allocation: /^tag\.location\.default:\s*[1-9]\d*$/,
  enable_unique_key_merge_on_write: /^(?:true|false)$/i,
  light_schema_change: /^(?:true|false)$/i,
  'function_column.sequence_col': /^.+$/,
  'function_column.sequence_type': /^.+$/,
  compression: /^(?:LZ4|ZSTD|SNAPPY|ZLIB|LZ4F)$/i,
  store_row_column: /^(?:true|false)$/i,
  disable_auto_compaction: /^(?:true|false)$/i,
  estimate_partition_size: /^\d+[KMGT]?B?$/i,
};

function checkProperties(properties: ReadonlyMap<string, string>, backends: number): void {
  for (const [key, value] of properties)
    if (PROPERTIES[key]?.test(value) !== true)
      throw refusal(`Unknown properties: {${key}=${value}}`);
  const replicas = Number(
    properties.get('replication_num') ??
      properties.get('replication_allocation')?.split(':')[1] ??
      3,
  );
  if (replicas > backends)
    throw refusal(
      `Failed to find enough backend, please check the replication num,replication tag and storage medium and avail capacity of backends or maybe all be on same host.\nCreate failed replications:\nreplication tag: {"location" : "default"}, replication num: ${replicas}, storage medium: HDD`,
    );
}

function sequenceOf(
  properties: ReadonlyMap<string, string>,
  columns: readonly Column[],
  model: string,
): Sequence | undefined {
  const name = properties.get('function_column.sequence_col');
  const word = properties.get('function_column.sequence_type');
  if (name === undefined && word === undefined) return undefined;
  if (model !== 'UNIQUE') throw refusal('sequence column only support UNIQUE_KEYS');
  const column = columns.find((each) => each.name.toLowerCase() === name?.toLowerCase());
  if (name !== undefined && column === undefined)
    throw refusal(`The specified sequence column[${name}] not exists`);
  const type = column?.type.name ?? word?.toUpperCase() ?? '';
  if (!['TINYINT', 'SMALLINT', 'INT', 'BIGINT', 'LARGEINT', 'DATE', 'DATETIME'].includes(type))
    throw refusal(`Sequence type only support integer types and date types: ${type}`);
  if (column !== undefined) return { kind: 'column', columnId: column.id };
  if (type === 'DATETIME') return { kind: 'type', type: { name: 'DATETIME', scale: 0 } };
  return { kind: 'type', type: { name: type as 'BIGINT' } };
}

const named = (list: readonly Column[]): string => list.map(({ name }) => `\`${name}\``).join(', ');

/** `SHOW CREATE TABLE`: with the properties that Doris adds; readers must parse, not compare (§6). */
export function createTableText(table: Table): string {
  const columns = table.columns.map((column) => {
    const value = column.default;
    const shown =
      value === undefined
        ? ''
        : value.kind === 'literal'
          ? ` DEFAULT "${value.text}"`
          : ` DEFAULT ${value.kind === 'null' ? 'NULL' : 'CURRENT_TIMESTAMP'}`;
    const comment =
      column.comment === '' ? '' : ` COMMENT '${column.comment.replaceAll("'", "\\'")}'`;
    return `  \`${column.name}\` ${typeText(column.type)} ${column.nullable ? 'NULL' : 'NOT NULL'}${shown}${comment}`;
  });
  const keys = named(table.columns.filter(({ isKey }) => isKey));
  const buckets = table.columns.filter(({ id }) => table.buckets.columnIds.includes(id));
  const replicas = table.properties['replication_num'] ?? '1';
  const properties: Record<string, string> = {
    replication_allocation: `tag.location.default: ${replicas}`,
    min_load_replica_num: '-1',
    storage_format: 'V2',
    ...(table.model === 'UNIQUE' ? { enable_unique_key_merge_on_write: 'true' } : {}),
    light_schema_change: 'true',
    ...table.properties,
    group_commit_interval_ms: '10000',
    group_commit_data_bytes: '134217728',
  };
  delete properties['replication_num'];
  const lines = Object.entries(properties).map(([key, value]) => `"${key}" = "${value}"`);
  const comment = table.comment === '' ? '' : `COMMENT '${table.comment.replaceAll("'", "\\'")}'\n`;
  const distribution = buckets.length === 0 ? 'RANDOM' : `HASH(${named(buckets)})`;
  return `CREATE TABLE \`${table.name}\` (\n${columns.join(',\n')}\n) ENGINE=OLAP\n${table.model} KEY(${keys})\n${comment}DISTRIBUTED BY ${distribution} BUCKETS ${table.buckets.count}\nPROPERTIES (\n${lines.join(',\n')}\n);`;
}
