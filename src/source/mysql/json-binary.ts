import type { JsonWriter } from '../../encode/json-writer.ts';
import { ProxyError } from '../../model/error.ts';
import {
  decimalBytes,
  decimalPut,
  NUMBER_ROOM,
  putDouble,
  putUint64Digits,
} from './number-text.ts';
import { TYPE } from './table-map.ts';

/** Value types of MySQL's binary JSON (`json_binary.h`). */
const JSON_TYPE = {
  SMALL_OBJECT: 0x00,
  LARGE_OBJECT: 0x01,
  SMALL_ARRAY: 0x02,
  LARGE_ARRAY: 0x03,
  LITERAL: 0x04,
  INT16: 0x05,
  UINT16: 0x06,
  INT32: 0x07,
  UINT32: 0x08,
  INT64: 0x09,
  UINT64: 0x0a,
  DOUBLE: 0x0b,
  STRING: 0x0c,
  OPAQUE: 0x0f,
} as const;

const LITERALS = ['null', 'true', 'false'] as const;
/** MySQL refuses deeper documents; one in the log is damage, and would cost our stack. */
const DEPTH_MAX = 110;

const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const QUOTE = 0x22;
/** MySQL's base64 has a line break after so many characters. */
const BASE64_LINE = 76;

/**
 * Writes a stored JSON document as the text that the server prints for it: its order of keys (by length, then bytes), its
 * `", "` and `": "`, numbers with all their digits, dates and decimals inside JSON as their text, other SQL values as base64.
 *
 * @throws ProxyError UNDECODABLE when the bytes are no document.
 */
export function writeJsonDocument(
  out: JsonWriter,
  source: Buffer,
  start: number,
  end: number,
): void {
  if (start === end) {
    // A NOT NULL column that was added in non-strict mode: MySQL reads it as the JSON literal.
    out.null();
    return;
  }
  try {
    new JsonPrinter(out, source.subarray(start, end)).value(source[start]!, 1, 0);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw damaged(cause);
  }
}

function damaged(cause?: unknown): ProxyError {
  return new ProxyError('UNDECODABLE', 'A JSON value in the log is damaged.', { cause });
}

/** Reads with the methods of Buffer, which throw RangeError outside of the document. */
class JsonPrinter {
  readonly #out: JsonWriter;
  readonly #doc: Buffer;

  constructor(out: JsonWriter, doc: Buffer) {
    this.#out = out;
    this.#doc = doc;
  }

  /** The value of `type` whose bytes begin at `at`. */
  value(type: number, at: number, depth: number): void {
    if (depth > DEPTH_MAX) throw damaged();
    const out = this.#out;
    const doc = this.#doc;
    switch (type) {
      case JSON_TYPE.SMALL_OBJECT:
      case JSON_TYPE.LARGE_OBJECT:
        return this.#object(at, type === JSON_TYPE.LARGE_OBJECT, depth);
      case JSON_TYPE.SMALL_ARRAY:
      case JSON_TYPE.LARGE_ARRAY:
        return this.#array(at, type === JSON_TYPE.LARGE_ARRAY, depth);
      case JSON_TYPE.LITERAL: {
        const literal = LITERALS[doc.readUInt8(at)];
        if (literal === undefined) throw damaged();
        return out.ascii(literal);
      }
      case JSON_TYPE.INT16:
        return out.integer(doc.readInt16LE(at));
      case JSON_TYPE.UINT16:
        return out.integer(doc.readUInt16LE(at));
      case JSON_TYPE.INT32:
        return out.integer(doc.readInt32LE(at));
      case JSON_TYPE.UINT32:
        return out.integer(doc.readUInt32LE(at));
      case JSON_TYPE.INT64:
        return out.ascii(doc.readBigInt64LE(at).toString());
      case JSON_TYPE.UINT64:
        out.reserve(NUMBER_ROOM);
        out.position = putUint64Digits(
          out.buffer,
          out.position,
          doc.readUInt32LE(at + 4),
          doc.readUInt32LE(at),
        );
        return;
      case JSON_TYPE.DOUBLE:
        return this.#double(doc.readDoubleLE(at));
      case JSON_TYPE.STRING:
        return this.#string(at);
      case JSON_TYPE.OPAQUE:
        return this.#opaque(at);
      default:
        throw damaged();
    }
  }

  #object(at: number, large: boolean, depth: number): void {
    const width = large ? 4 : 2;
    const count = this.#size(at, large);
    const keysAt = at + 2 * width;
    const valuesAt = keysAt + count * (width + 2);
    this.#out.byte(OPEN_OBJECT);
    for (let i = 0; i < count; i++) {
      if (i > 0) this.#out.ascii(', ');
      const entry = keysAt + i * (width + 2);
      const keyAt = at + this.#size(entry, large);
      this.#quoted(keyAt, this.#doc.readUInt16LE(entry + width));
      this.#out.ascii(': ');
      this.#entry(at, valuesAt + i * (width + 1), large, depth);
    }
    this.#out.byte(CLOSE_OBJECT);
  }

  #array(at: number, large: boolean, depth: number): void {
    const width = large ? 4 : 2;
    const count = this.#size(at, large);
    this.#out.byte(OPEN_ARRAY);
    for (let i = 0; i < count; i++) {
      if (i > 0) this.#out.ascii(', ');
      this.#entry(at, at + 2 * width + i * (width + 1), large, depth);
    }
    this.#out.byte(CLOSE_ARRAY);
  }

  /** A value of a container: small ones stand in the entry itself, others where it points to, counted from the container. */
  #entry(container: number, entry: number, large: boolean, depth: number): void {
    const type = this.#doc.readUInt8(entry);
    const inline =
      type === JSON_TYPE.LITERAL ||
      type === JSON_TYPE.INT16 ||
      type === JSON_TYPE.UINT16 ||
      (large && (type === JSON_TYPE.INT32 || type === JSON_TYPE.UINT32));
    const at = inline ? entry + 1 : container + this.#size(entry + 1, large);
    this.value(type, at, depth + 1);
  }

  #size(at: number, large: boolean): number {
    return large ? this.#doc.readUInt32LE(at) : this.#doc.readUInt16LE(at);
  }

  /** A double is told from an integer by its text: `1.0`. */
  #double(x: number): void {
    const out = this.#out;
    out.reserve(NUMBER_ROOM);
    const start = out.position;
    let end = putDouble(out.buffer, start, x);
    const text = out.buffer.subarray(start, end);
    if (!text.includes(0x2e) && !text.includes(0x65)) {
      out.buffer[end++] = 0x2e;
      out.buffer[end++] = 0x30;
    }
    out.position = end;
  }

  #string(at: number): void {
    const { value: length, next } = this.#length(at);
    this.#quoted(next, length);
  }

  #quoted(at: number, length: number): void {
    if (at + length > this.#doc.length) throw damaged();
    this.#out.quotedUtf8(this.#doc, at, at + length);
  }

  /** Seven bits in each byte, the lowest first; the high bit says that another byte follows. */
  #length(at: number): { value: number; next: number } {
    let value = 0;
    for (let i = 0; i < 5; i++) {
      const byte = this.#doc.readUInt8(at + i);
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return { value, next: at + i + 1 };
    }
    throw damaged();
  }

  /** An SQL value that JSON has no type for: its column type code, a length, its bytes. */
  #opaque(at: number): void {
    const type = this.#doc.readUInt8(at);
    const { value: length, next } = this.#length(at + 1);
    const bytes = this.#doc.subarray(next, next + length);
    if (bytes.length !== length) throw damaged();
    switch (type) {
      case TYPE.NEWDECIMAL:
        return this.#decimal(bytes);
      case TYPE.DATE:
      case TYPE.DATETIME:
      case TYPE.TIMESTAMP:
        return this.#datetime(bytes.readBigInt64LE(0), type === TYPE.DATE);
      case TYPE.TIME:
        return this.#time(bytes.readBigInt64LE(0));
      default:
        return this.#base64(type, bytes);
    }
  }

  #decimal(bytes: Buffer): void {
    const precision = bytes.readUInt8(0);
    const scale = bytes.readUInt8(1);
    if (bytes.length !== 2 + decimalBytes(precision, scale)) throw damaged();
    this.#out.reserve(2 * precision + NUMBER_ROOM);
    const put = decimalPut(precision, scale);
    this.#out.position = put(this.#out.buffer, this.#out.position, bytes, 2);
  }

  /** Packed as MySQL does in memory: 24 bits of microseconds under 17 of the clock under year * 13 + month, 5 of the day. */
  #datetime(packed: bigint, dateOnly: boolean): void {
    const whole = packed >> 24n;
    const days = Number(whole >> 17n);
    const yearMonth = days >> 5;
    const date = `${pad(Math.floor(yearMonth / 13), 4)}-${pad(yearMonth % 13, 2)}-${pad(days & 31, 2)}`;
    const clock = Number(whole & 0x1ffffn);
    this.#out.ascii(dateOnly ? `"${date}"` : `"${date} ${clockText(clock, packed)}"`);
  }

  #time(packed: bigint): void {
    const abs = packed < 0n ? -packed : packed;
    const sign = packed < 0n ? '-' : '';
    this.#out.ascii(`"${sign}${clockText(Number(abs >> 24n), abs)}"`);
  }

  #base64(type: number, bytes: Buffer): void {
    const text = bytes.toString('base64');
    const lines = text.match(new RegExp(`.{1,${BASE64_LINE}}`, 'g')) ?? [];
    // Inside JSON a line break is an escape.
    this.#out.byte(QUOTE);
    this.#out.ascii(`base64:type${type}:`);
    this.#out.ascii(lines.join(String.raw`\n`));
    this.#out.byte(QUOTE);
  }
}

function clockText(clock: number, packed: bigint): string {
  const fraction = pad(Number(packed & 0xffffffn), 6);
  return `${pad(clock >> 12, 2)}:${pad((clock >> 6) & 63, 2)}:${pad(clock & 63, 2)}.${fraction}`;
}

function pad(n: number, width: number): string {
  return String(n).padStart(width, '0');
}
