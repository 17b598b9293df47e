import { once } from 'node:events';
import net from 'node:net';

/** Everything that one connection carried, in both directions. */
export interface Recording {
  readonly toServer: Buffer[];
  readonly toClient: Buffer[];
}

/** A plain TCP relay that keeps what passes, for comparing both sides of the proxy byte by byte; it may pass it on in small pieces. */
export class WireTap implements AsyncDisposable {
  readonly recordings: Recording[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(target: number, pieces: (() => number) | undefined) {
    this.#server = net.createServer({ noDelay: true }, (client) => {
      const recording: Recording = { toServer: [], toClient: [] };
      this.recordings.push(recording);
      const server = net.connect({ host: '127.0.0.1', port: target, noDelay: true });
      for (const [from, to, kept] of [
        [client, server, recording.toServer],
        [server, client, recording.toClient],
      ] as const) {
        this.#sockets.add(from);
        let passed = Promise.resolve();
        from.on('data', (chunk: Buffer) => {
          kept.push(Buffer.from(chunk));
          if (pieces === undefined) to.write(chunk);
          else passed = passed.then(() => inPieces(to, chunk, pieces));
        });
        from
          .on('close', () => void passed.then(() => to.destroySoon()))
          .on('error', () => undefined);
      }
    });
  }

  /** @param pieces gives the length of each next piece, at least 1. Without it bytes are passed on as they come. */
  static async open(target: number, pieces?: () => number): Promise<WireTap> {
    const tap = new WireTap(target, pieces);
    tap.#server.listen(0, '127.0.0.1');
    await once(tap.#server, 'listening');
    return tap;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

async function inPieces(to: net.Socket, chunk: Buffer, length: () => number): Promise<void> {
  for (let at = 0; at < chunk.length;) {
    const end = at + length();
    to.write(chunk.subarray(at, end));
    at = end;
    // A turn for each: what is written in one is sent in one.
    await new Promise(setImmediate);
  }
}
