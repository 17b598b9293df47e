import { OK, type Result, type Row, textRows, words } from './result.ts';
import { resolvePath, type Session } from './session.ts';
import { ddlError, notModelled, refusal } from './sql-error.ts';
import { isSymbol, isWord, type Statement } from './tokens.ts';
import {
  type Account,
  holds,
  identity,
  type Privilege,
  PRIVILEGES,
  requirePrivilege,
  type Scope,
} from './users.ts';

/** `'u'[@'h']`; the host is `%` when left out. */
function readIdentity(statement: Statement): { user: string; host: string } {
  const text = (): string => {
    const token = statement.next();
    if (!['string', 'quoted', 'word'].includes(token.kind)) throw statement.error('a user', token);
    return token.text;
  };
  const user = text();
  if (statement.acceptSymbol('@')) return { user, host: text() };
  const next = statement.peek();
  if (next?.kind !== 'variable' || next.text.startsWith('@@')) return { user, host: '%' };
  statement.next();
  return { user, host: next.text.slice(1) };
}

/** `CREATE USER [IF NOT EXISTS] 'u'@'h' [IDENTIFIED BY 'p'] [COMMENT 'c']` */
export async function createUser(
  statement: Statement,
  { account, state }: Session,
): Promise<Result> {
  const ifNotExists = statement.accept('IF', 'NOT', 'EXISTS');
  const { user, host } = readIdentity(statement);
  const password = statement.accept('IDENTIFIED', 'BY') ? statement.string() : '';
  const comment = statement.accept('COMMENT') ? statement.string() : '';
  statement.end();
  requirePrivilege(account, 'Grant_priv');
  if (state.users.exists(user, host)) {
    if (ifNotExists) return OK;
    throw refusal(`User ${identity({ user, host })} already exist`);
  }
  await state.users.create(user, host, password, comment);
  return OK;
}

/** `DROP USER [IF EXISTS] 'u'@'h'` */
export async function dropUser(statement: Statement, { account, state }: Session): Promise<Result> {
  const ifExists = statement.accept('IF', 'EXISTS');
  const { user, host } = readIdentity(statement);
  statement.end();
  requirePrivilege(account, 'Grant_priv');
  if (ifExists && !state.users.exists(user, host)) return OK;
  if (user === 'root' || user === 'admin') throw refusal(`Can not drop user ${user}`);
  await state.users.drop(user, host);
  return OK;
}

/** `SET PASSWORD [FOR 'u'@'h'] = PASSWORD('p')` */
export async function setPassword(statement: Statement, session: Session): Promise<Result> {
  const { account, state } = session;
  let target: Account = account;
  if (statement.accept('FOR')) {
    const { user, host } = readIdentity(statement);
    target = state.users.find(user, host);
  }
  statement.expectSymbol('=');
  statement.expect('PASSWORD');
  const [password = ''] = statement.list(() => statement.string());
  statement.end();
  if (target !== account) requirePrivilege(account, 'Grant_priv');
  await state.users.setPassword(target, password);
  return OK;
}

function readPrivileges(statement: Statement): Privilege[] {
  const found: Privilege[] = [];
  do {
    const word = statement.identifier().toUpperCase();
    if (word === 'ALL') {
      statement.accept('PRIVILEGES');
      found.push(
        ...PRIVILEGES.filter((name) => !['Node_priv', 'Admin_priv', 'Grant_priv'].includes(name)),
      );
      continue;
    }
    const name = PRIVILEGES.find(
      (each) => each.toUpperCase() === word || each.toUpperCase() === `${word}_PRIV`,
    );
    if (name === undefined) throw notModelled(`the privilege ${word}`);
    if (isSymbol(statement.peek(), '(')) throw notModelled('column privileges');
    found.push(name);
  } while (statement.acceptSymbol(','));
  return found;
}

/** `*.*.*`, `catalog.*.*`, `db.*`, `db.table`, `*.*`; a bare `db.*` means the catalog `internal`. */
function readScope(statement: Statement, session: Session): Scope {
  const parts: string[] = [];
  do parts.push(statement.acceptSymbol('*') ? '*' : statement.identifier());
  while (statement.acceptSymbol('.'));
  if (parts.length === 1) {
    if (parts[0] === '*') throw statement.error('a table pattern');
    const [database, table] = resolvePath(session, parts);
    return { catalog: 'internal', database, table };
  }
  const [catalog, database, table] = parts.length === 2 ? ['internal', ...parts] : parts;
  if (catalog === '*') return {};
  if (catalog !== 'internal') throw refusal(`Unknown catalog '${catalog}'`);
  if (database === '*' || database === undefined) return { catalog };
  return table === '*' || table === undefined
    ? { catalog, database }
    : { catalog, database, table };
}

/** `GRANT p, ... ON pattern TO 'u'@'h'` and `REVOKE p, ... ON pattern FROM 'u'@'h'` */
export async function changeGrants(
  statement: Statement,
  session: Session,
  verb: 'GRANT' | 'REVOKE',
): Promise<Result> {
  const { account, state } = session;
  const privileges = readPrivileges(statement);
  statement.expect('ON');
  if (isWord(statement.peek(), 'RESOURCE') || isWord(statement.peek(), 'WORKLOAD'))
    throw notModelled('grants on resources');
  const scope = readScope(statement, session);
  statement.expect(verb === 'GRANT' ? 'TO' : 'FROM');
  if (isWord(statement.peek(), 'ROLE')) throw notModelled('roles');
  const { user, host } = readIdentity(statement);
  statement.end();
  requirePrivilege(account, 'Grant_priv', scope.database, scope.table);
  const target = state.users.find(user, host);
  if (verb === 'GRANT') await state.users.grant(target, scope, privileges);
  else await state.users.revoke(target, scope, privileges);
  return OK;
}

const GRANT_COLUMNS = words(`UserIdentity Comment Password RequireSan Roles GlobalPrivs CatalogPrivs
    DatabasePrivs TablePrivs ColPrivs ResourcePrivs CloudClusterPrivs
    CloudStagePrivs StorageVaultPrivs WorkloadGroupPrivs ComputeGroupPrivs`);

/** `SHOW GRANTS`, `SHOW GRANTS FOR 'u'@'h'`, `SHOW ALL GRANTS` (doris-target.md §5). */
export function showGrants(statement: Statement, session: Session, all: boolean): Result {
  const { account, state } = session;
  let shown: readonly Account[] = [account];
  if (all) {
    requirePrivilege(account, 'Grant_priv');
    shown = state.users.all();
  } else if (statement.accept('FOR') && !acceptCurrentUser(statement)) {
    const { user, host } = readIdentity(statement);
    if (user !== account.user && !holds(account, 'Grant_priv'))
      throw ddlError(
        1227,
        'Access denied; you need (at least one of) the (GRANT) privilege(s) for this operation',
      );
    shown = [state.users.find(user, host)];
  }
  statement.end();
  return textRows(GRANT_COLUMNS, shown.map(grantRow));
}

function acceptCurrentUser(statement: Statement): boolean {
  if (!statement.accept('CURRENT_USER')) return false;
  if (statement.acceptSymbol('(')) statement.expectSymbol(')');
  return true;
}

function grantRow(account: Account): Row {
  const cell = (depth: number, base: readonly string[] = []): string | null => {
    const entries = Object.entries(account.grants)
      .filter(([key]) => key.split('.').length === depth && key !== '')
      .map(([key, privileges]) => `${key}: ${privileges.join(',')}`);
    const lines = [...base, ...entries];
    return lines.length === 0 ? null : lines.join('; ');
  };
  const everyone = ['internal.information_schema: Select_priv', 'internal.mysql: Select_priv'];
  return [
    identity(account),
    account.comment,
    account.passwordHash === '' ? 'No' : 'Yes',
    null,
    '',
    account.grants['']?.join(',') ?? null,
    cell(1),
    cell(2, everyone),
    cell(3),
    null,
    null,
    null,
    null,
    null,
    'normal: Usage_priv',
    null,
  ];
}
