import { putEscapedBytes, special } from '../../encode/json-bytes.ts';

/**
 * Copying a value while its end, and what must be escaped, is looked for: eight bytes at a time. Up to {@link SCAN_SLACK} bytes behind
 * the value are read, and copied for nothing: they must be there on both sides.
 *
 * Generated code calls these functions rather than to contain them: so they are warm after the first table, and know the
 * values of all columns.
 */
export const SCAN_SLACK = 8;

const HIGH_BITS = 0x8080_8080;
const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/** Letters after a backslash that mean the same in COPY's text format and in JSON. */
const SAME_ESCAPE = new Uint8Array(256);
for (const letter of ['b', 'f', 'n', 'r', 't', '\\']) SAME_ESCAPE[letter.charCodeAt(0)] = 1;

function lowestByte(marks: number): number {
  return (31 - Math.clz32(marks & -marks)) >> 3;
}

/** Copies up to the next byte that is below 0x20, `"`, `\` or not ASCII, and returns its place in the source. */
function copyPlain(words: DataView, from: number, target: DataView, at: number): number {
  let s = from;
  for (let p = at; ; p += 8) {
    const low = words.getInt32(s, true);
    const high = words.getInt32(s + 4, true);
    target.setInt32(p, low, true);
    target.setInt32(p + 4, high, true);
    const marksLow = special(low) & HIGH_BITS;
    if (marksLow !== 0) return s + lowestByte(marksLow);
    const marksHigh = special(high) & HIGH_BITS;
    if (marksHigh !== 0) return s + 4 + lowestByte(marksHigh);
    s += 8;
  }
}

/** Where {@link copyText} ended in the target. */
const end = { target: 0 };

/**
 * Copies text of COPY, whose escapes are JSON's but for a few, up to a byte that is none of its own: a tab, the newline, or something that only
 * the writer can write; returns its place in the source.
 */
function copyText(
  source: Uint8Array,
  words: DataView,
  from: number,
  b: Uint8Array,
  target: DataView,
  at: number,
): number {
  let s = from;
  let p = at;
  for (;;) {
    const stop = copyPlain(words, s, target, p);
    p += stop - s;
    s = stop;
    const c = source[s]!;
    if (c === QUOTE) {
      b[p++] = BACKSLASH;
      b[p++] = QUOTE;
      s++;
    } else if (c === BACKSLASH && SAME_ESCAPE[source[s + 1]!] === 1) {
      b[p++] = BACKSLASH;
      b[p++] = source[s + 1]!;
      s += 2;
    } else if (c >= 0x80) {
      const next = unplainEnd(source, s, source.length);
      p = putEscapedBytes(b, p, source, s, next);
      s = next;
    } else {
      end.target = p;
      return s;
    }
  }
}

/** Writes `source[from..to)` as the inside of a JSON string; returns the place behind it. */
function putText(
  source: Uint8Array,
  words: DataView,
  from: number,
  to: number,
  b: Uint8Array,
  target: DataView,
  at: number,
): number {
  let s = from;
  let p = at;
  while (s < to) {
    const low = words.getInt32(s, true);
    const high = words.getInt32(s + 4, true);
    target.setInt32(p, low, true);
    target.setInt32(p + 4, high, true);
    const marksLow = special(low) & HIGH_BITS;
    const marksHigh = special(high) & HIGH_BITS;
    let plain = 8;
    if (marksLow !== 0) plain = lowestByte(marksLow);
    else if (marksHigh !== 0) plain = 4 + lowestByte(marksHigh);
    s += plain;
    p += plain;
    if (plain === 8 || s >= to) continue;
    const next = source[s]! < 0x80 ? s + 1 : unplainEnd(source, s, to);
    p = putEscapedBytes(b, p, source, s, next);
    s = next;
  }
  // What was copied behind its end is taken back.
  return p - (s - to);
}

/** Copies `length` bytes. */
function copyBytes(
  words: DataView,
  from: number,
  length: number,
  target: DataView,
  at: number,
): void {
  for (let i = 0; i < length; i += 8) {
    target.setFloat64(at + i, words.getFloat64(from + i, true), true);
  }
}

/** Where the bytes outside of ASCII end that begin at `at`. */
function unplainEnd(source: Uint8Array, at: number, to: number): number {
  let s = at;
  while (s < to && source[s]! >= 0x80) s++;
  return s;
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39;
}

/** What generated code may call. */
export const SCAN_PARAMETERS = { copyPlain, copyText, putText, copyBytes, isDigit, end };
