/** What a full queue stops: the socket that fills it. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

/**
 * Between a driver that pushes and a reader that pulls. Bounded in bytes: when more than `bytesMax` wait, the source
 * is paused, and it goes on when less than half of that is left. What was under way when the source was
 * paused (the rest of a socket's chunk) still comes in, so the bound is passed by one chunk at most.
 *
 * Taking an item is synchronous, so a reader works through everything that has come without a promise for each item.
 */
export class ByteQueue<T> {
  readonly #source: Pausable;
  readonly #bytesMax: number;
  #items: (T | undefined)[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;
  #paused = false;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(source: Pausable, bytesMax: number) {
    this.#source = source;
    this.#bytesMax = bytesMax;
  }

  /** Bytes waiting. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the source was told to wait; silence means nothing then. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Adds an item that holds `bytes` of memory. After {@link end} it is dropped. */
  push(item: T, bytes: number): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    if (!this.#paused && this.#bytes > this.#bytesMax) {
      this.#paused = true;
      this.#source.pause();
    }
    this.#wakeUp();
  }

  /** The oldest item, or undefined when none waits: then {@link wait}. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#bytes -= this.#sizes[this.#head]!;
    this.#head++;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#sizes = [];
      this.#head = 0;
    }
    if (this.#paused && !this.#ended && this.#bytes <= this.#bytesMax / 2) {
      this.#paused = false;
      this.#source.resume();
    }
    return item;
  }

  /** Puts other objects of the same size in the place of those of the `count` items pushed last that still wait. */
  replaceLast(count: number, replace: (item: T) => T): void {
    const items = this.#items;
    for (let i = Math.max(this.#head, items.length - count); i < items.length; i++) {
      items[i] = replace(items[i]!);
    }
  }

  /** Nothing more will come. Items that wait can still be taken; after them {@link wait} throws `error`. The first end counts. */
  end(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wakeUp();
  }

  /**
   * Waits until an item can be taken, at most `ms` milliseconds; says whether one can.
   *
   * @throws the error of {@link end} when nothing is left, or the reason of `signal`.
   */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    if (this.#head < this.#items.length) return true;
    if (this.#error !== undefined) throw this.#error;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done, { once: true });
      this.#wake = done;
    });
    signal.throwIfAborted();
    if (this.#head < this.#items.length) return true;
    if (this.#error !== undefined) throw this.#error;
    return false;
  }

  #wakeUp(): void {
    this.#wake?.();
  }
}
