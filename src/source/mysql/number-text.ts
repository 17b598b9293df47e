import { ProxyError } from '../../model/error.ts';
import { putAscii, putDigits, putInt, putUint } from '../../encode/json-bytes.ts';

const MINUS = 0x2d;
const DOT = 0x2e;
const QUOTE = 0x22;
const ZERO = 0x30;

/** Bytes that any number of this module takes at most, quotes included. */
export const NUMBER_ROOM = 48;

/** The highest half of a 64-bit number that a double still holds exactly: 2^53 >> 32. */
const SAFE_HIGH = 0x200000;

/**
 * A signed 64-bit integer of two 32-bit halves (`high` signed, `low` unsigned): a JSON number while a double holds it, else a
 * string, because JSON readers go through doubles (doris-target.md §1.13).
 */
export function putInt64(b: Uint8Array, at: number, high: number, low: number): number {
  if (high < SAFE_HIGH && high >= -SAFE_HIGH) {
    const value = high * 0x100000000 + low;
    if (value >= -Number.MAX_SAFE_INTEGER) return putInt(b, at, value);
  }
  let p = at;
  b[p++] = QUOTE;
  if (high < 0) {
    b[p++] = MINUS;
    p = putUint64Digits(b, p, ~high + (low === 0 ? 1 : 0), low === 0 ? 0 : 0x100000000 - low);
  } else {
    p = putUint64Digits(b, p, high, low);
  }
  b[p++] = QUOTE;
  return p;
}

/** An unsigned 64-bit integer as a JSON string, whatever its size: its column is a LARGEINT. */
export function putUint64(b: Uint8Array, at: number, high: number, low: number): number {
  b[at] = QUOTE;
  const p = putUint64Digits(b, at + 1, high, low);
  b[p] = QUOTE;
  return p + 1;
}

/** Long division by 10^9, sixteen bits at a time, so that every step stays below 2^53. */
export function putUint64Digits(
  b: Uint8Array,
  at: number,
  signedHigh: number,
  low: number,
): number {
  const high = signedHigh >>> 0;
  if (high < SAFE_HIGH) return putUint(b, at, high * 0x100000000 + low);
  const q1 = Math.floor(high / 1e9);
  const upper = (high - q1 * 1e9) * 0x10000 + (low >>> 16);
  const q2 = Math.floor(upper / 1e9);
  const lower = (upper - q2 * 1e9) * 0x10000 + (low & 0xffff);
  const q3 = Math.floor(lower / 1e9);
  const p = putUint(b, at, q1 * 0x100000000 + q2 * 0x10000 + q3);
  return putDigits(b, p, lower - q3 * 1e9, 9);
}

/**
 * A double as MySQL and MariaDB print it in a result (`my_gcvt`): the shortest digits that read back as the same
 * number; plain from 1e-15 up to 15 digits before the point, else with an exponent, `1e15`, `1.5e-16`.
 *
 * JavaScript has the same digits and other bounds for the exponent.
 *
 * @throws ProxyError UNDECODABLE for a value that is not finite.
 */
export function putDouble(b: Uint8Array, at: number, x: number): number {
  const abs = Math.abs(x);
  let p = at;
  if (x < 0 || Object.is(x, -0)) b[p++] = MINUS;
  if (abs < 1e9) {
    const short = putShort(b, p, abs, 1e6, 6);
    if (short !== -1) return short;
  }
  // In this range JavaScript's layout is MySQL's.
  if (abs >= 1e-6 && abs < 1e15) return putAscii(b, p, String(abs));
  if (abs < 1e15 && Number.isInteger(abs)) return putUint(b, p, abs);
  return putScientific(b, p, abs);
}

/** MySQL stores no others, and JSON has no text for them. */
function checkFinite(x: number): void {
  if (!Number.isFinite(x))
    throw new ProxyError('UNDECODABLE', 'A floating-point value is damaged.');
}

function putScientific(b: Uint8Array, at: number, abs: number): number {
  checkFinite(abs);
  const [mantissa, exponentText] = abs.toExponential().split('e') as [string, string];
  const digits = mantissa.replace('.', '');
  const exponent = Number(exponentText);
  // Where the point stands, counted from the first digit.
  const point = exponent + 1;
  if (point <= 0 && point >= -14) return putAscii(b, at, `0.${'0'.repeat(-point)}${digits}`);
  if (point > 0 && digits.length > point) {
    return putAscii(b, at, `${digits.slice(0, point)}.${digits.slice(point)}`);
  }
  return putAscii(b, at, `${mantissa}e${exponent}`);
}

/**
 * The shortest text that reads back as the same 32-bit float, which `x` is the value of. The servers' own text of a FLOAT
 * has six digits and loses the rest (libraries.md, rule 5), so this is not theirs. -0 is 0: `f + 0e0` in the snapshot makes it so.
 */
export function putFloat(b: Uint8Array, at: number, x: number): number {
  const abs = Math.abs(x);
  let p = at;
  if (x < 0) b[p++] = MINUS;
  if (abs < 1e4) {
    // At most six digits: no other decimal of so few reads back as this float.
    const short = putShort(b, p, abs, 1e2, 2, Math.fround);
    if (short !== -1) return short;
  } else if (abs < 0x1000000 && Number.isInteger(abs)) {
    return putUint(b, p, abs);
  }
  p = putAscii(b, p, floatText(abs));
  return p;
}

/** Smallest float with all its 24 bits; below, fewer digits tell neighbours apart. */
const FLOAT_NORMAL_MIN = 2 ** -126;

function floatText(abs: number): string {
  checkFinite(abs);
  for (let precision = abs < FLOAT_NORMAL_MIN ? 1 : 6; ; precision++) {
    const rounded = Number(abs.toPrecision(precision));
    if (precision === 9 || Math.fround(rounded) === abs) return String(rounded);
  }
}

const exact = (x: number): number => x;

/**
 * `abs` with at most `places` digits behind the point, or -1 when it has more. `scale` is 10^places and `abs * scale` is
 * below 10^15: a decimal of so few digits that reads back as the number is the shortest one, since no two of them
 * read as the same double. A division of exact numbers, so the check is exact; ten times faster than String().
 */
function putShort(
  b: Uint8Array,
  at: number,
  abs: number,
  scale: number,
  places: number,
  read: (x: number) => number = exact,
): number {
  const scaled = Math.round(abs * scale);
  if (read(scaled / scale) !== abs) return -1;
  const whole = Math.floor(scaled / scale);
  let p = putUint(b, at, whole);
  let fraction = scaled - whole * scale;
  if (fraction === 0) return p;
  let digits = places;
  while (fraction % 10 === 0) {
    fraction /= 10;
    digits--;
  }
  b[p++] = DOT;
  p = putDigits(b, p, fraction, digits);
  return p;
}

/** Bytes of the digits of a group of a stored DECIMAL. */
const GROUP_BYTES = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4] as const;

/** Bytes that a DECIMAL(precision, scale) takes in a row. */
export function decimalBytes(precision: number, scale: number): number {
  return groupBytes(precision - scale) + groupBytes(scale);
}

function groupBytes(digits: number): number {
  return Math.floor(digits / 9) * 4 + GROUP_BYTES[digits % 9]!;
}

export type Put = (b: Uint8Array, at: number, source: Uint8Array, from: number) => number;

/**
 * Writes stored DECIMALs as plain digits with exactly `scale` of them behind the point (MySQL: `decimal2bin`): groups
 * of nine digits, big-endian; the first bit says positive, and negative numbers have all bits inverted.
 */
export function decimalPut(precision: number, scale: number): Put {
  const whole = precision - scale;
  const headDigits = whole % 9;
  const headBytes = GROUP_BYTES[headDigits]!;
  const wholeGroups = Math.floor(whole / 9);
  const fractionGroups = Math.floor(scale / 9);
  const tailDigits = scale % 9;
  const tailBytes = GROUP_BYTES[tailDigits]!;
  return (b, at, source, from) => {
    const positive = (source[from]! & 0x80) !== 0;
    const mask = positive ? 0 : 0xff;
    let p = at;
    if (!positive) b[p++] = MINUS;
    const digitsAt = p;
    let s = from;
    // The sign bit is inverted in the first byte that there is.
    let flip = 0x80;
    for (let group = headBytes > 0 ? -1 : 0; group < wholeGroups; group++) {
      const bytes = group === -1 ? headBytes : 4;
      const value = readGroup(source, s, bytes, mask, flip);
      flip = 0;
      s += bytes;
      if (p > digitsAt) p = putDigits(b, p, value, 9);
      else if (value > 0) p = putUint(b, p, value);
    }
    if (p === digitsAt) b[p++] = ZERO;
    if (scale === 0) return p;
    b[p++] = DOT;
    for (let group = 0; group < fractionGroups; group++) {
      p = putDigits(b, p, readGroup(source, s, 4, mask, flip), 9);
      flip = 0;
      s += 4;
    }
    if (tailDigits > 0) {
      p = putDigits(b, p, readGroup(source, s, tailBytes, mask, flip), tailDigits);
    }
    return p;
  };
}

function readGroup(
  source: Uint8Array,
  at: number,
  bytes: number,
  mask: number,
  flip: number,
): number {
  let value = source[at]! ^ mask ^ flip;
  for (let i = 1; i < bytes; i++) value = (value << 8) | (source[at + i]! ^ mask);
  return value;
}
