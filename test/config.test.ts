import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError, helpText, readConfig } from '../src/config.ts';

const file = (content: string): string => {
  const name = path.join(mkdtempSync(path.join(tmpdir(), 'djp-config-')), 'file');
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
