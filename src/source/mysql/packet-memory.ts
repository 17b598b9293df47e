import { connect, type Socket } from 'node:net';

const HEADER_BYTES = 4;
/** Of a connection that asks and answers. */
const BYTES_MIN = 16 * 1024;

/**
 * The memory that a connection reads into: two pieces in turn, and no new one for each read. Node gives every read 64 KB of its own, and
 * to collect those was a fifth of a bulk reader's time. Whole packets are passed on together, so mysql2 need not put together what
 * two reads cut; only packets that do not fit come in pieces.
 *
 * What is passed on is a copy, because mysql2 keeps parts of packets (a login's scramble, names of columns), until {@link lend}.
 */
export class PacketMemory {
  readonly #pass: (packets: Buffer) => void;
  #bytes = BYTES_MIN;
  #filling = Buffer.allocUnsafeSlow(BYTES_MIN);
  #resting = Buffer.allocUnsafeSlow(BYTES_MIN);
  /** Bytes of a packet's beginning, at the start of `#filling`. */
  #begun = 0;
  /** Bytes that are still to come of a packet that does not fit. */
  #passing = 0;
  #reclaim: (() => void) | undefined;

  constructor(pass: (packets: Buffer) => void) {
    this.#pass = pass;
  }

  /**
   * From now on packets are passed on in place, at most `bytes` of them together, from pieces of that size. `reclaim` is called when their memory is about to be used again: whoever still holds
   * one must copy it then. That is with the next read: not before the event loop has a turn.
   */
  lend(bytes: number, reclaim: () => void): void {
    this.#bytes = bytes;
    this.#reclaim = reclaim;
  }

  /** Passes copies on again. Nobody may hold what was lent. */
  keep(): void {
    this.#reclaim = undefined;
  }

  /** Where the next read goes; never empty. */
  get room(): Buffer {
    return this.#filling.subarray(this.#begun);
  }

  /** Passes on what has become complete with the `count` bytes that were read into {@link room}. */
  take(count: number): void {
    this.#reclaim?.();
    const memory = this.#filling;
    const next =
      this.#resting.length === this.#bytes ? this.#resting : Buffer.allocUnsafeSlow(this.#bytes);
    const end = this.#begun + count;
    const start = Math.min(this.#passing, end);
    this.#passing -= start;
    if (start > 0) this.#pass(Buffer.from(memory.subarray(0, start)));
    let whole = start;
    let bytes = packetBytes(memory, whole, end);
    while (bytes <= end - whole) {
      whole += bytes;
      bytes = packetBytes(memory, whole, end);
    }
    if (whole > start) {
      const packets = memory.subarray(start, whole);
      this.#pass(this.#reclaim === undefined ? Buffer.from(packets) : packets);
    }
    if (bytes > next.length && whole < end - HEADER_BYTES) {
      this.#passing = bytes - (end - whole);
      this.#pass(Buffer.from(memory.subarray(whole, end)));
      whole = end;
    }
    memory.copy(next, 0, whole, end);
    this.#begun = end - whole;
    this.#filling = next;
    this.#resting = memory;
  }
}

/** Bytes of the packet at `at`, header included; more than any memory while its header is not complete. */
function packetBytes(memory: Buffer, at: number, end: number): number {
  return end - at < HEADER_BYTES ? Infinity : HEADER_BYTES + memory.readUIntLE(at, 3);
}

const memories = new WeakMap<object, PacketMemory>();

/** A TCP connection that reads into {@link PacketMemory} and emits `data` for mysql2. Not for TLS, which has other packets. */
export function openPacketSocket(host: string, port: number, keepAliveMs: number): Socket {
  const memory = new PacketMemory((packets) => void socket.emit('data', packets));
  const socket = connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    onread: {
      buffer: () => memory.room,
      callback: (count) => {
        memory.take(count);
        return true;
      },
    },
  });
  memories.set(socket, memory);
  return socket;
}

/** The memory of a connection of {@link openPacketSocket}; undefined for others, which have new memory for each read. */
export function packetMemory(stream: object): PacketMemory | undefined {
  return memories.get(stream);
}
