import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dateTimeText, parseDateTime, validDate } from './date-text.ts';
import {
  compactJson,
  FALSE,
  JsonLineError,
  NESTED,
  NULL,
  NUMBER,
  readJsonLine,
  STRING,
  TRUE,
} from './json-line.ts';
import { converterFor, Rejected, type Staged } from './values.ts';

const CONTEXT = { zoneMinutes: 0, stringBytesMax: 1_048_576 };

const asText = (value: Staged | Rejected): string | undefined =>
  value instanceof Rejected ? undefined : String(value);

/** The value that a field of a row stands for. */
function meaning(kind: number, text: string): unknown {
  if (kind === NUMBER || kind === NESTED) return JSON.parse(text);
  if (kind === STRING) return text;
  return { [NULL]: null, [TRUE]: true, [FALSE]: false }[kind];
}

function read(line: string, keys: readonly string[]): unknown {
  const fields = { kinds: new Uint8Array(keys.length), texts: keys.map(() => '') };
  readJsonLine(line, new Map(keys.map((key, i) => [key, i])), fields);
  return Object.fromEntries(
    keys.map((key, i) => [key, meaning(fields.kinds[i]!, fields.texts[i]!)]),
  );
}

const rows = fc.dictionary(
  fc.string({ unit: 'binary', maxLength: 5 }),
  fc.jsonValue({ maxDepth: 2 }),
  { noNullPrototype: true },
);

test('a line is read as JSON.parse reads it, however it is spaced', () => {
  fc.assert(
    fc.property(rows, fc.constantFrom(undefined, 1, '\t'), (row, space) => {
      const line = JSON.stringify(row, undefined, space);
      const keys = Object.keys(JSON.parse(line) as object);
      expect(read(line, keys)).toEqual(JSON.parse(line));
      expect(JSON.parse(compactJson(line))).toEqual(JSON.parse(line));
    }),
  );
});

test('a damaged line is refused exactly when JSON.parse refuses it', () => {
  const damage = fc.tuple(
    fc.nat(),
    fc.constantFrom('', '"', '{', '}', ',', ':', '1', '\\', 'n', ' ', '-', '.', '\u0001'),
  );
  fc.assert(
    fc.property(rows, damage, (row, [at, put]) => {
      const line = JSON.stringify(row);
      const place = at % line.length;
      const damaged = line.slice(0, place) + put + line.slice(place + 1);
      let parsed: unknown;
      try {
        parsed = JSON.parse(damaged);
      } catch {
        parsed = undefined;
      }
      const isRow = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
      try {
        read(damaged, []);
        expect(isRow, damaged).toBe(true);
      } catch (error) {
        if (!(error instanceof JsonLineError)) throw error;
        expect(isRow && !error.message.includes('twice'), damaged).toBe(false);
      }
    }),
    { numRuns: 2000 },
  );
});

test('days are those of the calendar', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 9999 }),
      fc.integer({ min: 0, max: 13 }),
      fc.integer({ min: 0, max: 32 }),
      (year, month, day) => {
        const text = `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
        const date = new Date(`${text}T00:00:00Z`);
        expect(validDate(text)).toBe(
          !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text),
        );
      },
    ),
    { numRuns: 1000 },
  );
});

test('times keep their digits, and those that do not fit round up or down', () => {
  fc.assert(
    fc.property(
      fc.date({
        min: new Date('0001-01-01T00:00:00Z'),
        max: new Date('9998-12-31T00:00:00Z'),
        noInvalidDate: true,
      }),
      fc.integer({ min: 0, max: 999 }),
      fc.integer({ min: 0, max: 6 }),
      (date, extra, scale) => {
        const micros = BigInt(date.getTime()) * 1000n + BigInt(extra);
        const step = 10n ** BigInt(6 - scale);
        const text = dateTimeText(micros, 6);
        expect(text.slice(0, 23)).toBe(date.toISOString().replace('T', ' ').slice(0, 23));
        expect(parseDateTime(text, 6, undefined)).toBe(text);
        const shifted = micros + step / 2n;
        const rounded = shifted - (((shifted % step) + step) % step);
        expect(parseDateTime(text, scale, undefined)).toBe(dateTimeText(rounded, scale));
      },
    ),
  );
});

test('integers are taken exactly inside their bounds', () => {
  for (const [name, bits] of [
    ['TINYINT', 8],
    ['SMALLINT', 16],
    ['INT', 32],
    ['BIGINT', 64],
    ['LARGEINT', 128],
  ] as const) {
    const convert = converterFor({ name }, CONTEXT);
    const max = 2n ** BigInt(bits - 1) - 1n;
    for (const kind of [STRING, NUMBER]) {
      expect(asText(convert(kind, String(max)))).toBe(String(max));
      expect(asText(convert(kind, String(-max - 1n)))).toBe(String(-max - 1n));
      expect(convert(kind, String(max + 1n))).toBeInstanceOf(Rejected);
      expect(convert(kind, String(-max - 2n))).toBeInstanceOf(Rejected);
    }
    for (const text of ['', ' 1', '1.0', '1e3', '0x1', 'one'])
      expect(convert(STRING, text), text).toBeInstanceOf(Rejected);
  }
});

test.each([
  ['DECIMAL(5,2)', '1', '1.00'],
  ['DECIMAL(5,2)', '-.5', '-0.50'],
  ['DECIMAL(5,2)', '999.99', '999.99'],
  ['DECIMAL(5,2)', '999.994', '999.99'],
  ['DECIMAL(5,2)', '1.005', '1.01'],
  ['DECIMAL(5,2)', '999.995', undefined],
  ['DECIMAL(5,2)', '1000', undefined],
  ['DECIMAL(5,2)', '', undefined],
  ['DECIMAL(5,2)', '.', undefined],
  ['DECIMAL(5,2)', '1e2', undefined],
  ['DECIMAL(38,0)', '9'.repeat(38), '9'.repeat(38)],
  ['DECIMAL(38,0)', `1${'0'.repeat(38)}`, undefined],
])('%s takes %j as %j', (type, text, stored) => {
  const [precision = 0, scale = 0] = type.match(/\d+/g)!.map(Number);
  const value = converterFor({ name: 'DECIMAL', precision, scale }, CONTEXT)(STRING, text);
  expect(value instanceof Rejected ? undefined : value).toBe(stored);
});

test('texts are measured in bytes', () => {
  const convert = converterFor({ name: 'VARCHAR', length: 6 }, CONTEXT);
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 8 }), (text) => {
      expect(convert(STRING, text) instanceof Rejected).toBe(Buffer.byteLength(text) > 6);
    }),
  );
});
