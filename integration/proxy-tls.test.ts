import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testContext } from '../test/support/tls-context.ts';
import { available, mariadbCli, mysqlCli, startMysql } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { pythonWith } from './support/programs.ts';
import { run } from './support/server-process.ts';
import { type CliResult, TestRelay } from './support/test-relay.ts';

/** The checklist of wire.md §6, the lines about TLS: MySQL 9.7 as the FE, with and without. */

const PLAIN = ['--ssl-mode=DISABLED', '--get-server-public-key'];
const TLS = ['--ssl-mode=REQUIRED'];
const login = (port: number): string[] => ['-h127.0.0.1', `-P${port}`, '-uroot', '-p123456'];
const python = pythonWith('pymysql');

/** A request for TLS is a packet of 32 bytes. */
const TLS_REQUEST_BYTES = 36;

/** A relay that holds a client's request for TLS back until what follows it is there, and sends both at once. */
class GluedHello implements AsyncDisposable {
  readonly #server: net.Server;
  /** Requests that were sent together with what follows. */
  glued = 0;

  private constructor(target: number) {
    this.#server = net.createServer((client) => {
      const server = net.connect({ host: '127.0.0.1', port: target, noDelay: true });
      let held: Buffer | undefined = Buffer.alloc(0);
      client.on('data', (chunk: Buffer) => {
        const bytes: Buffer = held ? Buffer.concat([held, chunk]) : chunk;
        if (held && bytes.length <= TLS_REQUEST_BYTES) held = bytes;
        else {
          if (held) this.glued += 1;
          held = undefined;
          server.write(bytes);
        }
      });
      server.on('data', (chunk: Buffer) => client.write(chunk));
      for (const [one, other] of [
        [client, server],
        [server, client],
      ] as const) {
        one.on('error', () => undefined).on('close', () => other.destroySoon());
      }
    });
  }

  static async open(target: number): Promise<GluedHello> {
    const relay = new GluedHello(target);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}

describe.runIf(available('mysql'))('TLS', () => {
  let plain: MysqlServer;
  let secure: MysqlServer;
  let relays: Record<'plain' | 'secure', TestRelay>;

  beforeAll(async () => {
    [plain, secure] = await Promise.all([
      startMysql(['--tls-version=']),
      startMysql(['--tls-version=TLSv1.2,TLSv1.3']),
    ]);
    const tls = { server: testContext(), frontend: true, frontendCa: undefined };
    relays = {
      plain: await TestRelay.open(plain.port, { tls }),
      secure: await TestRelay.open(secure.port, { tls }),
    };
  });

  afterAll(async () => {
    for (const relay of Object.values(relays ?? {})) {
      expect(relay.warnings).toEqual([]);
      await relay[Symbol.asyncDispose]();
    }
    await plain?.[Symbol.asyncDispose]();
    await secure?.[Symbol.asyncDispose]();
  });

  test.each([
    ['plain', 'plain', PLAIN, ''],
    ['TLS', 'TLS', TLS, 'TLS'],
    ['TLS', 'plain', TLS, ''],
    ['plain', 'TLS', PLAIN, ''],
  ])(
    '3, 4, 5: caching_sha2_password, client %s, FE %s: full login, then fast',
    async (_c, fe, options, cipher) => {
      // A server without TLS has nothing to say to who demands it: only the proxy makes that possible.
      const canBeDirect = options !== TLS || fe === 'TLS';
      const [server, relay] = fe === 'TLS' ? [secure, relays.secure] : [plain, relays.plain];
      await server.query('flush privileges'); // forgets the passwords: the next login is a full one
      const args = [
        ...options,
        '-N',
        '-e',
        "select current_user(); show session status like 'Ssl_version'",
      ];
      const said: CliResult[] = [];
      for (const _ of ['full', 'fast']) {
        const result = await mysqlCli([...login(relay.port), ...args]);
        expect(result).toMatchObject({ code: 0 });
        expect(result.stdout).toMatch(new RegExp(`^root@%\nSsl_version\t${cipher}`));
        if (cipher === '') expect(result.stdout.trim()).toMatch(/Ssl_version$/);
        said.push(result);
      }
      await server.query('flush privileges');
      const wrong = ['-h127.0.0.1', '-uroot', '-pwrong', ...args];
      const refused = await mysqlCli([`-P${relay.port}`, ...wrong]);
      expect(refused.stderr).toContain('ERROR 1045 (28000): Access denied');
      if (canBeDirect) {
        expect(await mysqlCli([...login(server.port), ...args])).toEqual(said[0]);
        expect(await mysqlCli([`-P${server.port}`, ...wrong])).toEqual(refused);
      }
    },
  );

  test('8: TLS that neither end has is refused to who demands it, and not missed by who prefers it', async () => {
    await using relay = await TestRelay.open(plain.port);
    for (const mode of ['REQUIRED', 'PREFERRED']) {
      const args = [`--ssl-mode=${mode}`, '--get-server-public-key', '-N', '-e', 'select 1'];
      const direct = await mysqlCli([...login(plain.port), ...args]);
      expect(await mysqlCli([...login(relay.port), ...args])).toEqual(direct);
      expect(direct.code).toBe(mode === 'REQUIRED' ? 1 : 0);
      if (mode === 'REQUIRED') expect(direct.stderr).toContain('ERROR 2026 (HY000)');
    }
  });

  test.each(['plain', 'secure'] as const)(
    '6: clients that are strict about sequence ids, FE %s',
    async (which) => {
      const { port } = relays[which];
      const server = { plain, secure }[which];
      await server.query("create user if not exists strict@'%' identified by 'secret'");
      await server.query('flush privileges');
      const cli = ['--ssl', '--skip-ssl-verify-server-cert', '-N', '-e', 'select current_user()'];
      const first = await mariadbCli(['-h127.0.0.1', `-P${port}`, '-ustrict', '-psecret', ...cli]);
      expect(first).toMatchObject({ code: 0, stdout: 'strict@%\n' });
      if (which === 'secure') {
        const at = ['-h127.0.0.1', `-P${server.port}`, '-ustrict', '-psecret'];
        expect(await mariadbCli([...at, ...cli])).toEqual(first);
      }
      if (python === undefined) console.error('SKIPPED: PyMySQL over TLS, it is not installed');
      else {
        await server.query('flush privileges');
        const script = `
import sys, ssl, pymysql
ctx = ssl.create_default_context(); ctx.check_hostname = False; ctx.verify_mode = ssl.CERT_NONE
c = pymysql.connect(host='127.0.0.1', port=int(sys.argv[1]), user='strict', password='secret', ssl=ctx)
cur = c.cursor(); cur.execute('select current_user()'); print(cur.fetchall())
cur.execute("select repeat('x', 3000000)"); print(len(cur.fetchone()[0]))
`;
        const result = await run({ program: python, args: ['-c', script, `${port}`] });
        expect(result).toMatchObject({
          code: 0,
          stderr: '',
          stdout: "(('strict@%',),)\n3000000\n",
        });
      }
    },
  );

  test('7: the ClientHello of a real client in the segment of its request for TLS', async () => {
    const said: unknown[] = [];
    for (const port of [secure.port, relays.secure.port, relays.plain.port]) {
      await using between = await GluedHello.open(port);
      said.push(await mysqlCli([...login(between.port), ...TLS, '-N', '-e', 'select 7']));
      expect(between.glued).toBe(1);
    }
    expect(said[0]).toMatchObject({ code: 0, stdout: '7\n' });
    expect(said.slice(1)).toEqual([said[0], said[0]]);
  });

  test.each(['plain', 'secure'] as const)(
    '30: CHANGE_USER within TLS in full, FE %s',
    async (which) => {
      const { port } = relays[which];
      const server = { plain, secure }[which];
      await server.query("create user if not exists changed@'%' identified by 'other'");
      const connection = await mysql.createConnection({
        host: '127.0.0.1',
        port,
        user: 'root',
        password: '123456',
        ssl: { rejectUnauthorized: false },
      });
      try {
        for (const [user, password] of [
          ['changed', 'other'],
          ['root', '123456'],
          ['changed', 'other'],
        ] as const) {
          await server.query('flush privileges');
          await connection.changeUser({ user, password });
          const [rows] = await connection.query('select current_user() as u');
          expect(rows).toEqual([{ u: `${user}@%` }]);
        }
      } finally {
        connection.destroy();
      }
    },
  );

  test.each(['its own', 'another'] as const)(
    '5: an FE whose certificate must be signed by %s CA is taken, or refused before a password is sent, as by the client',
    async (which) => {
      const wrong = join(import.meta.dirname, '..', 'test', 'fixtures', 'tls-cert.pem');
      const file = which === 'another' ? wrong : join(secure.dataDir ?? '', 'ca.pem');
      const tls = { server: testContext(), frontend: true, frontendCa: readFileSync(file) };
      await using relay = await TestRelay.open(secure.port, { tls });
      const ask = ['-N', '-e', "show session status like 'Ssl_version'"];
      await secure.query('flush privileges');
      const direct = await mysqlCli([
        ...login(secure.port),
        '--ssl-mode=VERIFY_CA',
        `--ssl-ca=${file}`,
        ...ask,
      ]);
      const failed = "show global status like 'Aborted_connects'";
      const before = await secure.query(failed);
      const relayed = await mysqlCli([...login(relay.port), ...TLS, ...ask]);
      expect(relayed.stdout).toBe(direct.stdout);
      expect(relayed.code).toBe(direct.code);
      if (which === 'its own') {
        expect(relayed.stdout).toMatch(/^Ssl_version\tTLSv1/);
        return;
      }
      expect(direct.stderr).toContain('ERROR 2026 (HY000): SSL connection error: ');
      expect(relayed.stderr).toMatch(
        /ERROR 1043 \(08S01\): No TLS with the Doris FE 127\.0\.0\.1:\d+: .* certificate.*, by the certificates of --fe-tls-ca/,
      );
      // The FE has seen a connection that came to nothing, and no login.
      await expect.poll(() => secure.query(failed), { timeout: 15_000 }).not.toEqual(before);
      // Whoever does without TLS is not concerned.
      const plainClient = await mysqlCli([...login(relay.port), ...PLAIN, '-N', '-e', 'select 1']);
      expect(plainClient).toMatchObject({ code: 0, stdout: '1\n' });
    },
  );

  test('5: an FE that must prove itself and has no TLS is refused; the process says so for each client', async () => {
    const frontendCa = readFileSync(join(secure.dataDir ?? '', 'ca.pem'));
    const tls = { server: testContext(), frontend: true, frontendCa };
    await using relay = await TestRelay.open(plain.port, { tls });
    const refused = await mysqlCli([...login(relay.port), ...TLS, '-e', 'select 1']);
    expect(refused.stderr).toMatch(/ERROR 1043 .*: it offers none, and --fe-tls-ca says/);
  });
});
