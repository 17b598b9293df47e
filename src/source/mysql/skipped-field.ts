import { ProxyError } from '../../model/error.ts';
import type { ColumnSpec } from '../../model/table.ts';
import { parseMysqlType } from '../../typemap/mysql-type.ts';
import { decimalBytes } from './number-text.ts';
import type { RowField } from './row-field.ts';
import { type MapColumn, TYPE } from './table-map.ts';
import {
  datetime2Bytes,
  OLD_DATETIME_BYTES,
  OLD_TIME_BYTES,
  OLD_TIMESTAMP_BYTES,
  time2Bytes,
  timestamp2Bytes,
} from './temporal.ts';

/** Bytes of a value of the types that always have as many. */
const SIZES: Readonly<Record<number, number>> = {
  [TYPE.TINY]: 1,
  [TYPE.SHORT]: 2,
  [TYPE.INT24]: 3,
  [TYPE.LONG]: 4,
  [TYPE.LONGLONG]: 8,
  [TYPE.FLOAT]: 4,
  [TYPE.DOUBLE]: 8,
  [TYPE.YEAR]: 1,
  [TYPE.DATE]: 3,
};

/**
 * A column that is stepped over: its place in the row follows from the table map alone, so a column may be excluded just
 * because its type or character set is not known to us.
 */
export function skippedField(column: ColumnSpec, map: MapColumn): RowField {
  const size = fixedSize(column, map);
  if (size !== undefined) return { kind: 'fixed', size, room: 0, put: never };
  return { kind: 'prefixed', lengthBytes: lengthBytes(map), utf8: false, write: never };
}

function never(): never {
  throw new ProxyError('UNDECODABLE', 'An excluded column was to be written.');
}

function fixedSize(column: ColumnSpec, { type, meta }: MapColumn): number | undefined {
  // Only the declaration tells how many digits an old temporal type has.
  const digits = (): number => parseMysqlType(column.sourceType).args[0] ?? 0;
  switch (type) {
    case TYPE.NEWDECIMAL:
      return decimalBytes(meta >> 8, meta & 0xff);
    case TYPE.BIT:
      return (meta + 7) >> 3;
    case TYPE.ENUM:
    case TYPE.SET:
      return meta;
    case TYPE.DATETIME2:
      return datetime2Bytes(meta);
    case TYPE.TIMESTAMP2:
      return timestamp2Bytes(meta);
    case TYPE.TIME2:
      return time2Bytes(meta);
    case TYPE.DATETIME:
      return OLD_DATETIME_BYTES[digits()];
    case TYPE.TIMESTAMP:
      return OLD_TIMESTAMP_BYTES[digits()];
    case TYPE.TIME:
      return OLD_TIME_BYTES[digits()];
    default:
      return SIZES[type];
  }
}

/** Strings have one byte of length, or two when they may be longer than 255 bytes; others say it themselves. */
function lengthBytes({ type, meta }: MapColumn): number {
  const isString =
    type === TYPE.VARCHAR ||
    type === TYPE.VARCHAR_COMPRESSED ||
    type === TYPE.VAR_STRING ||
    type === TYPE.STRING;
  if (!isString) return meta;
  return meta > 255 ? 2 : 1;
}
