import type { Along } from '../catalog/catalog.ts';
import { ProxyError } from '../model/error.ts';
import type { Job, Properties, Task } from '../model/job.ts';
import { ZONE_PROPERTY } from '../source/job-zone.ts';
import type { AlterJob, PropertyList } from '../sql/job-statement.ts';
import type { Caller } from './commands.ts';
import { expectComputeGroup } from './compute-group.ts';
import type { JobStore } from './job-parts.ts';
import { parseOffsetJson } from './offset-json.ts';
import {
  checkJobProperties,
  checkSourceProperties,
  checkTargetProperties,
  toProperties,
} from './properties.ts';

/** Source properties that name what is copied, or the source's own objects (job-sql.md §6). */
const FIXED_SOURCE_KEYS: ReadonlySet<string> = new Set([
  'jdbc_url',
  'database',
  'schema',
  'include_tables',
  'exclude_tables',
  'snapshot_parallelism',
  'snapshot_split_size',
  'slot_name',
  'publication_name',
  // Rows that are there already are written by the clocks of the zone that the job has.
  ZONE_PROPERTY,
]);

/**
 * ALTER JOB: steps 6 to 12 of job-sql.md §2.6, then the merge of the given lists over the stored ones, in one step with the
 * check that the job is still paused. The caller has checked existence and rights.
 *
 * @throws ProxyError STATEMENT
 */
export async function alterJob(
  catalog: JobStore,
  job: Job,
  statement: AlterJob,
  caller: Caller,
): Promise<void> {
  const password = catalog.password(job.id);
  const { ends } = statement;
  if (ends !== undefined) {
    if (ends.sourceType.toUpperCase() !== job.sourceType) {
      throw refuse("source type can't be modified in ALTER JOB");
    }
    if (ends.targetDatabase !== job.targetDatabase) {
      throw refuse("target database can't be modified in ALTER JOB");
    }
  }
  const source = ends?.sourceProperties ?? new Map<string, string>();
  const target = ends?.targetProperties ?? new Map<string, string>();
  const storedSource = { ...job.sourceProperties, password };
  const jobChanged = differs(statement.jobProperties, job.jobProperties);
  const sourceChanged = differs(source, storedSource);
  const targetChanged = differs(target, job.targetProperties);
  if (jobChanged) {
    checkJobChange(job, statement.jobProperties);
    await expectComputeGroup(caller, statement.jobProperties);
  }
  if (sourceChanged) checkSourceChange(source, storedSource);
  if (targetChanged) checkTargetProperties(target);
  if (!jobChanged && !sourceChanged && !targetChanged) {
    throw refuse(
      ends === undefined
        ? 'No properties or sql changed in ALTER JOB'
        : 'No properties or source or target properties changed in ALTER JOB',
    );
  }
  const { password: newPassword, ...sourceProperties } = toProperties(source);
  const offset = jobChanged ? statement.jobProperties.get('offset') : undefined;
  await catalog.changeJob(
    job.id,
    (found) => {
      expectPaused(found);
      return {
        ...found,
        jobProperties: { ...found.jobProperties, ...toProperties(statement.jobProperties) },
        sourceProperties: { ...found.sourceProperties, ...sourceProperties },
        targetProperties: { ...found.targetProperties, ...toProperties(target) },
        ...(offset === undefined ? {} : { position: parseOffsetJson(found.sourceType, offset) }),
        epoch: found.epoch + 1,
      };
    },
    alongOf(catalog, job, newPassword, offset),
  );
}

/** @throws ProxyError STATEMENT */
export function expectPaused(job: Job): void {
  if (job.status !== 'PAUSED') throw refuse('Only PAUSED job can be altered');
}

/** A new position makes tasks of the log whose outcome is in doubt pointless: settling them would move the position back. */
function alongOf(
  catalog: JobStore,
  job: Job,
  password: string | undefined,
  offset: string | undefined,
): Along {
  return {
    ...(password === undefined ? {} : { password }),
    ...(offset === undefined ? {} : { intents: catalog.intents(job.id).map(abandoned) }),
  };
}

/** Not forgotten: a load that still runs must not become visible after newer rows. */
function abandoned(task: Task): Task {
  return task.range.kind === 'stream' ? { ...task, abandoned: true } : task;
}

function checkJobChange(job: Job, list: PropertyList): void {
  checkJobProperties(list);
  const offset = list.get('offset');
  if (offset === undefined || offset === job.jobProperties['offset']) return;
  if (!offset.trim().startsWith('{')) {
    throw refuse(
      `ALTER JOB for CDC only supports JSON specific offset, e.g. '{"file":"binlog.000001","pos":"154"}' for MySQL or '{"lsn":"12345678"}' for PostgreSQL`,
    );
  }
  parseOffsetJson(job.sourceType, offset);
}

function checkSourceChange(list: PropertyList, stored: Properties): void {
  checkSourceProperties(list);
  for (const [key, value] of list) {
    if (stored[key] === value) continue;
    if (key === 'offset') {
      throw refuse(
        "The offset in source properties cannot be modified in ALTER JOB. Use PROPERTIES('offset'='{...}') to alter offset",
      );
    }
    if (FIXED_SOURCE_KEYS.has(key) || key.startsWith('table.')) {
      throw refuse(`The ${key} property cannot be modified in ALTER JOB`);
    }
  }
}

/** Doris compares the list that is given with the whole list that is stored (job-sql.md §2.6). */
function differs(given: PropertyList, stored: Properties): boolean {
  if (given.size === 0) return false;
  const same = [...given].every(([key, value]) => stored[key] === value);
  return !same || given.size !== Object.keys(stored).length;
}

function refuse(message: string): ProxyError {
  return new ProxyError('STATEMENT', message);
}
