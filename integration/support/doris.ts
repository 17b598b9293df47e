import { join } from 'node:path';
import mysql, { type Connection } from 'mysql2/promise';
import { removeFolder, ServerProcess, temporaryFolder } from './server-process.ts';

const STANDIN = join(import.meta.dirname, '..', 'doris-standin', 'main.ts');

interface Ready {
  /** `host:port`. */
  readonly query: string;
  readonly http: string;
  readonly be: string;
}

/** A Doris to test against: what `startProxy` needs of it, and a connection past the proxy. */
export class DorisHandle implements AsyncDisposable {
  /** `host:port` of the FE's query port and of its HTTP port. */
  readonly fe: string;
  readonly feHttp: string;
  readonly dorisUser: string;
  readonly dorisPassword: string;
  readonly #standin: Standin | undefined;

  private constructor(url: URL, feHttp: string, standin?: Standin) {
    this.fe = `${url.hostname}:${url.port || '9030'}`;
    this.feHttp = feHttp;
    this.dorisUser = decodeURIComponent(url.username || 'root');
    this.dorisPassword = decodeURIComponent(url.password);
    this.#standin = standin;
  }

  /**
   * The stand-in as a process of its own with empty data; or the cluster that TEST_DORIS_URL names
   * (`mysql://root:password@host:9030?http=8030`), where the tests make and drop databases.
   */
  static async open(): Promise<DorisHandle> {
    const given = process.env['TEST_DORIS_URL'];
    if (given) {
      const url = new URL(given);
      const http = url.searchParams.get('http') ?? '8030';
      return new DorisHandle(url, `${url.hostname}:${http}`);
    }
    const standin = await Standin.open();
    const { query, http } = standin.ready;
    return new DorisHandle(new URL(`mysql://root@${query}`), http, standin);
  }

  /** Whether it can be stopped: a given cluster cannot. */
  get isOurs(): boolean {
    return this.#standin !== undefined;
  }

  /** Straight to the FE. */
  connect(): Promise<Connection> {
    const { dorisUser: user, dorisPassword: password } = this;
    return mysql.createConnection({
      host: this.fe.split(':')[0] ?? '',
      port: Number(port(this.fe)),
      user,
      password,
    });
  }

  /** FE and BE end with a `kill -9`. What was answered before is kept. */
  async kill(): Promise<void> {
    await this.#standin?.kill();
  }

  /** On the same ports and data again. */
  async start(): Promise<void> {
    await this.#standin?.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#standin?.[Symbol.asyncDispose]();
  }
}

export function startDoris(): Promise<DorisHandle> {
  return DorisHandle.open();
}

const port = (at: string): string => at.split(':')[1] ?? '';

class Standin implements AsyncDisposable {
  readonly #folder = temporaryFolder('doris');
  #process: ServerProcess | undefined;
  ready: Ready = { query: '127.0.0.1:0', http: '127.0.0.1:0', be: '127.0.0.1:0' };

  static async open(): Promise<Standin> {
    const standin = new Standin();
    try {
      await standin.start();
      return standin;
    } catch (error) {
      await standin[Symbol.asyncDispose]();
      throw error;
    }
  }

  async start(): Promise<void> {
    const { query, http, be } = this.ready;
    const started = new ServerProcess({
      program: process.execPath,
      args: [
        '--import=tsx',
        STANDIN,
        `--query-port=${port(query)}`,
        `--http-port=${port(http)}`,
        `--be-port=${port(be)}`,
        `--data-dir=${this.#folder}`,
      ],
    });
    this.#process = started;
    let stdout = '';
    started.child.stdout?.on('data', (text: string) => (stdout += text));
    await started.ready(() => {
      const line = /^ready (\{.*\})$/m.exec(stdout)?.[1];
      if (line === undefined) throw new Error('no ready line');
      this.ready = JSON.parse(line) as Ready;
    });
  }

  async kill(): Promise<void> {
    if (this.#process?.running === true) await this.#process.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    removeFolder(this.#folder);
  }
}
