import net from 'node:net';

/**
 * What Node keeps behind a TCP socket (its `TCP` handle, a `StreamBase`), as far as {@link Leg} needs it. None of it is in Node's
 * manual: where a version lacks a part, and for TLS, {@link handleOf} has nothing to give and the socket is used as a stream.
 */
export interface SocketHandle {
  /** Whether the system is asked for bytes; Node's own code relies on it. */
  reading: boolean;
  /**
   * Called when something was read: {@link lastRead} tells how much. May return the memory for the next read, if it is
   * to be another.
   */
  onread: (this: SocketHandle, bytes?: ArrayBuffer) => Uint8Array | undefined;
  /** From now on reads go to this memory, which must outlive them. Once only. */
  useUserBuffer(memory: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  /** Sends, at once if the system takes it all: {@link lastWriteWaits}. Returns 0 or the system's error. */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
}

/** A write; belongs to it until it has ended, which for most is before `writeBuffer` returns. */
export interface WriteRequest {
  /** Called when a write ends that had to wait. @param status 0 or the system's error. */
  oncomplete: ((this: WriteRequest, status: number) => void) | undefined;
}

interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

/** `process.binding` is deprecated (DEP0111) without a date for its removal: it is the one way to these names. */
function streamBinding(): StreamBinding | undefined {
  try {
    const node = process as unknown as { binding(name: string): Partial<StreamBinding> };
    const names = node.binding('stream_wrap');
    const { WriteWrap, streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = names;
    const numbers = [kReadBytesOrError, kLastWriteWasAsync];
    const whole =
      typeof WriteWrap === 'function' &&
      ArrayBuffer.isView(state) &&
      numbers.every((index) => typeof index === 'number' && index < state.length);
    return whole ? (names as StreamBinding) : undefined;
  } catch {
    return undefined;
  }
}

const stream = streamBinding();
/** Written by Node before each call: of the whole process, so to be read at once. */
const state = stream?.streamBaseState ?? new Int32Array(1);
const BYTES_READ = stream?.kReadBytesOrError ?? 0;
const LAST_WRITE_WAITS = stream?.kLastWriteWasAsync ?? 0;

/** In `onread`: how many bytes were read; an end or an error is below 0. */
export function lastRead(): number {
  return state[BYTES_READ] ?? 0;
}

/** Behind a `writeBuffer` that has returned 0: the system has not taken all; the request and the bytes are in use until it has. */
export function lastWriteWaits(): boolean {
  return state[LAST_WRITE_WAITS] !== 0;
}

/** @throws when there is no handle: see {@link handleOf}. */
export function newWriteRequest(): WriteRequest {
  if (stream === undefined) throw new Error('this version of Node has no WriteWrap');
  return new stream.WriteWrap();
}

const METHODS = ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'onread'] as const;

/** The handle of a connected TCP socket that is no more than that. */
export function handleOf(socket: net.Socket): SocketHandle | undefined {
  if (stream === undefined || socket.constructor !== net.Socket) return undefined;
  const { _handle: handle } = socket as unknown as { _handle?: Partial<SocketHandle> | null };
  const whole = handle && METHODS.every((name) => typeof handle[name] === 'function');
  return whole === true ? (handle as SocketHandle) : undefined;
}
