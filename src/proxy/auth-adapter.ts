import { constants, publicEncrypt } from 'node:crypto';
import { readAuthSwitch, type AuthChallenge } from '../wire/handshake.ts';
import { encodePacket, PacketReader, type Packet } from '../wire/packet.ts';
import type { ResponseWalker } from '../wire/response-walker.ts';

/** Login packets are small; certificates of keys and tokens too. */
const BYTES_MAX = 1_048_576;

const MORE_DATA = 0x01;
const FULL_AUTHENTICATION = 0x04;
const ASK_FOR_KEY = Buffer.of(0x02);

/**
 * Logins of a client that speaks TLS to an FE that does not (wire.md §2.3). Two things differ between the legs:
 *
 * - Sequence ids: the client has counted its SSLRequest, the FE has not. So until the first login is over.
 * - `caching_sha2_password` in full: the client trusts its encrypted leg and sends the password as it is, the FE's leg wants it
 *   encrypted with the FE's key. This is the one place where a password passes through memory: it is wiped at once.
 */
export class AuthAdapter {
  readonly #walker: ResponseWalker;
  readonly #send: (bytes: Buffer) => void;
  readonly #fromFrontend = new PacketReader(BYTES_MAX);
  readonly #fromClient = new PacketReader(BYTES_MAX);
  #nonce: Buffer;
  /** Client's sequence id less the FE's. */
  #shift = 1;
  #loggedIn = false;
  #passwordIsNext = false;
  #password: { readonly bytes: Buffer; readonly sequence: number } | undefined;

  /** @param send takes packets for the FE. */
  constructor(walker: ResponseWalker, challenge: AuthChallenge, send: (bytes: Buffer) => void) {
    this.#walker = walker;
    this.#nonce = challenge.nonce;
    this.#send = send;
  }

  /** The FE's next bytes belong to a login. */
  get active(): boolean {
    return this.#walker.conversing;
  }

  /** Feeds the walker with bytes of the FE, and returns those for the client. */
  frontendBytes(bytes: Buffer): Buffer {
    this.#fromFrontend.push(bytes);
    const out: Buffer[] = [];
    while (this.#walker.conversing) {
      const packet = this.#fromFrontend.next();
      if (!packet) return Buffer.concat(out);
      this.#walker.feed(encodePacket(packet.sequence, packet.payload));
      const forClient = this.#fromLogin(packet);
      if (forClient) out.push(forClient);
    }
    const rest = this.#fromFrontend.rest();
    this.#walker.feed(rest);
    return Buffer.concat([...out, rest]);
  }

  /** Bytes for the FE, made of bytes of the client that are not looked at by anybody else. */
  clientBytes(bytes: Buffer): Buffer {
    if (this.#loggedIn && !this.#passwordIsNext) return bytes;
    this.#fromClient.push(bytes);
    const out: Buffer[] = [];
    for (let packet = this.#fromClient.next(); packet; packet = this.#fromClient.next()) {
      if (this.#passwordIsNext) this.#takePassword(packet);
      else out.push(encodePacket(packet.sequence - this.#shift, packet.payload));
    }
    return Buffer.concat(out);
  }

  /** The session ends: nothing of it stays. */
  wipe(): void {
    this.#password?.bytes.fill(0);
    this.#password = undefined;
  }

  #fromLogin({ sequence, payload }: Packet): Buffer | undefined {
    if (this.#password && payload[0] === MORE_DATA) {
      this.#answerKey(sequence, payload.toString('latin1', 1));
      return undefined;
    }
    const challenge = readAuthSwitch(payload);
    if (challenge) this.#nonce = challenge.nonce;
    this.#passwordIsNext =
      payload.length === 2 && payload[0] === MORE_DATA && payload[1] === FULL_AUTHENTICATION;
    const forClient = encodePacket((sequence + this.#shift) & 0xff, payload);
    if (!this.#walker.conversing) {
      this.wipe();
      this.#loggedIn = true;
      this.#shift = 0;
    }
    return forClient;
  }

  #takePassword({ sequence, payload }: Packet): void {
    this.#passwordIsNext = false;
    this.#password = { bytes: Buffer.from(payload), sequence };
    payload.fill(0);
    this.#send(encodePacket(sequence - this.#shift, ASK_FOR_KEY));
  }

  #answerKey(sequence: number, key: string): void {
    const password = this.#password;
    if (!password) return;
    const { bytes } = password;
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = (bytes[i] ?? 0) ^ (this.#nonce[i % this.#nonce.length] ?? 0);
    }
    const encrypted = encryptedFor(key, bytes);
    this.wipe();
    // The key was asked for behind the client's back: the ids of what follows are two further on.
    this.#shift = password.sequence - (sequence + 1);
    this.#send(encodePacket(sequence + 1, encrypted));
  }
}

/** Nothing, which the FE takes for a wrong password, when it can be none: it is longer than a key takes, or the key is no key. */
function encryptedFor(key: string, password: Buffer): Buffer {
  try {
    return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING }, password);
  } catch {
    return Buffer.alloc(0);
  }
}
