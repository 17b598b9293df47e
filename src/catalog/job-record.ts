import type { Job } from '../model/job.ts';
import type { TableSpec } from '../model/table.ts';
import { tableId } from '../model/table.ts';
import type { Put } from './record.ts';

/**
 * A job lies in the catalog in three parts, because it is written several times a second: its state, which changes with every
 * batch; its definition, which names every table of it and changes with ALTER JOB; and its tables with all their columns, megabytes of
 * them, which hardly ever change.
 */
const STATE_FIELDS = {
  status: true,
  failure: true,
  succeedTaskCount: true,
  failedTaskCount: true,
  canceledTaskCount: true,
  statistic: true,
  unheld: true,
  snapshotPending: true,
  lastSplits: true,
  position: true,
  endPosition: true,
  epoch: true,
} as const;

type StateField = keyof typeof STATE_FIELDS;

export type JobDefinition = Omit<Job, StateField>;

/** The record of a job's state. */
export interface JobState {
  readonly id: number;
  /** Revision of the definition that it belongs to. */
  readonly definition: number;
  readonly now: Pick<Job, StateField>;
}

const isState = (name: string): boolean => Object.hasOwn(STATE_FIELDS, name);

export function splitJob(
  job: Job,
  revision: number,
): { readonly definition: JobDefinition; readonly state: JobState } {
  const entries = Object.entries(job);
  const definition = Object.fromEntries(entries.filter(([name]) => !isState(name)));
  const now = Object.fromEntries(entries.filter(([name]) => isState(name)));
  return {
    definition: definition as unknown as JobDefinition,
    state: { id: job.id, definition: revision, now: now as unknown as JobState['now'] },
  };
}

/** Not by spreading, which takes ten times as long: `jobs()` does it for every job. */
export function joinJob(definition: JobDefinition, { now }: JobState): Job {
  return Object.assign({}, definition, now);
}

/** Whether a change left the definition alone: it then hands on the very objects that it was given. */
export function sameDefinition(a: Job, b: Job): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]) as ReadonlySet<keyof Job>;
  return [...names].every((name) => isState(name) || a[name] === b[name]);
}

const ID_DIGITS = 16;

/** A number as part of a key: in the order of the numbers. */
export const idText = (value: number): string => String(value).padStart(ID_DIGITS, '0');

/** Keys of a job's records; what ends with a slash begins the keys of several. */
export const KEY = {
  state: (jobId: number): string => `job/${idText(jobId)}`,
  definition: (jobId: number): string => `definition/${idText(jobId)}`,
  tables: (jobId: number): string => `table/${idText(jobId)}/`,
  tasks: (jobId: number): string => `task/${idText(jobId)}/`,
  intents: (jobId: number): string => `intent/${idText(jobId)}/`,
  progress: (jobId: number): string => `progress/${idText(jobId)}/`,
  secret: (jobId: number): string => `secret/${idText(jobId)}`,
  dropped: (label: string): string => `dropped/${label}`,
} as const;

export function tablePuts(jobId: number, tables: readonly TableSpec[]): Put[] {
  return tables.map((table) => [KEY.tables(jobId) + tableId(table), table]);
}

/** A new job's records. */
export function newJobPuts(job: Job, tables: readonly TableSpec[]): Put[] {
  // The first revision of a record is 1.
  const { definition, state } = splitJob(job, 1);
  return [
    [KEY.state(job.id), state],
    [KEY.definition(job.id), definition],
    ...tablePuts(job.id, tables),
  ];
}

/** A job as format 1 had it, one record; what makes it a job of format 2. */
export function upgradedJobPuts({
  tables,
  ...job
}: Job & { readonly tables: readonly TableSpec[] }): Put[] {
  return newJobPuts(job, tables);
}
