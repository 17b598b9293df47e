import net from 'node:net';
import type tls from 'node:tls';
import { ProtocolError } from '../wire/packet.ts';

/** A login and the statements of many applications fit in this: a thousand idle connections are thousands of legs. */
const FIRST_READ_BYTES = 2048;
/** What a leg keeps that has seen more; nearly every request and answer fits. */
const READ_BYTES = 16_384;
/** What a large one is read in: fewer, longer reads. Lent, and taken back behind it. */
const LARGE_READ_BYTES = 65_536;
/** Large buffers that wait for the next leg that needs one. */
const SPARE_MAX = 16;

const spare: Buffer[] = [];
const largeBuffer = (): Buffer => spare.pop() ?? Buffer.allocUnsafeSlow(LARGE_READ_BYTES);

/**
 * One of the two sockets of a session. Its bytes are handed over in a buffer that belongs to this socket and is used again
 * (wire.md §2.8), which saves an allocation of 64 KB for each read and a stream's machinery. Whoever still needs them after
 * `onBytes` returns says so by {@link giveBufferAway}; a buffer shared by sockets would be overwritten while in flight.
 */
export class Leg {
  #socket: net.Socket;
  /** Takes the next bytes. `false`: no more until {@link net.Socket.resume}. */
  onBytes: (bytes: Buffer) => boolean = () => true;
  #small: Buffer = Buffer.allocUnsafe(FIRST_READ_BYTES);
  /** For the next read: the small one, or a large one while there is much to read. */
  #buffer: Buffer = this.#small;
  #settled = false;
  /** The socket brings memory of its own. */
  #streams = false;

  protected constructor(open: (onread: net.OnReadOpts) => net.Socket) {
    this.#socket = open({
      buffer: () => this.#buffer,
      callback: (n, buffer) => this.#take(n, buffer as Buffer),
    });
  }

  /**
   * Goes on with an accepted socket, which may be replaced by a new one for the same connection: see {@link socket}. Bytes that it
   * has read already are in `ahead`; nothing else is handed over before the caller's turn ends.
   */
  static over(accepted: net.Socket): { readonly leg: Leg; readonly ahead: Buffer } {
    const handle = handleOf(accepted);
    if (!handle || accepted.writableLength > 0 || !accepted.readable) {
      const leg = new Leg(() => accepted);
      leg.#listen();
      return { leg, ahead: Buffer.alloc(0) };
    }
    const ahead: Buffer[] = [];
    while (accepted.readableLength > 0) ahead.push(accepted.read() as Buffer);
    const leg = new Leg((onread) => takeOver(accepted, handle, onread));
    return { leg, ahead: Buffer.concat(ahead) };
  }

  get socket(): net.Socket {
    return this.#socket;
  }

  /** Goes on with `secure`, which encrypts this leg. */
  replaceBy(secure: tls.TLSSocket): void {
    this.#socket = secure;
    this.#listen();
  }

  /** The bytes given to `onBytes` last are still needed: the next read goes elsewhere. */
  giveBufferAway(): void {
    if (this.#streams) return;
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

  /** Of the last read. Reads are often of one length, and a view costs as much as looking at what is in it. */
  #view: Buffer = this.#small;
  #viewed: Buffer = this.#small;

  #take(n: number, buffer: Buffer): boolean {
    if (this.#view.length !== n || this.#viewed !== buffer) {
      this.#view = buffer.subarray(0, n);
      this.#viewed = buffer;
    }
    this.#settled = false;
    const more = this.#handOver(this.#view);
    // Only here, because Node asks for the next read's buffer as soon as this returns, and has no other until then.
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
    this.#streams = true;
    const socket = this.#socket;
    socket.on('data', (bytes: Buffer) => {
      if (!this.#handOver(bytes)) socket.pause();
    });
  }
}

/** What Node keeps behind a socket. */
interface Handle {
  useUserBuffer(buffer: Uint8Array): void;
}

/**
 * An accepted socket cannot be told where to read to: net.Server makes it without `onread`. So a second socket is made for its
 * handle, as Node itself does for handles that come from another process. That needs two names that are not in
 * Node's manual; where they are missing, and for TLS, the socket is read by its `data` events.
 */
function handleOf(socket: net.Socket): Handle | undefined {
  if (socket.constructor !== net.Socket) return undefined;
  const handle = (socket as unknown as { readonly _handle?: Partial<Handle> | null })._handle;
  return typeof handle?.useUserBuffer === 'function' ? (handle as Handle) : undefined;
}

function takeOver(accepted: net.Socket, handle: Handle, onread: net.OnReadOpts): net.Socket {
  (accepted as unknown as { _handle: Handle | null })._handle = null;
  accepted.removeAllListeners();
  const options = { handle, onread, allowHalfOpen: false };
  const socket = new net.Socket(options);
  // An end that was read already is told behind the bytes in front of it, and not read again.
  accepted.once('end', () => socket.push(null));
  accepted.destroy();
  return socket;
}
