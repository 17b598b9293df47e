import { ProxyError } from '../model/error.ts';
import { parseMysqlType, type MysqlType } from './mysql-type.ts';

/** Doris' limits in bytes (doris-target.md §3.2). */
const CHAR_BYTES_MAX = 255;
const VARCHAR_BYTES_MAX = 65_533;
const DECIMAL_DIGITS_MAX = 38;

/** MySQL's lengths are characters, Doris' are bytes of UTF-8; three would lose what utf8mb4 can hold. */
const BYTES_PER_CHARACTER = 4;

type Rule = (type: MysqlType) => string;

const string: Rule = () => 'STRING';
const signedOr =
  (signed: string, unsigned: string): Rule =>
  (type) =>
    type.unsigned ? unsigned : signed;

/** One rule for each type of MySQL 9 and MariaDB 11; what is not in it is refused, not guessed. */
const RULES: Readonly<Record<string, Rule>> = {
  // TINYINT(1) too: it may hold -1 or 2, which BOOLEAN would fold.
  tinyint: signedOr('TINYINT', 'SMALLINT'),
  smallint: signedOr('SMALLINT', 'INT'),
  mediumint: () => 'INT',
  int: signedOr('INT', 'BIGINT'),
  bigint: signedOr('BIGINT', 'LARGEINT'),
  float: () => 'FLOAT',
  double: () => 'DOUBLE',
  decimal,
  bit: (type) => ((type.args[0] ?? 1) === 1 ? 'BOOLEAN' : 'STRING'),
  year: () => 'SMALLINT',
  date: () => 'DATE',
  datetime: (type) => datetime(type.args[0] ?? 0),
  timestamp: (type) => datetime(type.args[0] ?? 0),
  // Doris has no TIME that can be stored.
  time: string,
  char: (type) => text(type.args[0] ?? 1, true),
  varchar: (type) => text(type.args[0] ?? 1, false),
  tinytext: string,
  text: string,
  mediumtext: string,
  longtext: string,
  // Base64.
  binary: string,
  varbinary: string,
  tinyblob: string,
  blob: string,
  mediumblob: string,
  longblob: string,
  enum: string,
  set: string,
  json: string,
  // Well-known text with the SRID in front.
  geometry: string,
  point: string,
  linestring: string,
  polygon: string,
  multipoint: string,
  multilinestring: string,
  multipolygon: string,
  geometrycollection: string,
  vector: () => 'ARRAY<FLOAT>',
  uuid: string,
  inet4: string,
  inet6: string,
};

/** Every type of {@link mysqlToDoris}, as `information_schema` names it. */
export const MYSQL_TYPES: readonly string[] = Object.keys(RULES);

/**
 * The Doris type for a column of MySQL or MariaDB (cdc-semantics.md §1.1, with §1.7's lossless rules).
 * The one mapping for CREATE TABLE and ADD COLUMN.
 *
 * A key column cannot be STRING in Doris, nor FLOAT or DOUBLE: it becomes VARCHAR(65533), which holds the same text. A number's text
 * is canonical (the shortest that reads back as the same value), so equal numbers are equal keys.
 *
 * @throws ProxyError SOURCE_TABLE for a type that is not known.
 */
export function mysqlToDoris(columnType: string, role: 'key' | 'value' = 'value'): string {
  const type = parseMysqlType(columnType);
  const rule = RULES[type.name];
  if (rule === undefined || !Object.hasOwn(RULES, type.name)) {
    throw new ProxyError('SOURCE_TABLE', `Unsupported column type: ${columnType}`);
  }
  const doris = rule(type);
  return role === 'key' && /^(STRING|FLOAT|DOUBLE)$/.test(doris)
    ? `VARCHAR(${VARCHAR_BYTES_MAX})`
    : doris;
}

function decimal(type: MysqlType): string {
  const [precision = 10, scale = 0] = type.args;
  // As the Doris job does: an unsigned one gets a digit more.
  const digits = precision + (type.unsigned ? 1 : 0);
  return digits <= DECIMAL_DIGITS_MAX ? `DECIMAL(${digits},${scale})` : 'STRING';
}

function datetime(fractionDigits: number): string {
  return fractionDigits === 0 ? 'DATETIME' : `DATETIME(${fractionDigits})`;
}

function text(characters: number, fixed: boolean): string {
  const bytes = BYTES_PER_CHARACTER * Math.max(1, characters);
  if (fixed && bytes <= CHAR_BYTES_MAX) return `CHAR(${bytes})`;
  return bytes <= VARCHAR_BYTES_MAX ? `VARCHAR(${bytes})` : 'STRING';
}
