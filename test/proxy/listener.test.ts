import { once } from 'node:events';
import net from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { pino } from 'pino';
import { Capability } from '../../src/wire/handshake.ts';
import { encodePacket } from '../../src/wire/packet.ts';
import { Listener, type ListenerOptions } from '../../src/proxy/listener.ts';
import { encodeError, encodeOk } from '../../src/wire/resultset.ts';
import {
  commandPacket,
  DORIS_FLAGS,
  echo,
  greetingPayload,
  loginPayload,
  RawClient,
  RawFrontend,
} from '../support/relay-ends.ts';

const NEW = { deprecateEof: true, status: 2 };
const NO_COMMANDS = { recognize: () => undefined };
const log = pino({ level: 'silent' });

function listen(
  frontends: ListenerOptions['frontends'],
  options: Partial<ListenerOptions> = {},
): Promise<Listener> {
  return Listener.open({
    host: '127.0.0.1',
    port: 0,
    frontends,
    commands: NO_COMMANDS,
    log,
    ...options,
  });
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('login', () => {
  test("is the FE's own: its greeting and connection id, the client's answer, flags cleared both ways", async () => {
    await using frontend = await RawFrontend.open({
      capabilities: 0xff_ff_ff_ff,
      answer: echo(NEW),
    });
    await using listener = await listen([frontend.address]);
    using client = await RawClient.connect(listener.address);
    const [greeting] = await client.packets(1);
    expect(greeting?.payload.toString('latin1', 1, 7)).toBe('5.7.99');
    expect(greeting?.payload.readUInt32LE(8)).toBe(1);
    expect(greeting?.payload.toString('latin1')).toContain('123456789012\0');
    client.send(encodePacket(1, loginPayload(0xff_ff_ff_ff & ~Capability.SSL)));
    const [ok] = await client.packets(1);
    expect(ok).toMatchObject({ sequence: 2 });
    const [login] = frontend.logins;
    const cleared = Capability.QUERY_ATTRIBUTES | Capability.COMPRESS | Capability.ZSTD_COMPRESSION;
    expect((login?.readUInt32LE(0) ?? -1) & cleared).toBe(0);
    expect(login?.subarray(9, 32)).toEqual(Buffer.alloc(23));
    expect(login?.subarray(32)).toEqual(loginPayload(0).subarray(32));
  });

  test('of several rounds is relayed until OK or ERR', async () => {
    await using frontend = await RawFrontend.open({
      login: (_payload, socket) => {
        socket.write(encodePacket(2, Buffer.from('\xfemysql_clear_password\0', 'latin1')));
      },
      answer: (payload, socket, { sequence }) => {
        if (sequence === 3) socket.write(encodePacket(4, Buffer.from([1, 4])));
        else if (sequence === 5) socket.write(encodeOk(5, NEW));
        else echo(NEW)(payload, socket, { payload, sequence });
      },
    });
    await using listener = await listen([frontend.address]);
    using client = await RawClient.connect(listener.address);
    await client.packets(1);
    client.send(encodePacket(1, loginPayload(Capability.PROTOCOL_41 | Capability.DEPRECATE_EOF)));
    expect(await client.packets(1)).toMatchObject([{ sequence: 2 }]);
    client.send(encodePacket(3, Buffer.from('secret\0')));
    expect(await client.packets(1)).toMatchObject([{ sequence: 4 }]);
    client.send(encodePacket(5, Buffer.from([2])));
    expect(await client.packets(1)).toMatchObject([{ sequence: 6 }]);
    client.command(3, 'select 1');
    expect(await client.answer()).toEqual(['1']);
    expect(frontend.commands[0]?.toString()).toBe('secret\0');
  });

  test('an ERR in place of the greeting reaches the client as it is', async () => {
    const refusal = encodePacket(0, Buffer.from('\xff\x10\x04Too many connections', 'latin1'));
    await using frontend = await RawFrontend.open({ greet: (socket) => socket.end(refusal) });
    await using listener = await listen([frontend.address]);
    using client = await RawClient.connect(listener.address);
    const [error] = await client.packets(1);
    expect(error?.payload.toString('latin1', 3)).toBe('Too many connections');
    expect(await client.packet()).toBeUndefined();
  });

  test('a login in single bytes is a login', async () => {
    await using frontend = await RawFrontend.open({ answer: echo(NEW) });
    await using listener = await listen([frontend.address]);
    using client = await RawClient.connect(listener.address);
    await client.packets(1);
    const flags = Capability.PROTOCOL_41 | Capability.DEPRECATE_EOF;
    for (const byte of encodePacket(1, loginPayload(flags))) {
      client.send(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    expect(await client.packets(1)).toMatchObject([{ sequence: 2 }]);
    expect(frontend.logins[0]?.subarray(32)).toEqual(loginPayload(flags).subarray(32));
  });
});

describe('fail-over', () => {
  test('the next FE is taken when one refuses, and while one is silent', async () => {
    await using silent = await RawFrontend.open({ greet: () => undefined });
    await using frontend = await RawFrontend.open({ answer: echo(NEW) });
    const refusing = { host: '127.0.0.1', port: await closedPort() };
    await using listener = await listen([refusing, silent.address, frontend.address], {
      greetingTimeoutMs: 300,
    });
    using first = await RawClient.login(listener.address);
    first.command(3, 'select 1');
    expect(await first.answer()).toEqual(['1']);
    expect(silent.connections).toBe(1);
    await vi.waitFor(() => expect(silent.sockets.size).toBe(0));
    // The failed ones are not asked again at once.
    using _second = await RawClient.login(listener.address);
    expect(silent.connections).toBe(1);
  });

  test('the first FE is always preferred: KILL reaches only the FE it is sent to', async () => {
    await using first = await RawFrontend.open({ answer: echo(NEW) });
    await using second = await RawFrontend.open({ answer: echo(NEW) });
    await using listener = await listen([first.address, second.address]);
    const clients = await Promise.all(
      Array.from({ length: 5 }, () => RawClient.login(listener.address)),
    );
    expect([first.connections, second.connections]).toEqual([5, 0]);
    for (const client of clients) client.socket.destroy();
  });

  test('without any FE the client is told, and why', async () => {
    const port = await closedPort();
    await using listener = await listen([{ host: '127.0.0.1', port }]);
    using client = await RawClient.connect(listener.address);
    const [error] = await client.packets(1);
    expect(error?.payload.readUInt16LE(1)).toBe(1042);
    expect(error?.payload.toString('utf8', 3)).toContain(`127.0.0.1:${port}`);
    expect(await client.packet()).toBeUndefined();
  });
});

describe('strangers', () => {
  test.each([
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    [
      'an SSLRequest although TLS was not offered',
      encodePacket(1, loginPayload(0xaff).subarray(0, 32)),
    ],
    [
      'a login of the protocol before 4.1',
      encodePacket(1, Buffer.from('\x05\0\0\0\0user\0', 'latin1')),
    ],
    ['a command before the login', commandPacket(3, 'select 1')],
    ['an empty packet', encodePacket(1, Buffer.alloc(0)).subarray(0, 4)],
  ])('%s is refused and leaves no FE connection', async (what, bytes) => {
    await using frontend = await RawFrontend.open({});
    await using listener = await listen([frontend.address], { loginTimeoutMs: 500 });
    using client = await RawClient.connect(listener.address);
    await client.packets(1);
    client.send(bytes);
    const error = await client.packet();
    if (what !== 'an empty packet') expect(error?.payload.readUInt16LE(1)).toBe(1043);
    if (error) expect(await client.packet()).toBeUndefined();
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
    await vi.waitFor(() => expect(listener.sessionCount).toBe(0));
  });

  test.each([
    ['says nothing', (): void => undefined],
    [
      'stops in the middle of its login',
      (client: RawClient): void => {
        client.send(encodePacket(1, loginPayload(Capability.PROTOCOL_41)).subarray(0, 20));
      },
    ],
  ])('whoever %s is closed after the login time', async (_what, act) => {
    await using frontend = await RawFrontend.open({});
    await using listener = await listen([frontend.address], { loginTimeoutMs: 200 });
    using client = await RawClient.connect(listener.address);
    await client.packets(1);
    act(client);
    expect(await client.packet()).toBeUndefined();
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
  });

  test('a refused login is not a login: the time goes on', async () => {
    await using frontend = await RawFrontend.open({
      login: (_payload, socket) => socket.write(encodeError(1, 1045, '28000', 'Access denied')),
    });
    await using listener = await listen([frontend.address], { loginTimeoutMs: 200 });
    using client = await RawClient.connect(listener.address);
    await client.packets(1);
    client.send(encodePacket(1, loginPayload(Capability.PROTOCOL_41)));
    const [error] = await client.packets(1);
    expect(error?.payload.readUInt16LE(1)).toBe(1045);
    expect(await client.packet()).toBeUndefined();
  });
});

test('44: whoever is logged in may be silent for as long as the FE lets him', async () => {
  await using frontend = await RawFrontend.open({ answer: echo(NEW) });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  try {
    await using listener = await listen([frontend.address]);
    using client = await RawClient.login(listener.address);
    vi.advanceTimersByTime(8 * 3_600_000 + 1);
    client.command(3, 'select 1');
    expect(await client.answer()).toEqual(['1']);
    using stranger = await RawClient.connect(listener.address);
    await stranger.packets(1);
    vi.advanceTimersByTime(10_001);
    expect(await stranger.packet()).toBeUndefined();
  } finally {
    vi.useRealTimers();
  }
});

describe('one side dies', () => {
  test('the client: the FE connection is closed at once, in the middle of an answer too', async () => {
    const rows = Buffer.alloc(50_000_000, 1);
    await using frontend = await RawFrontend.open({
      answer: (_payload, socket) => socket.write(encodePacket(1, rows)),
    });
    await using listener = await listen([frontend.address]);
    const client = await RawClient.login(listener.address);
    client.socket.pause();
    client.command(3, 'select everything');
    await vi.waitFor(() => expect(frontend.commands).toHaveLength(1));
    const start = Date.now();
    client.socket.resetAndDestroy();
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
    expect(Date.now() - start).toBeLessThan(1000);
    await vi.waitFor(() => expect(listener.sessionCount).toBe(0));
  });

  test('an idle client that leaves without a word', async () => {
    await using frontend = await RawFrontend.open({ answer: echo(NEW) });
    await using listener = await listen([frontend.address]);
    const client = await RawClient.login(listener.address);
    client.socket.end();
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
  });

  test('a client that has said something and left when the greeting comes: the FE connection is closed at once', async () => {
    const waiting: net.Socket[] = [];
    await using frontend = await RawFrontend.open({ greet: (socket) => void waiting.push(socket) });
    await using listener = await listen([frontend.address]);
    const client = net.connect(listener.address.port, '127.0.0.1').end('x');
    await vi.waitFor(() => expect(waiting).toHaveLength(1));
    // Its end is read while nobody listens to it.
    for (let i = 0; i < 20; i++) await turn();
    const greeting = greetingPayload({ capabilities: DORIS_FLAGS, connectionId: 1 });
    waiting[0]?.write(encodePacket(0, greeting));
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
    await vi.waitFor(() => expect(listener.sessionCount).toBe(0));
    client.destroy();
  });

  test('the FE, before it answers: the client gets an ERR that names it', async () => {
    await using frontend = await RawFrontend.open({
      answer: (_payload, socket) => socket.destroy(),
    });
    await using listener = await listen([frontend.address]);
    using client = await RawClient.login(listener.address);
    client.command(3, 'select 1');
    const [error] = await client.packets(1);
    expect(error?.sequence).toBe(1);
    expect(error?.payload.readUInt16LE(1)).toBe(1105);
    const { host, port } = frontend.address;
    expect(error?.payload.toString('utf8', 9)).toBe(`FE ${host}:${port} closed the connection`);
    expect(await client.packet()).toBeUndefined();
  });

  test('the FE, in the middle of an answer: what it sent arrives, nothing is made up', async () => {
    const part = encodePacket(1, Buffer.of(1));
    await using frontend = await RawFrontend.open({
      answer: (_payload, socket) => socket.end(part),
    });
    await using listener = await listen([frontend.address]);
    using client = await RawClient.login(listener.address);
    client.command(3, 'select 1');
    expect((await client.packets(1))[0]?.payload).toEqual(Buffer.of(1));
    expect(await client.packet()).toBeUndefined();
  });

  test('the FE, while nobody waits: the client is closed without a packet', async () => {
    await using frontend = await RawFrontend.open({ answer: echo(NEW) });
    await using listener = await listen([frontend.address]);
    using client = await RawClient.login(listener.address);
    for (const socket of frontend.sockets) socket.destroy();
    expect(await client.packet()).toBeUndefined();
  });
});

describe('closing the listener', () => {
  test('idle sessions go at once, a running statement ends first', async () => {
    let finish: (() => void) | undefined;
    await using frontend = await RawFrontend.open({
      answer: (payload, socket, packet) => {
        finish = () => echo(NEW)(payload, socket, packet);
      },
    });
    const listener = await listen([frontend.address]);
    using idle = await RawClient.login(listener.address);
    using busy = await RawClient.login(listener.address);
    busy.command(3, 'select 1');
    await vi.waitFor(() => expect(frontend.commands).toHaveLength(1));
    const closed = listener[Symbol.asyncDispose]();
    expect(await idle.packet()).toBeUndefined();
    await vi.waitFor(() => expect(listener.sessionCount).toBe(1));
    await expect(RawClient.connect(listener.address)).rejects.toThrow();
    finish?.();
    expect(await busy.answer()).toEqual(['1']);
    expect(await busy.packet()).toBeUndefined();
    await closed;
  });

  test('an open transaction may be finished', async () => {
    const open = { deprecateEof: true, status: 3 };
    await using frontend = await RawFrontend.open({
      answer: (payload, socket, packet) =>
        echo(payload.toString('utf8', 1) === 'commit' ? NEW : open)(payload, socket, packet),
    });
    const listener = await listen([frontend.address]);
    using client = await RawClient.login(listener.address);
    client.command(3, 'begin');
    expect(await client.answer()).toEqual(['OK']);
    const closed = listener[Symbol.asyncDispose]();
    client.command(3, 'commit');
    expect(await client.answer()).toEqual(['OK']);
    expect(await client.packet()).toBeUndefined();
    await closed;
  });

  test('what does not end is ended', async () => {
    await using frontend = await RawFrontend.open({ answer: () => undefined });
    const listener = await listen([frontend.address], { drainTimeoutMs: 100 });
    using client = await RawClient.login(listener.address);
    client.command(3, 'select sleep(1000)');
    await vi.waitFor(() => expect(frontend.commands).toHaveLength(1));
    await listener[Symbol.asyncDispose]();
    expect(await client.packet()).toBeUndefined();
  });
});
