import { once } from 'node:events';
import net from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { pino } from 'pino';
import type { Commands } from '../../src/command/commands.ts';
import { Listener, type ListenerOptions } from '../../src/proxy/listener.ts';
import { Capability } from '../../src/wire/handshake.ts';
import { encodePacket, PacketReader } from '../../src/wire/packet.ts';
import { encodeOk } from '../../src/wire/resultset.ts';
import {
  commandPacket,
  greetingPayload,
  loginPayload,
  RawFrontend,
} from '../support/relay-ends.ts';

const NEW = { deprecateEof: true, status: 2 };

/** A relay that notes whom it takes its clients for. */
async function relay(
  frontend: RawFrontend,
  options: Partial<ListenerOptions>,
): Promise<{ listener: Listener; callers: string[]; warnings: string[] }> {
  const callers: string[] = [];
  const warnings: string[] = [];
  const commands: Commands = {
    recognize: (sql) =>
      /job/.test(sql)
        ? {
            parameterCount: 0,
            columns: [],
            execute: (_parameters, { address }) => {
              callers.push(address);
              return Promise.resolve({ kind: 'ok' });
            },
          }
        : undefined,
  };
  const listener = await Listener.open({
    host: '127.0.0.1',
    port: 0,
    frontends: [frontend.address],
    commands,
    log: pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) }),
    drainTimeoutMs: 0,
    ...options,
  });
  return { listener, callers, warnings };
}

function trusting(subnet: string, prefix: number): net.BlockList {
  const list = new net.BlockList();
  list.addSubnet(subnet, prefix, 'ipv4');
  return list;
}

/** Sends `header` first, then everything a client says, and returns what came back until the end. */
async function say(address: { host: string; port: number }, header: string): Promise<Buffer> {
  const socket = net.connect(address);
  socket.on('error', () => undefined);
  const flags = Capability.PROTOCOL_41 | Capability.DEPRECATE_EOF;
  socket.write(
    Buffer.concat([Buffer.from(header, 'latin1'), encodePacket(1, loginPayload(flags))]),
  );
  const received: Buffer[] = [];
  let asked = false;
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk);
    if (asked) socket.destroy();
    else if (Buffer.concat(received).includes('\x07\0\0')) {
      asked = true;
      socket.write(commandPacket(3, 'pause job x'));
    }
  });
  await once(socket, 'close');
  return Buffer.concat(received);
}

const V2 = '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x01\x02\x03\x0a\0\0\x01\x30\x39\x23\x46';

describe('in', () => {
  test.each([
    ['version 1', 'PROXY TCP4 10.1.2.3 10.0.0.1 12345 9030\r\n', '10.1.2.3'],
    ['version 2', V2, '10.1.2.3'],
    ['version 1, UNKNOWN', 'PROXY UNKNOWN\r\n', '127.0.0.1'],
    ['version 2, LOCAL', '\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', '127.0.0.1'],
  ])('from a trusted address, %s', async (_what, header, source) => {
    await using frontend = await RawFrontend.open({});
    const { listener, callers } = await relay(frontend, { trusted: trusting('127.0.0.0', 8) });
    await using _listener = listener;
    await say(listener.address, header);
    expect(callers).toEqual([source]);
  });

  test.each([
    ['garbage', 'GET / HTTP/1.1\r\n\r\n'],
    ['none', ''],
  ])('%s from a trusted address ends the connection', async (_what, header) => {
    await using frontend = await RawFrontend.open({});
    const { listener, warnings } = await relay(frontend, { trusted: trusting('127.0.0.0', 8) });
    await using _listener = listener;
    expect(await say(listener.address, header)).toHaveLength(0);
    expect(warnings.join('')).toContain('no PROXY header');
    expect(frontend.connections).toBe(0);
  });

  test('silence from a trusted address ends it after the login time', async () => {
    await using frontend = await RawFrontend.open({});
    const { listener, warnings } = await relay(frontend, {
      trusted: trusting('127.0.0.0', 8),
      loginTimeoutMs: 100,
    });
    await using _listener = listener;
    const socket = net.connect(listener.address);
    await once(socket.resume(), 'close');
    expect(warnings.join('')).toContain('a PROXY header is expected');
  });

  test('from anybody else is no login', async () => {
    await using frontend = await RawFrontend.open({});
    const { listener, callers } = await relay(frontend, { trusted: trusting('10.0.0.0', 8) });
    await using _listener = listener;
    const received = await say(listener.address, 'PROXY TCP4 10.1.2.3 10.0.0.1 1 2\r\n');
    expect(received.toString('latin1')).toContain('Bad handshake');
    expect(callers).toEqual([]);
    await vi.waitFor(() => expect(frontend.sockets.size).toBe(0));
  });
});

describe('out', () => {
  test('the FE is told who the client is before anything else', async () => {
    const heard: string[] = [];
    await using frontend = await RawFrontend.open({
      greet: (socket) => {
        socket.once('data', (bytes: Buffer) => {
          heard.push(bytes.toString('latin1'));
          socket.write(
            encodePacket(0, greetingPayload({ capabilities: 0x01_38_82_8c, connectionId: 1 })),
          );
          const packets = new PacketReader(10_000);
          socket.on('data', (chunk: Buffer) => {
            packets.push(chunk);
            if (packets.next()) socket.write(encodeOk(1, NEW));
          });
        });
      },
    });
    const { listener } = await relay(frontend, {
      proxyProtocol: true,
      trusted: trusting('127.0.0.0', 8),
    });
    await using _listener = listener;
    const client = net.connect(listener.address);
    client.write('PROXY TCP4 10.1.2.3 10.0.0.1 12345 9030\r\n');
    await once(client, 'data');
    expect(heard).toEqual([`PROXY TCP4 10.1.2.3 127.0.0.1 12345 ${listener.address.port}\r\n`]);
    client.destroy();
  });

  test('43: an FE that does not expect it, or that waits for it, is named with the remedy', async () => {
    // Doris reads the line as a packet with a wrong id, and closes.
    await using closing = await RawFrontend.open({
      greet: (socket) => {
        socket.write(
          encodePacket(0, greetingPayload({ capabilities: 0x01_38_82_8c, connectionId: 1 })),
        );
        let heard = 0;
        socket.on('data', (bytes: Buffer) => {
          heard += bytes.length;
          if (heard > 40) socket.destroy();
        });
      },
    });
    const sender = await relay(closing, { proxyProtocol: true });
    await using _first = sender.listener;
    const said = await say(sender.listener.address, '');
    expect(said.toString('latin1')).toContain('--fe-proxy-protocol must be off');
    await using waiting = await RawFrontend.open({ greet: () => undefined });
    const silent = await relay(waiting, { greetingTimeoutMs: 100 });
    await using _second = silent.listener;
    const received = await say(silent.listener.address, '');
    expect(received.toString('latin1')).toContain('then give --fe-proxy-protocol v1');
  });
});
