import type { SnapshotSplit } from '../../model/job.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import type { Session } from './connection.ts';
import { quoteLiteral, quoteName, quoteTable } from './sql-text.ts';

/**
 * The split after `previous`: `rows` keys from where that one ended, one step through the primary key's index. The
 * server does all comparing, on the whole key, in its own collation; bounds are the server's text of the key's values.
 */
export async function nextSplit(
  session: Session,
  table: TableSpec,
  partitioned: boolean,
  rows: number,
  previous: SnapshotSplit | undefined,
): Promise<SnapshotSplit | undefined> {
  if (previous !== undefined && previous.splitEnd === undefined) return undefined;
  const start = previous?.splitEnd;
  const keys = table.key.map(quoteName).join(', ');
  const where = start === undefined ? '' : `WHERE ${compare(table, '>=', start)}`;
  const [bound] = await session.rows<{ readonly bound: string[] }>(
    `SELECT ARRAY[${table.key.map((name) => `${quoteName(name)}::text`).join(', ')}] AS bound
     FROM ${fromTable(table, partitioned)} ${where} ORDER BY ${keys} OFFSET ${Math.max(1, Math.trunc(rows))} LIMIT 1`,
    [],
    SPLIT_TIMEOUT_MS,
  );
  return {
    splitId: `${tableId(table)}:${splitNumber(previous) + 1}`,
    tableId: tableId(table),
    splitKey: table.key,
    ...(start === undefined ? {} : { splitStart: start }),
    ...(bound === undefined ? {} : { splitEnd: bound.bound }),
  };
}

/** Without a fresh visibility map the walk through the index looks at every row. */
const SPLIT_TIMEOUT_MS = 300_000;

function splitNumber(split: SnapshotSplit | undefined): number {
  return split === undefined ? -1 : Number(split.splitId.slice(split.splitId.lastIndexOf(':') + 1));
}

/** The COPY of a split's rows, in the order that {@link RowEncoder.copyRow} reads. */
export function splitCopy(table: TableSpec, partitioned: boolean, split: SnapshotSplit): string {
  const bounds = [
    ...(split.splitStart === undefined ? [] : [compare(table, '>=', split.splitStart)]),
    ...(split.splitEnd === undefined ? [] : [compare(table, '<', split.splitEnd)]),
  ];
  const where = bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`;
  return `COPY (SELECT ${copiedColumns(table)} FROM ${fromTable(table, partitioned)}${where}) TO STDOUT`;
}

/** The copied columns of a row source named `alias`, or of the only one. */
export function copiedColumns(table: TableSpec, alias = ''): string {
  return table.columns
    .flatMap((c) => (c.excluded === true ? [] : [`${alias}${quoteName(c.name)}`]))
    .join(', ');
}

/** ONLY: tables that inherit from this one are tables of their own, in the publication too. */
export function fromTable(table: TableSpec, partitioned: boolean): string {
  return `${partitioned ? '' : 'ONLY '}${quoteTable(table)}`;
}

/** A key value's text as its column's type; names of types come with their schema. */
export function keyLiteral(table: TableSpec, name: string, text: string): string {
  const type = table.columns.find((column) => column.name === name)!.sourceType;
  return `${quoteLiteral(text)}::${type}`;
}

function compare(table: TableSpec, operator: string, values: readonly string[]): string {
  const left = table.key.map(quoteName).join(', ');
  const right = table.key.map((name, i) => keyLiteral(table, name, values[i] ?? '')).join(', ');
  return `ROW(${left}) ${operator} ROW(${right})`;
}
