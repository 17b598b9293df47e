import { on, once } from 'node:events';
import net from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { Leg } from '../../src/proxy/leg.ts';
import { handleOf } from '../../src/proxy/socket-handle.ts';

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
  // Fails when a version of Node has other names behind a socket: then every read and write takes a stream's way.
  expect(handleOf(it.accepted)).toBeDefined();
  const { leg } = Leg.over(it.accepted);
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
  leg.resume();
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
  const resume = setInterval(() => leg.resume(), 1);
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

test('a socket that nothing is known about is used as a stream', async () => {
  await using it = await connection();
  const { _handle: handle } = it.accepted as unknown as { readonly _handle: object };
  Object.defineProperty(handle, 'useUserBuffer', { value: undefined });
  const { leg } = Leg.over(it.accepted);
  const seen = gather(leg);
  it.peer.write('hello');
  await vi.waitFor(() => expect(seen.text()).toBe('hello'));
  leg.pause();
  it.peer.write(' again');
  for (let i = 0; i < 20; i++) await turn();
  expect(seen.text()).toBe('hello');
  leg.resume();
  await vi.waitFor(() => expect(seen.text()).toBe('hello again'));
  const sent = Array.from({ length: 400 }, (_, i) => Buffer.alloc(10_000, i));
  const received = receive(it.peer, 4_000_000);
  await send(leg, sent);
  expect((await received).equals(Buffer.concat(sent))).toBe(true);
});

/** What `peer` gets, once it is `length` bytes. */
async function receive(peer: net.Socket, length: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const [piece] of on(peer, 'data') as AsyncIterable<[Buffer]>) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= length) break;
  }
  return Buffer.concat(pieces);
}

/** Sends as a relay does: not on while the other side is slow. Returns how often it was. */
async function send(leg: Leg, pieces: readonly Buffer[]): Promise<number> {
  let waits = 0;
  for (const piece of pieces) {
    if (leg.write(piece)) continue;
    waits++;
    await new Promise<void>((resolve) => leg.onceDrained(resolve));
  }
  return waits;
}

test('bytes arrive whole and in order, however slow the other side is', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  const pieces = Array.from({ length: 300 }, (_, i) => Buffer.alloc(50_000, i));
  it.peer.pause();
  const sent = send(leg, pieces);
  await vi.waitFor(() => expect(leg.flushed).toBe(false));
  const received = receive(it.peer, 15_000_000);
  it.peer.resume();
  expect((await received).equals(Buffer.concat(pieces))).toBe(true);
  expect(await sent).toBeGreaterThan(0);
  expect(leg.flushed).toBe(true);
});

test('whoever writes on although the other side is slow keeps the order', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  it.peer.pause();
  const pieces = Array.from({ length: 200 }, (_, i) => Buffer.alloc(50_000, i));
  const answers = pieces.map((piece) => leg.write(piece));
  expect(answers.at(0)).toBe(true);
  expect(answers.at(-1)).toBe(false);
  const received = receive(it.peer, 10_000_000);
  it.peer.resume();
  expect((await received).equals(Buffer.concat(pieces))).toBe(true);
  await vi.waitFor(() => expect(leg.flushed).toBe(true));
  expect(leg.write(Buffer.from('more'))).toBe(true);
});

test('bytes behind a write that waits are still needed until they are out themselves', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  it.peer.pause();
  while (leg.write(Buffer.alloc(1_000_000)));
  expect(leg.write(Buffer.alloc(65_536))).toBe(false);
  const flushed = new Promise<boolean>((resolve) => leg.onceDrained(() => resolve(leg.flushed)));
  it.peer.resume();
  expect(await flushed).toBe(true);
});

test('what was written before an end arrives before it', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  const pieces = Array.from({ length: 100 }, (_, i) => Buffer.alloc(50_000, i));
  const received = receive(it.peer, 5_000_000);
  for (const piece of pieces) leg.write(piece);
  leg.socket.end('!');
  leg.socket.destroySoon();
  expect((await received).length).toBeGreaterThanOrEqual(5_000_000);
  if (!it.peer.destroyed) await once(it.peer, 'close');
  expect(it.peer.bytesRead).toBe(5_000_001);
});

test('a write to a connection that is gone ends the leg, and nothing else', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  leg.socket.on('error', () => undefined);
  const closed = new Promise((resolve) => leg.socket.once('close', resolve));
  it.peer.resetAndDestroy();
  let more = true;
  for (let i = 0; i < 1000 && more; i++) {
    more = leg.write(Buffer.alloc(100_000));
    await turn();
  }
  await closed;
  expect(more).toBe(false);
  leg.write(Buffer.from('late'));
  leg.pause();
  leg.resume();
});

test('a write that waits is given up with its connection', async () => {
  await using it = await connection();
  const { leg } = Leg.over(it.accepted);
  const errors: Error[] = [];
  leg.socket.on('error', (error) => errors.push(error));
  it.peer.pause();
  while (leg.write(Buffer.alloc(1_000_000)));
  let drained = false;
  leg.onceDrained(() => (drained = true));
  leg.socket.destroy();
  await once(leg.socket, 'close');
  for (let i = 0; i < 20; i++) await turn();
  expect(drained).toBe(false);
  expect(errors).toEqual([]);
});

test('the bytes of a write that waits may be read over only when they are out', async () => {
  await using from = await connection();
  await using to = await connection();
  const source = Leg.over(from.accepted).leg;
  const target = Leg.over(to.accepted).leg;
  // As a relay passes bytes on: what a read brought is in flight while nothing is read.
  source.onBytes = (bytes) => {
    const more = target.write(bytes);
    if (!more) target.onceDrained(() => source.resume());
    else if (!target.flushed) source.giveBufferAway();
    return more;
  };
  to.peer.pause();
  const bytes = Buffer.from(Array.from({ length: 8_000_000 }, (_, i) => (i * 31) % 253));
  from.peer.write(bytes);
  await vi.waitFor(() => expect(target.flushed).toBe(false));
  const received = receive(to.peer, bytes.length);
  to.peer.resume();
  expect((await received).equals(bytes)).toBe(true);
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
