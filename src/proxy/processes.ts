import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { Logger } from 'pino';
import type { JobScheduler } from '../command/job-parts.ts';
import type { Endpoint } from '../model/endpoint.ts';

/** Wait before a process that died is replaced, in milliseconds: one that cannot start must not fill the log. */
const RESTART_MS = 1000;

type ToOwner =
  | { readonly kind: 'wake'; readonly jobId: number }
  | { readonly kind: 'stopped'; readonly jobId: number; readonly request: number };

interface ToClients {
  readonly kind: 'stopped';
  readonly request: number;
}

/** Whether this is a process that serves clients on behalf of one that owns the jobs. */
export const servesClients = cluster.isWorker;

/**
 * The processes that serve clients, seen from the one that owns the jobs. They share a port, and the catalog's file; what a
 * statement has changed there they tell the owner, who alone decides what runs.
 */
export class ClientProcesses implements AsyncDisposable {
  readonly #scheduler: JobScheduler;
  readonly #log: Logger;
  readonly #timers = new Set<NodeJS.Timeout>();
  #closing = false;
  #address: Endpoint = { host: '', port: 0 };

  private constructor(scheduler: JobScheduler, log: Logger) {
    this.#scheduler = scheduler;
    this.#log = log;
  }

  /**
   * Starts `count` of them, with this process' own arguments.
   * @throws Error when one ends before it listens; what it said is on stderr.
   */
  static async open(count: number, scheduler: JobScheduler, log: Logger): Promise<ClientProcesses> {
    const processes = new ClientProcesses(scheduler, log);
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
    worker.on('message', (message: ToOwner) => this.#hear(worker, message));
    return worker;
  }

  #hear(worker: Worker, message: ToOwner): void {
    if (message.kind === 'wake') {
      this.#scheduler.wake(message.jobId);
      return;
    }
    const { request } = message;
    void this.#scheduler.stopped(message.jobId).then(() => {
      if (worker.isConnected()) worker.send({ kind: 'stopped', request } satisfies ToClients);
    });
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

/** The owner's scheduler, seen from a process that serves clients. */
export class OwnerScheduler implements JobScheduler {
  readonly #waiting = new Map<number, () => void>();
  #requests = 0;

  /** @param onOrphaned the owner is gone: nobody would run what a statement asks for. */
  constructor(onOrphaned: () => void) {
    process.on('message', ({ request }: ToClients) => {
      this.#waiting.get(request)?.();
      this.#waiting.delete(request);
    });
    process.once('disconnect', onOrphaned);
  }

  wake(jobId: number): void {
    tell({ kind: 'wake', jobId });
  }

  async stopped(jobId: number): Promise<void> {
    const request = ++this.#requests;
    await new Promise<void>((resolve) => {
      this.#waiting.set(request, resolve);
      tell({ kind: 'stopped', jobId, request });
    });
  }
}

function tell(message: ToOwner): void {
  process.send?.(message);
}
