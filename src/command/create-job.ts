import { ProxyError } from '../model/error.ts';
import type { Job, LeftOutTable, Properties, SourceType } from '../model/job.ts';
import type { Position } from '../model/offset.ts';
import type { TableSpec } from '../model/table.ts';
import { checkTable, createTable, identifier } from '../sink/table-ddl.ts';
import { ZONE_PROPERTY } from '../source/job-zone.ts';
import { ownNames } from '../source/postgres/own-names.ts';
import type { Source } from '../source/source.ts';
import type { CreateJob } from '../sql/job-statement.ts';
import type { Caller } from './commands.ts';
import { expectComputeGroup } from './compute-group.ts';
import type { JobParts } from './job-parts.ts';
import { nativeJobNames } from './native-jobs.ts';
import { parseOffsetJson } from './offset-json.ts';
import {
  checkJobProperties,
  checkSourceProperties,
  checkTargetProperties,
  expectRequiredSourceProperties,
  sessionVariables,
  skipsTables,
  tableSelection,
  toProperties,
} from './properties.ts';
import type { Rights } from './rights.ts';

/** Where a new job starts (job-sql.md §5.3). */
type Start = 'initial' | 'snapshot' | 'latest' | 'earliest' | { readonly position: Position };

const UNICODE_HINT =
  'names with letters beyond ASCII need enable_unicode_name_support = true in Doris, or "table.<name>.target_table" and "table.<name>.exclude_columns" here';

/** Shown of a job whose CREATE never came to its end. */
const CUT_OFF = {
  code: 'CANNOT_RESUME_ERR',
  message: 'CREATE JOB was not finished: DROP the job, and create it again',
} as const;

/** A table that Doris does not have yet. */
interface MissingTable {
  readonly name: string;
  readonly ddl: string;
}

/**
 * CREATE JOB: the checks in the order and with the texts of job-sql.md §2.4, then the target tables, then the job. One difference to
 * Doris: the name is looked up before anything is made, so that a refused statement leaves nothing behind. And no current
 * database is asked for, because the job has no use for one and the manual's statement has none.
 */
export class JobCreator {
  readonly #parts: JobParts;
  /** The end of the last statement's writing part: two of them must not take each other's new tables for old ones. */
  #writing: Promise<void> = Promise.resolve();

  constructor(parts: JobParts) {
    this.#parts = parts;
  }

  /** @throws ProxyError; FrontendError from the caller's connection. Nothing of the job is left then. */
  async create(statement: CreateJob, caller: Caller, rights: Rights): Promise<void> {
    const { ends } = statement;
    const sourceType = await this.#check(statement, caller, rights);
    const start = readStart(sourceType, ends.sourceProperties.get('offset') ?? 'initial');
    const { password = '', ...sourceProperties } = toProperties(ends.sourceProperties);
    const id = await this.#parts.catalog.nextId();
    // What a job without properties has is shown, and may be repeated in ALTER JOB (job-sql.md §3.8).
    const named = sourceType === 'POSTGRES' && start !== 'snapshot' ? ownNames(id) : {};
    const draft: Job = {
      id,
      name: statement.name,
      definer: rights.user,
      comment: statement.comment,
      sourceType,
      sourceProperties: { ...named, offset: 'initial', ...sourceProperties },
      targetDatabase: ends.targetDatabase,
      targetProperties: toProperties(ends.targetProperties),
      jobProperties: toProperties(statement.jobProperties),
      createTimeMs: this.#parts.now(),
      status: 'PENDING',
      succeedTaskCount: 0,
      failedTaskCount: 0,
      canceledTaskCount: 0,
      statistic: { scannedRows: 0, loadBytes: 0 },
      snapshotPending: start === 'initial' || start === 'snapshot',
      epoch: 1,
    };
    {
      // Step 14, the certificate, belongs to the opening.
      await using source = await this.#parts.openSource(draft, password);
      const job = withTimeZone(draft, await source.findTimeZone());
      await this.#prepare(source, job, { start, password }, rights);
    }
    this.#parts.scheduler.wake(draft.id);
  }

  /** Steps 1 to 11: everything that needs no source. */
  async #check(statement: CreateJob, caller: Caller, rights: Rights): Promise<SourceType> {
    const { name, ends } = statement;
    checkSourceProperties(ends.sourceProperties);
    checkTargetProperties(ends.targetProperties);
    const jobsMax = this.#parts.settings.get('max_streaming_job_num');
    if (this.#parts.catalog.jobs().length >= jobsMax) {
      throw refuse(`Exceed max streaming job num limit in fe.conf:${jobsMax}`);
    }
    rights.expectLoad(ends.targetDatabase);
    if (name === '') throw refuse('Job name can not be empty');
    if (name.startsWith('inner_')) throw refuse('job name can not start with inner_');
    this.#expectFreeName(name, await nativeJobNames(caller));
    // The caller may not see them all.
    this.#expectFreeName(name, new Set(await this.#parts.target.jobNames()));
    const sourceType = readSourceType(ends.sourceType);
    if (!(await this.#parts.target.databaseExists(ends.targetDatabase))) {
      throw refuse(`Target database ${ends.targetDatabase} does not exist`);
    }
    checkJobProperties(statement.jobProperties);
    await expectComputeGroup(caller, statement.jobProperties);
    for (const variable of sessionVariables(statement.jobProperties)) {
      await expectSessionVariable(caller, variable);
    }
    expectRequiredSourceProperties(sourceType, ends.sourceProperties);
    return sourceType;
  }

  /** What needs the source: the tables, the start position, and then everything that is made. */
  async #prepare(
    source: Source,
    draft: Job,
    { start, password }: { readonly start: Start; readonly password: string },
    rights: Rights,
  ): Promise<void> {
    const { tables, leftOut } = await this.#selectTables(source, draft, rights);
    // Should the process die before the end, there is a job that can be dropped, and no slot that nobody knows of.
    const reserved: Job = { ...draft, status: 'STOPPED', failure: CUT_OFF };
    await this.#parts.catalog.createJob(reserved, password);
    const made: string[] = [];
    try {
      const position = await startPosition(source, tables, start);
      const marked = (await source.mark?.(tables)) ?? tables;
      const job: Job = {
        ...draft,
        ...(leftOut.length === 0 ? {} : { leftOut }),
        ...(position === undefined ? {} : { position }),
        sourceProperties: withFoundTables(draft.sourceProperties, tables),
      };
      await this.#oneAtATime(async () => {
        // Looked up again, now that nobody else makes tables: what is not ours must not be dropped.
        for (const table of await this.#missingTables(draft, tables, rights)) {
          await this.#make(table);
          // Only now: a table that Doris did not say to have made may be somebody else's, and is left alone.
          made.push(table.name);
        }
        const make = (found: Job): Job => {
          if (found.epoch === draft.epoch) return job;
          throw refuse(`job ${draft.name} was dropped before it was made`);
        };
        await this.#parts.catalog.changeJob(draft.id, make, { tables: marked });
      });
    } catch (error) {
      await this.#undo(source, draft, made);
      await this.#parts.catalog.removeJob(draft.id);
      throw error;
    }
  }

  /** The tables that can be copied, as far as that can be known without making anything. */
  async #selectTables(
    source: Source,
    draft: Job,
    rights: Rights,
  ): Promise<{ readonly tables: readonly TableSpec[]; readonly leftOut: readonly LeftOutTable[] }> {
    const leftOut: LeftOutTable[] = [];
    const leaveOut = (table: string, reason: string): void => void leftOut.push({ table, reason });
    const skips = skipsTables(draft.sourceProperties);
    const selection = tableSelection(draft.sourceProperties);
    const tables = await source.preflight(selection, skips ? leaveOut : undefined);
    const refused = new Map<TableSpec, ProxyError>();
    await this.#missingTables(draft, tables, rights, refused);
    const errors = [...refused.values()];
    if (errors.length > 0 && (!skips || refused.size === tables.length)) {
      throw new ProxyError('TARGET_TABLE', errors.map(({ message }) => message).join('; '));
    }
    if (errors.length === 0) return { tables, leftOut };
    for (const [table, { message }] of refused) leaveOut(table.name, message);
    // What a source makes for itself, a publication, is for what its last preflight selected.
    const include = tables.filter((table) => !refused.has(table)).map(({ name }) => name);
    return { tables: await source.preflight({ ...selection, include }), leftOut };
  }

  /**
   * Checks the tables that Doris has; returns those that it lacks, which the caller may create. Makes nothing.
   *
   * @param refused takes what Doris cannot copy, instead of the error for it.
   */
  async #missingTables(
    draft: Job,
    tables: readonly TableSpec[],
    rights: Rights,
    refused?: Map<TableSpec, ProxyError>,
  ): Promise<readonly MissingTable[]> {
    const sources = new Map<string, string>();
    const missing: MissingTable[] = [];
    for (const table of tables) {
      const other = sources.get(table.target);
      if (other !== undefined) {
        throw refuse(
          `tables ${other} and ${table.name} have the same target table ${table.target}; set table.${table.name}.target_table`,
        );
      }
      sources.set(table.target, table.name);
      try {
        const ddl = await this.#ddlIfMissing(draft, table, rights);
        if (ddl !== undefined) missing.push({ name: table.target, ddl });
      } catch (error) {
        const isTables = error instanceof ProxyError && error.code === 'TARGET_TABLE';
        if (refused === undefined || !isTables) throw error;
        refused.set(table, error);
      }
    }
    return missing;
  }

  /** @throws ProxyError TARGET_TABLE when Doris cannot have, or has and should not have, such a table. */
  async #ddlIfMissing(draft: Job, table: TableSpec, rights: Rights): Promise<string | undefined> {
    const { targetDatabase } = draft;
    const existing = await this.#parts.target.describeTable(targetDatabase, table.target);
    if (existing !== undefined) {
      checkTable(targetDatabase, existing, table);
      return undefined;
    }
    rights.expectCreate(targetDatabase, table.target);
    return createTable(targetDatabase, table, draft.targetProperties);
  }

  /** What Doris says of a name that we cannot judge is said with its cure. */
  async #make({ ddl }: MissingTable): Promise<void> {
    try {
      await this.#parts.target.execute(ddl);
    } catch (cause) {
      const names = /^[\x20-\x7e\s]*$/.test(ddl) ? '' : UNICODE_HINT;
      if (names === '' || !(cause instanceof ProxyError) || cause.code !== 'TARGET_TABLE') {
        throw cause;
      }
      throw new ProxyError('TARGET_TABLE', `${cause.message}; ${names}`, { cause });
    }
  }

  /** Best effort: the statement has failed, and its own error is what the user must read. */
  async #undo(source: Source, draft: Job, made: readonly string[]): Promise<void> {
    for (const table of made) {
      const name = `${identifier(draft.targetDatabase)}.${identifier(table)}`;
      try {
        await this.#parts.target.execute(`DROP TABLE IF EXISTS ${name}`);
      } catch (error) {
        this.#parts.log.warn({ err: error, table }, 'table of a refused job was not dropped');
      }
    }
    try {
      await source.release();
    } catch (error) {
      this.#parts.log.warn(
        { err: error, job: draft.id },
        'source of a refused job was not cleaned up',
      );
    }
  }

  #expectFreeName(name: string, native?: ReadonlySet<string>): void {
    if (this.#parts.catalog.jobByName(name) !== undefined || native?.has(name) === true) {
      throw refuse(`job name exist, jobName:${name}`);
    }
  }

  async #oneAtATime(write: () => Promise<void>): Promise<void> {
    const mine = this.#writing.then(write);
    // The next one waits for the end of this one, not for its success.
    this.#writing = mine.catch(() => undefined);
    await mine;
  }
}

/** Undefined for a job that ends with the copy: it needs no place in the log, and in Postgres no slot. */
async function startPosition(
  source: Source,
  tables: readonly TableSpec[],
  start: Start,
): Promise<Position | undefined> {
  switch (start) {
    case 'snapshot':
      return undefined;
    case 'initial':
      return await source.safePosition();
    case 'latest':
      return await source.latestPosition();
    case 'earliest':
      return await source.earliestPosition();
    default:
  }
  // Makes what a stream needs at the source. Then the place is tried: its sender should learn now that the server lacks it.
  await source.latestPosition();
  try {
    await using _stream = await source.openStream(tables, start.position);
  } catch (cause) {
    if (!(cause instanceof ProxyError)) throw cause;
    const message = `Failed to init source reader, error: ${cause.message}`;
    throw new ProxyError(cause.code, message, { cause });
  }
  return start.position;
}

function readStart(type: SourceType, offset: string): Start {
  const mode = offset.trim().toLowerCase();
  if (mode.startsWith('{')) return { position: parseOffsetJson(type, offset) };
  if (mode === 'initial' || mode === 'snapshot' || mode === 'latest') return mode;
  if (mode === 'earliest' && type === 'MYSQL') return mode;
  throw refuse(`Invalid value for key 'offset': ${offset}`);
}

/** A job writes UTC unless it says another zone, so what nobody wrote and is UTC stays unwritten. */
function withTimeZone(draft: Job, zone: string): Job {
  const { sourceProperties } = draft;
  if (!(ZONE_PROPERTY in sourceProperties) && zone === 'UTC') return draft;
  return { ...draft, sourceProperties: { ...sourceProperties, [ZONE_PROPERTY]: zone } };
}

/**
 * What is shown and altered later is the list that was found, not a wish for all tables or for a pattern. A list of names
 * that were all found stays as it was written.
 */
function withFoundTables(properties: Properties, tables: readonly TableSpec[]): Properties {
  const found = tables.map((table) => table.name);
  const wanted = new Set(tableSelection(properties).include);
  if (wanted.size === found.length && found.every((name) => wanted.has(name))) return properties;
  return { ...properties, include_tables: found.join(',') };
}

/** Doris knows its variables; a job with a source ignores them (job-sql.md §5.2). */
async function expectSessionVariable(caller: Caller, name: string): Promise<void> {
  if (/^\w+$/.test(name)) {
    const { rows } = await caller.ask(`SHOW VARIABLES LIKE '${name}'`);
    if (rows.some(([found]) => found?.toLowerCase() === name.toLowerCase())) return;
  }
  throw refuse(`Invalid session variable, [${name}]`);
}

function readSourceType(written: string): SourceType {
  const type = written.toUpperCase();
  if (type === 'MYSQL' || type === 'POSTGRES') return type;
  throw refuse(`No enum constant org.apache.doris.job.common.DataSourceType.${type}`);
}

function refuse(message: string): ProxyError {
  return new ProxyError('STATEMENT', message);
}
