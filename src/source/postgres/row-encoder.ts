import assert from 'node:assert/strict';
import { canGenerateCode } from '../../encode/generated-code.ts';
import { viewOf } from '../../encode/json-bytes.ts';
import { rowLayout } from '../../encode/row-layout.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import {
  copyProgram,
  type CopyProgram,
  type ProgramColumn,
  type ProgramPlan,
} from './copy-program.ts';
import { quickForm } from './quick-form.ts';
import { SCAN_SLACK } from './scan-code.ts';
import { deletedValue } from './value-form.ts';
import { tupleProgram, type TupleProgram } from './tuple-program.ts';
import { ValueWriter } from './value-writer.ts';

const TAB = 0x09;
const BACKSLASH = 0x5c;
const UPPER_N = 0x4e;
const NEWLINE = 0x0a;

/** What a letter after a backslash stands for in COPY's text format; every other byte stands for itself. */
const UNESCAPE = new Uint8Array(256).map((_, i) => i);
for (const [letter, code] of [
  ['b', 0x08],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['v', 0x0b],
] as const) {
  UNESCAPE[letter.charCodeAt(0)] = code;
}

/** `"char"`: one byte, of which Postgres before 16 prints any value as it is. */
const OID_CHAR = 18;

/** Longer rows go value by value: generated code reserves what a row may grow to at most, and of a long one that is much. */
const GENERATED_MAX = 64 * 1024;

/** A column that is copied. */
export interface WrittenColumn extends ProgramColumn {
  readonly name: string;
  readonly writer: ValueWriter;
  /** JSON in rows that delete the key. */
  readonly deleted: string;
  readonly key: boolean;
}

/** Writes the rows of one table, whichever way they come. */
export class RowEncoder {
  readonly spec: TableSpec;
  /** The columns that are copied, in the table's order. */
  readonly columns: readonly WrittenColumn[];
  /** For each key column, in the key's order, its place in {@link columns}. */
  readonly keyPlaces: readonly number[];
  /** Undefined: without generated code. */
  readonly #plan: ProgramPlan | undefined;
  #copyProgram: CopyProgram | undefined;
  readonly #tuplePrograms = new Map<string, TupleProgram>();
  #source: Buffer = Buffer.alloc(0);
  /** The same memory, as words: one view for all rows of a piece. */
  #words = viewOf(this.#source);
  #scratch = Buffer.alloc(4096);

  constructor(
    spec: TableSpec,
    checkUtf8: boolean,
    form: 'generated' | 'interpreted' = canGenerateCode() ? 'generated' : 'interpreted',
  ) {
    this.spec = spec;
    const keys = new Set(spec.key);
    this.columns = spec.columns.flatMap((column, index) =>
      column.excluded === true
        ? []
        : [
            {
              index,
              name: column.name,
              writer: new ValueWriter(spec, column, checkUtf8 || column.typeOid === OID_CHAR),
              quick: quickForm(column),
              utf8: !checkUtf8 && column.typeOid !== OID_CHAR,
              deleted: deletedValue(column),
              key: keys.has(column.name),
            },
          ],
    );
    this.keyPlaces = spec.key.map((name) => this.columns.findIndex((c) => c.name === name));
    assert(!this.keyPlaces.includes(-1), `${spec.name}: key columns are copied`);
    if (form === 'generated') {
      this.#plan = { layout: rowLayout(spec), columns: this.columns, width: spec.columns.length };
    }
  }

  /**
   * Writes one line of COPY's text format (PostgreSQL manual: COPY, "Text Format"), `b[from..to)` without its newline,
   * that holds the copied columns in order. Fast where the newline and {@link SCAN_SLACK} bytes more follow it in `b`.
   */
  copyRow(out: TableBatch, b: Buffer, from: number, to: number): void {
    if (
      this.#plan !== undefined &&
      to - from <= GENERATED_MAX &&
      b[to] === NEWLINE &&
      b.length - to > SCAN_SLACK
    ) {
      // Made for the first row: a job's log may have thousands of tables.
      this.#copyProgram ??= copyProgram(this.#plan, this.#copyValue, this.#copyBroken);
      this.#copyProgram(b, this.wordsOf(b), from, to, out);
      return;
    }
    out.startRow();
    const last = this.columns.length - 1;
    let at = from;
    for (let place = 0; place <= last; place++) {
      out.startColumn(this.columns[place]!.index);
      const stop = this.#copyValue(out, place, b, at, to);
      // A line that is too short or too long would shift values into other columns.
      if (stop < to !== place < last) this.#copyBroken();
      at = stop + 1;
    }
    out.endRow(false);
  }

  /** `b` as words. */
  wordsOf(b: Buffer): DataView {
    if (b !== this.#source) {
      this.#source = b;
      this.#words = viewOf(b);
    }
    return this.#words;
  }

  /** What writes rows of the log; relations with the same `places` share it. Undefined: without generated code. */
  tupleProgram(places: readonly number[]): TupleProgram | undefined {
    if (this.#plan === undefined) return undefined;
    const id = places.join();
    let program = this.#tuplePrograms.get(id);
    if (program === undefined) {
      program = tupleProgram(this.#plan, places, (out, place, b, from, to) => {
        this.columns[place]!.writer.write(out, b, from, to);
      });
      this.#tuplePrograms.set(id, program);
    }
    return program;
  }

  /** Writes the value that begins at `from`; returns where it ends. */
  readonly #copyValue = (
    out: TableBatch,
    place: number,
    b: Buffer,
    from: number,
    to: number,
  ): number => {
    const { writer } = this.columns[place]!;
    let escaped = false;
    let stop = from;
    for (; stop < to && b[stop] !== TAB; stop++) {
      if (b[stop] !== BACKSLASH) continue;
      escaped = true;
      stop++;
    }
    if (!escaped) {
      writer.write(out, b, from, stop);
    } else if (stop - from === 2 && b[from + 1] === UPPER_N) {
      out.null();
    } else {
      const length = this.#unescape(b, from, stop);
      writer.write(out, this.#scratch, 0, length);
    }
    return stop;
  };

  /** Writes a row that deletes a key, given the text of its values in the key's order. */
  deleteKey(out: TableBatch, key: readonly Buffer[]): void {
    out.startRow();
    this.columns.forEach((column, place) => {
      out.startColumn(column.index);
      const text = column.key ? key[this.keyPlaces.indexOf(place)]! : undefined;
      if (text === undefined) out.ascii(column.deleted);
      else column.writer.write(out, text, 0, text.length);
    });
    out.endRow(true);
  }

  /** Unescapes into the scratch buffer and returns the length: the result is never longer. */
  #unescape(b: Buffer, from: number, to: number): number {
    if (this.#scratch.length < to - from) this.#scratch = Buffer.allocUnsafe(2 * (to - from));
    const scratch = this.#scratch;
    let length = 0;
    for (let at = from; at < to; at++) {
      const c = b[at]!;
      if (c !== BACKSLASH) scratch[length++] = c;
      else scratch[length++] = UNESCAPE[b[++at]!]!;
    }
    return length;
  }

  readonly #copyBroken = (): never => {
    throw new ProxyError(
      'UNDECODABLE',
      `table ${tableId(this.spec)}: COPY sent a row without ${this.columns.length} values`,
    );
  };
}
