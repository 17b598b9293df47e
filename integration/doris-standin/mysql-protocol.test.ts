import { execFile } from 'node:child_process';
import { createConnection as connectSocket, type Socket } from 'node:net';
import { promisify } from 'node:util';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newScramble } from './packets.ts';
import { startStandin, type Standin } from './standin.ts';
import { connect, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;

beforeAll(async () => {
  standin = await startStandin({ connectionsMax: 20 });
  sql = await connect(standin, { multipleStatements: true });
  await sql.query(
    `CREATE DATABASE d; CREATE USER 'u' IDENTIFIED BY 'secret'; GRANT SELECT_PRIV ON d.* TO 'u'; USE d`,
  );
  await sql.query(`CREATE TABLE t (id INT, name VARCHAR(20) NULL DEFAULT "x", note STRING) UNIQUE KEY(id)
    DISTRIBUTED BY HASH(id) BUCKETS AUTO PROPERTIES("replication_num"="1")`);
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

/** A client that knows only packets: bytes are judged here, not what a driver makes of them. */
class RawClient {
  private readonly socket: Socket;
  private readonly incoming: AsyncIterator<Buffer>;
  private received: Buffer = Buffer.alloc(0);

  constructor() {
    this.socket = connectSocket(Number(standin.query.split(':')[1]), '127.0.0.1');
    this.incoming = (this.socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  async read(): Promise<Buffer> {
    for (;;) {
      const length = this.received.length >= 4 ? this.received.readUIntLE(0, 3) + 4 : Infinity;
      if (this.received.length >= length) {
        const payload = this.received.subarray(4, length);
        this.received = this.received.subarray(length);
        return payload;
      }
      const { done, value } = await this.incoming.next();
      if (done === true) throw new Error('the server has closed');
      this.received = Buffer.concat([this.received, value]);
    }
  }

  write(sequence: number, payload: Buffer): void {
    const header = Buffer.alloc(4, sequence);
    header.writeUIntLE(payload.length, 0, 3);
    this.socket.write(Buffer.concat([header, payload]));
  }

  command(hex: string, text = ''): Promise<Buffer> {
    this.write(0, Buffer.concat([Buffer.from(hex, 'hex'), Buffer.from(text)]));
    return this.read();
  }

  /** Logs in as root without password; `flags` besides PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH. */
  async logIn(flags = 0, plugin = 'mysql_native_password', user = 'root'): Promise<Buffer> {
    await this.read();
    const head = Buffer.alloc(32);
    head.writeUInt32LE(0x88200 | flags, 0);
    head[8] = 33;
    this.write(1, Buffer.concat([head, Buffer.from(`${user}\0\0${plugin}\0`)]));
    return this.read();
  }

  close(): void {
    this.socket.destroy();
  }
}

async function withRaw<T>(task: (raw: RawClient) => Promise<T>): Promise<T> {
  const raw = new RawClient();
  try {
    return await task(raw);
  } finally {
    raw.close();
  }
}

const hex = (bytes: Buffer): string => bytes.toString('hex');

describe('login', () => {
  test('the handshake is that of Doris 4', () =>
    withRaw(async (raw) => {
      const bytes = await raw.read();
      expect(bytes.subarray(0, 8).toString('latin1')).toBe('\n5.7.99\0');
      // 8 bytes of scramble, NUL, low flags, charset, status, high flags, length of the scramble, 10 zeros.
      expect(hex(bytes.subarray(20, 39))).toBe(`008c82210000380115${'00'.repeat(10)}`);
      expect(bytes.subarray(51).toString('latin1')).toBe('\0mysql_native_password\0');
      expect(bytes.subarray(12, 20).includes(0) || bytes.subarray(39, 51).includes(0)).toBe(false);
    }));

  test('a scramble is what every client reads: ASCII without NUL', () => {
    const bytes = Array.from({ length: 500 }, () => [...newScramble()]).flat();
    expect(bytes.every((byte) => byte > 0 && byte < 128)).toBe(true);
  });

  test('another plugin is switched to the native one with the same scramble', () =>
    withRaw(async (raw) => {
      const answer = await raw.logIn(0, 'caching_sha2_password');
      expect(answer[0]).toBe(0xfe);
      expect(answer.subarray(1, 23).toString()).toBe('mysql_native_password\0');
      expect(answer).toHaveLength(44);
      raw.write(3, Buffer.alloc(0));
      // OK: nothing affected, no id, status 0, no warnings, an empty text with its length.
      expect(hex(await raw.read())).toBe('0000000000000000');
    }));

  test.each([
    ['a wrong password', { user: 'u', password: 'no' }, 1045, 'using password: YES'],
    ['no password', { user: 'u' }, 1045, 'using password: NO'],
    ['a password where none is set', { user: 'root', password: 'x' }, 1045, 'Access denied'],
    ['an unknown user', { user: 'ghost' }, 1045, 'Access denied'],
    ['no user', { user: '' }, 1045, 'anonym@'],
    ['an unknown database', { database: 'D' }, 1049, "Unknown database 'D'"],
    ['another catalog', { database: 'a.b.c' }, 1049, 'Only one dot'],
  ])('%s is refused', async (_case, options, errno, message) => {
    const login = connect(standin, options);
    await expect(login).rejects.toMatchObject({ errno, message: expect.stringContaining(message) });
  });

  test('the right password, a group behind # and a database with its catalog are taken', async () => {
    const connection = await connect(standin, {
      user: 'u#HIGH',
      password: 'secret',
      database: 'internal.d',
    });
    expect(
      await rowsOf(connection, 'SELECT CURRENT_USER(), DATABASE(), CURRENT_CATALOG()'),
    ).toEqual([[`'u'@'%'`, 'd', 'internal']]);
    await connection.end();
  });

  test('the host decides between accounts of one name, and who has none that fits stays out', async () => {
    await sql.query(
      `CREATE USER 'h'@'10.%'; CREATE USER 'i'@'%' IDENTIFIED BY 'far'; CREATE USER 'i'@'127.0.0.1' IDENTIFIED BY 'near'`,
    );
    await expect(connect(standin, { user: 'h' })).rejects.toMatchObject({ errno: 1045 });
    const connection = await connect(standin, { user: 'i', password: 'near' });
    expect(await rowsOf(connection, 'SELECT CURRENT_USER()')).toEqual([[`'i'@'127.0.0.1'`]]);
    await connection.end();
  });

  test('too many connections of a user are refused', async () => {
    await using small = await startStandin({ connectionsMax: 1 });
    const first = await connect(small);
    await expect(connect(small)).rejects.toMatchObject({ errno: 1203 });
    await first.end();
  });

  test('the mariadb client gets through', async () => {
    const [host, port] = standin.query.split(':');
    const args = [
      '-h',
      host!,
      '-P',
      port!,
      '-uu',
      '-psecret',
      '--skip-ssl',
      '-N',
      '-e',
      'SELECT 1; SELECT @@version_comment',
    ];
    const { stdout } = await promisify(execFile)('mariadb', args);
    expect(stdout).toBe('1\nDoris version doris-4.0.2-standin\n');
  });
});

describe('commands', () => {
  test('answer as in Doris', () =>
    withRaw(async (raw) => {
      await raw.logIn();
      const ok = '0000000000000000';
      for (const command of ['09', '0d', '0e', '1a00000000', '1b0000', '1f'])
        expect(hex(await raw.command(command)), command).toBe(ok);
      for (const command of ['18', '1c', '0c', '12']) {
        const error = await raw.command(command);
        expect(error.subarray(0, 9).toString('latin1')).toBe('\xff\x17\x04#08S01');
        expect(error.toString()).toContain('Unsupported command(');
      }
      expect((await raw.command('77')).toString()).toContain('Unknown command(119)');
      expect((await raw.command('02', 'nowhere')).readUInt16LE(1)).toBe(1049);
      expect(hex(await raw.command('02', 'd'))).toBe(ok);
    }));

  test('COM_FIELD_LIST sends definitions with defaults and no count', () =>
    withRaw(async (raw) => {
      await raw.logIn();
      await raw.command('02', 'd');
      expect((await raw.command('04', 't\0')).toString('latin1')).toMatch(
        /^.def.d.t.t.id.id.*\u00FB$/s,
      );
      expect((await raw.read()).subarray(-2).toString()).toBe('\x01x');
      await raw.read();
      expect(hex(await raw.read())).toBe('fe00000000');
      expect((await raw.command('04', 'none\0')).readUInt16LE(1)).toBe(1109);
    }));

  test('COM_RESET_CONNECTION forgets the database but no variable and no prepared statement', () =>
    withRaw(async (raw) => {
      await raw.logIn(0x1000000);
      await raw.command('02', 'd');
      await raw.command('03', 'SET query_timeout = 77');
      expect(hex(await raw.command('16', 'SELECT @@query_timeout'))).toBe(
        '00010000000100000000000001',
      );
      await raw.read();
      await raw.command('1f');
      await raw.command('17010000000001000000');
      await raw.read();
      expect(hex(await raw.read())).toBe('00004d00000000000000');
      expect(hex(await raw.read())).toBe('fe00000000000000');
      expect((await raw.command('03', 'SELECT * FROM t')).readUInt16LE(1)).toBe(1046);
    }));

  test('a statement without columns and parameters is prepared in 10 bytes', () =>
    withRaw(async (raw) => {
      await raw.logIn();
      expect(await raw.command('16', 'SET query_timeout = 1')).toHaveLength(10);
      expect((await raw.command('17090000000001000000')).readUInt16LE(1)).toBe(1047);
    }));
});
