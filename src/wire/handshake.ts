/**
 * The first packets of a connection (MySQL internals manual: "Protocol::Handshake", "Protocol::HandshakeResponse").
 * A relay reads them for the capability flags and changes nothing else: re-encoding would lose
 * what it does not know (wire.md §3, "CONNECT_ATTRS, LENENC").
 */
import { Cursor, PayloadWriter } from './value.ts';
import { HEADER_BYTES, ProtocolError } from './packet.ts';

/** Capability flags by bit (MySQL internals manual: "Capability Flags"). */
export const Capability = {
  CONNECT_WITH_DB: 2 ** 3,
  COMPRESS: 2 ** 5,
  PROTOCOL_41: 2 ** 9,
  SSL: 2 ** 11,
  SECURE_CONNECTION: 2 ** 15,
  MULTI_STATEMENTS: 2 ** 16,
  PLUGIN_AUTH: 2 ** 19,
  CONNECT_ATTRS: 2 ** 20,
  PLUGIN_AUTH_LENENC: 2 ** 21,
  SESSION_TRACK: 2 ** 23,
  DEPRECATE_EOF: 2 ** 24,
  OPTIONAL_RESULTSET_METADATA: 2 ** 25,
  ZSTD_COMPRESSION: 2 ** 26,
  QUERY_ATTRIBUTES: 2 ** 27,
} as const;

/**
 * What must not be agreed upon through a relay that looks into the traffic, cleared in both directions (wire.md §2.2):
 * clients set some of these bits without being offered them, and the server would believe them.
 * Compression hides the packets, attributes stand in front of the SQL, and optional
 * metadata puts a byte before the column count (Doris offers none of the four).
 */
const CLEARED =
  Capability.COMPRESS |
  Capability.OPTIONAL_RESULTSET_METADATA |
  Capability.ZSTD_COMPRESSION |
  Capability.QUERY_ATTRIBUTES;

/** Smallest 4.1 response: flags, packet size, character set, 23 reserved bytes. An SSLRequest is exactly this. */
const RESPONSE_FIXED_BYTES = 32;

/** Whether one side's flags hold a capability. */
export function has(capabilities: number, flag: number): boolean {
  return (capabilities & flag) !== 0;
}

/** How the FE lets clients in. */
export interface AuthChallenge {
  readonly plugin: string;
  readonly nonce: Buffer;
}

const NONCE_BYTES = 20;

export interface Greeting {
  readonly serverVersion: string;
  readonly connectionId: number;
  readonly capabilities: number;
  readonly charset: number;
  readonly status: number;
}

/** Where the parts of a greeting are, after the server version. */
function greetingLayout(payload: Buffer): {
  readonly connectionId: number;
  readonly lowFlags: number;
} {
  const cursor = new Cursor(payload);
  if (cursor.u8() !== 10) throw new ProtocolError('not a version 10 greeting');
  cursor.nulTerminated();
  const connectionId = cursor.at;
  // id 4, scramble 8, filler 1; then flags 2, charset 1, status 2, flags 2, scramble length 1, reserved 10.
  cursor.bytes(31);
  return { connectionId, lowFlags: connectionId + 13 };
}

/**
 * Reads the parts a relay needs.
 * @throws ProtocolError when the payload is no version 10 greeting, or too short.
 */
export function readGreeting(payload: Buffer): Greeting {
  const { connectionId, lowFlags } = greetingLayout(payload);
  return {
    serverVersion: payload.toString('latin1', 1, connectionId - 1),
    connectionId: payload.readUInt32LE(connectionId),
    capabilities:
      (payload.readUInt16LE(lowFlags) | (payload.readUInt16LE(lowFlags + 5) << 16)) >>> 0,
    charset: payload.readUInt8(lowFlags + 2),
    status: payload.readUInt16LE(lowFlags + 3),
  };
}

/**
 * The plugin and the scramble of a greeting.
 * @throws ProtocolError like {@link readGreeting}.
 */
export function readChallenge(payload: Buffer): AuthChallenge {
  const { connectionId, lowFlags } = greetingLayout(payload);
  const cursor = new Cursor(payload, lowFlags + 18);
  const scramble = cursor.left >= 13 ? cursor.bytes(13) : Buffer.alloc(0);
  const nonce = Buffer.concat([
    payload.subarray(connectionId + 4, connectionId + 12),
    scramble.subarray(0, NONCE_BYTES - 8),
  ]);
  const rest = cursor.bytes(cursor.left);
  const end = rest.indexOf(0);
  return { plugin: rest.toString('latin1', 0, end < 0 ? rest.length : end), nonce };
}

/** Reads an AuthSwitchRequest; undefined for any other payload. */
export function readAuthSwitch(payload: Buffer): AuthChallenge | undefined {
  const end = payload.indexOf(0, 1);
  if (payload[0] !== 0xfe || end < 0) return undefined;
  const nonce = Buffer.from(payload.subarray(end + 1, end + 1 + NONCE_BYTES));
  return { plugin: payload.toString('latin1', 1, end), nonce };
}

/**
 * Clears, in place, what cannot be offered through the relay, MariaDB's extended flags (last 4 reserved bytes) included.
 * TLS is offered when the relay has a certificate, whatever the FE does.
 */
export function maskGreeting(payload: Buffer, offerTls: boolean): void {
  const { lowFlags } = greetingLayout(payload);
  const low = payload.readUInt16LE(lowFlags) & ~CLEARED & ~Capability.SSL & 0xff_ff;
  payload.writeUInt16LE(offerTls ? low | Capability.SSL : low, lowFlags);
  payload.writeUInt16LE(payload.readUInt16LE(lowFlags + 5) & ~(CLEARED >>> 16), lowFlags + 5);
  payload.fill(0, lowFlags + 14, lowFlags + 18);
}

/** Bytes of a response packet, header included, that {@link maskResponse} reads and changes. */
export const RESPONSE_HEAD_BYTES = HEADER_BYTES + RESPONSE_FIXED_BYTES;

export interface ClientFlags {
  /** As the client sent them. */
  readonly asked: number;
  /** As the FE sees them. */
  readonly sent: number;
  /** The packet is an SSLRequest: the login follows over TLS. */
  readonly sslRequest: boolean;
}

/**
 * Clears, in place, the flags of a HandshakeResponse41 or SSLRequest that must not reach the FE, and zeroes the reserved
 * bytes: MariaDB clients put extended flags there, and an FE with `proxy_auth_enable` would take a
 * scramble of the client's choice from them (wire.md §2.1).
 *
 * @param frontendTls the FE's leg is encrypted: it must see the flag that says so, and otherwise must not.
 * @param head the first {@link RESPONSE_HEAD_BYTES} bytes of the packet or more, header included.
 * @throws ProtocolError for anything but the 4.1 form: that is the only one Doris accepts.
 */
export function maskResponse(head: Buffer, frontendTls: boolean): ClientFlags {
  const length = head.readUIntLE(0, 3);
  const asked = head.readUInt32LE(HEADER_BYTES);
  if (length < RESPONSE_FIXED_BYTES || !has(asked, Capability.PROTOCOL_41)) {
    throw new ProtocolError('not a 4.1 handshake response');
  }
  const sslRequest = isSslRequest(head) === true;
  const plain = asked & ~CLEARED & ~Capability.SSL;
  const sent = (frontendTls ? plain | Capability.SSL : plain) >>> 0;
  head.writeUInt32LE(sent, HEADER_BYTES);
  head.fill(0, HEADER_BYTES + 9, HEADER_BYTES + RESPONSE_FIXED_BYTES);
  return { asked, sent, sslRequest };
}

/** Whether a packet, from its header on, is an SSLRequest: the login follows over TLS. Undefined while too little of it is there. */
export function isSslRequest(head: Buffer): boolean | undefined {
  if (head.length < HEADER_BYTES) return undefined;
  if (head.readUIntLE(0, 3) !== RESPONSE_FIXED_BYTES) return false;
  if (head.length < RESPONSE_HEAD_BYTES) return undefined;
  return has(head.readUInt32LE(HEADER_BYTES), Capability.SSL);
}

/** An ERR payload as it must look before the client has told its capabilities: without SQLSTATE (wire.md §2.7). */
export function encodeEarlyError(errno: number, message: string): Buffer {
  return new PayloadWriter().u8(0xff).u16(errno).bytes(Buffer.from(message, 'utf8')).payload();
}
