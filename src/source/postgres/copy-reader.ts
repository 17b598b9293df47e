import type { Submittable } from 'pg';
import { ProxyError } from '../../model/error.ts';
import type { RawConnection, Session } from './connection.ts';
import { Inflow } from './inflow.ts';
import { HEADER, MessageQueue } from './message-queue.ts';
import { postgresError } from './postgres-error.ts';

const COPY_DATA = 0x64; // d
const COPY_DONE = 0x63; // c
const ERROR = 0x45; // E
const NEWLINE = 0x0a;

/** What is read while the reader is not: little, as many tables may be read at a time. */
const BYTES_HIGH = 512 * 1024;
const BYTES_LOW = 128 * 1024;

/** A server that plans or sorts may be silent for long; one that is gone is found by TCP keep-alive sooner. */
const SILENCE_MS_MAX = 600_000;

/** An object and not a function: each fill would bring another one, and optimised code is for the one that it has seen. */
export interface RowTaker {
  /** Takes one row, `b[from..to)` without its newline; `false`: enough for now. */
  row(b: Buffer, from: number, to: number): boolean;
}

/**
 * `COPY … TO STDOUT` read where the socket put it: rows are encoded out of the received memory. The driver is passed by for the
 * length of the COPY and given the connection back with the first message that is not ours, so that errors and the end of the
 * command take the driver's way.
 */
export class CopyReader {
  readonly #session: Session;
  readonly #sql: string;
  readonly #queue = new MessageQueue();
  #inflow: Inflow | undefined;
  #submitted = false;
  #done = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  /** `sql` is one COPY statement; it is sent at the first {@link read}. */
  constructor(session: Session, sql: string) {
    this.#session = session;
    this.#sql = sql;
  }

  /**
   * Hands rows to `taker` until it has enough or there are no more; `true` after the last one.
   * In between little is read ahead. After an error or an abort the session is of no use any more.
   */
  async read(taker: RowTaker, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    const wake = (): void => this.#wake?.();
    const silence = setTimeout(() => {
      this.#fail(new Error(`no answer to COPY for ${SILENCE_MS_MAX / 1000} s`));
    }, SILENCE_MS_MAX);
    signal.addEventListener('abort', wake);
    try {
      if (!this.#submitted) this.#submit();
      for (;;) {
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#done) return true;
        if (this.#inflow !== undefined && !this.#take(this.#inflow, taker)) return false;
        // The driver's callbacks may have been called.
        if (this.#done || this.#failure !== undefined) continue;
        silence.refresh();
        await new Promise<void>((resolve) => (this.#wake = resolve));
        signal.throwIfAborted();
      }
    } finally {
      this.#wake = undefined;
      clearTimeout(silence);
      signal.removeEventListener('abort', wake);
    }
  }

  #submit(): void {
    this.#submitted = true;
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
    this.#inflow = new Inflow(connection.stream, this.#queue, {
      bytesHigh: BYTES_HIGH,
      bytesLow: BYTES_LOW,
      received: () => this.#wake?.(),
      failed: (error) => this.#fail(error),
    });
    connection.query(this.#sql);
  }

  /** Takes what has arrived; `false` when there is enough. */
  #take(inflow: Inflow, taker: RowTaker): boolean {
    const queue = this.#queue;
    try {
      while (queue.peek()) {
        const { buffer, start, end } = queue;
        const type = buffer[start];
        if (type === COPY_DATA) {
          // One row for each message, its newline included.
          const last = buffer[end - 1] === NEWLINE ? end - 1 : end;
          queue.advance();
          if (!taker.row(buffer, start + HEADER, last)) return false;
        } else if (type === COPY_DONE || type === ERROR) {
          this.#inflow = undefined;
          inflow.end();
          return true;
        } else {
          // CopyOutResponse, and what may come at any time: notices, parameter changes, notifications.
          queue.advance();
        }
      }
    } catch (error) {
      // Thrown by the row's encoder: the rest of the COPY is of no interest, and cannot be stopped politely.
      this.#failure = error;
      inflow.close();
      this.#session.destroy();
      throw error;
    } finally {
      inflow.refill();
    }
    return true;
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
  const row = (b: Buffer, from: number, to: number): boolean => {
    take(b, from, to);
    return true;
  };
  const done = await reader.read({ row }, signal);
  if (!done) throw new ProxyError('SOURCE_UNREACHABLE', 'COPY ended early');
}
