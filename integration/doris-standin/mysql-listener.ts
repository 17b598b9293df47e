import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type ConnectionShare, MysqlConnection } from './mysql-connection.ts';
import type { State } from './state.ts';

/** The FE's MySQL port on the loopback. */
export class MysqlListener implements AsyncDisposable {
  readonly port: number;
  private readonly server: Server;
  private readonly sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.server = server;
    this.sockets = sockets;
    this.port = (server.address() as AddressInfo).port;
  }

  static async open(state: State, port: number): Promise<MysqlListener> {
    const sockets = new Set<Socket>();
    const globals = new Map([['version_comment', state.settings.versionComment]]);
    const share: ConnectionShare = { state, sessions: new Map(), globals };
    let lastId = 0;
    const server = createServer({ noDelay: true }, (socket) => {
      if (state.faults.take('feDown') !== undefined) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      new MysqlConnection(socket, ++lastId, share).serve().catch((error: unknown) => {
        console.error('doris-standin: a connection failed', error);
      });
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new MysqlListener(server, sockets);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}
