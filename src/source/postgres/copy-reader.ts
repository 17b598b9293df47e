import type { Submittable } from 'pg';
import { ProxyError } from '../../model/error.ts';
import type { RawConnection, Session } from './connection.ts';
import { postgresError } from './postgres-error.ts';

/** Message type and length. */
const HEADER = 5;
const COPY_DATA = 0x64; // d
const COPY_DONE = 0x63; // c
const ERROR = 0x45; // E

/** A server that plans or sorts may be silent for long; one that is gone is found by TCP keep-alive sooner. */
const SILENCE_MS_MAX = 600_000;

/** Takes one row, `b[from..to)` without its newline; `false`: enough for now. */
export type RowTaker = (b: Buffer, from: number, to: number) => boolean;

type Listener = (chunk: Buffer) => void;

/**
 * `COPY … TO STDOUT` read where the socket put it: rows are encoded out of the received chunk, and only one that is cut
 * by a chunk's end is copied. The driver's own data listener is put aside for the length of the COPY and given
 * back with the first byte that is not ours, so that errors and the end of the command take the driver's way.
 */
export class CopyReader {
  readonly #session: Session;
  readonly #sql: string;
  #connection: RawConnection | undefined;
  #driver: Listener | undefined;
  /** What was received and not taken yet. */
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  /** A message that a chunk's end cut: its whole length is allocated, `#filled` bytes are here. */
  #cut: Buffer | undefined;
  #filled = 0;
  #take: RowTaker | undefined;
  #done = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  /** `sql` is one COPY statement; it is sent at the first {@link read}. */
  constructor(session: Session, sql: string) {
    this.#session = session;
    this.#sql = sql;
  }

  /**
   * Hands rows to `take` until it has enough or there are no more; `true` after the last one.
   * In between the socket is paused. After an error or an abort the session is of no use any more.
   */
  async read(take: RowTaker, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    this.#take = take;
    try {
      if (this.#connection === undefined) this.#submit();
      else this.#consume();
      // Rejected or finished by the driver's callbacks, so it is looked at only after them.
      if (this.#take !== undefined && !this.#done && this.#failure === undefined) {
        this.#connection?.stream.resume();
        await this.#change(signal);
      }
    } finally {
      // Also when aborted: what still arrives belongs to nobody.
      this.#take = undefined;
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.#done;
  }

  async #change(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(() => {
        this.#fail(new Error(`no answer to COPY for ${SILENCE_MS_MAX / 1000} s`));
        wake();
      }, SILENCE_MS_MAX);
      signal.addEventListener('abort', wake);
      this.#wake = wake;
    });
    signal.throwIfAborted();
  }

  #submit(): void {
    const query = {
      submit: (connection: unknown) => this.#attach(connection as RawConnection),
      handleError: (error: Error) => this.#fail(error),
      handleCommandComplete: () => undefined,
      handleReadyForQuery: () => this.#finish(),
      handleRowDescription: () => undefined,
      handleDataRow: () => undefined,
      handlePortalSuspended: () => undefined,
      handleEmptyQuery: () => undefined,
    };
    this.#session.client.query(query as unknown as Submittable);
  }

  #attach(connection: RawConnection): void {
    const { stream } = connection;
    this.#connection = connection;
    const [driver] = stream.listeners('data') as Listener[];
    this.#driver = driver;
    if (driver !== undefined) stream.off('data', driver);
    stream.on('data', this.#receive);
    connection.query(this.#sql);
  }

  readonly #receive = (chunk: Buffer): void => {
    this.#chunk = chunk;
    this.#at = 0;
    this.#consume();
  };

  /** Walks the messages of the chunk until it is used up or the taker has enough. */
  #consume(): void {
    try {
      while (this.#take !== undefined && this.#at < this.#chunk.length) {
        if (this.#cut === undefined) this.#whole();
        else this.#completeCut(this.#cut);
      }
    } catch (error) {
      // Thrown by the row's encoder: the rest of the COPY is of no interest, and cannot be stopped politely.
      this.#failure ??= error;
      this.#session.destroy();
      this.#wake?.();
    }
    if (this.#take === undefined && !this.#done) this.#connection?.stream.pause();
  }

  /** The next message, or the start of one that goes on in the next chunk. */
  #whole(): void {
    const chunk = this.#chunk;
    const have = chunk.length - this.#at;
    if (have >= HEADER) {
      const length = 1 + chunk.readUInt32BE(this.#at + 1);
      if (length <= have) {
        const from = this.#at;
        this.#at += length;
        this.#message(chunk, from, from + length);
        return;
      }
      this.#cut = Buffer.allocUnsafe(length);
    } else {
      // Not even the length is here: one byte decides nothing, so the header is collected first.
      this.#cut = Buffer.allocUnsafe(HEADER);
    }
    this.#filled = chunk.copy(this.#cut, 0, this.#at);
    this.#at = chunk.length;
  }

  #completeCut(cut: Buffer): void {
    const copied = this.#chunk.copy(cut, this.#filled, this.#at);
    this.#filled += copied;
    this.#at += copied;
    if (this.#filled < cut.length) return;
    const length = 1 + cut.readUInt32BE(1);
    if (length > cut.length) {
      this.#cut = Buffer.allocUnsafe(length);
      cut.copy(this.#cut);
      return;
    }
    this.#cut = undefined;
    this.#message(cut, 0, length);
  }

  #message(b: Buffer, from: number, to: number): void {
    switch (b[from]!) {
      case COPY_DATA: {
        // One row for each message, its newline included.
        const end = b[to - 1] === 0x0a ? to - 1 : to;
        if (this.#take?.(b, from + HEADER, end) === false) this.#enough();
        return;
      }
      case COPY_DONE:
        this.#handBack(b.subarray(from, to));
        return;
      case ERROR:
        this.#handBack(b.subarray(from, to));
        return;
      default:
      // CopyOutResponse, and what may come at any time: notices, parameter changes, notifications.
    }
  }

  #enough(): void {
    this.#take = undefined;
    this.#wake?.();
  }

  /** The driver reads on, from this message. */
  #handBack(message: Buffer): void {
    const rest = this.#chunk.subarray(this.#at);
    this.#at = this.#chunk.length;
    const stream = this.#connection!.stream;
    stream.off('data', this.#receive);
    const driver = this.#driver!;
    stream.on('data', driver);
    driver(message);
    if (rest.length > 0) driver(rest);
  }

  #finish(): void {
    this.#done = true;
    this.#wake?.();
  }

  #fail(cause: unknown): void {
    if (this.#done) return;
    this.#failure ??= postgresError('reading a table by COPY', cause);
    this.#wake?.();
  }
}

/** @throws ProxyError UNDECODABLE. For callers that read a COPY of a few rows to its end. */
export async function copyAll(
  session: Session,
  sql: string,
  take: (b: Buffer, from: number, to: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const reader = new CopyReader(session, sql);
  const done = await reader.read((b, from, to) => {
    take(b, from, to);
    return true;
  }, signal);
  if (!done) throw new ProxyError('SOURCE_UNREACHABLE', 'COPY ended early');
}
