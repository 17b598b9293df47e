import { ProxyError } from '../../model/error.ts';

/**
 * Reads the head of an event: integers little-endian as MySQL writes them. Rows are decoded by
 * generated code, not by this. Reading past the end is an UNDECODABLE event, not a crash.
 */
export class ByteReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** Steps over `count` bytes and returns where they began. */
  skip(count: number): number {
    const at = this.at;
    if (count < 0 || at + count > this.end) throw truncated();
    this.at = at + count;
    return at;
  }

  uint8(): number {
    return this.bytes[this.skip(1)]!;
  }

  uint16(): number {
    return this.bytes.readUInt16LE(this.skip(2));
  }

  uint32(): number {
    return this.bytes.readUInt32LE(this.skip(4));
  }

  /** Table ids: at most 2^48 - 1. */
  uint48(): number {
    return this.bytes.readUIntLE(this.skip(6), 6);
  }

  uint64(): bigint {
    return this.bytes.readBigUInt64LE(this.skip(8));
  }

  /** MySQL's length-encoded integer, at most 2^53 - 1. */
  lengthEncoded(): number {
    const first = this.uint8();
    if (first < 0xfb) return first;
    if (first === 0xfc) return this.uint16();
    if (first === 0xfd) return this.bytes.readUIntLE(this.skip(3), 3);
    const value = first === 0xfe ? Number(this.uint64()) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw new ProxyError('UNDECODABLE', 'A length is malformed.');
    return value;
  }

  /** A view, not a copy. */
  slice(count: number): Buffer {
    const at = this.skip(count);
    return this.bytes.subarray(at, at + count);
  }

  rest(): Buffer {
    return this.slice(this.left);
  }
}

function truncated(): ProxyError {
  return new ProxyError('UNDECODABLE', 'A binlog event ends before its last field.');
}
