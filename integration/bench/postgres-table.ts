import type { TableSelection } from '../../src/source/source.ts';

export const ALL_TABLES: TableSelection = {
  include: [],
  exclude: [],
  targets: {},
  excludeColumns: {},
};

/** SQL that makes a table as an application has it: numbers, text, money, times; about 200 bytes a row as JSON. */
export function benchTable(name: string, rows: number): string {
  return `
    CREATE TABLE ${name} (id bigint PRIMARY KEY, customer int NOT NULL, state smallint, name varchar(40), note text,
      price numeric(12,2), ratio double precision, active boolean, created timestamptz, day date);
    INSERT INTO ${name} ${benchRows(1, rows)}`;
}

/** A SELECT of such rows. */
export function benchRows(from: number, to: number): string {
  return `
    SELECT i, i % 100000, i % 7, 'customer ' || i, CASE WHEN i % 50 = 0 THEN E'line\\nbreak "' ELSE repeat('note ' || i % 1000, 6) END,
      i * 1.37 % 10000000, i / 7.0, i % 2 = 0, '2024-01-01'::timestamptz + i * interval '1.000001 second', '2024-01-01'::date + (i % 1000)::int
    FROM generate_series(${from}::bigint, ${to}) i`;
}
