import { addAbortListener } from 'node:events';

/**
 * A signal that aborts with another one, after a time, or when told to, whichever is first. Disposed at the end of its scope:
 * a job's signal lives as long as the job, and `AbortSignal.any` would leave one follower on it for every request.
 */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #listener: Disposable;

  constructor(signal: AbortSignal, ms: number) {
    this.#timer = setTimeout(() => {
      this.#controller.abort(new Error(`no answer within ${ms} ms`));
    }, ms);
    this.#listener = addAbortListener(signal, () => this.#controller.abort(signal.reason));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts now. */
  expire(reason: Error): void {
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#listener[Symbol.dispose]();
  }
}
