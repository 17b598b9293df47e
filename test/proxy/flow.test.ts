import { createHash, type Hash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { encodePacket, PAYLOAD_MAX } from '../../src/wire/packet.ts';
import { commandPacket, echo } from '../support/relay-ends.ts';
import { NEW, QUERY, world } from '../support/relay-world.ts';

/** A statement of ours with a given length. */
const statement = (length: number): string => `create job ok ${'x'.repeat(length - 15)}`;

describe('large requests', () => {
  test.each([PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 2 * PAYLOAD_MAX + 10])(
    'of %i bytes arrive whole, and the next one is seen',
    async (length) => {
      await using it = await world();
      const client = await it.login();
      const sql = Buffer.alloc(length, 'x');
      sql[0] = QUERY;
      // The second packet reads like a statement of ours.
      if (length > PAYLOAD_MAX + 30) sql.write('\x03pause job ok', PAYLOAD_MAX);
      client.send(encodePacket(0, sql));
      await client.packets(1);
      client.command(QUERY, 'pause job ok');
      expect(await client.answer()).toEqual(['OK']);
      expect(it.frontend.commands).toHaveLength(1);
      expect(it.frontend.commands[0]?.equals(sql)).toBe(true);
      expect(it.commands.executed).toHaveLength(1);
      expect(it.warnings).toEqual([]);
    },
  );

  test('are not held back: the FE sees the first bytes before the last are sent', async () => {
    await using it = await world();
    const client = await it.login();
    const packet = commandPacket(QUERY, `insert into t values ('${'x'.repeat(900_000)}')`);
    client.send(packet.subarray(0, 100_000));
    await vi.waitFor(() => expect(Buffer.concat(it.frontend.received).length).toBe(100_000));
    client.send(packet.subarray(100_000));
    expect(await client.answer()).toEqual(['OK']);
  });

  test("of ours of up to 4 MiB are read, longer ones are Doris'", async () => {
    await using it = await world();
    const client = await it.login();
    client.command(QUERY, statement(4_194_304));
    expect(await client.answer()).toEqual(['OK']);
    expect(it.commands.executed).toHaveLength(1);
    client.command(QUERY, statement(4_194_305));
    expect(await client.answer()).toEqual(['OK']);
    expect(it.commands.executed).toHaveLength(1);
  });
});

/** A row of a pattern of its own for each connection, which never looks like an end. */
function patternRow(seed: number, i: number): Buffer {
  const body = Buffer.alloc(1 + ((i * 7919 + seed) % 9000));
  for (let k = 1; k < body.length; k++) body[k] = (seed * 31 + i + k * 7) & 0xff;
  body[0] = 0xfc;
  return encodePacket(3 + i, body);
}

/**
 * Sends rows until nothing on the way takes any more, and as many again. In pieces (rows far below a socket's mark:
 * only then does the proxy read on while a write waits) or in large blocks.
 */
async function sendPattern(
  socket: Socket,
  seed: number,
  onFull: () => void,
): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256');
  const rowsAtOnce = seed % 2 === 0 ? 1 : 100;
  let bytes = 0;
  const send = async (block: Buffer): Promise<void> => {
    hash.update(block);
    bytes += block.length;
    if (!socket.write(block)) {
      if (socket.writableLength > block.length + 200_000) onFull();
      await Promise.race([once(socket, 'drain'), sleep(50).then(onFull)]);
    }
    await new Promise(setImmediate);
  };
  await send(
    Buffer.concat([encodePacket(1, Buffer.of(1)), encodePacket(2, Buffer.from('\x03def'))]),
  );
  for (let i = 0; i < 4000; i += rowsAtOnce) {
    await send(
      Buffer.concat(Array.from({ length: rowsAtOnce }, (_, k) => patternRow(seed, i + k))),
    );
  }
  await send(encodePacket(250, Buffer.from([0xfe, 0, 0, 2, 0, 0, 0, 0])));
  onFull();
  return { digest: hash.digest('hex'), bytes };
}

describe('flow', () => {
  test('eight results at once to slow readers: every byte is right', async () => {
    const sent = new Map<number, ReturnType<typeof sendPattern>>();
    const full = new EventEmitter();
    await using it = await world((payload, socket) => {
      const seed = Number(payload.toString('utf8', 8));
      sent.set(
        seed,
        sendPattern(socket, seed, () => full.emit(`${seed}`)),
      );
    });
    const read = async (seed: number): Promise<void> => {
      const client = await it.login();
      const { socket } = client;
      socket.removeAllListeners('data');
      socket.pause();
      client.command(QUERY, `select ${seed}`);
      await once(full, `${seed}`);
      const hash = createHash('sha256');
      let received = 0;
      socket.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        received += chunk.length;
        // Readers of different speed: sometimes the proxy's write goes through at once, sometimes it waits.
        if (received % (3 + seed) !== 0) return;
        socket.pause();
        setTimeout(() => socket.resume(), seed % 4);
      });
      socket.resume();
      const expected = await sent.get(seed);
      await vi.waitFor(() => expect(received).toBe(expected?.bytes), 5000);
      expect(hash.digest('hex')).toBe(expected?.digest);
    };
    await Promise.all(Array.from({ length: 8 }, (_, seed) => read(seed)));
    expect(it.warnings).toEqual([]);
  });

  test('clients that send small requests to a slow FE: every byte is right', async () => {
    const full = new Set<number>();
    const received = new Map<number, { hash: Hash; count: number }>();
    await using it = await world((payload, socket) => {
      const seed = payload[1] ?? 0;
      const { hash, count } = received.get(seed) ?? { hash: createHash('sha256'), count: 0 };
      received.set(seed, { hash: hash.update(payload), count: count + 1 });
      // Nothing is read until nothing on the way takes any more; then sometimes the proxy's write goes through at once.
      if (socket.isPaused() || (full.has(seed) && payload.length % (9 + seed) !== 0)) return;
      socket.pause();
      const go = setInterval(() => {
        if (!full.has(seed)) return;
        clearInterval(go);
        socket.resume();
      }, seed % 4);
    });
    const send = async (seed: number): Promise<void> => {
      const client = await it.login();
      const hash = createHash('sha256');
      let count = 0;
      // Requests far below a socket's mark: only then does the proxy read on while a write waits.
      for (let left = 300; left > 0; left -= full.has(seed) ? 1 : 0) {
        const payload = Buffer.alloc(2 + ((count * 7919 + seed) % 9000), seed * 31 + count);
        payload[0] = QUERY;
        payload[1] = seed;
        hash.update(payload);
        count += 1;
        client.send(encodePacket(0, payload));
        await turn();
        if (client.socket.writableLength > 300_000) full.add(seed);
      }
      await vi.waitFor(() => expect(received.get(seed)?.count).toBe(count), 10_000);
      expect(received.get(seed)?.hash.digest('hex')).toBe(hash.digest('hex'));
    };
    await Promise.all([0, 1, 2, 3].map(send));
    expect(it.warnings).toEqual([]);
  }, 20_000);

  test('a reader that stops does not fill the memory: the FE has to wait', async () => {
    let written = 0;
    await using it = await world((_payload, socket) => {
      const row = encodePacket(3, Buffer.alloc(100_000, 1));
      socket.write(encodePacket(1, Buffer.of(1)));
      socket.write(encodePacket(2, Buffer.from('\x03def')));
      const more = (): void => {
        while (written < 500_000_000) {
          written += row.length;
          if (!socket.write(row)) {
            socket.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    const client = await it.login();
    client.socket.pause();
    client.command(QUERY, 'select everything');
    await vi.waitFor(() => expect(written).toBeGreaterThan(0));
    let before = -1;
    while (before !== written) {
      before = written;
      await sleep(100);
    }
    // What the kernel's buffers on the way hold, and no more.
    expect(written).toBeLessThan(40_000_000);
  });

  test('a client that sends faster than the FE reads has to wait', async () => {
    let frontendSocket: { pause(): void; resume(): void } | undefined;
    await using it = await world((payload, socket, packet) => {
      frontendSocket = socket;
      if (payload.includes('stop')) socket.pause();
      echo(NEW)(payload, socket, packet);
    });
    const client = await it.login();
    client.command(QUERY, 'stop');
    expect(await client.answer()).toEqual(['OK']);
    const big = encodePacket(0, Buffer.concat([Buffer.of(QUERY), Buffer.alloc(60_000_000, 'x')]));
    client.send(big);
    await sleep(200);
    expect(client.socket.writableLength).toBeGreaterThan(20_000_000);
    frontendSocket?.resume();
    expect(await client.answer()).toEqual(['OK']);
    expect(it.frontend.commands.at(-1)?.length).toBe(60_000_001);
  });
});
