import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageQueue } from '../../../src/source/postgres/message-queue.ts';
import { SCAN_SLACK } from '../../../src/source/postgres/scan-code.ts';

function messageOf(type: number, bytes: number): Buffer {
  const message = Buffer.alloc(5 + bytes, type);
  message.writeUInt32BE(4 + bytes, 1);
  return message;
}

/** Some more than a piece of memory holds. */
const sizes = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.nat(40) },
    { weight: 1, arbitrary: fc.integer({ min: 50_000, max: 600_000 }) },
  ),
  { maxLength: 40 },
);
const cuts = fc.infiniteStream(
  fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1000, max: 300_000 })),
);

test('messages come out as they went in, however they are cut, read or copied, and the bytes that wait are counted', () => {
  fc.assert(
    fc.property(sizes, cuts, fc.infiniteStream(fc.nat(3)), (lengths, cut, rhythm) => {
      const queue = new MessageQueue();
      const messages = lengths.map((bytes, i) => messageOf(i, bytes));
      const sent = Buffer.concat(messages);
      const looked: number[] = [];
      let [received, taken, takenBytes] = [0, 0, 0];
      const take = (): boolean => {
        if (!queue.peek()) return false;
        const expected = messages[taken++]!;
        expect(queue.buffer.subarray(queue.start, queue.end).equals(expected)).toBe(true);
        expect(queue.buffer.length - queue.end).toBeGreaterThanOrEqual(SCAN_SLACK);
        takenBytes += expected.length;
        queue.advance();
        return true;
      };
      const look = (b: Buffer, start: number, end: number): void => {
        expect(end - start).toBe(messages[looked.length]!.length);
        looked.push(b[start]!);
      };
      while (received < sent.length) {
        const count = Math.min(cut.next().value, sent.length - received);
        const piece = sent.subarray(received, received + count);
        const room = queue.room();
        expect(room.length).toBeGreaterThan(0);
        if (room.length < count || rhythm.next().value === 0) queue.push(piece, look);
        else {
          // Taken between the offer of the room and the read into it.
          take();
          piece.copy(room);
          queue.filled(count, look);
        }
        received += count;
        for (let n = rhythm.next().value; n > 0; n--) take();
        expect(queue.bytes).toBe(received - takenBytes);
      }
      expect(looked).toEqual(messages.map((m) => m[0]));
      while (take());
      expect([taken, queue.bytes, queue.peek()]).toEqual([messages.length, 0, false]);
    }),
    { numRuns: 60 },
  );
});

test('what waits can be had as it came, a message that is not complete included', () => {
  const queue = new MessageQueue();
  const sent = Buffer.concat([messageOf(1, 10), messageOf(2, 300_000), messageOf(3, 7)]);
  queue.push(sent.subarray(0, sent.length - 2));
  queue.peek();
  queue.advance();
  expect(queue.rest().equals(sent.subarray(15, sent.length - 2))).toBe(true);
  expect([queue.bytes, queue.peek()]).toEqual([0, false]);
  queue.push(messageOf(4, 1));
  expect(queue.peek()).toBe(true);
});

test.each([0, 3, 0x4000_0001, 0xffff_ffff])('a message of %i bytes is none', (length) => {
  const message = messageOf(1, 20);
  message.writeUInt32BE(length, 1);
  expect(() => new MessageQueue().push(message)).toThrow(
    expect.objectContaining({ code: 'UNDECODABLE' }),
  );
});
