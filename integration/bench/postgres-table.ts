import type { TableSelection } from '../../src/source/source.ts';

export const ALL_TABLES: TableSelection = {
  include: [],
  exclude: [],
  targets: {},
  excludeColumns: {},
};

/** SQL that makes the table of libraries.md §2: eight columns of everyday types, about 270 bytes a row as JSON. */
export function benchTable(name: string, rows: number): string {
  return `
    CREATE TABLE ${name} (id int PRIMARY KEY, c32 varchar(32), c100 varchar(100), d numeric(18,4), dt timestamp,
      f double precision, b bigint, tx text);
    INSERT INTO ${name} ${benchRows(1, rows)}`;
}

/** A SELECT of such rows. */
export function benchRows(from: number, to: number): string {
  return `
    SELECT i, 'name of customer ' || lpad(i::text, 7, '0'), rpad('street "' || i || '" ', 72, 'abcdefgh '), i * 1.2345,
      '2024-01-01'::timestamp + i * interval '1 second', round((random() * 1000)::numeric, 4)::float8, i * 1000003::bigint,
      CASE WHEN i % 20 = 0 THEN NULL ELSE rpad('remark ' || i, 61, ' and so on') END
    FROM generate_series(${from}, ${to}) i`;
}

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
