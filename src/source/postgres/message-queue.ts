import assert from 'node:assert/strict';

/** A message's length, then its bytes. */
const HEADER = 4;
const CHUNK_BYTES = 256 * 1024;
/** Chunks that wait for their next use. */
const FREE_MAX = 8;

/**
 * Messages in their order, copied out of the driver's buffer (which it reuses) into chunks of our own: no object
 * for a message. The reader looks at one message in place, `buffer[start..end)`, until it steps on.
 */
export class MessageQueue {
  /** Bytes that wait, headers included. */
  bytes = 0;
  /** The message that {@link peek} found. */
  buffer: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;

  readonly #chunks: Chunk[] = [];
  readonly #free: Buffer[] = [];

  push(message: Uint8Array): void {
    const length = HEADER + message.length;
    const chunk = this.#room(length);
    chunk.data.writeUInt32LE(message.length, chunk.written);
    chunk.data.set(message, chunk.written + HEADER);
    chunk.written += length;
    this.bytes += length;
  }

  /** Whether there is a message; if so, it is `buffer[start..end)`. */
  peek(): boolean {
    const [chunk] = this.#chunks;
    if (chunk === undefined || chunk.read === chunk.written) return false;
    this.buffer = chunk.data;
    this.start = chunk.read + HEADER;
    this.end = this.start + chunk.data.readUInt32LE(chunk.read);
    return true;
  }

  /** Steps over the message that {@link peek} found. */
  advance(): void {
    const [chunk] = this.#chunks;
    assert(chunk !== undefined && chunk.read < chunk.written, 'there is a message');
    this.bytes -= this.end - chunk.read;
    chunk.read = this.end;
    if (chunk.read < chunk.written) return;
    this.#chunks.shift();
    if (chunk.data.length === CHUNK_BYTES && this.#free.length < FREE_MAX) {
      this.#free.push(chunk.data);
    }
  }

  #room(length: number): Chunk {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.data.length - last.written >= length) return last;
    const data =
      length > CHUNK_BYTES
        ? Buffer.allocUnsafeSlow(length)
        : (this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES));
    const chunk = { data, read: 0, written: 0 };
    this.#chunks.push(chunk);
    return chunk;
  }
}

interface Chunk {
  readonly data: Buffer;
  read: number;
  written: number;
}
