import {
  ESCAPED_MAX,
  escapedLength,
  putAscii,
  putBase64,
  putBytes,
  putEscaped,
  putInt,
  viewOf,
} from './json-bytes.ts';

const QUOTE = 0x22;

/** Above this many bytes the exact escaped length is counted first: a 16 MB value must not reserve 96 MB. */
const COUNT_FROM = 4096;

/**
 * Writes JSON values into a growing buffer. Every method makes its own room.
 *
 * Hot code may write into `buffer` or `view` at `position` itself after {@link reserve}; whatever reserves may replace the buffer,
 * so they are read again afterwards.
 */
export abstract class JsonWriter {
  buffer: Buffer = Buffer.alloc(0);
  /** The same memory, for words. */
  view: DataView = viewOf(this.buffer);
  position = 0;

  /** Makes room for `bytes` more after `position`: calls {@link adopt}, and may move `position`. */
  protected abstract grow(bytes: number): void;

  protected adopt(buffer: Buffer): void {
    this.buffer = buffer;
    this.view = viewOf(buffer);
  }

  reserve(bytes: number): void {
    if (this.buffer.length - this.position < bytes) this.grow(bytes);
  }

  null(): void {
    this.ascii('null');
  }

  boolean(value: boolean): void {
    this.ascii(value ? 'true' : 'false');
  }

  /** A JSON number; `|value| < 2^53`. */
  integer(value: number): void {
    this.reserve(17);
    this.position = putInt(this.buffer, this.position, value);
  }

  /** One byte as it is: brackets, commas, signs. */
  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.position++] = value;
  }

  /** ASCII text as it is: literals, digits that JavaScript printed. */
  ascii(text: string): void {
    this.reserve(text.length);
    this.position = putAscii(this.buffer, this.position, text);
  }

  /** Bytes as they are: a JSON number in the source's text. The caller knows that they are valid JSON. */
  raw(source: Uint8Array, start: number, end: number): void {
    this.reserve(end - start);
    this.position = putBytes(this.buffer, this.position, source, start, end);
  }

  /** Bytes that need no escape, in quotes: digits, dates. */
  quotedRaw(source: Uint8Array, start: number, end: number): void {
    this.reserve(end - start + 2);
    this.buffer[this.position++] = QUOTE;
    this.position = putBytes(this.buffer, this.position, source, start, end);
    this.buffer[this.position++] = QUOTE;
  }

  /** A JSON string of UTF-8 text; ill-formed parts become U+FFFD. */
  quotedUtf8(source: Uint8Array, start: number, end: number): void {
    this.byte(QUOTE);
    this.utf8(source, start, end);
    this.byte(QUOTE);
  }

  /**
   * A piece inside a JSON string, escaped, between two {@link byte}(0x22). A piece ends
   * at a character's end: a sequence cut in two counts as ill-formed on both sides.
   */
  utf8(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const bytes = length < COUNT_FROM ? length * ESCAPED_MAX : escapedLength(source, start, end);
    this.reserve(bytes);
    this.position = putEscaped(this.buffer, this.position, source, start, end);
  }

  /** A JSON string of the standard base64 of the bytes. */
  quotedBase64(source: Uint8Array, start: number, end: number): void {
    this.reserve(4 * Math.ceil((end - start) / 3) + 2);
    this.buffer[this.position++] = QUOTE;
    this.position = putBase64(this.buffer, this.position, source, start, end);
    this.buffer[this.position++] = QUOTE;
  }

  /** A JSON string of a JavaScript string; lone surrogates become U+FFFD. For text that had to be transcoded. */
  quotedText(text: string): void {
    const bytes = Buffer.from(text, 'utf8');
    this.quotedUtf8(bytes, 0, bytes.length);
  }
}
