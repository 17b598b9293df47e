import { words } from './result.ts';
import { readDorisVersion } from './session-variables.ts';
import type { Session } from './session.ts';
import { quoteName, quoteText } from './store.ts';
import { holds } from './users.ts';

export type NativeJobStatus = 'RUNNING' | 'PAUSED' | 'FINISHED';

/** A run of a job's statement. */
export interface NativeTask {
  readonly id: number;
  readonly status: 'SUCCESS' | 'FAILED';
  readonly error: string;
  readonly startTimeMs: number;
  readonly finishTimeMs: number;
}

/** A job of Doris itself: an INSERT on a schedule. */
export interface NativeJob {
  readonly id: number;
  readonly name: string;
  readonly definer: string;
  readonly comment: string;
  readonly recurring: boolean;
  /** As `RecurringStrategy` shows it. */
  readonly strategy: string;
  readonly sql: string;
  /** Where it inserts: who may LOAD there sees it. */
  readonly target: readonly [database: string, table: string];
  readonly createTimeMs: number;
  status: NativeJobStatus;
  readonly tasks: NativeTask[];
}

/** How Doris writes that there is nothing: two characters. */
const NONE = String.raw`\N`;

const JOB_COLUMNS = words(
  `Id Name Definer ExecuteType RecurringStrategy Status ExecuteSql CreateTime SucceedTaskCount FailedTaskCount CanceledTaskCount Comment`,
);
const STREAMING_COLUMNS = words(
  'Properties CurrentOffset EndOffset LoadStatistic ErrorMsg JobRuntimeMsg',
);
const TASK_COLUMNS = words(
  'TaskId JobId JobName Label Status ErrorMsg CreateTime StartTime FinishTime TrackingUrl LoadStatistic User',
);

/** Columns of `jobs()` and `tasks()` as a release has them (job-sql.md §3.2); undefined for any other function. */
export function jobFunctionColumns(
  name: string,
  versionComment: string,
): readonly string[] | undefined {
  const [major = 0, minor = 0, patch = 0] = readDorisVersion(versionComment).split('.').map(Number);
  const release = major * 10_000 + minor * 100 + patch;
  if (name === 'TASKS') {
    return release < 40_000 ? TASK_COLUMNS : [...TASK_COLUMNS, 'FirstErrorMsg', 'RunningOffset'];
  }
  if (name !== 'JOBS') return undefined;
  if (release < 40_000) return JOB_COLUMNS;
  if (release < 40_100) return [...JOB_COLUMNS, ...STREAMING_COLUMNS];
  const lag = release < 40_104 ? words('Lag') : words('LagBytes LastSourceEventTimestamp');
  return [...JOB_COLUMNS, ...STREAMING_COLUMNS, ...lag, 'LastTaskSuccessTime'];
}

/** The rows of `jobs("type"="insert")` or `tasks(...)` that the session's user may see, as a derived table. */
export function jobFunctionSql(name: string, columns: readonly string[], session: Session): string {
  const seen = session.state.nativeJobs.filter(({ target: [database, table] }) =>
    holds(session.account, 'Load_priv', database, table),
  );
  const rows = name === 'JOBS' ? seen.map(jobRow) : seen.flatMap(taskRows);
  const select = (row: Readonly<Record<string, string>>): string => {
    const values = columns.map(
      (column) => `${quoteText(row[column] ?? NONE)} AS ${quoteName(column)}`,
    );
    return `SELECT ${values.join(', ')}`;
  };
  return rows.length === 0
    ? `(${select({})} WHERE false)`
    : `(${rows.map(select).join(' UNION ALL ')})`;
}

function jobRow(job: NativeJob): Readonly<Record<string, string>> {
  const count = (status: NativeTask['status']): string =>
    String(job.tasks.filter((task) => task.status === status).length);
  return {
    Id: String(job.id),
    Name: job.name,
    Definer: job.definer,
    ExecuteType: job.recurring ? 'RECURRING' : 'ONE_TIME',
    RecurringStrategy: job.strategy,
    Status: job.status,
    ExecuteSql: job.sql,
    CreateTime: timeText(job.createTimeMs),
    SucceedTaskCount: count('SUCCESS'),
    FailedTaskCount: count('FAILED'),
    CanceledTaskCount: '0',
    Comment: job.comment,
  };
}

function taskRows(job: NativeJob): readonly Readonly<Record<string, string>>[] {
  return job.tasks.map((task) => ({
    TaskId: String(task.id),
    JobId: String(job.id),
    JobName: job.name,
    Label: `${job.id}_${task.id}`,
    Status: task.status,
    ErrorMsg: task.error || NONE,
    CreateTime: timeText(task.startTimeMs),
    StartTime: timeText(task.startTimeMs),
    FinishTime: timeText(task.finishTimeMs),
    User: job.definer,
    FirstErrorMsg: '',
  }));
}

export const timeText = (ms: number): string =>
  new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
