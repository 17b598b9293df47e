import { putDigits } from '../../encode/json-bytes.ts';
import { type TimeZone, UTC } from '../../lib/time-zone.ts';
import type { Put } from './number-text.ts';

const QUOTE = 0x22;
const DASH = 0x2d;
const DOT = 0x2e;
const COLON = 0x3a;
const SPACE = 0x20;

/** Bytes of the longest value: `"2024-01-31 23:59:59.999999"`. */
export const TEMPORAL_ROOM = 28;

/** Bytes of a fraction with so many digits, stored in hundredths, ten-thousandths or millionths. */
const FRACTION_BYTES = [0, 1, 1, 2, 2, 3, 3] as const;

/** What to do with a date that Doris cannot hold: throws, or counts and returns; then NULL is written. */
export type Unheld = () => void;

/** Whether Doris can hold the date. MySQL stores zero parts, and days that the month has not (`ALLOW_INVALID_DATES`). */
export function isDate(year: number, month: number, day: number): boolean {
  if (year === 0 || month === 0 || month > 12 || day === 0) return false;
  return day <= 28 || day <= daysIn(year, month);
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function putDate(b: Uint8Array, at: number, year: number, month: number, day: number): number {
  putDigits(b, at, year, 4);
  b[at + 4] = DASH;
  putDigits(b, at + 5, month, 2);
  b[at + 7] = DASH;
  return putDigits(b, at + 8, day, 2);
}

function putClock(b: Uint8Array, at: number, hour: number, minute: number, sec: number): number {
  const p = putDigits(b, at, hour, hour > 99 ? 3 : 2);
  b[p] = COLON;
  putDigits(b, p + 1, minute, 2);
  b[p + 3] = COLON;
  return putDigits(b, p + 4, sec, 2);
}

/** `digits` of them, 0 for none; `fraction` has exactly so many. */
function putFraction(b: Uint8Array, at: number, fraction: number, digits: number): number {
  if (digits === 0) return at;
  b[at] = DOT;
  return putDigits(b, at + 1, fraction, digits);
}

function putNull(b: Uint8Array, at: number): number {
  b[at] = 0x6e;
  b[at + 1] = 0x75;
  b[at + 2] = b[at + 3] = 0x6c;
  return at + 4;
}

/** The stored fraction has an even number of digits; an odd declaration is followed by a zero. */
function readFraction(source: Uint8Array, at: number, digits: number): number {
  const value = readBig(source, at, FRACTION_BYTES[digits]!);
  return (digits & 1) === 0 ? value : value / 10;
}

/** Big-endian, at most six bytes. */
function readBig(source: Uint8Array, at: number, bytes: number): number {
  let value = 0;
  for (let i = 0; i < bytes; i++) value = value * 256 + source[at + i]!;
  return value;
}

/** DATE: three bytes, little-endian: year, four bits of month, five of day. */
export function datePut(unheld: Unheld): Put {
  return (b, at, source, from) => {
    const packed = source[from]! | (source[from + 1]! << 8) | (source[from + 2]! << 16);
    const day = packed & 31;
    const month = (packed >> 5) & 15;
    const year = packed >> 9;
    if (!isDate(year, month, day)) {
      unheld();
      return putNull(b, at);
    }
    b[at] = QUOTE;
    putDate(b, at + 1, year, month, day);
    b[at + 11] = QUOTE;
    return at + 12;
  };
}

export const datetime2Bytes = (digits: number): number => 5 + FRACTION_BYTES[digits]!;
export const timestamp2Bytes = (digits: number): number => 4 + FRACTION_BYTES[digits]!;
export const time2Bytes = (digits: number): number => 3 + FRACTION_BYTES[digits]!;

/** DATETIME since MySQL 5.6: 40 bits big-endian, the first one set, then 17 of year * 13 + month, 5, 5, 6, 6; fraction. */
export function datetime2Put(digits: number, unheld: Unheld): Put {
  return (b, at, source, from) => {
    const low =
      (source[from + 1]! << 24) |
      (source[from + 2]! << 16) |
      (source[from + 3]! << 8) |
      source[from + 4]!;
    const yearMonth = ((source[from]! & 0x7f) << 10) | (low >>> 22);
    const year = (yearMonth / 13) | 0;
    const month = yearMonth - year * 13;
    const day = (low >>> 17) & 31;
    if (!isDate(year, month, day)) {
      unheld();
      return putNull(b, at);
    }
    b[at] = QUOTE;
    let p = putDate(b, at + 1, year, month, day);
    b[p] = SPACE;
    p = putClock(b, p + 1, (low >>> 12) & 31, (low >>> 6) & 63, low & 63);
    if (digits > 0) p = putFraction(b, p, readFraction(source, from + 5, digits), digits);
    b[p] = QUOTE;
    return p + 1;
  };
}

/** TIMESTAMP since MySQL 5.6: seconds since 1970, big-endian; fraction. 0 is the zero date. Written as the clocks of `zone` show it. */
export function timestamp2Put(digits: number, unheld: Unheld, zone: TimeZone): Put {
  if (zone !== UTC) {
    return (b, at, source, from) => {
      const seconds = readBig(source, from, 4);
      const fraction = digits === 0 ? 0 : readFraction(source, from + 4, digits);
      return putInstant(b, at, seconds, fraction, digits, unheld, zone.offsetAt(seconds));
    };
  }
  return (b, at, source, from) =>
    putInstant(
      b,
      at,
      readBig(source, from, 4),
      digits === 0 ? 0 : readFraction(source, from + 4, digits),
      digits,
      unheld,
      0,
    );
}

/** `seconds` since 1970, `offset` of them added for the clock. Both roads come through here. */
export function putInstant(
  b: Uint8Array,
  at: number,
  seconds: number,
  fraction: number,
  digits: number,
  unheld: Unheld,
  offset: number,
): number {
  if (seconds === 0) {
    unheld();
    return putNull(b, at);
  }
  const local = seconds + offset;
  const day = Math.floor(local / 86_400);
  const clock = local - day * 86_400;
  b[at] = QUOTE;
  let p = putDay(b, at + 1, day);
  b[p] = SPACE;
  const hour = (clock / 3600) | 0;
  const minute = ((clock - hour * 3600) / 60) | 0;
  p = putClock(b, p + 1, hour, minute, clock - hour * 3600 - minute * 60);
  p = putFraction(b, p, fraction, digits);
  b[p] = QUOTE;
  return p + 1;
}

/** The date of a day since 1970, some before it too: 400-year cycles that begin on 1 March, so that leap days come last. */
function putDay(b: Uint8Array, at: number, day: number): number {
  const shifted = day + 719_468;
  const era = (shifted / 146_097) | 0;
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra =
    ((dayOfEra - ((dayOfEra / 1460) | 0) + ((dayOfEra / 36_524) | 0) - ((dayOfEra / 146_096) | 0)) /
      365) |
    0;
  const dayOfYear = dayOfEra - (365 * yearOfEra + (yearOfEra >> 2) - ((yearOfEra / 100) | 0));
  const marchMonth = ((5 * dayOfYear + 2) / 153) | 0;
  const dayOfMonth = dayOfYear - (((153 * marchMonth + 2) / 5) | 0) + 1;
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return putDate(b, at, year, month, dayOfMonth);
}

/**
 * TIME since MySQL 5.6: 24 bits and the fraction's bytes form one big-endian number, offset by half its range, so
 * a negative time is negated as a whole: the borrow from the fraction is what decoders get wrong (cdc-semantics.md §4.6).
 */
export function time2Put(digits: number): Put {
  const unit = 256 ** FRACTION_BYTES[digits]!;
  const bytes = time2Bytes(digits);
  return (b, at, source, from) => {
    const packed = readBig(source, from, bytes) - 0x800000 * unit;
    const abs = Math.abs(packed);
    const clock = Math.floor(abs / unit);
    const stored = abs - clock * unit;
    const fraction = (digits & 1) === 0 ? stored : stored / 10;
    return putTime(
      b,
      at,
      packed < 0,
      (clock >> 12) & 0x3ff,
      (clock >> 6) & 63,
      clock & 63,
      fraction,
      digits,
    );
  };
}

function putTime(
  b: Uint8Array,
  at: number,
  negative: boolean,
  hour: number,
  minute: number,
  second: number,
  fraction: number,
  digits: number,
): number {
  let p = at;
  b[p++] = QUOTE;
  if (negative) b[p++] = DASH;
  p = putClock(b, p, hour, minute, second);
  p = putFraction(b, p, fraction, digits);
  b[p] = QUOTE;
  return p + 1;
}

/**
 * Temporal types as servers before 5.6 stored them, and MariaDB with `mysql56_temporal_format=OFF`. Those with a
 * fraction are MariaDB's; their codes in the log are the same, so the declaration says how many digits there are.
 */
export const OLD_DATETIME_BYTES = [8, 6, 6, 7, 7, 7, 8] as const;
export const OLD_TIME_BYTES = [3, 4, 4, 5, 5, 5, 6] as const;
export const OLD_TIMESTAMP_BYTES = [4, 5, 5, 6, 6, 7, 7] as const;

/** Of seconds, minutes, hours, days, months; the year is the rest. */
const OLD_DECIMAL_RADIXES = [100n, 100n, 100n, 100n, 100n] as const;
const OLD_MIXED_RADIXES = [60n, 60n, 24n, 32n, 13n] as const;

/** Without fraction the decimal number YYYYMMDDhhmmss, little-endian; with one, mixed-radix units of it, big-endian. */
export function oldDatetimePut(digits: number, unheld: Unheld): Put {
  return (b, at, source, from) => {
    let packed = 0n;
    const bytes = OLD_DATETIME_BYTES[digits]!;
    for (let i = 0; i < bytes; i++) {
      packed = packed * 256n + BigInt(source[digits === 0 ? from + bytes - 1 - i : from + i]!);
    }
    const scale = 10n ** BigInt(digits);
    const fraction = digits === 0 ? 0 : Number(packed % scale);
    let rest = digits === 0 ? packed : packed / scale;
    const radixes = digits === 0 ? OLD_DECIMAL_RADIXES : OLD_MIXED_RADIXES;
    const [second, minute, hour, day, month] = radixes.map((radix) => {
      const part = Number(rest % radix);
      rest /= radix;
      return part;
    }) as [number, number, number, number, number];
    if (!isDate(Number(rest), month, day)) {
      unheld();
      return putNull(b, at);
    }
    b[at] = QUOTE;
    let p = putDate(b, at + 1, Number(rest), month, day);
    b[p] = SPACE;
    p = putFraction(b, putClock(b, p + 1, hour, minute, second), fraction, digits);
    b[p] = QUOTE;
    return p + 1;
  };
}

/** Seconds since 1970: little-endian, or with a fraction big-endian and the fraction's digits after it. */
export function oldTimestampPut(digits: number, unheld: Unheld, zone: TimeZone): Put {
  return (b, at, source, from) => {
    const seconds =
      digits > 0
        ? readBig(source, from, 4)
        : source[from + 3]! * 0x1000000 +
          (source[from]! | (source[from + 1]! << 8) | (source[from + 2]! << 16));
    const fraction = digits > 0 ? readBig(source, from + 4, FRACTION_BYTES[digits]!) : 0;
    return putInstant(b, at, seconds, fraction, digits, unheld, zone.offsetAt(seconds));
  };
}

/** The largest TIME in seconds, plus one: what MariaDB adds before it stores a TIME with a fraction. */
const OLD_TIME_ZERO_SEC = 3_020_400;

/** Without fraction the signed decimal number hhmmss, little-endian; with one, units of it, big-endian. */
export function oldTimePut(digits: number): Put {
  return (b, at, source, from) => {
    if (digits === 0) {
      const packed =
        ((source[from]! << 8) | (source[from + 1]! << 16) | (source[from + 2]! << 24)) >> 8;
      const abs = Math.abs(packed);
      const hour = (abs / 10_000) | 0;
      const minute = ((abs / 100) | 0) % 100;
      return putTime(b, at, packed < 0, hour, minute, abs % 100, 0, 0);
    }
    const scale = 10 ** digits;
    const packed = readBig(source, from, OLD_TIME_BYTES[digits]!) - OLD_TIME_ZERO_SEC * scale;
    const abs = Math.abs(packed);
    const seconds = Math.floor(abs / scale);
    const fraction = abs - seconds * scale;
    const hour = (seconds / 3600) | 0;
    const minute = ((seconds / 60) | 0) % 60;
    return putTime(b, at, packed < 0, hour, minute, seconds % 60, fraction, digits);
  };
}
