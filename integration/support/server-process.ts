import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** `nobody` and `nogroup` on Debian: whom a server becomes that refuses to run as root. */
const UNPRIVILEGED = 65_534;
const LOG_CHARACTERS_MAX = 64 * 1024;

export const isRoot = process.getuid?.() === 0;

/** The path of `name` in PATH or in a directory that a user's PATH often lacks. */
export function findProgram(name: string): string | undefined {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
  ];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A port that was free a moment ago. Somebody may take it first, so whoever starts a server on it tries again. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

const folders = new Set<string>();
const children = new Map<ChildProcess, NodeJS.Signals>();

function cleanUp(): void {
  for (const [child, signal] of children) child.kill(signal);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

// The last line of defence against a test run that ends without disposing. A run that is killed
// never gets here: there the kernel signals the servers (`--pdeathsig` below).
process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    // A program with a handler of its own closes in its own order, and ends by `exit`.
    if (process.listenerCount(signal) > 0) return;
    cleanUp();
    process.kill(process.pid, signal);
  });
}

/** A new folder under the system's temporary one, removed at the end; `open`: an unprivileged server may write to it. */
export function temporaryFolder(name: string, open = false): string {
  const folder = mkdtempSync(join(tmpdir(), `djp-${name}-`));
  if (open && isRoot) chownSync(folder, UNPRIVILEGED, UNPRIVILEGED);
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  folders.delete(folder);
}

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** The program refuses to run as root: become `nobody` when we are. */
  readonly unprivileged?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** What makes the program end at once, its own children included. */
  readonly killSignal?: 'SIGKILL' | 'SIGQUIT';
}

/** A program that runs until it is told to stop, its output kept for error messages. Dies with this process. */
export class ServerProcess {
  readonly child: ChildProcess;
  readonly #exit: Promise<number | null>;
  readonly #killSignal: NodeJS.Signals;
  #log = '';

  constructor(command: Command) {
    this.#killSignal = command.killSignal ?? 'SIGKILL';
    const [program, args] = wrap(command, this.#killSignal);
    this.child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...command.env },
    });
    children.set(this.child, this.#killSignal);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_CHARACTERS_MAX);
      });
    }
    this.#exit = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.#log += String(error);
        children.delete(this.child);
        resolve(null);
      });
      this.child.once('close', (code) => {
        children.delete(this.child);
        resolve(code);
      });
    });
  }

  /** The last 64 K characters of stdout and stderr. */
  get log(): string {
    return this.#log;
  }

  get running(): boolean {
    return children.has(this.child);
  }

  /**
   * Asks `probe` until it does not throw.
   * @throws when the program ends first or `timeoutMs` pass; the message holds the end of the log.
   */
  async ready(probe: () => void | Promise<void>, timeoutMs = 60_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (!this.running)
        throw new Error(`server ended before it was ready:\n${this.#log.slice(-2000)}`);
      try {
        return await probe();
      } catch (cause) {
        if (Date.now() > deadline) {
          throw new Error(`server not ready after ${timeoutMs} ms:\n${this.#log.slice(-2000)}`, {
            cause,
          });
        }
      }
      await sleep(50);
    }
  }

  /** Sends `signal` and waits for the end; after `timeoutMs` the program is killed. */
  async stop(signal: NodeJS.Signals, timeoutMs = 30_000): Promise<number | null> {
    this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    const code = await this.#exit;
    clearTimeout(timer);
    return code;
  }

  /** Ends the program as a crash would, and waits until it is gone. */
  async kill(): Promise<void> {
    await this.stop(this.#killSignal);
  }
}

/** Runs a program to its end. */
export async function run(
  command: Command,
  options: { readonly input?: string; readonly timeoutMs?: number } = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const [program, args] = wrap(command, 'SIGKILL');
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...command.env },
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  // A program that ends without reading its input breaks the pipe; its exit code says what happened.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

/** As {@link run}. @throws when the program fails, with its error output. */
export async function runChecked(command: Command, timeoutMs?: number): Promise<string> {
  const result = await run(command, timeoutMs === undefined ? {} : { timeoutMs });
  if (result.code === 0) return result.stdout;
  const said = `${result.stdout}\n${result.stderr}`.trim().slice(-2000);
  throw new Error(`${command.program} ended with ${result.code}:\n${said}`);
}

function wrap(command: Command, deathSignal: NodeJS.Signals): [string, string[]] {
  const setpriv = findProgram('setpriv');
  if (setpriv === undefined) {
    if (command.unprivileged && isRoot)
      throw new Error('setpriv (util-linux) is needed to start this server as root');
    return [command.program, [...command.args]];
  }
  const become =
    command.unprivileged && isRoot
      ? [`--reuid=${UNPRIVILEGED}`, `--regid=${UNPRIVILEGED}`, '--clear-groups']
      : [];
  const death = `--pdeathsig=${deathSignal.replace('SIG', '')}`;
  return [setpriv, [...become, death, '--', command.program, ...command.args]];
}
