import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageQueue } from '../../../src/source/postgres/message-queue.ts';

test('messages come out as they went in, in any rhythm, and the bytes that wait are counted', () => {
  const sizes = fc.array(fc.oneof(fc.nat(40), fc.integer({ min: 100_000, max: 600_000 })), {
    maxLength: 40,
  });
  fc.assert(
    fc.property(sizes, fc.infiniteStream(fc.nat(3)), (lengths, rhythm) => {
      const queue = new MessageQueue();
      const waiting: Buffer[] = [];
      const take = (): void => {
        const expected = waiting.shift();
        expect(queue.peek()).toBe(expected !== undefined);
        if (expected === undefined) return;
        expect(queue.buffer.subarray(queue.start, queue.end).equals(expected)).toBe(true);
        queue.advance();
      };
      lengths.forEach((length, i) => {
        const message = Buffer.alloc(length, i);
        waiting.push(Buffer.from(message));
        queue.push(message);
        // The driver uses its buffer again.
        message.fill(0xff);
        for (let n = rhythm.next().value; n > 0; n--) take();
        expect(queue.bytes).toBe(waiting.reduce((sum, m) => sum + m.length + 4, 0));
      });
      while (waiting.length > 0) take();
      expect(queue.bytes).toBe(0);
      expect(queue.peek()).toBe(false);
    }),
    { numRuns: 60 },
  );
});
