import { once } from 'node:events';
import net from 'node:net';

/** An address that stays while the server behind it is replaced: what a fail-over looks like to a client. */
export class MovingAddress implements AsyncDisposable {
  readonly host = '127.0.0.1';
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #target: number;

  private constructor(target: number) {
    this.#target = target;
    this.#server = net.createServer((client) => {
      const server = net.connect(this.#target, this.host);
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => undefined);
        from.once('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
  }

  /** @param target a port on 127.0.0.1. */
  static async open(target: number): Promise<MovingAddress> {
    const address = new MovingAddress(target);
    address.#server.listen(0, address.host);
    await once(address.#server, 'listening');
    return address;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Ends every connection; those made from now on go to `target`. */
  moveTo(target: number): void {
    this.#target = target;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
