import type { Logger } from 'pino';
import type { Caller, Commands } from '../command/commands.ts';
import { ProxyError } from '../model/error.ts';
import { Capability, has, type ClientFlags } from '../wire/handshake.ts';
import { encodePacket, ProtocolError } from '../wire/packet.ts';
import { answerOf } from '../wire/request.ts';
import { ResponseWalker } from '../wire/response-walker.ts';
import { encodeError, Status } from '../wire/resultset.ts';
import { AuthAdapter } from './auth-adapter.ts';
import { closeFrontend, lostText, refusal } from './closing.ts';
import { KEEP_ALIVE_MS, type FrontendConnection, type Route } from './frontend.ts';
import { Leg } from './leg.ts';
import type { Opened } from './opening.ts';
import { OwnStatements, type AnswerContext, type OwnRequest } from './own-statements.ts';
import { Relay } from './relay.ts';
import { agreedOnDeprecateEof, RequestRouter } from './request-router.ts';
import type { SessionLog } from './session-log.ts';
import { SideDialogue } from './side-dialogue.ts';

const NOTHING = Buffer.alloc(0);

export interface DialogueOptions {
  readonly commands: Commands;
  readonly log: Logger;
  /** How long a statement that we send to the FE on a caller's behalf may take, in milliseconds. */
  readonly askTimeoutMs: number;
}

/** Whose dialogue it is. */
export interface DialogueHost {
  readonly log: SessionLog;
  /** Of the client, for the audit log. */
  readonly address: string;
  readonly route: Route;
  /** The FE has let the client in. */
  loggedIn(): void;
  /** Nothing is to be said or done at the moment: see {@link Dialogue.mayEnd}. */
  rests(): void;
  /** Ends the session behind these bytes for the client. */
  goodbye(bytes: Buffer): void;
  /** Ends the session now. */
  destroy(): void;
}

/**
 * A client and its FE from the login on (wire.md §2.1). All login packets are relayed, so that identity, rights and connection
 * id are Doris' own. After that the client's commands are looked at one by one, and the FE's bytes only by their packet headers.
 */
export class Dialogue {
  readonly #host: DialogueHost;
  readonly #log: SessionLog;
  readonly #frontend: FrontendConnection;
  readonly #frontendFlags: number;
  readonly #relay: Relay;
  readonly #walker = new ResponseWalker();
  readonly #statements = new OwnStatements();
  readonly #router: RequestRouter;
  readonly #side: SideDialogue;
  /** Bytes that the client has sent before there was a leg for it. */
  readonly #ahead: Buffer;
  /** Set when only the client's leg is encrypted. */
  readonly #adapter: AuthAdapter | undefined;
  /** What the client takes: see {@link AnswerContext}. */
  #takes = { multiResults: false, marksCursor: false };
  /** A request of ours, waiting for earlier answers or running. */
  #own: OwnRequest | undefined;
  #running = false;
  #loggedIn = false;
  #piped = false;
  #frontendGone = false;
  #ended = false;

  constructor(opened: Opened, host: DialogueHost, options: DialogueOptions) {
    const { frontend, clientTls, frontendTls, challenge } = opened;
    this.#host = host;
    this.#log = host.log;
    this.#frontend = frontend;
    this.#frontendFlags = opened.greeting.capabilities;
    this.#side = new SideDialogue(
      { send: (payload) => this.#send(payload), late: () => this.#dropFrontend() },
      options.askTimeoutMs,
    );
    this.#router = new RequestRouter(options.commands, this.#statements, this.#walker, {
      forward: (bytes) => this.#toFrontend(bytes),
      negotiated: (flags, marksCursor) => this.#negotiated(flags, marksCursor),
      own: (request) => this.#takeOwn(request),
    });
    this.#router.clientTls = clientTls;
    this.#router.frontendTls = frontendTls;
    const { leg, ahead } = Leg.over(opened.client);
    const relay = new Relay(leg, frontend, this.#router);
    this.#relay = relay;
    this.#adapter =
      challenge && new AuthAdapter(this.#walker, challenge, (bytes) => relay.toFrontend(bytes));
    this.#log.say('debug', 'greeting', { greeting: opened.greeting, clientTls, frontendTls });
    this.#ahead = ahead.length > 0 ? Buffer.concat([opened.ahead, ahead]) : opened.ahead;
  }

  /** @param greeting for the client, unless it has it. */
  begin(greeting: Buffer): void {
    this.#listen();
    const { client } = this.#relay;
    if (greeting.length > 0) client.write(greeting);
    // Whoever looked at the first bytes has stopped the socket.
    client.resume();
    if (this.#ahead.length > 0) this.#fromClient(this.#ahead);
  }

  #listen(): void {
    const frontend = this.#frontend;
    const { client } = this.#relay;
    client.onBytes = (bytes) => this.#fromClient(bytes);
    client.socket.once('end', () => this.#host.destroy());
    frontend.onBytes = (bytes) => this.#fromFrontend(bytes);
    frontend.onError = (error) => this.#log.say('debug', 'FE failed', { err: error });
    frontend.onClose = () => this.#frontendClosed();
  }

  /** The client waits for no answer and has no transaction open. */
  get mayEnd(): boolean {
    const walker = this.#walker;
    if (!walker.authenticated) return !walker.conversing;
    const waits = !walker.idle || this.#own !== undefined || !this.#router.atBoundary;
    return !waits && (walker.status & Status.IN_TRANS) === 0;
  }

  /** Has the system find out whether the client is still there, however long it says nothing. The FE's leg is kept alive from its start. */
  keepAlive(): void {
    this.#relay.client.socket.setKeepAlive(true, KEEP_ALIVE_MS);
  }

  /** Lets go of everything but the client's socket. The FE notices at once and cancels what runs. */
  end(): void {
    this.#ended = true;
    this.#adapter?.wipe();
    if (this.#side.open) this.#side.fail(this.#frontendLost());
    closeFrontend(this.#frontend);
    // What still comes from either side has nobody to go to.
    const { client, frontend } = this.#relay;
    client.onBytes = frontend.onBytes = () => true;
    client.resume();
  }

  #negotiated(flags: ClientFlags, marksCursor: boolean): void {
    this.#walker.deprecateEof = agreedOnDeprecateEof(this.#frontendFlags, flags.sent);
    this.#takes = { multiResults: has(flags.sent, Capability.MULTI_STATEMENTS), marksCursor };
    this.#log.say('debug', 'client flags', { asked: flags.asked, sent: flags.sent });
  }

  // --- client to FE ---

  #fromClient(chunk: Buffer): boolean {
    try {
      this.#router.push(chunk);
    } catch (error) {
      this.#refuse(error);
      return true;
    }
    if (this.#router.lost !== undefined) this.#becomePipe(this.#router.lost);
    if (!this.#ended) this.#relay.clientRead();
    return true;
  }

  /** Lets the router go on with requests that it has kept. */
  #route(take: () => void): void {
    try {
      take();
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (this.#router.lost !== undefined) this.#becomePipe(this.#router.lost);
  }

  #toFrontend(bytes: Buffer): void {
    this.#relay.toFrontend(this.#adapter?.clientBytes(bytes) ?? bytes);
  }

  /** Not a login, or a request beyond all limits: says so as MySQL does and closes. */
  #refuse(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    this.#log.say('info', 'client refused', { reason: error.message });
    this.#host.goodbye(
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
    if (this.#side.open) return this.#fromSide(bytes);
    // The client may work on the answer while it is looked at here.
    const more = this.#relay.toClient(bytes);
    const walker = this.#walker;
    if (!this.#piped) walker.feed(bytes);
    if (walker.pending === 0) {
      this.#relay.answerRead();
      this.#answered();
    } else if (walker.infile) this.#fileAsked();
    if (walker.lost !== undefined) this.#becomePipe(walker.lost);
    return more;
  }

  /** An answer to a question of ours. */
  #fromSide(bytes: Buffer): boolean {
    const walker = this.#walker;
    if (!this.#piped) walker.feed(bytes);
    if (walker.infile) this.#sendNoFile();
    this.#side.take(bytes, walker.idle);
    if (walker.lost === undefined) return true;
    this.#log.say('warn', 'the FE answered what no server answers', { reason: walker.lost });
    this.#host.destroy();
    return false;
  }

  /** A login whose legs differ: small packets, made anew. */
  #fromLogin(adapter: AuthAdapter, bytes: Buffer): boolean {
    const more = this.#relay.toClient(adapter.frontendBytes(bytes));
    if (this.#walker.pending === 0) this.#answered();
    return more;
  }

  /** A statement of a batch asks for a file, which would have to be asked for in the middle of an answer of ours: there is none. */
  #sendNoFile(): void {
    const sequence = this.#walker.nextSequence;
    this.#walker.infile = false;
    this.#walker.replied(sequence);
    this.#toFrontend(encodePacket(sequence, NOTHING));
  }

  /** No answer is outstanding. */
  #answered(): void {
    if (!this.#loggedIn && this.#walker.authenticated) {
      this.#loggedIn = true;
      this.#host.loggedIn();
    }
    if (this.#own && !this.#running && this.#walker.idle) void this.#runOwn(this.#own);
    this.#host.rests();
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
    // Never before the caller's turn is over: the router still holds the request.
    await Promise.resolve();
    const answer = await this.#statements
      .answer(request, this.#answerContext())
      .catch((error: unknown) => {
        this.#log.say('error', 'statement failed for a reason that is a bug', { err: error });
        const text = 'internal error, see the log of the proxy';
        return { client: encodeError(0, 1105, 'HY000', text) };
      });
    if (this.#ended) return;
    this.#running = false;
    this.#own = undefined;
    if (this.#frontendGone) {
      this.#host.goodbye('client' in answer ? answer.client : this.#lostAnswer(0));
      return;
    }
    if ('client' in answer) this.#relay.client.write(answer.client);
    this.#route(() =>
      'client' in answer ? this.#router.resume() : this.#router.relay(answer.frontend),
    );
    if (this.#ended) return;
    this.#relay.paceClient();
    this.#host.rests();
  }

  #answerContext(): AnswerContext {
    const walker = this.#walker;
    const caller: Caller = {
      address: this.#host.address,
      ask: (sql) => this.#side.ask(sql),
    };
    return {
      get dialect() {
        return { status: walker.status, deprecateEof: walker.deprecateEof };
      },
      caller,
      ...this.#takes,
      exchange: (payload, limits) => this.#side.exchange(payload, limits),
      send: (bytes) => void (this.#ended || this.#relay.client.write(bytes)),
    };
  }

  /** A command of ours takes the same way as the client's, so that the walker knows its answer. */
  #send(payload: Buffer): void {
    if (this.#ended || this.#frontendGone || this.#piped) throw this.#frontendLost();
    const answer = answerOf(payload[0] ?? 0);
    if (answer !== 'none' && answer !== 'stream') this.#walker.expect(answer, 0);
    this.#toFrontend(encodePacket(0, payload));
  }

  // --- when the FE is lost ---

  get #lostText(): string {
    return lostText(this.#frontend, this.#host.route, this.#walker.authenticated);
  }

  #lostAnswer(sequence: number): Buffer {
    return encodeError(sequence, 1105, 'HY000', this.#lostText);
  }

  #frontendLost(): ProxyError {
    return new ProxyError('STATEMENT', this.#lostText);
  }

  /** The FE's next answer could not be told from the client's: no more of it. */
  #dropFrontend(): void {
    this.#frontendGone = true;
    this.#frontend.socket.destroy();
  }

  /** The FE has closed: what it sent is delivered, a client that waits is told (wire.md §2.9). */
  #frontendClosed(): void {
    if (this.#frontendGone || this.#ended) return;
    this.#frontendGone = true;
    if (this.#running) {
      // The statement of ours ends with an error, which becomes the client's answer.
      this.#side.fail(this.#frontendLost());
      if (this.#own) return;
    }
    const told = this.#walker.authenticated || this.#host.route.proxyProtocol;
    const waits = told && this.#walker.pending > 0 && this.#walker.untouched;
    const sequence = (this.#walker.nextSequence - 1) & 0xff;
    this.#host.goodbye(waits && !this.#piped ? this.#lostAnswer(sequence) : NOTHING);
  }
}
