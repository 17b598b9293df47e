import { once } from 'node:events';
import { createServer, Socket, type AddressInfo } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { Inflow, openSocket, type InflowOptions } from '../../../src/source/postgres/inflow.ts';
import { MessageQueue } from '../../../src/source/postgres/message-queue.ts';

const open = new Set<Socket>();
afterEach(() => {
  for (const socket of open) socket.destroy();
  open.clear();
});

/** Both ends of a connection, and what the driver at our end was given. */
async function connect(
  socket: Socket,
): Promise<{ readonly server: Socket; readonly told: () => string }> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection');
  socket.connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const driver: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => driver.push(Buffer.from(bytes)));
  await once(socket, 'connect');
  const [server] = (await accepted) as [Socket];
  listener.close();
  for (const end of [socket, server]) open.add(end);
  return { server, told: () => Buffer.concat(driver).toString('latin1') };
}

function messageOf(type: string, body: string): Buffer {
  const message = Buffer.alloc(5 + body.length);
  message.write(type + '\0\0\0\0' + body, 'latin1');
  message.writeUInt32BE(4 + body.length, 1);
  return message;
}

function inflowOf(
  socket: Socket,
  options: Partial<InflowOptions> = {},
): {
  readonly inflow: Inflow;
  readonly take: (most?: number) => string[];
  readonly failed: () => unknown;
} {
  const queue = new MessageQueue();
  let failure: unknown;
  const inflow = new Inflow(socket, queue, {
    bytesHigh: 100_000,
    bytesLow: 20_000,
    received: () => undefined,
    failed: (error) => (failure = error),
    ...options,
  });
  const take = (most = Infinity): string[] => {
    const found: string[] = [];
    while (found.length < most && queue.peek()) {
      found.push(queue.buffer.toString('latin1', queue.start + 5, queue.end));
      queue.advance();
      inflow.refill();
    }
    return found;
  };
  return { inflow, take, failed: () => failure };
}

/** One of ours, and one that reads by itself, as that of TLS does. */
const SOCKETS = [
  ['memory of ours', openSocket],
  ['memory of its own', () => new Socket()],
] as const;

test.each(SOCKETS)(
  '%s: what comes before and after is the driver’s, what comes between is not',
  async (_, make) => {
    const socket = make();
    const { server, told } = await connect(socket);
    for (let turn = 0; turn < 3; turn++) {
      server.write(messageOf('Z', `before ${turn}`));
      await vi.waitFor(() => expect(told()).toContain(`before ${turn}`));
      const { inflow, take } = inflowOf(socket);
      server.write(Buffer.concat([messageOf('d', 'one'), messageOf('d', 'two')]));
      const found: string[] = [];
      await vi.waitFor(() => {
        found.push(...take());
        expect(found).toEqual(['one', 'two']);
      });
      inflow.tell(messageOf('S', `told ${turn}`));
      server.write(Buffer.concat([messageOf('d', 'three'), messageOf('c', '').subarray(0, 3)]));
      await vi.waitFor(() => {
        found.push(...take(1));
        expect(found).toHaveLength(3);
      });
      inflow.end();
      server.write(
        Buffer.concat([messageOf('c', '').subarray(3), messageOf('C', `after ${turn}`)]),
      );
      await vi.waitFor(() => expect(told()).toContain(`after ${turn}`));
    }
    const turns = [0, 1, 2].flatMap((n) => [
      messageOf('Z', `before ${n}`),
      messageOf('S', `told ${n}`),
      messageOf('c', ''),
      messageOf('C', `after ${n}`),
    ]);
    expect(told()).toBe(Buffer.concat(turns).toString('latin1'));
  },
);

test.each(SOCKETS)(
  '%s: while nobody takes messages the socket waits, and goes on when they are taken',
  async (_, make) => {
    const socket = make();
    const { server } = await connect(socket);
    const { inflow, take } = inflowOf(socket);
    const sent = Array.from({ length: 2000 }, (_row, i) => `${i} ${'x'.repeat(10_000)}`);
    for (const body of sent) server.write(messageOf('d', body));
    await vi.waitFor(() => expect(inflow.full).toBe(true));
    // Without waiting all of it would have come: the other end is not done.
    expect(server.writableLength).toBeGreaterThan(0);
    const found: string[] = [];
    await vi.waitFor(
      () => {
        found.push(...take());
        expect(found.length).toBe(sent.length);
      },
      { timeout: 20_000, interval: 1 },
    );
    expect(found).toEqual(sent);
  },
);

test.each(SOCKETS)('%s: what is no message ends the connection', async (_, make) => {
  const socket = make();
  const { server } = await connect(socket);
  const { failed } = inflowOf(socket);
  server.write(Buffer.from('d\0\0\0\0 and more'));
  await vi.waitFor(() => expect(failed()).toMatchObject({ code: 'UNDECODABLE' }));
  expect(socket.destroyed).toBe(true);
});

test('each message is looked at as it arrives, and one that a look refuses ends the connection', async () => {
  const socket = openSocket();
  const { server } = await connect(socket);
  const looked: string[] = [];
  const { failed } = inflowOf(socket, {
    look: (b, start, end) => {
      looked.push(b.toString('latin1', start, end));
      if (b[start] === 0x78) throw new Error('refused');
    },
  });
  const messages = [messageOf('d', 'one'), messageOf('k', ''), messageOf('x', 'three')];
  server.write(Buffer.concat(messages));
  await vi.waitFor(() => expect(failed()).toMatchObject({ message: 'refused' }));
  expect(looked).toEqual(messages.map((m) => m.toString('latin1')));
});
