/**
 * The first packets of a connection (MySQL internals manual: "Protocol::Handshake", "Protocol::HandshakeResponse").
 * A relay reads them for the capability flags and changes nothing else: re-encoding would lose
 * what it does not know (wire.md §3, "CONNECT_ATTRS, LENENC").
 */
import { Cursor, PayloadWriter } from './value.ts';
import { HEADER_BYTES, ProtocolError } from './packet.ts';

/** Capability flags by bit (MySQL internals manual: "Capability Flags"). */
export const Capability = {
  COMPRESS: 2 ** 5,
  PROTOCOL_41: 2 ** 9,
  SSL: 2 ** 11,
  MULTI_STATEMENTS: 2 ** 16,
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
 * metadata puts a byte before the column count (Doris offers none of the four). SSL: the client's leg is plain.
 */
const CLEARED =
  Capability.COMPRESS |
  Capability.SSL |
  Capability.OPTIONAL_RESULTSET_METADATA |
  Capability.ZSTD_COMPRESSION |
  Capability.QUERY_ATTRIBUTES;

/** Smallest 4.1 response: flags, packet size, character set, 23 reserved bytes. An SSLRequest is exactly this. */
const RESPONSE_FIXED_BYTES = 32;

/** Whether one side's flags hold a capability. */
export function has(capabilities: number, flag: number): boolean {
  return (capabilities & flag) !== 0;
}

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

/** Clears, in place, what cannot be offered through the relay, MariaDB's extended flags (last 4 reserved bytes) included. */
export function maskGreeting(payload: Buffer): void {
  const { lowFlags } = greetingLayout(payload);
  payload.writeUInt16LE(payload.readUInt16LE(lowFlags) & ~CLEARED & 0xff_ff, lowFlags);
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
 * @param head the first {@link RESPONSE_HEAD_BYTES} bytes of the packet or more, header included.
 * @throws ProtocolError for anything but the 4.1 form: that is the only one Doris accepts.
 */
export function maskResponse(head: Buffer): ClientFlags {
  const length = head.readUIntLE(0, 3);
  const asked = head.readUInt32LE(HEADER_BYTES);
  if (length < RESPONSE_FIXED_BYTES || !has(asked, Capability.PROTOCOL_41)) {
    throw new ProtocolError('not a 4.1 handshake response');
  }
  const sent = (asked & ~CLEARED) >>> 0;
  head.writeUInt32LE(sent, HEADER_BYTES);
  head.fill(0, HEADER_BYTES + 9, HEADER_BYTES + RESPONSE_FIXED_BYTES);
  return { asked, sent, sslRequest: length === RESPONSE_FIXED_BYTES && has(asked, Capability.SSL) };
}

/** An ERR payload as it must look before the client has told its capabilities: without SQLSTATE (wire.md §2.7). */
export function encodeEarlyError(errno: number, message: string): Buffer {
  return new PayloadWriter().u8(0xff).u16(errno).bytes(Buffer.from(message, 'utf8')).payload();
}
