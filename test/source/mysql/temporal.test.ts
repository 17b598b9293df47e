import fc from 'fast-check';
import { expect, test } from 'vitest';
import { timeZone, UTC } from '../../../src/lib/time-zone.ts';
import {
  datetime2Put,
  isDate,
  oldDatetimePut,
  oldTimePut,
  oldTimestampPut,
  time2Put,
  timestamp2Put,
} from '../../../src/source/mysql/temporal.ts';
import { momentTextPut } from '../../../src/source/mysql/text-values.ts';

const room = Buffer.alloc(64);
const text = (end: number): string => room.toString('latin1', 3, end);
const never = (): never => {
  throw new Error('not a date');
};

const FRACTION_BYTES = [0, 1, 1, 2, 2, 3, 3];
const digits = fc.integer({ min: 0, max: 6 });
const micros = fc.nat(999_999);

/** What the server keeps of a fraction, and its text. */
function fraction(us: number, places: number): { stored: number; shown: string } {
  const kept = Math.floor(us / 10 ** (6 - places));
  const stored = places % 2 === 0 ? kept : kept * 10;
  return { stored, shown: places === 0 ? '' : `.${String(kept).padStart(places, '0')}` };
}

const clock = fc.tuple(fc.nat(838), fc.nat(59), fc.nat(59));
const pad = (n: number, width = 2): string => String(n).padStart(width, '0');

test('a TIME keeps its sign and its parts, the borrow from the fraction included', () => {
  fc.assert(
    fc.property(
      clock,
      micros,
      digits,
      fc.boolean(),
      ([hour, minute, second], us, places, negative) => {
        const { stored, shown } = fraction(us, places);
        const unit = 256 ** FRACTION_BYTES[places]!;
        const packed = ((hour << 12) | (minute << 6) | second) * unit + stored;
        fc.pre(!negative || packed > 0);
        const source = Buffer.alloc(8);
        const bytes = 3 + FRACTION_BYTES[places]!;
        source.writeUIntBE(0x800000 * unit + (negative ? -packed : packed), 1, bytes);
        const expected = `"${negative ? '-' : ''}${pad(hour)}:${pad(minute)}:${pad(second)}${shown}"`;
        expect(text(time2Put(places)(room, 3, source, 1))).toBe(expected);
      },
    ),
    { numRuns: 3000 },
  );
});

test('every negative TIME without a fraction is right', () => {
  const put = time2Put(0);
  const source = Buffer.alloc(3);
  for (let seconds = 1; seconds <= 838 * 3600 + 59 * 60 + 59; seconds += 7) {
    const [hour, minute, second] = [
      Math.floor(seconds / 3600),
      Math.floor(seconds / 60) % 60,
      seconds % 60,
    ];
    source.writeUIntBE(0x800000 - ((hour << 12) | (minute << 6) | second), 0, 3);
    if (text(put(room, 3, source, 0)) !== `"-${pad(hour)}:${pad(minute)}:${pad(second)}"`) {
      expect.unreachable(`-${hour}:${minute}:${second} is ${text(put(room, 3, source, 0))}`);
    }
  }
});

const utcText = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');

const instant = fc.oneof(
  fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  fc.constantFrom(951_782_400, 4_107_542_400),
);

test('a TIMESTAMP is the UTC clock of its second, in the old formats as well', () => {
  fc.assert(
    fc.property(instant, micros, digits, (seconds, us, places) => {
      const { stored, shown } = fraction(us, places);
      const source = Buffer.alloc(8);
      source.writeUInt32BE(seconds, 1);
      if (places > 0) source.writeUIntBE(stored, 5, FRACTION_BYTES[places]!);
      const expected = `"${utcText(seconds)}${shown}"`;
      expect(text(timestamp2Put(places, never, UTC)(room, 3, source, 1))).toBe(expected);
      if (places === 0) source.writeUInt32LE(seconds, 1);
      else source.writeUIntBE(Number(shown.slice(1)), 5, FRACTION_BYTES[places]!);
      expect(text(oldTimestampPut(places, never, UTC)(room, 3, source, 1))).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

test.each(['America/New_York', 'Asia/Shanghai', '-09:30', '+14:00'])(
  'a TIMESTAMP by the clocks of %s is what Intl prints, from bytes and from text',
  (name) => {
    const zone = timeZone(name)!;
    const parts = {
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    } as const;
    const clocks = name.includes('/')
      ? new Intl.DateTimeFormat('sv', { ...parts, timeZone: name })
      : { format: (ms: number) => utcText(ms / 1000 + zone.offsetAt(0)) };
    fc.assert(
      fc.property(instant, micros, digits, (seconds, us, places) => {
        const { stored, shown } = fraction(us, places);
        const source = Buffer.alloc(8);
        source.writeUInt32BE(seconds, 1);
        if (places > 0) source.writeUIntBE(stored, 5, FRACTION_BYTES[places]!);
        const expected = `"${clocks.format(seconds * 1000)}${shown}"`;
        expect(text(timestamp2Put(places, never, zone)(room, 3, source, 1))).toBe(expected);
        const printed = Buffer.from(`xx${utcText(seconds)}${shown}`);
        const put = momentTextPut(places, never, zone);
        expect(text(put(room, 3, printed, 2, printed.length))).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  },
);

test('the zero TIMESTAMP is none in any zone', () => {
  const zone = timeZone('Europe/Berlin')!;
  let unheld = 0;
  const note = (): void => void unheld++;
  expect(text(timestamp2Put(0, note, zone)(room, 3, Buffer.alloc(5), 1))).toBe('null');
  const printed = Buffer.from('0000-00-00 00:00:00.000');
  expect(text(momentTextPut(3, note, zone)(room, 3, printed, 0, printed.length))).toBe('null');
  expect(unheld).toBe(2);
});

const date = fc.date({
  min: new Date('0001-01-01T00:00:00Z'),
  max: new Date('9999-12-31T23:59:59Z'),
  noInvalidDate: true,
});

test('a DATETIME is its own text, in the old formats as well', () => {
  fc.assert(
    fc.property(date, micros, digits, (when, us, places) => {
      const { stored, shown } = fraction(us, places);
      const [year, month, day] = [when.getUTCFullYear(), when.getUTCMonth() + 1, when.getUTCDate()];
      const [hour, minute, second] = [
        when.getUTCHours(),
        when.getUTCMinutes(),
        when.getUTCSeconds(),
      ];
      const expected = `"${pad(year, 4)}-${pad(month)}-${pad(day)} ${pad(hour)}:${pad(minute)}:${pad(second)}${shown}"`;
      const source = Buffer.alloc(12);
      const low = ((day << 17) | (hour << 12) | (minute << 6) | second) >>> 0;
      source.writeUIntBE(0x8000000000 + (year * 13 + month) * 2 ** 22 + low, 1, 5);
      if (places > 0) source.writeUIntBE(stored, 6, FRACTION_BYTES[places]!);
      expect(text(datetime2Put(places, never)(room, 3, source, 1))).toBe(expected);

      const mixed = ((((year * 13 + month) * 32 + day) * 24 + hour) * 60 + minute) * 60 + second;
      const decimal = `${year}${pad(month)}${pad(day)}${pad(hour)}${pad(minute)}${pad(second)}`;
      if (places === 0) {
        source.writeBigUInt64LE(BigInt(decimal), 1);
      } else {
        const packed = BigInt(mixed) * 10n ** BigInt(places) + BigInt(shown.slice(1));
        const bytes = [8, 6, 6, 7, 7, 7, 8][places]!;
        const whole = Buffer.alloc(8);
        whole.writeBigUInt64BE(packed);
        whole.copy(source, 1, 8 - bytes);
      }
      expect(text(oldDatetimePut(places, never)(room, 3, source, 1))).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});

test('an old TIME keeps its sign and its parts', () => {
  fc.assert(
    fc.property(
      clock,
      micros,
      digits,
      fc.boolean(),
      ([hour, minute, second], us, places, negative) => {
        const { shown } = fraction(us, places);
        const sign = negative ? -1 : 1;
        const source = Buffer.alloc(8);
        const total = hour * 3600 + minute * 60 + second;
        const part = places === 0 ? 0 : Number(shown.slice(1));
        fc.pre(total + part > 0);
        if (places === 0) {
          source.writeIntLE(sign * (hour * 10_000 + minute * 100 + second), 1, 3);
        } else {
          const units = sign * (total * 10 ** places + part) + 3_020_400 * 10 ** places;
          source.writeUIntBE(units, 1, [3, 4, 4, 5, 5, 5, 6][places]!);
        }
        const expected = `"${negative ? '-' : ''}${pad(hour)}:${pad(minute)}:${pad(second)}${shown}"`;
        expect(text(oldTimePut(places)(room, 3, source, 1))).toBe(expected);
      },
    ),
    { numRuns: 1000 },
  );
});

test('a date is one that the calendar has', () => {
  for (const year of [1, 1900, 2000, 2023, 2024, 9999]) {
    for (let month = 0; month <= 13; month++) {
      for (let day = 0; day <= 32; day++) {
        const real = new Date(Date.UTC(2000, month - 1, day));
        real.setUTCFullYear(year, month - 1, day);
        const same = real.getUTCMonth() === month - 1 && real.getUTCDate() === day;
        expect(isDate(year, month, day), `${year}-${month}-${day}`).toBe(same);
      }
    }
  }
  expect(isDate(0, 1, 1)).toBe(false);
});
