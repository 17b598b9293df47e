import type { Leg } from './leg.ts';

/** Requests that may wait behind a statement of ours before the client is told to wait. */
const QUEUED_BYTES_MAX = 1_048_576;

/** What became of the bytes that a client sent. */
export interface Backlog {
  /** They may be needed later. */
  readonly blocked: boolean;
  /** Bytes that wait. */
  readonly queuedBytes: number;
  /** A request ended with the last of them. */
  readonly atBoundary: boolean;
}

/**
 * Bytes between the two legs of a session. The slower side sets the pace: a leg whose bytes the other one does not take
 * is not read, and the kernel's buffers fill up on the way back to whoever sends.
 */
export class Relay {
  readonly client: Leg;
  readonly frontend: Leg;
  readonly #backlog: Backlog;
  #frontendFull = false;
  #clientWaits = false;

  constructor(client: Leg, frontend: Leg, backlog: Backlog) {
    this.client = client;
    this.frontend = frontend;
    this.#backlog = backlog;
  }

  /** Passes on what {@link frontend} has read. Returns `false` when the client does not take more for now. */
  toClient(bytes: Buffer): boolean {
    const { client, frontend } = this;
    const more = client.write(bytes);
    // Written at once almost always. Otherwise the bytes are in flight: either nothing is read until they are out, or
    // the next read goes elsewhere.
    if (!more) client.onceDrained(() => frontend.resume());
    else if (!client.flushed) frontend.giveBufferAway();
    return more;
  }

  /** An answer ended with the bytes that {@link toClient} was given last. */
  answerRead(): void {
    if (this.client.flushed) this.frontend.settle();
  }

  /** Sends bytes to the FE. */
  toFrontend(bytes: Buffer): void {
    const { frontend } = this;
    if (frontend.write(bytes) || this.#frontendFull) return;
    this.#frontendFull = true;
    frontend.onceDrained(() => {
      this.#frontendFull = false;
      this.paceClient();
    });
  }

  /** The bytes that {@link client} gave last have been dealt with. */
  clientRead(): void {
    const { blocked, atBoundary } = this.#backlog;
    if (blocked || !this.frontend.flushed) this.client.giveBufferAway();
    if (atBoundary) this.client.settle();
    this.paceClient();
  }

  /** The client may send while the FE takes its bytes and little waits behind a statement of ours. */
  paceClient(): void {
    const wait = this.#frontendFull || this.#backlog.queuedBytes > QUEUED_BYTES_MAX;
    if (wait === this.#clientWaits) return;
    this.#clientWaits = wait;
    if (wait) this.client.pause();
    else this.client.resume();
  }
}
