/** A Postgres column's type, domains already followed to their base (`pg_type.typbasetype`, `typtypmod`). */
export interface PostgresType {
  readonly oid: number;
  /** `atttypmod`, or the domain's; -1: none. */
  readonly modifier: number;
  /** `pg_type.typname`: tells extension types (hstore), whose OIDs differ from database to database. */
  readonly name: string;
  /** The element type of a true array (`pg_type.typarray` points back here), else undefined. */
  readonly element?: PostgresType;
  /** Declared dimensions of an array (`pg_attribute.attndims`); Postgres itself does not enforce them. */
  readonly dimensions?: number;
}

/** OIDs of built-in types (`pg_type.dat`); they never change. */
export const OID = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  oid: 26,
  float4: 700,
  float8: 701,
  bpchar: 1042,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  bit: 1560,
  numeric: 1700,
} as const;

/** The most that Doris takes as DECIMAL without `enable_decimal256`. */
const DECIMAL_MAX = 38;
const CHAR_BYTES_MAX = 255;
const VARCHAR_BYTES_MAX = 65_533;
/** Doris counts bytes, Postgres characters. Doris' own jobs reckon with three (cdc-semantics.md §1.4), and lose an emoji. */
const BYTES_PER_CHARACTER = 4;
const HEADER = 4;

/**
 * The Doris type for a Postgres column (cdc-semantics.md §1.4), in creation and for added columns alike. What Doris has no
 * exact type for is STRING, which takes the server's text: no type is refused and none is narrowed.
 *
 * `key`: the column is part of the primary key. Doris takes neither floating point nor arrays there; their
 * text, as STRING, is as unique as the value.
 */
export function postgresToDoris(type: PostgresType, key: boolean): string {
  if (type.element !== undefined) return key ? 'STRING' : arrayType(type.element, type.dimensions);
  if (key && (type.oid === OID.float4 || type.oid === OID.float8)) return 'STRING';
  return scalarType(type);
}

/** Postgres stores 0 dimensions for arrays that came from `CREATE TABLE AS`. */
function arrayType(element: PostgresType, dimensions = 1): string {
  const depth = Math.max(1, dimensions);
  return `${'ARRAY<'.repeat(depth)}${scalarType(element)}${'>'.repeat(depth)}`;
}

function scalarType(type: PostgresType): string {
  const { modifier } = type;
  switch (type.oid) {
    case OID.bool:
      return 'BOOLEAN';
    case OID.int2:
      return 'SMALLINT';
    case OID.int4:
      return 'INT';
    case OID.int8:
    case OID.oid:
      return 'BIGINT';
    case OID.float4:
      return 'FLOAT';
    case OID.float8:
      return 'DOUBLE';
    case OID.numeric:
      return modifier < HEADER ? 'STRING' : decimalType(modifier - HEADER);
    case OID.date:
      return 'DATE';
    case OID.timestamp:
    case OID.timestamptz:
      return `DATETIME(${modifier < 0 ? 6 : modifier})`;
    case OID.bpchar:
      return modifier < HEADER ? 'STRING' : charType(modifier - HEADER);
    case OID.bit:
      return modifier === 1 ? 'BOOLEAN' : 'STRING';
    default:
      return 'STRING';
  }
}

/**
 * Precision in the high half, scale in 11 signed bits: since Postgres 15 it may be negative (`numeric(3,-2)` holds 12300)
 * or exceed the precision (`numeric(3,5)` holds 0.00123); both widen to digits that Doris can declare.
 */
function decimalType(packed: number): string {
  const scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
  const precision = packed >> 16;
  const digits = Math.max(precision - Math.min(0, scale), scale);
  return digits > DECIMAL_MAX ? 'STRING' : `DECIMAL(${digits},${Math.max(0, scale)})`;
}

function charType(characters: number): string {
  const bytes = characters * BYTES_PER_CHARACTER;
  if (bytes <= CHAR_BYTES_MAX) return `CHAR(${bytes})`;
  return bytes <= VARCHAR_BYTES_MAX ? `VARCHAR(${bytes})` : 'STRING';
}
