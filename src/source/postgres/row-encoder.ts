import assert from 'node:assert/strict';
import { special, viewOf } from '../../encode/json-bytes.ts';
import { rowLayout } from '../../encode/row-layout.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { isText, quickEnd, quickForm, type Quick } from './quick-form.ts';
import { deletedValue } from './value-form.ts';
import { ValueWriter } from './value-writer.ts';

const TAB = 0x09;
const BACKSLASH = 0x5c;
const UPPER_N = 0x4e;
const QUOTE = 0x22;

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

/**
 * What a byte means in COPY's text format, and in a JSON string: 0 for one that stands for itself in both. Looked up
 * for every byte.
 */
const SPECIAL = 1;
const END = 2;
const CLASS = new Uint8Array(256).map((_, c) => {
  if (c === TAB) return END;
  return c < 0x20 || c === QUOTE || c === BACKSLASH || c >= 0x80 ? SPECIAL : 0;
});

/** Letters after a backslash that mean the same in COPY's text format and in JSON. */
const SAME_ESCAPE = new Uint8Array(256);
for (const letter of ['b', 'f', 'n', 'r', 't', '\\']) SAME_ESCAPE[letter.charCodeAt(0)] = 1;

const WORD = 4;

/** Constant text that is written four bytes at a time; up to three bytes after it are written over and come next. */
interface Words {
  readonly length: number;
  readonly words: Int32Array;
}

function toWords(text: string): Words {
  const bytes = Buffer.from(text);
  const padded = Buffer.concat([bytes, Buffer.alloc(-bytes.length & (WORD - 1))]);
  const words = Int32Array.from({ length: padded.length / WORD }, (_, i) =>
    padded.readInt32BE(WORD * i),
  );
  return { length: bytes.length, words };
}

/** A column that is copied. */
export interface WrittenColumn {
  /** Index in `TableSpec.columns`. */
  readonly index: number;
  readonly name: string;
  readonly writer: ValueWriter;
  /** How a value of plain ASCII is written without asking the writer. */
  readonly quick: Quick;
  readonly text: boolean;
  /** What stands in front of the value: `,"name":`. */
  readonly prefix: Words;
  /** Places in `TableBatch.marks` that are where this column begins. */
  readonly marks: readonly number[];
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
  readonly #tail: Words;
  #source: Buffer = Buffer.alloc(0);
  /** The same memory, for words: one view for each chunk that the socket gives. */
  #sourceView = viewOf(this.#source);
  #stop = 0;
  readonly #endMarks: readonly number[];
  /** Bytes of a row around its values: names, quotes, the tail. */
  readonly #around: number;
  #scratch = Buffer.alloc(4096);

  constructor(spec: TableSpec, checkUtf8: boolean) {
    this.spec = spec;
    const keys = new Set(spec.key);
    const layout = rowLayout(spec);
    const marksAt = (index: number): readonly number[] =>
      layout.runs.flatMap((run, r) => [
        ...(run.from === index ? [2 * r] : []),
        ...(run.until === index ? [2 * r + 1] : []),
      ]);
    this.columns = spec.columns.flatMap((column, index) =>
      column.excluded === true
        ? []
        : [
            {
              index,
              name: column.name,
              writer: new ValueWriter(spec, column, checkUtf8),
              quick: quickForm(column),
              text: isText(quickForm(column)) && !checkUtf8,
              prefix: toWords(layout.prefixes[index]!),
              marks: marksAt(index),
              deleted: deletedValue(column),
              key: keys.has(column.name),
            },
          ],
    );
    this.keyPlaces = spec.key.map((name) => this.columns.findIndex((c) => c.name === name));
    assert(!this.keyPlaces.includes(-1), `${spec.name}: key columns are copied`);
    this.#tail = toWords(layout.tails[0]);
    this.#endMarks = marksAt(spec.columns.length);
    this.#around = this.columns.reduce(
      (sum, c) => sum + c.prefix.length + 2,
      this.#tail.length + WORD,
    );
  }

  /**
   * Writes one line of COPY's text format (PostgreSQL manual: COPY, "Text Format"), `b[from..to)` without its newline,
   * that holds the copied columns in order.
   *
   * This is where a copy's time goes, so the bytes that most values consist of are moved here, with the place kept in
   * a local variable: the batch's lower half (`marks`, `commitRow`). All other values take the writer's way.
   */
  copyRow(out: TableBatch, b: Buffer, from: number, to: number): void {
    const { columns } = this;
    const last = columns.length - 1;
    // Every byte may get a backslash in front of it.
    const room = this.#around + 2 * (to - from);
    out.startRow();
    out.reserve(room);
    let { buffer, view, position: p } = out;
    let at = from;
    for (let i = 0; i <= last; i++) {
      const column = columns[i]!;
      const { prefix, marks, quick } = column;
      for (let m = 0; m < marks.length; m++) out.marks[marks[m]!] = p - out.rowStart;
      for (let k = 0, q = p; k < prefix.words.length; k++, q += 4)
        view.setInt32(q, prefix.words[k]!);
      p += prefix.length;
      // Copied while its end is looked for; taken back if there is more to it.
      const start = p;
      if (quick.quoted) buffer[p++] = QUOTE;
      if (quick.quoted) p = this.#copyText(b, at, to, buffer, view, p);
      else p = this.#copyPlain(b, at, to, buffer, p);
      let stop = this.#stop;
      const end = stop === to || b[stop] === TAB ? quickEnd(quick, b, at, stop) : -1;
      if (end >= 0) {
        p -= stop - end; // the offset of an instant
        if (quick.quoted) buffer[p++] = QUOTE;
      } else {
        out.position = start;
        stop = this.#slow(out, column, b, at, to);
        out.reserve(room);
        ({ buffer, view, position: p } = out);
      }
      // A line that is too short or too long would shift values into other columns.
      if (stop < to !== i < last) throw this.#copyBroken();
      at = stop + 1;
    }
    out.position = p;
    this.end(out);
  }

  /** Copies bytes that need nothing, from `from` on; leaves where it stopped in `#stop`. */
  #copyPlain(b: Buffer, from: number, to: number, target: Buffer, at: number): number {
    let s = from;
    let p = at;
    for (; s < to; s++) {
      const c = b[s]!;
      if (CLASS[c] !== 0) break;
      target[p++] = c;
    }
    this.#stop = s;
    return p;
  }

  /**
   * Copies what stands in quotes, eight bytes at a time where none of them is special, and turns COPY's escapes into JSON's, which are
   * the same but for a few; stops at a tab, at a byte outside of ASCII (its sequence is to be checked) and at the rest.
   */
  #copyText(
    b: Buffer,
    from: number,
    to: number,
    target: Buffer,
    view: DataView,
    at: number,
  ): number {
    if (b !== this.#source) {
      this.#source = b;
      this.#sourceView = viewOf(b);
    }
    const words = this.#sourceView;
    let s = from;
    let p = at;
    for (;;) {
      for (; s + 8 <= to; s += 8, p += 8) {
        const low = words.getInt32(s);
        const high = words.getInt32(s + 4);
        if (((special(low) | special(high)) & 0x8080_8080) !== 0) break;
        view.setInt32(p, low);
        view.setInt32(p + 4, high);
      }
      let c = TAB;
      for (; s < to; s++) {
        c = b[s]!;
        if (CLASS[c] !== 0) break;
        target[p++] = c;
      }
      if (s >= to) break;
      if (c === QUOTE) {
        target[p++] = BACKSLASH;
        target[p++] = QUOTE;
        s++;
      } else if (c === BACKSLASH && s + 1 < to && SAME_ESCAPE[b[s + 1]!] === 1) {
        target[p++] = BACKSLASH;
        target[p++] = b[s + 1]!;
        s += 2;
      } else {
        break;
      }
    }
    this.#stop = s;
    return p;
  }

  /** Writes the value that begins at `from`; returns where it ends. */
  #slow(out: TableBatch, { writer }: WrittenColumn, b: Buffer, from: number, to: number): number {
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
  }

  /**
   * Begins the value of `column`, as `TableBatch.startColumn` does but with the name written four bytes at a time, and counted
   * as part of a key. For the log's rows, whose values come one by one: {@link value} or `out.null()`, and {@link end} after the last one.
   */
  begin(out: TableBatch, { marks, prefix }: WrittenColumn): void {
    out.reserve(prefix.length + WORD);
    const p = out.position;
    for (let m = 0; m < marks.length; m++) out.marks[marks[m]!] = p - out.rowStart;
    const { view } = out;
    for (let k = 0, q = p; k < prefix.words.length; k++, q += 4) view.setInt32(q, prefix.words[k]!);
    out.position = p + prefix.length;
  }

  /** Writes a value whose text is `b[from..to)`. */
  value(
    out: TableBatch,
    { quick, text, writer }: WrittenColumn,
    b: Buffer,
    from: number,
    to: number,
  ): void {
    const end = text ? -1 : quickEnd(quick, b, from, to);
    if (end >= 0) {
      out.reserve(end - from + 2);
      const { buffer } = out;
      let p = out.position;
      if (quick.quoted) buffer[p++] = QUOTE;
      let at = from;
      for (; at < end; at++) {
        const c = b[at]!;
        // A tab ends a value of COPY, but is one more thing to escape here.
        if (CLASS[c] !== 0) break;
        buffer[p++] = c;
      }
      if (at === end) {
        if (quick.quoted) buffer[p++] = QUOTE;
        out.position = p;
        return;
      }
    }
    writer.write(out, b, from, to);
  }

  /** Ends a row that is not deleted. */
  end(out: TableBatch): void {
    out.reserve(this.#tail.length + WORD);
    const p = out.position;
    for (const mark of this.#endMarks) out.marks[mark] = p - out.rowStart;
    const { words } = this.#tail;
    const { view } = out;
    for (let k = 0, q = p; k < words.length; k++, q += 4) view.setInt32(q, words[k]!);
    out.position = p + this.#tail.length;
    out.commitRow();
  }

  /** Writes a row that deletes a key, given the text of its values in the key's order. */
  deleteKey(out: TableBatch, key: readonly Buffer[]): void {
    out.startRow();
    this.columns.forEach((column, place) => {
      // As the rows it replaces: a key is where `begin` marks it, and `startColumn` marks it elsewhere.
      this.begin(out, column);
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
