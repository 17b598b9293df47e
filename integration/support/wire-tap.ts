import { once } from 'node:events';
import net from 'node:net';

/** Everything that one connection carried, in both directions. */
export interface Recording {
  readonly toServer: Buffer[];
  readonly toClient: Buffer[];
}

/** A plain TCP relay that keeps what passes, for comparing both sides of the proxy byte by byte. */
export class WireTap implements AsyncDisposable {
  readonly recordings: Recording[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(target: number) {
    this.#server = net.createServer((client) => {
      const recording: Recording = { toServer: [], toClient: [] };
      this.recordings.push(recording);
      const server = net.connect({ host: '127.0.0.1', port: target });
      for (const [from, to, kept] of [
        [client, server, recording.toServer],
        [server, client, recording.toClient],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (chunk: Buffer) => {
          kept.push(Buffer.from(chunk));
          to.write(chunk);
        });
        from.on('close', () => to.destroySoon()).on('error', () => undefined);
      }
    });
  }

  static async open(target: number): Promise<WireTap> {
    const tap = new WireTap(target);
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
