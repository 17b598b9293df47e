import { once } from 'node:events';
import { createServer } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openPacketSocket, PacketMemory } from '../../../src/source/mysql/packet-memory.ts';

const MIB = 1024 * 1024;

function packet(bytes: number, fill: number): Buffer {
  const whole = Buffer.alloc(4 + bytes, fill);
  whole.writeUIntLE(bytes, 0, 3);
  return whole;
}

/** Reads `stream` into `memory` as a socket would, `cuts` bytes at a time. */
function feed(memory: PacketMemory, stream: Buffer, cuts: readonly number[]): void {
  for (let at = 0, i = 0; at < stream.length; i++) {
    const { room } = memory;
    const count = Math.min(cuts[i % cuts.length]!, room.length, stream.length - at);
    stream.copy(room, 0, at, at + count);
    memory.take(count);
    at += count;
  }
}

const sizes = fc.array(fc.oneof(fc.nat(50), fc.nat(5_000), fc.nat(1_300_000)), { maxLength: 12 });
const cuts = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 1_300_000 })),
  {
    minLength: 1,
    maxLength: 6,
  },
);

test('what is passed on is what was read, and what has not to be kept is valid until it is reclaimed', () => {
  fc.assert(
    fc.property(sizes, cuts, fc.nat(3), fc.boolean(), (lengths, at, lendAfter, keeps) => {
      const stream = Buffer.concat(lengths.map((bytes, i) => packet(bytes, i + 1)));
      let held: { bytes: Buffer; copy: Buffer }[] = [];
      const received: Buffer[] = [];
      const memory = new PacketMemory((bytes) => {
        if (received.length === lendAfter) memory.lend(MIB, reclaim);
        if (keeps && received.length === lendAfter + 3) {
          reclaim();
          memory.keep();
          received.push(Buffer.from(bytes));
          return;
        }
        received.push(Buffer.from(bytes));
        held.push({ bytes, copy: Buffer.from(bytes) });
      });
      const reclaim = (): void => {
        for (const { bytes, copy } of held) expect(bytes.equals(copy)).toBe(true);
        held = [];
      };
      // Slow cuts of a large stream take minutes.
      feed(memory, stream, stream.length > 50_000 ? [...at, 100_000] : at);
      reclaim();
      expect(Buffer.concat(received).equals(stream)).toBe(true);
    }),
    { numRuns: 100 },
  );
});

test('small packets come whole, and in place once they are lent', () => {
  const passed: Buffer[] = [];
  const memory = new PacketMemory((bytes) => void passed.push(bytes));
  const stream = Buffer.concat([packet(10, 1), packet(0, 2), packet(3_000, 3)]);
  feed(memory, stream, [7]);
  expect(passed.map(({ length }) => length)).toEqual([14, 4, 3_004]);
  memory.lend(MIB, () => undefined);
  const { room } = memory;
  stream.copy(room);
  memory.take(stream.length);
  expect(passed.at(-1)?.buffer).toBe(room.buffer);
  memory.keep();
  const next = memory.room;
  stream.copy(next);
  memory.take(stream.length);
  expect(passed.at(-1)?.buffer).not.toBe(next.buffer);
});

test('a socket emits the packets that its peer sends, and its end', async () => {
  const stream = Buffer.concat([packet(100, 1), packet(700_000, 2), packet(5, 3)]);
  const server = createServer((peer) => peer.end(stream)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const socket = openPacketSocket('127.0.0.1', address.port, 1_000);
  const received: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => received.push(bytes));
  await once(socket, 'end');
  socket.destroy();
  server.close();
  expect(Buffer.concat(received).equals(stream)).toBe(true);
});
