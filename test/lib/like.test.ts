import fc from 'fast-check';
import { expect, test } from 'vitest';
import { like } from '../../src/lib/like.ts';

const letters = (units: string): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...Array.from(units)), { maxLength: 7 }).map((all) => all.join(''));

test('LIKE means what a simple reading of its definition means', () => {
  const slow = (text: readonly string[], pattern: readonly string[]): boolean => {
    const [wanted, ...more] = pattern;
    const [found, ...rest] = text;
    if (wanted === undefined) return found === undefined;
    if (wanted === '%') return slow(text, more) || (found !== undefined && slow(rest, pattern));
    return found !== undefined && (wanted === '_' || wanted === found) && slow(rest, more);
  };
  fc.assert(
    fc.property(letters('ab😀'), letters('ab😀%_'), (text, pattern) => {
      expect(like(text, pattern, 10_000)?.matches).toBe(
        slow(Array.from(text), Array.from(pattern)),
      );
    }),
    { numRuns: 1000 },
  );
});

test('a backslash takes the next character as it is', () => {
  expect(like('100%', String.raw`100\%`, 100)?.matches).toBe(true);
  expect(like('1000', String.raw`100\%`, 100)?.matches).toBe(false);
  expect(like('a\\b', String.raw`a\\\b`, 100)?.matches).toBe(true);
});

test('steps are counted, and end a comparison that takes too many', () => {
  expect(like('abc', '%c', 100)?.steps).toBeLessThan(12);
  expect(like('a'.repeat(100), `%${'a'.repeat(50)}b`, 1_000)).toBeUndefined();
});
