const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const DATETIME =
  /^(\d{4})-(\d{2})-(\d{2})[ T](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[-+]\d{2}:\d{2})?$/;
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function validDay(year: number, month: number, day: number): boolean {
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = month === 2 && leap ? 29 : MONTH_DAYS[month - 1];
  return days !== undefined && day >= 1 && day <= days;
}

/** Whether `text` is a day of Doris' calendar, `0000-01-01` to `9999-12-31`; zero dates are not. */
export function validDate(text: string): boolean {
  const parts = DATE.exec(text);
  return parts !== null && validDay(Number(parts[1]), Number(parts[2]), Number(parts[3]));
}

/** Milliseconds of a UTC time; `Date.UTC` alone takes the years 0 to 99 for 1900 to 1999. */
function utcMs(fields: readonly number[]): number {
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = fields;
  const date = new Date(Date.UTC(2000, month - 1, day, hour, minute, second));
  date.setUTCFullYear(year, month - 1, day);
  return date.getTime();
}

const pad = (value: number, width: number): string => String(value).padStart(width, '0');

/** `YYYY-MM-DD` of days since 1970. */
export function dateText(days: number): string {
  const date = new Date(days * 86_400_000);
  return `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`;
}

/** `YYYY-MM-DD HH:MM:SS[.f]` of microseconds since 1970, with `scale` digits. */
export function dateTimeText(time: bigint, scale: number): string {
  const seconds = Number((time - (((time % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n);
  const fraction = Number(time - BigInt(seconds) * 1_000_000n);
  const date = new Date(seconds * 1000);
  const clock = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
  const whole = `${dateText(Math.floor(seconds / 86_400))} ${clock.map((part) => pad(part, 2)).join(':')}`;
  return scale === 0 ? whole : `${whole}.${pad(fraction, 6).slice(0, scale)}`;
}

/** A time with an offset was given to a load without a zone. */
export const NO_ZONE = Symbol('no zone');

const MICROS_MAX = BigInt(Date.UTC(9999, 11, 31, 23, 59, 59)) * 1000n + 999_999n;

/**
 * A DATETIME(p) value as Doris stores it: rounded to `scale` digits, an offset turned into the load's zone.
 * @returns undefined when the text is no time, {@link NO_ZONE} when it has an offset and the load named no zone.
 */
export function parseDateTime(
  text: string,
  scale: number,
  zoneMinutes: number | undefined,
): string | typeof NO_ZONE | undefined {
  if (validDate(text)) return dateTimeText(micros(text.split('-').map(Number), ''), scale);
  const parts = DATETIME.exec(text);
  if (parts === null) return undefined;
  const fields = parts.slice(1, 7).map(Number);
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = fields;
  if (!validDay(year, month, day) || hour > 23 || minute > 59 || second > 59) return undefined;
  const fraction = parts[7] ?? '';
  const offset = parts[8];
  if (offset === undefined && fraction.length <= scale)
    return `${text.slice(0, 10)} ${text.slice(11, 19)}${scale === 0 ? '' : `.${fraction.padEnd(scale, '0')}`}`;
  if (offset !== undefined && zoneMinutes === undefined) return NO_ZONE;
  const shift = offset === undefined ? 0 : (zoneMinutes ?? 0) - offsetMinutes(offset)!;
  const step = 10n ** BigInt(6 - scale);
  const exact = micros(fields, fraction) + BigInt(shift) * 60_000_000n;
  const rounded = floorTo(exact + step / 2n, step);
  return rounded > MICROS_MAX ? undefined : dateTimeText(rounded, scale);
}

function floorTo(value: bigint, step: bigint): bigint {
  return value - (((value % step) + step) % step);
}

function micros(fields: readonly number[], fraction: string): bigint {
  return BigInt(utcMs(fields)) * 1000n + BigInt(fraction.padEnd(6, '0').slice(0, 6));
}

/** Minutes east of UTC of `Z`, `UTC`, `+08:00`; undefined for zone names, which the stand-in does not know. */
export function offsetMinutes(zone: string): number | undefined {
  if (/^(?:Z|UTC|GMT|Etc\/UTC)$/i.test(zone)) return 0;
  const parts = /^([-+])(\d{2}):(\d{2})$/.exec(zone);
  if (parts === null) return undefined;
  const minutes = Number(parts[2]) * 60 + Number(parts[3]);
  return parts[1] === '-' ? -minutes : minutes;
}
