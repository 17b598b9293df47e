import type net from 'node:net';
import type { Logger } from 'pino';
import { FrontendError } from '../command/commands.ts';
import type { Caller, Commands, FrontendRows } from '../command/commands.ts';
import { endpointText } from '../model/endpoint.ts';
import { ProxyError } from '../model/error.ts';
import {
  Capability,
  encodeEarlyError,
  has,
  maskGreeting,
  readGreeting,
} from '../wire/handshake.ts';
import type { ClientFlags } from '../wire/handshake.ts';
import { encodePacket, HEADER_BYTES, ProtocolError } from '../wire/packet.ts';
import { answerOf, Command } from '../wire/request.ts';
import { ResponseWalker } from '../wire/response-walker.ts';
import { encodeError, readAnswer, Status } from '../wire/resultset.ts';
import { NoFrontendError } from './frontend.ts';
import type { FrontendConnection, Frontends } from './frontend.ts';
import { OwnStatements } from './own-statements.ts';
import type { AnswerContext, OwnRequest } from './own-statements.ts';
import { agreedOnDeprecateEof, RequestRouter } from './request-router.ts';
import { SideDialogue } from './side-dialogue.ts';

/** What a session needs besides its client. */
export interface SessionOptions {
  readonly frontends: Frontends;
  readonly commands: Commands;
  readonly log: Logger;
  /** From the accepted connection to the FE's OK, in milliseconds. */
  readonly loginTimeoutMs: number;
  /** How long a statement that we send to the FE on a caller's behalf may take, in milliseconds. */
  readonly askTimeoutMs: number;
}

/** Requests that may wait behind a statement of ours before the client is told to wait. */
const QUEUED_BYTES_MAX = 1_048_576;
/** How long a closed client may take to read what is left for it. */
const LINGER_MS = 10_000;

/**
 * One client and its FE connection (wire.md §2.1). The FE's greeting and all login packets are relayed, so that identity,
 * rights and connection id are Doris' own. After that the client's commands are looked at one by one,
 * and the FE's bytes only by their packet headers.
 */
export class Session {
  readonly #client: net.Socket;
  readonly #options: SessionOptions;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #loginTimer: NodeJS.Timeout;
  readonly #walker = new ResponseWalker();
  readonly #statements = new OwnStatements();
  readonly #router: RequestRouter;
  #frontend: FrontendConnection | undefined;
  #frontendFlags = 0;
  /** The client takes several results for one packet. */
  #multiResults = false;
  /** A request of ours, waiting for earlier answers or running. */
  #own: OwnRequest | undefined;
  #running = false;
  readonly #dialogue: SideDialogue;
  #clientWaits = false;
  #frontendFull = false;
  #draining = false;
  #closed = false;

  /** Resolves when both sockets are closed or closing. */
  readonly closed: Promise<void>;

  constructor(client: net.Socket, options: SessionOptions) {
    this.#client = client;
    this.#options = options;
    this.#log = options.log.child({ client: `${client.remoteAddress}:${client.remotePort}` });
    this.#dialogue = new SideDialogue(
      { send: (payload) => this.#send(payload), late: () => this.#dropFrontend() },
      options.askTimeoutMs,
    );
    this.#router = new RequestRouter(options.commands, this.#statements, this.#walker, {
      forward: (bytes) => this.#toFrontend(bytes),
      negotiated: (flags) => this.#negotiated(flags),
      own: (request) => this.#takeOwn(request),
    });
    this.closed = new Promise((resolve) => client.once('close', () => resolve()));
    client.on('error', (error) => this.#log.debug({ err: error }, 'client connection failed'));
    client.once('close', () => this.destroy());
    this.#loginTimer = setTimeout(() => {
      this.#log.info('login took too long');
      this.destroy();
    }, options.loginTimeoutMs);
    void this.#open();
  }

  /** Closes as soon as the client waits for no answer and has no transaction open. */
  drain(): void {
    this.#draining = true;
    this.#closeIfDrained();
  }

  /** Closes both sides now. The FE notices at once and cancels what runs. */
  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#end();
    this.#client.destroy();
  }

  // --- opening ---

  async #open(): Promise<void> {
    try {
      const { connection, greeting } = await this.#options.frontends.connect(this.#abort.signal);
      if (this.#closed) {
        connection.socket.on('error', () => undefined);
        connection.socket.destroy();
        return;
      }
      this.#frontend = connection;
      connection.onBytes = (bytes) => this.#fromFrontend(bytes);
      connection.socket.on('error', (error) => this.#log.debug({ err: error }, 'FE failed'));
      connection.socket.once('end', () => this.#frontendClosed());
      connection.socket.once('close', () => this.#frontendClosed());
      this.#greet(greeting);
    } catch (error) {
      if (this.#closed) return;
      if (!(error instanceof NoFrontendError || error instanceof ProtocolError)) throw error;
      this.#log.warn(error.message);
      const errno = error instanceof NoFrontendError ? 2003 : 1043;
      this.#sayGoodbye(encodePacket(0, encodeEarlyError(errno, error.message)));
    }
  }

  #greet(packet: Buffer): void {
    const payload = packet.subarray(HEADER_BYTES);
    if (payload[0] === 0xff) {
      // "Too many connections" and the like: the FE's word instead of a greeting.
      this.#sayGoodbye(packet);
      return;
    }
    const greeting = readGreeting(payload);
    this.#frontendFlags = greeting.capabilities;
    maskGreeting(payload);
    this.#log.debug({ greeting, masked: readGreeting(payload).capabilities }, 'greeting');
    this.#client.write(packet);
    this.#client.on('data', (chunk: Buffer) => this.#fromClient(chunk));
    this.#client.once('end', () => this.destroy());
    if (this.#draining) this.#closeIfDrained();
  }

  #negotiated(flags: ClientFlags): void {
    this.#walker.deprecateEof = agreedOnDeprecateEof(this.#frontendFlags, flags.sent);
    this.#multiResults = has(flags.sent, Capability.MULTI_STATEMENTS);
    this.#log.debug({ asked: flags.asked, sent: flags.sent }, 'client flags');
  }

  // --- client to FE ---

  #fromClient(chunk: Buffer): void {
    try {
      this.#router.push(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(error);
      return;
    }
    if (this.#router.lost !== undefined) this.#becomePipe(this.#router.lost);
    this.#setClientFlow();
  }

  #toFrontend(bytes: Buffer): void {
    const socket = this.#frontend?.socket;
    if (!socket || socket.write(bytes) || this.#frontendFull) return;
    this.#frontendFull = true;
    socket.once('drain', () => {
      this.#frontendFull = false;
      this.#setClientFlow();
    });
  }

  /** The client may send while the FE takes its bytes and little waits behind a statement of ours. */
  #setClientFlow(): void {
    const wait = this.#frontendFull || this.#router.queuedBytes > QUEUED_BYTES_MAX;
    if (wait === this.#clientWaits) return;
    this.#clientWaits = wait;
    if (wait) this.#client.pause();
    else this.#client.resume();
  }

  /** Not a login, or a request beyond all limits: says so as MySQL does and closes. */
  #refuse(error: ProtocolError): void {
    this.#log.info({ reason: error.message }, 'client refused');
    const early = !this.#walker.authenticated;
    this.#sayGoodbye(
      early
        ? encodePacket(0, encodeEarlyError(1043, 'Bad handshake'))
        : encodeError(0, 1153, '08S01', `Got a bad packet: ${error.message}`),
    );
  }

  /** From here on bytes are passed and nothing is understood; the user's work goes on (wire.md §2.4). */
  #becomePipe(reason: string): void {
    if (this.#piped) return;
    this.#piped = true;
    this.#log.warn({ reason }, 'connection is relayed without looking into it');
    const own = this.#running ? undefined : this.#own;
    if (own) {
      this.#own = undefined;
      this.#toFrontend(own.packet);
    }
    this.#router.giveUp();
  }

  #piped = false;

  // --- FE to client ---

  /** Returns `false` when the client does not take more for now. */
  #fromFrontend(bytes: Buffer): boolean {
    if (!this.#piped) this.#walker.feed(bytes);
    if (this.#dialogue.open) {
      if (this.#walker.infile) this.#sendNoFile();
      this.#dialogue.take(bytes, this.#walker.idle);
      if (this.#walker.lost === undefined) return true;
      this.#log.warn({ reason: this.#walker.lost }, 'the FE answered what no server answers');
      this.destroy();
      return false;
    }
    const client = this.#client;
    const more = client.write(bytes);
    // Written at once almost always. Otherwise the bytes are in flight: either nothing is read until they are out, or
    // the next read goes elsewhere.
    if (!more) client.once('drain', () => this.#frontend?.socket.resume());
    else if (client.writableLength > 0) this.#frontend?.giveBufferAway();
    if (this.#walker.pending === 0) this.#answered();
    else if (this.#walker.infile) this.#fileAsked();
    if (this.#walker.lost !== undefined) this.#becomePipe(this.#walker.lost);
    return more;
  }

  /** A statement of a batch asks for a file, which would have to be asked for in the middle of an answer of ours: there is none. */
  #sendNoFile(): void {
    const sequence = this.#walker.nextSequence;
    this.#walker.infile = false;
    this.#walker.replied(sequence);
    this.#toFrontend(encodePacket(sequence, Buffer.alloc(0)));
  }

  /** No answer is outstanding. */
  #answered(): void {
    if (this.#walker.authenticated) clearTimeout(this.#loginTimer);
    if (this.#own && !this.#running && this.#walker.idle) void this.#runOwn(this.#own);
    if (this.#draining) this.#closeIfDrained();
  }

  /** LOAD DATA LOCAL: what the client sends next is the file, even if it was sent early and looked like a request. */
  #fileAsked(): void {
    if (this.#walker.pending > 1) {
      this.#becomePipe('LOAD DATA LOCAL with further commands sent behind it');
      return;
    }
    const own = this.#own;
    if (!own || this.#running) return;
    this.#own = undefined;
    this.#router.reconsider(own);
  }

  // --- requests of ours ---

  #takeOwn(request: OwnRequest): boolean {
    const silent = this.#statements.takeSilent(request);
    if (silent) {
      if (silent.frontend) this.#toFrontend(silent.frontend);
      return true;
    }
    this.#own = request;
    if (this.#walker.idle) void this.#runOwn(request);
    return false;
  }

  async #runOwn(request: OwnRequest): Promise<void> {
    this.#running = true;
    const walker = this.#walker;
    const caller: Caller = {
      address: this.#client.remoteAddress ?? '',
      ask: (sql) => this.#ask(sql),
    };
    const context: AnswerContext = {
      get dialect() {
        return { status: walker.status, deprecateEof: walker.deprecateEof };
      },
      caller,
      multiResults: this.#multiResults,
      exchange: (payload, limits) => this.#dialogue.exchange(payload, limits),
      send: (bytes) => void (this.#closed || this.#client.write(bytes)),
    };
    // Never before the caller's turn is over: the router still holds the request.
    await Promise.resolve();
    const answer = await this.#statements.answer(request, context).catch((error: unknown) => {
      this.#log.error({ err: error }, 'statement failed for a reason that is a bug');
      return {
        client: encodeError(0, 1105, 'HY000', 'internal error, see the log of the proxy'),
      };
    });
    if (this.#closed) return;
    this.#running = false;
    this.#own = undefined;
    if ('client' in answer) {
      this.#client.write(answer.client);
      if (this.#frontendGone) this.#sayGoodbye(Buffer.alloc(0));
      this.#router.resume();
    } else {
      this.#router.relay(answer.frontend);
    }
    this.#setClientFlow();
    if (this.#draining) this.#closeIfDrained();
  }

  async #ask(sql: string): Promise<FrontendRows> {
    const answer = readAnswer(
      await this.#dialogue.exchange(Buffer.concat([Buffer.of(Command.QUERY), Buffer.from(sql)])),
    );
    if (answer.kind === 'error') {
      throw new FrontendError(answer.errno, answer.sqlState, answer.message);
    }
    return answer.kind === 'table' ? answer.table : { columns: [], rows: [] };
  }

  /** A command of ours takes the same way as the client's, so that the walker knows its answer. */
  #send(payload: Buffer): void {
    if (this.#closed || this.#frontendGone || this.#piped) throw this.#frontendLost();
    const answer = answerOf(payload[0] ?? 0);
    if (answer !== 'none' && answer !== 'stream') this.#walker.expect(answer, 0);
    this.#toFrontend(encodePacket(0, payload));
  }

  #frontendLost(): ProxyError {
    return new ProxyError('STATEMENT', this.#lostText());
  }

  #lostText(): string {
    const address = this.#frontend?.address;
    return `FE ${address ? endpointText(address) : ''} closed the connection`;
  }

  // --- closing ---

  #frontendGone = false;

  /** The FE's next answer could not be told from the client's: no more of it. */
  #dropFrontend(): void {
    this.#frontendGone = true;
    this.#frontend?.socket.destroy();
  }

  /** The FE has closed: what it sent is delivered, a client that waits is told (wire.md §2.9). */
  #frontendClosed(): void {
    if (this.#frontendGone || this.#closed) return;
    this.#frontendGone = true;
    if (this.#running) {
      // The statement of ours ends with an error, which becomes the client's answer.
      this.#dialogue.fail(this.#frontendLost());
      if (this.#own) return;
    }
    const waits = this.#walker.authenticated && this.#walker.pending > 0 && this.#walker.untouched;
    const sequence = (this.#walker.nextSequence - 1) & 0xff;
    this.#sayGoodbye(
      waits && !this.#piped
        ? encodeError(sequence, 1105, 'HY000', this.#lostText())
        : Buffer.alloc(0),
    );
  }

  /** Writes the last bytes and closes the client once they are out; the FE is closed now. */
  #sayGoodbye(bytes: Buffer): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#end();
    const client = this.#client;
    client.removeAllListeners('data');
    client.resume();
    if (bytes.length > 0) client.write(bytes);
    const timer = setTimeout(() => client.destroy(), LINGER_MS);
    client.once('close', () => clearTimeout(timer));
    client.end();
    client.destroySoon();
  }

  #closeIfDrained(): void {
    const waits = !this.#walker.idle || this.#own !== undefined || !this.#router.atBoundary;
    const inTransaction = (this.#walker.status & Status.IN_TRANS) !== 0;
    if (this.#walker.authenticated ? waits || inTransaction : this.#walker.conversing) return;
    this.#sayGoodbye(Buffer.alloc(0));
  }

  /** Lets go of everything but the client's socket. */
  #end(): void {
    clearTimeout(this.#loginTimer);
    this.#abort.abort();
    this.#dialogue.fail(this.#frontendLost());
    const socket = this.#frontend?.socket;
    if (!socket) return;
    // A farewell of the client's (COM_QUIT) is mostly on its way already.
    if (socket.writableLength === 0) socket.destroy();
    else {
      socket.destroySoon();
      setTimeout(() => socket.destroy(), 1000).unref();
    }
  }
}
