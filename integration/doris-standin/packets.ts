import { randomBytes } from 'node:crypto';
import type { WireType } from './column-type.ts';
import { SqlError } from './sql-error.ts';

/**
 * MySQL packets, written for the stand-in alone: it must not share a mistake with the product's own packet code.
 * Source: MySQL internals manual, client/server protocol; what Doris does differently is in doris-target.md §4.
 */

/** Doris' capability bits, TLS off (§4.1). */
const SERVER_FLAGS = 0x0138828c;
export const CLIENT_CONNECT_WITH_DB = 0x8;
export const CLIENT_PROTOCOL_41 = 0x200;
export const CLIENT_MULTI_STATEMENTS = 0x10000;
export const CLIENT_PLUGIN_AUTH = 0x80000;
export const CLIENT_CONNECT_ATTRS = 0x100000;
export const CLIENT_LENENC_AUTH = 0x200000;
export const CLIENT_DEPRECATE_EOF = 0x1000000;

export const MORE_RESULTS = 0x0008;
const PACKET_BYTES_MAX = 0xffffff;

/** Growing byte buffer with the protocol's number and string forms. */
export class PacketWriter {
  private buffer = Buffer.allocUnsafe(256);
  private length = 0;

  private room(bytes: number): number {
    const at = this.length;
    if (at + bytes > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, at + bytes));
      this.buffer.copy(grown, 0, 0, at);
      this.buffer = grown;
    }
    this.length += bytes;
    return at;
  }

  integer(value: number, bytes: number): this {
    const at = this.room(bytes);
    this.buffer.writeUIntLE(value, at, bytes);
    return this;
  }

  bigint(value: bigint): this {
    const at = this.room(8);
    this.buffer.writeBigInt64LE(value, at);
    return this;
  }

  double(value: number, bytes: 4 | 8): this {
    const at = this.room(bytes);
    if (bytes === 4) this.buffer.writeFloatLE(value, at);
    else this.buffer.writeDoubleLE(value, at);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.room(value.length);
    this.buffer.set(value, at);
    return this;
  }

  lenencInteger(value: number): this {
    if (value < 251) return this.integer(value, 1);
    if (value < 0x10000) return this.integer(0xfc, 1).integer(value, 2);
    if (value < 0x1000000) return this.integer(0xfd, 1).integer(value, 3);
    return this.integer(0xfe, 1).bigint(BigInt(value));
  }

  lenencString(value: string | Uint8Array): this {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    return this.lenencInteger(bytes.length).bytes(bytes);
  }

  nulString(value: string): this {
    return this.bytes(Buffer.from(value)).integer(0, 1);
  }

  /** The bytes written so far; the writer starts anew. */
  take(): Buffer {
    const taken = this.buffer.subarray(0, this.length);
    this.buffer = Buffer.allocUnsafe(256);
    this.length = 0;
    return taken;
  }
}

/** Reads fields out of one payload. @throws SqlError 1251 when the payload is too short. */
export class PacketReader {
  readonly payload: Buffer;
  at: number;

  constructor(payload: Buffer, at = 0) {
    this.payload = payload;
    this.at = at;
  }

  get left(): number {
    return this.payload.length - this.at;
  }

  bytes(count: number): Buffer {
    if (count > this.left) throw new SqlError(1251, 'Malformed packet');
    this.at += count;
    return this.payload.subarray(this.at - count, this.at);
  }

  integer(bytes: number): number {
    return this.bytes(bytes).readUIntLE(0, bytes);
  }

  lenencInteger(): number {
    const first = this.integer(1);
    if (first < 251) return first;
    if (first === 0xfc) return this.integer(2);
    if (first === 0xfd) return this.integer(3);
    return Number(this.bytes(8).readBigUInt64LE());
  }

  lenencBytes(): Buffer {
    return this.bytes(this.lenencInteger());
  }

  nulString(): string {
    const end = this.payload.indexOf(0, this.at);
    if (end < 0) throw new SqlError(1251, 'Malformed packet');
    const text = this.payload.toString('utf8', this.at, end);
    this.at = end + 1;
    return text;
  }

  rest(): Buffer {
    return this.bytes(this.left);
  }
}

/** Puts the header in front; a payload of 2^24 - 1 bytes or more goes out in parts. Returns the next sequence id. */
export function framePackets(
  payload: Buffer,
  sequence: number,
  send: (bytes: Buffer) => void,
): number {
  let at = 0;
  for (;;) {
    const part = payload.subarray(at, at + PACKET_BYTES_MAX);
    const header = Buffer.alloc(4);
    header.writeUIntLE(part.length, 0, 3);
    header[3] = sequence & 0xff;
    send(header);
    send(part);
    sequence++;
    at += part.length;
    if (part.length < PACKET_BYTES_MAX) return sequence & 0xff;
  }
}

/** Cuts a byte stream into payloads. */
export class PacketSplitter {
  private pending: Buffer = Buffer.alloc(0);
  private parts: Buffer[] = [];

  /** @returns the complete payloads, each with the sequence id after it. */
  push(bytes: Buffer): { payload: Buffer; nextSequence: number }[] {
    this.pending = this.pending.length === 0 ? bytes : Buffer.concat([this.pending, bytes]);
    const complete: { payload: Buffer; nextSequence: number }[] = [];
    while (this.pending.length >= 4) {
      const length = this.pending.readUIntLE(0, 3);
      if (this.pending.length < 4 + length) break;
      const sequence = this.pending[3]!;
      this.parts.push(this.pending.subarray(4, 4 + length));
      this.pending = this.pending.subarray(4 + length);
      if (length === PACKET_BYTES_MAX) continue;
      complete.push({ payload: Buffer.concat(this.parts), nextSequence: (sequence + 1) & 0xff });
      this.parts = [];
    }
    return complete;
  }
}

/** 20 random bytes from 1 to 127, as MySQL's own: NUL would end the scramble early, and Connector/J reads it as ASCII. */
export function newScramble(): Buffer {
  return randomBytes(20).map((byte) => (byte % 127) + 1) as Buffer;
}

export function handshakePacket(connectionId: number, version: string, scramble: Buffer): Buffer {
  return new PacketWriter()
    .integer(10, 1)
    .nulString(version)
    .integer(connectionId, 4)
    .bytes(scramble.subarray(0, 8))
    .integer(0, 1)
    .integer(SERVER_FLAGS & 0xffff, 2)
    .integer(33, 1)
    .integer(0, 2)
    .integer(SERVER_FLAGS >>> 16, 2)
    .integer(21, 1)
    .bytes(Buffer.alloc(10))
    .bytes(scramble.subarray(8))
    .integer(0, 1)
    .nulString('mysql_native_password')
    .take();
}

export function authSwitchPacket(scramble: Buffer): Buffer {
  return new PacketWriter()
    .integer(0xfe, 1)
    .nulString('mysql_native_password')
    .bytes(scramble)
    .integer(0, 1)
    .take();
}

/** `header` is 0xFE for the packet that ends rows under DEPRECATE_EOF. Last-insert-id is always 0 (§4.4). */
export function okPacket(status: number, affectedRows = 0, info = '', header = 0): Buffer {
  return new PacketWriter()
    .integer(header, 1)
    .lenencInteger(affectedRows)
    .lenencInteger(0)
    .integer(status, 2)
    .integer(0, 2)
    .lenencString(info)
    .take();
}

export function eofPacket(status: number): Buffer {
  return new PacketWriter().integer(0xfe, 1).integer(0, 2).integer(status, 2).take();
}

export function errorPacket(error: SqlError): Buffer {
  return new PacketWriter()
    .integer(0xff, 1)
    .integer(error.errno, 2)
    .bytes(Buffer.from(`#${error.sqlState}${error.message}`))
    .take();
}

export interface ColumnDefinition {
  readonly name: string;
  readonly type: WireType;
  readonly schema?: string;
  readonly table?: string;
  /** COM_FIELD_LIST only: the column's default, null for none. */
  readonly defaultValue?: string | null;
}

export function columnPacket(column: ColumnDefinition): Buffer {
  const { name, type, schema = '', table = '' } = column;
  const writer = new PacketWriter()
    .lenencString('def')
    .lenencString(schema)
    .lenencString(table)
    .lenencString(table)
    .lenencString(name)
    .lenencString(name)
    .integer(0x0c, 1)
    .integer(type.charset, 2)
    .integer(type.length, 4)
    .integer(type.code, 1)
    .integer(0, 2)
    .integer(type.decimals, 1)
    .integer(0, 2);
  if (column.defaultValue === null) writer.integer(0xfb, 1);
  else if (column.defaultValue !== undefined) writer.lenencString(column.defaultValue);
  return writer.take();
}
