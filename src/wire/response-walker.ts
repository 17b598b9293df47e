/**
 * Follows the FE's bytes to the client by their packet headers only, to know when an answer is complete
 * (wire.md §2.4). It keeps no row and copies nothing but heads of packets that a read cut in two.
 */
import { HEADER_BYTES, payloadLength, PAYLOAD_MAX } from './packet.ts';
import { Status } from './resultset.ts';

/** What kind of answer a command has. */
export type AnswerKind =
  /** COM_QUERY, COM_STMT_EXECUTE: OK, ERR, LOCAL INFILE or a result set, perhaps several. */
  | 'result'
  /** Exactly one packet. */
  | 'single'
  /** COM_STMT_PREPARE. */
  | 'prepare'
  /** COM_STMT_FETCH, COM_FIELD_LIST: packets up to EOF, OK or ERR. */
  | 'rows'
  /** Login and COM_CHANGE_USER: a conversation that OK or ERR ends. */
  | 'auth';

type State =
  | 'start'
  | 'definitions'
  | 'after-definitions'
  | 'rows'
  | 'prepare-parameters'
  | 'prepare-columns'
  | 'prepare-eof';

/** Payload bytes of a packet that may have to be seen: an OK with its two longest integers and the flags. */
const HEAD_MAX = 24;

interface Expected {
  kind: AnswerKind;
  /** Sequence id of the answer's first packet. */
  sequence: number;
}

/** Reads a length-encoded integer's size from its first byte. */
function lenencBytes(first: number): number {
  if (first === 0xfc) return 3;
  if (first === 0xfd) return 4;
  return first === 0xfe ? 9 : 1;
}

/** As `readUInt16LE`, which is called for every answer, without what it checks. */
function uint16(bytes: Buffer, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

/** Where the status flags of an OK payload at `at` are, whichever of its two headers it has. */
export function okStatusAt(bytes: Buffer, at: number, length: number): number | undefined {
  let flags = at + 1;
  flags += lenencBytes(bytes[flags] ?? 0);
  flags += lenencBytes(bytes[flags] ?? 0);
  return flags + 2 > at + length || flags + 2 > bytes.length ? undefined : flags;
}

function okStatus(bytes: Buffer, at: number, length: number): number {
  const flags = okStatusAt(bytes, at, length);
  return flags === undefined ? 0 : uint16(bytes, flags);
}

export class ResponseWalker {
  /** Answers not yet complete. */
  #pending = 0;
  /** The first of them. A client that waits for each answer never has another: then nothing is allocated for a query. */
  readonly #oldest: Expected = { kind: 'single', sequence: 1 };
  readonly #later: Expected[] = [];
  #state: State = 'start';
  /** Definitions that follow in the current state. */
  #left = 0;
  #columns = 0;
  /** Payload bytes of the current packet still to come. */
  #skip = 0;
  /** The next packet continues the last one: its first byte means nothing. */
  #continues = false;
  #lastSequence = 0;
  #lastKind: AnswerKind = 'single';
  readonly #head = Buffer.allocUnsafe(HEADER_BYTES + HEAD_MAX);
  #headBytes = 0;

  /** Agreed by both sides at login, which comes before any result set. */
  deprecateEof = false;
  /** Status flags of the last OK or EOF. */
  status = 0;
  /** The FE asked for a file: what the client sends up to an empty packet is data. Whoever handles it sets it back. */
  infile = false;
  /** The login has ended with OK. */
  authenticated = false;
  /** Set when the bytes cannot be an answer: from here on nothing is known about the connection. */
  lost: string | undefined;

  /** Answers that are not complete. */
  get pending(): number {
    return this.#pending;
  }

  /** No byte of the answer to the oldest command was seen. */
  get untouched(): boolean {
    return this.#state === 'start' && this.#headBytes === 0 && this.#skip === 0;
  }

  /** No answer is outstanding, and no packet is half seen. */
  get idle(): boolean {
    return this.#pending === 0 && this.untouched && !this.#continues;
  }

  /** Sequence id the answer to the oldest command starts with. */
  get nextSequence(): number {
    return this.#pending > 0 ? this.#oldest.sequence : 1;
  }

  /** A login is under way: packets of the client that do not begin a command belong to it. */
  get conversing(): boolean {
    return this.#pending > 0 && this.#oldest.kind === 'auth';
  }

  /** A command was sent whose (first) packet has the id `sequence`. */
  expect(kind: AnswerKind, sequence: number): void {
    const next = (sequence + 1) & 0xff;
    if (this.#pending++ > 0) {
      this.#later.push({ kind, sequence: next });
      return;
    }
    this.#oldest.kind = kind;
    this.#oldest.sequence = next;
  }

  /** The newest command goes on in a packet with the id `sequence`. */
  continued(sequence: number): void {
    const newest = this.#later.at(-1) ?? this.#oldest;
    newest.sequence = (sequence + 1) & 0xff;
  }

  /** The client said something in reply to the answer under way (login, file data); it goes on after `sequence`. */
  replied(sequence: number): void {
    this.#oldest.sequence = (sequence + 1) & 0xff;
  }

  /** Takes the next bytes of the FE, cut anywhere. */
  feed(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && this.lost === undefined) {
      if (this.#skip > 0) {
        const n = Math.min(this.#skip, bytes.length - at);
        this.#skip -= n;
        at += n;
      } else if (this.#headBytes > 0) {
        at = this.#completeHead(bytes, at);
      } else {
        at = this.#walk(bytes, at);
      }
    }
  }

  /** Packets whose head lies in `bytes`; returns where the rest starts. */
  #walk(bytes: Buffer, from: number): number {
    let at = from;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = payloadLength(bytes, at);
      const seen = bytes.length - at - HEADER_BYTES;
      if (seen < Math.min(length, HEAD_MAX)) break;
      this.#packet(bytes, at + HEADER_BYTES, length, bytes[at + 3]!);
      if (this.lost !== undefined) return bytes.length;
      if (seen < length) {
        this.#skip = length - seen;
        return bytes.length;
      }
      at += HEADER_BYTES + length;
    }
    if (at < bytes.length) {
      bytes.copy(this.#head, 0, at);
      this.#headBytes = bytes.length - at;
    }
    return bytes.length;
  }

  /** Fills up a head that an earlier read began. */
  #completeHead(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length) {
      const length = this.#headBytes < HEADER_BYTES ? 0 : payloadLength(this.#head, 0);
      const wanted = HEADER_BYTES + Math.min(length, HEAD_MAX);
      const n = Math.min(wanted - this.#headBytes, bytes.length - at);
      bytes.copy(this.#head, this.#headBytes, at, at + n);
      this.#headBytes += n;
      at += n;
      if (this.#headBytes < HEADER_BYTES) return at;
      const whole = payloadLength(this.#head, 0);
      if (this.#headBytes >= HEADER_BYTES + Math.min(whole, HEAD_MAX)) {
        const inHead = this.#headBytes - HEADER_BYTES;
        this.#headBytes = 0;
        this.#packet(this.#head, HEADER_BYTES, whole, this.#head.readUInt8(3));
        this.#skip = whole - inHead;
        return at;
      }
    }
    return at;
  }

  /** One packet, its payload's first bytes at `at`. */
  #packet(bytes: Buffer, at: number, length: number, sequence: number): void {
    const continuation = this.#continues;
    this.#continues = length === PAYLOAD_MAX;
    if (continuation) {
      this.#lastSequence = sequence;
      return;
    }
    const first = length > 0 ? bytes[at]! : -1;
    // Almost every packet of a large result is a row: nothing to decide.
    if (this.#state === 'rows' && first !== 0xfe && first !== 0xff) {
      this.#lastSequence = sequence;
      return;
    }
    if (this.#state === 'start' && !this.#begins(first, length, sequence)) return;
    this.#lastSequence = sequence;
    this.#step(bytes, at, length, first);
  }

  /** Whether a packet in state `start` begins the next answer; otherwise it has been dealt with. */
  #begins(first: number, length: number, sequence: number): boolean {
    const expected = this.#pending > 0 ? this.#oldest : undefined;
    if (expected && expected.sequence === sequence) return true;
    if (expected && (first === 0xff || expected.kind === 'auth')) return true;
    const goesOn = sequence === ((this.#lastSequence + 1) & 0xff);
    if (goesOn && (this.#lastKind === 'result' || this.#lastKind === 'rows')) {
      // Doris puts an OK after the metadata for Connector/J with a cursor (wire.md §2.4): the rows follow it.
      if (this.#pending++ > 0) this.#later.unshift({ ...this.#oldest });
      this.#oldest.kind = this.#lastKind;
      this.#oldest.sequence = sequence;
      this.#state = 'rows';
      return true;
    }
    if (first === 0xff) return false; // "Connection was killed", "Server shutdown": unasked, the end follows
    if (goesOn && this.#lastKind === 'prepare' && first === 0xfe && length <= 5) {
      this.#lastSequence = sequence;
      return false; // EOF after the definitions although it was agreed to leave it out
    }
    this.lost = expected
      ? `packet with sequence id ${sequence} where ${expected.sequence} begins the answer`
      : `packet with sequence id ${sequence} while no answer is outstanding`;
    return false;
  }

  #step(bytes: Buffer, at: number, length: number, first: number): void {
    switch (this.#state) {
      case 'start':
        this.#start(bytes, at, length, first);
        return;
      case 'definitions':
        this.#left -= 1;
        if (first === 0xff) this.#done();
        else if (this.#left === 0) this.#state = 'after-definitions';
        return;
      case 'after-definitions':
        this.#afterDefinitions(bytes, at, length, first);
        return;
      case 'rows':
        this.#row(bytes, at, length, first);
        return;
      case 'prepare-parameters':
      case 'prepare-columns':
        this.#preparedDefinition(first);
        return;
      case 'prepare-eof':
        this.#nextPreparePart();
        return;
    }
  }

  #start(bytes: Buffer, at: number, length: number, first: number): void {
    const { kind } = this.#oldest;
    if (kind === 'single') {
      if (first === 0) this.status = okStatus(bytes, at, length);
      this.#done();
    } else if (kind === 'auth') {
      if (first === 0) this.status = okStatus(bytes, at, length);
      if (first === 0) this.authenticated = true;
      if (first === 0 || first === 0xff) this.#done();
      else this.replied(this.#lastSequence);
    } else if (kind === 'rows') {
      this.#state = 'rows';
      this.#row(bytes, at, length, first);
    } else if (kind === 'prepare') {
      this.#startPrepare(bytes, at, length, first);
    } else {
      this.#startResult(bytes, at, length, first);
    }
  }

  #startResult(bytes: Buffer, at: number, length: number, first: number): void {
    if (first === 0) {
      this.#endResult(okStatus(bytes, at, length));
    } else if (first === 0xff) {
      this.#done();
    } else if (first === 0xfb) {
      this.infile = true;
      // The final OK follows the client's last packet, see `replied`.
      this.replied(this.#lastSequence);
    } else {
      const counted = first < 0xfb || (first === 0xfc && length >= 3);
      this.#left = first === 0xfc && counted ? uint16(bytes, at + 1) : first;
      if (this.#left <= 0 || !counted) this.lost = `column count ${first}`;
      this.#state = 'definitions';
    }
  }

  #startPrepare(bytes: Buffer, at: number, length: number, first: number): void {
    if (first !== 0 || length < 9) {
      this.#done();
      return;
    }
    this.#columns = uint16(bytes, at + 5);
    this.#left = uint16(bytes, at + 7);
    if (this.#left > 0) this.#state = 'prepare-parameters';
    else this.#nextPreparePart();
  }

  #preparedDefinition(first: number): void {
    this.#left -= 1;
    if (first === 0xff) this.#done();
    else if (this.#left === 0) {
      if (this.deprecateEof) this.#nextPreparePart();
      else this.#state = 'prepare-eof';
    }
  }

  /** Parameters are through, or columns, or both. */
  #nextPreparePart(): void {
    if (this.#columns === 0) {
      this.#done();
      return;
    }
    this.#left = this.#columns;
    this.#columns = 0;
    this.#state = 'prepare-columns';
  }

  #afterDefinitions(bytes: Buffer, at: number, length: number, first: number): void {
    this.#state = 'rows';
    if (first !== 0xfe || length > 5) {
      this.#row(bytes, at, length, first);
      return;
    }
    if (length < 5) return;
    this.status = uint16(bytes, at + 3);
    // An opened cursor: its rows come with COM_STMT_FETCH.
    if ((this.status & Status.CURSOR_EXISTS) !== 0) this.#endResult(this.status);
  }

  #row(bytes: Buffer, at: number, length: number, first: number): void {
    if (first === 0xff) {
      this.#done();
    } else if (first === 0xfe && length < 9) {
      // EOF has its flags last, the OK that replaces it (7 bytes or more) in front of the warnings.
      if (length > 5) this.#endResult(okStatus(bytes, at, length));
      else this.#endResult(length === 5 ? uint16(bytes, at + 3) : 0);
    } else if (first === 0xfe && this.deprecateEof && length < PAYLOAD_MAX) {
      this.#endResult(okStatus(bytes, at, length));
    }
  }

  #endResult(status: number): void {
    this.status = status;
    if ((status & Status.MORE_RESULTS) === 0) {
      this.#done();
      return;
    }
    this.#state = 'start';
    this.replied(this.#lastSequence);
  }

  #done(): void {
    this.#state = 'start';
    this.#lastKind = this.#oldest.kind;
    this.#pending -= 1;
    const next = this.#pending > 0 ? this.#later.shift() : undefined;
    if (!next) return;
    this.#oldest.kind = next.kind;
    this.#oldest.sequence = next.sequence;
  }
}
