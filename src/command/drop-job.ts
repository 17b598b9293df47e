import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from '../model/job.ts';
import type { JobParts } from './job-parts.ts';

/** How long a DROP waits for the runner to stop, and for the source to be cleaned up, each, in milliseconds. */
const PATIENCE_MS = 10_000;

/**
 * DROP JOB: stops the job, removes what it made at its source, and forgets it with all its tasks. Cleaning up the
 * source is best effort, as in Doris (job-sql.md §2.8): a source that is gone must not keep the job alive. In this order, because a
 * crash in between leaves a STOPPED job that can be dropped again, and no slot that nobody knows of.
 */
export async function dropJob(parts: JobParts, job: Job): Promise<void> {
  const stopped = await parts.catalog.changeJob(job.id, (found) => ({
    ...found,
    status: 'STOPPED',
    epoch: found.epoch + 1,
  }));
  parts.scheduler.wake(job.id);
  await within(PATIENCE_MS, parts.scheduler.stopped(job.id));
  // A binlog is nobody's: only Postgres keeps something for a reader, and an active slot cannot be dropped before.
  if (job.sourceType === 'POSTGRES') {
    try {
      await within(PATIENCE_MS, release(parts, stopped));
    } catch (error) {
      parts.log.warn({ err: error, job: job.id }, 'source of a dropped job was not cleaned up');
    }
  }
  await parts.catalog.removeJob(job.id);
}

async function release(parts: JobParts, job: Job): Promise<void> {
  await using source = await parts.openSource(job, parts.catalog.password(job.id));
  await source.release();
}

/** Waits no longer than `ms`; what is still going on then goes on unobserved. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const late = sleep(ms, undefined, { signal: timer.signal }).catch(() => undefined);
  // When the wait is over first, a failure that comes later has no reader any more.
  work.catch(() => undefined);
  try {
    await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}
