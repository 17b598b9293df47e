import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProxyError } from '../../../src/model/error.ts';
import {
  decimalBytes,
  decimalPut,
  putDouble,
  putFloat,
  putInt64,
  putUint64,
} from '../../../src/source/mysql/number-text.ts';
import {
  putBigintText,
  putPaddedNumber,
  putQuotedPadded,
} from '../../../src/source/mysql/text-values.ts';

const room = Buffer.alloc(512);
const text = (end: number): string => room.toString('latin1', 5, end);

const HALF = 1n << 63n;
const bigint = fc.oneof(
  fc.bigInt({ min: -HALF, max: HALF - 1n }),
  fc.constantFrom(
    0n,
    -1n,
    -HALF,
    HALF - 1n,
    1n << 32n,
    -(1n << 32n),
    -(1n << 53n),
    (1n << 53n) - 1n,
  ),
);
const halves = (value: bigint): [number, number] => [
  Number(BigInt.asIntN(32, value >> 32n)),
  Number(BigInt.asUintN(32, value)),
];

test('64-bit integers are exact, and strings only where a double is not', () => {
  fc.assert(
    fc.property(bigint, (value) => {
      const safe = value > -(1n << 53n) && value < 1n << 53n;
      expect(text(putInt64(room, 5, ...halves(value)))).toBe(safe ? `${value}` : `"${value}"`);
      const unsigned = BigInt.asUintN(64, value);
      expect(text(putUint64(room, 5, ...halves(value)))).toBe(`"${unsigned}"`);
      // The other road: the server's text of the same number.
      const digits = Buffer.from(`..${value}`);
      expect(text(putBigintText(room, 5, digits, 2, digits.length))).toBe(
        safe ? `${value}` : `"${value}"`,
      );
    }),
    { numRuns: 2000 },
  );
});

const doubles = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer().map((n) => n / 100),
  fc.maxSafeInteger().map((n) => n / 1e6),
  fc.tuple(fc.integer(), fc.integer({ min: -30, max: 30 })).map(([n, e]) => n * 10 ** e),
);

test('a double is the shortest text that reads back as the same, laid out as the server does', () => {
  fc.assert(
    fc.property(doubles, (x) => {
      const printed = text(putDouble(room, 5, x));
      expect(Object.is(Number(printed), x)).toBe(true);
      const [mantissa, exponent] = Math.abs(x).toExponential().split('e') as [string, string];
      const digits = mantissa.replace('.', '').replace(/^0$/, '');
      const shown = printed.replace(/e.*$/, '').replaceAll(/[-.]/g, '');
      expect(shown.replaceAll(/^0+|0+$/g, '')).toBe(digits);
      // Plain from 15 digits before the point to 14 zeros behind it, and when digits stand behind the point.
      const point = Number(exponent) + 1;
      const plain = point >= -14 && (point <= 15 || digits.length > point);
      expect(printed.includes('e')).toBe(!plain);
      expect(printed).not.toContain('e+');
    }),
    { numRuns: 3000 },
  );
});

const floats = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.integer({ min: -999_999, max: 999_999 }).map((n) => Math.fround(n / 100)),
);

test('a float is the shortest decimal that reads back as the same float', () => {
  fc.assert(
    fc.property(floats, (x) => {
      const printed = text(putFloat(room, 5, x));
      let precision = 1;
      while (Math.fround(Number(x.toPrecision(precision))) !== x) precision++;
      expect(printed).toBe(String(Number(x.toPrecision(precision)) + 0));
    }),
    { numRuns: 3000 },
  );
});

/** As `decimal2bin` stores it: the digits in groups of nine, high bit inverted, negative numbers inverted as a whole. */
function storeDecimal(precision: number, scale: number, digits: string, negative: boolean): Buffer {
  const bytesOf = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
  const whole = digits.slice(0, precision - scale);
  const fraction = digits.slice(precision - scale);
  const head = whole.slice(0, whole.length % 9);
  const groups = [
    head,
    ...(whole.slice(head.length).match(/.{9}/g) ?? []),
    ...(fraction.match(/.{1,9}/g) ?? []),
  ];
  const bytes = Buffer.concat(
    groups.map((group) => {
      const part = Buffer.alloc(bytesOf[group.length]!);
      if (part.length > 0) part.writeUIntBE(Number(group), 0, part.length);
      return part;
    }),
  );
  bytes[0]! ^= 0x80;
  return negative ? (bytes.map((byte) => byte ^ 0xff) as Buffer) : bytes;
}

const decimals = fc
  .tuple(fc.integer({ min: 1, max: 65 }), fc.integer({ min: 0, max: 38 }))
  .map(([precision, scale]) => [precision, Math.min(scale, precision)] as const)
  .chain(([precision, scale]) =>
    fc.record({
      precision: fc.constant(precision),
      scale: fc.constant(scale),
      digits: fc
        .array(fc.oneof(fc.constant(0), fc.nat(9)), { minLength: precision, maxLength: precision })
        .map((list) => list.join('')),
      negative: fc.boolean(),
    }),
  );

test('a stored decimal is its digits, with exactly its scale', () => {
  fc.assert(
    fc.property(decimals, ({ precision, scale, digits, negative }) => {
      fc.pre(!negative || /[1-9]/.test(digits));
      const stored = storeDecimal(precision, scale, digits, negative);
      expect(stored.length).toBe(decimalBytes(precision, scale));
      const source = Buffer.concat([Buffer.from([7]), stored, Buffer.alloc(8, 0xff)]);
      const whole = digits.slice(0, precision - scale).replace(/^0+/, '') || '0';
      const fraction = scale === 0 ? '' : `.${digits.slice(precision - scale)}`;
      const end = decimalPut(precision, scale)(room, 5, source, 1);
      expect(text(end)).toBe(`${negative ? '-' : ''}${whole}${fraction}`);
    }),
    { numRuns: 1000 },
  );
});

test.each([
  ['00042', '42', '"42"'],
  ['0', '0', '"0"'],
  ['000', '0', '"0"'],
  ['0000.50', '0.50', '"0.50"'],
  ['0.05', '0.05', '"0.05"'],
  ['123', '123', '"123"'],
])('the padding of ZEROFILL goes: %s', (padded, number, quoted) => {
  const source = Buffer.from(padded);
  expect(text(putPaddedNumber(room, 5, source, 0, source.length))).toBe(number);
  expect(text(putQuotedPadded(room, 5, source, 0, source.length))).toBe(quoted);
});

test.each([NaN, Infinity, -Infinity])('%d, which no server stores, is never written', (x) => {
  expect(() => putDouble(room, 5, x)).toThrow(ProxyError);
  expect(() => putFloat(room, 5, x)).toThrow(ProxyError);
});
