import type { Socket } from 'node:net';
import type { Client } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { ProxyError } from '../../model/error.ts';
import {
  clientConfig,
  rawConnection,
  type PostgresTarget,
  type RawConnection,
} from './connection.ts';
import { lsnText, parseLsn } from './lsn.ts';
import { MessageQueue } from './message-queue.ts';
import { streamError } from './replication-slot.ts';
import { quoteLiteral, quoteName } from './sql-text.ts';

/** A keep-alive in the queue, among pgoutput's messages (which begin with letters): this byte, then its LSN. */
export const KEEPALIVE = 0;

/** Above: the socket waits; below: it goes on. A row of any size still passes, alone. */
const QUEUE_BYTES_HIGH = 8 * 1024 * 1024;
const QUEUE_BYTES_LOW = 2 * 1024 * 1024;

/**
 * The walsender sends each change as a small packet, and whoever reads at once pays a wake-up for each row, on both
 * sides. A chunk below this size is followed by a rest of 1 ms: 3.8 times less CPU here, 1.45 times the rows
 * (libraries.md §4). Larger chunks are not: a rest for each would cap the rate.
 */
const CHUNK_BYTES_EAGER = 32 * 1024;
const REST_MS = 1;

/** Log-in and START_REPLICATION: the server answers before it decodes anything. */
const START_TIMEOUT_MS = 60_000;
const STATUS_MS_MAX = 10_000;
const SENDER_TIMEOUT_DEFAULT_MS = 60_000;
/**
 * A server that decodes a huge transaction says nothing for a while; one that is gone never answers.
 * Longer than any rest of the first kind that we know, and TCP keep-alive finds most of the second kind sooner.
 */
const SILENCE_MS_MAX = 180_000;

export interface WalReaderOptions {
  readonly target: PostgresTarget;
  readonly slot: string;
  readonly publication: string;
  /** Where to start; durable in Doris and in the catalog. */
  readonly from: bigint;
  /** The server's `wal_sender_timeout`, 0: none. */
  readonly senderTimeoutMs: number;
}

/**
 * One replication connection. Logging in and starting is `pg-logical-replication`'s; its parser, its timer and its
 * acknowledgements are not used (cdc-semantics.md §4.5): raw pgoutput messages come through the plug-in interface
 * into a bounded queue, and status messages are ours.
 *
 * What is confirmed is only what {@link confirm} was told, exactly: the library would add 1, and a commit record that begins
 * there would never be sent again (§4.5.1).
 */
export class WalReader implements AsyncDisposable {
  readonly queue = new MessageQueue();
  readonly #service: LogicalReplicationService;
  readonly #options: WalReaderOptions;
  #connection: RawConnection | undefined;
  #confirmed: bigint;
  #failure: ProxyError | undefined;
  #closed = false;
  #wake: (() => void) | undefined;
  #full = false;
  #resting: NodeJS.Timeout | undefined;
  #statusTimer: NodeJS.Timeout | undefined;
  #heardAt = Date.now();

  private constructor(options: WalReaderOptions) {
    this.#options = options;
    this.#confirmed = options.from;
    this.#service = new LogicalReplicationService(clientConfig(options.target), {
      acknowledge: { auto: false, timeoutSeconds: 0 },
    });
    this.#service.on('error', (cause: Error) => this.#fail(cause));
    this.#service.on('heartbeat', (lsn: string, _time: number, reply: boolean) => {
      this.#keepalive(lsn, reply);
    });
  }

  /** @throws ProxyError SOURCE_UNREACHABLE, SOURCE_ACCESS, SOURCE_SETTING, POSITION_LOST */
  static async open(options: WalReaderOptions): Promise<WalReader> {
    const reader = new WalReader(options);
    try {
      await reader.#start();
    } catch (cause) {
      await reader[Symbol.asyncDispose]();
      throw streamError(options.slot, options.publication, cause);
    }
    return reader;
  }

  /** The error that ended the stream, once everything that came before it has been read. */
  get failure(): ProxyError | undefined {
    return this.#failure;
  }

  /**
   * Waits for a message, at most `ms`; returns at once when there is one.
   * @throws the stream's error, or the signal's reason.
   */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#refill();
    if (this.queue.peek()) return;
    if (this.#failure !== undefined) throw this.#failure;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, Math.max(1, ms));
      signal.addEventListener('abort', wake);
      this.#wake = wake;
    });
    signal.throwIfAborted();
  }

  /** Lets the socket go on once the queue has been read far enough; called while messages are consumed. */
  #refill(): void {
    if (!this.#full || this.queue.bytes > QUEUE_BYTES_LOW) return;
    this.#full = false;
    this.#heardAt = Date.now();
    this.#socket?.resume();
  }

  advance(): void {
    this.queue.advance();
    if (this.#full) this.#refill();
  }

  /** Everything that committed before `lsn` is durable in Doris and in the catalog. */
  confirm(lsn: bigint): void {
    if (lsn <= this.#confirmed) return;
    this.#confirmed = lsn;
    this.#sendStatus(false);
  }

  /** Asks the server how far it has read: a keep-alive follows. */
  ask(): void {
    this.#sendStatus(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearInterval(this.#statusTimer);
    clearTimeout(this.#resting);
    this.#failure ??= new ProxyError('SOURCE_UNREACHABLE', 'the replication stream was closed');
    this.#wake?.();
    // Not asked to end: it may be paused, and would never see the answer.
    this.#socket?.destroy();
    await this.#service.destroy().catch(() => undefined);
  }

  get #socket(): Socket | undefined {
    return this.#connection?.stream;
  }

  async #start(): Promise<void> {
    const started = new Promise<void>((resolve) => {
      this.#service.on('start', () => resolve());
    });
    const late = setTimeout(() => {
      this.#fail(new Error(`no answer to START_REPLICATION for ${START_TIMEOUT_MS / 1000} s`));
      this.#socket?.destroy();
    }, START_TIMEOUT_MS);
    const plugin = this.#plugin();
    type Plugin = Parameters<LogicalReplicationService['subscribe']>[0];
    // Only the shape is asked for at run time; the base class is not exported.
    const ended = this.#service
      .subscribe(plugin as unknown as Plugin, this.#options.slot, lsnText(this.#options.from))
      .then(() => this.#fail(new Error('the server ended the stream')));
    ended.catch((cause: unknown) => this.#fail(cause));
    try {
      await Promise.race([started, ended]);
    } finally {
      clearTimeout(late);
    }
    if (this.#failure !== undefined) throw this.#failure;
    const { senderTimeoutMs } = this.#options;
    const every = Math.min(STATUS_MS_MAX, (senderTimeoutMs || SENDER_TIMEOUT_DEFAULT_MS) / 3);
    this.#statusTimer = setInterval(() => this.#tick(), every);
  }

  #plugin(): {
    readonly name: string;
    start(client: Client, slot: string, lsn: string): Promise<unknown>;
    parse(message: Buffer): void;
  } {
    return {
      name: 'pgoutput',
      start: (client, slot, lsn) => {
        const connection = rawConnection(client);
        this.#connection = connection;
        connection.stream.on('data', (chunk: Buffer) => this.#rest(chunk.length));
        // The library only prints a warning about a message that it does not know.
        connection.on('copyData', ({ chunk }) => {
          if (chunk[0] === 0x77 || chunk[0] === 0x6b) return;
          this.#fail(
            new ProxyError('UNDECODABLE', `replication message 0x${chunk[0]?.toString(16)}`),
          );
        });
        const publication = quoteLiteral(quoteName(this.#options.publication));
        return client.query(
          `START_REPLICATION SLOT ${quoteName(slot)} LOGICAL ${lsn} (proto_version '1', publication_names ${publication})`,
        );
      },
      // Called inside the socket's handler: it must not throw, and the bytes are gone when it returns.
      parse: (message) => this.#push(message),
    };
  }

  #push(message: Uint8Array): void {
    this.#heardAt = Date.now();
    this.queue.push(message);
    if (this.queue.bytes > QUEUE_BYTES_HIGH && !this.#full) {
      this.#full = true;
      this.#socket?.pause();
    }
    this.#wake?.();
  }

  #keepalive(lsn: string, reply: boolean): void {
    const message = Buffer.alloc(9, KEEPALIVE);
    message.writeBigUInt64BE(parseLsn(lsn), 1);
    this.#push(message);
    if (reply) this.#sendStatus(false);
  }

  #rest(bytes: number): void {
    if (bytes >= CHUNK_BYTES_EAGER || this.#full || this.#resting !== undefined) return;
    this.#socket?.pause();
    this.#resting = setTimeout(() => {
      this.#resting = undefined;
      if (!this.#full) this.#socket?.resume();
    }, REST_MS);
  }

  #tick(): void {
    if (this.#full) this.#heardAt = Date.now();
    else if (Date.now() - this.#heardAt > SILENCE_MS_MAX) {
      this.#fail(new Error(`no message for ${SILENCE_MS_MAX / 1000} s`));
      return;
    }
    this.#sendStatus(true);
  }

  /** Standby status update (PostgreSQL manual: "Streaming Replication Protocol"), also while the socket is paused. */
  #sendStatus(reply: boolean): void {
    if (this.#connection === undefined || this.#failure !== undefined) return;
    const status = Buffer.alloc(34);
    status[0] = 0x72; // r
    status.writeBigUInt64BE(this.#confirmed, 1); // received
    status.writeBigUInt64BE(this.#confirmed, 9); // flushed: what the slot keeps as confirmed
    status.writeBigUInt64BE(this.#confirmed, 17); // applied
    status.writeBigInt64BE(BigInt(Date.now() - Date.UTC(2000, 0, 1)) * 1000n, 25);
    status[33] = reply ? 1 : 0;
    this.#connection.sendCopyFromChunk(status);
  }

  #fail(cause: unknown): void {
    if (this.#closed || this.#failure !== undefined) return;
    this.#failure = streamError(this.#options.slot, this.#options.publication, cause);
    this.#wake?.();
  }
}
