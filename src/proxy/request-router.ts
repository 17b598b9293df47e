import type { Commands } from '../command/commands.ts';
import { readConnectAttributes, takesMarkerForCursor } from '../wire/connect-attributes.ts';
import { Capability, has, maskResponse, RESPONSE_HEAD_BYTES } from '../wire/handshake.ts';
import type { ClientFlags } from '../wire/handshake.ts';
import { HEADER_BYTES, payloadLength, PAYLOAD_MAX, ProtocolError } from '../wire/packet.ts';
import { answerOf, Command, mayBeOurs, SEARCHED_BYTES_MAX } from '../wire/request.ts';
import type { ResponseWalker } from '../wire/response-walker.ts';
import type { OwnRequest, OwnStatements } from './own-statements.ts';

/** A longer statement is never ours; it is not even waited for. CREATE JOB may name thousands of tables. */
const OWN_BYTES_MAX = 4_194_304;
/** Longest EXECUTE and SEND_LONG_DATA of a statement of ours. */
const PARAMETER_BYTES_MAX = 1_048_576;
/** A login packet beyond this is no login packet (an HTTP request reads as one of 5 MB). */
const LOGIN_BYTES_MAX = 1_048_576;
/** MySQL's limit for connect attributes (`performance_schema_session_connect_attrs_size`): a longer login is not waited for. */
const WHOLE_LOGIN_BYTES_MAX = 65_536;

/** Where a router's requests go. */
export interface RouterTarget {
  /** Bytes for the FE, in order. The memory stays untouched. */
  forward(bytes: Buffer): void;
  /**
   * The flags of the client's login packet.
   * @param marksCursor see {@link takesMarkerForCursor}.
   */
  negotiated(flags: ClientFlags, marksCursor: boolean): void;
  /** A request of ours. `false`: it takes time; the router keeps everything after it until {@link RequestRouter.resume}. */
  own(request: OwnRequest): boolean;
}

/**
 * Cuts the client's bytes into packets and decides for each who gets it (wire.md §2.6). Bytes for the FE go on
 * as they came, in the pieces they came in; kept are only packets that are undecided.
 */
export class RequestRouter {
  readonly #commands: Commands;
  readonly #statements: OwnStatements;
  readonly #walker: ResponseWalker;
  readonly #target: RouterTarget;
  #loggedIn = false;
  /** Bytes of the current packet that are still to be passed on. */
  #left = 0;
  /** The next packet continues the last one. */
  #continues = false;
  /** The start of an undecided packet: `#heldBytes` of the wanted `#held.length`. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  #blocked = false;
  #queue: Buffer[] = [];

  /** The login comes over TLS, behind the request for it. */
  clientTls = false;
  /** The FE's leg is encrypted. */
  frontendTls = false;
  /** Bytes that wait behind a request of ours. */
  queuedBytes = 0;
  /** Set when the client's bytes cannot be commands: nothing is looked at any more. */
  lost: string | undefined;

  constructor(
    commands: Commands,
    statements: OwnStatements,
    walker: ResponseWalker,
    target: RouterTarget,
  ) {
    this.#commands = commands;
    this.#statements = statements;
    this.#walker = walker;
    this.#target = target;
  }

  /** It waits for an answer of ours, and keeps what comes behind the request. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Nothing of a packet was seen that is not complete. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#held === undefined && !this.#continues && !this.#blocked;
  }

  /**
   * Takes the next bytes of the client, cut anywhere. Once it is {@link blocked} it may keep `chunk`.
   * @throws ProtocolError when they are no login, or a request for one of our statements is too large.
   */
  push(chunk: Buffer): void {
    if (this.#blocked) {
      this.#queue.push(chunk);
      this.queuedBytes += chunk.length;
    } else {
      const bytes = this.#joinHeld(chunk);
      if (bytes) this.#route(bytes);
    }
  }

  /** The request of ours was answered: goes on with what came meanwhile. */
  resume(): void {
    const queue = this.#queue;
    this.#queue = [];
    this.queuedBytes = 0;
    this.#blocked = false;
    for (const chunk of queue) this.push(chunk);
  }

  /** Like {@link resume}, but sends `packet`, a whole command, to the FE first; its answer goes to the client. */
  relay(packet: Buffer): void {
    const answer = answerOf(packet[HEADER_BYTES] ?? 0);
    if (answer !== 'none' && answer !== 'stream') this.#walker.expect(answer, 0);
    this.#target.forward(packet);
    this.resume();
  }

  /** Like {@link resume}, but looks at the request again: what it was taken for has changed. */
  reconsider(request: OwnRequest): void {
    this.#queue.unshift(request.packet);
    this.resume();
  }

  /** Stops looking: everything kept and everything to come goes to the FE. */
  giveUp(): void {
    this.lost ??= 'given up';
    if (this.#held) this.#target.forward(this.#held.subarray(0, this.#heldBytes));
    this.#held = undefined;
    this.resume();
  }

  #joinHeld(chunk: Buffer): Buffer | undefined {
    const held = this.#held;
    if (!held) return chunk;
    const n = chunk.copy(held, this.#heldBytes);
    this.#heldBytes += n;
    if (this.#heldBytes < held.length) return undefined;
    this.#held = undefined;
    return n === chunk.length ? held : Buffer.concat([held, chunk.subarray(n)]);
  }

  #route(bytes: Buffer): void {
    let from = 0;
    let at = 0;
    while (at < bytes.length && this.lost === undefined) {
      if (this.#left > 0) {
        const n = Math.min(this.#left, bytes.length - at);
        this.#left -= n;
        at += n;
        continue;
      }
      const wanted = this.#inspect(bytes, at);
      if (wanted > bytes.length - at) {
        this.#forward(bytes, from, at);
        this.#held = Buffer.allocUnsafeSlow(wanted);
        this.#heldBytes = bytes.copy(this.#held, 0, at);
        return;
      }
      const own = this.#own;
      if (own) {
        this.#own = undefined;
        this.#forward(bytes, from, at);
        at += own.packet.length;
        from = at;
        if (!this.#target.own(own)) {
          this.#blocked = true;
          if (at < bytes.length) this.push(bytes.subarray(at));
          return;
        }
      }
    }
    this.#forward(bytes, from, bytes.length);
  }

  /** What the last {@link #inspect} found. */
  #own: OwnRequest | undefined;

  #forward(bytes: Buffer, from: number, to: number): void {
    if (from === 0 && to === bytes.length) this.#target.forward(bytes);
    else if (to > from) this.#target.forward(bytes.subarray(from, to));
  }

  /**
   * Decides about the packet that begins at `at`: sets `#left`, `#own` or `lost`.
   * Returns how many of its bytes must be there for that; if they are not, nothing was decided.
   */
  #inspect(bytes: Buffer, at: number): number {
    const available = bytes.length - at;
    if (available < HEADER_BYTES) return HEADER_BYTES;
    const length = payloadLength(bytes, at);
    const sequence = bytes[at + 3] ?? 0;
    if (!this.#loggedIn) return this.#inspectLogin(bytes, at, length, sequence);
    if (this.#continues) {
      this.#walker.continued(sequence);
    } else if (this.#walker.infile) {
      // File data, whatever it looks like; an empty packet ends it.
      if (length === 0) this.#walker.infile = false;
      this.#walker.replied(sequence);
    } else if (sequence !== 0) {
      if (this.#walker.conversing) this.#walker.replied(sequence);
      else this.lost = `a packet with sequence id ${sequence} begins no command`;
    } else if (length === 0) {
      this.#walker.expect('single', 0);
    } else {
      const wanted = this.#inspectCommand(bytes, at, length);
      if (wanted > available || this.#own) return wanted;
    }
    this.#left = HEADER_BYTES + length;
    this.#continues = length === PAYLOAD_MAX;
    return HEADER_BYTES;
  }

  #inspectLogin(bytes: Buffer, at: number, length: number, sequence: number): number {
    const expected = this.clientTls ? 2 : 1;
    if (sequence !== expected || length > LOGIN_BYTES_MAX)
      throw new ProtocolError('not a login packet');
    const short = length <= WHOLE_LOGIN_BYTES_MAX;
    const wanted = short ? HEADER_BYTES + Math.max(length, 4) : RESPONSE_HEAD_BYTES;
    if (bytes.length - at < wanted) return wanted;
    const flags = maskResponse(bytes.subarray(at), this.frontendTls);
    if (flags.sslRequest) throw new ProtocolError('TLS was not offered');
    this.#loggedIn = true;
    this.#walker.expect('auth', sequence);
    const payload = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
    this.#target.negotiated(flags, short && marksCursor(payload));
    this.#left = HEADER_BYTES + length;
    return HEADER_BYTES;
  }

  #inspectCommand(bytes: Buffer, at: number, length: number): number {
    const available = bytes.length - at;
    if (available < HEADER_BYTES + 1) return HEADER_BYTES + 1;
    const command = bytes[at + HEADER_BYTES] ?? 0;
    switch (command) {
      case Command.QUERY:
      case Command.STMT_PREPARE: {
        const wanted = this.#inspectText(bytes, at, length, command);
        if (wanted > available || this.#own) return wanted;
        if (command === Command.STMT_PREPARE) this.#statements.frontendPrepared();
        break;
      }
      case Command.STMT_EXECUTE:
      case Command.STMT_SEND_LONG_DATA:
      case Command.STMT_CLOSE:
      case Command.STMT_RESET:
      case Command.STMT_FETCH: {
        const wanted = this.#inspectStatementId(bytes, at, length, command);
        if (wanted > available || this.#own) return wanted;
        break;
      }
      case Command.CHANGE_USER:
      case Command.RESET_CONNECTION:
        this.#statements.clear();
        break;
    }
    const answer = answerOf(command);
    if (answer === 'stream') this.lost = `command ${command} has no answer that ends`;
    else if (answer !== 'none') this.#walker.expect(answer, 0);
    return HEADER_BYTES;
  }

  #inspectText(bytes: Buffer, at: number, length: number, command: number): number {
    if (length > OWN_BYTES_MAX || length < 2) return HEADER_BYTES;
    const available = bytes.length - at;
    const start = at + HEADER_BYTES + 1;
    const searched = Math.min(length - 1, SEARCHED_BYTES_MAX);
    if (bytes.length < start + searched) return HEADER_BYTES + 1 + searched;
    if (!mayBeOurs(bytes, start, length - 1)) return HEADER_BYTES;
    const whole = HEADER_BYTES + length;
    if (available < whole) return whole;
    const statement = this.#commands.recognize(bytes.toString('utf8', start, at + whole));
    if (statement) this.#own = { ...requestAt(bytes, at, whole), command, statement };
    return whole;
  }

  #inspectStatementId(bytes: Buffer, at: number, length: number, command: number): number {
    if (length < 5) return HEADER_BYTES;
    if (bytes.length - at < HEADER_BYTES + 5) return HEADER_BYTES + 5;
    if (!this.#statements.owns(bytes.readUInt32LE(at + HEADER_BYTES + 1))) return HEADER_BYTES;
    const whole = HEADER_BYTES + length;
    if (length > PARAMETER_BYTES_MAX) throw new ProtocolError('parameters of more than 1 MiB');
    if (bytes.length - at >= whole) this.#own = { ...requestAt(bytes, at, whole), command };
    return whole;
  }
}

function requestAt(bytes: Buffer, at: number, whole: number): { packet: Buffer; payload: Buffer } {
  const packet = bytes.subarray(at, at + whole);
  return { packet, payload: packet.subarray(HEADER_BYTES) };
}

/** A login that cannot be read is the FE's to refuse. */
function marksCursor(login: Buffer): boolean {
  try {
    return takesMarkerForCursor(readConnectAttributes(login));
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

/** Whether both sides agreed on result sets without EOF. */
export function agreedOnDeprecateEof(frontend: number, client: number): boolean {
  return has(frontend & client, Capability.DEPRECATE_EOF);
}
