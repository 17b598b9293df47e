import { once } from 'node:events';
import net from 'node:net';
import type { Logger } from 'pino';
import type { Commands } from '../command/commands.ts';
import { Roster } from '../lib/roster.ts';
import { endpointText, type Endpoint } from '../model/endpoint.ts';
import type { TlsOptions } from '../model/client-options.ts';
import { Frontends, type ClientEnds, type Route } from './frontend.ts';
import type { RootGuard } from './root-guard.ts';
import { endsOf, isTrusted, readSource } from './proxy-source.ts';
import { Session, type SessionOptions } from './session.ts';
import { NO_TLS } from './tls.ts';

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** In order of preference. */
  readonly frontends: readonly Endpoint[];
  readonly commands: Commands;
  /** Absent: no connection is encrypted. */
  readonly tls?: TlsOptions;
  /** Tell the FEs by PROXY lines who the clients are. */
  readonly proxyProtocol?: boolean;
  /** Whose connections begin with a PROXY header, which is believed. */
  readonly trusted?: net.BlockList | undefined;
  /** Absent: every FE is used. Otherwise only those that pass. */
  readonly guard?: RootGuard | undefined;
  readonly log: Logger;
  /** How long a client may take to log in, in milliseconds. */
  readonly loginTimeoutMs?: number;
  /** How long an FE may take for its first packet before the next one is tried, in milliseconds. */
  readonly greetingTimeoutMs?: number;
  /** How long sessions may go on after the listener was told to close, in milliseconds. */
  readonly drainTimeoutMs?: number;
  /** How long the FE may take for a question of ours, in milliseconds. */
  readonly askTimeoutMs?: number;
}

/** The way that clients take to the FEs. */
export function routeOf(
  options: Pick<ListenerOptions, 'frontends' | 'proxyProtocol' | 'greetingTimeoutMs'>,
): Route {
  return {
    addresses: options.frontends,
    greetingTimeoutMs: options.greetingTimeoutMs ?? 3000,
    proxyProtocol: options.proxyProtocol ?? false,
  };
}

/** Accepts MySQL clients and gives each a {@link Session}. */
export class Listener implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #sessions = new Roster<Session>();
  /** Trusted connections that have not said yet whom they are for. */
  readonly #unnamed = new Set<net.Socket>();
  readonly #drainTimeoutMs: number;
  #closing = false;
  /** Called when the last session of a closing listener has left. */
  #empty: () => void = () => undefined;
  #address: Endpoint = { host: '', port: 0 };

  private constructor(options: ListenerOptions) {
    this.#drainTimeoutMs = options.drainTimeoutMs ?? 10_000;
    const sessionOptions = {
      frontends: new Frontends(routeOf(options), options.guard),
      tls: options.tls ?? NO_TLS,
      commands: options.commands,
      log: options.log,
      loginTimeoutMs: options.loginTimeoutMs ?? 10_000,
      askTimeoutMs: options.askTimeoutMs ?? 60_000,
    };
    this.#server = net.createServer({ noDelay: true }, (socket) => {
      const ends = endsOf(socket);
      const { trusted } = options;
      if (trusted === undefined || !isTrusted(trusted, ends.source.host)) {
        this.#serve(socket, ends, sessionOptions);
        return;
      }
      this.#unnamed.add(socket);
      readSource(socket, sessionOptions.loginTimeoutMs)
        .then(
          (source) => this.#serve(socket, source ? { ...ends, source } : ends, sessionOptions),
          (error: Error) => {
            socket.destroy();
            const client = endpointText(ends.source);
            options.log.warn({ client, reason: error.message }, 'no PROXY header');
          },
        )
        .finally(() => this.#unnamed.delete(socket));
    });
  }

  #serve(client: net.Socket, ends: ClientEnds, options: SessionOptions): void {
    const session = new Session(client, ends, options, this.#left);
    this.#sessions.add(session);
    if (this.#closing) session.drain();
  }

  /** Listens. @throws the system's error when the address cannot be had. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    listener.#server.listen(options.port, options.host);
    await once(listener.#server, 'listening');
    const { address, port } = listener.#server.address() as net.AddressInfo;
    listener.#address = { host: address, port };
    return listener;
  }

  /** Where clients connect; the real port when 0 was asked for. */
  get address(): Endpoint {
    return this.#address;
  }

  /** Clients connected now. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  readonly #left = (session: Session): void => {
    this.#sessions.delete(session);
    if (this.#sessions.size === 0) this.#empty();
  };

  /** Stops accepting, closes each session when it waits for nothing, and all of them after the time limit. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#closing = true;
    for (const socket of this.#unnamed) socket.destroy();
    for (const session of this.#sessions) session.drain();
    const timer = setTimeout(() => {
      for (const session of this.#sessions) session.destroy();
    }, this.#drainTimeoutMs);
    if (this.#sessions.size > 0) await new Promise<void>((resolve) => (this.#empty = resolve));
    clearTimeout(timer);
  }
}
