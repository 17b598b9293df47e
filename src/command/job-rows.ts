import { endsWithCopy, taskLabel, type Job, type Properties, type Task } from '../model/job.ts';
import { javaMapOrder, type Entry } from './java-map.ts';
import { currentOffsetJson, endOffsetJson, runningOffsetJson, splitsJson } from './offset-json.ts';
import type { TimeText } from './time-zone.ts';

/** How the manual prints a value that is missing: these two characters, not NULL (job-sql.md §3.3). */
const MISSING = String.raw`\N`;

/** A job's row of `jobs()`, in the order of its columns. */
export function jobRow(job: Job, timeText: TimeText): readonly string[] {
  const { scannedRows, loadBytes, filteredRows } = job.statistic;
  return [
    String(job.id),
    job.name,
    job.definer,
    'STREAMING',
    MISSING, // RecurringStrategy
    job.status,
    executeSql(job),
    timeText(job.createTimeMs),
    String(job.succeedTaskCount),
    String(job.failedTaskCount),
    String(job.canceledTaskCount),
    job.comment,
    propertiesJson(job.jobProperties),
    currentOffset(job),
    job.endPosition === undefined ? MISSING : endOffsetJson(job.endPosition),
    JSON.stringify({ scannedRows, loadBytes, fileNumber: 0, fileSize: 0, filteredRows }),
    job.failure?.message ?? MISSING,
    runtimeMessage(job),
  ];
}

/** `JobRuntimeMsg`: what is not an error and should be known all the same. A table or column is named once, whatever happened to it. */
function runtimeMessage({ leftOut = [], unheld = {}, statistic: { filteredRows } }: Job): string {
  return [
    ...(filteredRows === undefined
      ? []
      : [
          `${filteredRows} ${filteredRows === 1 ? 'row was' : 'rows were'} refused by Doris and dropped, as load.max_filter_ratio allows: they are missing in the target`,
        ]),
    ...leftOut.map(({ table, reason }) => `table ${table} is left out: ${reason}`),
    ...Object.entries(unheld).map(
      ([column, count]) =>
        `${count} ${count === 1 ? 'value' : 'values'} of column ${column} became NULL: zero or impossible dates, which Doris does not have`,
    ),
  ].join('; ');
}

/** A task's row of `tasks()`, in the order of its columns. */
export function taskRow(job: Job, task: Task, timeText: TimeText): readonly string[] {
  const { scannedRows, loadBytes, filteredRows } = task.statistic;
  return [
    String(task.id),
    String(job.id),
    job.name,
    taskLabel(job.id, task.id),
    task.status,
    task.errorMessage || MISSING,
    timeText(task.createTimeMs),
    task.startTimeMs === undefined ? MISSING : timeText(task.startTimeMs),
    task.finishTimeMs === undefined ? MISSING : timeText(task.finishTimeMs),
    MISSING, // TrackingUrl
    JSON.stringify({ scannedRows, loadBytes, filteredRows }),
    job.definer,
    '', // FirstErrorMsg
    task.startTimeMs === undefined ? MISSING : runningOffsetJson(task),
  ];
}

/** Before the first commit Doris has no offset, unless a statement has set one. */
function currentOffset(job: Job): string {
  if ((job.snapshotPending || endsWithCopy(job)) && !('offset' in job.jobProperties)) {
    return job.lastSplits === undefined ? MISSING : splitsJson(job.lastSplits);
  }
  const known = job.succeedTaskCount > 0 || 'offset' in job.jobProperties;
  if (!known || job.position === undefined) return MISSING;
  return currentOffsetJson(job.position, job.jobProperties['offset']);
}

/** job-sql.md §3.8. Values are not escaped; a password is not in the properties of a job. */
function executeSql(job: Job): string {
  const source = `FROM ${job.sourceType}(${propertyList(job.sourceProperties)} )`;
  const target = `TO DATABASE ${job.targetDatabase}`;
  const properties = propertyList(job.targetProperties);
  return properties === '' ? `${source} ${target}` : `${source} ${target} (${properties})`;
}

function propertyList(properties: Properties): string {
  const entries = Object.entries(properties).map(([key, value]): Entry<Entry<string>> => [
    // The manual's sample has `offset` where its former name belongs; people compare with the sample.
    key === 'offset' ? 'startup_mode' : key,
    [key, value],
  ]);
  return javaMapOrder(entries)
    .map(([, [key, value]]) => `'${key}'='${value}'`)
    .join(',');
}

function propertiesJson(properties: Properties): string {
  const entries = Object.entries(properties);
  if (entries.length === 0) return MISSING;
  const pairs = javaMapOrder(entries);
  return `{${pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}
