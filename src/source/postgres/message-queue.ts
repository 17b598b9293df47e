import { ProxyError } from '../../model/error.ts';
import { SCAN_SLACK } from './scan-code.ts';

/** A message's type, then its length without the type (PostgreSQL manual: "Frontend/Backend Protocol", Messages). */
export const HEADER = 5;
const LENGTH_MIN = 4;
/** No value, so no row, is longer: the server's MaxAllocSize. */
const LENGTH_MAX = 0x4000_0000;

const CHUNK_BYTES = 256 * 1024;
/** Less room than this is not offered: a read that finds little costs as much as one that finds much. */
const ROOM_MIN = 64 * 1024;
/** Chunks that wait for their next use. */
const FREE_MAX = 8;

interface Chunk {
  readonly data: Buffer;
  read: number;
  /** Where its whole messages end, and a message that is not complete begins. */
  whole: number;
  written: number;
}

/**
 * What a server sent, message by message, in the memory that it was read into: no object for a message, and none for a read. Only the
 * beginning of a message that a piece of memory has no room for is copied, to the next piece. The reader looks at one message in
 * place, `buffer[start..end)`, until it steps on. {@link SCAN_SLACK} bytes are behind every message.
 */
export class MessageQueue {
  /** Bytes that wait, headers and a message that is not complete included. */
  bytes = 0;
  /** The message that {@link peek} found, from its type on. */
  buffer: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;

  #first: Chunk | undefined;
  /** In order, without the first one. */
  readonly #more: Chunk[] = [];
  readonly #free: Buffer[] = [];

  /** Where the next bytes go; it stays the connection's until it is asked for again. */
  room(): Buffer {
    const last = this.#more.at(-1) ?? this.#first;
    const need = last === undefined ? HEADER : messageBytes(last);
    if (last !== undefined) {
      const end = last.data.length - SCAN_SLACK;
      if (last.whole + need <= end && end - last.written >= ROOM_MIN) {
        return last.data.subarray(last.written, end);
      }
    }
    const next = this.#chunk(need);
    if (last === undefined) {
      this.#first = next;
    } else {
      next.written = last.data.copy(next.data, 0, last.whole, last.written);
      last.written = last.whole;
      this.#more.push(next);
    }
    return next.data.subarray(next.written, next.data.length - SCAN_SLACK);
  }

  /**
   * Takes `count` bytes that were read into {@link room}; `look` sees each message that is complete with them.
   * @throws ProxyError UNDECODABLE for what is no message.
   */
  filled(count: number, look?: (b: Buffer, start: number, end: number) => void): void {
    const last = this.#more.at(-1) ?? this.#first!;
    last.written += count;
    this.bytes += count;
    for (;;) {
      const start = last.whole;
      const end = start + messageBytes(last);
      if (end > last.written) return;
      last.whole = end;
      look?.(last.data, start, end);
    }
  }

  /** Copies bytes that were read elsewhere. */
  push(bytes: Uint8Array, look?: (b: Buffer, start: number, end: number) => void): void {
    for (let at = 0; at < bytes.length;) {
      const room = this.room();
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      this.filled(count, look);
      at += count;
    }
  }

  /** Whether there is a message; if so, it is `buffer[start..end)`. */
  peek(): boolean {
    for (let chunk = this.#first; chunk !== undefined; chunk = this.#first) {
      const { data, read } = chunk;
      if (read < chunk.whole) {
        this.buffer = data;
        this.start = read;
        this.end = read + 1 + data.readInt32BE(read + 1);
        return true;
      }
      const next = this.#more.shift();
      // The last one stays: the connection reads into it.
      if (next === undefined) return false;
      this.#first = next;
      if (data.length === CHUNK_BYTES && this.#free.length < FREE_MAX) this.#free.push(data);
    }
    return false;
  }

  /** Steps over the message that {@link peek} found. */
  advance(): void {
    const first = this.#first!;
    this.bytes -= this.end - first.read;
    first.read = this.end;
  }

  /** Everything that waits, as it came; nothing is left. */
  rest(): Buffer {
    const chunks = [...(this.#first === undefined ? [] : [this.#first]), ...this.#more.splice(0)];
    this.#first = undefined;
    this.bytes = 0;
    return Buffer.concat(chunks.map(({ data, read, written }) => data.subarray(read, written)));
  }

  #chunk(need: number): Chunk {
    const bytes = need + ROOM_MIN + SCAN_SLACK;
    const data =
      bytes > CHUNK_BYTES
        ? Buffer.allocUnsafeSlow(bytes)
        : (this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES));
    return { data, read: 0, whole: 0, written: 0 };
  }
}

/** Bytes of the message that is not complete: of its header, while that is not there. */
function messageBytes({ data, whole, written }: Chunk): number {
  if (written - whole < HEADER) return HEADER;
  const length = data.readUInt32BE(whole + 1);
  if (length >= LENGTH_MIN && length <= LENGTH_MAX) return 1 + length;
  throw new ProxyError('UNDECODABLE', `Postgres sent a message of ${length} bytes`);
}
