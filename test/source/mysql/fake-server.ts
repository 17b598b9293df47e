import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

const OK = Buffer.from([0, 0, 0, 2, 0, 0, 0]);
const EOF = Buffer.from([0xfe, 0, 0, 2, 0]);

export interface Dump {
  /** Statements of the replication connection before the dump command. */
  readonly session: readonly string[];
  /** COM_BINLOG_DUMP, or COM_BINLOG_DUMP_GTID. */
  readonly command: Buffer;
  readonly socket: Socket;
  send(payload: Buffer): void;
}

/**
 * A MySQL server that lets everybody in, answers what zongji asks and hands a dump command to the test. The wire format is that
 * of the MySQL internals manual; sequence numbers are right, because mysql2 warns otherwise.
 */
export class FakeServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(onDump: (dump: Dump) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      serve(socket, onDump);
    });
  }

  static async open(onDump: (dump: Dump) => void): Promise<FakeServer> {
    const fake = new FakeServer(onDump);
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function serve(socket: Socket, onDump: (dump: Dump) => void): void {
  let received = Buffer.alloc(0);
  let loggedIn = false;
  const session: string[] = [];
  let sequence = 0;
  const send = (payload: Buffer): void => {
    const header = Buffer.alloc(4);
    header.writeUIntLE(payload.length, 0, 3);
    header[3] = sequence++ & 0xff;
    socket.write(Buffer.concat([header, payload]));
  };
  send(greeting());
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 4 && received.length >= 4 + received.readUIntLE(0, 3)) {
      const end = 4 + received.readUIntLE(0, 3);
      const payload = received.subarray(4, end);
      sequence = received[3]! + 1;
      received = received.subarray(end);
      if (!loggedIn) {
        loggedIn = true;
        send(OK);
      } else if (payload[0] === 0x03) {
        const sql = payload.subarray(1).toString();
        session.push(sql);
        for (const packet of answer(sql)) send(packet);
      } else if (payload[0] === 0x12 || payload[0] === 0x1e) {
        onDump({ session, command: Buffer.from(payload), socket, send });
      } else {
        socket.end();
      }
    }
  });
}

function answer(sql: string): readonly Buffer[] {
  if (/version\(\)/i.test(sql)) return rows('version', '9.7.0');
  if (/binlog_checksum as checksum/i.test(sql)) return rows('checksum', 'CRC32');
  return [OK];
}

/** A length-encoded string, short. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
}

function rows(column: string, value: string): readonly Buffer[] {
  const definition = Buffer.concat([
    ...['def', '', '', '', column, ''].map(text),
    Buffer.from([0x0c, 45, 0, 255, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0]),
  ]);
  return [Buffer.from([1]), definition, EOF, text(value), EOF];
}

function greeting(): Buffer {
  // PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH and nothing more.
  const capabilities = 0x0000_0200 | 0x0000_8000 | 0x0008_0000;
  const low = Buffer.alloc(2);
  low.writeUInt16LE(capabilities & 0xffff);
  const high = Buffer.alloc(2);
  high.writeUInt16LE(capabilities >>> 16);
  return Buffer.concat([
    Buffer.from([10]),
    Buffer.from('9.7.0\0'),
    Buffer.from([7, 0, 0, 0]),
    Buffer.from('12345678\0'),
    low,
    Buffer.from([45, 2, 0]),
    high,
    Buffer.from([21]),
    Buffer.alloc(10),
    Buffer.from('123456789012\0'),
    Buffer.from('mysql_native_password\0'),
  ]);
}

/** An ERR packet. */
export function errorPacket(errno: number, message: string): Buffer {
  const head = Buffer.from([0xff, errno & 0xff, errno >> 8]);
  return Buffer.concat([head, Buffer.from(`#HY000${message}`)]);
}

export const EOF_PACKET = EOF;
