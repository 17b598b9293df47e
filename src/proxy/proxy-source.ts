import net from 'node:net';
import type { Endpoint } from '../model/endpoint.ts';
import { ProtocolError } from '../wire/packet.ts';
import { readProxyHeader, unmapped } from '../wire/proxy-header.ts';
import type { ClientEnds } from './frontend.ts';

/** Both ends of an accepted connection. */
export function endsOf(socket: net.Socket): ClientEnds {
  const { remoteAddress = '', remotePort = 0 } = socket;
  return {
    // At once: a socket that has failed does not know it any more, and then it is wanted for the log.
    source: { host: unmapped(remoteAddress), port: remotePort },
    destination: () => {
      const { localAddress = '', localPort = 0 } = socket;
      return { host: unmapped(localAddress), port: localPort };
    },
  };
}

/** Whether connections from `host` begin with a PROXY header. */
export function isTrusted(trusted: net.BlockList, host: string): boolean {
  const family = net.isIP(host);
  if (family === 0) return false;
  return trusted.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Reads the PROXY header in front of a connection, whose own bytes are left in the socket.
 *
 * @returns whom the connection is for; undefined when it speaks for itself.
 * @throws ProtocolError when there is none within `timeoutMs` milliseconds.
 */
export function readSource(socket: net.Socket, timeoutMs: number): Promise<Endpoint | undefined> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const settle = (): void => {
      clearTimeout(timer);
      socket.off('data', take).off('close', closed);
    };
    const fail = (error: Error): void => {
      settle();
      reject(error);
    };
    const closed = (): void => fail(new ProtocolError('closed before its PROXY header'));
    const take = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      try {
        const header = readProxyHeader(bytes);
        if (!header) return;
        settle();
        socket.pause();
        if (bytes.length > header.length) socket.unshift(bytes.subarray(header.length));
        resolve(header.source);
      } catch (error) {
        fail(error as Error);
      }
    };
    const timer = setTimeout(
      () => fail(new ProtocolError('a PROXY header is expected from this address, and none came')),
      timeoutMs,
    );
    socket.on('data', take).on('close', closed);
    socket.on('error', () => undefined);
  });
}
