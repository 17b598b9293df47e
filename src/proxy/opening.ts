import { once } from 'node:events';
import type net from 'node:net';
import type tls from 'node:tls';
import type { Cancel } from '../lib/cancel.ts';
import { endpointText } from '../model/endpoint.ts';
import type { TlsOptions } from '../model/client-options.ts';
import {
  Capability,
  has,
  isSslRequest,
  maskGreeting,
  maskResponse,
  readChallenge,
  readGreeting,
  RESPONSE_HEAD_BYTES,
  type AuthChallenge,
  type Greeting,
} from '../wire/handshake.ts';
import { HEADER_BYTES } from '../wire/packet.ts';
import { encodeError } from '../wire/resultset.ts';
import type { ClientEnds, FrontendConnection, Frontends } from './frontend.ts';
import { acceptTls } from './tls.ts';

const NOTHING = Buffer.alloc(0);

/** A client and its FE that have exchanged what comes before the login. */
export interface Opened {
  /** The accepted socket, or the encrypted one over it. */
  readonly client: net.Socket;
  readonly frontend: FrontendConnection;
  /** As the FE sent it. */
  readonly greeting: Greeting;
  /** The greeting for the client, if it was not sent yet. */
  readonly packet: Buffer;
  /** Set when only the client's leg is encrypted: then the login is made anew. */
  readonly challenge: AuthChallenge | undefined;
  readonly clientTls: boolean;
  readonly frontendTls: boolean;
  /** What the client has sent already. */
  readonly ahead: Buffer;
}

/** There will be no session; the client is told so. */
interface Refused {
  readonly client: net.Socket;
  readonly goodbye: Buffer;
}

export interface OpeningOptions {
  readonly frontends: Frontends;
  readonly tls: TlsOptions;
}

/**
 * Connects to an FE, makes its greeting ready for the client with some flags cleared (wire.md §2.2), and encrypts each leg that is
 * to be. The FE's connection is closed on every way out but success.
 *
 * @throws NoFrontendError, ProtocolError, an Error when it was given up, or what a TLS client did wrong.
 */
export async function openSession(
  client: net.Socket,
  ends: ClientEnds,
  options: OpeningOptions,
  cancel: Cancel,
): Promise<Opened | Refused> {
  const { connection, greeting: packet } = await options.frontends.connect(ends, cancel);
  const close = (): void => void connection.socket.destroy();
  try {
    cancel.throwIfCancelled();
    const payload = packet.subarray(HEADER_BYTES);
    // "Too many connections" and the like: the FE's word instead of a greeting.
    if (payload[0] === 0xff) {
      close();
      return { client, goodbye: packet };
    }
    const greeting = readGreeting(payload);
    const { server: context } = options.tls;
    maskGreeting(payload, context !== undefined);
    if (context) {
      const aborted = new AbortController();
      cancel.on(() => aborted.abort(new Error('given up')));
      const greeted = { connection, greeting, packet };
      return await offerTls(client, context, greeted, options.tls, aborted.signal);
    }
    return {
      client,
      frontend: connection,
      greeting,
      packet,
      challenge: undefined,
      clientTls: false,
      frontendTls: false,
      ahead: NOTHING,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** What {@link openSession} has so far. */
interface Greeted {
  readonly connection: FrontendConnection;
  readonly greeting: Greeting;
  readonly packet: Buffer;
}

/** Offers TLS to the client; encrypts its leg if it wants, and then the FE's if it can. */
async function offerTls(
  client: net.Socket,
  context: tls.SecureContext,
  { connection, greeting, packet }: Greeted,
  { frontend: wanted, frontendCa: ca }: TlsOptions,
  signal: AbortSignal,
): Promise<Opened | Refused> {
  client.write(packet);
  const opened = { client, frontend: connection, greeting, packet: NOTHING, ahead: NOTHING };
  const { request, ahead } = await firstBytes(client, connection, signal);
  if (!request) {
    return { ...opened, challenge: undefined, clientTls: false, frontendTls: false, ahead };
  }
  const frontendTls = wanted && has(greeting.capabilities, Capability.SSL);
  maskResponse(request, frontendTls);
  if (frontendTls) connection.socket.write(request);
  const [accepted, encrypted] = await Promise.allSettled([
    acceptTls(client, context, ahead, signal),
    frontendTls ? connection.startTls(ca, signal) : expectNoCa(wanted ? ca : undefined),
  ]);
  if (accepted.status === 'rejected') throw accepted.reason;
  signal.throwIfAborted();
  if (encrypted.status === 'rejected') {
    const reason = tlsFailure(encrypted.reason as NodeJS.ErrnoException);
    const text = `No TLS with the Doris FE ${endpointText(connection.address)}: ${reason}`;
    // Behind the login, which nobody reads any more.
    connection.socket.destroy();
    return { client: accepted.value, goodbye: encodeError(2, 1043, '08S01', text) };
  }
  const challenge = frontendTls ? undefined : readChallenge(packet.subarray(HEADER_BYTES));
  return { ...opened, client: accepted.value, clientTls: true, frontendTls, challenge };
}

/** What a client begins with: a request for TLS and what comes behind it, or its login. */
async function firstBytes(
  client: net.Socket,
  frontend: FrontendConnection,
  signal: AbortSignal,
): Promise<{ readonly request: Buffer | undefined; readonly ahead: Buffer }> {
  const given = new AbortController();
  const ended = AbortSignal.any([signal, given.signal]);
  const gone = (): void => given.abort(new Error('the FE closed the connection'));
  frontend.socket.once('close', gone);
  try {
    let bytes = Buffer.alloc(0);
    for (;;) {
      const [chunk] = (await once(client, 'data', { signal: ended })) as [Buffer];
      client.pause();
      bytes = Buffer.concat([bytes, chunk]);
      const isRequest = isSslRequest(bytes);
      if (isRequest === false) return { request: undefined, ahead: bytes };
      if (isRequest === true) {
        return {
          request: bytes.subarray(0, RESPONSE_HEAD_BYTES),
          ahead: bytes.subarray(RESPONSE_HEAD_BYTES),
        };
      }
      client.resume();
    }
  } finally {
    frontend.socket.off('close', gone);
  }
}

/** Whoever stands between us and an FE that must prove itself could just leave TLS out of its greeting. */
async function expectNoCa(ca: Buffer | undefined): Promise<void> {
  if (ca !== undefined) {
    throw new Error('it offers none, and --fe-tls-ca says that it must prove who it is');
  }
}

/** What is wrong, and for a certificate, what it was held against. */
function tlsFailure({ message, code }: NodeJS.ErrnoException): string {
  const ofCertificate = /CERT|SIGNATURE/.test(code ?? '');
  return ofCertificate ? `${message}, by the certificates of --fe-tls-ca` : message;
}
