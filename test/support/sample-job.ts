import type { Job, Task } from '../../src/model/job.ts';

/** A new MySQL job without tables; `parts` is what a test cares about. */
export function sampleJob(parts: Partial<Job> = {}): Job {
  return {
    id: 1,
    name: 'j',
    definer: 'root',
    comment: '',
    sourceType: 'MYSQL',
    sourceProperties: {},
    targetDatabase: 'd',
    targetProperties: {},
    jobProperties: {},
    createTimeMs: 1,
    status: 'PENDING',
    succeedTaskCount: 0,
    failedTaskCount: 0,
    canceledTaskCount: 0,
    statistic: { scannedRows: 0, loadBytes: 0 },
    snapshotPending: true,
    epoch: 1,
    ...parts,
  };
}

/** A task of {@link sampleJob} that runs and has loaded nothing. */
export function sampleTask(parts: Partial<Task> = {}): Task {
  return {
    id: 1,
    jobId: 1,
    status: 'RUNNING',
    createTimeMs: 1,
    statistic: { scannedRows: 0, loadBytes: 0 },
    range: { kind: 'snapshot', splits: [] },
    loads: [],
    ...parts,
  };
}
