/**
 * Answers of our own, in the form that the client and the FE have agreed upon (wire.md §2.7), and the reading of an
 * FE's text result when we are the one who asked.
 */
import {
  binaryType,
  encodeDefinition,
  readDefinition,
  TEXT,
  writeBinary,
  type ColumnType,
} from './column-type.ts';
import { encodePacket, PacketReader, ProtocolError } from './packet.ts';
import { Cursor, PayloadWriter } from './value.ts';

/** Server status flags (MySQL internals manual: "Status Flags"). */
export const Status = {
  IN_TRANS: 0x0001,
  AUTOCOMMIT: 0x0002,
  MORE_RESULTS: 0x0008,
  CURSOR_EXISTS: 0x0040,
  NO_BACKSLASH_ESCAPES: 0x0200,
  IN_TRANS_READONLY: 0x2000,
} as const;

/** Flags that describe the session and not one answer: these alone may be repeated in an answer of ours. */
const SESSION_STATUS =
  Status.IN_TRANS | Status.AUTOCOMMIT | Status.NO_BACKSLASH_ESCAPES | Status.IN_TRANS_READONLY;

/** How an answer of ours must be written on one connection. */
export interface Dialect {
  /** Agreed by both sides: result sets end with OK and have no EOF after the definitions. */
  readonly deprecateEof: boolean;
  /** Status flags of the FE's last answer, so that a transaction does not seem to end with our answer. */
  readonly status: number;
  /** The client asked for a cursor and takes the first end marker for the word on it: see connect-attributes.ts. */
  readonly marksCursor?: boolean;
}

/** A result whose values are texts. */
export interface TextTable {
  readonly columns: readonly string[];
  /** Of each column; absent: all are texts. */
  readonly types?: readonly ColumnType[];
  readonly rows: readonly (readonly (string | null)[])[];
}

/** Writes one answer: packets with sequence ids that go on from the request's last. */
class Answer {
  readonly #packets: Buffer[] = [];
  readonly #dialect: Dialect;
  #sequence: number;

  constructor(requestSequence: number, dialect: Dialect) {
    this.#sequence = requestSequence;
    this.#dialect = dialect;
  }

  packet(payload: Buffer): this {
    const framed = encodePacket(this.#sequence + 1, payload);
    // A payload of 16 MiB takes several ids; the id of the last packet is the one that counts.
    this.#sequence += Math.floor(payload.length / 0xff_ff_ff) + 1;
    this.#packets.push(framed);
    return this;
  }

  ok(): this {
    const ok = new PayloadWriter().u8(0).lenenc(0).lenenc(0).u16(this.#status()).u16(0);
    // Doris writes the empty info text only where it offers DEPRECATE_EOF (doris-target.md §4.4).
    return this.packet((this.#dialect.deprecateEof ? ok.u8(0) : ok).payload());
  }

  definitions(names: readonly string[], types: readonly ColumnType[] = []): this {
    names.forEach((name, i) => this.packet(encodeDefinition(name, types[i] ?? TEXT)));
    return this.#dialect.deprecateEof ? this : this.#eof();
  }

  end(): this {
    if (!this.#dialect.deprecateEof) return this.#eof();
    // At least 7 bytes with an info text: Connector/J reads it always.
    return this.packet(
      new PayloadWriter().u8(0xfe).lenenc(0).lenenc(0).u16(this.#status()).u16(0).u8(0).payload(),
    );
  }

  bytes(): Buffer {
    return Buffer.concat(this.#packets);
  }

  #eof(): this {
    return this.packet(new PayloadWriter().u8(0xfe).u16(0).u16(this.#status()).payload());
  }

  #status(): number {
    return this.#dialect.status & SESSION_STATUS;
  }
}

function textRow(row: readonly (string | null)[]): Buffer {
  const writer = new PayloadWriter();
  for (const value of row) {
    if (value === null) writer.u8(0xfb);
    else writer.lenencText(value);
  }
  return writer.payload();
}

/** A row of the binary protocol; its NULL bitmap starts at bit 2 (MySQL internals manual: "Binary Protocol Resultset Row"). */
function binaryRow(row: readonly (string | null)[], types: readonly ColumnType[]): Buffer {
  const nulls = Buffer.alloc(Math.floor((row.length + 9) / 8));
  const values = new PayloadWriter();
  row.forEach((value, i) => {
    const byte = (i + 2) >> 3;
    if (value === null) nulls[byte] = (nulls[byte] ?? 0) | (1 << ((i + 2) & 7));
    else writeBinary(values, value, types[i] ?? TEXT);
  });
  return Buffer.concat([Buffer.of(0), nulls, values.payload()]);
}

/** @param requestSequence sequence id of the request's last packet. */
export function encodeOk(requestSequence: number, dialect: Dialect): Buffer {
  return new Answer(requestSequence, dialect).ok().bytes();
}

type TableArguments = [
  requestSequence: number,
  dialect: Dialect,
  table: TextTable,
  form: 'text' | 'binary',
];

/** A result set: text for COM_QUERY, `binary` for COM_STMT_EXECUTE. */
export function encodeTable(...args: TableArguments): Buffer {
  const pieces = encodePieces(...args);
  for (;;) {
    const piece = pieces.next();
    if (piece.done === true) return piece.value;
  }
}

/** As {@link encodeTable}, with `pause` between every few hundred rows: for a table that may be long. */
export async function encodeLongTable(
  pause: () => Promise<void>,
  ...args: TableArguments
): Promise<Buffer> {
  const pieces = encodePieces(...args);
  for (;;) {
    const piece = pieces.next();
    if (piece.done === true) return piece.value;
    await pause();
  }
}

/** A few milliseconds of work. */
const PIECE_ROWS = 500;

function* encodePieces(
  ...[requestSequence, dialect, table, form]: TableArguments
): Generator<void, Buffer> {
  const answer = new Answer(requestSequence, dialect);
  const types = form === 'text' ? table.types : table.types?.map(binaryType);
  answer.packet(new PayloadWriter().lenenc(table.columns.length).payload());
  answer.definitions(table.columns, types);
  // There is no cursor: the marker says so, and the rows follow it all the same.
  if (dialect.marksCursor && dialect.deprecateEof) answer.end();
  for (const [i, row] of table.rows.entries()) {
    if (i % PIECE_ROWS === PIECE_ROWS - 1) yield;
    answer.packet(form === 'text' ? textRow(row) : binaryRow(row, types ?? []));
  }
  return answer.end().bytes();
}

/** An ERR packet. The text is cut at 64 KiB: some drivers read it into a fixed buffer. */
export function encodeError(
  requestSequence: number,
  errno: number,
  sqlState: string,
  message: string,
): Buffer {
  const text = Buffer.from(message, 'utf8').subarray(0, 65_535);
  const payload = new PayloadWriter()
    .u8(0xff)
    .u16(errno)
    .bytes(Buffer.from(`#${sqlState}`, 'latin1'))
    .bytes(text)
    .payload();
  return encodePacket(requestSequence + 1, payload);
}

/** COM_STMT_PREPARE_OK with its definitions: Connector/J, ODBC and Tableau read the metadata here. */
export function encodePrepared(
  requestSequence: number,
  dialect: Dialect,
  statement: {
    readonly id: number;
    readonly columns: readonly string[];
    readonly types?: readonly ColumnType[];
    readonly parameterCount: number;
  },
): Buffer {
  const { id, columns, types, parameterCount } = statement;
  const answer = new Answer(requestSequence, dialect);
  answer.packet(
    new PayloadWriter()
      .u8(0)
      .u32(id)
      .u16(columns.length)
      .u16(parameterCount)
      .u8(0)
      .u16(0)
      .payload(),
  );
  if (parameterCount > 0) answer.definitions(Array.from({ length: parameterCount }, () => '?'));
  if (columns.length > 0) answer.definitions(columns, types?.map(binaryType));
  return answer.bytes();
}

/** An answer of the FE to a question of ours. */
export type FrontendAnswer =
  | { readonly kind: 'ok' }
  | { readonly kind: 'table'; readonly table: TextTable }
  | {
      readonly kind: 'error';
      readonly errno: number;
      readonly sqlState: string;
      readonly message: string;
    };

/** Reads an ERR payload, with or without SQLSTATE. */
export function readError(payload: Buffer): FrontendAnswer & { readonly kind: 'error' } {
  const errno = payload.length >= 3 ? payload.readUInt16LE(1) : 1105;
  const marked = payload[3] === 0x23 && payload.length >= 9;
  return {
    kind: 'error',
    errno,
    sqlState: marked ? payload.toString('latin1', 4, 9) : 'HY000',
    message: payload.toString('utf8', marked ? 9 : 3),
  };
}

/** The protocol has two bytes for the number of columns where it prepares a statement. */
const COLUMNS_MAX = 65_535;

function isEnd(payload: Buffer): boolean {
  return payload[0] === 0xfe && payload.length < 0xff_ff_ff;
}

/**
 * Reads a complete first answer of COM_QUERY out of `bytes`.
 * @throws ProtocolError when the bytes are not one.
 */
export function readAnswer(bytes: Buffer): FrontendAnswer {
  const packets = new PacketReader(bytes.length);
  packets.push(bytes);
  const next = (): Buffer => {
    const packet = packets.next();
    if (!packet) throw new ProtocolError('answer ends early');
    return packet.payload;
  };
  const first = next();
  if (first[0] === 0xff) return readError(first);
  if (first[0] === 0) return { kind: 'ok' };
  const count = new Cursor(first).lenenc();
  if (count === undefined) throw new ProtocolError('the FE asked for a file');
  if (count > COLUMNS_MAX) throw new ProtocolError(`a result of ${count} columns`);
  const types = Array.from({ length: count }, () => readDefinition(next()));
  const columns = types.map(({ name }) => name);
  const rows: (string | null)[][] = [];
  let payload = next();
  if (isEnd(payload) && payload.length <= 5) payload = next(); // EOF of the definitions
  while (!isEnd(payload)) {
    if (payload[0] === 0xff) return readError(payload);
    const cursor = new Cursor(payload);
    rows.push(columns.map(() => cursor.lenencBytes()?.toString('utf8') ?? null));
    payload = next();
  }
  return { kind: 'table', table: { columns, types, rows } };
}
