import { setTimeout as sleep } from 'node:timers/promises';
import { type AlterJob, type Column, type Database, findColumn, type Table } from './catalog.ts';
import { type ColumnType, duckType, INTEGER_BITS } from './column-type.ts';
import {
  checkColumnName,
  checkTableName,
  type ColumnDefinition,
  parseColumn,
} from './create-table.ts';
import { tableOf } from './ddl.ts';
import { OK, type Result, textRows, words } from './result.ts';
import { resolvePath, type Session } from './session.ts';
import { ddlError, notModelled, refusal } from './sql-error.ts';
import { defaultSql, physicalName } from './store.ts';
import { isSymbol, type Statement } from './tokens.ts';
import { requirePrivilege } from './users.ts';

/** `ALTER TABLE t clause [, clause]` (doris-target.md §3.3). */
export async function alterTable(statement: Statement, session: Session): Promise<Result> {
  const [database, table] = tableOf(session, statement.path());
  requirePrivilege(session.account, 'Alter_priv', database.name, table.name);
  const running = table.alterJobs.some(({ state }) => state === 'PENDING' || state === 'RUNNING');
  if (running)
    throw refusal(
      `Table[${table.name}]'s state(SCHEMA_CHANGE) is not NORMAL. Do not allow doing ALTER ops`,
    );
  do await alterClause(statement, session, database, table);
  while (statement.acceptSymbol(','));
  statement.end();
  await session.state.saveCatalog();
  return OK;
}

async function alterClause(
  statement: Statement,
  session: Session,
  database: Database,
  table: Table,
): Promise<void> {
  if (statement.accept('ADD', 'COLUMN')) return addColumns(statement, session, table);
  if (statement.accept('DROP', 'COLUMN')) return dropColumn(statement.identifier(), session, table);
  if (statement.accept('MODIFY', 'COLUMN')) return modifyColumn(statement, session, table);
  if (statement.accept('RENAME', 'COLUMN'))
    return renameColumn(table, statement.identifier(), statement.identifier());
  if (statement.accept('RENAME')) return renameTable(database, table, statement.identifier());
  if (statement.accept('REPLACE', 'WITH', 'TABLE'))
    return replaceTable(statement, session, database, table);
  throw notModelled(`ALTER TABLE ... ${statement.peek()?.text ?? ''}`);
}

function lightJob(session: Session, table: Table): void {
  const now = Date.now();
  const id = session.state.catalog.nextId();
  table.alterJobs.push({
    id,
    createTimeMs: now,
    finishTimeMs: now,
    state: 'FINISHED',
    message: '',
  });
}

async function addColumns(statement: Statement, session: Session, table: Table): Promise<void> {
  const many = isSymbol(statement.peek(), '(');
  const definitions = many
    ? statement.list(() => parseColumn(statement))
    : [parseColumn(statement)];
  const first = statement.accept('FIRST');
  const after = statement.accept('AFTER') ? statement.identifier() : undefined;
  if (first) throw refusal('Can not add value column before key column');
  for (const definition of definitions) await addColumn(definition, after, session, table);
  lightJob(session, table);
}

async function addColumn(
  { key, ...definition }: ColumnDefinition,
  after: string | undefined,
  { state }: Session,
  table: Table,
): Promise<void> {
  if (key) throw notModelled('adding a key column');
  if (findColumn(table, definition.name) !== undefined)
    throw refusal(`Can not add column which already exists in base table: ${definition.name}`);
  const previous = after === undefined ? table.columns.at(-1) : findColumn(table, after);
  if (previous === undefined) throw refusal(`Column[${after}] does not found`);
  const place = table.columns.indexOf(previous) + 1;
  if (table.columns[place]?.isKey === true)
    throw refusal(`Invalid column order. value should be after key. index[${table.name}]`);
  const column: Column = { ...definition, id: state.catalog.nextId(), isKey: false };
  const fill = defaultSql(column);
  if (fill === undefined)
    throw refusal(`Column ${column.name} is not nullable and has no default value`);
  await state.inCommitOrder(table, () =>
    state.store.write((connection) =>
      connection.run(
        `ALTER TABLE ${physicalName(table)} ADD COLUMN c${column.id} ${duckType(column.type)} DEFAULT ${fill}`,
      ),
    ),
  );
  table.columns = table.columns.toSpliced(place, 0, column);
}

function existing(table: Table, name: string): Column {
  const column = findColumn(table, name);
  if (column === undefined) throw refusal(`Column does not exists: ${name}`);
  return column;
}

async function dropColumn(name: string, session: Session, table: Table): Promise<void> {
  const column = existing(table, name);
  if (column.isKey)
    throw refusal(
      `Can not drop key column in ${table.model === 'UNIQUE' ? 'Unique' : 'Duplicate'} data model table`,
    );
  if (table.buckets.columnIds.includes(column.id))
    throw refusal(`Distribution column[${name}] cannot be dropped`);
  if (table.sequence?.kind === 'column' && table.sequence.columnId === column.id)
    throw refusal(`Can not drop sequence mapping column[${name}]`);
  const { state } = session;
  await state.inCommitOrder(table, async () => {
    // First from the catalog: a query that begins now must not name it.
    table.columns = table.columns.filter(({ id }) => id !== column.id);
    await state.store.write((connection) =>
      connection.run(`ALTER TABLE ${physicalName(table)} DROP COLUMN c${column.id}`),
    );
  });
  lightJob(session, table);
}

function renameColumn(table: Table, from: string, to: string): void {
  const column = existing(table, from);
  checkColumnName(to);
  const other = findColumn(table, to);
  if (other !== undefined && other !== column) throw refusal(`Column name[${to}] is already used`);
  column.name = to;
}

function renameTable(database: Database, table: Table, to: string): void {
  checkTableName(to);
  if (database.tables.has(to)) throw refusal(`Table name[${to}] is already used`);
  database.tables.delete(table.name);
  table.name = to;
  database.tables.set(to, table);
}

async function replaceTable(
  statement: Statement,
  session: Session,
  database: Database,
  table: Table,
): Promise<void> {
  const otherName = statement.identifier();
  const properties = statement.accept('PROPERTIES')
    ? statement.properties()
    : new Map<string, string>();
  const swap = (properties.get('swap') ?? 'true').toLowerCase() === 'true';
  const other = database.tables.get(otherName);
  if (other === undefined) throw ddlError(1109, `Unknown table '${otherName}'`);
  requirePrivilege(session.account, 'Alter_priv', database.name, otherName);
  [table.name, other.name] = [other.name, table.name];
  database.tables.set(other.name, other);
  if (swap) {
    database.tables.set(table.name, table);
  } else {
    database.tables.delete(otherName);
    await session.state.saveCatalog();
    await session.state.store.write((connection) =>
      connection.run(`DROP TABLE ${physicalName(table)}`),
    );
  }
}

async function modifyColumn(statement: Statement, session: Session, table: Table): Promise<void> {
  const start = statement.position;
  const name = statement.identifier();
  if (statement.accept('COMMENT')) {
    existing(table, name).comment = statement.string();
    return;
  }
  statement.rewind(start);
  const definition = parseColumn(statement);
  if (statement.accept('AFTER') || statement.accept('FIRST'))
    throw notModelled('reordering columns');
  const column = existing(table, definition.name);
  if (column.isKey !== definition.key)
    throw refusal(`Can not modify key attribute of column ${column.name}`);
  if (column.nullable && !definition.nullable)
    throw refusal('Can not change from nullable to non-nullable');
  if (JSON.stringify(column.default) !== JSON.stringify(definition.default))
    throw refusal(`Can not change default value of column ${column.name}`);
  const change = typeChange(column.type, definition.type);
  if (change === 'refused')
    throw refusal(`Can not change ${column.type.name} to ${definition.type.name}`);
  column.comment = definition.comment === '' ? column.comment : definition.comment;
  const light = change === 'light' && !column.isKey && column.nullable === definition.nullable;
  if (change === 'none' && column.nullable === definition.nullable)
    throw refusal('Nothing is changed. please check your alter stmt.');
  if (!light) return startHeavyChange(session, table, column, definition);
  column.type = definition.type;
  lightJob(session, table);
}

/** What a new type means: only the widenings of §3.3 are legal. */
function typeChange(from: ColumnType, to: ColumnType): 'none' | 'light' | 'heavy' | 'refused' {
  if (JSON.stringify(from) === JSON.stringify(to)) return 'none';
  if (from.name === 'VARCHAR' && to.name === 'VARCHAR')
    return to.length > from.length ? 'light' : 'refused';
  if (to.name === 'CHAR') return 'refused';
  const [fromBits, toBits] = [INTEGER_BITS[from.name], INTEGER_BITS[to.name]];
  if (fromBits !== undefined && toBits !== undefined)
    return toBits > fromBits ? 'heavy' : 'refused';
  const number = fromBits !== undefined || from.name === 'FLOAT' || from.name === 'DOUBLE';
  const text = from.name === 'CHAR' || from.name === 'VARCHAR';
  if (number && (to.name === 'DOUBLE' || (to.name === 'FLOAT' && from.name !== 'DOUBLE')))
    return 'heavy';
  if ((number || from.name === 'DECIMAL' || from.name === 'CHAR') && to.name === 'VARCHAR')
    return 'heavy';
  if (from.name === 'DECIMAL' && to.name === 'DECIMAL') {
    const whole = to.precision - to.scale >= from.precision - from.scale;
    return whole && to.scale >= from.scale ? 'heavy' : 'refused';
  }
  if (
    text &&
    (toBits !== undefined || to.name === 'FLOAT' || to.name === 'DOUBLE' || to.name === 'DATE')
  )
    return 'heavy';
  const dates = from.name === 'DATE' || from.name === 'DATETIME';
  if (dates && (to.name === 'DATE' || to.name === 'DATETIME')) return 'heavy';
  if (to.name === 'STRING' && !dates && from.name !== 'STRING') return 'heavy';
  return 'refused';
}

/** Starts a job that runs on after the statement's OK; its end is seen in SHOW ALTER TABLE COLUMN. */
function startHeavyChange(
  session: Session,
  table: Table,
  column: Column,
  { nullable, type }: ColumnDefinition,
): void {
  const { state } = session;
  const job: AlterJob = {
    id: state.catalog.nextId(),
    createTimeMs: Date.now(),
    state: 'PENDING',
    message: '',
  };
  table.alterJobs.push(job);
  const run = async (): Promise<void> => {
    // Half the time pending, half running; unref'ed, so that a stop does not wait for it.
    await sleep(state.settings.heavyAlterMs / 2, undefined, { ref: false });
    if (job.state === 'CANCELLED') return;
    job.state = 'RUNNING';
    await sleep(state.settings.heavyAlterMs / 2, undefined, { ref: false });
    if (job.state !== 'RUNNING') return;
    await state.inCommitOrder(table, async () => {
      await state.store.write((connection) =>
        connection.run(
          `ALTER TABLE ${physicalName(table)} ALTER c${column.id} SET DATA TYPE ${duckType(type)}`,
        ),
      );
      column.type = type;
      column.nullable = nullable;
    });
    job.state = 'FINISHED';
    job.finishTimeMs = Date.now();
    await state.saveCatalog();
  };
  run().catch((error: unknown) => {
    job.state = 'CANCELLED';
    job.finishTimeMs = Date.now();
    job.message = String(error).split('\n')[0]!;
  });
}

/** `CANCEL ALTER TABLE COLUMN FROM t` */
export function cancelAlter(statement: Statement, session: Session): Result {
  statement.expect('ALTER', 'TABLE', 'COLUMN', 'FROM');
  const [database, table] = tableOf(session, statement.path());
  statement.end();
  requirePrivilege(session.account, 'Alter_priv', database.name, table.name);
  const job = table.alterJobs.find(({ state }) => state === 'PENDING' || state === 'RUNNING');
  if (job === undefined) throw refusal(`Table[${table.name}] is not under SCHEMA_CHANGE.`);
  job.state = 'CANCELLED';
  job.finishTimeMs = Date.now();
  job.message = 'user cancelled';
  return OK;
}

const SHOW_COLUMNS = words(`JobId TableName CreateTime FinishTime IndexName IndexId OriginIndexId
    SchemaVersion TransactionId State Msg Progress Timeout`);

function timeText(ms: number | undefined): string {
  return ms === undefined ? '' : new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

/** `SHOW ALTER TABLE COLUMN [FROM db] [WHERE TableName = 't'] [ORDER BY CreateTime [DESC]] [LIMIT n]` */
export function showAlter(statement: Statement, session: Session): Result {
  const from = statement.accept('FROM') ? [...statement.path(), ''] : [''];
  const [databaseName] = resolvePath(session, from);
  const database = session.state.catalog.database(databaseName);
  let only: string | undefined;
  if (statement.accept('WHERE', 'TABLENAME')) {
    statement.expectSymbol('=');
    only = statement.string();
  }
  let descending = false;
  if (statement.accept('ORDER', 'BY', 'CREATETIME')) {
    descending = statement.accept('DESC');
    if (!descending) statement.accept('ASC');
  }
  const limit = statement.accept('LIMIT') ? statement.integer() : Infinity;
  statement.end();
  const jobs = [...database.tables.values()]
    .filter(({ name }) => only === undefined || name === only)
    .flatMap((table) => table.alterJobs.map((job) => ({ table, job })))
    .toSorted((a, b) => (descending ? b.job.id - a.job.id : a.job.id - b.job.id));
  const rows = jobs
    .slice(0, limit)
    .map(({ job, table }) => [
      String(job.id),
      table.name,
      timeText(job.createTimeMs),
      timeText(job.finishTimeMs),
      table.name,
      String(table.id),
      String(table.id),
      '1:0',
      '0',
      job.state,
      job.message,
      '',
      '2592000',
    ]);
  return textRows(SHOW_COLUMNS, rows);
}
