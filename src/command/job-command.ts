import { ProxyError } from '../model/error.ts';
import { canceled, canTransition, type Job, type JobStatus, type Task } from '../model/job.ts';
import type { JobStatement } from '../sql/job-statement.ts';
import { maskSecrets } from '../sql/mask.ts';
import { alterJob, expectPaused } from './alter-job.ts';
import type { Caller, Commands, OwnStatement, Parameter, Reply } from './commands.ts';
import { JobCreator } from './create-job.ts';
import { dropJob } from './drop-job.ts';
import { runConfigStatement } from './frontend-config.ts';
import type { JobParts } from './job-parts.ts';
import { nativeJobNames } from './native-jobs.ts';
import { ownStatement, type OwnText, type RunOwn } from './own-statement.ts';
import { Rights } from './rights.ts';
import { runTvf } from './tvf-command.ts';

const OK: Reply = { kind: 'ok' };

/** The words before every refusal that is not Doris' own (job-sql.md §2.1): clients and tools look for them. */
const PREFIX = 'errCode = 2, detailMessage = ';

type NamedStatement = Exclude<JobStatement, { kind: 'create' | 'invalid' }>;

/**
 * The statements that the proxy answers itself: those of streaming jobs, and queries over `jobs()` and `tasks()`.
 * Every statement of a job leaves one line in the log.
 */
export class JobCommands implements Commands {
  readonly #parts: JobParts;
  readonly #creator: JobCreator;

  constructor(parts: JobParts) {
    this.#parts = parts;
    this.#creator = new JobCreator(parts);
  }

  recognize(sql: string): OwnStatement | undefined {
    return ownStatement(sql, this.#run);
  }

  readonly #run: RunOwn = async (own, parameters, caller) => {
    try {
      return await this.#execute(own, parameters, caller);
    } catch (error) {
      throw toClient(error);
    }
  };

  async #execute(
    { sql, recognized }: OwnText,
    parameters: readonly Parameter[],
    caller: Caller,
  ): Promise<Reply | 'relay'> {
    const { catalog, settings } = this.#parts;
    switch (recognized.kind) {
      case 'query':
        return await runTvf(catalog, recognized.query, parameters, caller);
      case 'native':
        return await this.#relayUnlessTaken(sql, recognized.names, caller);
      case 'config':
        return await this.#audited(sql, caller, (rights) =>
          runConfigStatement(settings, recognized.statement, { sql, caller, rights }),
        );
      case 'job':
    }
    return await this.#audited(sql, caller, (rights) =>
      this.#runJob(recognized.statement, caller, rights),
    );
  }

  /** Names are unique over all jobs, whoever runs them (job-sql.md §2.5). */
  async #relayUnlessTaken(
    sql: string,
    names: readonly string[],
    caller: Caller,
  ): Promise<Reply | 'relay'> {
    const taken = names.find((name) => this.#parts.catalog.jobByName(name) !== undefined);
    if (taken === undefined) return 'relay';
    const refusal = refuse(`job name exist, jobName:${taken}`);
    return await this.#audited(sql, caller, () => Promise.reject(refusal));
  }

  async #audited(
    sql: string,
    caller: Caller,
    run: (rights: Rights) => Promise<Reply | 'relay'>,
  ): Promise<Reply | 'relay'> {
    const startedMs = performance.now();
    let user: string | undefined;
    const note = (result: string, error?: unknown): void => {
      this.#parts.log.info(
        {
          audit: true,
          user,
          client: caller.address,
          statement: maskSecrets(sql),
          result,
          ...(error === undefined ? {} : { reason: messageOf(error) }),
          durationMs: Math.round(performance.now() - startedMs),
        },
        'job statement',
      );
    };
    try {
      const rights = await Rights.of(caller);
      user = rights.user;
      const reply = await run(rights);
      note(reply === 'relay' ? 'relayed' : 'ok');
      return reply;
    } catch (error) {
      note('refused', error);
      throw error;
    }
  }

  async #runJob(statement: JobStatement, caller: Caller, rights: Rights): Promise<Reply | 'relay'> {
    if (statement.kind === 'invalid') throw refuse(statement.message);
    if (statement.kind === 'create') {
      await this.#creator.create(statement, caller, rights);
      return OK;
    }
    expectNotInner(statement);
    const job = this.#parts.catalog.jobByName(statement.name);
    if (job === undefined) {
      const native = await nativeJobNames(caller);
      if (native.has(statement.name)) return 'relay';
      if (statement.kind === 'drop' && statement.ifExists) return OK;
      throw refuse(missingText(statement));
    }
    await this.#manage(statement, job, caller, rights);
    return OK;
  }

  async #manage(
    statement: NamedStatement,
    job: Job,
    caller: Caller,
    rights: Rights,
  ): Promise<void> {
    const { catalog, scheduler } = this.#parts;
    switch (statement.kind) {
      case 'alter':
        // Before the rights, as Doris does.
        expectPaused(job);
        rights.expectLoad(job.targetDatabase);
        await alterJob(catalog, job, statement, caller);
        scheduler.wake(job.id);
        return;
      case 'pause':
        rights.expectLoad(job.targetDatabase);
        await this.#pause(job, rights.user);
        return;
      case 'resume':
        rights.expectLoad(job.targetDatabase);
        await this.#resume(job);
        return;
      case 'drop':
        rights.expectLoad(job.targetDatabase);
        await dropJob(this.#parts, job);
        return;
      case 'cancel':
        throw refuse('streaming job not support cancel task by id');
    }
  }

  /** Running tasks become CANCELED; their intents stay, for what Doris has of them is settled at the next start. */
  async #pause(job: Job, user: string): Promise<void> {
    const { catalog, scheduler } = this.#parts;
    let live: readonly Task[] = [];
    await catalog.changeJob(
      job.id,
      (found) => {
        expectTransition(found, 'PAUSED');
        live = catalog.tasks(job.id).filter(isLive);
        return {
          ...found,
          status: 'PAUSED',
          failure: { code: 'MANUAL_PAUSE_ERR', message: `Paused by user ${user}` },
          canceledTaskCount: found.canceledTaskCount + live.length,
          epoch: found.epoch + 1,
        };
      },
      {
        // Read after each try of the change above: a task that has just succeeded stays so.
        get tasks() {
          return live.map((task) => canceled(task));
        },
      },
    );
    scheduler.wake(job.id);
  }

  async #resume(job: Job): Promise<void> {
    await this.#parts.catalog.changeJob(job.id, (found) => {
      expectTransition(found, 'PENDING');
      const { failure: _cleared, ...rest } = found;
      return { ...rest, status: 'PENDING', epoch: found.epoch + 1 };
    });
    this.#parts.scheduler.wake(job.id);
  }
}

function isLive({ status }: Task): boolean {
  return status === 'PENDING' || status === 'RUNNING';
}

/** @throws ProxyError STATEMENT (job-sql.md §2.7 steps 5 to 7) */
function expectTransition(job: Job, to: JobStatus): void {
  const error = (reason: string): ProxyError =>
    refuse(`Alter job status error, jobName is ${job.name}, errorMsg is ${reason}`);
  const same = "Can't change job status to the same status";
  if (job.status === to) throw error(same);
  if (to === 'PENDING' && job.status === 'RUNNING') throw error(`${same}, job already running`);
  if (!canTransition(job.status, to)) {
    throw error(`Can't update job ${job.status} status to the ${to} status`);
  }
}

/** @throws ProxyError STATEMENT */
function expectNotInner(statement: NamedStatement): void {
  if (!statement.name.startsWith('inner_') || statement.kind === 'cancel') return;
  throw refuse(
    statement.kind === 'alter' ? "Can't alter inner job" : "Can't alter inner job status",
  );
}

function missingText({ kind, name }: NamedStatement): string {
  if (kind === 'drop') return `unregister job error, jobName:${name}`;
  return kind === 'cancel' ? `job not exist, jobName:${name}` : `job not exist, jobName: ${name}`;
}

/**
 * What the client reads. A source or a target that refuses, whoever can cure it, is to the sender of a statement a
 * failed statement (job-sql.md §2.4): 1105, so that no driver takes it for its own lost connection.
 */
function toClient(error: unknown): unknown {
  if (!(error instanceof ProxyError)) return error;
  const code = error.failure.cure === 'statement' ? error.code : 'STATEMENT';
  return new ProxyError(code, PREFIX + error.message, { cause: error });
}

function refuse(message: string): ProxyError {
  return new ProxyError('STATEMENT', message);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
