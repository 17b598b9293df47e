import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteQueue } from '../../src/lib/queue.ts';

const never = new AbortController().signal;

function pausable(): { pause(): void; resume(): void; paused: boolean; calls: string[] } {
  return {
    paused: false,
    calls: [],
    pause() {
      this.paused = true;
      this.calls.push('pause');
    },
    resume() {
      this.paused = false;
      this.calls.push('resume');
    },
  };
}

test('items come out in the order they went in, and a source that obeys never passes the bound by more than one item', () => {
  const steps = fc.array(fc.oneof(fc.nat(50), fc.constant('take' as const)), { maxLength: 200 });
  fc.assert(
    fc.property(steps, (script) => {
      const source = pausable();
      const queue = new ByteQueue<number>(source, 100);
      let pushed = 0;
      let taken = 0;
      for (const step of script) {
        if (step === 'take') {
          const item = queue.shift();
          if (item !== undefined) expect(item).toBe(taken++);
          else expect(taken).toBe(pushed);
        } else if (!source.paused) {
          queue.push(pushed++, step);
        }
        expect(queue.bytes).toBeLessThanOrEqual(150);
        expect(queue.paused).toBe(source.paused);
        if (queue.bytes > 100) expect(source.paused).toBe(true);
        if (queue.bytes <= 50) expect(source.paused).toBe(false);
      }
    }),
  );
});

test('a waiting reader is woken by an item, and told when none came in time', async () => {
  const queue = new ByteQueue<string>(pausable(), 10);
  setTimeout(() => queue.push('a', 1), 5);
  expect(await queue.wait(5_000, never)).toBe(true);
  expect(queue.shift()).toBe('a');
  expect(await queue.wait(1, never)).toBe(false);
});

test('what came before the end is delivered before its error, and what comes after it is dropped', async () => {
  const queue = new ByteQueue<string>(pausable(), 10);
  queue.push('a', 1);
  queue.end(new Error('connection lost'));
  queue.end(new Error('a later error'));
  queue.push('b', 1);
  expect(await queue.wait(1, never)).toBe(true);
  expect(queue.shift()).toBe('a');
  await expect(queue.wait(1, never)).rejects.toThrow('connection lost');
});

test('the end wakes a waiting reader', async () => {
  const queue = new ByteQueue<string>(pausable(), 10);
  setTimeout(() => queue.end(new Error('connection lost')), 5);
  await expect(queue.wait(5_000, never)).rejects.toThrow('connection lost');
});

test('an abort ends the wait with its reason', async () => {
  const queue = new ByteQueue<string>(pausable(), 10);
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error('job paused')), 5);
  await expect(queue.wait(5_000, abort.signal)).rejects.toThrow('job paused');
  await expect(queue.wait(5_000, abort.signal)).rejects.toThrow('job paused');
});

test('an ended queue leaves its source alone', () => {
  const source = pausable();
  const queue = new ByteQueue<number>(source, 1);
  queue.push(1, 5);
  queue.end(new Error('closed'));
  queue.shift();
  expect(source.calls).toEqual(['pause']);
});
