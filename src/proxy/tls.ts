import { once } from 'node:events';
import type net from 'node:net';
import tls from 'node:tls';
import type { TlsOptions } from '../model/client-options.ts';

export const NO_TLS: TlsOptions = { server: undefined, frontend: false, frontendCa: undefined };

/**
 * Goes on in TLS with a client that has asked for it.
 *
 * @param ahead bytes that came behind its request, in the same segment.
 * @throws what the client did wrong; the socket is its own again.
 */
export async function acceptTls(
  socket: net.Socket,
  context: tls.SecureContext,
  ahead: Buffer,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  socket.pause();
  if (ahead.length > 0) socket.unshift(ahead);
  const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: context });
  await once(secure, 'secure', { signal });
  return secure;
}

/**
 * Goes on in TLS with an FE to which the request was sent. Its name is not checked: it is reached by any of its addresses.
 * @throws what is wrong with the certificate or the FE.
 */
export async function connectTls(
  socket: net.Socket,
  ca: Buffer | undefined,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const secure = tls.connect({
    socket,
    ...(ca === undefined ? {} : { ca }),
    rejectUnauthorized: ca !== undefined,
    checkServerIdentity: () => undefined,
  });
  await once(secure, 'secureConnect', { signal });
  return secure;
}
