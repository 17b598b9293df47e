import { isUtf8 } from 'node:buffer';
import type { JsonWriter } from '../../encode/json-writer.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type ColumnSpec, type TableSpec } from '../../model/table.ts';
import { writeArray } from './array-literal.ts';
import { hstoreJson } from './hstore.ts';
import { arrayForm, columnForm, FORM, type ArrayForm, type Form } from './value-form.ts';

const QUOTE = 0x22;
const DASH = 0x2d;
const PLUS = 0x2b;
const SPACE = 0x20;
const T = 0x74;
const ONE = 0x31;
const UPPER_C = 0x43;
const UPPER_I = 0x49;
const UPPER_N = 0x4e;

/**
 * Turns the server's text of one column's values into JSON. COPY and pgoutput both print a value by its type's
 * output function under the same session settings, and both come through here: a value has the same bytes
 * whichever way it came (cdc-semantics.md §1.7.4).
 */
export class ValueWriter {
  readonly #column: ColumnSpec;
  readonly #table: TableSpec;
  readonly #form: Form;
  readonly #array: ArrayForm;
  readonly #checkUtf8: boolean;

  /**
   * @param checkUtf8 the bytes are nobody's promise (the database's encoding is SQL_ASCII), and are refused where they
   * are not UTF-8 rather than replaced.
   */
  constructor(table: TableSpec, column: ColumnSpec, checkUtf8: boolean) {
    this.#table = table;
    this.#column = column;
    this.#form = columnForm(column);
    this.#array = arrayForm(column);
    this.#checkUtf8 = checkUtf8;
  }

  /** Writes the value whose text is `b[from..to)`. */
  write(out: JsonWriter, b: Buffer, from: number, to: number): void {
    switch (this.#form) {
      case FORM.ARRAY:
        if (this.#checkUtf8) this.#requireUtf8(b, from, to);
        writeArray(out, this.#array, b, from, to, this.#element);
        return;
      case FORM.HSTORE: {
        if (this.#checkUtf8) this.#requireUtf8(b, from, to);
        const json = hstoreJson(b, from, to);
        if (json === undefined) throw this.#refuse(b, from, to);
        out.quotedUtf8(json, 0, json.length);
        return;
      }
      default:
        this.#scalar(out, this.#form, b, from, to);
    }
  }

  readonly #element = (out: JsonWriter, b: Buffer, from: number, to: number): void => {
    if (from < 0) throw this.#refuse(b, -1 - from, to);
    this.#scalar(out, this.#array.element, b, from, to);
  };

  #scalar(out: JsonWriter, form: Form, b: Buffer, from: number, to: number): void {
    switch (form) {
      case FORM.TEXT:
        if (this.#checkUtf8) this.#requireUtf8(b, from, to);
        out.quotedUtf8(b, from, to);
        return;
      case FORM.NUMBER:
        out.raw(b, from, to);
        return;
      case FORM.DIGITS:
        out.quotedRaw(b, from, to);
        return;
      case FORM.FLOAT:
        if (isDigits(b, from)) out.raw(b, from, to);
        else out.quotedRaw(b, from, to);
        return;
      case FORM.DECIMAL:
        if (!isDigits(b, from)) throw this.#refuse(b, from, to);
        out.quotedRaw(b, from, to);
        return;
      case FORM.BOOLEAN:
        out.boolean(b[from] === T);
        return;
      case FORM.BIT:
        out.boolean(b[from] === ONE);
        return;
      case FORM.BYTES:
        writeBytes(out, b, from, to);
        return;
      default:
        this.#moment(out, form, b, from, to);
    }
  }

  /** Dates that Doris can hold: years 0001 to 9999. Infinity, BC and later years have other lengths or no dash there. */
  #moment(out: JsonWriter, form: Form, b: Buffer, from: number, to: number): void {
    const fits =
      b[from + 4] === DASH &&
      (form === FORM.DATE
        ? to - from === 10
        : to - from >= 19 && b[from + 10] === SPACE && b[to - 1] !== UPPER_C);
    if (!fits) throw this.#refuse(b, from, to);
    let end = to;
    if (form === FORM.INSTANT) {
      end = from + 19;
      while (end < to && b[end] !== PLUS && b[end] !== DASH) end++;
    }
    out.quotedRaw(b, from, end);
  }

  #requireUtf8(b: Buffer, from: number, to: number): void {
    if (isUtf8(b.subarray(from, to))) return;
    throw new ProxyError(
      'UNDECODABLE',
      `${this.#where()}: the text is not UTF-8, and the server does not say what it is. ` +
        `Exclude the column (table.${this.#table.name}.exclude_columns), or correct the text at the source.`,
    );
  }

  #refuse(b: Buffer, from: number, to: number): ProxyError {
    const text = b.toString('utf8', from, Math.min(to, from + 60));
    return new ProxyError(
      'UNDECODABLE',
      `${this.#where()}: the value '${text}' has no place in the Doris type ${this.#column.dorisType}. ` +
        `Exclude the column (table.${this.#table.name}.exclude_columns), or change the value at the source.`,
    );
  }

  #where(): string {
    return `table ${tableId(this.#table)}, column ${this.#column.name}`;
  }
}

/** Not `NaN`, `Infinity`, `-Infinity`. */
function isDigits(b: Buffer, from: number): boolean {
  const first = b[from] === DASH ? b[from + 1]! : b[from]!;
  return first !== UPPER_N && first !== UPPER_I;
}

let bytes = Buffer.alloc(4096);

/** `\x` and two digits a byte: the form of `bytea_output = hex`. */
function writeBytes(out: JsonWriter, b: Buffer, from: number, to: number): void {
  const length = (to - from - 2) >> 1;
  if (bytes.length < length) bytes = Buffer.allocUnsafe(2 * length);
  if (length > 64) {
    bytes.write(b.toString('latin1', from + 2, to), 'hex');
  } else {
    for (let i = 0, at = from + 2; i < length; i++, at += 2) {
      bytes[i] = (hexDigit(b[at]!) << 4) | hexDigit(b[at + 1]!);
    }
  }
  if (length === 0) {
    out.byte(QUOTE);
    out.byte(QUOTE);
  } else {
    out.quotedBase64(bytes, 0, length);
  }
}

/** The server prints lower-case digits. */
function hexDigit(c: number): number {
  return c < 0x3a ? c - 0x30 : c - 0x57;
}
