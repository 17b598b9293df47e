/** Types of result columns, as their definitions have them (MySQL internals manual: "Column Definition"). */
import { Cursor, PayloadWriter } from './value.ts';

export interface ColumnType {
  readonly type: number;
  readonly charset: number;
  /** In bytes. */
  readonly length: number;
  readonly flags: number;
  readonly decimals: number;
}

/**
 * Answers that look like text to every driver: Doris' code for VARCHAR, in utf8 (doris-target.md §4.4). The length: Doris says
 * 255; ODBC drivers cut values at this number, and messages are longer.
 */
export const TEXT: ColumnType = { type: 254, charset: 33, length: 65_535, flags: 0, decimals: 0 };

/** A number of rows, as Doris' COUNT has it. */
export const BIGINT: ColumnType = { type: 8, charset: 63, length: 20, flags: 0x80, decimals: 0 };

/** Writes a number's text as the binary protocol has it (MySQL internals manual: "Binary Protocol Value"), by type code. */
const NUMBERS: ReadonlyMap<number, (text: string) => Buffer> = new Map([
  [1, (text) => integer(text, 1)],
  [2, (text) => integer(text, 2)],
  [3, (text) => integer(text, 4)],
  [8, (text) => integer(text, 8)],
  [
    4,
    (text) => {
      const bytes = Buffer.alloc(4);
      bytes.writeFloatLE(Number(text));
      return bytes;
    },
  ],
  [
    5,
    (text) => {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(Number(text));
      return bytes;
    },
  ],
]);

/** Low bytes in two's complement, so that signed and unsigned are the same. */
function integer(text: string, size: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(text)));
  return bytes.subarray(0, size);
}

/** Types whose values are texts in the binary protocol too: VARCHAR, DECIMAL, blobs, strings. */
const TEXTS = new Set([0, 15, 246, 249, 250, 251, 252, 253, 254]);

/** What a column of an answer of ours is in the binary protocol: times come from Doris as texts and stay texts. */
export function binaryType(column: ColumnType): ColumnType {
  return NUMBERS.has(column.type) || TEXTS.has(column.type) ? column : TEXT;
}

/** Adds a value in the form of {@link binaryType}. */
export function writeBinary(writer: PayloadWriter, value: string, { type }: ColumnType): void {
  const encode = NUMBERS.get(type);
  if (encode === undefined) writer.lenencText(value);
  else writer.bytes(encode(value));
}

export function encodeDefinition(name: string, column: ColumnType): Buffer {
  return new PayloadWriter()
    .lenencText('def')
    .lenencText('')
    .lenencText('')
    .lenencText('')
    .lenencText(name)
    .lenencText(name)
    .u8(0x0c)
    .u16(column.charset)
    .u32(column.length)
    .u8(column.type)
    .u16(column.flags)
    .u8(column.decimals)
    .u16(0)
    .payload();
}

/** @throws ProtocolError when the payload is no definition. */
export function readDefinition(payload: Buffer): { readonly name: string } & ColumnType {
  const cursor = new Cursor(payload);
  for (let i = 0; i < 4; i++) cursor.lenencBytes();
  const name = cursor.lenencBytes()?.toString('utf8') ?? '';
  cursor.lenencBytes();
  cursor.lenenc();
  const [charset, length, type] = [cursor.u16(), cursor.u32(), cursor.u8()];
  return { name, charset, length, type, flags: cursor.u16(), decimals: cursor.u8() };
}
