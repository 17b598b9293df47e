import { Batch } from '../encode/batch.ts';
import { ProxyError } from '../model/error.ts';
import { canceled, type DroppedLoad, type Task, type TaskLoad } from '../model/job.ts';
import type { Position } from '../model/offset.ts';
import type { JobContext } from './job-context.ts';
import { settleEmptying } from './emptying.ts';
import { allSettledOrThrow, loadTask, recordSuccess } from './task-journal.ts';

/** Labels that are closed at the same time: a batch may have had a thousand tables. */
const FENCES = 8;

/**
 * Closes the labels under which a dropped job may still have loads on the way into tables of this one. Until then the job is PENDING and
 * says what it waits for: a row of the dropped job would otherwise come back over a newer one.
 */
export async function fenceDropped(context: JobContext, signal: AbortSignal): Promise<void> {
  const { targetDatabase } = context.job();
  const targets = new Set(context.tables.map(({ target }) => target));
  const dropped = context.catalog
    .droppedLoads()
    .filter(({ database, target }) => database === targetDatabase && targets.has(target));
  const [first] = dropped;
  if (first === undefined) return;
  const what = first.partitions === undefined ? `load ${first.label}` : 'a TRUNCATE';
  const more = dropped.length === 1 ? '' : `, and ${dropped.length - 1} more like it`;
  const message =
    `Waiting for what the dropped job ${first.job} left behind: ${what} may still come into ` +
    `table ${targetDatabase}.${first.target}${more}`;
  context.log.info({ label: first.label, loads: dropped.length }, 'fencing loads of a dropped job');
  await context.change((job) => ({ ...job, failure: { code: 'INTERNAL_ERR', message } }));
  await inLanes(dropped, async ({ database, ...load }: DroppedLoad) => {
    await close(context, database, load, signal);
    await context.catalog.forgetDropped(load.label);
  });
  await context.change(({ failure: _cured, ...job }) => job);
}

/**
 * Clears up what an earlier attempt may or may not have loaded, before anything new is read.
 *
 * What is read again with other bytes is loaded under other labels, so the old ones are closed first: a load that is still on the way
 * could otherwise become visible after newer rows of the same keys.
 */
export async function recover(context: JobContext, signal: AbortSignal): Promise<void> {
  for (const task of context.catalog.intents(context.jobId)) {
    context.log.info({ task: task.id, range: task.range.kind }, 'settling an earlier task');
    if (task.range.kind === 'snapshot' || task.abandoned) await abandon(context, task, signal);
    else await settleStream(context, task, task.range, signal);
  }
}

/**
 * A snapshot's splits are not finished until their task is: they are read again, with newer rows, under new labels.
 * So is whatever belongs to a range of the log that a statement has moved the job away from.
 */
async function abandon(context: JobContext, task: Task, signal: AbortSignal): Promise<void> {
  const database = context.job().targetDatabase;
  await inLanes(task.loads, (load) => close(context, database, load, signal));
  // A task that failed, or that a PAUSE has cancelled, is shown so already.
  const shown = context.catalog.tasks(context.jobId).find(({ id }) => id === task.id);
  const isLoad = task.loads.some(({ partitions }) => partitions === undefined);
  const live = isLoad && (shown === undefined || shown.status === 'RUNNING');
  await context.change((job) => job, {
    ...(live ? { tasks: [canceled(task)] } : {}),
    settled: [task.id],
  });
}

/** Nothing more comes of it afterwards. */
async function close(
  context: JobContext,
  database: string,
  { target, label, partitions }: TaskLoad,
  signal: AbortSignal,
): Promise<void> {
  const group = context.job().jobProperties['compute_group'];
  if (partitions === undefined) await context.target.fence(database, target, label, signal, group);
  else await settleEmptying(context, { database, target, partitions }, signal);
}

/** The range is read again, exactly, and what Doris lacks of it is loaded under the recorded labels. */
async function settleStream(
  context: JobContext,
  task: Task,
  range: { readonly from: Position; readonly to?: Position },
  signal: AbortSignal,
): Promise<void> {
  const { to } = range;
  if (to === undefined) throw new ProxyError('UNDECODABLE', `task ${task.id} has no end`);
  const effect = { change: <T extends object>(job: T) => ({ ...job, position: to }) };
  const missing = await missingTargets(context, task, signal);
  if (missing.size === 0) {
    await recordSuccess(context, task, task.statistic, effect);
    return;
  }
  const batch = new Batch();
  await using stream = await context.source.openStream(context.tables, range.from);
  const limit = { rowsMax: Infinity, bytesMax: Infinity, ageMs: 0, until: to };
  await stream.fill(batch, { ...limit, idleMs: context.limits.idleMs }, signal);
  const bodies = batch.bodies().filter((body) => missing.has(body.table.target));
  const running: Task = { ...task, status: 'RUNNING' };
  const rows = { scannedRows: batch.rows, bodies, fresh: false };
  await loadTask(context, running, rows, effect, signal);
}

/** Targets whose rows of the task are not in Doris. */
async function missingTargets(
  context: JobContext,
  task: Task,
  signal: AbortSignal,
): Promise<Set<string>> {
  const database = context.job().targetDatabase;
  const missing = new Set<string>();
  await inLanes(task.loads, async (load: TaskLoad) => {
    const state = await context.target.settle(database, load.label, signal);
    if (state === 'absent') missing.add(load.target);
  });
  return missing;
}

async function inLanes<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await run(item);
  };
  await allSettledOrThrow(Array.from({ length: FENCES }, lane));
}
