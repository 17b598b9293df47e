import type { Batch, LoadBody } from '../encode/batch.ts';
import { ProxyError } from '../model/error.ts';
import {
  taskLabel,
  type Job,
  type JobStatistic,
  type SnapshotProgress,
  type Task,
  type TaskLoad,
  type TaskRange,
} from '../model/job.ts';
import type { JobContext, Loaded, LoadOptions } from './job-context.ts';
import { rangeText } from './range-text.ts';

/** Tables of one batch that are loaded at the same time. More would only take bandwidth from each other. */
const PARALLEL_LOADS = 4;

/** What a finished task changes besides its own record. */
export interface TaskEffect {
  change(job: Job): Job;
  readonly progress?: readonly SnapshotProgress[];
  /** The task that waits from then on. */
  readonly next?: Task;
}

/** `load.*` of the target properties; defaults that lose nothing: every bad row fails its load. */
function loadOptions(job: Job, task: Task): Omit<LoadOptions, 'maxFilterRatio'> {
  const computeGroup = job.jobProperties['compute_group'];
  const strict = job.targetProperties['load.strict_mode'];
  return {
    strictMode: strict === undefined || strict.toLowerCase() === 'true',
    ...(computeGroup === undefined ? {} : { computeGroup }),
    // The same number when a range is loaded again after a crash, a larger one for everything that is read later.
    sequence: task.sequence ?? task.id,
  };
}

/**
 * Loads a batch as one task: intent, loads, outcome.
 *
 * The range, the tables and the labels are on disk before the first byte is sent. Whatever happens
 * then, the next attempt finds them, reads the same range again and loads it under the same labels, so that Doris itself
 * says what it already has. The position moves in the transaction that removes the intent.
 *
 * @param waiting the task that was shown as PENDING until now, for this one to be.
 */
export async function runTask(
  context: JobContext,
  batch: Batch,
  range: TaskRange,
  effect: TaskEffect,
  signal: AbortSignal,
  waiting?: Task,
): Promise<void> {
  const number = await context.catalog.nextId();
  const id = waiting?.id ?? number;
  const bodies = batch.bodies();
  const label = taskLabel(context.jobId, id);
  const now = context.now();
  const unheld = batch.unheld();
  const task: Task = {
    id,
    jobId: context.jobId,
    status: 'RUNNING',
    createTimeMs: waiting?.createTimeMs ?? now,
    startTimeMs: now,
    statistic: { scannedRows: 0, loadBytes: 0 },
    ...(Object.keys(unheld).length === 0 ? {} : { unheld }),
    ...(waiting === undefined ? {} : { sequence: number }),
    range,
    loads: bodies.map((body, index) => ({
      target: body.table.target,
      label: bodies.length === 1 ? label : `${label}_${index}`,
    })),
  };
  await context.change((job) => job, { tasks: [task], intents: [task] });
  await loadTask(context, task, { scannedRows: batch.rows, bodies, fresh: true }, effect, signal);
}

/** The rows of a task. */
interface TaskRows {
  readonly scannedRows: number;
  readonly bodies: readonly LoadBody[];
  /** None of the task's labels was ever sent. */
  readonly fresh: boolean;
}

/** Sends what `task` promised and records the outcome. A failed task keeps its intent: Doris may have the rows all the same. */
export async function loadTask(
  context: JobContext,
  task: Task,
  { scannedRows, bodies, fresh }: TaskRows,
  effect: TaskEffect,
  signal: AbortSignal,
): Promise<void> {
  let [loadBytes, filteredRows] = [0, 0];
  try {
    const job = context.job();
    await checkPromise(context, job, task, bodies);
    const options = { ...loadOptions(job, task), fresh };
    const queue = [...bodies];
    const lane = async (): Promise<void> => {
      for (let body = queue.shift(); body !== undefined; body = queue.shift()) {
        const loaded = await loadTable(context, task, body, options, signal);
        loadBytes += loaded.loadBytes;
        filteredRows += loaded.filteredRows;
      }
    };
    await allSettledOrThrow(Array.from({ length: PARALLEL_LOADS }, lane));
  } catch (cause) {
    const error = located(cause, task);
    if (!signal.aborted && error instanceof ProxyError && error.code !== 'JOB_FENCED') {
      await recordFailure(context, task, error);
    }
    throw error;
  }
  const filtered = filteredRows === 0 ? {} : { filteredRows };
  await recordSuccess(context, task, { scannedRows, loadBytes, ...filtered }, effect);
}

/** Sends one table's rows; of the job's rows no more than its share may be dropped. */
async function loadTable(
  context: JobContext,
  task: Task,
  body: LoadBody,
  options: Omit<LoadOptions, 'maxFilterRatio'>,
  signal: AbortSignal,
): Promise<Loaded> {
  const database = context.job().targetDatabase;
  const label = labelOf(task, body);
  const allowance = context.filters.begin(body.rows);
  try {
    const rules = { ...options, maxFilterRatio: allowance.ratio };
    const loaded = await context.target.load(database, body, label, rules, signal);
    allowance.done(loaded.filteredRows);
    return loaded;
  } catch (error) {
    allowance.failed();
    throw error;
  }
}

/** What must be on disk before a byte is sent: the labels, and which columns the rows have. */
async function checkPromise(
  context: JobContext,
  job: Job,
  task: Task,
  bodies: readonly LoadBody[],
): Promise<void> {
  if (!context.catalog.hasIntent(job.id, task.id)) await context.violated('load_without_intent');
  if (!bodies.every(({ table }) => context.isRecorded(table))) {
    await context.violated('rows_without_schema');
  }
}

/** Refused rows are found again at the source by the part of it that they came from. */
function located(error: unknown, task: Task): unknown {
  if (!(error instanceof ProxyError) || error.code !== 'TARGET_DATA') return error;
  const message =
    `${error.message}; it came with ${rangeText(task.range)}. Change the column in Doris so that it takes the value, ` +
    'or let Doris drop such rows by ALTER JOB with load.max_filter_ratio, then RESUME JOB.';
  return new ProxyError(error.code, message, { cause: error });
}

/** @throws ProxyError UNDECODABLE when the range, read again, has rows of a table that it did not have before. */
function labelOf(task: Task, body: LoadBody): string {
  const load = task.loads.find((found: TaskLoad) => found.target === body.table.target);
  if (load === undefined) {
    throw new ProxyError(
      'UNDECODABLE',
      `Task ${task.id} was recorded without table ${body.table.target}, but its range now holds rows of it: ` +
        'the source has another history than before. DROP the job and create it again.',
    );
  }
  return load.label;
}

/** Waits for all, so that nothing runs on behind the error that is thrown. */
export async function allSettledOrThrow(promises: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(promises);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** Closes a task whose every load is visible. */
export async function recordSuccess(
  context: JobContext,
  task: Task,
  statistic: Task['statistic'],
  effect: TaskEffect,
): Promise<void> {
  const done: Task = { ...task, status: 'SUCCESS', finishTimeMs: context.now(), statistic };
  await context.change(
    (job) => {
      const { failure: _cured, ...sound } = effect.change(job);
      return {
        ...sound,
        succeedTaskCount: job.succeedTaskCount + 1,
        statistic: total(job.statistic, statistic),
        ...(task.unheld === undefined ? {} : { unheld: sum(job.unheld ?? {}, task.unheld) }),
      };
    },
    {
      tasks: effect.next === undefined ? [done] : [done, effect.next],
      settled: [task.id],
      ...(effect.progress === undefined ? {} : { progress: effect.progress }),
    },
  );
}

function total(a: JobStatistic, b: JobStatistic): JobStatistic {
  const filteredRows = (a.filteredRows ?? 0) + (b.filteredRows ?? 0);
  return {
    scannedRows: a.scannedRows + b.scannedRows,
    loadBytes: a.loadBytes + b.loadBytes,
    ...(filteredRows === 0 ? {} : { filteredRows }),
  };
}

type Counts = Readonly<Record<string, number>>;

function sum(a: Counts, b: Counts): Counts {
  const added = Object.entries(b).map(([name, count]): [string, number] => [
    name,
    (Object.hasOwn(a, name) ? a[name]! : 0) + count,
  ]);
  return { ...a, ...Object.fromEntries(added) };
}

async function recordFailure(context: JobContext, task: Task, error: ProxyError): Promise<void> {
  const failed: Task = {
    ...task,
    status: 'FAILED',
    errorMessage: error.message,
    finishTimeMs: context.now(),
  };
  await context.change((job) => ({ ...job, failedTaskCount: job.failedTaskCount + 1 }), {
    tasks: [failed],
    // Its range must be read again under other labels; what Doris has under these says nothing.
    ...(error.code === 'LABEL_TAKEN' ? { intents: [{ ...task, abandoned: true }] } : {}),
  });
}
