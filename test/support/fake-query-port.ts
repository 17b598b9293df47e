import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

/** A column of an answer, with the type and character set that an FE announces (doris-target.md §4.4). */
export interface FakeColumn {
  readonly name: string;
  /** `blob` is how Doris shows STRING, `json` how it shows JSON: both are labelled binary. */
  readonly type: 'varchar' | 'blob' | 'json';
}

/** What the FE does with a statement. */
export type FrontendReply =
  | {
      readonly columns: readonly FakeColumn[];
      readonly rows: readonly (readonly (string | null)[])[];
    }
  | { readonly errno: number; readonly message: string }
  | 'ok'
  | 'cut'
  | 'silence';

const TYPES = {
  varchar: { code: 253, charset: 33 },
  blob: { code: 252, charset: 63 },
  json: { code: 245, charset: 63 },
} as const;
const SERVER_FLAGS = 0x0138828c;
const COM_QUERY = 3;

/** The query port of an FE, as much of it as look-ups and DDL need. */
export class FakeQueryPort implements AsyncDisposable {
  readonly statements: string[] = [];
  /** What each session was begun with. */
  readonly settings: string[] = [];
  /** Set to refuse logins. */
  refusal: { readonly errno: number; readonly message: string } | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    void this.#serve(socket);
  });
  readonly #reply: (sql: string) => FrontendReply;

  static async open(reply: (sql: string) => FrontendReply): Promise<FakeQueryPort> {
    const fake = new FakeQueryPort(reply);
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  private constructor(reply: (sql: string) => FrontendReply) {
    this.#reply = reply;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(socket: Socket): Promise<void> {
    send(socket, 0, handshake());
    let loggedIn = false;
    for await (const { sequence, payload } of packetsOf(socket)) {
      if (!loggedIn) {
        loggedIn = true;
        const { refusal } = this;
        send(socket, sequence + 1, refusal === undefined ? ok() : error(refusal));
      } else if (payload[0] === COM_QUERY) {
        const sql = payload.toString('utf8', 1);
        if (sql.startsWith('SET SESSION sql_mode')) {
          this.settings.push(sql);
          send(socket, 1, ok());
          continue;
        }
        this.statements.push(sql);
        answer(socket, this.#reply(sql));
      } else {
        socket.end();
      }
    }
  }
}

async function* packetsOf(socket: Socket): AsyncGenerator<{ sequence: number; payload: Buffer }> {
  let pending = Buffer.alloc(0);
  try {
    for await (const chunk of socket) {
      pending = Buffer.concat([pending, chunk as Buffer]);
      while (pending.length >= 4 && pending.length >= 4 + pending.readUIntLE(0, 3)) {
        const end = 4 + pending.readUIntLE(0, 3);
        yield { sequence: pending[3]!, payload: pending.subarray(4, end) };
        pending = pending.subarray(end);
      }
    }
  } catch {
    // The client is gone.
  }
}

function answer(socket: Socket, reply: FrontendReply): void {
  if (reply === 'silence') return;
  if (reply === 'cut') {
    socket.destroy();
    return;
  }
  if (reply === 'ok' || 'errno' in reply) {
    send(socket, 1, reply === 'ok' ? ok() : error(reply));
    return;
  }
  const packets = [
    Buffer.from([reply.columns.length]),
    ...reply.columns.map(definition),
    eof(),
    ...reply.rows.map((row) => Buffer.concat(row.map(text))),
    eof(),
  ];
  for (const [i, packet] of packets.entries()) send(socket, 1 + i, packet);
}

function send(socket: Socket, sequence: number, payload: Buffer): void {
  const header = Buffer.alloc(4);
  header.writeUIntLE(payload.length, 0, 3);
  header[3] = sequence;
  socket.write(Buffer.concat([header, payload]));
}

/** Handshake v10 with `mysql_native_password`; the scramble is not looked at again. */
function handshake(): Buffer {
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(SERVER_FLAGS);
  return Buffer.concat([
    Buffer.from([10]),
    Buffer.from('5.7.99\0'),
    Buffer.from([1, 0, 0, 0]),
    Buffer.alloc(8, 0x61),
    Buffer.from([0]),
    flags.subarray(0, 2),
    Buffer.from([33, 0, 0]),
    flags.subarray(2),
    Buffer.from([21]),
    Buffer.alloc(10),
    Buffer.alloc(12, 0x62),
    Buffer.from('\0mysql_native_password\0'),
  ]);
}

function ok(): Buffer {
  return Buffer.from([0, 0, 0, 0, 0, 0, 0]);
}

function eof(): Buffer {
  return Buffer.from([0xfe, 0, 0, 0, 0]);
}

function error({ errno, message }: { errno: number; message: string }): Buffer {
  return Buffer.concat([
    Buffer.from([0xff, errno & 0xff, errno >> 8]),
    Buffer.from(`#HY000${message}`),
  ]);
}

function definition({ name, type }: FakeColumn): Buffer {
  const { code, charset } = TYPES[type];
  const fixed = Buffer.from([0x0c, charset, 0, 0, 0, 0, 0, code, 0, 0, 0, 0, 0]);
  return Buffer.concat([...['def', '', '', '', name, name].map(text), fixed]);
}

/** Length-encoded, at most 64 KiB. */
function text(value: string | null): Buffer {
  if (value === null) return Buffer.from([0xfb]);
  const bytes = Buffer.from(value);
  const length =
    bytes.length < 251
      ? Buffer.from([bytes.length])
      : Buffer.from([0xfc, bytes.length & 0xff, bytes.length >> 8]);
  return Buffer.concat([length, bytes]);
}
