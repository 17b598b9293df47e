import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodePacket } from '../src/wire/packet.ts';
import { encodeError, encodeOk } from '../src/wire/resultset.ts';
import { echo, RawFrontend } from '../test/support/relay-ends.ts';
import { testContext } from '../test/support/tls-context.ts';
import { available, mysqlCli, startMysql } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { mysqlProgram } from './support/programs.ts';
import { startProxy } from './support/proxy.ts';
import { comparable, TestRelay, type CliResult } from './support/test-relay.ts';

/** The checklist of wire.md §6, the lines about MySQL 9 and its client. */

describe.runIf(available('mysql'))('MySQL 9 as the FE', () => {
  let server: MysqlServer;
  let proxy: TestRelay;

  beforeAll(async () => {
    server = await startMysql();
    proxy = await TestRelay.open(server.port);
  });

  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const cli = async (args: readonly string[], input = ''): Promise<CliResult[]> => {
    const results: CliResult[] = [];
    for (const port of [server.port, proxy.port]) {
      const login = ['-h127.0.0.1', `-P${port}`, `-u${server.user}`, `-p${server.password}`];
      results.push(comparable(await mysqlCli([...login, ...args], input)));
    }
    return results;
  };

  test('3: caching_sha2_password without TLS, the full login with the public key and the fast one', async () => {
    const args = [
      '--ssl-mode=DISABLED',
      '--get-server-public-key',
      '-N',
      '-e',
      'select current_user()',
    ];
    for (const _ of ['full', 'fast']) {
      if (_ === 'full') await server.query('flush privileges');
      const [direct, relayed] = await cli(args);
      expect(relayed).toEqual(direct);
      expect(relayed).toMatchObject({ code: 0, stdout: 'root@%\n' });
    }
    // And the full one through the proxy first.
    await server.query('flush privileges');
    const login = ['-h127.0.0.1', `-P${proxy.port}`, '-uroot', `-p${server.password}`];
    expect(await mysqlCli([...login, ...args])).toMatchObject({ code: 0, stdout: 'root@%\n' });
  });

  test('8: TLS demanded where there is none fails at once, preferred it does not', async () => {
    const login = ['-h127.0.0.1', `-P${proxy.port}`, '-uroot', `-p${server.password}`];
    const demanded = await mysqlCli([...login, '--ssl-mode=REQUIRED', '-e', 'select 1']);
    expect(demanded.stderr).toContain('2026');
    const preferred = await mysqlCli([
      ...login,
      '--ssl-mode=PREFERRED',
      '--get-server-public-key',
      '-N',
      '-e',
      'select 1',
    ]);
    expect(preferred).toMatchObject({ code: 0, stdout: '1\n' });
  });

  test('9: LDAP: the FE asks for the password in clear text, and gets it over either leg', async () => {
    await using ldap = await RawFrontend.open({
      login: (_payload, socket, { sequence }) => {
        const plugin = Buffer.from('\xfemysql_clear_password\0', 'latin1');
        socket.write(encodePacket(sequence + 1, plugin));
      },
      answer: (payload, socket, packet) => {
        // What the client asks to see whether the server knows dollar quotes: an error is the answer of one that does not.
        const quotes = payload.includes('$$');
        if (quotes) socket.write(encodeError(0, 1054, '42S22', 'Unknown column'));
        else if (packet.sequence === 0)
          echo({ deprecateEof: true, status: 2 })(payload, socket, packet);
        else if (payload.equals(Buffer.from('ldap\0'))) {
          socket.write(encodeOk(packet.sequence, { deprecateEof: true, status: 2 }));
        } else socket.write(encodeError(packet.sequence, 1045, '28000', 'Access denied by LDAP'));
      },
    });
    const tls = { server: testContext(), frontend: true, frontendCa: undefined };
    await using relay = await TestRelay.open(ldap.address.port, { tls });
    const ways = [
      { port: ldap.address.port, mode: 'DISABLED' },
      { port: relay.port, mode: 'DISABLED' },
      { port: relay.port, mode: 'REQUIRED' },
    ];
    const said = async (...options: string[]): Promise<CliResult[]> => {
      const results: CliResult[] = [];
      for (const { port, mode } of ways) {
        const at = ['-h127.0.0.1', `-P${port}`, '-uu', `--ssl-mode=${mode}`];
        results.push(comparable(await mysqlCli([...at, '-N', '-e', 'select 42', ...options])));
      }
      return results;
    };
    for (const [options, expected] of [
      [['-pldap', '--enable-cleartext-plugin'], { code: 0, stdout: '42\n' }],
      [['-pwrong', '--enable-cleartext-plugin'], { stderr: /ERROR 1045 \(28000\): Access denied/ }],
      // The client does not say its password in clear text unless it is told to.
      [['-pldap'], { stderr: /ERROR 2059 .*mysql_clear_password.*not enabled/ }],
    ] as const) {
      const [direct, ...relayed] = await said(...options);
      for (const result of relayed) expect(result).toEqual(direct);
      if ('stderr' in expected) expect(direct?.stderr).toMatch(expected.stderr);
      else expect(direct).toMatchObject(expected);
    }
    expect(relay.warnings).toEqual([]);
  });

  test('10: asked for compression, the session is uncompressed', async () => {
    const [, relayed] = await cli([
      '--ssl-mode=DISABLED',
      '--get-server-public-key',
      '--compression-algorithms=zlib,zstd,uncompressed',
      '-N',
      '-e',
      "show session status like 'Compression'",
    ]);
    expect(relayed).toMatchObject({ code: 0, stdout: 'Compression\tOFF\n' });
  });

  test('11: query attributes do not disturb the statement', async () => {
    const args = ['--ssl-mode=DISABLED', '--get-server-public-key', '-N'];
    const [, relayed] = await cli(args, 'query_attributes a 1;\nselect 42;\n');
    expect(relayed).toMatchObject({ code: 0 });
    expect(relayed?.stdout).toContain('42');
  });

  test('33: Ctrl-C in the client ends the statement and not the session', async () => {
    const { program, args } = mysqlProgram('usr/bin/mysql', [
      '--no-defaults',
      '-h127.0.0.1',
      `-P${proxy.port}`,
      '-uroot',
      `-p${server.password}`,
      '--ssl-mode=DISABLED',
      '--get-server-public-key',
      '-N',
      '-v',
    ]);
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stdin.write('select sleep(30);\n');
    const running =
      "select count(*) as n from information_schema.processlist where info like 'select sleep(30)%'";
    await expect
      .poll(async () => (await server.query<{ n: number }>(running))[0]?.n, { timeout: 15_000 })
      .toBe(1);
    child.kill('SIGINT');
    await expect
      .poll(async () => (await server.query<{ n: number }>(running))[0]?.n, { timeout: 15_000 })
      .toBe(0);
    child.stdin.end();
    await once(child, 'close');
    expect(output).toContain('sleep(30)');
  });

  test('43: an FE that does not expect a PROXY line is named with the remedy, and the process does not start', async () => {
    const options = { fe: `${server.host}:${server.port}`, feHttp: `${server.host}:1` };
    await expect(startProxy({ ...options, args: ['--fe-proxy-protocol=v1'] })).rejects.toThrow(
      /enable_proxy_protocol = true in fe\.conf and restart the FE, or leave --fe-proxy-protocol off/,
    );
  });
});
