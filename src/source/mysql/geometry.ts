import type { JsonWriter } from '../../encode/json-writer.ts';
import { ProxyError } from '../../model/error.ts';

/** Geometry types of well-known binary (OGC 06-103r4). */
const NAMES = [
  undefined,
  'POINT',
  'LINESTRING',
  'POLYGON',
  'MULTIPOINT',
  'MULTILINESTRING',
  'MULTIPOLYGON',
  'GEOMETRYCOLLECTION',
] as const;

const COLLECTION = 7;
/** As deep as MySQL lets a collection be; deeper is damage, and would cost our stack. */
const DEPTH_MAX = 64;

/**
 * Writes a stored geometry (four bytes of SRID, then well-known binary) as well-known text, `SRID=4326;POINT(13.4 52.5)`; without
 * `SRID=` when it is 0. Coordinates stand as they are stored, x or longitude first, also where `ST_AsText` swaps them
 * by the axis order of the SRID: as in EWKT.
 *
 * @throws ProxyError UNDECODABLE when the bytes are no geometry.
 */
export function writeGeometry(out: JsonWriter, source: Buffer, start: number, end: number): void {
  const bytes = source.subarray(start, end);
  try {
    const srid = bytes.readUInt32LE(0);
    if (srid !== 0) out.ascii(`SRID=${srid};`);
    const printer = new WktPrinter(out, bytes);
    printer.geometry(true, 0);
    if (printer.at !== bytes.length) throw damaged();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw damaged(cause);
  }
}

function damaged(cause?: unknown): ProxyError {
  return new ProxyError('UNDECODABLE', 'A geometry in the log is damaged.', { cause });
}

/** Reads with the methods of Buffer, which throw RangeError outside of the value. */
class WktPrinter {
  readonly #out: JsonWriter;
  readonly #bytes: Buffer;
  at = 4;

  constructor(out: JsonWriter, bytes: Buffer) {
    this.#out = out;
    this.#bytes = bytes;
  }

  geometry(named: boolean, depth: number): void {
    if (depth > DEPTH_MAX || this.#bytes.readUInt8(this.at) !== 1) throw damaged(); // 1: little-endian, always
    const type = this.#bytes.readUInt32LE(this.at + 1);
    this.at += 5;
    const name = NAMES[type];
    if (name === undefined) throw damaged();
    if (named) this.#out.ascii(name);
    const point = (): void => this.#point();
    const ring = (): void => this.#parenthesised(this.#count(), point);
    const part = (): void => this.geometry(type === COLLECTION, depth + 1);
    if (name === 'POINT') this.#parenthesised(1, point);
    else if (name === 'LINESTRING') this.#parenthesised(this.#count(), point);
    else if (name === 'POLYGON') this.#parenthesised(this.#count(), ring);
    else this.#parenthesised(this.#count(), part);
  }

  #parenthesised(count: number, write: () => void): void {
    for (let i = 0; i < count; i++) {
      this.#out.ascii(i === 0 ? '(' : ',');
      write();
    }
    this.#out.ascii(count === 0 ? ' EMPTY' : ')');
  }

  #count(): number {
    const count = this.#bytes.readUInt32LE(this.at);
    this.at += 4;
    return count;
  }

  #point(): void {
    const x = this.#bytes.readDoubleLE(this.at);
    const y = this.#bytes.readDoubleLE(this.at + 8);
    this.at += 16;
    this.#out.ascii(`${x} ${y}`);
  }
}
