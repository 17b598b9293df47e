import { ProxyError } from '../../model/error.ts';
import { ByteReader } from './byte-reader.ts';

/** Column type codes of the log (MySQL: `field_types.h`; 140 and 141 are MariaDB's). */
export const TYPE = {
  TINY: 1,
  SHORT: 2,
  LONG: 3,
  FLOAT: 4,
  DOUBLE: 5,
  TIMESTAMP: 7,
  LONGLONG: 8,
  INT24: 9,
  DATE: 10,
  TIME: 11,
  DATETIME: 12,
  YEAR: 13,
  VARCHAR: 15,
  BIT: 16,
  TIMESTAMP2: 17,
  DATETIME2: 18,
  TIME2: 19,
  BLOB_COMPRESSED: 140,
  VARCHAR_COMPRESSED: 141,
  VECTOR: 242,
  JSON: 245,
  NEWDECIMAL: 246,
  ENUM: 247,
  SET: 248,
  BLOB: 252,
  VAR_STRING: 253,
  STRING: 254,
  GEOMETRY: 255,
} as const;

/** One column as a table map describes it. */
export interface MapColumn {
  /** A code of {@link TYPE}; ENUM and SET already told from STRING. */
  readonly type: number;
  /**
   * VARCHAR, STRING: bytes at most. NEWDECIMAL: `precision << 8 | scale`. BIT: bits. ENUM, SET: bytes of a value.
   * Types with a length in front: bytes of that length. Temporal types: digits of the fraction. Else 0.
   */
  readonly meta: number;
  /** Undefined: the server writes no optional metadata. */
  readonly unsigned: boolean | undefined;
  /** Undefined: `binlog_row_metadata` is not FULL. */
  readonly name: string | undefined;
}

/** A Table_map event: what the rows that name `tableId` look like. One object for each distinct map. */
export interface TableMap {
  readonly tableId: number;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly MapColumn[];
}

/** Bytes of metadata by type code; a type that is in none of the lists has no bytes. */
const META_1: ReadonlySet<number> = new Set([
  TYPE.FLOAT,
  TYPE.DOUBLE,
  TYPE.BLOB,
  TYPE.BLOB_COMPRESSED,
  TYPE.JSON,
  TYPE.GEOMETRY,
  TYPE.VECTOR,
  TYPE.TIMESTAMP2,
  TYPE.DATETIME2,
  TYPE.TIME2,
]);
const META_2: ReadonlySet<number> = new Set([
  TYPE.VARCHAR,
  TYPE.VARCHAR_COMPRESSED,
  TYPE.VAR_STRING,
  TYPE.NEWDECIMAL,
  TYPE.STRING,
  TYPE.ENUM,
  TYPE.SET,
  TYPE.BIT,
]);
const KNOWN: ReadonlySet<number> = new Set(Object.values(TYPE));

/** The columns that the SIGNEDNESS bitmap speaks of, in both servers (run on MySQL 9.7 and MariaDB 10.11). */
const NUMERIC: ReadonlySet<number> = new Set([
  TYPE.TINY,
  TYPE.SHORT,
  TYPE.INT24,
  TYPE.LONG,
  TYPE.LONGLONG,
  TYPE.NEWDECIMAL,
  TYPE.FLOAT,
  TYPE.DOUBLE,
  TYPE.YEAR,
]);

const SIGNEDNESS = 1;
const COLUMN_NAME = 4;

/**
 * Decodes the body of a Table_map event, `reader` standing on the table id (MySQL internals manual: Table_map_event).
 * Of the optional metadata we take signs and names, to compare with the table's description; what else is in
 * it (charsets, labels, keys) the description has too.
 *
 * @throws ProxyError UNDECODABLE for a column type that no server known to us writes.
 */
export function parseTableMap(reader: ByteReader): TableMap {
  const tableId = reader.uint48();
  reader.skip(2); // flags: nothing that changes what rows mean
  const schema = name(reader);
  const table = name(reader);
  const count = reader.lengthEncoded();
  const types = reader.slice(count);
  const meta = new ByteReader(reader.bytes, reader.at, reader.end);
  const metaBytes = meta.lengthEncoded();
  meta.skip(0);
  const columns = [...types].map((type) => readColumn(type, meta, `${schema}.${table}`));
  reader.at = meta.at;
  if (metaBytes > reader.end)
    throw new ProxyError('UNDECODABLE', `Table map of ${schema}.${table}`);
  reader.skip((count + 7) >> 3); // which columns may be NULL; every row says which ones are
  const optional = readOptional(reader, columns);
  return {
    tableId,
    schema,
    table,
    columns: columns.map(({ type, meta: typeMeta }, i) => ({
      type,
      meta: typeMeta,
      unsigned: optional.unsigned?.[i],
      name: optional.names?.[i],
    })),
  };
}

function name(reader: ByteReader): string {
  const text = reader.slice(reader.uint8()).toString();
  reader.skip(1); // a zero byte
  return text;
}

type TypeAndMeta = Pick<MapColumn, 'type' | 'meta'>;

function readColumn(type: number, meta: ByteReader, table: string): TypeAndMeta {
  if (!KNOWN.has(type)) {
    throw new ProxyError('UNDECODABLE', `${table} has a column of the unknown type code ${type}.`);
  }
  if (META_1.has(type)) return { type, meta: meta.uint8() };
  if (!META_2.has(type)) return { type, meta: 0 };
  const first = meta.uint8();
  const second = meta.uint8();
  switch (type) {
    case TYPE.NEWDECIMAL:
      return { type, meta: (first << 8) | second };
    case TYPE.BIT:
      return { type, meta: second * 8 + first };
    case TYPE.STRING:
      // One byte for the real type, in whose bits 4 and 5 the length's high bits are stored inverted.
      if (first === TYPE.ENUM || first === TYPE.SET) return { type: first, meta: second };
      return { type, meta: (((first & 0x30) ^ 0x30) << 4) | second };
    case TYPE.ENUM:
    case TYPE.SET:
      return { type, meta: second };
    default:
      return { type, meta: first | (second << 8) };
  }
}

interface Optional {
  readonly unsigned: readonly (boolean | undefined)[] | undefined;
  readonly names: readonly string[] | undefined;
}

function readOptional(reader: ByteReader, columns: readonly TypeAndMeta[]): Optional {
  let unsigned: Optional['unsigned'];
  let names: Optional['names'];
  while (reader.left > 0) {
    const kind = reader.uint8();
    const value = reader.slice(reader.lengthEncoded());
    if (kind === SIGNEDNESS) unsigned = readSigns(value, columns);
    if (kind === COLUMN_NAME) names = readNames(value);
  }
  return { unsigned, names };
}

/** A bit for each numeric column, the first one in the highest bit. */
function readSigns(bits: Buffer, columns: readonly TypeAndMeta[]): (boolean | undefined)[] {
  let nth = 0;
  return columns.map(({ type }) => {
    if (!NUMERIC.has(type)) return undefined;
    const byte = bits[nth >> 3] ?? 0;
    return ((byte >> (7 - (nth++ & 7))) & 1) === 1;
  });
}

function readNames(value: Buffer): string[] {
  const reader = new ByteReader(value, 0, value.length);
  const names: string[] = [];
  while (reader.left > 0) names.push(reader.slice(reader.lengthEncoded()).toString());
  return names;
}
