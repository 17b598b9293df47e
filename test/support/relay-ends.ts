import { once } from 'node:events';
import net from 'node:net';
import { Capability } from '../../src/wire/handshake.ts';
import { Command } from '../../src/wire/request.ts';
import { encodePacket, PacketReader, type Packet } from '../../src/wire/packet.ts';
import { encodeError, encodeOk, encodeTable, type Dialect } from '../../src/wire/resultset.ts';

/** Flags of Doris 4 (doris-target.md §4.1), DEPRECATE_EOF included. */
export const DORIS_FLAGS = 0x01_38_82_8c;

interface Address {
  readonly host: string;
  readonly port: number;
}

/** A version 10 greeting like Doris'. */
export function greetingPayload(wanted: {
  readonly capabilities: number;
  readonly connectionId: number;
}): Buffer {
  const { capabilities, connectionId } = wanted;
  const id = Buffer.alloc(4);
  id.writeUInt32LE(connectionId);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(capabilities >>> 0);
  return Buffer.concat([
    Buffer.from('\x0a5.7.99\0', 'latin1'),
    id,
    Buffer.from('12345678\0', 'latin1'),
    flags.subarray(0, 2),
    Buffer.from([33, 2, 0]),
    flags.subarray(2),
    Buffer.from([21]),
    Buffer.alloc(10, 0xee),
    Buffer.from('123456789012\0mysql_native_password\0', 'latin1'),
  ]);
}

/** A HandshakeResponse41 of user `u` with a 20-byte answer and connect attributes. */
export function loginPayload(
  capabilities: number,
  attributes: Readonly<Record<string, string>> = { _client_name: 'abc' },
): Buffer {
  const fixed = Buffer.alloc(32);
  fixed.writeUInt32LE(capabilities >>> 0);
  fixed.writeUInt32LE(16_777_216, 4);
  fixed[8] = 33;
  return Buffer.concat([
    fixed,
    Buffer.from('u\0\x14', 'latin1'),
    Buffer.alloc(20, 0x5a),
    Buffer.from('mysql_native_password\0', 'latin1'),
    lenenc(Buffer.concat(Object.entries(attributes).flat().map(lenenc))),
  ]);
}

/** Up to 250 bytes with their length in front. */
function lenenc(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

/** What the FE's side of a test does with one command. */
export type RawAnswer = (payload: Buffer, socket: net.Socket, packet: Packet) => void;

export interface RawFrontendOptions {
  readonly capabilities?: number;
  readonly answer?: RawAnswer;
  /** Instead of the greeting and everything after it. */
  readonly greet?: (socket: net.Socket) => void;
  /** Instead of the OK after the first login packet; the rest of the login is the test's. */
  readonly login?: RawAnswer;
}

/** An FE that lets everybody in, answers commands by a function, and keeps what reached it byte for byte. */
export class RawFrontend implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #options: RawFrontendOptions;
  readonly sockets = new Set<net.Socket>();
  /** Payloads of all commands, in order of arrival. */
  readonly commands: Buffer[] = [];
  /** Payloads of the login packets. */
  readonly logins: Buffer[] = [];
  /** Every byte after the login, of all connections. */
  readonly received: Buffer[] = [];
  connections = 0;

  private constructor(options: RawFrontendOptions) {
    this.#options = options;
    this.#server = net.createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  /** `port` 0: any free one. */
  static async open(options: RawFrontendOptions, port = 0): Promise<RawFrontend> {
    const frontend = new RawFrontend(options);
    frontend.#server.listen(port, '127.0.0.1');
    await once(frontend.#server, 'listening');
    return frontend;
  }

  get address(): Address {
    return { host: '127.0.0.1', port: (this.#server.address() as net.AddressInfo).port };
  }

  /** The commands as text, the command byte left out. */
  get statements(): string[] {
    return this.commands.map((payload) => payload.toString('utf8', 1));
  }

  #serve(socket: net.Socket): void {
    this.connections += 1;
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket)).on('error', () => undefined);
    const { greet, answer, login } = this.#options;
    if (greet) {
      greet(socket);
      return;
    }
    const capabilities = this.#options.capabilities ?? DORIS_FLAGS;
    const greeting = greetingPayload({ capabilities, connectionId: this.connections });
    socket.write(encodePacket(0, greeting));
    const packets = new PacketReader(200_000_000);
    let loggedIn = false;
    socket.on('data', (chunk: Buffer) => {
      if (loggedIn) this.received.push(chunk);
      packets.push(chunk);
      for (let packet = packets.next(); packet; packet = packets.next()) {
        if (loggedIn) {
          this.commands.push(packet.payload);
          answer?.(packet.payload, socket, packet);
        } else {
          loggedIn = true;
          this.logins.push(packet.payload);
          if (login) login(packet.payload, socket, packet);
          else socket.write(encodeOk(1, { deprecateEof: false, status: 2 }));
        }
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** `SELECT x` is answered by one row holding `x`, `fail` by an ERR, anything else by OK. */
export function echo(dialect: Dialect): RawAnswer {
  return (payload, socket, { sequence }) => {
    // A farewell has no answer: one that is quicker than the end of the connection would be one too many.
    if (payload.length === 1 && payload[0] === Command.QUIT) {
      socket.end();
      return;
    }
    const sql = payload.toString('utf8', 1);
    if (/^select /i.test(sql)) {
      const table = { columns: ['x'], rows: [[sql.slice(7)]] };
      socket.write(encodeTable(sequence, dialect, table, 'text'));
    } else if (/^fail/i.test(sql)) {
      socket.write(encodeError(sequence, 1064, '42000', 'failed'));
    } else {
      socket.write(encodeOk(sequence, dialect));
    }
  };
}

/** A client that speaks in packets and sees every byte. */
export class RawClient implements Disposable {
  readonly socket: net.Socket;
  readonly #packets = new PacketReader(200_000_000);
  readonly #waiting: ((packet: Packet | undefined) => void)[] = [];
  readonly #arrived: Packet[] = [];
  #ended = false;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#packets.push(chunk);
      for (let packet = this.#packets.next(); packet; packet = this.#packets.next()) {
        this.#arrived.push(packet);
      }
      this.#deliver();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#deliver();
    });
  }

  static async connect(address: Address): Promise<RawClient> {
    const socket = net.connect({ ...address, noDelay: true });
    const client = new RawClient(socket);
    await once(socket, 'connect');
    return client;
  }

  /** Connects and logs in. */
  static async login(
    address: Address,
    capabilities: number = DORIS_FLAGS | Capability.PROTOCOL_41,
    attributes?: Readonly<Record<string, string>>,
  ): Promise<RawClient> {
    const client = await RawClient.connect(address);
    await client.packet();
    client.send(encodePacket(1, loginPayload(capabilities, attributes)));
    const ok = await client.packet();
    if (ok?.payload[0] !== 0) throw new Error('login refused');
    return client;
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** One command in one packet. */
  command(command: number, body: string | Buffer = ''): void {
    this.send(commandPacket(command, body));
  }

  /** The next packet, undefined when the connection is closed. */
  packet(): Promise<Packet | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#deliver();
    });
  }

  async packets(count: number): Promise<Packet[]> {
    const found: Packet[] = [];
    while (found.length < count) {
      const packet = await this.packet();
      if (!packet) throw new Error(`closed after ${found.length} of ${count} packets`);
      found.push(packet);
    }
    return found;
  }

  /** The rows of a text result of one column in the form with DEPRECATE_EOF, or `['OK']`, or the ERR's text. */
  async answer(): Promise<string[]> {
    const [first] = await this.packets(1);
    if (first?.payload[0] === 0) return ['OK'];
    if (first?.payload[0] === 0xff) return [first.payload.toString('utf8', 9)];
    await this.packets(first?.payload[0] ?? 0);
    const rows: string[] = [];
    for (;;) {
      const [row] = await this.packets(1);
      if (!row || row.payload[0] === 0xfe) return rows;
      rows.push(row.payload.toString('utf8', 1));
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #deliver(): void {
    while (this.#waiting.length > 0 && (this.#arrived.length > 0 || this.#ended)) {
      this.#waiting.shift()?.(this.#arrived.shift());
    }
  }
}

/** One command in one packet. */
export function commandPacket(command: number, body: string | Buffer = ''): Buffer {
  return encodePacket(0, Buffer.concat([Buffer.of(command), Buffer.from(body)]));
}
