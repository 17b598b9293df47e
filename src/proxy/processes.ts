import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { Logger } from 'pino';
import type { Commands } from '../command/commands.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { StatementServer, type Peer, type ToClients, type ToOwner } from './owner-link.ts';

/** Wait before a process that died is replaced, in milliseconds: one that cannot start must not fill the log. */
const RESTART_MS = 1000;

/** Whether this is a process that serves clients on behalf of one that owns the jobs. */
export const servesClients = cluster.isWorker;

/**
 * The processes that serve clients, seen from the one that owns the jobs. They share a port; what is a statement of ours they have
 * the owner run.
 */
export class ClientProcesses implements AsyncDisposable {
  readonly #commands: Commands;
  readonly #log: Logger;
  readonly #timers = new Set<NodeJS.Timeout>();
  #closing = false;
  #address: Endpoint = { host: '', port: 0 };

  private constructor(commands: Commands, log: Logger) {
    this.#commands = commands;
    this.#log = log;
  }

  /**
   * Starts `count` of them, with this process' own arguments.
   * @throws Error when one ends before it listens; what it said is on stderr.
   */
  static async open(count: number, commands: Commands, log: Logger): Promise<ClientProcesses> {
    // Parameters of statements may be bigints, which JSON has not.
    cluster.setupPrimary({ serialization: 'advanced' });
    const processes = new ClientProcesses(commands, log);
    try {
      const addresses = Array.from({ length: count }, () => listening(processes.#fork()));
      const [address] = await Promise.all(addresses);
      if (address) processes.#address = address;
      for (const worker of workers()) processes.#replaceWhenDead(worker);
      return processes;
    } catch (error) {
      await processes[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where clients connect. */
  get address(): Endpoint {
    return this.#address;
  }

  /** Each stops accepting, lets its sessions end what they are at, and ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(
      workers().map(async (worker) => {
        const ended = once(worker, 'exit');
        worker.process.kill('SIGTERM');
        await ended;
      }),
    );
  }

  #fork(): Worker {
    const worker = cluster.fork();
    const statements = new StatementServer(
      {
        // What is sent to one that is just ending gets lost with it.
        send: (message) => worker.isConnected() && worker.send(message, undefined, noReport),
        listen: (hear) => worker.on('message', hear),
      },
      this.#commands,
    );
    worker.once('exit', () => statements[Symbol.dispose]());
    return worker;
  }

  #replaceWhenDead(worker: Worker): void {
    worker.once('exit', (code, signal) => {
      if (this.#closing) return;
      this.#log.error({ pid: worker.process.pid, code, signal }, 'a process for clients died');
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#replaceWhenDead(this.#fork());
      }, RESTART_MS);
      this.#timers.add(timer);
    });
  }
}

function workers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
}

function listening(worker: Worker): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    worker.once('listening', ({ address, port }) => resolve({ host: address, port }));
    worker.once('exit', (code) => {
      reject(new Error(`a process for clients ended with ${code} before it listened`));
    });
  });
}

/**
 * The process that owns the jobs, seen from one that serves clients.
 * @param onOrphaned the owner is gone: nobody would run what a statement asks for.
 */
export function ownerOf(onOrphaned: () => void): Peer<ToOwner, ToClients> {
  process.once('disconnect', onOrphaned);
  return {
    send: (message) => process.connected && process.send?.(message, undefined, undefined, noReport),
    listen: (hear) => process.on('message', hear),
  };
}

/** `send` would otherwise report a channel that has just closed as an error event that ends the process. */
function noReport(): void {}
