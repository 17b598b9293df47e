import type { DuckDBConnection } from '@duckdb/node-api';
import { type Column, sequenceType, type Table } from './catalog.ts';
import { type ColumnType, duckType } from './column-type.ts';
import { refusal } from './sql-error.ts';
import { defaultSql, physicalName } from './store.ts';
import type { TableLoad } from './table-load.ts';

/**
 * Puts the staged rows of a load into its table inside the caller's DuckDB transaction, by the rule of doris-target.md §2.6.
 * The table is taken as it is now: a light ALTER may have run since the load began.
 */
export async function mergeLoad(load: TableLoad): Promise<void> {
  const { connection, table } = load;
  await connection.run(`CREATE TEMP TABLE incoming AS ${incomingSql(load)}`);
  if (table.model === 'UNIQUE') {
    if (load.options.partial) await completePartialRows(load);
    await dropOlderRows(connection, table);
    await connection.run(
      `DELETE FROM ${physicalName(table)} AS old USING incoming AS new WHERE ${sameKey(table)}`,
    );
  }
  const names = [...table.columns.map(({ id }) => `c${id}`), ...hiddenNames(table)];
  const version = table.version + 1;
  const values = names.map((name) => (name === '__version' ? String(version) : name));
  await connection.run(
    `INSERT INTO ${physicalName(table)} (${names.join(', ')}) SELECT ${values.join(', ')} FROM incoming`,
  );
  await connection.run('DROP TABLE incoming');
  table.version = version;
}

function hiddenNames(table: Table): string[] {
  if (table.model !== 'UNIQUE') return [];
  return ['__delete', '__version', ...(table.sequence === undefined ? [] : ['__seq'])];
}

function sameKey(table: Table): string {
  return keys(table)
    .map(({ id }) => `old.c${id} IS NOT DISTINCT FROM new.c${id}`)
    .join(' AND ');
}

function keys(table: Table): Column[] {
  return table.columns.filter(({ isKey }) => isKey);
}

/**
 * A staged value in its column's type. DuckDB needs 6 µs to read a text into a 128-bit number, so numbers that are short
 * enough go through 64 bits.
 */
function typedSql(staged: string, type: ColumnType): string {
  const cast = `CAST(${staged} AS ${duckType(type)})`;
  if (type.name === 'LARGEINT')
    return `CASE WHEN length(${staged}) <= 18 THEN CAST(CAST(${staged} AS BIGINT) AS HUGEINT) ELSE ${cast} END`;
  if (type.name !== 'DECIMAL' || type.precision <= 18 || type.scale > 17) return cast;
  const short = `CAST(CAST(${staged} AS DECIMAL(18,${type.scale})) AS ${duckType(type)})`;
  return `CASE WHEN length(${staged}) <= 18 THEN ${short} ELSE ${cast} END`;
}

/** One row for each key, with every column that the load mentions or can fill. */
function incomingSql(load: TableLoad): string {
  const { options, table, targets } = load;
  const staged = (column: Column): string | undefined => {
    const index = targets.findIndex((target) => target.column?.id === column.id);
    return index < 0 ? undefined : typedSql(`s${index}`, column.type);
  };
  const columns = table.columns.flatMap((column) => {
    const value = staged(column) ?? (options.partial ? undefined : defaultSql(column));
    if (value === undefined && options.partial) return [];
    if (value === undefined) throw refusal(`Column has no default value, column=${column.name}`);
    return [`${value} AS c${column.id}`];
  });
  if (table.model !== 'UNIQUE') return `SELECT ${columns.join(', ')} FROM stage ORDER BY n`;
  const sign = targets.findIndex(({ role }) => role === 'delete');
  columns.push(`${sign < 0 ? '0' : `CAST(s${sign} AS TINYINT)`} AS __delete`, '0 AS __version');
  const sequence = sequenceSql(load);
  if (sequence !== undefined) columns.push(`${sequence} AS __seq`);
  // Ties of the sequence: the later row of the body. No sequence: Doris promises nothing, so the pick is free.
  const order = sequence === undefined ? 'pick, n DESC' : '__seq DESC NULLS LAST, n DESC';
  const partition = keys(table).map(({ id }) => `c${id}`);
  return `SELECT * EXCLUDE (n, pick) FROM (SELECT ${columns.join(', ')}, n, pick FROM stage)
    QUALIFY row_number() OVER (PARTITION BY ${partition.join(', ')} ORDER BY ${order}) = 1`;
}

function sequenceSql(load: TableLoad): string | undefined {
  const { table, targets } = load;
  const { sequence } = table;
  const type = sequenceType(table);
  if (sequence === undefined || type === undefined) return undefined;
  const index = targets.findIndex(({ role, column }) =>
    sequence.kind === 'column' ? column?.id === sequence.columnId : role === 'sequence',
  );
  return index < 0 ? undefined : typedSql(`s${index}`, type);
}

/** Fills the columns that a partial update does not mention from the stored rows, as of now (§2.5). */
async function completePartialRows(load: TableLoad): Promise<void> {
  const { connection, options, table, targets } = load;
  const unmentioned = table.columns.filter(
    ({ id }) => !targets.some(({ column }) => column?.id === id),
  );
  const fills = unmentioned.map((column) => {
    const fill = defaultSql(column) ?? 'NULL';
    return `CASE WHEN old.__version IS NULL THEN ${fill} ELSE old.c${column.id} END AS c${column.id}`;
  });
  if (table.sequence !== undefined && sequenceSql(load) === undefined)
    fills.push('old.__seq AS __seq');
  await connection.run(
    `CREATE TEMP TABLE completed AS SELECT ${['new.*', ...fills].join(', ')}, old.__version IS NULL AS is_new
     FROM incoming AS new LEFT JOIN (SELECT * FROM ${physicalName(table)} WHERE __delete = 0) AS old ON ${sameKey(table)}`,
  );
  const counted = await connection.runAndReadAll('SELECT count(*) FROM completed WHERE is_new');
  const newRows = Number(counted.getRows()[0]?.[0]);
  if (newRows > 0 && options.newKeys === 'ERROR')
    throw refusal('[E-7003]Can not append new rows in partial update');
  const bare = unmentioned.find((column) => defaultSql(column) === undefined);
  if (newRows > 0 && bare !== undefined)
    throw refusal(
      `the unmentioned column \`${bare.name}\` should have default value or be nullable for newly inserted rows in non-strict mode partial update`,
    );
  await connection.run('DROP TABLE incoming');
  await connection.run('CREATE TEMP TABLE incoming AS SELECT * EXCLUDE (is_new) FROM completed');
  await connection.run('DROP TABLE completed');
}

/** A row with a smaller sequence than the stored one has no effect; NULL is the smallest, an equal one replaces (§2.3). */
async function dropOlderRows(connection: DuckDBConnection, table: Table): Promise<void> {
  if (table.sequence === undefined) return;
  await connection.run(
    `DELETE FROM incoming AS new USING ${physicalName(table)} AS old
     WHERE ${sameKey(table)} AND old.__seq IS NOT NULL AND (new.__seq IS NULL OR new.__seq < old.__seq)`,
  );
}
