import { describe, expect, test } from 'vitest';
import { ProtocolError } from '../../src/wire/packet.ts';
import { readExecute, rewriteExecute } from '../../src/wire/prepared.ts';

const NONE = new Map<number, Buffer>();

function execute(
  count: number,
  types: readonly number[] | undefined,
  values: readonly number[],
  nulls: readonly number[] = Array.from({ length: (count + 7) >> 3 }, () => 0),
): Buffer {
  return Buffer.from([
    0x17,
    1,
    0,
    0,
    0x40,
    0,
    1,
    0,
    0,
    0,
    ...nulls,
    types ? 1 : 0,
    ...(types ?? []),
    ...values,
  ]);
}

const text = (s: string): number[] => [s.length, ...Buffer.from(s)];
const le = (n: bigint, size: number): number[] => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt.asIntN(64, n));
  return [...bytes.subarray(0, size)];
};
const float = (n: number): number[] => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(n);
  return [...bytes];
};
const double = (n: number): number[] => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(n);
  return [...bytes];
};

describe('a parameter of type', () => {
  test.each([
    ['TINY', [1, 0], [0xff], -1],
    ['TINY unsigned', [1, 0x80], [0xff], 255],
    ['SHORT', [2, 0], le(-2n, 2), -2],
    ['SHORT unsigned', [2, 0x80], le(65_534n, 2), 65_534],
    ['LONG', [3, 0], le(-3n, 4), -3],
    ['LONG unsigned', [3, 0x80], le(4_294_967_293n, 4), 4_294_967_293],
    ['INT24', [9, 0], le(-3n, 4), -3],
    ['YEAR', [13, 0x80], le(2026n, 2), 2026],
    ['LONGLONG', [8, 0], le(-9_223_372_036_854_775_808n, 8), -9_223_372_036_854_775_808n],
    ['LONGLONG unsigned', [8, 0x80], le(-1n, 8), 18_446_744_073_709_551_615n],
    ['FLOAT', [4, 0], float(1.5), 1.5],
    ['DOUBLE', [5, 0], double(0.1), 0.1],
    ['NULL', [6, 0], [], null],
    ['NEWDECIMAL', [246, 0], text('1.50'), '1.50'],
    ['DECIMAL', [0, 0], text('-7'), '-7'],
    ['VARCHAR', [15, 0], text('a'), 'a'],
    ['VAR_STRING', [253, 0], [4, 0xf0, 0x9f, 0x98, 0x80], '😀'],
    ['STRING', [254, 0], text(''), ''],
    ['BLOB', [252, 0], text('blob'), 'blob'],
    ['JSON', [245, 0], text('{}'), '{}'],
    ['DATE', [10, 0], [4, 0xea, 0x07, 11, 24], '2026-11-24'],
    ['DATE, zero', [10, 0], [0], '0000-00-00'],
    ['DATETIME', [12, 0], [4, 0xea, 0x07, 1, 2], '2026-01-02 00:00:00'],
    ['DATETIME with time', [12, 0], [7, 0xea, 0x07, 1, 2, 3, 4, 5], '2026-01-02 03:04:05'],
    [
      'TIMESTAMP with microseconds',
      [7, 0],
      [11, 0xea, 0x07, 1, 2, 3, 4, 5, ...le(7n, 4)],
      '2026-01-02 03:04:05.000007',
    ],
    ['TIME', [11, 0], [8, 0, ...le(0n, 4), 1, 2, 3], '01:02:03'],
    ['TIME, zero', [11, 0], [0], '00:00:00'],
    [
      'TIME, negative, days, microseconds',
      [11, 0],
      [12, 1, ...le(2n, 4), 1, 2, 3, ...le(500_000n, 4)],
      '-49:02:03.500000',
    ],
  ])('%s', (_type, type, bytes, expected) => {
    // A second parameter shows that the first one took its bytes and no more.
    const payload = execute(2, [...type, 254, 0], [...bytes, ...text('next')]);
    expect(readExecute(payload, 2, undefined, NONE).values).toEqual([expected, 'next']);
  });
});

test('types are remembered by whoever holds them', () => {
  const first = readExecute(execute(1, [3, 0], le(5n, 4)), 1, undefined, NONE);
  const again = readExecute(execute(1, undefined, le(6n, 4)), 1, first.types, NONE);
  expect(again.values).toEqual([6]);
  expect(() => readExecute(execute(1, undefined, le(6n, 4)), 1, undefined, NONE)).toThrow(
    ProtocolError,
  );
});

test('NULLs have no bytes', () => {
  const count = 10;
  const types = Array.from({ length: count }, () => [1, 0]).flat();
  const payload = execute(count, types, [7, 8], [0b1111_0111, 0b0000_0001]);
  const expected = Array.from({ length: count }, () => null as number | null);
  expected[3] = 7;
  expected[9] = 8;
  expect(readExecute(payload, count, undefined, NONE).values).toEqual(expected);
});

test('a value that was sent ahead has no bytes either', () => {
  const ahead = new Map([[0, Buffer.from('lang')]]);
  const payload = execute(2, [252, 0, 1, 0], [9]);
  expect(readExecute(payload, 2, undefined, ahead).values).toEqual(['lang', 9]);
});

test('a statement without parameters has nothing to read', () => {
  const payload = Buffer.from([0x17, 1, 0, 0, 0x40, 0, 1, 0, 0, 0]);
  expect(readExecute(payload, 0, undefined, NONE).values).toEqual([]);
});

test.each([
  ['a value', execute(1, [3, 0], [1, 2])],
  ['the types', execute(2, [3, 0], [])],
  ['the NULL bitmap', Buffer.from([0x17, 1, 0, 0, 0x40, 0, 1, 0, 0, 0])],
])('a payload that ends inside %s is refused', (_what, payload) => {
  expect(() => readExecute(payload, 2, undefined, NONE)).toThrow(ProtocolError);
});

test('an unknown type is refused', () => {
  expect(() => readExecute(execute(1, [99, 0], [1]), 1, undefined, NONE)).toThrow('type 99');
});

test('rewritten for another server it has that id and its types', () => {
  const types = Buffer.from([3, 0]);
  const again = rewriteExecute(execute(1, undefined, le(6n, 4)), 9, 1, types);
  expect(again.readUInt32LE(1)).toBe(9);
  expect(readExecute(again, 1, undefined, NONE).values).toEqual([6]);
  const same = execute(1, [3, 0], le(6n, 4));
  expect(rewriteExecute(same, 0x40_00_00_01, 1, types).equals(same)).toBe(true);
});
