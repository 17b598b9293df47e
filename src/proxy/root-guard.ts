import { randomBytes } from 'node:crypto';
import { Cancel } from '../lib/cancel.ts';
import { endpointText, type Endpoint } from '../model/endpoint.ts';
import { Capability } from '../wire/handshake.ts';
import { encodePacket, PacketReader } from '../wire/packet.ts';
import { greetFrontend, type FrontendGuard, type Route } from './frontend.ts';

/** Whom Doris lets in from 127.0.0.1 without looking at the password, when `skip_localhost_auth_check` is true. */
const USERS = ['root', 'admin'] as const;
const LOGIN_TIMEOUT_MS = 3000;
const LOGIN_BYTES_MAX = 65_536;
const SECRET_BYTES = 20;
/**
 * A trial is two failed logins, of which a password policy may allow few: behind a load balancer, where ids jump, there is no more than
 * one in this time, in milliseconds.
 */
const RETRIAL_MS = 60_000;
const CHARSET_UTF8 = 33;

/** The FE must not be used the way it is configured; the message says what to change. */
export class UnsafeFrontendError extends Error {
  override readonly name = 'UnsafeFrontendError';
}

interface Trials {
  passed: Promise<void> | undefined;
  /** Milliseconds since 1970. */
  triedAt: number;
  newestId: number;
}

/**
 * Finds out, before an FE is used, whether it lets anybody in as `root` or `admin` over this proxy: to Doris, whoever comes
 * through a proxy on its own host comes from 127.0.0.1 (wire.md §2.10). Each is tried with random bytes for a password, over
 * the way that clients take.
 */
export class RootGuard implements FrontendGuard {
  readonly #route: Route;
  readonly #now: () => number;
  readonly #records = new Map<string, Trials>();

  constructor(route: Route, now: () => number = Date.now) {
    this.#route = route;
    this.#now = now;
  }

  /**
   * Tries the FE; if it passes, once, until it is away or was restarted.
   * @throws UnsafeFrontendError, or an Error when it cannot be reached.
   */
  async expectClosed(address: Endpoint): Promise<void> {
    const trials = this.#of(address);
    if (trials.passed) return await trials.passed;
    trials.triedAt = this.#now();
    const trial = this.#tryAll(address);
    trials.passed = trial;
    try {
      await trial;
    } catch (error) {
      if (trials.passed === trial) trials.passed = undefined;
      throw error;
    }
  }

  newestId(address: Endpoint): number {
    return this.#of(address).newestId;
  }

  /**
   * Doris counts its connections from its start on. So one that was begun after another and has a smaller id belongs to an FE that was
   * restarted in between, perhaps with another fe.conf.
   */
  async expectSame(address: Endpoint, id: number, newest: number): Promise<void> {
    const trials = this.#of(address);
    if (id >= newest) {
      trials.newestId = Math.max(trials.newestId, id);
      return;
    }
    // The evidence stays: a later connection comes back to it.
    if (this.#now() - trials.triedAt < RETRIAL_MS) return;
    trials.newestId = id;
    trials.passed = undefined;
    await this.expectClosed(address);
  }

  forget(address: Endpoint): void {
    this.#of(address).passed = undefined;
  }

  #of(address: Endpoint): Trials {
    const fe = endpointText(address);
    const known = this.#records.get(fe);
    if (known !== undefined) return known;
    const trials: Trials = { passed: undefined, triedAt: -Infinity, newestId: 0 };
    this.#records.set(fe, trials);
    return trials;
  }

  async #tryAll(address: Endpoint): Promise<void> {
    for (const user of USERS) {
      const end = await this.#login(address, user);
      const fe = endpointText(address);
      if (end === 'in') {
        throw new UnsafeFrontendError(
          `The FE ${fe} lets ${user} in with any password when it is reached over this proxy, so everybody could be ${user}. Set skip_localhost_auth_check = false in fe.conf and restart the FE, or run the proxy on another host; --allow-passwordless-root yes accepts it`,
        );
      }
      if (end === 'cut' && this.#route.proxyProtocol) {
        throw new UnsafeFrontendError(
          `The FE ${fe} closed the connection behind a PROXY header: set enable_proxy_protocol = true in fe.conf and restart the FE, or leave --fe-proxy-protocol off`,
        );
      }
    }
  }

  async #login(address: Endpoint, user: string): Promise<'in' | 'refused' | 'cut'> {
    const late = new Cancel();
    const timer = setTimeout(() => late.cancel(), LOGIN_TIMEOUT_MS + this.#route.greetingTimeoutMs);
    try {
      return await this.#loginUntil(address, user, late);
    } finally {
      clearTimeout(timer);
    }
  }

  async #loginUntil(
    address: Endpoint,
    user: string,
    late: Cancel,
  ): Promise<'in' | 'refused' | 'cut'> {
    const { connection, greeting } = await greetFrontend(address, this.#route, undefined, late);
    const { socket } = connection;
    if (greeting[4] === 0xff) {
      socket.destroy();
      throw new Error(greeting.toString('latin1', 7));
    }
    try {
      return await new Promise((resolve) => {
        const packets = new PacketReader(LOGIN_BYTES_MAX);
        connection.onBytes = (bytes) => {
          packets.push(bytes);
          const packet = packets.next();
          if (!packet) return true;
          const { payload, sequence } = packet;
          if (payload[0] === 0) resolve('in');
          // Another way of proving oneself: random bytes are no proof there either.
          else if (payload[0] === 0xfe) {
            socket.write(encodePacket(sequence + 1, randomBytes(SECRET_BYTES)));
          } else resolve(isDesynchronized(payload) ? 'cut' : 'refused');
          return true;
        };
        connection.onClose = () => resolve('cut');
        late.on(() => resolve('cut'));
        socket.write(encodePacket(1, loginPayload(user)));
      });
    } finally {
      socket.destroy();
    }
  }
}

/** What a server says that has read a PROXY line as a packet: ER_NET_PACKETS_OUT_OF_ORDER, ER_HANDSHAKE_ERROR, ER_NET_PACKET_TOO_LARGE. */
function isDesynchronized(payload: Buffer): boolean {
  return payload.length > 2 && [1156, 1043, 1153].includes(payload.readUInt16LE(1));
}

function loginPayload(user: string): Buffer {
  const fixed = Buffer.alloc(32);
  const flags = Capability.PROTOCOL_41 | Capability.SECURE_CONNECTION | Capability.PLUGIN_AUTH;
  fixed.writeUInt32LE(flags);
  fixed.writeUInt32LE(16_777_216, 4);
  fixed[8] = CHARSET_UTF8;
  return Buffer.concat([
    fixed,
    Buffer.from(`${user}\0`),
    Buffer.of(SECRET_BYTES),
    randomBytes(SECRET_BYTES),
    Buffer.from('mysql_native_password\0'),
  ]);
}
