/**
 * Whether work was given up. What AbortSignal is for; but each of those has a hidden class of its own in V8, because Node gives it its
 * prototype after it was made, and making and using one takes as long as a tenth of a login.
 */
export class Cancel {
  #cancelled = false;
  #listeners: (() => void)[] = [];

  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Once only; a second time does nothing. */
  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  /** Calls `listener` when the work is given up, at once if it was, until {@link off}. */
  on(listener: () => void): void {
    if (this.#cancelled) listener();
    else this.#listeners.push(listener);
  }

  off(listener: () => void): void {
    this.#listeners = this.#listeners.filter((other) => other !== listener);
  }

  /** @throws Error when the work was given up. */
  throwIfCancelled(): void {
    if (this.#cancelled) throw new Error('given up');
  }
}
