import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { RunnerEvents, Runners } from './scheduler.ts';

/** To a worker thread. */
export type WorkerRequest =
  | { readonly kind: 'run'; readonly jobId: number; readonly epoch: number }
  | { readonly kind: 'stop'; readonly jobId: number }
  | { readonly kind: 'close' };

/** From a worker thread. */
export interface WorkerReport {
  readonly kind: 'ended';
  readonly jobId: number;
}

/** How long a closing thread may take to let go of its sockets before it is ended, in milliseconds. */
const CLOSE_MS = 5_000;

interface Thread {
  readonly worker: Worker;
  readonly jobs: Set<number>;
}

/**
 * Runs jobs in worker threads, so that a job that decodes at full speed is not seen in the latency of a relayed
 * query. A thread is started when there is a job for it; a job goes to the thread with the fewest.
 */
export class WorkerPool implements Runners {
  readonly #entry: URL;
  readonly #data: unknown;
  readonly #threadsMax: () => number;
  readonly #events: RunnerEvents;
  readonly #log: Logger;
  readonly #threads = new Set<Thread>();
  #closing = false;

  /**
   * @param options.entry The worker's module.
   * @param options.data What it is opened with; structured-cloneable.
   * @param options.threadsMax At least 1; asked whenever a thread might be started.
   */
  constructor(
    options: { entry: URL; data: unknown; threadsMax: () => number; log: Logger },
    events: RunnerEvents,
  ) {
    this.#entry = options.entry;
    this.#data = options.data;
    this.#threadsMax = options.threadsMax;
    this.#log = options.log;
    this.#events = events;
  }

  run(jobId: number, epoch: number): void {
    const thread = this.#pick();
    thread.jobs.add(jobId);
    this.#send(thread, { kind: 'run', jobId, epoch });
  }

  stop(jobId: number): void {
    for (const thread of this.#threads) {
      if (thread.jobs.has(jobId)) this.#send(thread, { kind: 'stop', jobId });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await Promise.all([...this.#threads].map((thread) => this.#close(thread)));
  }

  #pick(): Thread {
    const idlest = [...this.#threads].toSorted((a, b) => a.jobs.size - b.jobs.size)[0];
    const mayGrow = this.#threads.size < this.#threadsMax();
    if (idlest !== undefined && (idlest.jobs.size === 0 || !mayGrow)) return idlest;
    return this.#start();
  }

  #start(): Thread {
    const worker = new Worker(this.#entry, { workerData: this.#data, name: 'jobs' });
    const thread: Thread = { worker, jobs: new Set() };
    this.#threads.add(thread);
    worker.on('message', (report: WorkerReport) => {
      thread.jobs.delete(report.jobId);
      this.#events.ended(report.jobId);
    });
    worker.on('error', (error) => this.#log.error({ err: error }, 'worker thread failed'));
    worker.on('exit', (code) => {
      this.#threads.delete(thread);
      if (!this.#closing) this.#log.error({ code }, 'worker thread ended');
      for (const jobId of thread.jobs) this.#events.ended(jobId);
    });
    return thread;
  }

  #send(thread: Thread, request: WorkerRequest): void {
    thread.worker.postMessage(request);
  }

  async #close(thread: Thread): Promise<void> {
    const ended = new Promise((resolve) => {
      thread.worker.once('exit', resolve);
    });
    this.#send(thread, { kind: 'close' });
    const timer = setTimeout(() => void thread.worker.terminate(), CLOSE_MS);
    await ended;
    clearTimeout(timer);
  }
}
