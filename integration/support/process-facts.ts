import { readdirSync, readFileSync } from 'node:fs';

/** What a process holds, as Linux tells it. */
export interface ProcessFacts {
  /** Open files, sockets among them. */
  readonly files: number;
  readonly threads: number;
  /** Resident memory now, and at its peak, in MB. */
  readonly residentMb: number;
  readonly peakMb: number;
}

export function processFacts(pid: number): ProcessFacts {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return {
    files: readdirSync(`/proc/${pid}/fd`).length,
    threads: field('Threads'),
    residentMb: field('VmRSS') / 1024,
    peakMb: field('VmHWM') / 1024,
  };
}
