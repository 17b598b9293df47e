import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FilterWindow } from '../../src/scheduler/filter-window.ts';

/** What Doris does with the bad rows of a load: drops all of them, or fails the load. */
function load(window: FilterWindow, rows: number, bad: number): 'in' | 'failed' {
  const allowance = window.begin(rows);
  const passes = bad / rows <= allowance.ratio;
  if (passes) allowance.done(bad);
  else allowance.failed();
  return passes ? 'in' : 'failed';
}

test('a small load may have a bad row where large ones came before it', () => {
  let now = 0;
  const window = new FilterWindow(0.01, 100_000, () => now);
  expect(load(window, 1, 1)).toBe('failed');
  expect(load(window, 250, 0)).toBe('in');
  expect(load(window, 1, 1)).toBe('in');
  expect(load(window, 1, 1)).toBe('in');
  expect(load(window, 1, 1)).toBe('failed');
  // The large one is too long ago.
  now = 100_001;
  expect(load(window, 1, 1)).toBe('failed');
});

test('loads that run at the same time share what may be dropped', () => {
  const window = new FilterWindow(0.1, 1_000, () => 0);
  const first = window.begin(20);
  const second = window.begin(20);
  expect(first.ratio).toBeCloseTo(2.5 / 20);
  expect(second.ratio).toBeCloseTo(2.5 / 20);
  expect(window.begin(5).ratio).toBe(0);
  first.done(0);
  expect(window.begin(1).ratio).toBe(1);
});

test('never more than the share of all rows is dropped, and nothing where nothing may be', () => {
  const loads = fc.array(
    fc.nat(50).chain((more) => fc.record({ rows: fc.constant(more + 1), bad: fc.nat(more + 1) })),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), loads, (ratio, all) => {
      const window = new FilterWindow(ratio, 1_000, () => 0);
      let [scanned, dropped] = [0, 0];
      for (const { rows, bad } of all) {
        const fits = dropped + bad <= Math.floor(ratio * (scanned + rows));
        expect(load(window, rows, bad)).toBe(fits ? 'in' : 'failed');
        if (fits) [scanned, dropped] = [scanned + rows, dropped + bad];
      }
    }),
  );
});

test('a window of very many loads is no work', () => {
  let now = 0;
  const window = new FilterWindow(0.5, 10_000_000, () => now);
  const ratios = new Set<number>();
  for (; now < 200_000; now++) ratios.add(window.begin(2).ratio);
  expect([...ratios]).toEqual([0.75]);
});
