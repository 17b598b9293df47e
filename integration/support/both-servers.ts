import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { Capability, readChallenge } from '../../src/wire/handshake.ts';
import { encodePacket, type Packet } from '../../src/wire/packet.ts';
import { readError, Status } from '../../src/wire/resultset.ts';
import { commandPacket, loginPayload, RawClient } from '../../test/support/relay-ends.ts';
import { PREPARE, QUERY } from '../../test/support/relay-world.ts';
import { expectEqual } from './test-relay.ts';

const FLAGS =
  Capability.PROTOCOL_41 |
  Capability.SECURE_CONNECTION |
  Capability.PLUGIN_AUTH |
  Capability.CONNECT_ATTRS;
const OURS = 2 ** 30;
const UNKNOWN_STATEMENT = 1243;
/** What one answer says of the session, and not of itself. */
const SESSION = Status.IN_TRANS | Status.AUTOCOMMIT | Status.MORE_RESULTS;

const status = (payload: Buffer, at: number): string =>
  `status ${payload.readUInt16LE(at) & SESSION}`;

/** What a packet of a result is: everything that a client goes by. */
function told({ sequence, payload }: Packet, rows: boolean): string {
  const first = payload[0];
  const is = (): string => {
    if (first === 0xff) {
      const { errno, sqlState, message } = readError(payload);
      // Where ids are named, they differ.
      return errno === UNKNOWN_STATEMENT
        ? `ERR ${errno} ${sqlState}`
        : `ERR ${errno} ${sqlState} ${message}`;
    }
    if (first === 0xfe && payload.length === 5) return `EOF ${status(payload, 3)}`;
    if (first === 0xfe && payload.length < 9) return `END ${status(payload, 3)}`;
    if (first === 0 && !rows) return `OK ${status(payload, 3)} warnings ${payload.readUInt16LE(5)}`;
    if (payload.subarray(0, 4).toString('latin1') === '\x03def') return 'definition';
    return rows ? payload.toString('hex') : `count ${first}`;
  };
  return `${sequence}: ${is()}`;
}

export const sha1 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** As the user `u`, by `mysql_native_password`. */
export async function logIn(port: number, flags: number): Promise<RawClient> {
  const client = await RawClient.connect({ host: '127.0.0.1', port });
  const [greeting] = await client.packets(1);
  const { nonce } = readChallenge(greeting?.payload ?? Buffer.alloc(0));
  const login = loginPayload(FLAGS | flags);
  const once = sha1('secret');
  const mask = sha1(nonce, sha1(once));
  // Behind the fixed part, the user's name and the length of the answer.
  for (const [i, byte] of once.entries()) login[32 + 2 + 1 + i] = byte ^ (mask[i] ?? 0);
  client.send(encodePacket(1, login));
  const [ok] = await client.packets(1);
  expect(ok?.payload[0]).toBe(0);
  return client;
}

/** Both servers' answers to the same conversation, statements of ours replaced by such as are like them for the server. */
export class Both implements AsyncDisposable {
  readonly #clients: readonly RawClient[];
  readonly #ids: number[] = [];

  readonly #deprecateEof: boolean;

  private constructor(clients: readonly RawClient[], deprecateEof: boolean) {
    this.#clients = clients;
    this.#deprecateEof = deprecateEof;
  }

  static async open(ports: readonly number[], flags = 0): Promise<Both> {
    const clients: RawClient[] = [];
    for (const port of ports) clients.push(await logIn(port, flags));
    const both = new Both(clients, (flags & Capability.DEPRECATE_EOF) !== 0);
    await both.query('use d');
    return both;
  }

  /** Sends `theirs` to the server and `ours` to the proxy, and compares `results` results packet by packet. */
  async send(theirs: Buffer, ours: Buffer, results = 1): Promise<string[]> {
    const answers: string[][] = [];
    for (const [i, client] of this.#clients.entries()) {
      client.send(i === 0 ? theirs : ours);
      answers.push(await this.#read(client, results));
    }
    return expectEqual(answers);
  }

  async query(theirs: string, ours = theirs, results = 1): Promise<string[]> {
    return this.send(commandPacket(QUERY, theirs), commandPacket(QUERY, ours), results);
  }

  /** Prepares; the packets that are not counted are compared as those of a result. Keeps the ids for {@link withId}. */
  async prepare(theirs: string, ours: string, packets: number): Promise<void> {
    const answers: string[][] = [];
    for (const [i, client] of this.#clients.entries()) {
      client.command(PREPARE, i === 0 ? theirs : ours);
      const [ok, ...rest] = await client.packets(packets);
      const payload = ok?.payload ?? Buffer.alloc(0);
      this.#ids[i] = payload.readUInt32LE(1);
      answers.push([payload.toString('hex', 5, 9), ...rest.map((packet) => told(packet, false))]);
    }
    expectEqual(answers);
    expect(this.#ids[0]).toBeLessThan(OURS);
    expect(this.#ids[1]).toBeGreaterThanOrEqual(OURS);
  }

  /** A command with the id of what was prepared last; `results` is 0 for one that has no answer. */
  async withId(command: number, rest: readonly number[] = [], results = 1): Promise<string[]> {
    const packets = this.#ids.map((id) => {
      const payload = Buffer.from([command, 0, 0, 0, 0, ...rest]);
      payload.writeUInt32LE(id, 1);
      return encodePacket(0, payload);
    });
    const [theirs = Buffer.alloc(0), ours = Buffer.alloc(0)] = packets;
    return this.send(theirs, ours, results);
  }

  async #read(client: RawClient, results: number): Promise<string[]> {
    const read: string[] = [];
    for (let left = results; left > 0; left--) {
      let definitions = -1;
      let inRows = false;
      for (;;) {
        const [packet] = await client.packets(1);
        if (!packet) throw new Error('no packet');
        const line = told(packet, inRows);
        read.push(inRows && !/: (?:EOF|END|ERR)/.test(line) ? 'row' : line);
        if (/: (?:OK|ERR|END)/.test(line)) break;
        if (/: EOF/.test(line)) {
          if (inRows) break;
          inRows = true;
        }
        if (/: count/.test(line)) definitions = packet.payload[0] ?? 0;
        if (/: definition/.test(line) && --definitions === 0) inRows = this.#deprecateEof;
      }
    }
    return read;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.socket.destroy();
    await Promise.resolve();
  }
}
