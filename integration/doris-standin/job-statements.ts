import { insert } from './dml.ts';
import { type NativeJob, type NativeJobStatus, type NativeTask, timeText } from './native-jobs.ts';
import { OK, type Result } from './result.ts';
import { resolvePath, type Session } from './session.ts';
import { notModelled, refusal, SqlError } from './sql-error.ts';
import { isWord, Statement } from './tokens.ts';
import { requirePrivilege } from './users.ts';

/**
 * A statement about jobs whose first word, `verb`, was read. Jobs run once, at their creation, or stay what they are: no schedule
 * is so short that this process lives to see it. What has a source is no syntax here, as in a Doris that lacks streaming
 * jobs: a statement of the proxy's must never get past it.
 */
export async function jobStatement(
  statement: Statement,
  verb: string,
  session: Session,
): Promise<Result> {
  if (verb === 'CANCEL') return cancelTask(statement, session);
  statement.expect('JOB');
  if (verb === 'CREATE') return createJob(statement, session);
  if (verb === 'ALTER') throw statement.error("{'TABLE', 'DATABASE', 'USER'}");
  const ifExists = verb === 'DROP' && statement.accept('IF', 'EXISTS');
  const name = whereJobName(statement);
  statement.end();
  requirePrivilege(session.account, 'Admin_priv');
  const job = session.state.nativeJobs.find((each) => each.name === name);
  if (job === undefined) {
    if (ifExists) return OK;
    throw refusal(
      verb === 'DROP' ? `unregister job error, jobName:${name}` : `job not exist, jobName: ${name}`,
    );
  }
  if (verb === 'DROP') session.state.nativeJobs.splice(session.state.nativeJobs.indexOf(job), 1);
  else if (verb === 'PAUSE') setStatus(job, 'PAUSED');
  else if (verb === 'RESUME') setStatus(job, 'RUNNING');
  else throw statement.error('a statement of jobs');
  await session.state.saveNativeJobs();
  return OK;
}

function setStatus(job: NativeJob, to: NativeJobStatus): void {
  const wrong = (reason: string): SqlError =>
    refusal(`Alter job status error, jobName is ${job.name}, errorMsg is ${reason}`);
  if (job.status === to) throw wrong("Can't change job status to the same status");
  if (job.status === 'FINISHED')
    throw wrong(`Can't update job FINISHED status to the ${to} status`);
  job.status = to;
}

function whereJobName(statement: Statement): string {
  statement.expect('WHERE');
  const key = statement.identifier();
  if (key.toLowerCase() !== 'jobname') throw statement.error("jobName should be: 'jobName'");
  statement.expectSymbol('=');
  return statement.string();
}

function cancelTask(statement: Statement, session: Session): Result {
  statement.expect('TASK');
  const name = whereJobName(statement);
  statement.expect('AND');
  if (statement.identifier().toLowerCase() !== 'taskid') throw statement.error('taskId');
  statement.expectSymbol('=');
  statement.integer();
  statement.end();
  const job = session.state.nativeJobs.find((each) => each.name === name);
  throw refusal(job === undefined ? `job not exist, jobName:${name}` : 'no running task');
}

/** `CREATE JOB name ON SCHEDULE EVERY n unit | AT CURRENT_TIMESTAMP [COMMENT '...'] DO INSERT ...` */
async function createJob(statement: Statement, session: Session): Promise<Result> {
  const { state } = session;
  const name = statement.path().join('.');
  statement.expect('ON', 'SCHEDULE');
  const createTimeMs = Date.now();
  const recurring = statement.accept('EVERY');
  const strategy = recurring
    ? `EVERY ${every(statement)} STARTS ${timeText(createTimeMs)}`
    : `AT ${at(statement, createTimeMs)}`;
  const comment = statement.accept('COMMENT') ? statement.string() : '';
  statement.expect('DO');
  if (!isWord(statement.peek(), 'INSERT')) throw notModelled('CREATE JOB without INSERT');
  const from = statement.position;
  const sql = statement.sql.slice(statement.peek()!.start, statement.tokens.at(-1)!.end);
  statement.accept('INSERT');
  statement.expect('INTO');
  statement.accept('TABLE');
  const target = resolvePath(session, statement.path());
  requirePrivilege(session.account, 'Admin_priv');
  if (state.nativeJobs.some((job) => job.name === name))
    throw refusal(`job name exist, jobName:${name}`);
  const job: NativeJob = {
    id: state.nextJobId(),
    name,
    definer: session.account.user,
    comment,
    recurring,
    strategy,
    sql,
    target,
    createTimeMs,
    status: recurring ? 'RUNNING' : 'FINISHED',
    tasks: [],
  };
  if (!recurring) {
    const body = new Statement(statement.sql, statement.tokens.slice(from));
    body.expect('INSERT');
    job.tasks.push(await runOnce(state.nextJobId(), body, session));
  }
  state.nativeJobs.push(job);
  await state.saveNativeJobs();
  return OK;
}

function every(statement: Statement): string {
  const interval = statement.integer();
  const unit = statement.identifier().toUpperCase();
  if (unit === 'SECOND') throw refusal('Interval time unit can not be second in production mode');
  if (!['MINUTE', 'HOUR', 'DAY', 'WEEK'].includes(unit))
    throw refusal(`Invalid interval time unit: ${unit}`);
  if (unit === 'MINUTE') throw notModelled('a schedule shorter than an hour');
  return `${interval} ${unit}`;
}

function at(statement: Statement, nowMs: number): string {
  statement.expect('AT');
  if (!statement.accept('CURRENT_TIMESTAMP')) throw notModelled('AT a given time');
  return timeText(nowMs);
}

async function runOnce(id: number, body: Statement, session: Session): Promise<NativeTask> {
  const startTimeMs = Date.now();
  let error = '';
  try {
    await insert(body, session);
  } catch (cause) {
    if (!(cause instanceof SqlError)) throw cause;
    error = cause.message;
  }
  const status = error === '' ? 'SUCCESS' : 'FAILED';
  return { id, status, error, startTimeMs, finishTimeMs: Date.now() };
}
