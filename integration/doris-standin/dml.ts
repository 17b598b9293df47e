import { randomUUID } from 'node:crypto';
import { type Column, DELETE_SIGN, findColumn, SEQUENCE_COLUMN, type Table } from './catalog.ts';
import { tableOf } from './ddl.ts';
import { NULL, STRING } from './json-line.ts';
import { runQuery } from './query.ts';
import type { Result, Row } from './result.ts';
import type { Session } from './session.ts';
import { ddlError, notModelled, refusal } from './sql-error.ts';
import { TableLoad } from './table-load.ts';
import { isSymbol, isWord, Statement, type Token, tokenize } from './tokens.ts';
import { translateQuery } from './translate.ts';
import { requirePrivilege } from './users.ts';

/** `INSERT INTO t [WITH LABEL l] [(columns)] VALUES ... | SELECT ...` */
export async function insert(statement: Statement, session: Session): Promise<Result> {
  statement.expect('INTO');
  statement.accept('TABLE');
  const path = statement.path();
  const [database, table] = tableOf(session, path);
  requirePrivilege(session.account, 'Load_priv', database.name, table.name);
  const label = statement.accept('WITH', 'LABEL') ? statement.identifier() : undefined;
  const named = isSymbol(statement.peek(), '(') && !isWord(statement.peek(1), 'SELECT');
  const columns = named
    ? statement.list(() => statement.identifier())
    : table.columns.map(({ name }) => name);
  for (const name of columns)
    if (findColumn(table, name) === undefined && !name.startsWith('__DORIS_'))
      throw refusal(`Unknown column '${name}' in '${table.name}'`);
  const { rows, columns: source } = await runQuery(translateQuery(statement, session), session);
  if (source.length !== columns.length)
    throw refusal(`insert into cols should be corresponding to the query output`);
  return writeRows(session, database.name, table, columns, rows, label);
}

const named = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

/** The tokens from WHERE to the end; they may hold bound parameters, so the text would not do. */
function condition(statement: Statement): readonly Token[] {
  if (!isWord(statement.peek(), 'WHERE')) throw notModelled('UPDATE and DELETE without WHERE');
  return statement.tokens.slice(statement.position);
}

/** `UPDATE t SET c = expression, ... WHERE ...`: reads the rows, changes them, upserts them, as Doris does. */
export async function update(statement: Statement, session: Session): Promise<Result> {
  const path = statement.path();
  const [database, table] = tableOf(session, path);
  requirePrivilege(session.account, 'Load_priv', database.name, table.name);
  if (table.model !== 'UNIQUE') throw refusal('Only unique table could be updated.');
  statement.expect('SET');
  const values = new Map<Column, readonly Token[]>();
  do {
    const name = statement.path().at(-1)!;
    const column = findColumn(table, name);
    if (column === undefined) throw refusal(`Unknown column '${name}' in '${table.name}'`);
    if (column.isKey) throw refusal('Only value columns of unique table could be updated');
    statement.expectSymbol('=');
    values.set(column, readExpression(statement));
  } while (statement.acceptSymbol(','));
  const items = table.columns.map((column) => values.get(column) ?? tokenize(named(column.name)));
  return rewriteRows(statement, session, database.name, table, items, []);
}

/** The tokens of an expression up to the next top-level comma or WHERE. */
function readExpression(statement: Statement): readonly Token[] {
  const start = statement.position;
  for (let depth = 0; ;) {
    const token = statement.peek();
    const ends = isSymbol(token, ',') || isWord(token, 'WHERE') || isWord(token, 'FROM');
    if (token === undefined || (depth === 0 && ends)) break;
    if (isSymbol(token, '(')) depth++;
    if (isSymbol(token, ')')) depth--;
    statement.next();
  }
  if (statement.position === start) throw statement.error('an expression');
  return statement.tokens.slice(start, statement.position);
}

/** `DELETE FROM t WHERE ...`: upserts the rows with a delete sign. */
export async function remove(statement: Statement, session: Session): Promise<Result> {
  statement.expect('FROM');
  const [database, table] = tableOf(session, statement.path());
  requirePrivilege(session.account, 'Load_priv', database.name, table.name);
  if (table.model !== 'UNIQUE') throw notModelled('DELETE from a DUPLICATE table');
  const items = [...table.columns.map(({ name }) => named(name)), '1'].map(tokenize);
  return rewriteRows(statement, session, database.name, table, items, [DELETE_SIGN]);
}

async function rewriteRows(
  statement: Statement,
  session: Session,
  database: string,
  table: Table,
  items: readonly (readonly Token[])[],
  hidden: readonly string[],
): Promise<Result> {
  const keepSequence = table.sequence?.kind === 'type';
  if (keepSequence)
    throw notModelled('UPDATE and DELETE on a table with function_column.sequence_type');
  const [comma] = tokenize(',');
  const list = items.flatMap((item, i) => (i === 0 ? item : [comma!, ...item]));
  const from = tokenize(`FROM ${named(database)}.${named(table.name)}`);
  const tokens = [...tokenize('SELECT'), ...list, ...from, ...condition(statement)];
  const source = new Statement(statement.sql, tokens);
  const { rows } = await runQuery(translateQuery(source, session), session);
  const columns = [...table.columns.map(({ name }) => name), ...hidden];
  return writeRows(session, database, table, columns, rows, undefined);
}

/** Loads the rows of a statement as one transaction. @throws SqlError 5025 when a row is filtered in strict mode */
async function writeRows(
  session: Session,
  databaseName: string,
  table: Table,
  columns: readonly string[],
  rows: Iterable<Row>,
  givenLabel: string | undefined,
): Promise<Result> {
  const { state, variables } = session;
  const label = givenLabel ?? `label_${randomUUID().replaceAll('-', '_')}`;
  const strict = variables.isOn('enable_insert_strict');
  const sequenced = columns.includes(SEQUENCE_COLUMN) || table.sequence?.kind !== 'type';
  if (!sequenced && !variables.isOn('require_sequence_in_insert'))
    throw notModelled('INSERT without a sequence');
  await using load = await TableLoad.open(state.store, table, {
    strict,
    columns,
    hiddenColumns: [],
    partial:
      variables.isOn('enable_unique_key_partial_update') && columns.length < table.columns.length,
    newKeys: 'APPEND',
    zoneMinutes: 0,
    stringBytesMax: state.settings.stringBytesMax,
    pick: state.pick,
  });
  const kinds = new Uint8Array(columns.length);
  for (const row of rows) {
    row.forEach((value, i) => (kinds[i] = value === null ? NULL : STRING));
    load.addRow({ kinds, texts: row.map((value) => value ?? '') }, row.join('\t'));
  }
  if (load.filteredRows > 0 && strict)
    throw ddlError(
      5025,
      `Insert has filtered data in strict mode. ${load.badRows[0] ?? ''} tracking_url=none`,
    );
  const transaction = state.transactions.begin(databaseName, label);
  try {
    await state.inCommitOrder(table, () =>
      state.publish(state.catalog.database(databaseName), load, transaction),
    );
  } catch (error) {
    state.transactions.finish(transaction, 'ABORTED');
    throw error;
  }
  const info = `{'label':'${label}', 'status':'VISIBLE', 'txnId':'${transaction.id}'}`;
  return { kind: 'ok', affectedRows: load.loadedRows, info };
}
