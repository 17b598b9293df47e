import { once } from 'node:events';
import net from 'node:net';
import { PassThrough, Duplex } from 'node:stream';
import tls from 'node:tls';
import { expect, test, vi } from 'vitest';
import { pino } from 'pino';
import { Listener } from '../../src/proxy/listener.ts';
import { Capability } from '../../src/wire/handshake.ts';
import { encodePacket, PacketReader, type Packet } from '../../src/wire/packet.ts';
import { encodeOk } from '../../src/wire/resultset.ts';
import {
  commandPacket,
  echo,
  loginPayload,
  RawClient,
  RawFrontend,
} from '../support/relay-ends.ts';
import { testContext } from '../support/tls-context.ts';

const NEW = { deprecateEof: true, status: 2 };
const FLAGS = Capability.PROTOCOL_41 | Capability.DEPRECATE_EOF | Capability.SSL;
const TLS = { server: testContext(), frontend: true, frontendCa: undefined };
const log = pino({ level: 'silent' });

function listen(
  frontend: RawFrontend,
  loginTimeoutMs = 5000,
  frontendCa?: Buffer,
): Promise<Listener> {
  return Listener.open({
    host: '127.0.0.1',
    port: 0,
    frontends: [frontend.address],
    commands: { recognize: () => undefined },
    log,
    tls: { ...TLS, frontendCa },
    loginTimeoutMs,
    drainTimeoutMs: 0,
  });
}

async function greeted(listener: Listener): Promise<{ socket: net.Socket; greeting: Packet }> {
  const socket = net.connect({ ...listener.address, noDelay: true });
  socket.on('error', () => undefined);
  const reader = new PacketReader(10_000);
  for (;;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    reader.push(chunk);
    const greeting = reader.next();
    if (greeting) return { socket, greeting };
  }
}

const sslRequest = (): Buffer => encodePacket(1, loginPayload(FLAGS).subarray(0, 32));

/** A socket that sends `before` and its first bytes in one segment. */
function glued(socket: net.Socket, before: Buffer): Duplex {
  const incoming = new PassThrough();
  socket.pipe(incoming);
  let first = true;
  return Duplex.from({
    readable: incoming,
    writable: new PassThrough({
      transform(chunk: Buffer, _encoding, done) {
        socket.write(first ? Buffer.concat([before, chunk]) : chunk);
        first = false;
        done();
      },
    }).resume(),
  });
}

test.each([
  ['in a segment of its own', false],
  ['in the segment of the request', true],
])(
  '7: a client turns to TLS, its hello %s; the ids of the FE stay its own',
  async (_where, together) => {
    await using frontend = await RawFrontend.open({ answer: echo(NEW) });
    await using listener = await listen(frontend);
    const { socket, greeting } = await greeted(listener);
    expect(greeting.payload.readUInt16LE(8 + 4 + 9) & Capability.SSL).toBe(Capability.SSL);
    if (!together) socket.write(sslRequest());
    const secure = tls.connect({
      socket: together ? glued(socket, sslRequest()) : socket,
      rejectUnauthorized: false,
    });
    await once(secure, 'secureConnect');
    const reader = new PacketReader(100_000);
    const packets: Packet[] = [];
    secure.on('data', (chunk: Buffer) => {
      reader.push(chunk);
      for (let packet = reader.next(); packet; packet = reader.next()) packets.push(packet);
    });
    secure.write(encodePacket(2, loginPayload(FLAGS)));
    await vi.waitFor(() => expect(packets).toHaveLength(1));
    expect(packets[0]?.sequence).toBe(3);
    // The FE, which is plain, has seen an ordinary login.
    expect((frontend.logins[0]?.readUInt32LE(0) ?? 0) & Capability.SSL).toBe(0);
    secure.write(commandPacket(3, 'select 5'));
    await vi.waitFor(() => expect(packets).toHaveLength(5));
    expect(packets.slice(1).map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    socket.destroy();
    await vi.waitFor(() => expect(listener.sessionCount).toBe(0));
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
  },
);

test('a client that does without TLS is served', async () => {
  await using frontend = await RawFrontend.open({ answer: echo(NEW) });
  await using listener = await listen(frontend);
  using client = await RawClient.login(listener.address, FLAGS & ~Capability.SSL);
  client.command(3, 'select 1');
  expect(await client.answer()).toEqual(['1']);
});

test.each([
  ['says no more', Buffer.alloc(0)],
  ['says something else', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
])('whoever asks for TLS and %s is closed, and leaves no FE connection', async (_what, bytes) => {
  await using frontend = await RawFrontend.open({ answer: echo(NEW) });
  await using listener = await listen(frontend, 300);
  const { socket } = await greeted(listener);
  socket.resume();
  socket.write(Buffer.concat([sslRequest(), bytes]));
  await once(socket, 'close');
  await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
  await vi.waitFor(() => expect(listener.sessionCount).toBe(0));
});

test.each([
  ['offers TLS and cannot do it', 0x01_38_8a_8c, undefined, ''],
  [
    'must prove itself and offers no TLS',
    0x01_38_82_8c,
    Buffer.from('a certificate'),
    'it offers none, and --fe-tls-ca says that it must prove who it is',
  ],
])(
  'an FE that %s is named to the client, over its own TLS',
  async (_what, capabilities, ca, reason) => {
    await using frontend = await RawFrontend.open({
      capabilities,
      login: (_payload, socket) => socket.end(encodeOk(1, NEW)),
    });
    await using listener = await listen(frontend, 5000, ca);
    const { socket } = await greeted(listener);
    socket.write(sslRequest());
    const secure = tls.connect({ socket, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    secure.write(encodePacket(2, loginPayload(FLAGS)));
    const [chunk] = (await once(secure, 'data')) as [Buffer];
    const { host, port } = frontend.address;
    expect(chunk.toString('latin1', 7)).toContain(
      `#08S01No TLS with the Doris FE ${host}:${port}: ${reason}`,
    );
    expect(chunk[3]).toBe(3);
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
  },
);
