import { OK, type Result } from './result.ts';
import type { Session } from './session.ts';
import { notModelled } from './sql-error.ts';
import { isSymbol, isWord, type Statement } from './tokens.ts';
import { requirePrivilege } from './users.ts';

/** `SET [GLOBAL|SESSION] name = value, ...`, `SET NAMES x`, `SET TRANSACTION ...` */
export function setVariables(statement: Statement, session: Session): Result {
  do setOne(statement, session);
  while (statement.acceptSymbol(','));
  statement.end();
  return OK;
}

function setOne(statement: Statement, session: Session): void {
  if (statement.accept('NAMES') || statement.accept('CHARACTER', 'SET'))
    return setNames(statement, session);
  const start = statement.position;
  const global = statement.accept('GLOBAL');
  if (!global && !statement.accept('SESSION')) statement.accept('LOCAL');
  if (statement.accept('TRANSACTION')) return setTransaction(statement, session);
  const token = statement.next();
  let name = token.text;
  let isGlobal = global;
  if (token.kind === 'variable') {
    const parts = /^@@(?:(global|session|local)\s*\.\s*)?(\w+)$/i.exec(name);
    if (parts === null) throw notModelled('user variables');
    isGlobal = parts[1]?.toLowerCase() === 'global';
    name = parts[2]!;
  } else if (token.kind !== 'word' && token.kind !== 'quoted') {
    statement.rewind(start);
    throw statement.error('a variable');
  }
  if (!statement.acceptSymbol('=')) statement.expectSymbol(':=');
  if (isGlobal) requirePrivilege(session.account, 'Admin_priv');
  session.variables.set(name, readValue(statement, session), isGlobal);
}

/** A constant, another variable, or `concat(...)` of these (the MariaDB driver's `sql_mode`). */
function readValue(statement: Statement, session: Session): string {
  if (statement.accept('CONCAT'))
    return statement.list(() => readValue(statement, session)).join('');
  const minus = statement.acceptSymbol('-') ? '-' : '';
  const token = statement.next();
  if (token.kind === 'variable' && token.text.startsWith('@@'))
    return session.variables.get(token.text.replace(/^@@(?:\w+\s*\.\s*)?/, '')).value;
  if (token.kind === 'symbol' || token.kind === 'variable' || token.kind === 'parameter')
    throw statement.error('a value', token);
  if (isWord(token, 'NULL')) return '';
  if (isSymbol(statement.peek(), '(')) throw notModelled(`SET ... = ${token.text}(...)`);
  return minus + token.text;
}

function setNames(statement: Statement, { variables }: Session): void {
  const charset = statement.next().text;
  if (statement.accept('COLLATE'))
    variables.set('collation_connection', statement.next().text, false);
  for (const name of ['character_set_client', 'character_set_connection', 'character_set_results'])
    variables.set(name, charset, false);
}

/** `SET TRANSACTION ISOLATION LEVEL x` and `READ ONLY|WRITE`: accepted, as Doris does, and without effect. */
function setTransaction(statement: Statement, { variables }: Session): void {
  if (statement.accept('READ', 'ONLY') || statement.accept('READ', 'WRITE')) return;
  statement.expect('ISOLATION', 'LEVEL');
  const words = [statement.identifier()];
  if (!statement.done && !isSymbol(statement.peek(), ',')) words.push(statement.identifier());
  variables.set('transaction_isolation', words.join('-').toUpperCase(), false);
}
