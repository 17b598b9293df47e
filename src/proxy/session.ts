import type net from 'node:net';
import { Cancel } from '../lib/cancel.ts';
import { Deadline } from '../lib/deadline.ts';
import type { Listed } from '../lib/roster.ts';
import { closeClient, refusal } from './closing.ts';
import { Dialogue, type DialogueHost, type DialogueOptions } from './dialogue.ts';
import type { ClientEnds } from './frontend.ts';
import { openSession, type OpeningOptions } from './opening.ts';
import { SessionLog } from './session-log.ts';

/** A client that leaves sooner is not worth the four system calls that find out whether it is still there. */
const KEEP_ALIVE_AFTER_MS = 1000;

/** What a session needs besides its client. */
export interface SessionOptions extends OpeningOptions, DialogueOptions {
  /** From the accepted connection to the FE's OK, in milliseconds. */
  readonly loginTimeoutMs: number;
}

/** One client from its accepted connection to the end: at first there is none but it, then a {@link Dialogue} with an FE. */
export class Session implements Listed {
  place = 0;
  /** The accepted socket, or the encrypted one over it. */
  #client: net.Socket;
  readonly #ends: ClientEnds;
  readonly #options: SessionOptions;
  readonly #log: SessionLog;
  readonly #opening = new Cancel();
  #dialogue: Dialogue | undefined;
  /** Of the login, then of {@link KEEP_ALIVE_AFTER_MS}. */
  #deadline: Deadline;
  #draining = false;
  #closed = false;
  readonly #onClose: (session: Session) => void;

  /**
   * @param ends of the client's connection, as a PROXY header in front of it has told.
   * @param onClose called when both sockets are closed or closing; twice for a client with TLS, which has two of its own.
   */
  constructor(
    client: net.Socket,
    ends: ClientEnds,
    options: SessionOptions,
    onClose: (session: Session) => void,
  ) {
    this.#client = client;
    this.#ends = ends;
    this.#options = options;
    this.#log = new SessionLog(options.log, ends.source);
    this.#onClose = onClose;
    this.#watch(client);
    this.#deadline = new Deadline(options.loginTimeoutMs, () => {
      this.#log.say('info', 'login took too long');
      this.destroy();
    });
    void this.#open();
  }

  /** Closes as soon as the client waits for no answer and has no transaction open. */
  drain(): void {
    this.#draining = true;
    this.#rests();
  }

  /** Closes both sides now. The FE notices at once and cancels what runs. */
  destroy(): void {
    if (this.#closed) return;
    this.#end();
    this.#client.destroy();
  }

  async #open(): Promise<void> {
    try {
      const opened = await openSession(this.#client, this.#ends, this.#options, this.#opening);
      if (this.#closed) {
        if ('frontend' in opened) opened.frontend.socket.destroy();
        return;
      }
      if (opened.client !== this.#client) this.#watch(opened.client);
      this.#client = opened.client;
      if ('goodbye' in opened) {
        this.#goodbye(opened.goodbye);
        return;
      }
      this.#dialogue = new Dialogue(opened, this.#host(), this.#options);
      this.#dialogue.begin(opened.packet);
      this.#rests();
    } catch (error) {
      if (this.#closed) return;
      this.#log.say('warn', (error as Error).message);
      this.#goodbye(refusal(error as Error));
    }
  }

  #host(): DialogueHost {
    return {
      log: this.#log,
      address: this.#ends.source.host,
      route: this.#options.frontends.route,
      loggedIn: () => this.#loggedIn(),
      rests: () => this.#rests(),
      goodbye: (bytes) => this.#goodbye(bytes),
      destroy: () => this.destroy(),
    };
  }

  #watch(client: net.Socket): void {
    client.on('error', (error) => this.#log.say('debug', 'client failed', { err: error }));
    client.once('close', () => {
      this.destroy();
      this.#onClose(this);
    });
  }

  #loggedIn(): void {
    this.#deadline.clear();
    this.#deadline = new Deadline(KEEP_ALIVE_AFTER_MS, () => this.#dialogue?.keepAlive());
  }

  #rests(): void {
    if (this.#draining && this.#dialogue?.mayEnd !== false) this.#goodbye(Buffer.alloc(0));
  }

  /** Writes the last bytes and closes the client once they are out; the FE is closed now. */
  #goodbye(bytes: Buffer): void {
    if (this.#closed) return;
    this.#end();
    closeClient(this.#client, bytes);
  }

  /** Lets go of everything but the client's socket. */
  #end(): void {
    this.#closed = true;
    this.#deadline.clear();
    this.#opening.cancel();
    this.#dialogue?.end();
  }
}
