import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { encodePacket, PAYLOAD_MAX } from '../../src/wire/packet.ts';
import { commandPacket, echo } from '../support/relay-ends.ts';
import { NEW, QUERY, world } from '../support/relay-world.ts';

/** A statement of ours with a given length. */
const statement = (length: number): string => `pause job ok ${'x'.repeat(length - 14)}`;

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

  test("of ours of up to 1 MiB are read, longer ones are Doris'", async () => {
    await using it = await world();
    const client = await it.login();
    client.command(QUERY, statement(1_048_576));
    expect(await client.answer()).toEqual(['OK']);
    expect(it.commands.executed).toHaveLength(1);
    client.command(QUERY, statement(1_048_577));
    expect(await client.answer()).toEqual(['OK']);
    expect(it.commands.executed).toHaveLength(1);
  });
});

describe('flow', () => {
  test('eight results at once to slow readers: every byte is right', async () => {
    const bytesEach = 8_000_000;
    await using it = await world((payload, socket) => {
      // A pattern of its own for each connection, in packets that never look like an end.
      const seed = Number(payload.toString('utf8', 8));
      const parts = [encodePacket(1, Buffer.of(1)), encodePacket(2, Buffer.from('\x03def'))];
      let sent = 0;
      for (let i = 0; sent < bytesEach; i++) {
        const body = Buffer.alloc(1 + ((i * 7919 + seed) % 9000));
        for (let k = 1; k < body.length; k++) body[k] = (seed * 31 + i + k * 7) & 0xff;
        body[0] = 0xfc;
        sent += body.length;
        parts.push(encodePacket(3 + i, body));
      }
      parts.push(encodePacket(250, Buffer.from([0xfe, 0, 0, 2, 0, 0, 0, 0])));
      const bytes = Buffer.concat(parts);
      hashes.set(seed, createHash('sha256').update(bytes).digest('hex'));
      lengths.set(seed, bytes.length);
      socket.write(bytes);
    });
    const hashes = new Map<number, string>();
    const lengths = new Map<number, number>();
    const read = async (seed: number): Promise<void> => {
      const client = await it.login();
      const { socket } = client;
      socket.removeAllListeners('data');
      const hash = createHash('sha256');
      let received = 0;
      const done = new Promise<void>((resolve) => {
        socket.on('data', (chunk: Buffer) => {
          hash.update(chunk);
          received += chunk.length;
          if (received === lengths.get(seed)) resolve();
          // Readers of different speed: sometimes the proxy's write goes through at once, sometimes it waits.
          else if (received % (3 + seed) === 0) {
            socket.pause();
            setTimeout(() => socket.resume(), seed % 4);
          }
        });
      });
      client.command(QUERY, `select ${seed}`);
      await done;
      expect(hash.digest('hex')).toBe(hashes.get(seed));
    };
    await Promise.all(Array.from({ length: 8 }, (_, seed) => read(seed)));
    expect(it.warnings).toEqual([]);
  });

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
