import mysql, { type Connection, type ConnectionOptions } from 'mysql2/promise';
import { pino } from 'pino';
import { expect } from 'vitest';
import { Listener, type ListenerOptions } from '../../src/proxy/listener.ts';
import type { mariadbCli } from '../servers.ts';

export type CliResult = Awaited<ReturnType<typeof mariadbCli>>;

/** The relay in this process, in front of one server; it notes what it would have asked the job side about, and its warnings. */
export class TestRelay implements AsyncDisposable {
  /** Statements that looked like ours. */
  readonly inspected: string[] = [];
  readonly warnings: string[] = [];
  #listener: Listener | undefined;

  static async open(
    serverPort: number,
    options: Partial<ListenerOptions> = {},
  ): Promise<TestRelay> {
    const relay = new TestRelay();
    relay.#listener = await Listener.open({
      host: '127.0.0.1',
      port: 0,
      frontends: [{ host: '127.0.0.1', port: serverPort }],
      commands: {
        recognize: (sql) => {
          relay.inspected.push(sql);
          return undefined;
        },
      },
      log: pino({ level: 'warn' }, { write: (line: string) => void relay.warnings.push(line) }),
      drainTimeoutMs: 0,
      ...options,
    });
    return relay;
  }

  get port(): number {
    return this.#listener?.address.port ?? 0;
  }

  /** Clients connected now. */
  get sessionCount(): number {
    return this.#listener?.sessionCount ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]();
  }
}

/** Uses a connection to each port in turn, as the user `bench`. */
export async function onEach<T>(
  ports: readonly number[],
  options: ConnectionOptions,
  use: (connection: Connection) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  for (const port of ports) {
    const login = { host: '127.0.0.1', port, user: 'bench', password: 'secret' };
    const connection = await mysql.createConnection({ ...login, ...options });
    try {
      results.push(await use(connection));
    } finally {
      connection.destroy();
    }
  }
  return results;
}

/** The result of a command line without what may differ: the port in messages. */
export function comparable(result: CliResult): CliResult {
  const [stdout = '', stderr = ''] = [result.stdout, result.stderr].map((text) =>
    text.replaceAll(/\b127\.0\.0\.1:\d+/g, 'server'),
  );
  return { ...result, stdout, stderr };
}

/** Directly and through the proxy: the same. */
export function expectEqual<T>([direct, relayed]: readonly T[]): T {
  expect(relayed).toEqual(direct);
  return direct as T;
}
