/**
 * The basic data types inside payloads (MySQL internals manual: "Protocol Data Types"): length-encoded integers
 * and strings.
 */
import { ProtocolError } from './packet.ts';

/** Reads a payload from front to back. Every read checks the end: payloads come from strangers. */
export class Cursor {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Where the next read starts. */
  get at(): number {
    return this.#at;
  }

  /** @throws ProtocolError past the end; so do all the others. */
  bytes(length: number): Buffer {
    if (length > this.left) throw new ProtocolError('packet ends inside a value');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u8(): number {
    return this.bytes(1).readUInt8();
  }

  u16(): number {
    return this.bytes(2).readUInt16LE();
  }

  u32(): number {
    return this.bytes(4).readUInt32LE();
  }

  i64(): bigint {
    return this.bytes(8).readBigInt64LE();
  }

  /** A length-encoded integer; undefined for 0xFB, which is NULL in a text row. */
  lenenc(): number | undefined {
    const first = this.u8();
    if (first < 0xfb) return first;
    if (first === 0xfb) return undefined;
    if (first === 0xfc) return this.u16();
    if (first === 0xfd) return this.bytes(3).readUIntLE(0, 3);
    // Unsigned: a negative length would lead backwards.
    if (first === 0xfe) return Number(BigInt.asUintN(64, this.i64()));
    throw new ProtocolError('0xFF is not a length');
  }

  /** A length-encoded string, null for 0xFB. */
  lenencBytes(): Buffer | null {
    const length = this.lenenc();
    return length === undefined ? null : this.bytes(length);
  }

  /** Bytes up to the next NUL, which is skipped. */
  nulTerminated(): Buffer {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new ProtocolError('text without its NUL');
    const text = this.bytes(end - this.#at);
    this.#at += 1;
    return text;
  }
}

/** Bytes a length-encoded integer takes. */
function lenencSize(n: number): number {
  if (n < 0xfb) return 1;
  if (n < 0x1_00_00) return 3;
  return n < 0x1_00_00_00 ? 4 : 9;
}

/** Builds a payload. Small: answers of ours, never relayed rows. */
export class PayloadWriter {
  readonly #parts: Buffer[] = [];

  u8(n: number): this {
    this.#parts.push(Buffer.of(n));
    return this;
  }

  u16(n: number): this {
    return this.#int(n, 2);
  }

  u32(n: number): this {
    return this.#int(n, 4);
  }

  lenenc(n: number): this {
    const size = lenencSize(n);
    if (size === 1) return this.u8(n);
    if (size === 3) return this.u8(0xfc).u16(n);
    if (size === 4) return this.u8(0xfd).#int(n, 3);
    const bytes = Buffer.alloc(9, 0xfe);
    bytes.writeBigUInt64LE(BigInt(n), 1);
    this.#parts.push(bytes);
    return this;
  }

  lenencText(text: string): this {
    const bytes = Buffer.from(text, 'utf8');
    return this.lenenc(bytes.length).bytes(bytes);
  }

  bytes(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }

  payload(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #int(n: number, size: number): this {
    const bytes = Buffer.allocUnsafe(size);
    bytes.writeUIntLE(n, 0, size);
    this.#parts.push(bytes);
    return this;
  }
}
