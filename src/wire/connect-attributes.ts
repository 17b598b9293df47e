/** What a driver says about itself in its login (MySQL internals manual: "Protocol::HandshakeResponse", "Connection Attributes"). */
import { Capability, has } from './handshake.ts';
import { Cursor } from './value.ts';

type ConnectAttributes = ReadonlyMap<string, string>;

/** Bytes of a HandshakeResponse41 in front of the user name. */
const FIXED_BYTES = 32;

/**
 * The attributes of a HandshakeResponse41; none when the client sends none.
 *
 * @param payload whole, without its header.
 * @throws ProtocolError when a part of the login ends too early.
 */
export function readConnectAttributes(payload: Buffer): ConnectAttributes {
  const flags = payload.readUInt32LE();
  const cursor = new Cursor(payload, FIXED_BYTES);
  const attributes = new Map<string, string>();
  if (!has(flags, Capability.CONNECT_ATTRS)) return attributes;
  cursor.nulTerminated();
  if (has(flags, Capability.PLUGIN_AUTH_LENENC)) cursor.lenencBytes();
  else if (has(flags, Capability.SECURE_CONNECTION)) cursor.bytes(cursor.u8());
  else cursor.nulTerminated();
  if (has(flags, Capability.CONNECT_WITH_DB)) cursor.nulTerminated();
  if (has(flags, Capability.PLUGIN_AUTH)) cursor.nulTerminated();
  const pairs = new Cursor(
    cursor.left > 0 ? (cursor.lenencBytes() ?? Buffer.alloc(0)) : Buffer.alloc(0),
  );
  while (pairs.left > 0) {
    const key = pairs.lenencBytes()?.toString('utf8') ?? '';
    attributes.set(key, pairs.lenencBytes()?.toString('utf8') ?? '');
  }
  return attributes;
}

const CONNECTOR_J = /^MySQL Connector(?:\/J| Java)$/;
const VERSION = /^(\d+)\.(\d+)(?:\.\d+)*(?:[-+].*)?$/;

/**
 * Whether a client that asks for a cursor takes the first end marker behind the definitions for the word on that cursor, and
 * so waits for ever when a result without rows has no second one: Connector/J before 9.5 with DEPRECATE_EOF.
 * Who does not say what it is counts as such a one, as with Doris (apache/doris#67520).
 */
export function takesMarkerForCursor(attributes: ConnectAttributes): boolean {
  const name = attributes.get('_client_name');
  if (name === undefined) return true;
  if (!CONNECTOR_J.test(name)) return false;
  const [, major, minor] = VERSION.exec(attributes.get('_client_version') ?? '') ?? [];
  if (major === undefined) return true;
  return ['5', '6', '8'].includes(major) || (major === '9' && Number(minor) < 5);
}
