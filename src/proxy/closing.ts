import type net from 'node:net';
import { endpointText } from '../model/endpoint.ts';
import { encodeEarlyError } from '../wire/handshake.ts';
import { encodePacket } from '../wire/packet.ts';
import { NoFrontendError, type FrontendConnection, type Route } from './frontend.ts';

/** How long a closed client may take to read what is left for it. */
const LINGER_MS = 10_000;
/** How long an FE may take to read a client's farewell (COM_QUIT). */
const FAREWELL_MS = 1000;

/** What a client is told that cannot log in. */
export function refusal(error: Error): Buffer {
  const code = error instanceof NoFrontendError ? 1042 : 1043;
  return encodePacket(0, encodeEarlyError(code, error.message));
}

/** Writes the last bytes and closes the client once they are out. */
export function closeClient(client: net.Socket, bytes: Buffer): void {
  client.removeAllListeners('data');
  client.resume();
  if (bytes.length > 0) client.write(bytes);
  const timer = setTimeout(() => client.destroy(), LINGER_MS);
  client.once('close', () => clearTimeout(timer));
  client.end();
  client.destroySoon();
}

/** Closes an FE's connection; a farewell is mostly on its way already. */
export function closeFrontend(frontend: FrontendConnection): void {
  const { socket } = frontend;
  if (frontend.flushed) socket.destroy();
  else {
    socket.destroySoon();
    setTimeout(() => socket.destroy(), FAREWELL_MS).unref();
  }
}

/** Says which FE has closed. When that is how it takes a login, a PROXY line may be why (wire.md §2.10). */
export function lostText(
  frontend: FrontendConnection | undefined,
  route: Route,
  loggedIn: boolean,
): string {
  const hint =
    route.proxyProtocol && !loggedIn
      ? ' at the login: it must expect the PROXY protocol (enable_proxy_protocol = true in fe.conf), or --fe-proxy-protocol must be off'
      : '';
  return `FE ${frontend ? endpointText(frontend.address) : ''} closed the connection${hint}`;
}
