import { setImmediate as othersFirst } from 'node:timers/promises';
import { ProxyError } from '../model/error.ts';
import { isPunctuation } from '../sql/tokenizer.ts';
import {
  countParameters,
  placeholders,
  TVF_COLUMNS,
  type QueryText,
  type TvfName,
} from '../sql/tvf-call.ts';
import { readTvfQuery } from '../sql/tvf-parser.ts';
import type { TvfQuery } from '../sql/tvf-query.ts';
import { rewriteTvfQuery } from '../sql/tvf-rewrite.ts';
import { BIGINT } from '../wire/column-type.ts';
import {
  FrontendError,
  type Caller,
  type FrontendRows,
  type OwnStatement,
  type Parameter,
  type Reply,
} from './commands.ts';
import type { JobStore } from './job-parts.ts';
import { jobRow, taskRow } from './job-rows.ts';
import { nativeRows } from './native-jobs.ts';
import { Rights } from './rights.ts';
import { timeTextOf } from './time-zone.ts';
import { answerTvfQuery } from './tvf.ts';

/** Literal rows must fit into one statement of Doris (`max_allowed_packet`). */
const REWRITTEN_BYTES_MAX = 15 * 1024 * 1024;
/** A value takes so many bytes at least besides its own: CAST('' AS STRING) AS `x`. */
const VALUE_BYTES_MIN = 24;

/** Everybody's queries go through this thread: a thousand jobs with a hundred tasks each must not hold it up. In milliseconds. */
const ROWS_AT_ONCE_MS = 5;

type Row = readonly string[];

const NO_COLUMNS: FrontendRows = { columns: [], rows: [] };

/** What a client is told of a query over `jobs()` or `tasks()` before it runs. */
export function tvfForm(query: QueryText): Omit<OwnStatement, 'execute'> {
  const local = readTvfQuery(query);
  return {
    parameterCount: countParameters(query.tokens),
    columns: [],
    ...(local === undefined ? { describe: (caller) => askColumns(query, caller) } : headOf(local)),
  };
}

/** Runs it: answered here when it has the common shape, else by Doris over literal rows. */
export async function runTvf(
  catalog: JobStore,
  query: QueryText,
  parameters: readonly Parameter[],
  caller: Caller,
): Promise<Reply> {
  const local = readTvfQuery(query);
  if (local === undefined) return await rewrite(catalog, query, parameters, caller);
  const all = await tvfRows(catalog, caller, local.table);
  const rows = await answerTvfQuery(local, all, parameters);
  if (rows === undefined) return await rewrite(catalog, query, parameters, caller);
  return { kind: 'rows', ...headOf(local), rows };
}

function headOf({ columns }: TvfQuery): Pick<OwnStatement, 'columns' | 'types'> {
  const names = columns.map(({ name }) => name);
  const counts = columns[0]?.source === 'count';
  return counts ? { columns: names, types: names.map(() => BIGINT) } : { columns: names };
}

/**
 * Columns that Doris gives the query, which it answers here without any of our rows. A query that it does not take in this
 * form fails when it is executed, with Doris' own words.
 */
async function askColumns(query: QueryText, caller: Caller): Promise<FrontendRows> {
  const sql = rewriteTvfQuery(query, () => [], placeholders(query.tokens));
  const verb = query.tokens.find((token) => !isPunctuation(token, '('))?.text.toUpperCase();
  const explains = verb === 'EXPLAIN' || verb === 'DESC' || verb === 'DESCRIBE';
  if (!explains && verb !== 'SELECT' && verb !== 'WITH') return NO_COLUMNS;
  try {
    return await caller.ask(explains ? sql : `SELECT * FROM (${sql}) djp_described LIMIT 0`);
  } catch (error) {
    if (error instanceof FrontendError) return NO_COLUMNS;
    throw error;
  }
}

/** DESC FUNCTION: the columns, in Doris' form of a description. */
export function describeTvf(table: TvfName): OwnStatement {
  const columns = ['Field', 'Type', 'Null', 'Key', 'Default', 'Extra'];
  const rows = TVF_COLUMNS[table].map((name) => [name, 'text', 'No', 'false', null, 'NONE']);
  return {
    parameterCount: 0,
    columns,
    execute: () => Promise.resolve({ kind: 'rows', columns, rows }),
  };
}

async function rewrite(
  catalog: JobStore,
  query: QueryText,
  parameters: readonly Parameter[],
  caller: Caller,
): Promise<Reply> {
  const rows = new Map<TvfName, readonly Row[]>();
  for (const { name } of query.calls) {
    if (!rows.has(name)) rows.set(name, await tvfRows(catalog, caller, name));
  }
  // Before the text is made: a query may call them a thousand times.
  const sizes = new Map([...rows].map(([name, table]) => [name, leastBytes(table)]));
  const least = query.calls.reduce((sum, { name }) => sum + (sizes.get(name) ?? 0), 0);
  if (least > REWRITTEN_BYTES_MAX) throw tooManyRows();
  const sql = rewriteTvfQuery(query, (name) => rows.get(name) ?? [], parameters);
  if (Buffer.byteLength(sql) > REWRITTEN_BYTES_MAX) throw tooManyRows();
  return { kind: 'rewritten', sql };
}

/** Of the rows as literals. */
function leastBytes(rows: readonly Row[]): number {
  let bytes = 0;
  for (const row of rows) for (const value of row) bytes += value.length + VALUE_BYTES_MIN;
  return bytes;
}

function tooManyRows(): ProxyError {
  return new ProxyError(
    'STATEMENT',
    'jobs() and tasks() have too many rows for this form of query; select from one of them alone, with WHERE',
  );
}

/**
 * What the caller sees: jobs on whose target database they have LOAD (job-sql.md §3.4), and those of Doris itself. An idle
 * job's task is PENDING; `JobRuntimeMsg` does not say when the log is asked again, because it is followed.
 */
async function tvfRows(catalog: JobStore, caller: Caller, table: TvfName): Promise<readonly Row[]> {
  const all = catalog.jobs();
  const rights = all.length === 0 ? undefined : await Rights.of(caller);
  const jobs = all.filter((job) => rights?.mayLoad(job.targetDatabase) === true);
  const time = jobs.length === 0 ? String : await timeTextOf(caller);
  const ours: Row[] = [];
  let pauseAtMs = performance.now() + ROWS_AT_ONCE_MS;
  for (const job of jobs) {
    if (table === 'jobs') ours.push(jobRow(job, time));
    else for (const task of catalog.tasks(job.id)) ours.push(taskRow(job, task, time));
    if (performance.now() < pauseAtMs) continue;
    await othersFirst();
    pauseAtMs = performance.now() + ROWS_AT_ONCE_MS;
  }
  const rows = [...ours, ...(await nativeRows(caller, table))];
  // The sort is stable: within a job the newest task stays first.
  const jobId = TVF_COLUMNS[table].indexOf(table === 'jobs' ? 'Id' : 'JobId');
  return rows.toSorted((a, b) => Number(a[jobId]) - Number(b[jobId]));
}
