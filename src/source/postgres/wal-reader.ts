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
import { lsnText } from './lsn.ts';
import { Inflow } from './inflow.ts';
import { walMessage, WalQueue } from './wal-queue.ts';
import { streamError } from './replication-slot.ts';
import { quoteLiteral, quoteName } from './sql-text.ts';

/** Above: the socket waits; below: it goes on. A row of any size still passes, alone. */
const QUEUE_BYTES_HIGH = 8 * 1024 * 1024;
const QUEUE_BYTES_LOW = 2 * 1024 * 1024;

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
  /** What is durable, where that is less than `from`. */
  readonly confirmed?: bigint;
  /** How long the server may say nothing, {@link SILENCE_MS_MAX} unless a test has no time for that. */
  readonly silenceMs?: number;
}

/**
 * One replication connection. Logging in and starting is `pg-logical-replication`'s; its parser, its timer and its
 * acknowledgements are not used (cdc-semantics.md §4.5): from the command on, what the server sends is read beneath the drivers
 * into a bounded queue, they are told what is not the log's, and status messages are ours.
 *
 * What is confirmed is only what {@link confirm} was told, exactly: the library would add 1, and a commit record that begins
 * there would never be sent again (§4.5.1).
 */
export class WalReader implements AsyncDisposable {
  readonly queue = new WalQueue();
  readonly #service: LogicalReplicationService;
  readonly #options: WalReaderOptions;
  #connection: RawConnection | undefined;
  #confirmed: bigint;
  #failure: ProxyError | undefined;
  #closed = false;
  #wake: (() => void) | undefined;
  #inflow: Inflow | undefined;
  #statusTimer: NodeJS.Timeout | undefined;
  #heardAt = Date.now();

  private constructor(options: WalReaderOptions) {
    this.#options = options;
    this.#confirmed = options.confirmed ?? options.from;
    this.#service = new LogicalReplicationService(clientConfig(options.target), {
      acknowledge: { auto: false, timeoutSeconds: 0 },
    });
    this.#service.on('error', (cause: Error) => this.#fail(cause));
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

  /** What the server was told last. */
  get confirmed(): bigint {
    return this.#confirmed;
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
    if (this.#inflow?.full !== true) return;
    this.#heardAt = Date.now();
    this.#inflow.refill();
  }

  advance(): void {
    this.queue.advance();
    this.#refill();
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
    this.#failure ??= new ProxyError('SOURCE_UNREACHABLE', 'the replication stream was closed');
    this.#wake?.();
    // Not asked to end: it may be paused, and would never see the answer.
    this.#inflow?.close();
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
    parse(): void;
  } {
    return {
      name: 'pgoutput',
      start: (client, slot, lsn) => {
        const connection = rawConnection(client);
        this.#connection = connection;
        const inflow = new Inflow(connection.stream, this.queue, {
          bytesHigh: QUEUE_BYTES_HIGH,
          bytesLow: QUEUE_BYTES_LOW,
          look: (b, from, to) => this.#look(inflow, b, from, to),
          received: () => {
            this.#heardAt = Date.now();
            this.#wake?.();
          },
          failed: (error) => this.#fail(error),
        });
        this.#inflow = inflow;
        const publication = quoteLiteral(quoteName(this.#options.publication));
        return client.query(
          `START_REPLICATION SLOT ${quoteName(slot)} LOGICAL ${lsn} (proto_version '1', publication_names ${publication})`,
        );
      },
      // The library is told of no message.
      parse: () => undefined,
    };
  }

  /** Called as a message arrives, however long those before it wait: the driver learns what is its own, and a question is answered. */
  #look(inflow: Inflow, b: Buffer, start: number, end: number): void {
    const kind = walMessage(b, start, end);
    if (kind === 'question') this.#sendStatus(false);
    else if (kind === 'other') inflow.tell(Buffer.from(b.subarray(start, end)));
  }

  #tick(): void {
    if (this.#inflow?.full === true) this.#heardAt = Date.now();
    else if (Date.now() - this.#heardAt > (this.#options.silenceMs ?? SILENCE_MS_MAX)) {
      const seconds = Math.round((Date.now() - this.#heardAt) / 1000);
      this.#fail(new Error(`no message for ${seconds} s`));
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
