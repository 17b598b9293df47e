import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigError, helpText, readConfig } from '../src/config.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'djp-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
const file = (content: string): string => {
  const name = path.join(folder, `file${++files}`);
  writeFileSync(name, content);
  return name;
};

test('without options it serves the default ports of the manual', () => {
  expect(readConfig([], {})).toMatchObject({
    listen: { host: '127.0.0.1', port: 9031 },
    doris: {
      frontends: [{ host: '127.0.0.1', port: 9030 }],
      frontendsHttp: [{ host: '127.0.0.1', port: 8030 }],
      user: 'root',
      password: '',
    },
    admin: { host: '127.0.0.1', port: 8031 },
    settings: {
      max_streaming_job_num: 1024,
      job_streaming_task_exec_thread_num: 10,
      max_streaming_task_show_count: 100,
    },
    certificateDir: undefined,
  });
});

test('a flag wins over the environment, the environment over the file', () => {
  const config = file('{"log-level":"warn","doris-user":"file","listen":"127.0.0.1:1"}');
  const read = readConfig(['--config', config, '--log-level', 'debug'], {
    DJP_LOG_LEVEL: 'trace',
    DJP_DORIS_USER: 'env',
  });
  expect(read).toMatchObject({ logLevel: 'debug', doris: { user: 'env' }, listen: { port: 1 } });
});

test('front ends may be several, and the HTTP ports follow their hosts', () => {
  expect(readConfig(['--fe', 'a:1', '--fe', '[::1]:2'], {}).doris).toEqual({
    user: 'root',
    password: '',
    frontends: [
      { host: 'a', port: 1 },
      { host: '::1', port: 2 },
    ],
    frontendsHttp: [
      { host: 'a', port: 8030 },
      { host: '::1', port: 8030 },
    ],
  });
  expect(readConfig([], { DJP_FE: 'a:1, b:2' }).doris.frontends).toHaveLength(2);
});

test('the password comes from the environment or a file, never from a flag', () => {
  expect(readConfig([], { DJP_DORIS_PASSWORD: 'x' }).doris.password).toBe('x');
  expect(readConfig(['--doris-password-file', file('s e\n')], {}).doris.password).toBe('s e');
  expect(() => readConfig(['--doris-password', 'x'], {})).toThrow(ConfigError);
});

test.each([
  [['--listen', 'nonsense'], '--listen: HOST:PORT is expected, got "nonsense"'],
  [['--listen', 'a:70000'], '--listen: HOST:PORT is expected'],
  [['--log-level', 'loud'], 'one of fatal'],
  [['--job-threads', '0'], 'a whole number from 1'],
  [['--no-such'], "Unknown option '--no-such'"],
  [['--config', '/does/not/exist'], 'ENOENT'],
  [['--config', file('[]')], 'a JSON object is expected'],
  [['--config', file('{"feh":1}')], 'unknown key "feh"'],
])('%j is refused with one line', (args, text) => {
  expect(() => readConfig(args, {})).toThrow(text);
});

test('the help names every option and no secret flag', () => {
  const help = helpText();
  for (const name of ['--listen', '--fe-http', 'DJP_DORIS_PASSWORD', '--admin', '--config']) {
    expect(help).toContain(name);
  }
  expect(help).not.toContain('--doris-password ');
});

describe('how clients come in', () => {
  const fixtures = path.join(import.meta.dirname, 'fixtures');
  const [cert, key] = [path.join(fixtures, 'tls-cert.pem'), path.join(fixtures, 'tls-key.pem')];

  test('TLS and PROXY options', () => {
    const args = ['--tls-cert', cert, '--tls-key', key, '--fe-tls', 'off'];
    const ranges = ['--proxy-protocol-from=10.0.0.0/8', '--proxy-protocol-from=fd00::/8'];
    const { clients } = readConfig([...args, ...ranges, '--fe-proxy-protocol', 'v1'], {});
    expect(clients.tls.server).toBeDefined();
    expect(clients).toMatchObject({ tls: { frontend: false }, proxyProtocol: true });
    const trusted = (host: string, family: 'ipv4' | 'ipv6'): boolean | undefined =>
      clients.trusted?.check(host, family);
    expect(trusted('10.9.9.9', 'ipv4')).toBe(true);
    expect(trusted('11.9.9.9', 'ipv4')).toBe(false);
    expect(trusted('fd00::7', 'ipv6')).toBe(true);
    const checked = readConfig(['--tls-cert', cert, '--tls-key', key, '--fe-tls-ca', cert], {});
    expect(checked.clients.tls).toMatchObject({ frontend: true, frontendCa: expect.any(Buffer) });
  });

  test.each([
    [['--tls-cert', cert], /--tls-cert: .*together/],
    [['--tls-cert', cert, '--tls-key', cert], /--tls-cert: /],
    [['--tls-cert', 'nowhere', '--tls-key', key], /--tls-cert: ENOENT/],
    [['--fe-tls', 'always'], /one of as-client, off/],
    [['--tls-cert', cert, '--tls-key', key, '--fe-tls-ca', 'nowhere'], /^--fe-tls-ca: ENOENT/],
    [['--tls-cert', cert, '--tls-key', key, '--fe-tls-ca', key], /^--fe-tls-ca: .*no PEM cert/],
    [['--fe-tls-ca', cert], /^--fe-tls-ca: without --tls-cert/],
    [
      ['--tls-cert', cert, '--tls-key', key, '--fe-tls-ca', cert, '--fe-tls', 'off'],
      /^--fe-tls-ca: without .*--fe-tls as-client/,
    ],
    [['--proxy-protocol-from', '10.0.0.0/33'], /range like 10\.0\.0\.0\/8/],
    [['--proxy-protocol-from', 'everybody'], /"everybody"/],
    [['--fe-proxy-protocol', 'v2'], /one of v1, off/],
    [['--processes', '0'], /from 1 to 64/],
  ])('%j is refused', (args, said) => {
    expect(() => readConfig(args, {})).toThrow(said);
  });
});
