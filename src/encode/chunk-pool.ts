/** A table's first chunk: thousands of tables with a row each must stay cheap. */
const CHUNK_BYTES_MIN = 64 * 1024;
/** Later chunks double up to this. */
const CHUNK_BYTES_MAX = 4 * 1024 * 1024;
/** Kept for the next batch. What the batch limit of 32 MB fills, and the unused ends of its chunks. */
const KEPT_BYTES_MAX = 48 * 1024 * 1024;

/** The memory of a batch in pieces, so that growth copies nothing but the row in progress. */
export class ChunkPool {
  readonly #free: Buffer[] = [];
  #freeBytes = 0;

  /** A chunk of at least `bytes`; `nth` counts the table's chunks from 0. */
  take(nth: number, bytes: number): Buffer {
    const size = Math.min(CHUNK_BYTES_MAX, CHUNK_BYTES_MIN * 2 ** Math.min(nth, 10));
    // A free chunk up to twice the wanted size will do; a big one for a small table would be waste.
    const at = this.#free.findIndex((chunk) => chunk.length >= bytes && chunk.length <= 2 * size);
    if (at === -1) return Buffer.allocUnsafeSlow(Math.max(size, bytes));
    const [chunk] = this.#free.splice(at, 1) as [Buffer];
    this.#freeBytes -= chunk.length;
    return chunk;
  }

  /** Takes a chunk back. Those made for one huge row are left to the garbage collector. */
  give(chunk: Buffer): void {
    if (chunk.length > CHUNK_BYTES_MAX || this.#freeBytes + chunk.length > KEPT_BYTES_MAX) return;
    this.#free.push(chunk);
    this.#freeBytes += chunk.length;
  }
}
