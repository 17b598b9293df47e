import type net from 'node:net';
import { getSystemErrorName } from 'node:util';
import type tls from 'node:tls';
import { ProtocolError } from '../wire/packet.ts';
import {
  handleOf,
  lastRead,
  lastWriteWaits,
  newWriteRequest,
  type SocketHandle,
  type WriteRequest,
} from './socket-handle.ts';

/** A login and the statements of many applications fit in this: a thousand idle connections are thousands of legs. */
const FIRST_READ_BYTES = 2048;
/** What a leg keeps that has seen more; nearly every request and answer fits. */
const READ_BYTES = 16_384;
/** What a large one is read in: fewer, longer reads. Lent, and taken back behind it. */
const LARGE_READ_BYTES = 65_536;
/** Large buffers that wait for the next leg that needs one. */
const SPARE_MAX = 16;

const NOTHING = Buffer.alloc(0);

const spare: Buffer[] = [];
const largeBuffer = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(LARGE_READ_BYTES);

/** For the next write of any leg: nearly all are over when the call returns, and a new object for each costs more than the call. */
let spareRequest: WriteRequest | undefined;

/**
 * One of the two sockets of a session. Its bytes are handed over in a buffer that belongs to this socket and is used again
 * (wire.md §2.8), and sent by the system call that takes them: a stream between would take as much CPU as all that is done
 * with the bytes here. Whoever still needs what was handed over after `onBytes` returns says so by {@link giveBufferAway};
 * a buffer shared by sockets would be overwritten while in flight.
 */
export class Leg {
  #socket: net.Socket;
  /** Takes the next bytes. `false`: no more until {@link resume}. */
  onBytes: (bytes: Buffer) => boolean = () => true;
  /** Undefined while it connects, and when the socket is used as a stream, which brings memory of its own. */
  #handle: SocketHandle | undefined;
  #small: Buffer = Buffer.allocUnsafe(FIRST_READ_BYTES);
  /** For the next read: the small one, or a large one while there is much to read. */
  #buffer: Buffer = this.#small;
  /** Where the system writes to; must not be let go before Node knows another. */
  #inUse: Buffer = this.#small;
  /** Of the last read. Reads are often of one length, and a view costs as much as looking at what is in it. */
  #view: Buffer = this.#small;
  #viewed: Buffer = this.#small;
  #settled = false;
  /** Bytes of a write that the system has not taken whole; kept here until it has. */
  #waiting: Buffer | undefined;
  /** The socket was used as a stream, and may still have bytes. */
  #streamed = false;
  #drained: (() => void) | undefined;

  /**
   * @param socket connected, and stopped or not read yet, or about to connect. Bytes that it has read already are
   * its owner's to fetch, as {@link over} does.
   */
  constructor(socket: net.Socket) {
    this.#socket = socket;
    // Before it is connected Node may still change the handle.
    if (socket.connecting) socket.once('connect', () => this.#listen());
    else this.#listen();
  }

  /**
   * Goes on with an accepted socket. Bytes that it has read already are in `ahead`; what follows comes when the caller's turn is over,
   * or behind {@link resume} if it was stopped.
   */
  static over(accepted: net.Socket): { readonly leg: Leg; readonly ahead: Buffer } {
    const leg = new Leg(accepted);
    if (accepted.readableLength === 0) return { leg, ahead: NOTHING };
    const ahead: Buffer[] = [];
    while (accepted.readableLength > 0) ahead.push(accepted.read() as Buffer);
    return { leg, ahead: Buffer.concat(ahead) };
  }

  get socket(): net.Socket {
    return this.#socket;
  }

  /** Goes on with `secure`, which encrypts this leg. */
  replaceBy(secure: tls.TLSSocket): void {
    this.#socket = secure;
    this.#handle = undefined;
    this.#listen();
  }

  /** Reads no more until {@link resume}, or what is on its way. */
  pause(): void {
    const handle = this.#handle;
    if (!handle) this.#socket.pause();
    else if (!this.#socket.destroyed && handle.reading) {
      handle.reading = false;
      handle.readStop();
    }
  }

  resume(): void {
    const handle = this.#handle;
    if (!handle) this.#socket.resume();
    else if (!this.#socket.destroyed && !handle.reading) {
      handle.reading = true;
      handle.readStart();
    }
  }

  /** Nothing that was to be sent is still here. */
  get flushed(): boolean {
    if (this.#streamed && this.#socket.writableLength === 0) this.#streamed = false;
    return this.#waiting === undefined && !this.#streamed;
  }

  /** Sends bytes. `false`: the other side is slow, and no more should come until {@link onceDrained}. */
  write(bytes: Buffer): boolean {
    const handle = this.#handle;
    if (!handle || !this.flushed) {
      this.#streamed = true;
      return this.#socket.write(bytes);
    }
    const request = (spareRequest ??= newWriteRequest());
    const error = handle.writeBuffer(request, bytes);
    if (error !== 0) {
      this.#failed(error);
      return false;
    }
    if (!lastWriteWaits()) return true;
    spareRequest = undefined;
    this.#waiting = bytes;
    request.oncomplete = (status) => this.#written(status);
    return false;
  }

  #failed(error: number): void {
    this.#socket.destroy(new Error(`write ${getSystemErrorName(error)}`));
  }

  /** Calls `then` when bytes are welcome again after {@link write} has returned `false`. */
  onceDrained(then: () => void): void {
    // What the stream has goes out behind the write that waits: its memory is free when the stream says so, and not before.
    if (this.#waiting === undefined || this.#socket.writableNeedDrain) {
      this.#socket.once('drain', then);
    } else this.#drained = then;
  }

  #written(status: number): void {
    const drained = this.#drained;
    this.#waiting = this.#drained = undefined;
    if (this.#socket.destroyed) return;
    if (status < 0) this.#failed(status);
    else drained?.();
  }

  /** The bytes given to `onBytes` last are still needed: the next read goes elsewhere. To be called from it. */
  giveBufferAway(): void {
    if (!this.#handle) return;
    if (this.#buffer === this.#small) {
      this.#buffer = this.#small = Buffer.allocUnsafe(this.#small.length);
    } else this.#buffer = largeBuffer();
  }

  /**
   * To be called from `onBytes`: little is expected next, and these bytes, unless the buffer was given away, are not needed any more.
   */
  settle(): void {
    this.#settled = true;
  }

  /** Returns whether more may be read. */
  #take(n: number): boolean {
    const buffer = this.#inUse;
    if (this.#view.length !== n || this.#viewed !== buffer) {
      this.#view = buffer.subarray(0, n);
      this.#viewed = buffer;
    }
    this.#settled = false;
    const more = this.#handOver(this.#view);
    // Only here, because Node takes the next read's memory as soon as this returns, and no other until then.
    if (this.#buffer !== this.#small) {
      if (this.#settled) this.#shrink();
    } else if (n === this.#small.length) this.#grow();
    return more;
  }

  /** What is no protocol ends its connection, and nobody else's. */
  #handOver(bytes: Buffer): boolean {
    try {
      return this.onBytes(bytes);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#socket.destroy(error);
      return false;
    }
  }

  #grow(): void {
    if (this.#small.length === READ_BYTES) this.#buffer = largeBuffer();
    else this.#buffer = this.#small = Buffer.allocUnsafeSlow(READ_BYTES);
  }

  #shrink(): void {
    if (spare.length < SPARE_MAX) spare.push(this.#buffer);
    this.#buffer = this.#small;
    // Or it would keep the large one for as long as the connection is idle.
    this.#view = this.#viewed = this.#small;
  }

  #listen(): void {
    const socket = this.#socket;
    const handle = handleOf(socket);
    if (handle) this.#readInto(handle);
    else {
      socket.on('data', (bytes: Buffer) => {
        if (!this.#handOver(bytes)) socket.pause();
      });
    }
  }

  #readInto(handle: SocketHandle): void {
    this.#handle = handle;
    handle.useUserBuffer(this.#inUse);
    this.#socket.once('close', () => (this.#handle = undefined));
    // Ends and errors stay the socket's.
    const { onread } = handle;
    handle.onread = (bytes) => {
      const n = lastRead();
      if (n <= 0) return onread.call(handle, bytes);
      if (!this.#take(n)) this.pause();
      if (this.#buffer === this.#inUse) return undefined;
      return (this.#inUse = this.#buffer);
    };
  }
}
