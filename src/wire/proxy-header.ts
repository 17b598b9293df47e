/**
 * The PROXY protocol of HAProxy ("The PROXY protocol, versions 1 & 2"): the first bytes of a connection say whom it is relayed for.
 * Read in both versions; written in version 1, the only one that Doris takes (wire.md §2.10).
 */
import { isIPv4, isIPv6 } from 'node:net';
import { ProtocolError } from './packet.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ProxyHeader {
  /** Bytes it takes; the connection's own begin behind them. */
  readonly length: number;
  /** Undefined (UNKNOWN, LOCAL, other families): the connection speaks for itself. */
  readonly source: Address | undefined;
}

const V1_BYTES_MAX = 107;
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_FIXED_BYTES = 16;
/** Addresses and extensions; real ones stay below 1 KB. */
const V2_BODY_BYTES_MAX = 4096;

/**
 * Reads the header at the start of `bytes`; undefined while it is incomplete.
 * @throws ProtocolError as soon as it can be none.
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  const signed = bytes.subarray(0, V2_SIGNATURE.length);
  if (signed.length > 0 && signed.equals(V2_SIGNATURE.subarray(0, signed.length))) {
    return signed.length < V2_SIGNATURE.length ? undefined : readV2(bytes);
  }
  const start = bytes.toString('latin1', 0, 6);
  if (!'PROXY '.startsWith(start)) throw new ProtocolError('no PROXY header');
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf('\r\n');
  if (end >= 0) return readV1(bytes.toString('latin1', 0, end), end + 2);
  if (bytes.length >= V1_BYTES_MAX) throw new ProtocolError('PROXY header without its end');
  return undefined;
}

function readV1(line: string, length: number): ProxyHeader {
  const [, family, host = '', , port = ''] = line.split(' ');
  if (family === 'UNKNOWN') return { length, source: undefined };
  const valid = family === 'TCP4' ? isIPv4(host) : family === 'TCP6' && isIPv6(host);
  if (!valid || line.split(' ').length !== 6 || !isPort(port)) {
    throw new ProtocolError('malformed PROXY header');
  }
  return { length, source: { host: unmapped(host), port: Number(port) } };
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535;
}

function readV2(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < V2_FIXED_BYTES) return undefined;
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13) >> 4;
  const bodyBytes = bytes.readUInt16BE(14);
  if (command >> 4 !== 2 || (command & 15) > 1 || bodyBytes > V2_BODY_BYTES_MAX) {
    throw new ProtocolError('malformed PROXY header');
  }
  const length = V2_FIXED_BYTES + bodyBytes;
  if (bytes.length < length) return undefined;
  const addressBytes = family === 1 ? 4 : 16;
  if ((command & 15) === 0 || (family !== 1 && family !== 2)) return { length, source: undefined };
  if (bodyBytes < 2 * addressBytes + 4) throw new ProtocolError('malformed PROXY header');
  const address = bytes.subarray(V2_FIXED_BYTES, V2_FIXED_BYTES + addressBytes);
  const port = bytes.readUInt16BE(V2_FIXED_BYTES + 2 * addressBytes);
  const host = family === 1 ? address.join('.') : ipv6Text(address);
  return { length, source: { host: unmapped(host), port } };
}

function ipv6Text(address: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(i * 2).toString(16));
  const text = groups.join(':');
  // Through the one form of the system, so that an address is written alike everywhere.
  return new URL(`http://[${text}]`).hostname.slice(1, -1);
}

/** `::ffff:10.0.0.1` is `10.0.0.1`, whichever way it is written. */
export function unmapped(host: string): string {
  const dotted = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host)?.[1];
  if (dotted !== undefined) return dotted;
  const [, high, low] = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/i.exec(host) ?? [];
  if (high === undefined || low === undefined) return host;
  const number = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}

const IPV4 = { family: 'TCP4', isOf: isIPv4, any: '0.0.0.0' };
const IPV6 = { family: 'TCP6', isOf: isIPv6, any: '::' };

/**
 * A header of version 1. A client on loopback is UNKNOWN: the FE then takes the connection's own address. It would trust 127.0.0.1
 * more than it should, and another host's loopback is not its own (wire.md §2.10).
 */
export function proxyLine(source: Address | undefined, destination: Address | undefined): string {
  const [from, to] = [unmapped(source?.host ?? ''), unmapped(destination?.host ?? '')];
  const loopback = from.startsWith('127.') || from === '::1';
  const known = (isIPv4(from) || isIPv6(from)) && !loopback;
  if (!source || !destination || !known) return 'PROXY UNKNOWN\r\n';
  const { family, isOf, any } = isIPv4(from) ? IPV4 : IPV6;
  // A header may have told of a client whose family is not that of its connection: a line has one family, and the
  // destination is of no interest to the FE.
  return `PROXY ${family} ${from} ${isOf(to) ? to : any} ${source.port} ${destination.port}\r\n`;
}
