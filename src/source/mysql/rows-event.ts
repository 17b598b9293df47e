import { ProxyError } from '../../model/error.ts';
import type { ByteReader } from './byte-reader.ts';
import { inflateEvent } from './compression.ts';
import { CODE } from './event-codes.ts';

export type RowChange = 'insert' | 'update' | 'delete';

/** Rows of one table, changed by one statement. Row images stay bytes: `row-codec.ts` writes them. */
export interface RowsEvent {
  readonly kind: 'rows';
  readonly change: RowChange;
  readonly tableId: number;
  /** The last rows event of its statement: the table ids may be forgotten. */
  readonly endsStatement: boolean;
  readonly columnCount: number;
  /** Every column is in every image. If not, the codec refuses: an absent column would be loaded as NULL. */
  readonly full: boolean;
  /** The images, from `start` to `end`. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

const SHAPES: Readonly<Record<number, { change: RowChange; extra: boolean; compressed: boolean }>> =
  {
    [CODE.WRITE_ROWS_V1]: { change: 'insert', extra: false, compressed: false },
    [CODE.UPDATE_ROWS_V1]: { change: 'update', extra: false, compressed: false },
    [CODE.DELETE_ROWS_V1]: { change: 'delete', extra: false, compressed: false },
    [CODE.WRITE_ROWS]: { change: 'insert', extra: true, compressed: false },
    [CODE.UPDATE_ROWS]: { change: 'update', extra: true, compressed: false },
    [CODE.DELETE_ROWS]: { change: 'delete', extra: true, compressed: false },
    [CODE.WRITE_ROWS_COMPRESSED_V1]: { change: 'insert', extra: false, compressed: true },
    [CODE.UPDATE_ROWS_COMPRESSED_V1]: { change: 'update', extra: false, compressed: true },
    [CODE.DELETE_ROWS_COMPRESSED_V1]: { change: 'delete', extra: false, compressed: true },
    [CODE.WRITE_ROWS_COMPRESSED]: { change: 'insert', extra: true, compressed: true },
    [CODE.UPDATE_ROWS_COMPRESSED]: { change: 'update', extra: true, compressed: true },
    [CODE.DELETE_ROWS_COMPRESSED]: { change: 'delete', extra: true, compressed: true },
  };

const STATEMENT_END = 1;

/** Decodes the head of a rows event (MySQL internals manual: Rows_event); `code` is one of them. */
export function parseRows(code: number, reader: ByteReader): RowsEvent {
  const shape = SHAPES[code]!;
  const tableId = reader.uint48();
  const flags = reader.uint16();
  if (shape.extra) reader.skip(reader.uint16() - 2); // NDB and partition ids: nothing of the rows
  const columnCount = reader.lengthEncoded();
  const images = shape.change === 'update' ? 2 : 1;
  let full = true;
  for (let i = 0; i < images; i++) full = allPresent(reader, columnCount) && full;
  const bytes = shape.compressed ? inflateEvent(reader.rest()) : reader.bytes;
  if (columnCount === 0 && reader.left > 0) {
    throw new ProxyError('UNDECODABLE', 'A rows event has rows without columns.');
  }
  return {
    kind: 'rows',
    change: shape.change,
    tableId,
    endsStatement: (flags & STATEMENT_END) !== 0,
    columnCount,
    full,
    bytes,
    start: shape.compressed ? 0 : reader.at,
    end: shape.compressed ? bytes.length : reader.end,
  };
}

function allPresent(reader: ByteReader, columns: number): boolean {
  const bitmap = reader.slice((columns + 7) >> 3);
  for (let i = 0; i < columns; i++) {
    if ((bitmap[i >> 3]! & (1 << (i & 7))) === 0) return false;
  }
  return true;
}
