import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { TableSpec } from '../model/table.ts';
import type { ChunkPool } from './chunk-pool.ts';
import { JsonWriter } from './json-writer.ts';
import { rowLayout, type KeyRun } from './row-layout.ts';

const NOTHING = Buffer.alloc(0);
const ROWS_MIN = 64;
/** Up to here the index grows by four: to enter all keys anew is the dear part. */
const ROWS_FAST = 1 << 14;
/** More rows than this and a reset gives the index back: 1 Mi rows are 32 MB of it. */
const ROWS_KEPT_MAX = 1 << 20;

/** Fields of a row's record in front of its key ranges. The hash is there when the row is in the index. */
const CHUNK = 0;
const START = 1;
const END = 2;
const HASH = 3;
const MARKS = 4;

/** Keys come from strangers: without a secret start they could be chosen to collide. Changes no output byte. */
const SEED = randomBytes(4).readInt32LE();

interface Total {
  rows: number;
  bytes: number;
}

interface Finished {
  readonly body: readonly Buffer[];
  readonly bytes: number;
  readonly rows: number;
}

/**
 * The JSON lines of one table. A row is written value by value in the order of the table's columns:
 *
 *     out.startRow();
 *     out.startColumn(0); out.integer(1);
 *     out.startColumn(1); out.quotedUtf8(bytes, start, end);
 *     out.endRow(false);
 *
 * Every column that is not excluded is written, NULL as `null`: an absent one would be overwritten by its default.
 * Doris promises no order inside a load, so an earlier row of the same key is marked dead when a row ends.
 * Keys are compared as the bytes of their JSON, in place: nothing is allocated for a row.
 *
 * Most rows come in the order of an ascending key: copies of tables, inserts with AUTO_INCREMENT. While each key is greater than the one
 * before, none can be there twice, and no index is kept; it is made when the first other key comes.
 */
export class TableBatch extends JsonWriter {
  readonly spec: TableSpec;
  /** Rows written since the last reset, dead ones included. */
  rows = 0;
  /** By column: values that Doris cannot hold, written as NULL since the last reset. A double counts to 2^53. */
  readonly unheld: Float64Array;
  /** Where the row in progress begins in `buffer`. Moves when the row is moved to a larger chunk. */
  rowStart = 0;
  /**
   * For each run of key columns, where its first value starts and its last one ends in the row in progress, relative to `rowStart`.
   * Kept by {@link startColumn}; code that writes into `buffer` itself keeps it itself (`rowLayout().runs`).
   */
  readonly marks: Int32Array;

  readonly #pool: ChunkPool;
  readonly #total: Total;
  readonly #prefixes: readonly (Buffer | undefined)[];
  readonly #tails: readonly [Buffer, Buffer];
  readonly #runs: readonly KeyRun[];
  /** By column: whether a run starts or ends there. Most columns only need this one look. */
  readonly #runEdge: Uint8Array;
  readonly #stride: number;
  readonly #chunks: Buffer[] = [];
  /** Where the rows of each chunk but the last one end. */
  readonly #chunkEnds: number[] = [];
  #records: Int32Array;
  /** Each row's key is greater than the one before it, and no row is in the index. */
  #ascending = true;
  /** Open addressing: index of the key's last row plus 1, 0 when free. Twice as many slots as the records have room for. */
  #slots = new Int32Array();
  #dead = 0;
  #finished: Finished | undefined;

  constructor(spec: TableSpec, pool: ChunkPool, total: Total) {
    super();
    this.spec = spec;
    this.unheld = new Float64Array(spec.columns.length);
    this.#pool = pool;
    this.#total = total;
    const layout = rowLayout(spec);
    this.#prefixes = layout.prefixes.map((text) =>
      text === undefined ? undefined : Buffer.from(text),
    );
    this.#tails = [Buffer.from(layout.tails[0]), Buffer.from(layout.tails[1])];
    this.#runs = layout.runs;
    this.#runEdge = new Uint8Array(spec.columns.length);
    for (const run of layout.runs) {
      this.#runEdge[run.from] = 1;
      if (run.until < spec.columns.length) this.#runEdge[run.until] = 1;
    }
    this.marks = new Int32Array(2 * layout.runs.length);
    this.#stride = MARKS + this.marks.length;
    this.#records = new Int32Array(ROWS_MIN * this.#stride);
  }

  /** Begins a row. A row in progress, left behind by an error, is forgotten. */
  startRow(): void {
    // Not as an argument of assert: that costs more than the row's end.
    if (this.#finished !== undefined) assert.fail('a batch is reset before it is filled again');
    this.position = this.rowStart;
  }

  /** Begins the value of column `i`, an index into `spec.columns` that is not excluded; columns come in order. */
  startColumn(i: number): void {
    const edge = this.#runEdge[i] === 1;
    if (edge) this.#endRun(i);
    const prefix = this.#prefixes[i]!;
    this.raw(prefix, 0, prefix.length);
    if (edge) this.#startRun(i);
  }

  /** Ends the row; an earlier row of its key is dead from now on. */
  endRow(deleted: boolean): void {
    this.#endRun(this.spec.columns.length);
    const tail = this.#tails[deleted ? 1 : 0];
    this.raw(tail, 0, tail.length);
    this.commitRow();
  }

  /**
   * Takes the bytes `rowStart..position` as a row whose `marks` are set and whose tail is written. The lower half
   * of {@link endRow}, for generated code.
   */
  commitRow(): void {
    const row = this.rows;
    if ((row + 1) * this.#stride > this.#records.length) this.#moreRows();
    const record = this.#records;
    const at = row * this.#stride;
    record[at + CHUNK] = this.#chunks.length - 1;
    record[at + START] = this.rowStart;
    record[at + END] = this.position;
    for (let i = 0; i < this.marks.length; i++) record[at + MARKS + i] = this.marks[i]!;
    if (!this.#ascending) this.#enter(row);
    else if (row > 0 && !this.#follows(row)) this.#index(row);
    this.rows = row + 1;
    this.#total.rows++;
    this.#total.bytes += this.position - this.rowStart;
    this.rowStart = this.position;
  }

  /** The last row of each key, in the order written. The row buffers are compacted in place; call {@link reset} before writing on. */
  finish(): Finished {
    this.#finished ??= this.#collect();
    return this.#finished;
  }

  /** Forgets all rows; gives the chunks back to the pool. */
  reset(): void {
    for (const chunk of this.#chunks) this.#pool.give(chunk);
    this.#chunks.length = 0;
    this.#chunkEnds.length = 0;
    this.adopt(NOTHING);
    this.position = 0;
    this.rowStart = 0;
    if (this.#records.length > ROWS_KEPT_MAX * this.#stride) {
      this.#records = new Int32Array(ROWS_MIN * this.#stride);
      this.#slots = new Int32Array();
    } else if (!this.#ascending) {
      this.#slots.fill(0);
    }
    this.rows = 0;
    this.unheld.fill(0);
    this.#ascending = true;
    this.#dead = 0;
    this.#finished = undefined;
  }

  /** A new chunk, with the row in progress moved to its start: rows never span chunks. */
  protected override grow(bytes: number): void {
    const old = this.buffer;
    const partial = this.position - this.rowStart;
    // Half of it again, so that a value written in many pieces is copied a few times only.
    const chunk = this.#pool.take(this.#chunks.length, partial + (partial >> 1) + bytes);
    old.copy(chunk, 0, this.rowStart, this.position);
    if (this.rowStart > 0) this.#chunkEnds.push(this.rowStart);
    else if (this.#chunks.length > 0) this.#pool.give(this.#chunks.pop()!);
    this.#chunks.push(chunk);
    this.adopt(chunk);
    this.rowStart = 0;
    this.position = partial;
  }

  #startRun(i: number): void {
    const runs = this.#runs;
    for (let r = 0; r < runs.length; r++) {
      if (runs[r]!.from === i) this.marks[2 * r] = this.position - this.rowStart;
    }
  }

  #endRun(i: number): void {
    const runs = this.#runs;
    for (let r = 0; r < runs.length; r++) {
      if (runs[r]!.until === i) this.marks[2 * r + 1] = this.position - this.rowStart;
    }
  }

  /**
   * Whether the row's key is greater than that of the row before it: longer, or as long and greater in the first byte that
   * differs. Any total order would do; in this one the digits of numbers ascend as the numbers do.
   */
  #follows(row: number): boolean {
    const record = this.#records;
    const at = row * this.#stride;
    const before = at - this.#stride;
    const bytes = this.buffer;
    const bytesBefore = this.#chunks[record[before + CHUNK]!]!;
    for (let m = MARKS; m < this.#stride; m += 2) {
      let a = record[before + START]! + record[before + m]!;
      let b = record[at + START]! + record[at + m]!;
      const end = record[at + START]! + record[at + m + 1]!;
      const longer = record[before + START]! + record[before + m + 1]! - a - (end - b);
      if (longer !== 0) return longer < 0;
      for (; b < end; a++, b++) {
        const differs = bytes[b]! - bytesBefore[a]!;
        if (differs !== 0) return differs > 0;
      }
    }
    return false;
  }

  /** Makes the index, of the rows up to `last`. */
  #index(last: number): void {
    this.#ascending = false;
    const slots = (2 * this.#records.length) / this.#stride;
    if (this.#slots.length < slots) this.#slots = new Int32Array(slots);
    for (let row = 0; row <= last; row++) this.#enter(row);
  }

  /** Puts the row in its key's slot; an earlier row that is there is dead. */
  #enter(row: number): void {
    const hash = this.#hash(row);
    const slots = this.#slots;
    const mask = slots.length - 1;
    const record = this.#records;
    record[row * this.#stride + HASH] = hash;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const earlier = slots[slot]! - 1;
      if (earlier === -1) {
        slots[slot] = row + 1;
        return;
      }
      if (record[earlier * this.#stride + HASH] === hash && this.#sameKey(earlier, row)) {
        slots[slot] = row + 1;
        record[earlier * this.#stride + END] = -1;
        this.#dead++;
        return;
      }
    }
  }

  /** FNV-1a over the key's bytes, mixed at the end because slots take the low bits. */
  #hash(row: number): number {
    const record = this.#records;
    const at = row * this.#stride;
    const bytes = this.#chunks[record[at + CHUNK]!]!;
    const start = record[at + START]!;
    let hash = SEED;
    for (let m = MARKS; m < this.#stride; m += 2) {
      const end = start + record[at + m + 1]!;
      for (let p = start + record[at + m]!; p < end; p++) {
        hash = Math.imul(hash ^ bytes[p]!, 0x01000193);
      }
    }
    hash ^= hash >>> 16;
    hash = Math.imul(hash, 0x85ebca6b);
    return hash ^ (hash >>> 13);
  }

  #sameKey(a: number, b: number): boolean {
    const record = this.#records;
    const atA = a * this.#stride;
    const atB = b * this.#stride;
    const bytesA = this.#chunks[record[atA + CHUNK]!]!;
    const bytesB = this.#chunks[record[atB + CHUNK]!]!;
    for (let m = MARKS; m < this.#stride; m += 2) {
      const startA = record[atA + START]! + record[atA + m]!;
      const startB = record[atB + START]! + record[atB + m]!;
      const length = record[atA + m + 1]! - record[atA + m]!;
      if (record[atB + m + 1]! - record[atB + m]! !== length) return false;
      for (let i = 0; i < length; i++) {
        if (bytesA[startA + i] !== bytesB[startB + i]) return false;
      }
    }
    return true;
  }

  #moreRows(): void {
    const factor = this.rows < ROWS_FAST ? 4 : 2;
    const records = new Int32Array(factor * this.#records.length);
    records.set(this.#records);
    this.#records = records;
    if (this.#ascending) return;
    const slots = new Int32Array(factor * this.#slots.length);
    const mask = slots.length - 1;
    for (const entry of this.#slots) {
      if (entry === 0) continue;
      let slot = records[(entry - 1) * this.#stride + HASH]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry;
    }
    this.#slots = slots;
  }

  #collect(): Finished {
    const ends = this.#dead === 0 ? [...this.#chunkEnds, this.rowStart] : this.#compact();
    const body = this.#chunks
      .map((chunk, i) => chunk.subarray(0, ends[i]))
      .filter((part) => part.length > 0);
    const bytes = body.reduce((sum, part) => sum + part.length, 0);
    return { body, bytes, rows: this.rows - this.#dead };
  }

  /** Moves live rows down over dead ones, neighbours together, and returns where each chunk ends. The records are stale after this. */
  #compact(): number[] {
    const record = this.#records;
    const ends = this.#chunks.map(() => 0);
    for (let row = 0; row < this.rows;) {
      const at = row * this.#stride;
      if (record[at + END] === -1) {
        row++;
        continue;
      }
      const chunk = record[at + CHUNK]!;
      const start = record[at + START]!;
      let end = start;
      for (; row < this.rows; row++) {
        const next = row * this.#stride;
        if (record[next + CHUNK] !== chunk || record[next + START] !== end) break;
        if (record[next + END] === -1) break;
        end = record[next + END]!;
      }
      const to = ends[chunk]!;
      if (to !== start) this.#chunks[chunk]!.copyWithin(to, start, end);
      ends[chunk] = to + end - start;
    }
    return ends;
  }
}
