import { ProxyError } from '../model/error.ts';
import { taskLabel, type Task, type TaskLoad, type TaskRange } from '../model/job.ts';
import type { TableSpec } from '../model/table.ts';
import type { JobContext } from './job-context.ts';

/**
 * For how long a TRUNCATE of unknown fate must neither have run nor be seen running, while the FEs answer, before it is believed to be
 * lost with its connection, in milliseconds.
 */
const QUIET_MS = 10_000;
/** After this time with a TRUNCATE that still runs the job says what it waits for, in milliseconds. */
const RUNNING_MS = 50_000;
const POLL_MS = 500;

/**
 * Empties tables between two batches. What is loaded next must not be emptied again by a statement that Doris was slow to run: so the
 * statement is on disk, with the table's partitions, before it is sent. After a broken connection or a crash {@link settleEmptying} waits
 * until it has run or is lost, before anything else happens.
 *
 * @throws ProxyError TARGET_*; the intent stays then.
 */
export async function emptyTables(
  context: JobContext,
  tables: readonly TableSpec[],
  range: TaskRange,
): Promise<void> {
  const { catalog, jobId, target: doris } = context;
  const { targetDatabase } = context.job();
  const id = await catalog.nextId();
  const loads: TaskLoad[] = [];
  for (const [index, { target }] of tables.entries()) {
    const { partitions } = await doris.emptying(targetDatabase, target);
    loads.push({ target, label: `${taskLabel(jobId, id)}_${index}`, partitions });
  }
  const intent: Task = {
    id,
    jobId,
    status: 'RUNNING',
    createTimeMs: context.now(),
    statistic: { scannedRows: 0, loadBytes: 0 },
    range,
    loads,
    abandoned: true,
  };
  await context.change((job) => job, { intents: [intent] });
  for (const { target } of tables) await doris.truncate(targetDatabase, target);
  await context.change((job) => job, { settled: [id] });
}

/** None of the old partitions is left. One more is no sign: dynamic partitions come by themselves. */
function hasRun(before: string, now: string): boolean {
  if (before === '' || now === '') return false;
  const old = new Set(before.split(','));
  return now.split(',').every((id) => !old.has(id));
}

/**
 * Returns when a TRUNCATE whose answer never came has run, or never will. It has run when the table has other partitions: Doris makes new
 * ones and puts them in the place of the old (apache/doris issue 375, "Support TRUNCATE TABLE stmt"). One that is half done when the
 * next one runs fails, because the partitions that it began with are gone.
 *
 * @param partitions those of the table before the statement.
 * @throws ProxyError TARGET_BUSY when it still runs; TARGET_* when the FEs do not say; the reason of `signal`.
 */
export async function settleEmptying(
  context: JobContext,
  at: { readonly database: string; readonly target: string; readonly partitions: string },
  signal: AbortSignal,
): Promise<void> {
  const startedAt = context.now();
  let quietFrom = startedAt;
  for (;;) {
    const { partitions, running } = await context.target.emptying(at.database, at.target);
    if (hasRun(at.partitions, partitions)) return;
    const now = context.now();
    if (running) quietFrom = now;
    if (now - quietFrom >= QUIET_MS) return;
    if (now - startedAt >= RUNNING_MS) {
      throw new ProxyError(
        'TARGET_BUSY',
        `TRUNCATE TABLE ${at.database}.${at.target} was sent and still runs in Doris, or may run at an FE that does not answer; nothing is loaded before its end`,
      );
    }
    await context.sleep(POLL_MS, signal);
  }
}
