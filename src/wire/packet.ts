/**
 * Framing of the MySQL client/server protocol (MySQL internals manual: "MySQL Packets"): three bytes of
 * length, one byte of sequence id, payload. No sockets here.
 */

/** Longest payload of one packet; a payload of this length or more goes on in a continuation packet. */
export const PAYLOAD_MAX = 0xff_ff_ff;

export const HEADER_BYTES = 4;

export interface Packet {
  readonly sequence: number;
  readonly payload: Buffer;
}

/** Payload length of the packet whose header starts at `at`, of which at least three bytes are there. */
export function payloadLength(bytes: Buffer, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
}

/** What the other side sent cannot be the MySQL protocol; the connection must end. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/**
 * Frames one payload as one or more packets, the first with `sequence`. A payload of n x 16,777,215 bytes ends
 * with an empty packet, otherwise the reader would wait for more.
 */
export function encodePacket(sequence: number, payload: Uint8Array): Buffer {
  const packets = Math.floor(payload.length / PAYLOAD_MAX) + 1;
  const framed = Buffer.allocUnsafe(payload.length + packets * HEADER_BYTES);
  let at = 0;
  for (let i = 0; i < packets; i++) {
    const part = payload.subarray(i * PAYLOAD_MAX, (i + 1) * PAYLOAD_MAX);
    framed.writeUIntLE(part.length, at, 3);
    framed[at + 3] = (sequence + i) & 0xff;
    framed.set(part, at + HEADER_BYTES);
    at += HEADER_BYTES + part.length;
  }
  return framed;
}

/**
 * Gathers whole payloads (continuations joined) out of bytes that arrive in any pieces. For the small and rare:
 * greetings, answers to our own questions. Relayed traffic is never gathered.
 */
export class PacketReader {
  readonly #bytesMax: number;
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes that must be there before it makes sense to look again. */
  #wanted = HEADER_BYTES;

  /** @param bytesMax most bytes that may wait for the end of a packet. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** No byte waits for the end of a packet. */
  get empty(): boolean {
    return this.#bytes === 0;
  }

  /** Takes a copy of `chunk`: the caller may use its memory again. */
  push(chunk: Uint8Array): void {
    this.#pieces.push(Buffer.from(chunk));
    this.#bytes += chunk.length;
  }

  /** Bytes that wait for the end of a packet; the reader is empty after it. */
  rest(): Buffer {
    const bytes = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    this.#wanted = HEADER_BYTES;
    return bytes;
  }

  /**
   * The next whole payload, undefined while it is incomplete. Its sequence id is that of its last packet.
   * @throws ProtocolError when more than `bytesMax` bytes would have to be kept.
   */
  next(): Packet | undefined {
    if (this.#bytes < this.#wanted) return undefined;
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    const bytes = this.#pieces[0] ?? Buffer.alloc(0);
    const parts: Buffer[] = [];
    let at = 0;
    while (at + HEADER_BYTES <= bytes.length) {
      const length = payloadLength(bytes, at);
      const end = at + HEADER_BYTES + length;
      if (end > this.#bytesMax)
        throw new ProtocolError(`packet of more than ${this.#bytesMax} bytes`);
      if (end > bytes.length) {
        this.#wanted = end;
        return undefined;
      }
      parts.push(bytes.subarray(at + HEADER_BYTES, end));
      if (length < PAYLOAD_MAX) {
        this.#pieces = [bytes.subarray(end)];
        this.#bytes = bytes.length - end;
        this.#wanted = HEADER_BYTES;
        const [only] = parts;
        const payload = parts.length === 1 && only ? only : Buffer.concat(parts);
        return { sequence: bytes.readUInt8(at + 3), payload };
      }
      at = end;
    }
    this.#wanted = at + HEADER_BYTES;
    return undefined;
  }
}
