import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { Commands, OwnStatement } from '../../src/command/commands.ts';
import { ProxyError } from '../../src/model/error.ts';
import { Listener } from '../../src/proxy/listener.ts';
import { echo, RawClient, RawFrontend, type RawAnswer } from './relay-ends.ts';

export const NEW = { deprecateEof: true, status: 2 };
export const QUERY = 3;
export const PREPARE = 0x16;

const notCalled = (): Promise<never> => Promise.reject(new TypeError('not called'));

/** Statements of ours in the relay's tests: `pause job <word> <rest>`, `create job` alike, and `select ... from jobs(...)`. */
export class FakeCommands implements Commands {
  readonly executed: string[] = [];
  readonly asked: string[] = [];

  recognize(sql: string): OwnStatement | undefined {
    if (sql.includes(';') && !sql.includes("';")) {
      const batch = sql
        .split(';')
        .map((part) => part.trim())
        .map((part) => ({ sql: part, own: this.recognize(part) }));
      if (!batch.some(({ own }) => own)) return undefined;
      return { parameterCount: 0, columns: [], batch, execute: notCalled };
    }
    const [, word = '', rest = ''] = /^(?:pause|create) job (\w+) ?(.*)$/is.exec(sql) ?? [];
    const query = /from jobs\(/i.test(sql);
    if (word === 'doris' || (!query && word === '')) return undefined;
    return {
      parameterCount: sql.split('?').length - 1,
      columns: query ? ['a', 'b'] : [],
      execute: async (parameters, caller) => {
        this.executed.push(`${sql} [${parameters.map(String).join(',')}]`);
        if (query) {
          return {
            kind: 'rows',
            columns: ['a', 'b'],
            rows: [[parameters.map((value) => `${typeof value}:${value}`).join(','), null]],
          };
        }
        if (word === 'relay') return 'relay';
        if (word === 'slow' || word === 'late') await sleep(Number(rest));
        if (word === 'late') return 'relay';
        if (word === 'fail') throw new ProxyError('PRIVILEGE', 'Access denied; you need ADMIN');
        if (word === 'crash') throw new TypeError('bug');
        if (word === 'ask') {
          const { rows } = await caller.ask(rest);
          return { kind: 'rows', columns: ['asked'], rows };
        }
        if (word === 'twice') {
          const both = await Promise.all([caller.ask('select a'), caller.ask('select b')]);
          return { kind: 'rows', columns: ['x'], rows: both.flatMap(({ rows }) => rows) };
        }
        return { kind: 'ok' };
      },
    };
  }
}

/** A client's way to an FE: both ends are the test's. */
export interface World extends AsyncDisposable {
  readonly frontend: RawFrontend;
  readonly commands: FakeCommands;
  readonly listener: Listener;
  readonly warnings: string[];
  login(capabilities?: number, attributes?: Readonly<Record<string, string>>): Promise<RawClient>;
}

/** Opens one; the FE answers by `answer`. */
export async function world(answer: RawAnswer = echo(NEW), askTimeoutMs = 5000): Promise<World> {
  const frontend = await RawFrontend.open({ answer });
  const commands = new FakeCommands();
  const warnings: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(line) });
  const listener = await Listener.open({
    host: '127.0.0.1',
    port: 0,
    frontends: [frontend.address],
    commands,
    log,
    askTimeoutMs,
    drainTimeoutMs: 0,
  });
  const clients: RawClient[] = [];
  return {
    frontend,
    commands,
    listener,
    warnings,
    async login(capabilities, attributes) {
      const client = await RawClient.login(listener.address, capabilities, attributes);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.socket.destroy();
      await listener[Symbol.asyncDispose]();
      await frontend[Symbol.asyncDispose]();
    },
  };
}
