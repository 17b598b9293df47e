import { buildTable, checkDatabaseName, parseTableDefinition } from './create-table.ts';
import type { Database, Table } from './catalog.ts';
import { OK, type Result } from './result.ts';
import { resolvePath, type Session } from './session.ts';
import { ddlError, notModelled, refusal } from './sql-error.ts';
import { createTableSql, physicalName, quoteText } from './store.ts';
import type { Statement } from './tokens.ts';
import { requirePrivilege } from './users.ts';

/** `CREATE DATABASE [IF NOT EXISTS] d` */
export async function createDatabase(
  statement: Statement,
  { account, state }: Session,
): Promise<Result> {
  const ifNotExists = statement.accept('IF', 'NOT', 'EXISTS');
  const name = statement.path().at(-1)!;
  statement.end();
  requirePrivilege(account, 'Create_priv', name);
  checkDatabaseName(name);
  if (state.catalog.has(name)) {
    if (ifNotExists) return OK;
    throw ddlError(1007, `Can't create database '${name}'; database exists`);
  }
  state.catalog.databases.set(name, { name, tables: new Map() });
  await state.saveCatalog();
  return OK;
}

/** `DROP DATABASE [IF EXISTS] d [FORCE]` */
export async function dropDatabase(statement: Statement, session: Session): Promise<Result> {
  const { account, state } = session;
  const ifExists = statement.accept('IF', 'EXISTS');
  const name = statement.path().at(-1)!;
  statement.accept('FORCE');
  statement.end();
  requirePrivilege(account, 'Drop_priv', name);
  const database = state.catalog.databases.get(name);
  if (database === undefined) {
    if (ifExists) return OK;
    throw ddlError(1008, `Can't drop database '${name}'; database doesn't exist`);
  }
  state.catalog.databases.delete(name);
  state.transactions.dropDatabase(name);
  await state.store.write((connection) =>
    connection.run(`DELETE FROM labels WHERE database = ${quoteText(name)}`),
  );
  await state.saveCatalog();
  for (const table of database.tables.values()) await dropRows(session, table);
  return OK;
}

async function dropRows({ state }: Session, table: Table): Promise<void> {
  await state.inCommitOrder(table, () =>
    state.store.write((connection) => connection.run(`DROP TABLE ${physicalName(table)}`)),
  );
}

/** The database a table path names, which must exist. */
function databaseOf(session: Session, path: readonly string[]): [Database, string] {
  const [database, table] = resolvePath(session, path);
  return [session.state.catalog.database(database), table];
}

/** An existing table for a statement that changes it. @throws SqlError 1109 as DDL paths do (§3.6) */
export function tableOf(session: Session, path: readonly string[]): [Database, Table] {
  const [database, name] = databaseOf(session, path);
  const table = database.tables.get(name);
  if (table === undefined) throw ddlError(1109, `Unknown table '${name}' in ${database.name}`);
  return [database, table];
}

/** `CREATE TABLE [IF NOT EXISTS] t (...) ...` */
export async function createTable(statement: Statement, session: Session): Promise<Result> {
  const { account, state } = session;
  const ifNotExists = statement.accept('IF', 'NOT', 'EXISTS');
  const [database, name] = databaseOf(session, statement.path());
  requirePrivilege(account, 'Create_priv', database.name, name);
  if (!isDefinition(statement)) throw notModelled('CREATE TABLE ... LIKE and AS SELECT');
  const definition = parseTableDefinition(statement);
  if (database.tables.has(name)) {
    if (ifNotExists) return OK;
    throw ddlError(1050, `Table '${name}' already exists`);
  }
  const table = buildTable(state.catalog, name, definition, state.settings.backends);
  // Rows first: a table that is in the catalog can be read.
  await state.store.write((connection) => connection.run(createTableSql(table)));
  database.tables.set(name, table);
  await state.saveCatalog();
  return OK;
}

function isDefinition(statement: Statement): boolean {
  return statement.peek()?.text === '(';
}

/** `DROP TABLE [IF EXISTS] t [FORCE]` */
export async function dropTable(statement: Statement, session: Session): Promise<Result> {
  const ifExists = statement.accept('IF', 'EXISTS');
  const [database, name] = databaseOf(session, statement.path());
  statement.accept('FORCE');
  statement.end();
  requirePrivilege(session.account, 'Drop_priv', database.name, name);
  const table = database.tables.get(name);
  if (table === undefined) {
    if (ifExists) return OK;
    throw ddlError(1109, `Unknown table '${name}'`);
  }
  database.tables.delete(name);
  // From the catalog first: what is left after a kill in between is rows that nobody can name.
  await session.state.saveCatalog();
  await dropRows(session, table);
  return OK;
}

/** `TRUNCATE TABLE t` */
export async function truncateTable(statement: Statement, session: Session): Promise<Result> {
  statement.expect('TABLE');
  const [database, table] = tableOf(session, statement.path());
  statement.accept('FORCE');
  if (!statement.done) throw refusal('doris-standin truncates whole tables only');
  requirePrivilege(session.account, 'Load_priv', database.name, table.name);
  const { state } = session;
  if (state.faults.take('lateTruncate', table.name)) {
    session.kill(true);
    await state.faults.hold();
  }
  await state.inCommitOrder(table, () =>
    state.store.write((connection) => connection.run(`DELETE FROM ${physicalName(table)}`)),
  );
  table.truncations = (table.truncations ?? 0) + 1;
  await state.saveCatalog();
  return OK;
}
