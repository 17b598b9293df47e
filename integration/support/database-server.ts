import { removeFolder, type ServerProcess } from './server-process.ts';

export interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** What a server handle of any kind offers. Disposing throws the data away. */
export abstract class DatabaseServer implements Login, AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Undefined for a server that was given by URL. Such a server cannot be stopped. */
  readonly dataDir: string | undefined;
  /** As the server prints it, e.g. `9.7.4`, `10.11.19-MariaDB-log`, `18.4`. */
  version = '';
  readonly #own: OwnServer | undefined;

  constructor(at: Login, dataDir?: string, own?: OwnServer) {
    ({ host: this.host, port: this.port, user: this.user, password: this.password } = at);
    this.dataDir = dataDir;
    this.#own = own;
  }

  /** `mysql://user:password@host:port` or `postgresql://…/postgres`. */
  abstract readonly url: string;

  /** Runs one or several statements on the handle's connection. */
  abstract exec(script: string): Promise<void>;

  /** Closes the connection that the handle itself uses; the next query opens another one. */
  protected abstract disconnect(): Promise<void>;

  /** Starts it again on its port and data after {@link stop} or {@link kill}; `options` replace those given before. */
  async start(options?: readonly string[]): Promise<void> {
    await this.#mine().start(options);
  }

  async stop(): Promise<void> {
    await this.disconnect();
    await this.#mine().stop();
  }

  /** `kill -9`, or what does that to all its processes. */
  async kill(): Promise<void> {
    await this.disconnect();
    await this.#mine().kill();
  }

  async restart(options?: readonly string[]): Promise<void> {
    await this.stop();
    await this.start(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect();
    await this.#own?.[Symbol.asyncDispose]();
  }

  #mine(): OwnServer {
    if (this.#own === undefined) {
      throw new Error('this server was given by URL: it is not ours to stop');
    }
    return this.#own;
  }
}

/** How one kind of server is run: everything that differs between MySQL, MariaDB and Postgres. */
export interface Recipe {
  readonly folder: string;
  launch(port: number, options: readonly string[]): ServerProcess;
  /** Throws until the server answers on `port`. */
  probe(port: number): Promise<void>;
  readonly stopSignal: NodeJS.Signals;
}

const ADDRESS_IN_USE = /address already in use|could not bind|port is already in use/i;

/** A server of our own on a port of its own, which it keeps over restarts. */
export class OwnServer implements AsyncDisposable {
  readonly #recipe: Recipe;
  #options: readonly string[];
  #process: ServerProcess;
  readonly port: number;

  private constructor(
    recipe: Recipe,
    process: ServerProcess,
    port: number,
    options: readonly string[],
  ) {
    this.#recipe = recipe;
    this.#process = process;
    this.port = port;
    this.#options = options;
  }

  /** Starts on a free port; on another one when somebody took it in the meantime. */
  static async open(
    recipe: Recipe,
    choosePort: () => Promise<number>,
    options: readonly string[],
  ): Promise<OwnServer> {
    for (let attempt = 1; ; attempt++) {
      const port = await choosePort();
      const process = recipe.launch(port, options);
      try {
        await process.ready(() => recipe.probe(port));
        return new OwnServer(recipe, process, port, options);
      } catch (error) {
        await process.kill();
        if (attempt < 5 && ADDRESS_IN_USE.test(process.log)) continue;
        removeFolder(recipe.folder);
        throw error;
      }
    }
  }

  get log(): string {
    return this.#process.log;
  }

  async start(options = this.#options): Promise<void> {
    if (this.#process.running) throw new Error('the server runs already');
    this.#options = options;
    this.#process = this.#recipe.launch(this.port, options);
    await this.#process.ready(() => this.#recipe.probe(this.port));
  }

  async stop(): Promise<void> {
    await this.#process.stop(this.#recipe.stopSignal);
  }

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.running) await this.#process.kill();
    removeFolder(this.#recipe.folder);
  }
}
