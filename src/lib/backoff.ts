import { setTimeout as delay } from 'node:timers/promises';

/** Waits `ms` milliseconds, or until `signal` aborts: never throws, so that the caller decides what an abort means. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    // The only thing the timer can throw is the abort.
    if (!signal.aborted) throw error;
  }
}

export interface BackoffLimits {
  /** The first wait, in milliseconds. */
  readonly firstMs: number;
  /** No wait is longer, in milliseconds. */
  readonly maxMs: number;
}

/**
 * Waits between attempts: doubling, and random in their upper half, so that many jobs that lost the same server
 * do not come back in step.
 */
export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #sleep: typeof sleep;
  readonly #random: () => number;
  #nextMs: number;

  constructor(
    limits: BackoffLimits,
    wait: typeof sleep = sleep,
    random: () => number = Math.random,
  ) {
    this.#limits = limits;
    this.#sleep = wait;
    this.#random = random;
    this.#nextMs = limits.firstMs;
  }

  /** Waits before the next attempt; returns early, without an error, when `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    const ms = Math.min(this.#nextMs, this.#limits.maxMs);
    this.#nextMs = ms * 2;
    await this.#sleep(ms / 2 + (ms / 2) * this.#random(), signal);
  }

  /** The attempt got somewhere: the next wait is the first one again. */
  reset(): void {
    this.#nextMs = this.#limits.firstMs;
  }
}
