import { ProxyError } from '../../model/error.ts';

/**
 * Messages of the pgoutput plug-in, protocol version 1 (PostgreSQL manual: "Logical Replication Message Formats").
 * Row messages are not turned into objects: {@link TupleCursor} walks them in place.
 */

/** What we do with each message type; a byte that is not here stops the job. */
export const MESSAGE = {
  BEGIN: 0x42, // B
  COMMIT: 0x43, // C
  RELATION: 0x52, // R
  INSERT: 0x49, // I
  UPDATE: 0x55, // U
  DELETE: 0x44, // D
  TRUNCATE: 0x54, // T
  /** Where the change first came from: says nothing about the row. */
  ORIGIN: 0x4f, // O
  /** Name of a user's type; we ask the catalog by OID instead. */
  TYPE: 0x59, // Y
  /** `pg_logical_emit_message`: no table's data. Not asked for, so not expected either. */
  LOGICAL: 0x4d, // M
} as const;

/** Kinds of a tuple's values. */
export const VALUE = {
  NULL: 0x6e, // n
  /** TOASTed and not changed by this UPDATE: the log does not hold it. */
  UNCHANGED: 0x75, // u
  TEXT: 0x74, // t
} as const;

/** Tuples of UPDATE and DELETE in front of the new one. */
export const TUPLE = {
  NEW: 0x4e, // N
  /** Old values of the replica identity's columns, all others NULL. */
  KEY: 0x4b, // K
  /** The whole old row: REPLICA IDENTITY FULL. */
  OLD: 0x4f, // O
} as const;

export interface Begin {
  /** Start of the transaction's commit record. */
  readonly commitLsn: bigint;
  /** The low 32 bits of the transaction's id. */
  readonly xid: number;
}

export interface Commit {
  /** End of the commit record: where the stream goes on (cdc-semantics.md §4.5.1). */
  readonly endLsn: bigint;
  /** Microseconds since 1970. */
  readonly usec: bigint;
}

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly modifier: number;
  /** Part of the replica identity. */
  readonly identity: boolean;
}

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `d` default, `n` nothing, `f` full, `i` index. */
  readonly identity: string;
  readonly columns: readonly RelationColumn[];
}

/** Microseconds between 1970 and 2000, Postgres' epoch. */
const EPOCH_USEC = 946_684_800_000_000n;

export function readBegin(b: Buffer, start: number, end: number): Begin {
  exactly(b, start, end, 21);
  return { commitLsn: b.readBigUInt64BE(start + 1), xid: b.readUInt32BE(start + 17) };
}

export function readCommit(b: Buffer, start: number, end: number): Commit {
  exactly(b, start, end, 26);
  if (b[start + 1] !== 0) throw malformed(b, start, `commit flags ${b[start + 1]}`);
  return {
    endLsn: b.readBigUInt64BE(start + 10),
    usec: b.readBigInt64BE(start + 18) + EPOCH_USEC,
  };
}

export function readRelation(b: Buffer, start: number, end: number): Relation {
  need(b, start, start + 5, end);
  const oid = b.readUInt32BE(start + 1);
  const schema = readName(b, start, start + 5, end);
  const name = readName(b, start, schema.next, end);
  need(b, start, name.next + 3, end);
  const identity = String.fromCharCode(b[name.next]!);
  const count = b.readUInt16BE(name.next + 1);
  const columns: RelationColumn[] = [];
  let at = name.next + 3;
  for (let i = 0; i < count; i++) {
    need(b, start, at + 1, end);
    const flags = b[at]!;
    const column = readName(b, start, at + 1, end);
    need(b, start, column.next + 8, end);
    columns.push({
      name: column.text,
      typeOid: b.readUInt32BE(column.next),
      modifier: b.readInt32BE(column.next + 4),
      identity: (flags & 1) === 1,
    });
    at = column.next + 8;
  }
  if (at !== end) throw malformed(b, start, 'bytes after its end');
  // The server writes pg_catalog as the empty string.
  return { oid, schema: schema.text || 'pg_catalog', name: name.text, identity, columns };
}

/** OIDs of the truncated relations. CASCADE and RESTART IDENTITY need nothing of us: each table is listed. */
export function readTruncate(b: Buffer, start: number, end: number): readonly number[] {
  need(b, start, start + 6, end);
  const count = b.readUInt32BE(start + 1);
  exactly(b, start, end, 6 + 4 * count);
  return Array.from({ length: count }, (_, i) => b.readUInt32BE(start + 6 + 4 * i));
}

/** OID of the relation that an INSERT, UPDATE or DELETE is about. */
export function rowRelation(b: Buffer, start: number, end: number): number {
  need(b, start, start + 6, end);
  return b.readUInt32BE(start + 1);
}

/** Walks the values of one tuple without copying them. One cursor serves all rows of a stream. */
export class TupleCursor {
  buffer: Buffer = Buffer.alloc(0);
  /** Kind of the value that {@link next} stopped at. */
  kind = 0;
  /** Its text, in `buffer`; both 0 unless the kind is TEXT. */
  from = 0;
  to = 0;
  /** Where the tuple's next value begins; after the last one, the end of the tuple. */
  at = 0;
  #start = 0;
  #end = 0;

  /** Enters the tuple at `at` in a message `start..end`; returns its number of columns. */
  open(buffer: Buffer, start: number, end: number, at: number): number {
    need(buffer, start, at + 2, end);
    this.buffer = buffer;
    this.#start = start;
    this.#end = end;
    this.at = at + 2;
    return (buffer[at]! << 8) | buffer[at + 1]!;
  }

  next(): void {
    const { buffer, at } = this;
    if (at >= this.#end) throw malformed(buffer, this.#start, 'ends inside a row');
    const kind = buffer[at]!;
    this.kind = kind;
    if (kind === VALUE.TEXT) {
      const from = at + 5;
      if (from > this.#end) throw malformed(buffer, this.#start, 'ends inside a value');
      const length =
        ((buffer[at + 1]! << 24) |
          (buffer[at + 2]! << 16) |
          (buffer[at + 3]! << 8) |
          buffer[at + 4]!) >>>
        0;
      const to = from + length;
      if (to > this.#end) throw malformed(buffer, this.#start, 'ends inside a value');
      this.from = from;
      this.to = to;
      this.at = to;
      return;
    }
    // Binary values ('b') come only when they are asked for.
    if (kind !== VALUE.NULL && kind !== VALUE.UNCHANGED) {
      throw malformed(buffer, this.#start, `value kind 0x${kind.toString(16)}`);
    }
    this.from = 0;
    this.to = 0;
    this.at = at + 1;
  }

  /** The message must end where its last tuple does. */
  finish(): void {
    if (this.at !== this.#end) throw malformed(this.buffer, this.#start, 'bytes after its end');
  }
}

function readName(
  b: Buffer,
  start: number,
  at: number,
  end: number,
): { readonly text: string; readonly next: number } {
  const stop = b.indexOf(0, at);
  if (stop === -1 || stop >= end) throw malformed(b, start, 'ends inside a name');
  return { text: b.toString('utf8', at, stop), next: stop + 1 };
}

function need(b: Buffer, start: number, at: number, end: number): void {
  if (at > end) throw malformed(b, start, 'too short');
}

function exactly(b: Buffer, start: number, end: number, length: number): void {
  if (end - start !== length)
    throw malformed(b, start, `${end - start} bytes instead of ${length}`);
}

/** A message that is not what the manual says: a named stop, with the message's type and no row data. */
export function malformed(b: Buffer, start: number, what: string): ProxyError {
  const type = String.fromCharCode(b[start] ?? 0x3f);
  return new ProxyError('UNDECODABLE', `Postgres sent a replication message '${type}': ${what}`);
}
