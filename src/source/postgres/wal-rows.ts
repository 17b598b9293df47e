import type { Batch } from '../../encode/batch.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId } from '../../model/table.ts';
import { malformed, MESSAGE, TUPLE, TupleCursor, VALUE, type Relation } from './pgoutput.ts';
import type { RowEncoder } from './row-encoder.ts';
import { SCAN_SLACK } from './scan-code.ts';
import type { TupleProgram } from './tuple-program.ts';

/** A relation of the log, matched with the table as the job knows it. */
export class WalTable {
  readonly encoder: RowEncoder;
  /** By the relation's column: its place in `encoder.columns`, -1 for one that is not copied. */
  readonly places: readonly number[];
  /** By the relation's column: part of the replica identity. */
  readonly identity: readonly boolean[];
  /** By key column: its index among the relation's columns. */
  readonly keyAt: readonly number[];
  /**
   * The replica identity holds the key. Rows of a table that lacks it may be inserted: a new partition whose identity was not set
   * yet. What is changed could be any row's key.
   */
  readonly keyed: boolean;
  /** Every copied column is in the log; false with generated columns before Postgres 18. */
  readonly complete: boolean;
  /** The copied columns come as they are written; false with a partition that was a table of another order. */
  readonly inOrder: boolean;
  #program: TupleProgram | undefined;

  constructor(relation: Relation, encoder: RowEncoder) {
    this.encoder = encoder;
    this.places = relation.columns.map((c) =>
      encoder.columns.findIndex((copied) => copied.name === c.name),
    );
    this.identity = relation.columns.map((c) => c.identity);
    this.keyAt = encoder.spec.key.map((name) => relation.columns.findIndex((c) => c.name === name));
    this.keyed = this.keyAt.every((i) => this.identity[i] === true);
    this.complete = encoder.columns.every((_, place) => this.places.includes(place));
    const copied = this.places.filter((place) => place >= 0);
    this.inOrder = copied.every((place, i) => i === 0 || place > copied[i - 1]!);
  }

  /** Writes a row that is all values and NULLs, `b[at..end)`, in order; `false`: it is not, or it has to be done value by value. */
  write(out: TableBatch, b: Buffer, at: number, end: number): boolean {
    if (b.length - end < SCAN_SLACK) return false;
    // Made for the first row: many relations are described that have none.
    this.#program ??= this.encoder.tupleProgram(this.places);
    return this.#program?.(b, this.encoder.wordsOf(b), at, end, out) === true;
  }
}

/** Takes the key of a row that the log does not hold whole. */
export type Incomplete = (encoder: RowEncoder, key: readonly Buffer[]) => void;

/**
 * Writes row messages into a batch (cdc-semantics.md §4.2): INSERT and UPDATE the new row, DELETE and a changed key the
 * old key with the delete sign. Values go from the message into the batch; objects are made for rows with an old tuple only.
 */
export class WalRows {
  readonly #cursor = new TupleCursor();
  readonly #incomplete: Incomplete;
  /** The old tuple of the message in hand: where each value is. */
  #old: OldValue[] = [];
  #oldKind = 0;

  constructor(incomplete: Incomplete) {
    this.#incomplete = incomplete;
  }

  write(table: WalTable, batch: Batch, b: Buffer, start: number, end: number): void {
    const out = batch.table(table.encoder.spec);
    const kind = b[start + 5];
    let at = start + 6;
    this.#oldKind = 0;
    if (!table.keyed && b[start] !== MESSAGE.INSERT) throw keyMissing(table);
    if (b[start] !== MESSAGE.INSERT && (kind === TUPLE.KEY || kind === TUPLE.OLD)) {
      this.#oldKind = kind;
      at = this.#readOld(table, b, start, end, at);
      if (b[start] === MESSAGE.DELETE) {
        this.#cursor.finish();
        table.encoder.deleteKey(out, this.#oldKey(table));
        return;
      }
      if (b[at] !== TUPLE.NEW || at >= end) throw malformed(b, start, 'no new row');
      at++;
    } else if (kind !== TUPLE.NEW || b[start] === MESSAGE.DELETE) {
      throw malformed(b, start, `tuple kind 0x${kind?.toString(16)}`);
    }
    const whole =
      table.complete &&
      (table.inOrder
        ? this.#writeNew(table, out, b, start, end, at)
        : this.#writeSorted(table, out, b, start, end, at));
    if (this.#oldKind !== 0 || !whole) this.#keys(table, out, b, start, end, at, whole);
  }

  /** The new row; `false` when the log lacks a value of it. */
  #writeNew(
    table: WalTable,
    out: TableBatch,
    b: Buffer,
    start: number,
    end: number,
    at: number,
  ): boolean {
    const cursor = this.#cursor;
    const { places, encoder } = table;
    this.#enter(table, b, start, end, at);
    if (table.write(out, b, cursor.at, end)) return true;
    out.startRow();
    for (let i = 0; i < places.length; i++) {
      cursor.next();
      const place = places[i]!;
      if (place < 0) continue;
      const column = encoder.columns[place]!;
      let { kind, from, to } = cursor;
      if (kind === VALUE.UNCHANGED) {
        // Never NULL: a NULL here is a partition that logs its key only, under a parent that is declared FULL.
        const old = this.#oldValue(table, i);
        if (old?.kind !== VALUE.TEXT) return false;
        ({ kind, from, to } = old);
      }
      out.startColumn(column.index);
      if (kind === VALUE.NULL) out.null();
      else column.writer.write(out, b, from, to);
    }
    cursor.finish();
    out.endRow(false);
    return true;
  }

  /** As {@link #writeNew}, for values that come in another order than they are written in. */
  #writeSorted(
    table: WalTable,
    out: TableBatch,
    b: Buffer,
    start: number,
    end: number,
    at: number,
  ): boolean {
    const cursor = this.#cursor;
    const { places, encoder } = table;
    const values: OldValue[] = [];
    this.#enter(table, b, start, end, at);
    for (let i = 0; i < places.length; i++) {
      cursor.next();
      const place = places[i]!;
      if (place < 0) continue;
      const { kind, from, to } = cursor;
      if (kind !== VALUE.UNCHANGED) {
        values[place] = { kind, from, to, buffer: b };
        continue;
      }
      const old = this.#oldValue(table, i);
      if (old?.kind !== VALUE.TEXT) return false;
      values[place] = old;
    }
    cursor.finish();
    out.startRow();
    values.forEach(({ kind, from, to }, place) => {
      const column = encoder.columns[place]!;
      out.startColumn(column.index);
      if (kind === VALUE.NULL) out.null();
      else column.writer.write(out, b, from, to);
    });
    out.endRow(false);
    return true;
  }

  /** A changed key deletes the old one; a row that is not whole is noted by its new key. */
  #keys(
    table: WalTable,
    out: TableBatch,
    b: Buffer,
    start: number,
    end: number,
    at: number,
    whole: boolean,
  ): void {
    const key = this.#newKey(table, b, start, end, at);
    if (this.#oldKind !== 0) {
      const old = this.#oldKey(table);
      if (old.some((value, i) => !value.equals(key[i]!))) table.encoder.deleteKey(out, old);
    }
    if (!whole) this.#incomplete(table.encoder, key);
  }

  #newKey(table: WalTable, b: Buffer, start: number, end: number, at: number): readonly Buffer[] {
    const cursor = this.#cursor;
    const key: Buffer[] = [];
    this.#enter(table, b, start, end, at);
    for (let i = 0; i < table.places.length; i++) {
      cursor.next();
      const nth = table.keyAt.indexOf(i);
      if (nth < 0) continue;
      const value = cursor.kind === VALUE.UNCHANGED ? this.#oldValue(table, i) : cursor;
      if (value?.kind !== VALUE.TEXT) throw keyMissing(table);
      key[nth] = Buffer.from(b.subarray(value.from, value.to));
    }
    cursor.finish();
    return key;
  }

  #readOld(table: WalTable, b: Buffer, start: number, end: number, at: number): number {
    const cursor = this.#cursor;
    this.#enter(table, b, start, end, at);
    this.#old = table.places.map(() => {
      cursor.next();
      return { kind: cursor.kind, from: cursor.from, to: cursor.to, buffer: b };
    });
    return cursor.at;
  }

  #oldKey(table: WalTable): readonly Buffer[] {
    return table.keyAt.map((i) => {
      const value = this.#oldValue(table, i);
      if (value?.kind !== VALUE.TEXT) throw keyMissing(table);
      return Buffer.from(value.buffer.subarray(value.from, value.to));
    });
  }

  /** A value of the old tuple, if it is in there: a KEY tuple shows columns outside the identity as NULL. */
  #oldValue(table: WalTable, i: number): OldValue | undefined {
    if (this.#oldKind === 0) return undefined;
    if (this.#oldKind === TUPLE.KEY && table.identity[i] !== true) return undefined;
    const value = this.#old[i];
    return value?.kind === VALUE.UNCHANGED ? undefined : value;
  }

  #enter(table: WalTable, b: Buffer, start: number, end: number, at: number): void {
    const count = this.#cursor.open(b, start, end, at);
    if (count !== table.places.length) {
      throw malformed(b, start, `${count} values for ${table.places.length} columns`);
    }
  }
}

interface OldValue {
  readonly kind: number;
  readonly from: number;
  readonly to: number;
  readonly buffer: Buffer;
}

function keyMissing(table: WalTable): ProxyError {
  const { spec } = table.encoder;
  return new ProxyError(
    'SOURCE_SETTING',
    `table ${tableId(spec)}: the log holds a change without the key (${spec.key.join(', ')}). ` +
      `Its replica identity was changed: ALTER TABLE ... REPLICA IDENTITY ${spec.keyIndex === undefined ? 'DEFAULT' : 'USING INDEX'}, or FULL, and create the job again.`,
  );
}
