import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { Backoff, sleep } from '../../src/lib/backoff.ts';

const never = new AbortController().signal;

function recording(firstMs: number, maxMs: number, random: () => number) {
  const waits: number[] = [];
  const backoff = new Backoff(
    { firstMs, maxMs },
    async (ms) => {
      waits.push(ms);
    },
    random,
  );
  return { backoff, waits };
}

describe('Backoff', () => {
  test('doubles up to the longest wait and starts again after a reset', async () => {
    const { backoff, waits } = recording(100, 500, () => 1);
    for (let i = 0; i < 5; i++) await backoff.wait(never);
    backoff.reset();
    await backoff.wait(never);
    expect(waits).toEqual([100, 200, 400, 500, 500, 100]);
  });

  test('spreads every wait over its upper half', async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: 0, max: 1, noNaN: true }), async (random) => {
        const { backoff, waits } = recording(100, 400, () => random);
        for (let i = 0; i < 4; i++) await backoff.wait(never);
        for (const [i, most] of [100, 200, 400, 400].entries()) {
          expect(waits[i]).toBeGreaterThanOrEqual(most / 2);
          expect(waits[i]).toBeLessThanOrEqual(most);
        }
      }),
    );
  });
});

describe('sleep', () => {
  test('returns at once, without an error, when the signal is already aborted', async () => {
    await sleep(60_000, AbortSignal.abort());
  });

  test('returns without an error when the signal aborts meanwhile', async () => {
    const stop = new AbortController();
    const slept = sleep(60_000, stop.signal);
    stop.abort();
    await slept;
    expect(stop.signal.aborted).toBe(true);
  });
});
