import type { Level, Logger } from 'pino';
import { endpointText, type Endpoint } from '../model/endpoint.ts';

/** The log of one session: each line names the client. Most sessions say nothing, so the logger is made by the first line. */
export class SessionLog {
  readonly #log: Logger;
  readonly #client: Endpoint;
  #named: Logger | undefined;

  constructor(log: Logger, client: Endpoint) {
    this.#log = log;
    this.#client = client;
  }

  say(level: Level, text: string, what: object = {}): void {
    if (!this.#log.isLevelEnabled(level)) return;
    this.#named ??= this.#log.child({ client: endpointText(this.#client) });
    this.#named[level](what, text);
  }
}
