import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ProxyError } from '../model/error.ts';

interface Owner {
  readonly pid: number;
  /** Start time of the process in clock ticks since boot (`/proc/<pid>/stat`, field 22); '' where there is no /proc. */
  readonly startedAt: string;
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
 * A file left by a killed process is recognised by pid and start time and taken over.
 */
export class OwnerLock implements Disposable {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** @throws ProxyError STATEMENT when a living process owns `directory`. */
  static acquire(directory: string): OwnerLock {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const file = path.join(directory, 'owner.json');
    const self: Owner = { pid: process.pid, startedAt: startTime(process.pid) ?? '' };
    for (;;) {
      try {
        writeFileSync(file, JSON.stringify(self), { flag: 'wx', mode: 0o600 });
        return new OwnerLock(file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const owner = readOwner(file);
      if (owner !== undefined && startTime(owner.pid) === owner.startedAt) {
        throw new ProxyError(
          'STATEMENT',
          `The data directory ${directory} is in use by process ${owner.pid}. Stop it first, or give another --data-dir.`,
        );
      }
      rmSync(file, { force: true });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.#file, { force: true });
  }
}
