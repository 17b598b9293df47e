import type { TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { ColumnSpec } from '../../model/table.ts';
import { type MysqlType, parseMysqlType } from '../../typemap/mysql-type.ts';
import { inet4Text, inet6Text, uuidText } from './address.ts';
import { characterBytesMax, isUtf8, textWriter } from './charset.ts';
import { inflateValue } from './compression.ts';
import {
  bitPut,
  enumPut,
  INT_PUTS,
  putDoubleField,
  putFloatField,
  putYear,
  quoted,
  setPut,
} from './fixed-values.ts';
import { decimalBytes, decimalPut, NUMBER_ROOM, type Put } from './number-text.ts';
import { type MapColumn, TYPE } from './table-map.ts';
import * as temporal from './temporal.ts';
import {
  binaryWriter,
  geometryWriter,
  jsonWriter,
  printedWriter,
  writeBase64,
  writeVector,
  type WriteValue,
} from './value-writer.ts';

/** How a column stands in a row image, and how its value becomes JSON. */
export type RowField = FixedField | PrefixedField;

/** Always `size` bytes; the JSON takes at most `room`. */
export interface FixedField {
  readonly kind: 'fixed';
  readonly size: number;
  readonly room: number;
  readonly put: Put;
}

/** A length of `lengthBytes` bytes, little-endian, then the value. */
export interface PrefixedField {
  readonly kind: 'prefixed';
  readonly lengthBytes: number;
  /** The value is UTF-8 text: generated code writes it itself. */
  readonly utf8: boolean;
  readonly write: WriteValue;
}

/** The column's declaration and its table map say different things. */
export class ColumnMismatch extends Error {}

/**
 * The field for a column: the structure follows the table map, which is what the row was written with, after it was
 * compared with the declaration.
 *
 * @throws ColumnMismatch when they disagree; ProxyError SOURCE_TABLE for a type or character set that is not known.
 */
export function rowField(
  column: ColumnSpec,
  map: MapColumn,
  unheld: temporal.Unheld,
  zone: TimeZone,
): RowField {
  const type = parseMysqlType(column.sourceType);
  const make = Object.hasOwn(FIELDS, type.name) ? FIELDS[type.name] : undefined;
  if (make === undefined) {
    throw new ProxyError('SOURCE_TABLE', `Unsupported column type: ${column.sourceType}`);
  }
  const named = NUMERIC_NAMES.has(type.name) && map.unsigned !== undefined;
  expect(!named || map.unsigned === type.unsigned);
  return make({ type, map, column, unheld, zone });
}

interface Context {
  readonly type: MysqlType;
  readonly map: MapColumn;
  readonly column: ColumnSpec;
  readonly unheld: temporal.Unheld;
  readonly zone: TimeZone;
}

type MakeField = (context: Context) => RowField;

/** The types whose sign the log tells. YEAR is always unsigned there and has no sign in its declaration. */
const NUMERIC_NAMES: ReadonlySet<string> = new Set([
  'tinyint',
  'smallint',
  'mediumint',
  'int',
  'bigint',
  'float',
  'double',
  'decimal',
]);

function expect(agrees: boolean): void {
  if (!agrees) throw new ColumnMismatch();
}

function fixed(size: number, room: number, put: Put): FixedField {
  return { kind: 'fixed', size, room, put };
}

const int =
  (code: number, size: 1 | 2 | 3 | 4 | 8): MakeField =>
  ({ type, map }) => {
    expect(map.type === code);
    return fixed(size, NUMBER_ROOM, INT_PUTS[size][type.unsigned ? 'unsigned' : 'signed']);
  };

/** In a key a number is text (mysql-to-doris.ts), so it gets quotes. */
const floating =
  (code: number, size: number, put: Put): MakeField =>
  ({ map, column }) => {
    expect(map.type === code);
    const isText = !/^(FLOAT|DOUBLE)$/.test(column.dorisType);
    return fixed(size, NUMBER_ROOM, isText ? quoted(put) : put);
  };

const decimal: MakeField = ({ type, map }) => {
  const [precision = 10, scale = 0] = type.args;
  expect(map.type === TYPE.NEWDECIMAL && map.meta === ((precision << 8) | scale));
  return fixed(
    decimalBytes(precision, scale),
    precision + NUMBER_ROOM,
    quoted(decimalPut(precision, scale)),
  );
};

const bit: MakeField = ({ type, map }) => {
  const bits = type.args[0] ?? 1;
  expect(map.type === TYPE.BIT && map.meta === bits);
  const bytes = (bits + 7) >> 3;
  return fixed(bytes, 4 * bytes + 8, bitPut(bits));
};

const year: MakeField = ({ map }) => {
  expect(map.type === TYPE.YEAR);
  return fixed(1, NUMBER_ROOM, putYear);
};

const date: MakeField = ({ map, unheld }) => {
  expect(map.type === TYPE.DATE);
  return fixed(3, temporal.TEMPORAL_ROOM, temporal.datePut(unheld));
};

const datetime: MakeField = ({ type, map, unheld }) => {
  const digits = type.args[0] ?? 0;
  if (map.type === TYPE.DATETIME) {
    const put = temporal.oldDatetimePut(digits, unheld);
    return fixed(temporal.OLD_DATETIME_BYTES[digits]!, temporal.TEMPORAL_ROOM, put);
  }
  expect(map.type === TYPE.DATETIME2 && map.meta === digits);
  const put = temporal.datetime2Put(digits, unheld);
  return fixed(temporal.datetime2Bytes(digits), temporal.TEMPORAL_ROOM, put);
};

const timestamp: MakeField = ({ type, map, unheld, zone }) => {
  const digits = type.args[0] ?? 0;
  if (map.type === TYPE.TIMESTAMP) {
    const put = temporal.oldTimestampPut(digits, unheld, zone);
    return fixed(temporal.OLD_TIMESTAMP_BYTES[digits]!, temporal.TEMPORAL_ROOM, put);
  }
  expect(map.type === TYPE.TIMESTAMP2 && map.meta === digits);
  const put = temporal.timestamp2Put(digits, unheld, zone);
  return fixed(temporal.timestamp2Bytes(digits), temporal.TEMPORAL_ROOM, put);
};

const time: MakeField = ({ type, map }) => {
  const digits = type.args[0] ?? 0;
  if (map.type === TYPE.TIME) {
    const put = temporal.oldTimePut(digits);
    return fixed(temporal.OLD_TIME_BYTES[digits]!, temporal.TEMPORAL_ROOM, put);
  }
  expect(map.type === TYPE.TIME2 && map.meta === digits);
  return fixed(temporal.time2Bytes(digits), temporal.TEMPORAL_ROOM, temporal.time2Put(digits));
};

const labels: MakeField = ({ type, map }) => {
  expect(map.type === (type.name === 'enum' ? TYPE.ENUM : TYPE.SET));
  const texts = type.labels.map((label) => JSON.stringify(label).slice(1, -1));
  const { put, room } = type.name === 'enum' ? enumPut(texts, map.meta) : setPut(texts, map.meta);
  return fixed(map.meta, room, put);
};

/** CHAR and VARCHAR keep their length in two bytes when a value may be longer than 255 bytes. */
function prefixed(lengthBytes: number, write: WriteValue, utf8 = false): PrefixedField {
  return { kind: 'prefixed', lengthBytes, utf8, write };
}

const shortLength = (map: MapColumn): number => (map.meta > 255 ? 2 : 1);

function text(context: Context, lengthBytes: number, compressed: boolean): PrefixedField {
  const charset = context.column.charset ?? '';
  const write = textWriter(charset);
  return compressed
    ? prefixed(lengthBytes, inflating(write))
    : prefixed(lengthBytes, write, isUtf8(charset));
}

function inflating(write: WriteValue): WriteValue {
  return (out, source, start, end) => {
    const value = inflateValue(source.subarray(start, end));
    write(out, value, 0, value.length);
  };
}

const char: MakeField = (context) => {
  const { type, map, column } = context;
  const bytes = (type.args[0] ?? 1) * (characterBytesMax(column.charset ?? '') ?? Number.NaN);
  expect(map.type === TYPE.STRING && map.meta === bytes);
  return text(context, shortLength(map), false);
};

const varchar: MakeField = (context) => {
  const { type, map, column } = context;
  if (map.type === TYPE.VARCHAR_COMPRESSED) return text(context, shortLength(map), true);
  const bytes = (type.args[0] ?? 0) * (characterBytesMax(column.charset ?? '') ?? Number.NaN);
  expect(map.type === TYPE.VARCHAR && map.meta === bytes);
  return text(context, shortLength(map), false);
};

const binary: MakeField = ({ type, map }) => {
  const bytes = type.args[0] ?? 1;
  expect(map.type === TYPE.STRING && map.meta === bytes);
  return prefixed(1, binaryWriter(bytes));
};

const varbinary: MakeField = ({ type, map }) => {
  if (map.type === TYPE.VARCHAR_COMPRESSED)
    return prefixed(shortLength(map), inflating(writeBase64));
  expect(map.type === TYPE.VARCHAR && map.meta === type.args[0]);
  return prefixed(shortLength(map), writeBase64);
};

const longText =
  (lengthBytes: number): MakeField =>
  (context) => {
    const { map } = context;
    expect(
      (map.type === TYPE.BLOB || map.type === TYPE.BLOB_COMPRESSED) && map.meta === lengthBytes,
    );
    return text(context, lengthBytes, map.type === TYPE.BLOB_COMPRESSED);
  };

const blob =
  (lengthBytes: number): MakeField =>
  ({ map }) => {
    expect(
      (map.type === TYPE.BLOB || map.type === TYPE.BLOB_COMPRESSED) && map.meta === lengthBytes,
    );
    const compressed = map.type === TYPE.BLOB_COMPRESSED;
    return prefixed(lengthBytes, compressed ? inflating(writeBase64) : writeBase64);
  };

const json: MakeField = ({ map }) => {
  expect(map.type === TYPE.JSON);
  return prefixed(map.meta, jsonWriter());
};

const geometry: MakeField = ({ map }) => {
  expect(map.type === TYPE.GEOMETRY);
  return prefixed(map.meta, geometryWriter());
};

/** MySQL has a type code for it, MariaDB stores it as VARBINARY. */
const vector: MakeField = ({ type, map }) => {
  if (map.type === TYPE.VECTOR) return prefixed(map.meta, writeVector);
  expect(map.type === TYPE.VARCHAR && map.meta === 4 * (type.args[0] ?? 0));
  return prefixed(shortLength(map), writeVector);
};

const printed =
  (bytes: number, print: (value: Buffer) => string): MakeField =>
  ({ map }) => {
    expect(map.type === TYPE.STRING && map.meta === bytes);
    return prefixed(1, printedWriter(bytes, print));
  };

const FIELDS: Readonly<Record<string, MakeField>> = {
  tinyint: int(TYPE.TINY, 1),
  smallint: int(TYPE.SHORT, 2),
  mediumint: int(TYPE.INT24, 3),
  int: int(TYPE.LONG, 4),
  bigint: int(TYPE.LONGLONG, 8),
  float: floating(TYPE.FLOAT, 4, putFloatField),
  double: floating(TYPE.DOUBLE, 8, putDoubleField),
  decimal,
  bit,
  year,
  date,
  datetime,
  timestamp,
  time,
  char,
  varchar,
  tinytext: longText(1),
  text: longText(2),
  mediumtext: longText(3),
  longtext: longText(4),
  binary,
  varbinary,
  tinyblob: blob(1),
  blob: blob(2),
  mediumblob: blob(3),
  longblob: blob(4),
  enum: labels,
  set: labels,
  json,
  geometry,
  point: geometry,
  linestring: geometry,
  polygon: geometry,
  multipoint: geometry,
  multilinestring: geometry,
  multipolygon: geometry,
  geometrycollection: geometry,
  vector,
  uuid: printed(16, uuidText),
  inet4: printed(4, inet4Text),
  inet6: printed(16, inet6Text),
};
