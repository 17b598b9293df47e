import {
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { ProxyError } from '../model/error.ts';

interface Owner {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot (`/proc/<pid>/stat`, field 22); '' where there is no /proc. */
  readonly startedAt: string;
  /** Where the pid means something: the host, and on Linux its pid namespace. Containers all call themselves 1. */
  readonly where: string;
}

/** A living owner touches its file this often, in milliseconds: the only sign of life that another container sees. */
const TOUCH_MS = 5_000;
/** An owner elsewhere that has not touched its file for so long is dead, in milliseconds. */
const SILENT_MS = 30_000;

function here(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

/**
 * Start time of a process, which together with its pid names it for good: pids are given again.
 * Undefined when there is no such process.
 */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command name, field 2, may hold blanks and parentheses; the fields after its last ')' do not.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    // No such process, or a system without /proc.
  }
  try {
    process.kill(pid, 0);
    return '';
  } catch {
    return undefined;
  }
}

function readOwner(file: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

/**
 * Keeps a second process out of the data directory: two runners of one job would load the same table at once.
 * A file left by a killed process is recognised by pid and start time and taken over; one that was left on another
 * host or in another container, where pids say nothing, by not having been touched for {@link SILENT_MS}.
 */
export class OwnerLock implements Disposable {
  readonly #file: string;
  readonly #touching: NodeJS.Timeout;

  private constructor(file: string) {
    this.#file = file;
    this.#touching = setInterval(() => touch(file), TOUCH_MS).unref();
  }

  /** @throws ProxyError STATEMENT when a living process owns `directory`. */
  static acquire(directory: string): OwnerLock {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const file = path.join(directory, 'owner.json');
    const aside = `${file}.${process.pid}`;
    const self: Owner = {
      pid: process.pid,
      startedAt: startTime(process.pid) ?? '',
      where: here(),
    };
    // Written aside and linked: nobody ever sees a file that does not name its owner yet.
    writeFileSync(aside, JSON.stringify(self), { mode: 0o600 });
    try {
      while (!linked(aside, file)) {
        expectDead(directory, file);
        removeDead(directory, file);
      }
    } finally {
      rmSync(aside, { force: true });
    }
    return new OwnerLock(file);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#touching);
    rmSync(this.#file, { force: true });
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function touch(file: string): void {
  try {
    const now = new Date();
    utimesSync(file, now, now);
  } catch {
    // Full or gone: the catalog will say so.
  }
}

function isAlive(owner: Owner, file: string): boolean {
  if (owner.where === here()) return startTime(owner.pid) === owner.startedAt;
  return Date.now() - statSync(file).mtimeMs < SILENT_MS;
}

function expectDead(directory: string, file: string): void {
  const owner = readOwner(file);
  if (owner === undefined || !isAlive(owner, file)) return;
  const elsewhere =
    owner.where === here()
      ? ''
      : ` on ${owner.where.split(' ')[0]} (or was until less than ${SILENT_MS / 1000} s ago)`;
  throw new ProxyError(
    'STATEMENT',
    `The data directory ${directory} is in use by process ${owner.pid}${elsewhere}. Stop it first, or give another --data-dir.`,
  );
}

/** Takes a dead owner's file away. Of two starters one may hold the other's fresh file then: it is put back. */
function removeDead(directory: string, file: string): void {
  const taken = `${file}.${process.pid}.dead`;
  try {
    renameSync(file, taken);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    expectDead(directory, taken);
  } catch (error) {
    linked(taken, file);
    throw error;
  } finally {
    rmSync(taken, { force: true });
  }
}
