import { showGrants } from './account-statements.ts';
import { showAlter } from './alter-table.ts';
import { SYSTEM_DATABASES, type Table, DELETE_SIGN, SEQUENCE_COLUMN } from './catalog.ts';
import { typeText } from './column-type.ts';
import { createTableText } from './create-table.ts';
import { defaultText, visibleDatabases } from './information-schema.ts';
import { isLike, type Result, type Row, textRows, words } from './result.ts';
import { readDorisVersion } from './session-variables.ts';
import { resolvePath, type Session } from './session.ts';
import { ddlError, notModelled } from './sql-error.ts';
import { isWord, type Statement } from './tokens.ts';
import { holds, requirePrivilege } from './users.ts';

const EMPTY: Readonly<Record<string, readonly string[]>> = {
  WARNINGS: ['Level', 'Code', 'Message'],
  ERRORS: ['Level', 'Code', 'Message'],
  PLUGINS: ['Name', 'Status', 'Type', 'Library', 'License'],
  EVENTS: ['Db', 'Name', 'Definer', 'Time', 'Type', 'Status'],
  TRIGGERS: ['Trigger', 'Event', 'Table', 'Statement', 'Timing', 'Created'],
};

/** `SHOW ...` (doris-target.md §4.9, §6). @throws SqlError 1105 for a form that is not modelled */
export function show(statement: Statement, session: Session): Result {
  const scoped = statement.accept('GLOBAL') || statement.accept('SESSION');
  if (statement.accept('VARIABLES')) return showVariables(statement, session);
  if (scoped) throw notModelled(statement.text);
  if (statement.accept('DATABASES') || statement.accept('SCHEMAS'))
    return filtered(
      statement,
      ['Database'],
      visibleDatabases(session).map((name) => [name]),
    );
  const full = statement.accept('FULL');
  if (statement.accept('TABLES')) return showTables(statement, session, full);
  if (statement.accept('COLUMNS') || statement.accept('FIELDS'))
    return showColumns(statement, session, full);
  if (statement.accept('PROCESSLIST')) return showProcesses(statement, session);
  if (full) throw notModelled(statement.text);
  if (statement.accept('CREATE', 'TABLE')) return showCreateTable(statement, session);
  if (statement.accept('CREATE', 'DATABASE')) return showCreateDatabase(statement, session);
  if (statement.accept('ALTER', 'TABLE', 'COLUMN')) return showAlter(statement, session);
  if (statement.accept('PARTITIONS')) return showPartitions(statement, session);
  if (statement.accept('GRANTS')) return showGrants(statement, session, false);
  if (statement.accept('ALL', 'GRANTS')) return showGrants(statement, session, true);
  if (statement.accept('BACKENDS')) return showBackends(statement, session);
  if (statement.accept('FRONTENDS')) return showFrontends(statement, session);
  if (statement.accept('FRONTEND', 'CONFIG')) return showConfig(statement, session);
  return showFixed(statement);
}

/** Two settings of Doris 4.0, one of which the proxy has too. */
function showConfig(statement: Statement, { account }: Session): Result {
  requirePrivilege(account, 'Admin_priv');
  return filtered(statement, words('Key Value Type IsMutable MasterOnly Comment'), [
    ['enable_debug_points', 'false', 'boolean', 'true', 'false', ''],
    ['max_streaming_job_num', '1024', 'int', 'true', 'true', ''],
  ]);
}

function showFixed(statement: Statement): Result {
  const word = statement.peek()?.text.toUpperCase() ?? '';
  const empty = EMPTY[word];
  if (empty !== undefined) {
    statement.next();
    return filtered(statement, empty, []);
  }
  if (statement.accept('CATALOGS'))
    return filtered(
      statement,
      ['CatalogId', 'CatalogName', 'Type', 'IsCurrent', 'CreateTime', 'LastUpdateTime', 'Comment'],
      [['0', 'internal', 'internal', 'Yes', 'UNRECORDED', null, 'Doris internal catalog']],
      1,
    );
  if (statement.accept('ENGINES'))
    return filtered(
      statement,
      ['Engine', 'Support', 'Comment', 'Transactions', 'XA', 'Savepoints'],
      [['Olap engine', 'YES', 'Default storage engine of palo', 'NO', 'NO', 'NO']],
    );
  if (statement.accept('CHARSET') || statement.accept('CHARACTER', 'SET'))
    return filtered(
      statement,
      ['CHARSET', 'Description', 'Default collation', 'Maxlen'],
      [['utf8mb4', 'UTF-8 Unicode', 'utf8mb4_0900_bin', '4']],
    );
  if (statement.accept('COLLATION'))
    return filtered(
      statement,
      ['Collation', 'Charset', 'Id', 'Default', 'Compiled', 'Sortlen'],
      [['utf8mb4_0900_bin', 'utf8mb4', '309', 'Yes', 'Yes', '1']],
    );
  throw notModelled(`SHOW ${word}`);
}

/** Applies `LIKE 'pattern'` or `WHERE column = 'value' [OR ...]`; anything else is refused. */
function filtered(
  statement: Statement,
  names: readonly string[],
  rows: readonly Row[],
  likeColumn = 0,
): Result {
  let kept = rows;
  if (statement.accept('LIKE')) {
    const pattern = statement.string();
    kept = rows.filter((row) => isLike(row[likeColumn] ?? '', pattern));
  } else if (statement.accept('WHERE')) {
    const tests: ((row: Row) => boolean)[] = [];
    do {
      const name = statement.identifier().toLowerCase();
      const column = names.findIndex((each) => each.toLowerCase() === name);
      if (column < 0) throw notModelled(`SHOW ... WHERE ${name}`);
      const like = statement.accept('LIKE');
      if (!like) statement.expectSymbol('=');
      const value = statement.string();
      tests.push((row) => (like ? isLike(row[column] ?? '', value) : row[column] === value));
    } while (statement.accept('OR'));
    kept = rows.filter((row) => tests.some((test) => test(row)));
  }
  statement.end();
  return textRows(names, kept);
}

function showVariables(statement: Statement, { variables }: Session): Result {
  const names = ['Variable_name', 'Value', 'Default_Value', 'Changed'];
  return filtered(statement, names, variables.rows());
}

function showTables(statement: Statement, session: Session, full: boolean): Result {
  const from = statement.accept('FROM') || statement.accept('IN') ? statement.path() : [];
  const [database] = resolvePath(session, [...from, '']);
  const { account, state } = session;
  if (!state.catalog.has(database)) throw ddlError(1049, `Unknown database '${database}'`);
  const tables = [...(state.catalog.databases.get(database)?.tables.keys() ?? [])].toSorted();
  const visible = tables.filter((name) =>
    (['Select_priv', 'Load_priv', 'Alter_priv', 'Create_priv', 'Drop_priv'] as const).some(
      (privilege) => holds(account, privilege, database, name),
    ),
  );
  const heading = `Tables_in_${database}`;
  if (!full)
    return filtered(
      statement,
      [heading],
      visible.map((name) => [name]),
    );
  return filtered(
    statement,
    [heading, 'Table_type', 'Storage_format', 'Inverted_index_storage_format'],
    visible.map((name) => [name, 'BASE TABLE', 'V2', 'V3']),
  );
}

function readTable(statement: Statement, session: Session): Table {
  const path = statement.path();
  if (statement.accept('FROM') || statement.accept('IN')) path.unshift(...statement.path());
  const [database, name] = resolvePath(session, path);
  if (SYSTEM_DATABASES.includes(database)) throw notModelled(`DESC of ${database}.${name}`);
  const table = session.state.catalog.table(database, name);
  requirePrivilege(session.account, 'Select_priv', database, name);
  return table;
}

/** One row for each column: Field, Type, Null, Key, Default, Extra. */
function describeRows(table: Table, hidden: boolean): string[][] {
  const rows = table.columns.map((column) => [
    column.name,
    typeText(column.type),
    column.nullable ? 'Yes' : 'No',
    String(column.isKey),
    defaultText(column) ?? '\\N',
    column.isKey || table.model === 'DUPLICATE' ? (column.isKey ? '' : 'NONE') : 'NONE',
  ]);
  if (!hidden || table.model !== 'UNIQUE') return rows;
  rows.push([DELETE_SIGN, 'tinyint', 'No', 'false', '0', 'NONE']);
  if (table.sequence !== undefined)
    rows.push([SEQUENCE_COLUMN, 'bigint', 'Yes', 'false', '\\N', 'NONE']);
  return rows;
}

/** A cell of a result made by the FE that reads `\N` goes out as NULL (§4.4). */
const nulled = (row: readonly string[]): Row => row.map((cell) => (cell === '\\N' ? null : cell));

/** `DESC t` */
export function describe(statement: Statement, session: Session): Result {
  const table = readTable(statement, session);
  if (isWord(statement.peek(), 'ALL')) throw notModelled('DESC ... ALL');
  statement.end();
  const rows = describeRows(table, session.variables.isOn('show_hidden_columns')).map(nulled);
  return textRows(['Field', 'Type', 'Null', 'Key', 'Default', 'Extra'], rows);
}

/** `SHOW [FULL] COLUMNS`, which has other words for yes and no than DESC. */
function showColumns(statement: Statement, session: Session, full: boolean): Result {
  if (!statement.accept('FROM')) statement.expect('IN');
  const table = readTable(statement, session);
  const described = describeRows(table, session.variables.isOn('show_hidden_columns')).map(nulled);
  const rows = described.map(([field, type, isNull, key, value, extra], i): Row => {
    const answers = [isNull === 'Yes' ? 'YES' : 'NO', key === 'true' ? 'YES' : 'NO'];
    const [name = '', text = '', from = null, kind = ''] = [field, type, value, extra];
    const start: Row = full ? [name, text, ''] : [name, text];
    const comment: Row = full ? ['', table.columns[i]?.comment ?? ''] : [];
    return start.concat(answers, from, kind, comment);
  });
  const names = full
    ? 'Field Type Collation Null Key Default Extra Privileges Comment'
    : 'Field Type Null Key Default Extra';
  return filtered(statement, words(names), rows);
}

function showCreateTable(statement: Statement, session: Session): Result {
  const table = readTable(statement, session);
  statement.end();
  return textRows(['Table', 'Create Table'], [[table.name, createTableText(table)]]);
}

function showCreateDatabase(statement: Statement, session: Session): Result {
  const name = statement.path().at(-1)!;
  statement.end();
  if (!session.state.catalog.has(name)) throw ddlError(1049, `Unknown database '${name}'`);
  return textRows(['Database', 'Create Database'], [[name, `CREATE DATABASE \`${name}\``]]);
}

/** The one partition of a table that has no partitions, with the columns that need no model. */
function showPartitions(statement: Statement, session: Session): Result {
  statement.expect('FROM');
  const [database, name] = resolvePath(session, statement.path());
  statement.end();
  const table = session.state.catalog.table(database, name);
  requirePrivilege(session.account, 'Load_priv', database, name);
  const id = table.id * 1000 + (table.truncations ?? 0);
  return textRows(
    ['PartitionId', 'PartitionName', 'VisibleVersion', 'State'],
    [[String(id), name, String(table.version), 'NORMAL']],
  );
}

function showProcesses(statement: Statement, session: Session): Result {
  statement.end();
  const names = words(`CurrentConnected Id User Host LoginTime Catalog Db Command Time State QueryId
    TraceId Info FE CloudCluster`);
  const visible = [...session.sessions.values()].filter(
    ({ account }) => account.user === session.account.user || holds(session.account, 'Admin_priv'),
  );
  const rows = visible.map((each): Row => [
    each === session ? 'Yes' : 'No',
    String(each.connectionId),
    each.account.user,
    each.address,

    each.loginTime.toISOString().slice(0, 19).replace('T', ' '),
    'internal',
    each.database ?? '',
    each.running === undefined ? 'Sleep' : 'Query',
    '0',
    'OK',
    '',
    '',
    each.running ?? '',
    '127.0.0.1',
    '',
  ]);
  return textRows(names, rows);
}

function showBackends(statement: Statement, { account, state }: Session): Result {
  statement.end();
  if (!holds(account, 'Node_priv')) requirePrivilege(account, 'Admin_priv');
  const names = words(`BackendId Host HeartbeatPort BePort HttpPort BrpcPort ArrowFlightSqlPort
    LastStartTime LastHeartbeat Alive SystemDecommissioned TabletNum
    DataUsedCapacity TrashUsedCapacity AvailCapacity TotalCapacity UsedPct
    MaxDiskUsedPct RemoteUsedCapacity Tag ErrMsg Version Status
    HeartbeatFailureCounter CpuCores Memory RunningTasks NodeRole`);
  const alive = !state.faults.isArmed('beDown');
  const row = [
    '10001',
    '127.0.0.1',
    '9050',
    '9060',
    String(state.ports.be),
    '8060',
    '-1',
    '2026-01-01 00:00:00',
    '2026-01-01 00:00:00',
    String(alive),
    'false',
    '10',
    '0.000 ',
    '0.000 ',
    '1.000 GB',
    '1.000 GB',
    '0.00 %',
    '0.00 %',
    '0.000 ',
    '{"location" : "default"}',
    '',
    versionName(state.settings.versionComment),
    '{"lastSuccessReportTabletsTime":"N/A","isQueryDisabled":false,"isLoadDisabled":false}',
    '0',
    '2',
    '1.00 GB',
    '0',
    'mix',
  ];
  return textRows(names, [row]);
}

function showFrontends(statement: Statement, { account, state }: Session): Result {
  statement.end();
  if (!holds(account, 'Node_priv')) requirePrivilege(account, 'Admin_priv');
  const names = words(`Name Host EditLogPort HttpPort QueryPort RpcPort ArrowFlightSqlPort Role
    IsMaster ClusterId Join Alive ReplayedJournalId LastStartTime LastHeartbeat
    IsHelper ErrMsg Version CurrentConnected`);
  const row = [
    'fe_standin',
    '127.0.0.1',
    '9010',
    String(state.ports.http),
    String(state.ports.query),
    '9020',
    '-1',
    'FOLLOWER',
    'true',
    '1',
    'true',
    'true',
    '1',
    '2026-01-01 00:00:00',
    '2026-01-01 00:00:00',
    'true',
    '',
    versionName(state.settings.versionComment),
    'Yes',
  ];
  return textRows(names, [row]);
}

function versionName(comment: string): string {
  return `doris-${readDorisVersion(comment)}-standin`;
}
