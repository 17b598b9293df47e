import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import mysql, { type Connection, type ConnectionOptions } from 'mysql2/promise';
import { removeFolder, run, ServerProcess, temporaryFolder } from './server-process.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const MAIN = join(ROOT, 'dist', 'main.js');

/** Compiles src/ to dist/, as a release does: the tests run what users run. Type errors are printed, and left to `npm run check`. */
export async function buildProxy(): Promise<void> {
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const tsc = join(typescript, 'bin', 'tsc');
  const build = await run({
    program: process.execPath,
    args: [tsc, '-p', join(ROOT, 'tsconfig.json')],
  });
  if (build.code !== 0) console.error(build.stdout);
}

export interface ProxyOptions {
  /** `host:port` of an FE's query port, and of its HTTP port. */
  readonly fe: string;
  readonly feHttp: string;
  readonly dorisUser?: string;
  readonly dorisPassword?: string;
  /** More flags. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** The proxy as a process of its own, with a data directory of its own. Disposing kills it and removes its data. */
export class ProxyHandle implements AsyncDisposable {
  readonly dataDir = join(temporaryFolder('proxy'), 'data');
  readonly #options: ProxyOptions;
  #process: ServerProcess;
  #stderr = '';
  #listen: HostPort = { host: '', port: 0 };
  #admin: HostPort = { host: '', port: 0 };

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.#process = this.#launch(0);
  }

  static async open(options: ProxyOptions): Promise<ProxyHandle> {
    if (!existsSync(MAIN)) await buildProxy();
    const proxy = new ProxyHandle(options);
    try {
      await proxy.#ready();
      return proxy;
    } catch (error) {
      await proxy[Symbol.asyncDispose]();
      throw error;
    }
  }

  get host(): string {
    return this.#listen.host;
  }

  get port(): number {
    return this.#listen.port;
  }

  get admin(): HostPort {
    return this.#admin;
  }

  get running(): boolean {
    return this.#process.running;
  }

  get pid(): number {
    return this.#process.child.pid ?? 0;
  }

  /** Everything that was written to stderr, restarts included. */
  get stderr(): string {
    return this.#stderr;
  }

  /** A client's connection through the proxy, as Doris' root unless `options` says otherwise. */
  connect(options: ConnectionOptions = {}): Promise<Connection> {
    return mysql.createConnection({
      host: this.host,
      port: this.port,
      user: this.#options.dorisUser ?? 'root',
      password: this.#options.dorisPassword ?? '',
      ...options,
    });
  }

  /** Starts it again on the same port and data, after {@link stop} or {@link kill}. */
  async start(): Promise<void> {
    this.#process = this.#launch(this.#listen.port);
    await this.#ready();
  }

  /** SIGTERM. @returns the exit code. */
  stop(): Promise<number | null> {
    return this.#process.stop('SIGTERM');
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.running) await this.#process.kill();
    removeFolder(dirname(this.dataDir));
  }

  #launch(port: number): ServerProcess {
    const { fe, feHttp, dorisUser = 'root', dorisPassword = '', args = [], env } = this.#options;
    const started = new ServerProcess({
      program: process.execPath,
      args: [
        MAIN,
        'start',
        `--listen=127.0.0.1:${port}`,
        '--admin=127.0.0.1:0',
        `--fe=${fe}`,
        `--fe-http=${feHttp}`,
        `--doris-user=${dorisUser}`,
        `--data-dir=${this.dataDir}`,
        ...args,
      ],
      env: { DJP_DORIS_PASSWORD: dorisPassword, ...env },
    });
    started.child.stderr?.on('data', (text: string) => (this.#stderr += text));
    return started;
  }

  /** Waits for the `ready {json}` line on stdout, which comes once clients are served. */
  async #ready(): Promise<void> {
    let stdout = '';
    this.#process.child.stdout?.on('data', (text: string) => (stdout += text));
    await this.#process.ready(() => {
      const line = /^ready (\{.*\})$/m.exec(stdout)?.[1];
      if (line === undefined) throw new Error('no ready line');
      const { listen, admin } = JSON.parse(line) as { listen: string; admin: string };
      this.#listen = hostPort(listen);
      this.#admin = hostPort(admin);
    });
  }
}

export function startProxy(options: ProxyOptions): Promise<ProxyHandle> {
  return ProxyHandle.open(options);
}

function hostPort(text: string): HostPort {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
