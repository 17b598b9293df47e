import type { Batch } from '../../encode/batch.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import type { TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { TableSpec } from '../../model/table.ts';
import type { FillLimit, SplitReader } from '../source.ts';
import type { MysqlConnection } from './mysql-connection.ts';
import { sourceError } from './mysql-error.ts';
import { packetMemory } from './packet-memory.ts';
import { createSnapshotCodec, type SnapshotCodec } from './snapshot-codec.ts';

/** Without a packet for this long while we want rows, the server is taken for gone. */
const SILENCE_MS = 120_000;
/** The rows of one read go into the batch together, so its limits are passed by so much. */
const READ_BYTES_MAX = 256 * 1024;
const COM_QUERY = 0x03;
const HEADER_BYTES = 4;
const EOF_MARK = 0xfe;
const ERROR_MARK = 0xff;
/** A row whose first value is longer than 16 MiB starts with the same byte as EOF, which is at most 5 bytes long. */
const EOF_BYTES_MAX = 5;
/** Of the connection's capabilities: each COM_QUERY says how many attributes it has, here none. */
const CLIENT_QUERY_ATTRIBUTES = 1 << 27;

/** The parts of mysql2's packet and connection that we touch. */
interface Packet {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly end: number;
  asError(encoding: string): Error;
}

interface Driver {
  addCommand(command: unknown): void;
  writePacket(packet: unknown): void;
  _resetSequenceId(): void;
  readonly stream: { pause(): void; resume(): void };
  readonly clientEncoding: string;
  readonly config: { readonly clientFlags: number };
  readonly serverCapabilityFlags: number;
}

/**
 * Reads one split as raw text rows: from the socket's chunk into the batch, no object for a row. A custom command of mysql2
 * (libraries.md §3), so login and TLS are mysql2's. Between two fills the socket is paused.
 */
export class MysqlSplitReader implements SplitReader {
  readonly #connection: MysqlConnection;
  readonly #driver: Driver;
  readonly #release: (connection: MysqlConnection) => void;
  readonly #table: TableSpec;
  readonly #where: string;
  readonly #codec: SnapshotCodec;
  /** Packets of the result in front of its rows: the header, one for each column, EOF. */
  #headersLeft = -1;
  /** Rows of the chunk that was being read when a fill ended in an earlier one. */
  readonly #waiting: Buffer[] = [];
  #fill: { readonly out: TableBatch; readonly batch: Batch; readonly limit: FillLimit } | undefined;
  #settle: (() => void) | undefined;
  #heard = false;
  #done = false;
  #error: Error | undefined;

  /** `source` is `FROM … WHERE …`; `release` takes the connection back when all rows were read. */
  constructor(
    connection: MysqlConnection,
    table: TableSpec,
    zone: TimeZone,
    source: string,
    where: string,
    release: (connection: MysqlConnection) => void,
  ) {
    this.#connection = connection;
    this.#driver = connection.driver as unknown as Driver;
    this.#release = release;
    this.#table = table;
    this.#where = where;
    this.#codec = createSnapshotCodec(table, zone);
    this.#driver.stream.pause();
    this.#driver.addCommand(this.#command(`SELECT ${this.#codec.select} ${source}`));
  }

  async fill(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    const out = batch.table(this.#table);
    this.#fill = { out, batch, limit };
    for (const row of this.#waiting.splice(0)) {
      this.#codec.writeRow(row, 0, row.length, out);
    }
    if (!this.#done && this.#error === undefined && !this.#isFull()) await this.#read(signal);
    this.#fill = undefined;
    if (this.#error !== undefined) throw sourceError(this.#error, this.#where);
    signal.throwIfAborted();
    return this.#done && this.#waiting.length === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#done) this.#release(this.#connection);
    else this.#connection.destroy();
  }

  /** Lets packets come until the batch is full, the result ends, or something fails. */
  async #read(signal: AbortSignal): Promise<void> {
    let silence: NodeJS.Timeout | undefined;
    const stop = (): void => {
      this.#fail(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    await new Promise<void>((resolve) => {
      this.#settle = resolve;
      signal.addEventListener('abort', stop, { once: true });
      silence = setInterval(() => this.#listen(), SILENCE_MS);
      this.#driver.stream.resume();
    });
    clearInterval(silence);
    signal.removeEventListener('abort', stop);
    this.#settle = undefined;
  }

  #listen(): void {
    if (!this.#heard) {
      const seconds = SILENCE_MS / 1000;
      this.#fail(
        new ProxyError('SOURCE_UNREACHABLE', `${this.#where}: no row within ${seconds} s`),
      );
    }
    this.#heard = false;
  }

  #isFull(): boolean {
    const fill = this.#fill;
    return (
      fill !== undefined &&
      (fill.batch.rows >= fill.limit.rowsMax || fill.batch.bytes >= fill.limit.bytesMax)
    );
  }

  /** Ends the fill that waits; the rest of the chunk in hand still comes, and goes to the same batch. */
  #end(): void {
    this.#driver.stream.pause();
    this.#settle?.();
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.#connection.destroy();
    this.#end();
  }

  #command(sql: string): object {
    return {
      execute: (packet: Packet | undefined): boolean => {
        if (packet !== undefined) return this.#take(packet);
        this.#driver._resetSequenceId();
        // Rows are written or copied as they come.
        packetMemory(this.#driver.stream)?.lend(READ_BYTES_MAX, () => undefined);
        this.#driver.writePacket(queryPacket(sql, this.#driver));
        return false;
      },
      // The connection was lost.
      onResult: (error: Error | null) => {
        if (error !== null) this.#fail(error);
      },
    };
  }

  /** Takes one packet of the result; true when it was the last. */
  #take(packet: Packet): boolean {
    this.#heard = true;
    const { buffer, offset, end } = packet;
    const mark = buffer[offset];
    if (mark === ERROR_MARK) {
      // The connection is as usable as before; only the rows are incomplete.
      this.#error ??= packet.asError(this.#driver.clientEncoding);
      this.#end();
      return true;
    }
    if (this.#headersLeft !== 0) {
      this.#takeHeader(packet);
      return false;
    }
    if (mark === EOF_MARK && end - offset <= EOF_BYTES_MAX) {
      this.#done = true;
      packetMemory(this.#driver.stream)?.keep();
      this.#driver.stream.resume();
      this.#settle?.();
      return true;
    }
    this.#takeRow(buffer, offset, end);
    return false;
  }

  #takeHeader({ buffer, offset }: Packet): void {
    if (this.#headersLeft > 0) {
      this.#headersLeft--;
      return;
    }
    const first = buffer[offset]!;
    const columns = first < 0xfb ? first : buffer.readUInt16LE(offset + 1);
    this.#headersLeft = columns + 1;
  }

  #takeRow(buffer: Buffer, start: number, end: number): void {
    const fill = this.#fill;
    if (fill === undefined) {
      this.#waiting.push(Buffer.from(buffer.subarray(start, end)));
      return;
    }
    try {
      this.#codec.writeRow(buffer, start, end, fill.out);
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#isFull()) this.#end();
  }
}

/** COM_QUERY in the shape that mysql2 sends (MySQL internals manual: COM_QUERY). */
function queryPacket(sql: string, driver: Driver): object {
  const attributes =
    (driver.config.clientFlags & driver.serverCapabilityFlags & CLIENT_QUERY_ATTRIBUTES) !== 0;
  const head = attributes ? [COM_QUERY, 0, 1] : [COM_QUERY];
  const text = Buffer.from(sql);
  const buffer = Buffer.concat([Buffer.alloc(HEADER_BYTES), Buffer.from(head), text]);
  return {
    buffer,
    length: () => buffer.length,
    writeHeader(sequenceId: number): void {
      buffer.writeUIntLE(buffer.length - HEADER_BYTES, 0, 3);
      buffer[3] = sequenceId;
    },
  };
}
