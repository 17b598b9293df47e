import { ProxyError } from '../../model/error.ts';
import type { ByteReader } from './byte-reader.ts';

/** `uuid:number` of a Gtid event, the reader standing on its body (MySQL internals manual: Gtid_log_event). */
export function parseGtid(reader: ByteReader): string {
  reader.skip(1); // flags
  const uuid = formatUuid(reader.slice(16));
  return `${uuid}:${reader.uint64()}`;
}

/** Field ids of a tagged Gtid event, doubled as they are written. */
const FLAGS = 0 << 1;
const UUID = 1 << 1;
const NUMBER = 2 << 1;
const TAG = 3 << 1;
const KNOWN_FIELDS = 12;

/**
 * `uuid:tag:number` of a tagged Gtid event (MySQL 8.3): one message of `mysql::serialization`, fields with their ids
 * in rising order; those that we need come first and the rest is not read.
 */
export function parseTaggedGtid(reader: ByteReader): string {
  if (varint(reader) !== 1n) throw unknown('version');
  varint(reader); // size of the message
  // Ids from here on may be unknown to us and matter all the same.
  if (varint(reader) > BigInt(KNOWN_FIELDS)) throw unknown('field');
  if (field(reader, FLAGS)) varint(reader);
  if (!field(reader, UUID)) throw unknown('source');
  const uuid = Buffer.alloc(16);
  for (let i = 0; i < 16; i++) uuid[i] = Number(varint(reader)); // each byte a number of its own
  if (!field(reader, NUMBER)) throw unknown('number');
  const number = varint(reader) >> 1n; // signed, and never negative
  if (!field(reader, TAG)) return `${formatUuid(uuid)}:${number}`;
  const tag = reader.slice(Number(varint(reader))).toString('latin1');
  return tag === '' ? `${formatUuid(uuid)}:${number}` : `${formatUuid(uuid)}:${tag}:${number}`;
}

function field(reader: ByteReader, id: number): boolean {
  if (reader.left === 0 || reader.bytes[reader.at] !== id) return false;
  reader.skip(1);
  return true;
}

/** The number of low one bits of the first byte says how many bytes follow; little-endian. */
function varint(reader: ByteReader): bigint {
  const first = reader.uint8();
  let extra = 0;
  while (extra < 8 && ((first >> extra) & 1) === 1) extra++;
  let value = extra === 8 ? 0n : BigInt(first >> (extra + 1));
  const shift = extra === 8 ? 0 : 7 - extra;
  for (let i = 0; i < extra; i++) value |= BigInt(reader.uint8()) << BigInt(shift + 8 * i);
  return value;
}

function unknown(what: string): ProxyError {
  return new ProxyError('UNDECODABLE', `A tagged GTID event has an unknown ${what}.`);
}

/** 16 bytes in the order of the text. */
export function formatUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}
