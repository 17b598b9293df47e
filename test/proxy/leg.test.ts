import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { Leg } from '../../src/proxy/leg.ts';

/** A connection, both of whose ends are the test's. */
async function connection(): Promise<{ accepted: net.Socket; peer: net.Socket } & AsyncDisposable> {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  peer.on('error', () => undefined);
  return {
    accepted,
    peer,
    [Symbol.asyncDispose]: async () => {
      peer.destroy();
      accepted.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Bytes that a leg has handed over, and the memory that they came in. */
function gather(leg: Leg): {
  text(): string;
  readonly memory: Set<unknown>;
  readonly sizes: number[];
} {
  const pieces: Buffer[] = [];
  const memory = new Set<unknown>();
  const sizes: number[] = [];
  leg.onBytes = (bytes) => {
    pieces.push(Buffer.from(bytes));
    memory.add(bytes.buffer);
    sizes.push(bytes.length);
    return true;
  };
  return { text: () => Buffer.concat(pieces).toString('latin1'), memory, sizes };
}

test('an accepted socket is read into the same memory again and again', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  // Fails when a version of Node has other names behind a socket: then every read takes new memory.
  expect(leg.socket).not.toBe(it.accepted);
  const seen = gather(leg);
  for (const word of ['one', 'two', 'six', 'eleven']) {
    const before = seen.text();
    it.peer.write(word);
    await vi.waitFor(() => expect(seen.text()).toBe(before + word));
  }
  expect(seen.memory.size).toBe(1);
});

test('bytes that the socket had read before are not lost', async () => {
  await using it = await connection();
  it.peer.write('early');
  await once(it.accepted, 'readable');
  it.accepted.unshift(Buffer.from('very '));
  const { leg, ahead } = Leg.over(it.accepted);
  const seen = gather(leg);
  it.peer.write(' late');
  await vi.waitFor(() => expect(ahead.toString() + seen.text()).toBe('very early late'));
});

test('an end that the socket had read before is told behind those bytes', async () => {
  await using it = await connection();
  it.peer.end('last words');
  await vi.waitFor(() => expect(it.accepted.readableLength).toBe(10));
  for (let i = 0; i < 20; i++) await turn();
  const { leg, ahead } = Leg.over(it.accepted);
  expect(ahead.toString()).toBe('last words');
  expect(leg.socket).not.toBe(it.accepted);
  leg.socket.resume();
  await once(leg.socket, 'end');
});

test('memory that is given away is not written to again', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  const kept: Buffer[] = [];
  leg.onBytes = (bytes) => {
    kept.push(bytes);
    leg.giveBufferAway();
    return true;
  };
  for (const word of ['one', 'two', 'six']) {
    it.peer.write(word);
    await vi.waitFor(() => expect(kept.at(-1)?.toString()).toBe(word));
  }
  expect(kept.map(String)).toEqual(['one', 'two', 'six']);
});

test('reads grow while there is much to read, and shrink behind it', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  const seen = gather(leg);
  const bytes = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 7) % 251));
  it.peer.write(bytes);
  await vi.waitFor(() => expect(seen.text().length).toBe(bytes.length));
  expect(Buffer.from(seen.text(), 'latin1').equals(bytes)).toBe(true);
  expect(seen.sizes.slice(0, 3)).toEqual([2048, 16_384, 65_536]);
  expect(Math.max(...seen.sizes)).toBe(65_536);
});

test('reads shrink behind a large answer, and its memory serves another leg', async () => {
  await using first = await connection();
  await using second = await connection();
  const legs = [first, second].map(({ accepted }) => Leg.over(accepted).leg);
  const seen = legs.map(() => ({ bytes: 0, largest: 0, memory: new Set<unknown>() }));
  for (const [i, leg] of legs.entries()) {
    leg.onBytes = (bytes) => {
      const one = seen[i]!;
      one.bytes += bytes.length;
      one.largest = Math.max(one.largest, bytes.length);
      if (bytes.length > 16_384) one.memory.add(bytes.buffer);
      if (one.bytes % 1_000_000 === 0) leg.settle();
      return true;
    };
  }
  first.peer.write(Buffer.alloc(1_000_000));
  await vi.waitFor(() => expect(seen[0]?.bytes).toBe(1_000_000));
  second.peer.write(Buffer.alloc(1_000_000));
  await vi.waitFor(() => expect(seen[1]?.bytes).toBe(1_000_000));
  expect([...seen[1]!.memory]).toEqual([...seen[0]!.memory]);
  seen[0]!.largest = 0;
  first.peer.write(Buffer.alloc(16_384));
  await vi.waitFor(() => expect(seen[0]?.bytes).toBe(1_016_384));
  expect(seen[0]?.largest).toBeLessThanOrEqual(16_384);
});

test('a leg that stops is not read, and goes on', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  let received = 0;
  leg.onBytes = (bytes) => {
    received += bytes.length;
    return false;
  };
  it.peer.write(Buffer.alloc(200_000));
  await vi.waitFor(() => expect(received).toBeGreaterThan(0));
  const before = received;
  for (let i = 0; i < 20; i++) await turn();
  expect(received).toBe(before);
  const resume = setInterval(() => leg.socket.resume(), 1);
  await vi.waitFor(() => expect(received).toBe(200_000));
  clearInterval(resume);
});

test('the end of the other side and a broken connection are told', async () => {
  await using ended = await connection();
  const { leg } = Leg.over(ended.accepted);
  ended.peer.end('bye');
  await once(leg.socket, 'end');
  await once(leg.socket, 'close');
  await using broken = await connection();
  const { socket } = Leg.over(broken.accepted).leg;
  broken.peer.resetAndDestroy();
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
});

test('a socket that nothing is known about, or that still writes, is read by its events', async () => {
  await using it = await connection();
  const { _handle: handle } = it.accepted as unknown as { readonly _handle: object };
  Object.defineProperty(handle, 'useUserBuffer', { value: undefined });
  const { leg } = Leg.over(it.accepted);
  expect(leg.socket).toBe(it.accepted);
  const seen = gather(leg);
  it.peer.write('hello');
  await vi.waitFor(() => expect(seen.text()).toBe('hello'));
  await using busy = await connection();
  while (busy.accepted.writableLength === 0) busy.accepted.write(Buffer.alloc(1_000_000));
  expect(Leg.over(busy.accepted).leg.socket).toBe(busy.accepted);
});

test('idle legs keep no large memory behind their large answers', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const large: WeakRef<ArrayBufferLike>[] = [];
  const many = await Promise.all(Array.from({ length: 40 }, () => connection()));
  let whole = 0;
  const legs = many.map(({ accepted }) => {
    const { leg } = Leg.over(accepted);
    let received = 0;
    leg.onBytes = (bytes) => {
      received += bytes.length;
      if (bytes.length > 16_384) large.push(new WeakRef(bytes.buffer));
      // All at once, so that no leg is lent what another one had.
      if (received < 200_000) leg.giveBufferAway();
      else {
        whole++;
        leg.settle();
      }
      return true;
    };
    return leg;
  });
  for (const { peer } of many) peer.write(Buffer.alloc(200_000));
  await vi.waitFor(() => expect(whole).toBe(legs.length));
  await vi.waitFor(() => {
    collect();
    // What is lent to the next leg that needs it.
    expect(large.filter((memory) => memory.deref() !== undefined).length).toBeLessThanOrEqual(16);
  });
  await Promise.all(many.map((one) => one[Symbol.asyncDispose]()));
});
