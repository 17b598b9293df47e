/** A piece of a statement. `name` is a quoted identifier, `string` a string in quotes: without them, escapes resolved roughly. */
export interface SqlToken {
  readonly kind: 'word' | 'name' | 'string' | 'other';
  /** Words as written. */
  readonly text: string;
}

const WORD = /[\w$\u0080-\uffff]+/y;
/** `/*!`, `/*!80019`, MariaDB's `/*M!100401`: what follows is part of the statement. */
const EXECUTABLE = /\/\*M?!\d{0,6}/y;

/**
 * Cuts a statement as MySQL's lexer does (MySQL 8.4 manual, "Comments", "String Literals"), for looking at its
 * beginning and at the names in it. Never throws: a string or comment without an end reaches to the end of the text.
 */
export function sqlTokens(sql: string): readonly SqlToken[] {
  const tokens: SqlToken[] = [];
  let at = 0;
  while (at < sql.length) {
    const gap = skipGap(sql, at);
    if (gap > at) {
      at = gap;
      continue;
    }
    const char = sql[at]!;
    if (char === '`' || char === "'" || char === '"') {
      const [text, end] = readQuoted(sql, at, char);
      tokens.push({ kind: char === '`' ? 'name' : 'string', text });
      at = end;
      continue;
    }
    WORD.lastIndex = at;
    const word = WORD.exec(sql)?.[0];
    tokens.push(word === undefined ? { kind: 'other', text: char } : { kind: 'word', text: word });
    at += word?.length ?? 1;
  }
  return tokens;
}

/** End of the blank or comment at `at`; `at` when there is none. The marks of an executable comment count as blank. */
function skipGap(sql: string, at: number): number {
  const char = sql[at]!;
  if (char <= ' ') return at + 1;
  if (char === '#' || startsDashComment(sql, at)) {
    const end = sql.indexOf('\n', at);
    return end === -1 ? sql.length : end + 1;
  }
  if (char === '*' && sql[at + 1] === '/') return at + 2;
  if (char !== '/' || sql[at + 1] !== '*') return at;
  EXECUTABLE.lastIndex = at;
  const mark = EXECUTABLE.exec(sql);
  if (mark !== null) return at + mark[0].length;
  const end = sql.indexOf('*/', at + 2);
  return end === -1 ? sql.length : end + 2;
}

/** `--` begins a comment only before a blank, a control character or the end. */
function startsDashComment(sql: string, at: number): boolean {
  return sql.startsWith('--', at) && (sql[at + 2] ?? ' ') <= ' ';
}

function readQuoted(sql: string, start: number, quote: string): readonly [string, number] {
  let text = '';
  let at = start + 1;
  while (at < sql.length) {
    const char = sql[at]!;
    if (char === quote) {
      if (sql[at + 1] !== quote) return [text, at + 1];
      at++;
    } else if (char === '\\' && quote !== '`' && at + 1 < sql.length) {
      at++;
    }
    text += sql[at];
    at++;
  }
  return [text, at];
}
