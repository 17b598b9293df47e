import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Roster } from '../../src/lib/roster.ts';

test('has who was added and not deleted, as a Set does', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(7))), (steps) => {
      const members = Array.from({ length: 8 }, () => ({ place: 0 }));
      const roster = new Roster();
      const expected = new Set<object>();
      for (const [adds, index] of steps) {
        const member = members[index]!;
        if (!adds) {
          roster.delete(member);
          expected.delete(member);
        } else if (!expected.has(member)) {
          roster.add(member);
          expected.add(member);
        }
        expect(roster.has(member)).toBe(expected.has(member));
        expect(roster.size).toBe(expected.size);
        expect(new Set(roster)).toEqual(expected);
      }
    }),
  );
});

test('whoever leaves while it is gone through does not disturb that', () => {
  const roster = new Roster();
  const members = [{ place: 0 }, { place: 0 }, { place: 0 }];
  for (const member of members) roster.add(member);
  const seen = [];
  for (const member of roster) {
    seen.push(member);
    roster.delete(member);
  }
  expect(seen).toEqual(members);
  expect(roster.size).toBe(0);
});
