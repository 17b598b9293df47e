/**
 * The bytes of JSON values, written into a buffer at a place; every function returns the place after what it wrote.
 * Nothing here checks room: the caller reserves the bound that each function names.
 *
 * They are functions over (buffer, place) and not methods, so that generated row decoders can keep both in local
 * variables: two loads and two stores less for each field.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** For an ASCII byte: 0 when it stands for itself inside a JSON string, else the letter after `\`, `u` for `\u00xx`. */
const ESCAPE = escapeTable();

/** Two ASCII digits for each of 0..99: halves the divisions of a number. */
const PAIRS = digitPairs();

const HEX = Buffer.from('0123456789abcdef', 'latin1');
const BASE64 = Buffer.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
  'latin1',
);

/** Longer copies are left to the engine. */
const NATIVE_COPY_MIN = 256;

/** Largest growth of a byte of text: `\u0001`. */
export const ESCAPED_MAX = 6;

function escapeTable(): Uint8Array {
  const table = new Uint8Array(128).fill(0x75, 0, 0x20); // 'u'
  for (const [code, letter] of [
    [0x08, 'b'],
    [0x09, 't'],
    [0x0a, 'n'],
    [0x0c, 'f'],
    [0x0d, 'r'],
    [QUOTE, '"'],
    [BACKSLASH, '\\'],
  ] as const) {
    table[code] = letter.charCodeAt(0);
  }
  return table;
}

function digitPairs(): Uint8Array {
  const table = new Uint8Array(200);
  for (let n = 0; n < 100; n++) {
    table[2 * n] = 0x30 + Math.floor(n / 10);
    table[2 * n + 1] = 0x30 + (n % 10);
  }
  return table;
}

/** Digits of `n`, 0 <= n < 2^53; at most 16 bytes. */
export function putUint(b: Uint8Array, at: number, n: number): number {
  if (n > 0x3fffffff) {
    const high = Math.floor(n / 1e9);
    const p = high === 0 ? at : putUint(b, at, high);
    const low = n - high * 1e9;
    return high === 0 ? putDigits(b, p, low, digitCount(low)) : putDigits(b, p, low, 9);
  }
  if (n < 10) {
    b[at] = 0x30 + n;
    return at + 1;
  }
  return putDigits(b, at, n, digitCount(n));
}

/** Digits of `n` with a sign, |n| < 2^53; at most 17 bytes. */
export function putInt(b: Uint8Array, at: number, n: number): number {
  if (n >= 0) return putUint(b, at, n);
  b[at] = 0x2d;
  return putUint(b, at + 1, -n);
}

/** `n` in exactly `width` digits, zeros in front; n < 2^30 or at least below 10^9. */
export function putDigits(b: Uint8Array, at: number, n: number, width: number): number {
  let p = at + width;
  let rest = n | 0;
  while (p - at >= 2) {
    const next = (rest / 100) | 0;
    const pair = (rest - next * 100) << 1;
    b[--p] = PAIRS[pair + 1]!;
    b[--p] = PAIRS[pair]!;
    rest = next;
  }
  if (p > at) b[at] = 0x30 + (rest % 10);
  return at + width;
}

function digitCount(n: number): number {
  if (n < 1e5) {
    if (n < 100) return n < 10 ? 1 : 2;
    if (n < 1000) return 3;
    return n < 1e4 ? 4 : 5;
  }
  if (n < 1e7) return n < 1e6 ? 6 : 7;
  if (n < 1e8) return 8;
  return n < 1e9 ? 9 : 10;
}

/** ASCII text as it is: no quotes, no escapes. `text.length` bytes. */
export function putAscii(b: Uint8Array, at: number, text: string): number {
  const length = text.length;
  for (let i = 0; i < length; i++) b[at + i] = text.charCodeAt(i);
  return at + length;
}

/**
 * The views that words are read and written through, remembered by the buffers' identity: a packet holds many values and a chunk many
 * rows, and even to ask a Buffer for its memory costs more than to copy a short value.
 */
let sourceBytes: Uint8Array = new Uint8Array();
let sourceView = viewOf(sourceBytes);
let targetBytes = sourceBytes;
let targetView = sourceView;

/** Indexed as the bytes are. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function watch(b: Uint8Array, source: Uint8Array): void {
  if (source !== sourceBytes) {
    sourceBytes = source;
    sourceView = viewOf(source);
  }
  if (b !== targetBytes) {
    targetBytes = b;
    targetView = viewOf(b);
  }
}

/** Bytes as they are. Eight at a time; the last eight overlap those before. */
export function putBytes(
  b: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): number {
  const length = end - start;
  if (length < 8) {
    for (let i = 0; i < length; i++) b[at + i] = source[start + i]!;
  } else if (length > NATIVE_COPY_MIN) {
    b.set(source.subarray(start, end), at);
  } else {
    watch(b, source);
    const from = sourceView;
    const to = targetView;
    const last = end - 8;
    for (let s = start; ; s = Math.min(s + 8, last)) {
      const p = at + s - start;
      to.setInt32(p, from.getInt32(s, true), true);
      to.setInt32(p + 4, from.getInt32(s + 4, true), true);
      if (s === last) break;
    }
  }
  return at + length;
}

/**
 * UTF-8 text, escaped for a JSON string, without the quotes; at most `ESCAPED_MAX * (end - start)` bytes.
 * Ill-formed bytes become U+FFFD, one for each maximal part as in WHATWG's decoder: Doris must never be sent
 * invalid UTF-8 (doris-target.md §1.13), and no source sends it for a column that it declares as text.
 */
export function putEscaped(
  b: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): number {
  let p = at;
  let s = start;
  const last = end - 8;
  if (s <= last) watch(b, source);
  const from = sourceView;
  const to = targetView;
  while (s <= last) {
    const low = from.getInt32(s, true);
    const high = from.getInt32(s + 4, true);
    to.setInt32(p, low, true);
    to.setInt32(p + 4, high, true);
    if (((special(low) | special(high)) & 0x80808080) !== 0) {
      const plain = plainBytes(low, high);
      s += plain;
      p += plain;
      const next = unplainEnd(source, s, end);
      p = putEscapedBytes(b, p, source, s, next);
      s = next;
      continue;
    }
    s += 8;
    p += 8;
    if (s > last && s < end) {
      // Fewer than eight are left: the last eight again, some of them twice.
      p -= s - last;
      s = last;
    }
  }
  return putEscapedBytes(b, p, source, s, end);
}

/** Of eight bytes, read little-endian, how many come before the first that needs more than a copy; there is one. */
function plainBytes(low: number, high: number): number {
  const marks = special(low) & 0x80808080;
  return marks === 0 ? 4 + lowestByte(special(high) & 0x80808080) : lowestByte(marks);
}

function lowestByte(marks: number): number {
  return (31 - Math.clz32(marks & -marks)) >> 3;
}

/** Where the byte that needs more than a copy, and all like it behind it, end: text that is not ASCII is no matter of single characters. */
function unplainEnd(source: Uint8Array, at: number, end: number): number {
  let s = at;
  if (source[s]! < 0x80) return s + 1;
  while (s < end && source[s]! >= 0x80) s++;
  return s;
}

/** {@link putEscaped} byte by byte: for short pieces. */
export function putEscapedBytes(
  b: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): number {
  let p = at;
  for (let s = start; s < end;) {
    const c = source[s]!;
    if (c < 0x80) {
      s++;
      const escape = ESCAPE[c]!;
      if (escape === 0) b[p++] = c;
      else p = putEscape(b, p, c, escape);
      continue;
    }
    const length = sequenceLength(source, s, end);
    if (length > 0) {
      for (let i = 0; i < length; i++) b[p++] = source[s + i]!;
      s += length;
    } else {
      b[p++] = 0xef;
      b[p++] = 0xbf;
      b[p++] = 0xbd;
      s -= length;
    }
  }
  return p;
}

/**
 * Has the high bit set in some byte if a byte of the word needs more than a copy: below 0x20, `"`, `\`, not ASCII; the lowest such
 * bit is in the first byte that does. (`b ^ 2` is below 0x21 for `"` and for what is below 0x20, and for nothing else.)
 */
export function special(word: number): number {
  return ((word ^ 0x02020202) - 0x21212121) | ((word ^ 0x5c5c5c5c) - 0x01010101) | word;
}

/** The number of bytes that {@link putEscaped} would write: values too large for a reserve of the worst case. */
export function escapedLength(source: Uint8Array, start: number, end: number): number {
  let bytes = 0;
  for (let s = start; s < end;) {
    const c = source[s]!;
    if (c < 0x80) {
      s++;
      const escape = ESCAPE[c]!;
      if (escape === 0) bytes += 1;
      else bytes += escape === 0x75 ? 6 : 2;
      continue;
    }
    const length = sequenceLength(source, s, end);
    bytes += length > 0 ? length : 3;
    s += Math.abs(length);
  }
  return bytes;
}

function putEscape(b: Uint8Array, at: number, c: number, escape: number): number {
  b[at] = BACKSLASH;
  b[at + 1] = escape;
  if (escape !== 0x75) return at + 2;
  b[at + 2] = 0x30;
  b[at + 3] = 0x30;
  b[at + 4] = HEX[c >> 4]!;
  b[at + 5] = HEX[c & 15]!;
  return at + 6;
}

/** Length of the well-formed sequence at `s`, or minus the length of the ill-formed part there (Unicode 3.9, table 3-7). */
function sequenceLength(source: Uint8Array, s: number, end: number): number {
  const lead = source[s]!;
  if (lead < 0xc2 || lead > 0xf4) return -1;
  if (s + 1 >= end) return -1;
  const second = source[s + 1]!;
  if (lead < 0xe0) return (second & 0xc0) === 0x80 ? 2 : -1;
  let low = 0x80;
  let high = 0xbf;
  if (lead === 0xe0) low = 0xa0;
  else if (lead === 0xed) high = 0x9f; // surrogates
  else if (lead === 0xf0) low = 0x90;
  else if (lead === 0xf4) high = 0x8f;
  if (second < low || second > high) return -1;
  if (s + 2 >= end || (source[s + 2]! & 0xc0) !== 0x80) return -2;
  if (lead < 0xf0) return 3;
  return s + 3 < end && (source[s + 3]! & 0xc0) === 0x80 ? 4 : -3;
}

/** Standard base64 with padding, without quotes: `4 * ceil((end - start) / 3)` bytes. */
export function putBase64(
  b: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): number {
  let p = at;
  let s = start;
  for (; s + 2 < end; s += 3) {
    const bits = (source[s]! << 16) | (source[s + 1]! << 8) | source[s + 2]!;
    b[p++] = BASE64[bits >> 18]!;
    b[p++] = BASE64[(bits >> 12) & 63]!;
    b[p++] = BASE64[(bits >> 6) & 63]!;
    b[p++] = BASE64[bits & 63]!;
  }
  if (s === end) return p;
  const two = s + 1 < end;
  const bits = (source[s]! << 16) | (two ? source[s + 1]! << 8 : 0);
  b[p++] = BASE64[bits >> 18]!;
  b[p++] = BASE64[(bits >> 12) & 63]!;
  b[p++] = two ? BASE64[(bits >> 6) & 63]! : 0x3d;
  b[p++] = 0x3d;
  return p;
}
