import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface AdminOptions {
  readonly host: string;
  readonly port: number;
  readonly metrics: Registry;
  /** Whether clients are served: `/readyz`. */
  ready(): boolean;
}

/** `/metrics`, `/healthz` and `/readyz`. Read-only and without secrets; it listens on loopback unless told otherwise. */
export class AdminServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws an Error with code EADDRINUSE or EACCES when the port cannot be had. */
  static async open(options: AdminOptions): Promise<AdminServer> {
    const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        answer(response, 405, 'only GET is answered here\n');
        return;
      }
      // Not by `new URL`: it throws at `//`, and what is thrown here ends the process.
      const [path = ''] = (request.url ?? '').split('?');
      respond(path, options, response).catch((error: unknown) => {
        answer(response, 500, `${error instanceof Error ? error.message : String(error)}\n`);
      });
    });
    server.listen(options.port, options.host);
    await once(server, 'listening');
    return new AdminServer(server);
  }

  /** `host:port` as bound. */
  get address(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

async function respond(
  path: string,
  options: AdminOptions,
  response: ServerResponse,
): Promise<void> {
  switch (path) {
    case '/healthz':
      answer(response, 200, 'ok\n');
      return;
    case '/readyz':
      if (options.ready()) answer(response, 200, 'ready\n');
      else answer(response, 503, 'not ready\n');
      return;
    case '/metrics':
      answer(response, 200, await options.metrics.metrics(), options.metrics.contentType);
      return;
    default:
      answer(response, 404, 'try /metrics, /healthz or /readyz\n');
  }
}

function answer(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}
