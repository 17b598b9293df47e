import { putBytes } from '../../encode/json-bytes.ts';
import type { TimeZone } from '../../lib/time-zone.ts';
import { putFloat } from './number-text.ts';
import { isDate, putInstant, type Unheld } from './temporal.ts';

/** Writes a value of a text result, `start..end` of `source`, as JSON: at most `end - start + TEXT_EXTRA` bytes. */
export type TextPut = (
  b: Uint8Array,
  at: number,
  source: Buffer,
  start: number,
  end: number,
) => number;

/** Quotes, a `null`, or a float with all its digits. */
export const TEXT_EXTRA = 48;

const QUOTE = 0x22;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const NULL = Buffer.from('null');

/** 2^53 - 1, the largest integer that a double holds with all below it. */
const SAFE_MAX = Buffer.from(String(Number.MAX_SAFE_INTEGER));

/** A JSON number in the server's own digits. */
export const putNumberText: TextPut = (b, at, source, start, end) =>
  putBytes(b, at, source, start, end);

/** ZEROFILL and YEAR pad with zeros, which JSON does not allow. */
export const putPaddedNumber: TextPut = (b, at, source, start, end) =>
  putBytes(b, at, source, firstDigit(source, start, end), end);

export const putQuotedText: TextPut = (b, at, source, start, end) => {
  b[at] = QUOTE;
  const p = putBytes(b, at + 1, source, start, end);
  b[p] = QUOTE;
  return p + 1;
};

export const putQuotedPadded: TextPut = (b, at, source, start, end) =>
  putQuotedText(b, at, source, firstDigit(source, start, end), end);

/** The first digit that counts: of `000.50` the zero before the point. */
function firstDigit(source: Buffer, start: number, end: number): number {
  let s = start;
  while (s + 1 < end && source[s] === ZERO && source[s + 1]! >= ZERO && source[s + 1]! <= NINE) s++;
  return s;
}

/** BIGINT: a number while a double holds it, else a string. As `putInt64` does. */
export const putBigintText: TextPut = (b, at, source, start, end) => {
  const digits = end - start - (source[start] === MINUS ? 1 : 0);
  const safe = digits < SAFE_MAX.length || (digits === SAFE_MAX.length && isSafe(source, end));
  return (safe ? putNumberText : putQuotedText)(b, at, source, start, end);
};

function isSafe(source: Buffer, end: number): boolean {
  return source.compare(SAFE_MAX, 0, SAFE_MAX.length, end - SAFE_MAX.length, end) <= 0;
}

/** FLOAT, selected as `f + 0e0`: the digits of the double that it is, written as the float's own. */
export const putFloatText: TextPut = (b, at, source, start, end) =>
  putFloat(b, at, Number(source.toString('latin1', start, end)));

/** DATE and DATETIME: the server's text, or NULL for what Doris cannot hold. */
export function dateTextPut(unheld: Unheld): TextPut {
  return (b, at, source, start, end) => {
    const year = digits2(source, start) * 100 + digits2(source, start + 2);
    if (isDate(year, digits2(source, start + 5), digits2(source, start + 8))) {
      return putQuotedText(b, at, source, start, end);
    }
    unheld();
    return putBytes(b, at, NULL, 0, NULL.length);
  };
}

/** TIMESTAMP as the server prints it in UTC, written as the clocks of `zone` show it. The zero date is the instant 0, which no value has. */
export function momentTextPut(digits: number, unheld: Unheld, zone: TimeZone): TextPut {
  return (b, at, source, start) => {
    const year = digits2(source, start) * 100 + digits2(source, start + 2);
    const [month, day] = [digits2(source, start + 5), digits2(source, start + 8)];
    const clock =
      digits2(source, start + 11) * 3600 +
      digits2(source, start + 14) * 60 +
      digits2(source, start + 17);
    const seconds = year === 0 ? 0 : Date.UTC(year, month - 1, day) / 1000 + clock;
    let fraction = 0;
    for (let i = 0; i < digits; i++) fraction = fraction * 10 + source[start + 20 + i]! - ZERO;
    return putInstant(b, at, seconds, fraction, digits, unheld, zone.offsetAt(seconds));
  };
}

function digits2(source: Buffer, at: number): number {
  return source[at]! * 10 + source[at + 1]! - 11 * ZERO;
}
