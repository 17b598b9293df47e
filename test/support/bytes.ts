import fc from 'fast-check';

/** Cuts bytes at the given places (taken modulo the length), so that a property can try any cutting. */
export function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted(
    (a, b) => a - b,
  );
  const ends = [...places, bytes.length];
  return ends
    .map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end))
    .filter((piece) => piece.length > 0);
}

/** Places to cut at; the first one makes every byte a piece of its own. */
export const anyCuts = fc.oneof(
  { weight: 1, arbitrary: fc.constant(Array.from({ length: 4096 }, (_, i) => i)) },
  { weight: 9, arbitrary: fc.array(fc.nat(100_000), { maxLength: 20 }) },
);
