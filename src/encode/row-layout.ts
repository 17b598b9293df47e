import assert from 'node:assert/strict';
import type { TableSpec } from '../model/table.ts';

/** Doris' hidden column: 1 deletes the key (doris-target.md §2.2). The load names it in `hidden_columns`. */
export const DELETE_SIGN = '__DORIS_DELETE_SIGN__';

/** Key columns that stand next to each other in the row: hashed and compared as one range of bytes. */
export interface KeyRun {
  /** Index in `TableSpec.columns` of the run's first column. */
  readonly from: number;
  /** Index of the column whose start ends the run; the number of columns when the run reaches the row's end. */
  readonly until: number;
}

/** What a table's JSON lines look like, apart from the values. */
export interface RowLayout {
  /** By column: the text in front of the value, `{"id":` or `,"name":`; undefined for excluded columns. */
  readonly prefixes: readonly (string | undefined)[];
  readonly runs: readonly KeyRun[];
  /** After the last value: not deleted, deleted. */
  readonly tails: readonly [string, string];
}

/** The layout of `table`. Columns are written in the source's order, so a row is read and written in one pass. */
export function rowLayout(table: TableSpec): RowLayout {
  const written = table.columns.flatMap((column, i) => (column.excluded === true ? [] : [i]));
  const prefixes = table.columns.map((column, i) =>
    column.excluded === true
      ? undefined
      : `${i === written[0] ? '{' : ','}${JSON.stringify(column.name)}:`,
  );
  const keys = new Set(table.key);
  const isKey = (i: number) => keys.has(table.columns[i]!.name);
  const found = written.filter(isKey).length;
  assert(found > 0 && found === keys.size, `${table.name}: key columns must be columns`);
  const runs: KeyRun[] = [];
  written.forEach((column, nth) => {
    if (!isKey(column) || (nth > 0 && isKey(written[nth - 1]!))) return;
    const end = written.findIndex((other, m) => m > nth && !isKey(other));
    runs.push({ from: column, until: end === -1 ? table.columns.length : written[end]! });
  });
  return {
    prefixes,
    runs,
    tails: [`,"${DELETE_SIGN}":0}\n`, `,"${DELETE_SIGN}":1}\n`],
  };
}
