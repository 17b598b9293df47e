import { setImmediate as othersFirst } from 'node:timers/promises';
import type { BatchPart, Caller, OwnStatement, Reply } from '../command/commands.ts';
import { FrontendError } from '../command/commands.ts';
import { ProxyError } from '../model/error.ts';
import { placeAnswer } from '../wire/answer-part.ts';
import { encodePacket, HEADER_BYTES, ProtocolError } from '../wire/packet.ts';
import { readExecute, rewriteExecute } from '../wire/prepared.ts';
import type { ParameterTypes } from '../wire/prepared.ts';
import { Command } from '../wire/request.ts';
import {
  encodeError,
  encodeOk,
  encodePrepared,
  encodeTable,
  encodeLongTable,
  readError,
} from '../wire/resultset.ts';
import type { Dialect } from '../wire/resultset.ts';
import type { ExchangeLimits } from './side-dialogue.ts';

/**
 * Ids of our prepared statements: far above the FE's, which count from 0, and below 2^31, because some
 * drivers keep them in a signed integer (wire.md §2.7).
 */
const FIRST_ID = 0x40_00_00_00;
const LAST_ID = 0x7f_ff_ff_fe;
/** MariaDB: "the statement prepared last", for drivers that send PREPARE and EXECUTE in one go. */
const LATEST = 0xff_ff_ff_ff;
/** MySQL's default of `max_prepared_stmt_count`; a client that never closes must not fill our memory. */
const STATEMENTS_MAX = 16_382;
/** Text and long parameters of all statements that a client has with us, for the same reason. */
const KEPT_BYTES_MAX = 8_388_608;
const LONG_DATA_BYTES_MAX = 1_048_576;
/** About what a kept piece takes besides its bytes. */
const PIECE_OVERHEAD_BYTES = 128;
/** In the flags of COM_STMT_EXECUTE, which follow the id (MySQL internals manual: "COM_STMT_EXECUTE"). */
const CURSOR_TYPE_READ_ONLY = 0x01;

const UNKNOWN_STATEMENT = { errno: 1243, sqlState: 'HY000' };
const TOO_MANY_STATEMENTS = { errno: 1461, sqlState: '42000' };

interface Prepared {
  readonly id: number;
  readonly statement: OwnStatement;
  /** The COM_STMT_PREPARE payload, for the case that the FE must prepare it after all. */
  readonly payload: Buffer;
  types: ParameterTypes | undefined;
  /** Pieces as they came: joined when the statement runs, for a client may send a byte at a time. */
  readonly longData: Map<number, Buffer[]>;
  /** Of the pieces that are kept. */
  longDataBytes: number;
  longDataTooLong: boolean;
  frontendId: number | undefined;
}

/** A whole request of the client's that we answer. */
export interface OwnRequest {
  /** As it came, header included, for the case that it must be sent on after all. */
  readonly packet: Buffer;
  readonly payload: Buffer;
  readonly command: number;
  /** Set for COM_QUERY and COM_STMT_PREPARE. */
  readonly statement?: OwnStatement;
}

/** What an answer needs from the session. */
export interface AnswerContext {
  /** As it is now: the status changes with the FE's answers. */
  readonly dialect: Dialect;
  /** What a cursor asked for has to be answered with: see connect-attributes.ts. */
  readonly marksCursor: boolean;
  readonly caller: Caller;
  /** The client takes several results for one packet. */
  readonly multiResults: boolean;
  /** Sends one command to the FE and returns the bytes of its whole answer, which the client does not see. */
  exchange(payload: Buffer, limits?: ExchangeLimits): Promise<Buffer>;
  /** Bytes of an answer that is not complete yet. */
  send(bytes: Buffer): void;
}

/** A table with as many rows is encoded in pieces, so that nobody else's packets wait for it. */
const LONG_ROWS = 500;

type OwnReply = Exclude<Reply, { kind: 'rewritten' }>;

/** A statement of a batch runs as long as it takes; its result is kept until it is complete. */
const BATCH_LIMITS: ExchangeLimits = { timeoutMs: undefined, bytesMax: 67_108_864 };

/** Bytes for the client, or a command that the FE must answer. */
export type Answer = { readonly client: Buffer } | { readonly frontend: Buffer };

/** The requests of one client that we answer, and the statements it has prepared with us. */
export class OwnStatements {
  readonly #byId = new Map<number, Prepared>();
  #nextId = FIRST_ID;
  /** The client's last PREPARE was ours, with this id. */
  #latest: number | undefined;
  /** Of payloads and long data. */
  #keptBytes = 0;

  /** Whether a statement id in a client's packet is for us. */
  owns(id: number): boolean {
    return (id >= FIRST_ID && id <= LAST_ID) || (id === LATEST && this.#latest !== undefined);
  }

  /** The client prepared something with the FE. */
  frontendPrepared(): void {
    this.#latest = undefined;
  }

  /** The session was reset: its statements are gone. */
  clear(): void {
    this.#byId.clear();
    this.#keptBytes = 0;
    this.#latest = undefined;
  }

  /**
   * Deals with a request that has no answer. `undefined`: it has one, call {@link answer}. Otherwise the bytes for the FE, if any:
   * the FE's half of a statement is closed with ours.
   */
  takeSilent(request: OwnRequest): { readonly frontend?: Buffer } | undefined {
    const { command, payload } = request;
    if (command === Command.STMT_SEND_LONG_DATA) {
      this.#keepLongData(payload);
      return {};
    }
    if (command !== Command.STMT_CLOSE) return undefined;
    const prepared = this.#find(payload);
    if (!prepared) return {};
    this.#dropLongData(prepared);
    this.#byId.delete(prepared.id);
    this.#keptBytes -= prepared.payload.length;
    if (this.#latest === prepared.id) this.#latest = undefined;
    if (prepared.frontendId === undefined) return {};
    const close = Buffer.alloc(5, Command.STMT_CLOSE);
    close.writeUInt32LE(prepared.frontendId, 1);
    return { frontend: encodePacket(0, close) };
  }

  /** Runs a request; failures of the statement become an ERR. Throws only what is a bug. */
  async answer(request: OwnRequest, context: AnswerContext): Promise<Answer> {
    try {
      return await this.#answer(request, context);
    } catch (error) {
      return { client: asError(error) };
    }
  }

  async #answer(request: OwnRequest, context: AnswerContext): Promise<Answer> {
    const { command, payload, statement } = request;
    if (statement?.batch) {
      if (command === Command.QUERY) return { client: await runBatch(statement.batch, context) };
      throw new ProxyError('STATEMENT', 'Only one statement can be prepared, not several at once');
    }
    if (statement && command === Command.QUERY) {
      const reply = await statement.execute([], context.caller);
      if (reply === 'relay') return { frontend: request.packet };
      if (reply.kind === 'rewritten') {
        const query = Buffer.concat([Buffer.of(Command.QUERY), Buffer.from(reply.sql)]);
        return { frontend: encodePacket(0, query) };
      }
      return { client: await encodeReply(reply, context.dialect, 'text') };
    }
    if (statement) {
      const described = await statement.describe?.(context.caller);
      if (described === 'relay') {
        this.frontendPrepared();
        return { frontend: request.packet };
      }
      return { client: this.#prepare({ ...statement, ...described }, payload, context.dialect) };
    }
    const prepared = this.#find(payload);
    // No cursor is ever announced, so there is nothing to fetch from.
    if (!prepared || command === Command.STMT_FETCH) return { client: unknownStatement(payload) };
    if (command === Command.STMT_RESET) {
      this.#dropLongData(prepared);
      return { client: encodeOk(0, context.dialect) };
    }
    return this.#execute(prepared, payload, context);
  }

  #prepare(statement: OwnStatement, payload: Buffer, dialect: Dialect): Buffer {
    const keptBytes = this.#keptBytes + payload.length;
    if (this.#byId.size >= STATEMENTS_MAX || keptBytes > KEPT_BYTES_MAX) {
      const { errno, sqlState } = TOO_MANY_STATEMENTS;
      const text = `Can't create more than max_prepared_stmt_count statements (current value: ${STATEMENTS_MAX})`;
      return encodeError(0, errno, sqlState, text);
    }
    const id = this.#nextId;
    this.#nextId = id === LAST_ID ? FIRST_ID : id + 1;
    this.#latest = id;
    this.#keptBytes = keptBytes;
    this.#byId.set(id, {
      id,
      statement,
      payload: Buffer.from(payload),
      types: undefined,
      longData: new Map(),
      longDataBytes: 0,
      longDataTooLong: false,
      frontendId: undefined,
    });
    return encodePrepared(0, dialect, { ...statement, id });
  }

  async #execute(prepared: Prepared, payload: Buffer, context: AnswerContext): Promise<Answer> {
    const { statement } = prepared;
    const longData = new Map([...prepared.longData].map(([at, of]) => [at, Buffer.concat(of)]));
    if (prepared.longDataTooLong) {
      this.#dropLongData(prepared);
      throw new ProxyError('STATEMENT', 'parameters of more than 1 MiB are not supported');
    }
    const hadLongData = longData.size > 0;
    const bound = readExecute(payload, statement.parameterCount, prepared.types, longData);
    prepared.types = bound.types;
    this.#dropLongData(prepared);
    const reply = await statement.execute(bound.values, context.caller);
    if (reply !== 'relay') {
      const answered = reply.kind === 'rewritten' ? await askFor(reply.sql, context) : reply;
      const marksCursor = context.marksCursor && ((payload[5] ?? 0) & CURSOR_TYPE_READ_ONLY) !== 0;
      const { status, deprecateEof } = context.dialect;
      const dialect = { status, deprecateEof, marksCursor };
      return { client: await encodeReply(answered, dialect, 'binary') };
    }
    if (hadLongData) {
      throw new ProxyError('STATEMENT', 'long parameters are not supported for this statement');
    }
    prepared.frontendId ??= await prepareOnFrontend(prepared.payload, context);
    const rewritten = rewriteExecute(
      payload,
      prepared.frontendId,
      statement.parameterCount,
      bound.types,
    );
    return { frontend: encodePacket(0, rewritten) };
  }

  /** The statement whose id follows the command byte. */
  #find(payload: Buffer): Prepared | undefined {
    const id = payload.readUInt32LE(1);
    return this.#byId.get(id === LATEST ? (this.#latest ?? id) : id);
  }

  #keepLongData(payload: Buffer): void {
    const prepared = this.#find(payload);
    if (!prepared || payload.length < 7) return;
    // An empty piece is kept too, and says that the value is sent ahead.
    const bytes = payload.length - 7 + PIECE_OVERHEAD_BYTES;
    const tooLong =
      prepared.longDataTooLong ||
      prepared.longDataBytes + bytes > LONG_DATA_BYTES_MAX ||
      this.#keptBytes + bytes > KEPT_BYTES_MAX;
    if (tooLong) {
      this.#dropLongData(prepared);
      prepared.longDataTooLong = true;
      return;
    }
    prepared.longDataBytes += bytes;
    this.#keptBytes += bytes;
    const index = payload.readUInt16LE(5);
    const pieces = prepared.longData.get(index) ?? [];
    pieces.push(Buffer.from(payload.subarray(7)));
    prepared.longData.set(index, pieces);
  }

  #dropLongData(prepared: Prepared): void {
    prepared.longData.clear();
    this.#keptBytes -= prepared.longDataBytes;
    prepared.longDataBytes = 0;
    prepared.longDataTooLong = false;
  }
}

/**
 * Runs the statements of a batch in their order and stops at the first that fails. Sequence ids run on over all answers.
 * A client that did not ask for several results gets the last one only, as from Doris (doris-target.md §4.3).
 * Returns the bytes of the last answer; those before it are sent.
 */
async function runBatch(parts: readonly BatchPart[], context: AnswerContext): Promise<Buffer> {
  let sequence = 1;
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    const answer = await answerPart(part, context).catch(asError);
    const more = !last && context.multiResults;
    const placed = placeAnswer(answer, sequence, more, context.dialect.deprecateEof);
    if (placed.infile) {
      const error = new ProxyError(
        'STATEMENT',
        'LOAD DATA LOCAL must be sent alone, not in a batch',
      );
      const refusal = asError(error);
      placeAnswer(refusal, sequence, false, false);
      return refusal;
    }
    if (last || placed.failed) return answer;
    if (!context.multiResults) continue;
    context.send(answer);
    sequence = placed.nextSequence;
  }
  throw new TypeError('an empty batch');
}

async function answerPart({ sql, own }: BatchPart, context: AnswerContext): Promise<Buffer> {
  const reply = (await own?.execute([], context.caller)) ?? 'relay';
  if (reply !== 'relay' && reply.kind !== 'rewritten') {
    return await encodeReply(reply, context.dialect, 'text');
  }
  const text = reply === 'relay' ? sql : reply.sql;
  const query = Buffer.concat([Buffer.of(Command.QUERY), Buffer.from(text)]);
  return await context.exchange(query, BATCH_LIMITS);
}

/** Prepares with the FE what turned out to be the FE's; returns its id there. */
async function prepareOnFrontend(payload: Buffer, context: AnswerContext): Promise<number> {
  const answer = await context.exchange(payload);
  const first = answer.subarray(HEADER_BYTES);
  if (first[0] === 0 && first.length >= 5) return first.readUInt32LE(1);
  const { errno, sqlState, message } = readError(first.subarray(0, answer.readUIntLE(0, 3)));
  throw new FrontendError(errno, sqlState, message);
}

/** Doris answers in texts; the client has prepared with us, and gets binary rows. */
async function askFor(sql: string, { caller }: AnswerContext): Promise<OwnReply> {
  const answer = await caller.ask(sql);
  return answer.columns.length === 0 ? { kind: 'ok' } : { kind: 'rows', ...answer };
}

async function encodeReply(
  reply: OwnReply,
  dialect: Dialect,
  form: 'text' | 'binary',
): Promise<Buffer> {
  // Every request of ours is a command in one packet, with the sequence id 0.
  if (reply.kind === 'ok') return encodeOk(0, dialect);
  if (reply.rows.length < LONG_ROWS) return encodeTable(0, dialect, reply, form);
  return await encodeLongTable(othersFirst, 0, dialect, reply, form);
}

function unknownStatement(payload: Buffer): Buffer {
  const { errno, sqlState } = UNKNOWN_STATEMENT;
  const id = payload.readUInt32LE(1);
  return encodeError(0, errno, sqlState, `Unknown prepared statement handler (${id})`);
}

/** @throws whatever is neither the user's nor a server's failure. */
function asError(error: unknown): Buffer {
  if (error instanceof FrontendError) {
    return encodeError(0, error.errno, error.sqlState, error.message);
  }
  if (error instanceof ProxyError) {
    return encodeError(0, error.failure.errno, error.failure.sqlState, error.message);
  }
  if (error instanceof ProtocolError) {
    return encodeError(0, 1835, 'HY000', `Malformed communication packet: ${error.message}`);
  }
  throw error;
}
