import { randomBytes } from 'node:crypto';
import { endpointText, type Endpoint } from '../model/endpoint.ts';
import { Capability } from '../wire/handshake.ts';
import { encodePacket, PacketReader } from '../wire/packet.ts';
import { greetFrontend, type Route } from './frontend.ts';

/** Whom Doris lets in from 127.0.0.1 without looking at the password, when `skip_localhost_auth_check` is true. */
const USERS = ['root', 'admin'] as const;
const LOGIN_TIMEOUT_MS = 3000;
const LOGIN_BYTES_MAX = 65_536;
const SECRET_BYTES = 20;
const CHARSET_UTF8 = 33;

/** The FE must not be used the way it is configured; the message says what to change. */
export class UnsafeFrontendError extends Error {
  override readonly name = 'UnsafeFrontendError';
}

/**
 * Finds out, before an FE is used, whether it lets anybody in as `root` or `admin` over this proxy: to Doris, whoever comes
 * through a proxy on its own host comes from 127.0.0.1 (wire.md §2.10). Each is tried with random bytes for a password, over
 * the way that clients take.
 */
export class RootGuard {
  readonly #route: Route;
  readonly #passed = new Map<string, Promise<void>>();

  constructor(route: Route) {
    this.#route = route;
  }

  /**
   * Tries the FE, once and for all if it passes.
   * @throws UnsafeFrontendError, or an Error when it cannot be reached.
   */
  async expectClosed(address: Endpoint): Promise<void> {
    const fe = endpointText(address);
    const earlier = this.#passed.get(fe);
    if (earlier) return await earlier;
    const trial = this.#tryAll(address);
    this.#passed.set(fe, trial);
    try {
      await trial;
    } catch (error) {
      this.#passed.delete(fe);
      throw error;
    }
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
    const signal = AbortSignal.timeout(LOGIN_TIMEOUT_MS + this.#route.greetingTimeoutMs);
    const { connection, greeting } = await greetFrontend(address, this.#route, undefined, signal);
    const { socket } = connection;
    socket.on('error', () => undefined);
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
        socket.once('close', () => resolve('cut'));
        signal.addEventListener('abort', () => resolve('cut'));
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
