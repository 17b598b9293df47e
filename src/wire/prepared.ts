/** COM_STMT_EXECUTE of statements that we prepared (MySQL internals manual: "COM_STMT_EXECUTE", "Binary Protocol Value"). */
import { ProtocolError } from './packet.ts';
import { Cursor } from './value.ts';

/** A value bound to `?`. DECIMAL, dates and times as MySQL prints them. */
export type BoundValue = string | number | bigint | null;

/** Types of the parameters, two bytes each, as the client sent them; they hold until it sends others. */
export type ParameterTypes = Buffer;

export interface ExecuteRequest {
  readonly types: ParameterTypes;
  readonly values: readonly BoundValue[];
}

/** Bytes in front of the NULL bitmap: command, id, flags, iteration count. */
const EXECUTE_FIXED_BYTES = 10;
const UNSIGNED = 0x80;

type Decoder = (cursor: Cursor, unsigned: boolean) => BoundValue;

function text(cursor: Cursor): BoundValue {
  return cursor.lenencBytes()?.toString('utf8') ?? null;
}

function short(cursor: Cursor, unsigned: boolean): number {
  const bytes = cursor.bytes(2);
  return unsigned ? bytes.readUInt16LE() : bytes.readInt16LE();
}

function long(cursor: Cursor, unsigned: boolean): number {
  const bytes = cursor.bytes(4);
  return unsigned ? bytes.readUInt32LE() : bytes.readInt32LE();
}

const two = (n: number): string => String(n).padStart(2, '0');

function clock(cursor: Cursor, hours: number, withMicros: boolean): string {
  const shown = `${two(hours)}:${two(cursor.u8())}:${two(cursor.u8())}`;
  return withMicros ? `${shown}.${String(cursor.u32()).padStart(6, '0')}` : shown;
}

/** Length 0, 4, 7 or 11: what is left out is zero. */
function dateTime(cursor: Cursor, dateOnly: boolean): string {
  const length = cursor.u8();
  if (length === 0) return dateOnly ? '0000-00-00' : '0000-00-00 00:00:00';
  const year = String(cursor.u16()).padStart(4, '0');
  const date = `${year}-${two(cursor.u8())}-${two(cursor.u8())}`;
  if (length === 4) return dateOnly ? date : `${date} 00:00:00`;
  return `${date} ${clock(cursor, cursor.u8(), length > 7)}`;
}

/** Length 0, 8 or 12; days count as 24 hours. */
function time(cursor: Cursor): string {
  const length = cursor.u8();
  if (length === 0) return '00:00:00';
  const sign = cursor.u8() === 1 ? '-' : '';
  const days = cursor.u32();
  return sign + clock(cursor, days * 24 + cursor.u8(), length > 8);
}

/** By type code (MySQL internals manual: "Column Type"). */
const DECODERS: ReadonlyMap<number, Decoder> = new Map<number, Decoder>([
  [1, (cursor, unsigned) => (unsigned ? cursor.u8() : cursor.bytes(1).readInt8())],
  [2, short],
  [3, long],
  [4, (cursor) => cursor.bytes(4).readFloatLE()],
  [5, (cursor) => cursor.bytes(8).readDoubleLE()],
  [6, () => null],
  [7, (cursor) => dateTime(cursor, false)],
  [8, (cursor, unsigned) => (unsigned ? BigInt.asUintN(64, cursor.i64()) : cursor.i64())],
  [9, long],
  [10, (cursor) => dateTime(cursor, true)],
  [11, time],
  [12, (cursor) => dateTime(cursor, false)],
  [13, short],
  // VARCHAR, BIT, JSON, DECIMAL, ENUM, SET, blobs, strings, GEOMETRY.
  ...[0, 15, 16, 245, 246, 247, 248, 249, 250, 251, 252, 253, 254, 255].map(
    (code): [number, Decoder] => [code, text],
  ),
]);

/**
 * Decodes the parameters of an EXECUTE payload.
 *
 * @param count number of `?` in the statement.
 * @param known types of an earlier EXECUTE: MariaDB's drivers send them once.
 * @param longData values sent ahead by COM_STMT_SEND_LONG_DATA, by index; the payload has no value for these.
 * @throws ProtocolError when the payload is cut short, or types were never sent.
 */
export function readExecute(
  payload: Buffer,
  count: number,
  known: ParameterTypes | undefined,
  longData: ReadonlyMap<number, Buffer>,
): ExecuteRequest {
  if (count === 0) return { types: Buffer.alloc(0), values: [] };
  const cursor = new Cursor(payload, EXECUTE_FIXED_BYTES);
  const nulls = cursor.bytes((count + 7) >> 3);
  const types = cursor.u8() === 1 ? Buffer.from(cursor.bytes(count * 2)) : known;
  if (!types) throw new ProtocolError('parameter types were never sent');
  const values: BoundValue[] = [];
  for (let i = 0; i < count; i++) {
    const sentAhead = longData.get(i);
    const isNull = ((nulls[i >> 3] ?? 0) & (1 << (i & 7))) !== 0;
    if (sentAhead) values.push(sentAhead.toString('utf8'));
    else if (isNull) values.push(null);
    else values.push(decode(cursor, types.readUInt8(i * 2), types.readUInt8(i * 2 + 1)));
  }
  return { types, values };
}

function decode(cursor: Cursor, type: number, flags: number): BoundValue {
  const decoder = DECODERS.get(type);
  if (!decoder) throw new ProtocolError(`parameter type ${type}`);
  return decoder(cursor, (flags & UNSIGNED) !== 0);
}

/**
 * The same EXECUTE for another statement id, with its types spelled out: for a server that has seen
 * none of the statement's earlier EXECUTEs.
 */
export function rewriteExecute(
  payload: Buffer,
  id: number,
  count: number,
  types: ParameterTypes,
): Buffer {
  const rewritten = Buffer.from(payload);
  rewritten.writeUInt32LE(id, 1);
  const flagAt = EXECUTE_FIXED_BYTES + ((count + 7) >> 3);
  if (count === 0 || rewritten[flagAt] === 1) return rewritten;
  rewritten[flagAt] = 1;
  return Buffer.concat([rewritten.subarray(0, flagAt + 1), types, rewritten.subarray(flagAt + 1)]);
}
