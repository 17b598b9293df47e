import net from 'node:net';
import type { Cancel } from '../lib/cancel.ts';
import { Deadline } from '../lib/deadline.ts';
import { endpointText } from '../model/endpoint.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { readGreeting } from '../wire/handshake.ts';
import { encodePacket, HEADER_BYTES, PacketReader, payloadLength } from '../wire/packet.ts';
import { proxyLine } from '../wire/proxy-header.ts';
import { Leg } from './leg.ts';
import { connectTls } from './tls.ts';

const CONNECT_TIMEOUT_MS = 1000;
const GREETING_BYTES_MAX = 65_536;
/** A leg that was silent for so long is asked by the system whether the other side is still there. */
export const KEEP_ALIVE_MS = 60_000;
/** An FE that could not be reached is tried last for this long (wire.md §2.9). */
const AVOID_MS = 2000;

/** No FE could be reached; the message names each and why. */
export class NoFrontendError extends Error {
  override readonly name = 'NoFrontendError';
}

const nothing = (): void => undefined;

/** One client's connection to an FE. Told what happens to it is whoever has it at the moment. */
export class FrontendConnection extends Leg {
  readonly address: Endpoint;
  onConnect: () => void = nothing;
  onError: (error: Error) => void = nothing;
  /** The FE has ended the connection, or it is gone; may be called more than once. */
  onClose: () => void = nothing;

  constructor(address: Endpoint) {
    const { host, port } = address;
    // Not in one literal: with that, by --trace-gc, the V8 of Node 20 lets most of what a session was made of survive the scavenges
    // behind its end (why is not known), and a login takes a tenth more.
    const options = { host, port, noDelay: true, keepAlive: true };
    super(net.connect({ ...options, keepAliveInitialDelay: KEEP_ALIVE_MS }));
    this.address = address;
    this.socket.once('connect', () => this.onConnect());
    this.#watch(this.socket);
  }

  #watch(socket: net.Socket): void {
    const closed = (): void => this.onClose();
    socket
      .on('error', (error) => this.onError(error))
      .once('end', closed)
      .once('close', closed);
  }

  /**
   * Goes on in TLS; the request for it was sent.
   * @throws what is wrong with the certificate or the FE.
   */
  async startTls(ca: Buffer | undefined, signal: AbortSignal): Promise<void> {
    this.replaceBy(await connectTls(this.socket, ca, signal));
    this.#watch(this.socket);
  }
}

/** A connected FE that has spoken first. */
export interface GreetedFrontend {
  readonly connection: FrontendConnection;
  /** The first packet, header included: a greeting or an ERR. */
  readonly greeting: Buffer;
}

/** The way to the FEs. */
export interface Route {
  /** In order of preference. */
  readonly addresses: readonly Endpoint[];
  /** From the connection to the FE's first packet, in milliseconds. */
  readonly greetingTimeoutMs: number;
  /** Tell each FE by a PROXY line whom the connection is for. */
  readonly proxyProtocol: boolean;
}

/** Both ends of a client's connection to the proxy. */
export interface ClientEnds {
  readonly source: Endpoint;
  /** Only a PROXY line has it, and it takes a system call: to be asked for while the connection is open. */
  destination(): Endpoint;
}

/** Says which FEs must not be used. */
export interface FrontendGuard {
  /** @throws when the FE must not be used, or cannot be reached. */
  expectClosed(address: Endpoint): Promise<void>;
  /** Of the connections that were made so far, the newest one's id; 0 before the first. */
  newestId(address: Endpoint): number;
  /**
   * @param newest what {@link newestId} was when the connection with this `id` was begun.
   * @throws as {@link expectClosed} when the FE was restarted meanwhile.
   */
  expectSame(address: Endpoint, id: number, newest: number): Promise<void>;
  /** The FE was away: it may come back with another configuration. */
  forget(address: Endpoint): void;
}

/** The configured FEs, and which of them failed lately. */
export class Frontends {
  readonly route: Route;
  readonly #guard: FrontendGuard | undefined;
  readonly #avoidUntil = new Map<Endpoint, number>();

  constructor(route: Route, guard?: FrontendGuard) {
    this.route = route;
    this.#guard = guard;
  }

  /**
   * Connects to the first FE that answers. Always the first in order, never in turn: `KILL n` reaches only the FE
   * it is sent to, so the connections of a client should meet on one (wire.md §2.9).
   *
   * @throws NoFrontendError when none greets within its time, 1 s to connect; an Error when it was given up.
   */
  async connect(client: ClientEnds | undefined, cancel: Cancel): Promise<GreetedFrontend> {
    const now = Date.now();
    const avoided = (address: Endpoint): boolean => (this.#avoidUntil.get(address) ?? 0) > now;
    const { addresses } = this.route;
    const order =
      this.#avoidUntil.size === 0
        ? addresses
        : [...addresses.filter((address) => !avoided(address)), ...addresses.filter(avoided)];
    const failures: string[] = [];
    for (const address of order) {
      try {
        const greeted = await this.#greet(address, client, cancel);
        this.#avoidUntil.delete(address);
        return greeted;
      } catch (error) {
        cancel.throwIfCancelled();
        this.#guard?.forget(address);
        this.#avoidUntil.set(address, Date.now() + AVOID_MS);
        failures.push(`${endpointText(address)} (${(error as Error).message})`);
      }
    }
    throw new NoFrontendError(`Can't connect to any Doris FE: ${failures.join(', ')}`);
  }

  /** The guard looks before, and, because an FE may be restarted at any moment, at what the FE says of itself. */
  async #greet(
    address: Endpoint,
    client: ClientEnds | undefined,
    cancel: Cancel,
  ): Promise<GreetedFrontend> {
    const guard = this.#guard;
    if (guard === undefined) return await greetFrontend(address, this.route, client, cancel);
    await guard.expectClosed(address);
    const newest = guard.newestId(address);
    const greeted = await greetFrontend(address, this.route, client, cancel);
    const payload = greeted.greeting.subarray(HEADER_BYTES);
    if (payload[0] === 0xff) return greeted;
    const { socket } = greeted.connection;
    try {
      await guard.expectSame(address, readGreeting(payload).connectionId, newest);
      if (socket.destroyed) throw new Error('closed the connection behind its greeting');
    } catch (error) {
      socket.destroy();
      throw error;
    }
    return greeted;
  }
}

/**
 * Connects and waits for the first packet; on failure nothing is left open.
 * @param client undefined: the connection is the proxy's own.
 */
export function greetFrontend(
  address: Endpoint,
  route: Route,
  client: ClientEnds | undefined,
  cancel: Cancel,
): Promise<GreetedFrontend> {
  return new Promise((resolve, reject) => {
    const connection = new FrontendConnection(address);
    const { socket } = connection;
    if (route.proxyProtocol) socket.write(proxyLine(client?.source, client?.destination()));
    const packets = new PacketReader(GREETING_BYTES_MAX);
    let deadline = new Deadline(CONNECT_TIMEOUT_MS, () => fail(new Error('connect timed out')));
    const settle = (): void => {
      deadline.clear();
      connection.onConnect = connection.onError = connection.onClose = nothing;
      cancel.off(cancelled);
    };
    const fail = (error: Error): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const cancelled = (): void => fail(new Error('given up'));
    connection.onConnect = () => {
      deadline.clear();
      deadline = new Deadline(route.greetingTimeoutMs, () => fail(new Error(silentText(route))));
    };
    connection.onError = fail;
    connection.onClose = () => fail(new Error('closed the connection before its greeting'));
    cancel.on(cancelled);
    connection.onBytes = (bytes) => {
      try {
        const greeting = wholePacket(bytes, packets);
        if (greeting) {
          settle();
          resolve({ connection, greeting });
        }
      } catch (error) {
        fail(error as Error);
      }
      return true;
    };
  });
}

/** The first packet, header included, of which `bytes` are the next; nearly always they are all of it. */
function wholePacket(bytes: Buffer, packets: PacketReader): Buffer | undefined {
  const whole =
    bytes.length >= HEADER_BYTES && bytes.length === HEADER_BYTES + payloadLength(bytes, 0);
  if (whole && packets.empty) return Buffer.from(bytes);
  packets.push(bytes);
  const packet = packets.next();
  return packet && encodePacket(packet.sequence, packet.payload);
}

/** An FE that wants a PROXY line waits for it, and so does its client for the greeting (wire.md §2.10). */
function silentText({ proxyProtocol }: Route): string {
  const hint = ', does it expect the PROXY protocol? then give --fe-proxy-protocol v1';
  return `sent no greeting${proxyProtocol ? '' : hint}`;
}
