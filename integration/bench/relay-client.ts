/** The clients of the relay's bench, which share the machine's cores with all that is compared, so they do as little as they can. */
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodePacket } from '../../src/wire/packet.ts';
import { runChecked } from '../support/server-process.ts';

/** Has no password: then the login is the same bytes for every scramble. */
export const USER = 'bench';

const QUIT = Buffer.of(1, 0, 0, 0, 1);
/** An answer has ended when nothing comes for so long, in milliseconds. */
const SILENCE_MS = 300;
/** All clients read into this: nobody looks at it twice. */
const memory = Buffer.allocUnsafeSlow(65_536);

/** HandshakeResponse41 with LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH. */
function loginPacket(): Buffer {
  const fixed = Buffer.alloc(32);
  fixed.writeUInt32LE(0x1 | 0x200 | 0x8000 | 0x8_0000);
  fixed.writeUInt32LE(16_777_216, 4);
  fixed[8] = 33;
  return encodePacket(1, Buffer.concat([fixed, Buffer.from(`${USER}\0\0mysql_native_password\0`)]));
}

const LOGIN = loginPacket();

export function queryPacket(sql: string): Buffer {
  return encodePacket(0, Buffer.concat([Buffer.of(3), Buffer.from(sql)]));
}

/** A login, then bytes that are counted and not parsed. */
export class BenchClient {
  readonly #socket: net.Socket;
  onBytes: (count: number) => void = () => undefined;

  private constructor(port: number) {
    this.#socket = net.connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: {
        buffer: memory,
        callback: (count) => {
          this.onBytes(count);
          return true;
        },
      },
    });
  }

  /** Logs in. Greeting and OK are so short that each comes in one piece. @throws when it is refused. */
  static login(port: number): Promise<BenchClient> {
    return new Promise((resolve, reject) => {
      const client = new BenchClient(port);
      client.#socket.on('error', reject).on('close', () => reject(new Error('closed at login')));
      client.onBytes = (greetingBytes) => {
        client.onBytes = (count) => {
          if (memory[4] === 0) resolve(client);
          else reject(new Error(memory.toString('latin1', 13, count)));
        };
        if (memory[4] === 10) client.send(LOGIN);
        else reject(new Error(memory.toString('latin1', 7, greetingBytes)));
      };
    });
  }

  send(packet: Buffer): void {
    this.#socket.write(packet);
  }

  /** Leaves as MySQL's clients do, and waits until the connection is gone. */
  async quit(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.end(QUIT);
    await closed;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Sends a query and resolves when `bytes` have come. */
  async receive(packet: Buffer, bytes: number): Promise<void> {
    let received = 0;
    await new Promise<void>((resolve) => {
      this.onBytes = (count) => {
        received += count;
        if (received >= bytes) resolve();
      };
      this.send(packet);
    });
  }

  /** Length of the answer to a query. */
  async answerBytes(packet: Buffer): Promise<number> {
    const answer = { bytes: 0 };
    this.onBytes = (count) => (answer.bytes += count);
    this.send(packet);
    for (let seen = -1; seen < answer.bytes || seen === 0;) {
      seen = answer.bytes;
      await sleep(SILENCE_MS);
    }
    return answer.bytes;
  }
}

export interface Rate {
  readonly count: number;
  readonly seconds: number;
}

/**
 * Point selects by MariaDB's `mysqlslap`, one after another on each of its connections: it is written in C and has a thread for each
 * connection, as applications have. (A client in Node takes more CPU for a query than all that is compared.)
 * @param program its path.
 */
export async function pointQueries(
  program: string,
  port: number,
  connections: number,
  query: string,
  count: number,
): Promise<Rate> {
  const args = ['--no-defaults', '--host=127.0.0.1', `--port=${port}`, `--user=${USER}`];
  const what = ['--no-drop', '--create-schema=bench', `--query=${query}`, '--csv'];
  const howMuch = [`--concurrency=${connections}`, `--number-of-queries=${count}`];
  const line = await runChecked({ program, args: [...args, ...what, ...howMuch] });
  // Engine, kind, average, least and most seconds of its runs, of which there was one.
  const seconds = Number(line.split(',')[2]);
  if (!(seconds > 0)) throw new Error(`mysqlslap said ${line}`);
  return { count, seconds };
}

/** One login after another in each of some lanes, for `ms` milliseconds. */
export async function logins(port: number, lanes: number, ms: number): Promise<Rate> {
  let count = 0;
  const start = performance.now();
  const lane = async (): Promise<void> => {
    while (performance.now() - start < ms) {
      const client = await BenchClient.login(port);
      await client.quit();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { count, seconds: (performance.now() - start) / 1000 };
}
