import { Socket, type SocketConstructorOpts } from 'node:net';
import type { MessageQueue } from './message-queue.ts';

/** Of a connection that asks and answers. */
const ANSWER_BYTES = 16 * 1024;

/**
 * The server sends in small pieces (8 KB of a COPY, each change of the log), and whoever reads at once pays a wake-up for each, on both
 * sides. After two reads below this size there is a rest of 1 ms: 3.8 times less CPU here, 1.45 times the rows of a log (libraries.md
 * §4). One alone is what a large read left over; a rest after each of those would cap the rate.
 *
 * Over TLS there is none: while it rests, Node takes no more than 16 KB from the connection, so that rests would be the rate.
 */
const READ_BYTES_SMALL = 32 * 1024;
const REST_MS = 1;

/** Takes what a socket of {@link openSocket} reads; undefined: the driver does. */
interface Reader {
  room(): Buffer;
  read(memory: Buffer, count: number): void;
}

const readers = new WeakMap<Socket, { reader: Reader | undefined }>();

/**
 * A socket for the driver that reads into memory of ours, so that an {@link Inflow} can take it over: Node gives every
 * read 64 KB of its own, and to collect those was a fifth of a bulk reader's time. Not for TLS, which reads by itself.
 */
export function openSocket(): Socket {
  const state: { reader: Reader | undefined } = { reader: undefined };
  const own = Buffer.allocUnsafeSlow(ANSWER_BYTES);
  let memory: Buffer = own;
  const onread = {
    buffer: (): Buffer => (memory = state.reader?.room() ?? own),
    callback: (count: number): boolean => {
      if (state.reader === undefined) socket.emit('data', Buffer.from(memory.subarray(0, count)));
      else state.reader.read(memory, count);
      return true;
    },
  };
  // Its types know the option for `connect` only, which passes it on to here; the driver connects by itself.
  const socket = new Socket({ onread } as SocketConstructorOpts);
  readers.set(socket, state);
  return socket;
}

export interface InflowOptions {
  /** Above: the socket waits. A message of any size still passes, alone. */
  readonly bytesHigh: number;
  /** Below: it goes on. */
  readonly bytesLow: number;
  /** Sees each message as it arrives, before it waits. */
  readonly look?: (b: Buffer, start: number, end: number) => void;
  /** Something has arrived. */
  readonly received: () => void;
  /** What was received is no message; nothing more will be. */
  readonly failed: (error: unknown) => void;
}

type Listener = (chunk: Buffer) => void;

/**
 * Everything that a connection receives, beneath the driver, as a queue of messages: from when it is made until
 * {@link end}. What the driver has to know it is told by {@link tell}.
 */
export class Inflow {
  readonly #queue: MessageQueue;
  readonly #stream: Socket;
  readonly #options: InflowOptions;
  readonly #driver: Listener;
  readonly #state: { reader: Reader | undefined } | undefined;
  #full = false;
  /** The last read was a small one. */
  #trickles = false;
  #resting: NodeJS.Timeout | undefined;
  /** The room that the queue gave to the socket. */
  #room: Buffer | undefined;

  constructor(stream: Socket, queue: MessageQueue, options: InflowOptions) {
    this.#stream = stream;
    this.#queue = queue;
    this.#options = options;
    const [driver] = stream.listeners('data') as Listener[];
    this.#driver = driver!;
    this.#state = readers.get(stream);
    if (this.#state === undefined) {
      stream.off('data', this.#driver);
      stream.on('data', this.#copy);
    } else {
      this.#state.reader = { room: this.#giveRoom, read: this.#read };
    }
  }

  /** Whether the socket waits for the reader of the queue. */
  get full(): boolean {
    return this.#full;
  }

  /** To be called while the queue is read: lets the socket go on once it has been read far enough. */
  refill(): void {
    if (!this.#full || this.#queue.bytes > this.#options.bytesLow) return;
    this.#full = false;
    this.#stream.resume();
  }

  /** Hands bytes to the driver. */
  tell(bytes: Buffer): void {
    this.#driver(bytes);
  }

  /** Gives the connection back, with all that waits. */
  end(): void {
    this.#detach();
    if (this.#state === undefined) this.#stream.on('data', this.#driver);
    const rest = this.#queue.rest();
    if (rest.length > 0) this.#driver(rest);
    this.#stream.resume();
  }

  /** What still arrives belongs to nobody. */
  close(): void {
    this.#detach();
    this.#stream.destroy();
  }

  #detach(): void {
    clearTimeout(this.#resting);
    if (this.#state === undefined) this.#stream.off('data', this.#copy);
    else this.#state.reader = undefined;
  }

  readonly #giveRoom = (): Buffer => (this.#room = this.#queue.room());

  readonly #read = (memory: Buffer, count: number): void => {
    // The first read may still go where it was asked for before.
    if (memory !== this.#room) {
      this.#copy(memory.subarray(0, count));
      return;
    }
    this.#take(count, () => this.#queue.filled(count, this.#options.look));
  };

  readonly #copy = (bytes: Buffer): void => {
    this.#take(bytes.length, () => this.#queue.push(bytes, this.#options.look));
  };

  #take(count: number, queue: () => void): void {
    try {
      queue();
    } catch (error) {
      this.close();
      this.#options.failed(error);
      return;
    }
    if (this.#queue.bytes > this.#options.bytesHigh) {
      this.#full = true;
      this.#stream.pause();
    } else if (this.#state !== undefined) {
      const small = count < READ_BYTES_SMALL;
      if (small && this.#trickles) this.#rest();
      this.#trickles = small;
    }
    this.#options.received();
  }

  #rest(): void {
    if (this.#resting !== undefined) return;
    this.#stream.pause();
    this.#resting = setTimeout(() => {
      this.#resting = undefined;
      if (!this.#full) this.#stream.resume();
    }, REST_MS);
  }
}
