import type net from 'node:net';
import type { Logger } from 'pino';
import type { Caller, Commands } from '../command/commands.ts';
import { ProxyError } from '../model/error.ts';
import { Capability, has, type ClientFlags } from '../wire/handshake.ts';
import { encodePacket, ProtocolError } from '../wire/packet.ts';
import { answerOf } from '../wire/request.ts';
import { ResponseWalker } from '../wire/response-walker.ts';
import { encodeError, Status } from '../wire/resultset.ts';
import { closeClient, closeFrontend, lostText, refusal } from './closing.ts';
import type { ClientEnds, FrontendConnection } from './frontend.ts';
import { Leg } from './leg.ts';
import { Relay } from './relay.ts';
import { openSession, type Opened, type OpeningOptions } from './opening.ts';
import { AuthAdapter } from './auth-adapter.ts';
import { OwnStatements, type AnswerContext, type OwnRequest } from './own-statements.ts';
import { agreedOnDeprecateEof, RequestRouter } from './request-router.ts';
import { SessionLog } from './session-log.ts';
import { SideDialogue } from './side-dialogue.ts';

/** What a session needs besides its client. */
export interface SessionOptions extends OpeningOptions {
  readonly commands: Commands;
  readonly log: Logger;
  /** From the accepted connection to the FE's OK, in milliseconds. */
  readonly loginTimeoutMs: number;
  /** How long a statement that we send to the FE on a caller's behalf may take, in milliseconds. */
  readonly askTimeoutMs: number;
}

/**
 * One client and its FE connection (wire.md §2.1). The FE's greeting and all login packets are relayed, so that identity,
 * rights and connection id are Doris' own. After that the client's commands are looked at one by one,
 * and the FE's bytes only by their packet headers.
 */
export class Session {
  /** The accepted socket, then perhaps the encrypted one over it, in the end that of the relay. */
  #client: net.Socket;
  /** Set when the greeting is with the client. */
  #relay: Relay | undefined;
  readonly #ends: ClientEnds;
  readonly #options: SessionOptions;
  readonly #log: SessionLog;
  /** Until the greeting is with the client. */
  #opening: AbortController | undefined;
  /** Until the login has ended. */
  #loginTimer: NodeJS.Timeout | undefined;
  readonly #walker = new ResponseWalker();
  readonly #statements = new OwnStatements();
  readonly #router: RequestRouter;
  #frontend: FrontendConnection | undefined;
  /** Set when only the client's leg is encrypted. */
  #adapter: AuthAdapter | undefined;
  #frontendFlags = 0;
  /** What the client takes: see {@link AnswerContext}. */
  #takes = { multiResults: false, marksCursor: false };
  /** A request of ours, waiting for earlier answers or running. */
  #own: OwnRequest | undefined;
  #running = false;
  readonly #dialogue: SideDialogue;
  #piped = false;
  #frontendGone = false;
  #draining = false;
  #closed = false;

  /** Resolves when both sockets are closed or closing. */
  readonly closed: Promise<void>;
  #leave: () => void = () => undefined;

  /** @param ends of the client's connection, as a PROXY header in front of it has told. */
  constructor(client: net.Socket, ends: ClientEnds, options: SessionOptions) {
    this.#client = client;
    this.#ends = ends;
    this.#options = options;
    this.#log = new SessionLog(options.log, ends.source);
    this.#dialogue = new SideDialogue(
      { send: (payload) => this.#send(payload), late: () => this.#dropFrontend() },
      options.askTimeoutMs,
    );
    this.#router = new RequestRouter(options.commands, this.#statements, this.#walker, {
      forward: (bytes) => this.#toFrontend(bytes),
      negotiated: (flags, marksCursor) => this.#negotiated(flags, marksCursor),
      own: (request) => this.#takeOwn(request),
    });
    this.closed = new Promise((resolve) => (this.#leave = resolve));
    this.#watch(client);
    this.#loginTimer = setTimeout(() => {
      this.#log.say('info', 'login took too long');
      this.destroy();
    }, options.loginTimeoutMs);
    this.#opening = new AbortController();
    void this.#open(this.#opening.signal);
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

  async #open(signal: AbortSignal): Promise<void> {
    try {
      const opened = await openSession(this.#client, this.#ends, this.#options, signal);
      if (this.#closed) return;
      this.#opening = undefined;
      if (opened.client !== this.#client) this.#watch(opened.client);
      this.#client = opened.client;
      if ('goodbye' in opened) this.#sayGoodbye(opened.goodbye);
      else this.#begin(opened);
    } catch (error) {
      if (this.#closed) return;
      this.#log.say('warn', (error as Error).message);
      this.#sayGoodbye(refusal(error as Error));
    }
  }

  #watch(client: net.Socket): void {
    client.on('error', (error) => this.#log.say('debug', 'client failed', { err: error }));
    client.once('close', () => {
      this.destroy();
      this.#leave();
    });
  }

  #begin({ frontend, greeting, challenge, clientTls, frontendTls, ahead }: Opened): void {
    this.#frontend = frontend;
    frontend.onBytes = (bytes) => this.#fromFrontend(bytes);
    frontend.socket.on('error', (error) => this.#log.say('debug', 'FE failed', { err: error }));
    frontend.socket.once('end', () => this.#frontendClosed());
    frontend.socket.once('close', () => this.#frontendClosed());
    this.#frontendFlags = greeting.capabilities;
    this.#router.clientTls = clientTls;
    this.#router.frontendTls = frontendTls;
    if (challenge) {
      this.#adapter = new AuthAdapter(this.#walker, challenge, (bytes) =>
        this.#relay?.toFrontend(bytes),
      );
    }
    this.#log.say('debug', 'greeting', { greeting, clientTls, frontendTls });
    const { leg, ahead: read } = Leg.over(this.#client);
    if (leg.socket !== this.#client) this.#watch(leg.socket);
    this.#client = leg.socket;
    leg.socket.once('end', () => this.destroy());
    this.#relay = new Relay(leg, frontend, this.#router);
    leg.onBytes = (chunk) => this.#fromClient(chunk);
    // Whoever looked at the first bytes has stopped the socket.
    leg.socket.resume();
    for (const bytes of [ahead, read]) if (bytes.length > 0) this.#fromClient(bytes);
    if (this.#draining) this.#closeIfDrained();
  }

  #negotiated(flags: ClientFlags, marksCursor: boolean): void {
    this.#walker.deprecateEof = agreedOnDeprecateEof(this.#frontendFlags, flags.sent);
    this.#takes = { multiResults: has(flags.sent, Capability.MULTI_STATEMENTS), marksCursor };
    this.#log.say('debug', 'client flags', { asked: flags.asked, sent: flags.sent });
  }

  // --- client to FE ---

  #fromClient(chunk: Buffer): boolean {
    this.#route(() => this.#router.push(chunk));
    if (!this.#closed) this.#relay?.clientRead();
    return true;
  }

  /** Lets the router decide about requests: new ones, or those that it has kept. */
  #route(take: () => void): void {
    try {
      take();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#refuse(error);
      return;
    }
    if (this.#router.lost !== undefined) this.#becomePipe(this.#router.lost);
  }

  #toFrontend(bytes: Buffer): void {
    this.#relay?.toFrontend(this.#adapter?.clientBytes(bytes) ?? bytes);
  }

  /** Not a login, or a request beyond all limits: says so as MySQL does and closes. */
  #refuse(error: ProtocolError): void {
    this.#log.say('info', 'client refused', { reason: error.message });
    this.#sayGoodbye(
      this.#walker.authenticated
        ? encodeError(0, 1153, '08S01', `Got a bad packet: ${error.message}`)
        : refusal(new ProtocolError('Bad handshake')),
    );
  }

  /** From here on bytes are passed and nothing is understood; the user's work goes on (wire.md §2.4). */
  #becomePipe(reason: string): void {
    if (this.#piped) return;
    this.#piped = true;
    this.#log.say('warn', 'connection is relayed without looking into it', { reason });
    const own = this.#running ? undefined : this.#own;
    if (own) {
      this.#own = undefined;
      this.#toFrontend(own.packet);
    }
    this.#router.giveUp();
  }

  // --- FE to client ---

  /** Returns `false` when the client does not take more for now. */
  #fromFrontend(bytes: Buffer): boolean {
    if (this.#adapter?.active === true) return this.#fromLogin(this.#adapter, bytes);
    if (!this.#piped) this.#walker.feed(bytes);
    if (this.#dialogue.open) {
      if (this.#walker.infile) this.#sendNoFile();
      this.#dialogue.take(bytes, this.#walker.idle);
      if (this.#walker.lost === undefined) return true;
      const reason = this.#walker.lost;
      this.#log.say('warn', 'the FE answered what no server answers', { reason });
      this.destroy();
      return false;
    }
    const more = this.#toClient(bytes);
    if (this.#walker.pending === 0) this.#answered();
    else if (this.#walker.infile) this.#fileAsked();
    if (this.#walker.lost !== undefined) this.#becomePipe(this.#walker.lost);
    return more;
  }

  /** A login whose legs differ: small packets, made anew. */
  #fromLogin(adapter: AuthAdapter, bytes: Buffer): boolean {
    const more = this.#toClient(adapter.frontendBytes(bytes));
    if (this.#walker.pending === 0) this.#answered();
    return more;
  }

  #toClient(bytes: Buffer): boolean {
    return this.#relay?.toClient(bytes, this.#walker.pending === 0) ?? true;
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
    if (this.#loginTimer !== undefined && this.#walker.authenticated) {
      clearTimeout(this.#loginTimer);
      this.#loginTimer = undefined;
    }
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
    this.#route(() => this.#router.reconsider(own));
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
      address: this.#ends.source.host,
      ask: (sql) => this.#dialogue.ask(sql),
    };
    const context: AnswerContext = {
      get dialect() {
        return { status: walker.status, deprecateEof: walker.deprecateEof };
      },
      caller,
      ...this.#takes,
      exchange: (payload, limits) => this.#dialogue.exchange(payload, limits),
      send: (bytes) => void (this.#closed || this.#client.write(bytes)),
    };
    // Never before the caller's turn is over: the router still holds the request.
    await Promise.resolve();
    const answer = await this.#statements.answer(request, context).catch((error: unknown) => {
      this.#log.say('error', 'statement failed for a reason that is a bug', { err: error });
      return {
        client: encodeError(0, 1105, 'HY000', 'internal error, see the log of the proxy'),
      };
    });
    if (this.#closed) return;
    this.#running = false;
    this.#own = undefined;
    if (this.#frontendGone) {
      this.#sayGoodbye('client' in answer ? answer.client : this.#lostAnswer(0));
      return;
    }
    if ('client' in answer) this.#client.write(answer.client);
    this.#route(() =>
      'client' in answer ? this.#router.resume() : this.#router.relay(answer.frontend),
    );
    if (this.#closed) return;
    this.#relay?.paceClient();
    if (this.#draining) this.#closeIfDrained();
  }

  /** A command of ours takes the same way as the client's, so that the walker knows its answer. */
  #send(payload: Buffer): void {
    if (this.#closed || this.#frontendGone || this.#piped) throw this.#frontendLost();
    const answer = answerOf(payload[0] ?? 0);
    if (answer !== 'none' && answer !== 'stream') this.#walker.expect(answer, 0);
    this.#toFrontend(encodePacket(0, payload));
  }

  get #lostText(): string {
    return lostText(this.#frontend, this.#options.frontends.route, this.#walker.authenticated);
  }

  #lostAnswer(sequence: number): Buffer {
    return encodeError(sequence, 1105, 'HY000', this.#lostText);
  }

  #frontendLost(): ProxyError {
    return new ProxyError('STATEMENT', this.#lostText);
  }

  // --- closing ---

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
    const told = this.#walker.authenticated || this.#options.frontends.route.proxyProtocol;
    const waits = told && this.#walker.pending > 0 && this.#walker.untouched;
    const sequence = (this.#walker.nextSequence - 1) & 0xff;
    this.#sayGoodbye(waits && !this.#piped ? this.#lostAnswer(sequence) : Buffer.alloc(0));
  }

  /** Writes the last bytes and closes the client once they are out; the FE is closed now. */
  #sayGoodbye(bytes: Buffer): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#end();
    closeClient(this.#client, bytes);
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
    this.#opening?.abort();
    this.#adapter?.wipe();
    if (this.#dialogue.open) this.#dialogue.fail(this.#frontendLost());
    if (this.#frontend) closeFrontend(this.#frontend.socket);
    // What still comes from either side has nobody to go to.
    if (this.#relay) this.#relay.client.onBytes = this.#relay.frontend.onBytes = () => true;
  }
}
