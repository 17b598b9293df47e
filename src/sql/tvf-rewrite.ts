import { isPunctuation, isWord, type Token } from './tokenizer.ts';
import { TVF_COLUMNS, type QueryText, type TvfName } from './tvf-call.ts';

/** Rows in the order of {@link TVF_COLUMNS}. */
export type TvfRows = readonly (readonly string[])[];

/** Words that may follow a table without being its alias. */
const AFTER_TABLE = new Set(
  (
    'WHERE JOIN INNER LEFT RIGHT FULL CROSS SEMI ANTI NATURAL OUTER ON USING GROUP ORDER HAVING LIMIT OFFSET UNION ' +
    'INTERSECT EXCEPT MINUS LATERAL TABLESAMPLE WINDOW QUALIFY INTO FOR SET PIVOT UNPIVOT'
  ).split(' '),
);

/**
 * The query for Doris: every call is a derived table of literal rows, every `?` its value; the rest stays as written,
 * hints included. A call without alias gets one, because a derived table must have it.
 *
 * @param rows of each table that is called.
 * @param parameters as many as there are `?`.
 */
export function rewriteTvfQuery(
  query: QueryText,
  rows: (table: TvfName) => TvfRows,
  parameters: readonly (string | number | bigint | null)[],
): string {
  const { sql, tokens, calls } = query;
  let text = '';
  let end = 0;
  let parameter = 0;
  let unnamed = 0;
  let call = calls[0];
  let nextCall = 1;
  for (let i = 0; i < tokens.length; i += 1) {
    const token = tokens[i];
    if (token === undefined) break;
    if (call !== undefined && i === call.from) {
      text += sql.slice(end, token.start) + derivedTable(call.name, rows(call.name));
      if (!hasAlias(tokens, call.to)) {
        unnamed += 1;
        text += ` ${call.name}${unnamed === 1 ? '' : `_${unnamed}`}`;
      }
      i = call.to - 1;
      end = tokens[i]?.end ?? end;
      call = calls[nextCall];
      nextCall += 1;
    } else if (isPunctuation(token, '?')) {
      text += sql.slice(end, token.start) + sqlLiteral(parameters[parameter] ?? null);
      parameter += 1;
      end = token.end;
    }
  }
  return text + sql.slice(end, tokens.at(-1)?.end ?? end);
}

/** A value as Doris reads it back. A quote is doubled, and only backslashes and NUL need an escape. */
export function sqlLiteral(value: string | number | bigint | null): string {
  if (value === null) return 'NULL';
  if (typeof value !== 'string') return String(value);
  const escaped = value.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\0', '\\0');
  return `'${escaped}'`;
}

function hasAlias(tokens: readonly Token[], after: number): boolean {
  const next = tokens[after];
  if (isWord(next, 'AS') || next?.kind === 'quoted') return true;
  return next?.kind === 'word' && !AFTER_TABLE.has(next.text.toUpperCase());
}

/** Longest VARCHAR of Doris, in bytes. */
const VARCHAR_MAX = 65_533;

/**
 * Columns are VARCHAR like those of an answer of our own: STRING comes to clients marked as binary (doris-target.md §4.4). A
 * column with a longer value has to be STRING all the same.
 */
function derivedTable(table: TvfName, rows: TvfRows): string {
  const columns = TVF_COLUMNS[table].map((name, i) => {
    const long = rows.some((row) => Buffer.byteLength(row[i] ?? '') > VARCHAR_MAX);
    return { name, type: long ? 'STRING' : `VARCHAR(${VARCHAR_MAX})` };
  });
  const select = (row: readonly string[]): string => {
    const values = columns.map(
      ({ name, type }, i) => `CAST(${sqlLiteral(row[i] ?? '')} AS ${type}) AS \`${name}\``,
    );
    return `SELECT ${values.join(', ')}`;
  };
  if (rows.length === 0) return `(SELECT * FROM (${select([])}) no_rows WHERE 1 = 0)`;
  return `(${rows.map((row) => select(row)).join(' UNION ALL ')})`;
}
