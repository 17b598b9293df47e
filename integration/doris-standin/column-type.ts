import { notModelled, refusal } from './sql-error.ts';
import { isSymbol, type Statement } from './tokens.ts';

type SimpleName =
  | 'BOOLEAN'
  | 'TINYINT'
  | 'SMALLINT'
  | 'INT'
  | 'BIGINT'
  | 'LARGEINT'
  | 'FLOAT'
  | 'DOUBLE'
  | 'DATE'
  | 'STRING'
  | 'JSON'
  | 'VARIANT';

/** A storable type of Doris (doris-target.md §3.2) that the stand-in models. */
export type ColumnType =
  | { readonly name: SimpleName }
  | { readonly name: 'DECIMAL'; readonly precision: number; readonly scale: number }
  | { readonly name: 'DATETIME'; readonly scale: number }
  /** `length` in bytes. */
  | { readonly name: 'CHAR' | 'VARCHAR'; readonly length: number }
  | { readonly name: 'ARRAY'; readonly item: ColumnType };

const ALIASES: Readonly<Record<string, SimpleName>> = {
  BOOL: 'BOOLEAN',
  INTEGER: 'INT',
  TEXT: 'STRING',
  JSONB: 'JSON',
};

const SIMPLE: ReadonlySet<string> = new Set<SimpleName>([
  'BOOLEAN',
  'TINYINT',
  'SMALLINT',
  'INT',
  'BIGINT',
  'LARGEINT',
  'FLOAT',
  'DOUBLE',
  'DATE',
  'STRING',
  'JSON',
  'VARIANT',
]);

/** Inclusive bounds of the integer types. */
export const INTEGER_BITS: Readonly<Record<string, number>> = {
  TINYINT: 8,
  SMALLINT: 16,
  INT: 32,
  BIGINT: 64,
  LARGEINT: 128,
};

function argument(statement: Statement, name: string, min: number, max: number): number {
  const value = statement.integer();
  if (value < min || value > max)
    throw refusal(`${name} size must be between ${min} and ${max}: ${value}`);
  return value;
}

/** Reads a type of a column definition. @throws SqlError for a type out of bounds or not storable. */
export function parseColumnType(statement: Statement): ColumnType {
  const word = statement.identifier().toUpperCase();
  const name = ALIASES[word] ?? word;
  if (name === 'DECIMAL' || name === 'DECIMALV3') return parseDecimal(statement);
  if (name === 'DATETIME' || name === 'DATETIMEV2') {
    if (!statement.acceptSymbol('(')) return { name: 'DATETIME', scale: 0 };
    const scale = argument(statement, 'DATETIME', 0, 6);
    statement.expectSymbol(')');
    return { name: 'DATETIME', scale };
  }
  if (name === 'CHAR' || name === 'VARCHAR') {
    if (!statement.acceptSymbol('(')) return { name, length: name === 'CHAR' ? 1 : 65533 };
    const length = argument(statement, name, 1, name === 'CHAR' ? 255 : 65533);
    statement.expectSymbol(')');
    return { name, length };
  }
  if (name === 'ARRAY') {
    statement.expectSymbol('<');
    const item = parseColumnType(statement);
    if (item.name === 'ARRAY') throw notModelled('nested ARRAY types');
    statement.expectSymbol('>');
    return { name, item };
  }
  if (!SIMPLE.has(name)) throw notModelled(`the column type ${word}`);
  // A display width as in MySQL's int(11) is legal and without effect.
  if (INTEGER_BITS[name] !== undefined && isSymbol(statement.peek(), '('))
    statement.list(() => statement.integer());
  return { name: name as SimpleName };
}

function parseDecimal(statement: Statement): ColumnType {
  if (!statement.acceptSymbol('(')) return { name: 'DECIMAL', precision: 38, scale: 9 };
  const precision = argument(statement, 'DECIMAL precision', 1, 38);
  const scale = statement.acceptSymbol(',')
    ? argument(statement, 'DECIMAL scale', 0, precision)
    : 0;
  statement.expectSymbol(')');
  return { name: 'DECIMAL', precision, scale };
}

/** The type as `DESC`, `COLUMN_TYPE` and `SHOW CREATE TABLE` print it. */
export function typeText(type: ColumnType): string {
  const name = type.name.toLowerCase();
  if (type.name === 'DECIMAL') return `decimal(${type.precision},${type.scale})`;
  if (type.name === 'DATETIME') return type.scale === 0 ? name : `datetime(${type.scale})`;
  if (type.name === 'CHAR' || type.name === 'VARCHAR') return `${name}(${type.length})`;
  if (type.name === 'ARRAY') return `array<${typeText(type.item)}>`;
  return type.name === 'STRING' ? 'text' : name;
}

const DUCK_NAMES: Readonly<Partial<Record<ColumnType['name'], string>>> = {
  DATETIME: 'TIMESTAMP',
  INT: 'INTEGER',
  LARGEINT: 'HUGEINT',
  CHAR: 'VARCHAR',
  STRING: 'VARCHAR',
  JSON: 'VARCHAR',
  VARIANT: 'VARCHAR',
  ARRAY: 'VARCHAR',
};

/** Where a value of the type lives in DuckDB. Texts of arrays and JSON are kept as Doris prints them. */
export function duckType(type: ColumnType): string {
  if (type.name === 'DECIMAL') return typeText(type);
  return DUCK_NAMES[type.name] ?? type.name;
}

/** Types that may not be a key column (§3.2). */
const NOT_KEYS: ReadonlySet<string> = new Set([
  'FLOAT',
  'DOUBLE',
  'STRING',
  'JSON',
  'VARIANT',
  'ARRAY',
]);

export function mayBeKey(type: ColumnType): boolean {
  return !NOT_KEYS.has(type.name);
}

/** What a column definition packet says of a type (§4.4). */
export interface WireType {
  readonly code: number;
  readonly charset: 33 | 63;
  readonly length: number;
  readonly decimals: number;
}

const WIRE: Readonly<Record<ColumnType['name'], WireType>> = {
  BOOLEAN: { code: 1, charset: 63, length: 1, decimals: 0 },
  TINYINT: { code: 1, charset: 63, length: 4, decimals: 0 },
  SMALLINT: { code: 2, charset: 63, length: 6, decimals: 0 },
  INT: { code: 3, charset: 63, length: 11, decimals: 0 },
  BIGINT: { code: 8, charset: 63, length: 20, decimals: 0 },
  LARGEINT: { code: 254, charset: 33, length: 255, decimals: 0 },
  FLOAT: { code: 4, charset: 63, length: 12, decimals: 31 },
  DOUBLE: { code: 5, charset: 63, length: 22, decimals: 31 },
  DECIMAL: { code: 246, charset: 63, length: 0, decimals: 0 },
  DATE: { code: 10, charset: 63, length: 10, decimals: 0 },
  DATETIME: { code: 12, charset: 63, length: 19, decimals: 0 },
  CHAR: { code: 254, charset: 33, length: 255, decimals: 0 },
  VARCHAR: { code: 254, charset: 33, length: 255, decimals: 0 },
  STRING: { code: 252, charset: 63, length: 255, decimals: 0 },
  JSON: { code: 245, charset: 63, length: 255, decimals: 0 },
  VARIANT: { code: 245, charset: 63, length: 255, decimals: 0 },
  ARRAY: { code: 254, charset: 33, length: 255, decimals: 0 },
};

export function wireType(type: ColumnType): WireType {
  const wire = WIRE[type.name];
  if (type.name === 'DATETIME') return { ...wire, decimals: type.scale };
  if (type.name !== 'DECIMAL') return wire;
  const length = type.precision + (type.scale > 0 ? 2 : 1);
  return { ...wire, length, decimals: type.scale };
}
