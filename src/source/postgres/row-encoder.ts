import assert from 'node:assert/strict';
import type { TableBatch } from '../../encode/table-batch.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { deletedValue } from './value-form.ts';
import { ValueWriter } from './value-writer.ts';

const TAB = 0x09;
const BACKSLASH = 0x5c;
const UPPER_N = 0x4e;

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

/** A column that is copied. */
export interface WrittenColumn {
  /** Index in `TableSpec.columns`. */
  readonly index: number;
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
  #scratch = Buffer.alloc(4096);

  constructor(spec: TableSpec, checkUtf8: boolean) {
    this.spec = spec;
    const keys = new Set(spec.key);
    this.columns = spec.columns.flatMap((column, index) =>
      column.excluded === true
        ? []
        : [
            {
              index,
              name: column.name,
              writer: new ValueWriter(spec, column, checkUtf8),
              deleted: deletedValue(column),
              key: keys.has(column.name),
            },
          ],
    );
    this.keyPlaces = spec.key.map((name) => this.columns.findIndex((c) => c.name === name));
    assert(!this.keyPlaces.includes(-1), `${spec.name}: key columns are copied`);
  }

  /**
   * Writes one line of COPY's text format (PostgreSQL manual: COPY, "Text Format"), `b[from..to)` without its newline,
   * that holds the copied columns in order.
   */
  copyRow(out: TableBatch, b: Buffer, from: number, to: number): void {
    const { columns } = this;
    out.startRow();
    let at = from;
    for (let i = 0; i < columns.length; i++) {
      const column = columns[i]!;
      let escapes = 0;
      let stop = at;
      for (; stop < to; stop++) {
        const c = b[stop]!;
        if (c === TAB) break;
        if (c === BACKSLASH) {
          escapes++;
          stop++;
        }
      }
      // A line that is too short or too long would shift values into other columns.
      if (stop < to !== i < columns.length - 1) throw this.#copyBroken();
      out.startColumn(column.index);
      if (escapes === 0) column.writer.write(out, b, at, stop);
      else if (stop - at === 2 && b[at + 1] === UPPER_N) out.null();
      else {
        const length = this.#unescape(b, at, stop);
        column.writer.write(out, this.#scratch, 0, length);
      }
      at = stop + 1;
    }
    out.endRow(false);
  }

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

  #copyBroken(): ProxyError {
    return new ProxyError(
      'UNDECODABLE',
      `table ${tableId(this.spec)}: COPY sent a row without ${this.columns.length} values`,
    );
  }
}
