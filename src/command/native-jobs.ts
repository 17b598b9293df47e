import { TVF_COLUMNS, type TvfName } from '../sql/tvf-call.ts';
import { FrontendError, type Caller, type FrontendRows } from './commands.ts';

/** What stands in a column that this release of Doris does not have (job-sql.md §3.2). */
const MISSING = String.raw`\N`;

/** Names of the insert jobs that Doris itself has, as far as the caller may see them. */
export async function nativeJobNames(caller: Caller): Promise<ReadonlySet<string>> {
  const { rows } = await askOrNothing(caller, 'select Name from jobs("type"="insert")');
  return new Set(rows.map(([name]) => name ?? ''));
}

/** Rows of Doris' own `jobs()` or `tasks()`, padded to our columns. */
export async function nativeRows(
  caller: Caller,
  table: TvfName,
): Promise<readonly (readonly string[])[]> {
  const { columns, rows } = await askOrNothing(caller, `select * from ${table}("type"="insert")`);
  const places = TVF_COLUMNS[table].map((name) =>
    columns.findIndex((column) => column.toLowerCase() === name.toLowerCase()),
  );
  return rows.map((row) => places.map((place) => row[place] ?? MISSING));
}

/** An FE without these functions, or one that shows them to administrators only, has nothing to add. */
async function askOrNothing(caller: Caller, sql: string): Promise<FrontendRows> {
  try {
    return await caller.ask(sql);
  } catch (error) {
    if (error instanceof FrontendError) return { columns: [], rows: [] };
    throw error;
  }
}
