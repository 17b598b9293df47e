import { changeGrants, createUser, dropUser, setPassword } from './account-statements.ts';
import { alterTable, cancelAlter } from './alter-table.ts';
import { createDatabase, createTable, dropDatabase, dropTable, truncateTable } from './ddl.ts';
import { insert, remove, update } from './dml.ts';
import { jobStatement } from './job-statements.ts';
import { runQuery } from './query.ts';
import { OK, type Result, textRows } from './result.ts';
import { type Session, useDatabase } from './session.ts';
import { setVariables } from './set-statement.ts';
import { describe, show } from './show.ts';
import { ddlError, notModelled, refusal } from './sql-error.ts';
import { isWord, type Statement } from './tokens.ts';
import { translateQuery } from './translate.ts';
import { holds } from './users.ts';

/** Runs one statement. @throws SqlError, to be sent as ERR; anything else is a mistake in the stand-in. */
export async function execute(statement: Statement, session: Session): Promise<Result> {
  const first = statement.peek();
  if (first?.text === '(' || isQuery(statement))
    return { kind: 'rows', ...(await runQuery(translateQuery(statement, session), session)) };
  const word = statement.identifier().toUpperCase();
  if (isWord(statement.peek(), 'JOB') || isWord(statement.peek(), 'TASK'))
    return jobStatement(statement, word, session);
  switch (word) {
    case 'ADMIN':
      statement.expect('SHOW');
      return show(statement, session);
    case 'SHOW':
      return show(statement, session);
    case 'DESC':
    case 'DESCRIBE':
      return describe(statement, session);
    case 'EXPLAIN':
      return explain(statement, session);
    case 'INSERT':
      return insert(statement, session);
    case 'UPDATE':
      return update(statement, session);
    case 'DELETE':
      return remove(statement, session);
    case 'CREATE':
      return session.state.definitions.run(() => create(statement, session));
    case 'DROP':
      return session.state.definitions.run(() => drop(statement, session));
    case 'ALTER':
      statement.expect('TABLE');
      return session.state.definitions.run(() => alterTable(statement, session));
    case 'TRUNCATE':
      return truncateTable(statement, session);
    case 'CANCEL':
      return cancelAlter(statement, session);
    case 'GRANT':
    case 'REVOKE':
      return changeGrants(statement, session, word);
    case 'SET':
      return statement.accept('PASSWORD')
        ? setPassword(statement, session)
        : setVariables(statement, session);
    default:
      return sessionStatement(statement, session, word);
  }
}

/** Whether the statement is one whose rows DuckDB computes. */
export function isQuery(statement: Statement): boolean {
  return isWord(statement.peek(), 'SELECT') || isWord(statement.peek(), 'WITH');
}

async function create(statement: Statement, session: Session): Promise<Result> {
  if (statement.accept('DATABASE') || statement.accept('SCHEMA'))
    return createDatabase(statement, session);
  if (statement.accept('TABLE')) return createTable(statement, session);
  if (statement.accept('USER')) return createUser(statement, session);
  throw notModelled(`CREATE ${statement.peek()?.text ?? ''}`);
}

async function drop(statement: Statement, session: Session): Promise<Result> {
  if (statement.accept('DATABASE') || statement.accept('SCHEMA'))
    return dropDatabase(statement, session);
  if (statement.accept('TABLE')) return dropTable(statement, session);
  if (statement.accept('USER')) return dropUser(statement, session);
  throw notModelled(`DROP ${statement.peek()?.text ?? ''}`);
}

function sessionStatement(statement: Statement, session: Session, word: string): Result {
  switch (word) {
    case 'USE':
      useDatabase(session, statement.path().join('.'));
      statement.end();
      return OK;
    case 'SWITCH':
      if (statement.identifier() !== 'internal') throw refusal('Unknown catalog');
      statement.end();
      return OK;
    case 'COMMIT':
    case 'ROLLBACK':
      // Legal, and without effect, outside a transaction; BEGIN is not modelled.
      statement.end();
      return OK;
    case 'KILL':
      return kill(statement, session);
    default:
      statement.rewind();
      throw statement.error('a statement');
  }
}

/** `KILL [CONNECTION | QUERY] id` */
function kill(statement: Statement, session: Session): Result {
  const query = statement.accept('QUERY');
  if (!query) statement.accept('CONNECTION');
  const id = statement.integer();
  statement.end();
  const target = session.sessions.get(id);
  if (target === undefined) throw ddlError(1094, `Unknown thread id: ${id}`);
  if (target.account !== session.account && !holds(session.account, 'Admin_priv'))
    throw ddlError(1095, `You are not owner of thread ${id}`);
  target.kill(!query);
  return OK;
}

/** `EXPLAIN SELECT ...`: proves names and privileges; the plan itself is not modelled. */
function explain(statement: Statement, session: Session): Result {
  statement.accept('VERBOSE');
  if (!isQuery(statement)) throw notModelled('EXPLAIN of anything but a query');
  const { sql } = translateQuery(statement, session);
  const lines = [
    'PLAN FRAGMENT 0',
    '  OUTPUT EXPRS:',
    `    doris-standin: ${sql.length} characters of DuckDB SQL`,
  ];
  return textRows(
    ['Explain String(Nereids Planner)'],
    lines.map((line) => [line]),
  );
}
