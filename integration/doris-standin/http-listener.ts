import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** Answers a request; `proceed` sends `100 Continue` if the client asked for it. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  proceed: () => void,
) => Promise<void>;

/** A `node:http` server on the loopback that hands `100 Continue` to the handler and never outlives it. */
export class HttpListener implements AsyncDisposable {
  readonly port: number;
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async open(port: number, handler: Handler): Promise<HttpListener> {
    // A load may take longer to arrive than Node's default of 300 s.
    const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 });
    const serve = (
      request: IncomingMessage,
      response: ServerResponse,
      proceed: () => void,
    ): void => {
      const { socket } = request;
      handler(request, response, proceed).catch((error: unknown) => {
        console.error('doris-standin: a request failed', error);
        socket.destroy();
      });
    };
    server.on('request', (request, response) => serve(request, response, () => undefined));
    // An Expect of any other value is as good to the FE (§1.2).
    server.on('checkExpectation', (request, response) => serve(request, response, () => undefined));
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
      serve(request, response, () => response.writeContinue()),
    );
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new HttpListener(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }
}

export function sendJson(response: ServerResponse, body: unknown): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}

export function sendNotFound(response: ServerResponse): void {
  response.statusCode = 404;
  response.end('Not Found');
}

/** The decoded parts of a request's path, and its query. */
export function splitUrl(request: IncomingMessage): {
  parts: string[];
  query: URLSearchParams;
  text: string;
} {
  const [path = '', text = ''] = (request.url ?? '').split('?', 2);
  return {
    parts: path.split('/').slice(1).map(decodeURIComponent),
    query: new URLSearchParams(text),
    text,
  };
}
