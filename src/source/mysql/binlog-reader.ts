import ZongJi from '@vlasky/zongji';
import { ByteQueue } from '../../lib/queue.ts';
import { ProxyError } from '../../model/error.ts';
import {
  driverOptions,
  type MysqlEndpoint,
  NET_WRITE_SECONDS,
  serverName,
} from './mysql-connection.ts';
import { sourceError } from './mysql-error.ts';
import { packetMemory } from './packet-memory.ts';

/** Where a dump begins. `position` is the offset of an event in `file`, in bytes, at most 2^32 - 1. */
export type DumpStart =
  | { readonly kind: 'file'; readonly file: string; readonly position: number }
  | { readonly kind: 'gtids'; readonly gtids: string };

const QUEUE_BYTES_MAX = 32 * 1024 * 1024;
/** Large reads are few reads. The queue's bound is passed by one at most. */
const READ_BYTES_MAX = 1024 * 1024;
/** What an event costs beside its bytes: a Buffer object and its slot in the queue. */
const EVENT_OVERHEAD_BYTES = 128;
const HEARTBEAT_MS = 10_000;
const START_MS = 30_000;

/** The parts of mysql2's packet that we touch; complete, whatever its size. */
interface Packet {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly end: number;
  asError(encoding: string): Error;
}

/** The parts of mysql2's command, and of zongji's dump command, that we touch. */
interface Command {
  execute(packet: Packet | undefined, connection: unknown): boolean;
}

/** The parts of mysql2's connection that we touch. */
interface DumpConnection {
  addCommand(command: Command): Command;
  query(sql: string, done: (error: Error | null) => void): void;
  readonly stream: { pause(): void; resume(): void; destroy(): void };
  readonly clientEncoding: string;
}

interface Internals {
  readonly connection: DumpConnection | null;
  readonly ctrlConnection: DumpConnection | null;
}

/** First byte of a packet of the dump (MySQL internals manual: Binlog Network Stream). */
const EVENT_MARK = 0x00;
const ERROR_MARK = 0xff;

/**
 * A replication connection: raw binlog events, whole and undecoded, in the order of the log.
 *
 * zongji logs in, registers and sends the dump command; its own decoding is cut off by taking the packets from its dump
 * command (libraries.md, "Two taps, tried"), so it neither looks tables up nor resumes a socket that we paused.
 * These are internals of two pinned packages: `test/source/mysql/binlog-reader.test.ts` fails when they move.
 *
 * While nobody takes events the socket is paused; the server waits {@link NET_WRITE_SECONDS}. Silence of two heartbeat
 * periods on a socket that is not paused ends the stream: the peer is gone without having said so.
 */
export class BinlogReader implements AsyncDisposable {
  readonly #zongji: ZongJi;
  readonly #queue: ByteQueue<Buffer>;
  readonly #where: string;
  #watchdog: NodeJS.Timeout | undefined;
  #connection: DumpConnection | undefined;
  /** Events pushed since the last read, which lie in the connection's memory. */
  #lent = 0;
  /** Heartbeat periods since the last packet. */
  #silent = 0;

  private constructor(zongji: ZongJi, where: string) {
    this.#zongji = zongji;
    this.#where = where;
    this.#queue = new ByteQueue<Buffer>(
      {
        pause: () => this.#connection?.stream.pause(),
        resume: () => {
          this.#silent = 0;
          this.#connection?.stream.resume();
        },
      },
      QUEUE_BYTES_MAX,
    );
  }

  /**
   * Starts a dump and returns when its first event has come.
   *
   * @throws ProxyError SOURCE_UNREACHABLE, SOURCE_ACCESS, SOURCE_SETTING, POSITION_LOST.
   */
  static async open(
    endpoint: MysqlEndpoint,
    serverId: number,
    start: DumpStart,
    heartbeatMs: number = HEARTBEAT_MS,
  ): Promise<BinlogReader> {
    const zongji = new ZongJi(driverOptions(endpoint));
    const reader = new BinlogReader(zongji, serverName(endpoint));
    zongji.on('error', (cause: Error) => reader.#fail(cause));
    zongji.on('ready', () => reader.#tap(serverId, heartbeatMs));
    try {
      zongji.start({
        serverId,
        ...(start.kind === 'file'
          ? { filename: start.file, position: start.position }
          : { gtidSet: start.gtids }),
      });
      const late = new AbortController();
      if (!(await reader.#queue.wait(START_MS, late.signal))) {
        const message = `${reader.#where}: no binlog event within ${START_MS / 1000} s`;
        throw new ProxyError('SOURCE_UNREACHABLE', message);
      }
      reader.#watchdog = setInterval(() => reader.#watch(), heartbeatMs);
      reader.#watchdog.unref();
      return reader;
    } catch (error) {
      await reader[Symbol.asyncDispose]();
      throw sourceError(error, reader.#where);
    }
  }

  /**
   * The next event: its 19-byte header and all that follows, checksum included. Undefined: {@link wait}.
   * Its memory is used again when the caller has given the event loop a turn.
   */
  next(): Buffer | undefined {
    return this.#queue.shift();
  }

  /**
   * Waits for an event, at most `ms` milliseconds; says whether there is one.
   *
   * @throws ProxyError SOURCE_UNREACHABLE, POSITION_LOST, SOURCE_ACCESS, SOURCE_SETTING when the stream has ended; the reason of `signal`.
   */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    return await this.#queue.wait(ms, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#watchdog);
    this.#queue.end(
      new ProxyError('SOURCE_UNREACHABLE', `${this.#where}: the binlog stream was closed`),
    );
    const { connection, ctrlConnection } = internals(this.#zongji);
    // zongji kills the server's dump thread over its control connection, and gives up after a second.
    await new Promise((resolve) => {
      this.#zongji.once('stopped', resolve);
      this.#zongji.stop();
    });
    connection?.stream.destroy();
    ctrlConnection?.stream.destroy();
  }

  /** Called when everything is prepared and the dump command comes next. Commands are queued, so the settings arrive first. */
  #tap(serverId: number, heartbeatMs: number): void {
    const { connection, ctrlConnection } = internals(this.#zongji);
    if (connection === null || ctrlConnection === null) return;
    this.#connection = connection;
    const fail = (cause: Error | null): void => {
      if (cause !== null) this.#fail(cause);
    };
    for (const statement of dumpSession(serverId, heartbeatMs)) connection.query(statement, fail);
    // Else the server closes it after a quiet night, and with it the stream.
    ctrlConnection.query('SET SESSION wait_timeout = 31536000', fail);
    const add = connection.addCommand.bind(connection);
    connection.addCommand = (command) => {
      connection.addCommand = add;
      const send = command.execute.bind(command);
      command.execute = (packet, owner) =>
        packet === undefined ? send(packet, owner) : this.#take(packet, connection);
      packetMemory(connection.stream)?.lend(READ_BYTES_MAX, () => this.#keepWaiting());
      return add(command);
    };
  }

  /** Copies the events of the last read that nobody has taken yet. */
  #keepWaiting(): void {
    this.#queue.replaceLast(this.#lent, (event) => Buffer.from(event));
    this.#lent = 0;
  }

  /** Takes one packet; true when the command has ended. */
  #take(packet: Packet, connection: DumpConnection): boolean {
    const { buffer, offset, end } = packet;
    this.#silent = 0;
    if (buffer[offset] === EVENT_MARK) {
      this.#lent++;
      this.#queue.push(buffer.subarray(offset + 1, end), end - offset + EVENT_OVERHEAD_BYTES);
      return false;
    }
    if (buffer[offset] === ERROR_MARK) {
      this.#fail(packet.asError(connection.clientEncoding));
    } else {
      this.#queue.end(
        new ProxyError('SOURCE_UNREACHABLE', `${this.#where}: the server ended the binlog stream`),
      );
    }
    return true;
  }

  #fail(cause: Error): void {
    this.#queue.end(sourceError(cause, this.#where));
  }

  #watch(): void {
    if (this.#queue.paused) {
      this.#silent = 0;
      return;
    }
    this.#silent++;
    if (this.#silent <= 2) return;
    const message = `${this.#where}: neither a binlog event nor a heartbeat for two periods`;
    this.#queue.end(new ProxyError('SOURCE_UNREACHABLE', message));
  }
}

function internals(zongji: ZongJi): Internals {
  return zongji as unknown as Internals;
}

/**
 * What a replica tells its source before the dump. The heartbeat is in nanoseconds. CRC32 says that we understand
 * checksums: without it the server refuses a log that has them; whether events carry one is said by each
 * Format_description event. `slave_*` are the names before MySQL 8.0.26 and those of MariaDB; both exist to be set.
 * The UUID is what the server compares to drop a half-open predecessor of ours, so it follows from the server id.
 */
function dumpSession(serverId: number, heartbeatMs: number): readonly string[] {
  const period = BigInt(heartbeatMs) * 1_000_000n;
  const uuid = `d0415b1e-0000-4000-8000-${serverId.toString(16).padStart(12, '0')}`;
  return [
    `SET @master_heartbeat_period = ${period}, @source_heartbeat_period = ${period}`,
    `SET @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32'`,
    `SET @slave_uuid = '${uuid}', @replica_uuid = '${uuid}'`,
    `SET SESSION net_write_timeout = ${NET_WRITE_SECONDS}, net_read_timeout = 600`,
  ];
}
