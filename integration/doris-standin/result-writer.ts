import { type ColumnType, wireType } from './column-type.ts';
import {
  type ColumnDefinition,
  columnPacket,
  eofPacket,
  MORE_RESULTS,
  okPacket,
  PacketWriter,
} from './packets.ts';
import type { Result, Row } from './result.ts';

/** How a connection wants its results. */
export interface ResultForm {
  readonly deprecateEof: boolean;
  readonly binary: boolean;
  readonly more: boolean;
  /** One more end marker behind the definitions: the client asked for a cursor, and takes it for the word on that (wire.md §2.4). */
  readonly cursorMarker?: boolean;
}

export function definitionOf({ name, type }: { name: string; type: ColumnType }): ColumnDefinition {
  return { name, type: wireType(type) };
}

/** The packets of a result. The status is 0 but for MORE_RESULTS: Doris never sets AUTOCOMMIT (§4.4). */
export function* resultPackets(result: Result, form: ResultForm): Generator<Buffer> {
  const status = form.more ? MORE_RESULTS : 0;
  if (result.kind === 'ok') {
    yield okPacket(status, result.affectedRows, result.info);
    return;
  }
  const { columns, rows } = result;
  yield new PacketWriter().lenencInteger(columns.length).take();
  for (const column of columns) yield columnPacket(definitionOf(column));
  if (!form.deprecateEof) yield eofPacket(0);
  else if (form.cursorMarker) yield okPacket(0, 0, '', 0xfe);
  const types = columns.map(({ type }) => type);
  for (const row of rows) yield form.binary ? binaryRow(row, types) : textRow(row);
  yield form.deprecateEof ? okPacket(status, 0, '', 0xfe) : eofPacket(status);
}

function textRow(row: Row): Buffer {
  const writer = new PacketWriter();
  for (const value of row) {
    if (value === null) writer.integer(0xfb, 1);
    else writer.lenencString(value);
  }
  return writer.take();
}

function binaryRow(row: Row, types: readonly ColumnType[]): Buffer {
  const nulls = Buffer.alloc((row.length + 9) >> 3);
  row.forEach((value, i) => {
    if (value === null) nulls[(i + 2) >> 3]! |= 1 << ((i + 2) & 7);
  });
  const writer = new PacketWriter().integer(0, 1).bytes(nulls);
  row.forEach((value, i) => {
    if (value !== null) writeBinary(writer, value, types[i]!);
  });
  return writer.take();
}

/** Bytes of an integer column in the binary protocol. */
const INTEGER_BYTES: Readonly<Record<string, number>> = {
  BOOLEAN: 1,
  TINYINT: 1,
  SMALLINT: 2,
  INT: 4,
};

function writeBinary(writer: PacketWriter, value: string, type: ColumnType): void {
  const bytes = INTEGER_BYTES[type.name];
  if (bytes !== undefined) {
    writer.integer(Number(BigInt.asUintN(bytes * 8, BigInt(value))), bytes);
  } else if (type.name === 'BIGINT') {
    writer.bigint(BigInt(value));
  } else if (type.name === 'FLOAT' || type.name === 'DOUBLE') {
    const special: Readonly<Record<string, number>> = {
      inf: Infinity,
      '-inf': -Infinity,
      nan: NaN,
    };
    writer.double(special[value] ?? Number(value), type.name === 'FLOAT' ? 4 : 8);
  } else if (type.name === 'DATE' || type.name === 'DATETIME') {
    writeTime(writer, value);
  } else {
    writer.lenencString(value);
  }
}

function writeTime(writer: PacketWriter, value: string): void {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = value
    .split(/[-: .]/)
    .map(Number);
  const micros = Number((value.split('.')[1] ?? '').padEnd(6, '0'));
  const length = micros > 0 ? 11 : hour + minute + second > 0 ? 7 : 4;
  writer.integer(length, 1).integer(year, 2).integer(month, 1).integer(day, 1);
  if (length > 4) writer.integer(hour, 1).integer(minute, 1).integer(second, 1);
  if (length > 7) writer.integer(micros, 4);
}
