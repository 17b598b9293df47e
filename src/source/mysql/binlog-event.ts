import { crc32 } from 'node:zlib';
import { ProxyError } from '../../model/error.ts';
import { ByteReader } from './byte-reader.ts';
import { inflateEvent, unzstd } from './compression.ts';
import { CODE, UNDECODED } from './event-codes.ts';
import { parseGtid, parseTaggedGtid } from './gtid-event.ts';
import { parseQuery, type QueryEvent } from './query-event.ts';
import { parseRows, type RowsEvent } from './rows-event.ts';
import { parseTableMap, type TableMap } from './table-map.ts';

/** The 19 bytes in front of every event (MySQL internals manual: Binlog Event Header). */
export interface EventHeader {
  /** Seconds since 1970; 0 on events that the server makes up for the dump. */
  readonly timestampSec: number;
  readonly code: number;
  readonly serverId: number;
  /** Bytes, header and checksum included. */
  readonly size: number;
  /** Where the next event starts in the file, modulo 2^32: a file can be longer. 0: not an event of the file. */
  readonly nextPosition: number;
  /** The server made the event up for the dump: it is in no file. */
  readonly artificial: boolean;
}

/** An event's meaning. Buffers in it are views of the packet: consume or copy them before the packet is reused. */
export type EventBody =
  | QueryEvent
  | RowsEvent
  | { readonly kind: 'format'; readonly serverVersion: string; readonly checksum: boolean }
  | { readonly kind: 'rotate'; readonly file: string; readonly position: number }
  /** Begins a transaction of MySQL; undefined: one without GTID. */
  | { readonly kind: 'gtid'; readonly gtid: string | undefined }
  /**
   * Begins a group of MariaDB. `standalone`: exactly one event follows and no commit. `xa`: the group is
   * `XA PREPARE`, or the COMMIT or ROLLBACK of one.
   */
  | {
      readonly kind: 'mariadb-gtid';
      /** `domain-server-number`. */
      readonly gtid: string;
      readonly standalone: boolean;
      readonly ddl: boolean;
      readonly xa: 'prepare' | 'complete' | undefined;
    }
  /** Commits a transaction. */
  | { readonly kind: 'xid' }
  /** Ends a transaction that is only prepared; `onePhase`: that is committed by this. */
  | { readonly kind: 'xa-prepare'; readonly onePhase: boolean }
  | { readonly kind: 'table-map'; readonly map: TableMap }
  /** A whole transaction, compressed: {@link BinlogParser.inner} opens it. */
  | {
      readonly kind: 'payload';
      readonly compressed: Buffer;
      readonly inflatedBytes: number | undefined;
    }
  | { readonly kind: 'heartbeat'; readonly file: string; readonly position: number }
  /** Known, and of no concern; see {@link UNDECODED}. */
  | { readonly kind: 'ignored'; readonly name: string };

export type BinlogEvent = EventBody & { readonly header: EventHeader };

const HEADER_BYTES = 19;
const CHECKSUM_BYTES = 4;
const IN_USE_FLAG = 0x01;
const ARTIFICIAL_FLAG = 0x20;
const IGNORABLE_FLAG = 0x80;
/** Distinct table maps that are remembered; a server with more tables in use re-parses some. */
const MAPS_MAX = 10_000;

const ROWS_CODES: ReadonlySet<number> = new Set([
  CODE.WRITE_ROWS_V1,
  CODE.UPDATE_ROWS_V1,
  CODE.DELETE_ROWS_V1,
  CODE.WRITE_ROWS,
  CODE.UPDATE_ROWS,
  CODE.DELETE_ROWS,
  CODE.WRITE_ROWS_COMPRESSED_V1,
  CODE.UPDATE_ROWS_COMPRESSED_V1,
  CODE.DELETE_ROWS_COMPRESSED_V1,
  CODE.WRITE_ROWS_COMPRESSED,
  CODE.UPDATE_ROWS_COMPRESSED,
  CODE.DELETE_ROWS_COMPRESSED,
]);

/**
 * Decodes binlog events one after another. What it remembers: whether events carry a checksum, which the last
 * Format description says (the only truth: the server's variable is of now, the file is of then), and table maps.
 *
 * Rows stay bytes; `row-codec.ts` writes them.
 */
export class BinlogParser {
  /** Undefined until the first Format description: then only made-up Rotate events come. */
  #checksum: boolean | undefined;
  readonly #maps = new Map<number, { readonly bytes: Buffer; readonly map: TableMap }>();

  /**
   * Decodes the event at `start..end` of `bytes`: header first, without the mark byte of the network stream.
   *
   * @throws ProxyError UNDECODABLE for a checksum mismatch, and for an event that is neither decoded nor
   * known to be of no concern. The stream must end there: nothing may be passed over.
   */
  parse(bytes: Buffer, start = 0, end = bytes.length): BinlogEvent {
    const header = parseHeader(bytes, start, end);
    const summed = this.#hasChecksum(header, bytes, start, end);
    const bodyEnd = summed ? end - CHECKSUM_BYTES : end;
    if (summed && !checksumHolds(bytes, start, end, header.code)) {
      throw new ProxyError(
        'UNDECODABLE',
        `A binlog event before position ${header.nextPosition} fails its checksum: the log was damaged on disk or on the way.`,
      );
    }
    const reader = new ByteReader(bytes, start + HEADER_BYTES, bodyEnd);
    return { header, ...this.#body(header, reader, (bytes[start + 17]! & IGNORABLE_FLAG) !== 0) };
  }

  /** The events of a compressed transaction. Await `loadZstd()` before the first call. They carry no checksum of their own. */
  inner(payload: {
    readonly compressed: Buffer;
    readonly inflatedBytes: number | undefined;
  }): Generator<BinlogEvent> {
    const { compressed, inflatedBytes } = payload;
    // Now, and not when the first event is asked for: the packet may be gone then.
    return this.#inner(
      inflatedBytes === undefined ? Buffer.from(compressed) : unzstd(compressed, inflatedBytes),
    );
  }

  *#inner(bytes: Buffer): Generator<BinlogEvent> {
    for (let at = 0; at < bytes.length;) {
      const size = at + HEADER_BYTES <= bytes.length ? bytes.readUInt32LE(at + 9) : 0;
      const end = at + size;
      const header = parseHeader(bytes, at, end);
      const reader = new ByteReader(bytes, at + HEADER_BYTES, end);
      yield { header, ...this.#body(header, reader, false) };
      at = end;
    }
  }

  #hasChecksum(header: EventHeader, bytes: Buffer, start: number, end: number): boolean {
    if (header.code === CODE.FORMAT) return formatHasChecksum(bytes, end);
    // The made-up Rotate in front of a file carries a checksum or not, and comes before the event that says so.
    if (this.#checksum === undefined || (header.code === CODE.ROTATE && header.artificial)) {
      return checksumHolds(bytes, start, end, header.code);
    }
    return this.#checksum;
  }

  #body(header: EventHeader, reader: ByteReader, ignorable: boolean): EventBody {
    const { code } = header;
    if (ROWS_CODES.has(code)) return parseRows(code, reader);
    switch (code) {
      case CODE.TABLE_MAP:
        return { kind: 'table-map', map: this.#tableMap(reader) };
      case CODE.QUERY:
      case CODE.QUERY_COMPRESSED:
        return parseQuery(reader, code === CODE.QUERY_COMPRESSED ? inflateEvent : undefined);
      case CODE.XID:
        return { kind: 'xid' };
      case CODE.XA_PREPARE:
        return { kind: 'xa-prepare', onePhase: reader.uint8() !== 0 };
      case CODE.GTID:
        return { kind: 'gtid', gtid: parseGtid(reader) };
      case CODE.TAGGED_GTID:
        return { kind: 'gtid', gtid: parseTaggedGtid(reader) };
      case CODE.ANONYMOUS_GTID:
        return { kind: 'gtid', gtid: undefined };
      case CODE.MARIADB_GTID:
        return parseMariadbGtid(header, reader);
      case CODE.FORMAT:
        return this.#format(reader);
      case CODE.ROTATE: {
        const position = Number(reader.uint64());
        return { kind: 'rotate', position, file: reader.rest().toString() };
      }
      case CODE.HEARTBEAT:
        return { kind: 'heartbeat', position: header.nextPosition, file: reader.rest().toString() };
      case CODE.HEARTBEAT_V2:
        return parseHeartbeat(reader);
      case CODE.TRANSACTION_PAYLOAD:
        return parsePayload(reader);
      default:
        return undecoded(code, ignorable);
    }
  }

  #format(reader: ByteReader): EventBody {
    reader.skip(2); // binlog version: 4 since MySQL 5.0
    const serverVersion = reader.slice(50).toString('latin1').replace(/\0.*$/s, '');
    // The algorithm is the last byte of the body: the checksum follows whether it is used or not.
    const checksum = reader.bytes[reader.end - 1] === 1;
    this.#checksum = checksum;
    this.#maps.clear(); // a server that started anew numbers its tables anew
    return { kind: 'format', serverVersion, checksum };
  }

  /**
   * Every rows event comes after a table map that almost always repeats an earlier one byte for byte. The same
   * object is returned for it, so that whoever holds a row codec finds it by identity.
   */
  #tableMap(reader: ByteReader): TableMap {
    const bytes = reader.bytes.subarray(reader.at, reader.end);
    const id = reader.uint48();
    reader.at -= 6;
    const known = this.#maps.get(id);
    if (known !== undefined && known.bytes.equals(bytes)) return known.map;
    const map = parseTableMap(reader);
    if (this.#maps.size >= MAPS_MAX) this.#maps.clear();
    this.#maps.set(id, { bytes: Buffer.from(bytes), map });
    return map;
  }
}

function parseHeader(bytes: Buffer, start: number, end: number): EventHeader {
  if (
    end - start < HEADER_BYTES ||
    end > bytes.length ||
    bytes.readUInt32LE(start + 9) !== end - start
  ) {
    throw new ProxyError(
      'UNDECODABLE',
      'A binlog event is shorter or longer than its header says.',
    );
  }
  return {
    timestampSec: bytes.readUInt32LE(start),
    code: bytes[start + 4]!,
    serverId: bytes.readUInt32LE(start + 5),
    size: end - start,
    nextPosition: bytes.readUInt32LE(start + 13),
    artificial: (bytes[start + 17]! & ARTIFICIAL_FLAG) !== 0,
  };
}

/** A Format description has room for a checksum in any case; the byte before it names the algorithm: 0 none, 1 CRC32. */
function formatHasChecksum(bytes: Buffer, end: number): boolean {
  const algorithm = bytes[end - CHECKSUM_BYTES - 1];
  if (algorithm === 0 || algorithm === 1) return true;
  throw new ProxyError(
    'UNDECODABLE',
    `The binlog uses checksum algorithm ${algorithm}; only NONE and CRC32 are known.`,
  );
}

function checksumHolds(bytes: Buffer, start: number, end: number, code: number): boolean {
  const sumAt = end - CHECKSUM_BYTES;
  if (sumAt < start + HEADER_BYTES) return false;
  const sum = bytes.readUInt32LE(sumAt);
  if (code !== CODE.FORMAT) return crc32(bytes.subarray(start, sumAt)) === sum;
  if (bytes[sumAt - 1] === 0) return true; // no checksum is used: the four bytes mean nothing
  // The flag that says "this file is being written" is set after the checksum was made.
  const copy = Buffer.from(bytes.subarray(start, sumAt));
  copy[17]! &= ~IN_USE_FLAG;
  return crc32(copy) === sum;
}

function parseMariadbGtid(header: EventHeader, reader: ByteReader): EventBody {
  const number = reader.uint64();
  const domain = reader.uint32();
  const flags = reader.uint8();
  const [standalone, ddl, prepared, completed] = [0x01, 0x20, 0x40, 0x80];
  let xa: 'prepare' | 'complete' | undefined;
  if ((flags & prepared) !== 0) xa = 'prepare';
  else if ((flags & completed) !== 0) xa = 'complete';
  return {
    kind: 'mariadb-gtid',
    gtid: `${domain}-${header.serverId}-${number}`,
    standalone: (flags & standalone) !== 0,
    ddl: (flags & ddl) !== 0,
    xa,
  };
}

/** Fields with a type and a length: 1 is the file, 2 the 64-bit position, 0 the end. */
function parseHeartbeat(reader: ByteReader): EventBody {
  let file = '';
  let position = 0;
  while (reader.left > 0) {
    const kind = reader.uint8();
    if (kind === 0) break;
    const value = reader.slice(reader.lengthEncoded());
    if (kind === 1) file = value.toString();
    if (kind === 2) position = new ByteReader(value, 0, value.length).lengthEncoded();
  }
  return { kind: 'heartbeat', file, position };
}

const ZSTD = 0;
const NO_COMPRESSION = 255;

/** Fields with a type and a length: 1 the compressed size, 2 the algorithm, 3 the inflated size; 0 the end, then the bytes. */
function parsePayload(reader: ByteReader): EventBody {
  const fields = new Map<number, number>();
  for (let kind = reader.lengthEncoded(); kind !== 0; kind = reader.lengthEncoded()) {
    const value = reader.slice(reader.lengthEncoded());
    fields.set(kind, new ByteReader(value, 0, value.length).lengthEncoded());
  }
  const compressed = reader.slice(fields.get(1) ?? reader.left);
  const algorithm = fields.get(2);
  if (algorithm === NO_COMPRESSION)
    return { kind: 'payload', compressed, inflatedBytes: undefined };
  const inflatedBytes = fields.get(3);
  if (algorithm !== ZSTD || inflatedBytes === undefined) {
    throw new ProxyError(
      'UNDECODABLE',
      `A transaction is compressed with algorithm ${algorithm}; only zstd (0) is known.`,
    );
  }
  return { kind: 'payload', compressed, inflatedBytes };
}

function undecoded(code: number, ignorable: boolean): EventBody {
  const known = UNDECODED[code];
  if (known?.handling === 'ignore') return { kind: 'ignored', name: known.name };
  if (known === undefined && ignorable) return { kind: 'ignored', name: `code ${code}` };
  throw new ProxyError(
    'UNDECODABLE',
    known === undefined
      ? `The log has an event of the unknown code ${code}. It may hold rows, so the job stops in front of it.`
      : `The log has a ${known.name} event, and ${known.why}.`,
  );
}
