import { crc32 } from 'node:zlib';

const HEADER_BYTES = 19;
const WRAP = 2 ** 32;

type Row = readonly [id: number, text: string];

/**
 * Writes binlog events (MySQL internals manual: Binlog Event) for one table `shop.t (id INT, v VARCHAR(40))`, one after another as in
 * a file, with offsets and checksums. Offsets are kept as 64 bits and written as 32.
 */
export class FakeLog {
  readonly events: Buffer[] = [];
  /** Offset behind the last event. */
  at: number;

  constructor(file: string, at = 4) {
    this.at = at;
    const position = Buffer.alloc(8);
    position.writeBigUInt64LE(BigInt(at));
    this.events.push(event(4, Buffer.concat([position, Buffer.from(file)]), 0, 0x20));
    // What a dump repeats when it begins inside of a file: no offset of its own.
    const version = Buffer.alloc(50);
    version.write('9.7.0');
    const lengths = Buffer.alloc(46, 0);
    this.events.push(
      event(15, Buffer.concat([Buffer.from([4, 0]), version, lengths, Buffer.from([1])]), 0),
    );
  }

  /** A transaction with one rows event for each element of `events`. Returns the offset where it starts. */
  insert(...events: readonly (readonly Row[])[]): number {
    const start = this.at;
    this.#add(34, Buffer.alloc(42));
    this.query('BEGIN');
    for (const rows of events) {
      this.#add(19, TABLE_MAP);
      this.#add(30, Buffer.concat([ROWS_HEAD, ...rows.map(rowImage)]));
    }
    this.#add(16, Buffer.alloc(8));
    return start;
  }

  query(sql: string): void {
    const head = Buffer.alloc(13);
    head[8] = 4;
    this.#add(2, Buffer.concat([head, Buffer.from(`shop\0${sql}`)]));
  }

  /** Anything else. */
  raw(code: number, body: Buffer, flags = 0): void {
    this.#add(code, body, flags);
  }

  #add(code: number, body: Buffer, flags = 0): void {
    this.at += HEADER_BYTES + body.length + 4;
    this.events.push(event(code, body, this.at, flags));
  }
}

function event(code: number, body: Buffer, next: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + body.length + 4);
  bytes.writeUInt32LE(flags === 0x20 ? 0 : 1_700_000_000, 0);
  bytes[4] = code;
  bytes.writeUInt32LE(1, 5);
  bytes.writeUInt32LE(bytes.length, 9);
  bytes.writeUInt32LE(next % WRAP, 13);
  bytes.writeUInt16LE(flags, 17);
  body.copy(bytes, HEADER_BYTES);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4);
  return bytes;
}

const TABLE_ID = [7, 0, 0, 0, 0, 0];
const TABLE_MAP = Buffer.concat([
  Buffer.from([...TABLE_ID, 1, 0]),
  Buffer.from('\x04shop\0\x01t\0', 'latin1'),
  // Two columns: LONG and VARCHAR of 160 bytes; the second may be NULL.
  Buffer.from([2, 3, 15, 2, 160, 0, 0b10]),
]);
const ROWS_HEAD = Buffer.from([...TABLE_ID, 1, 0, 2, 0, 2, 0b11]);

function rowImage([id, text]: Row): Buffer {
  const head = Buffer.alloc(6);
  head.writeInt32LE(id, 1);
  head[5] = Buffer.byteLength(text);
  return Buffer.concat([head, Buffer.from(text)]);
}
