/**
 * What a token is. `broken` is a string, quoted name or comment that never ends: it reaches to the end of the text,
 * and whoever sees one leaves the statement to Doris.
 */
export type TokenKind = 'word' | 'number' | 'string' | 'quoted' | 'punctuation' | 'broken';

/** A piece of a statement. White space and comments (hints too) are no tokens: they are the gaps between them. */
export interface Token {
  readonly kind: TokenKind;
  /** Index of the first UTF-16 unit, quotes included. */
  readonly start: number;
  /** Index after the last one. */
  readonly end: number;
  /** `string` and `quoted`: the value without quotes, escapes resolved. Otherwise as written. */
  readonly text: string;
}

const COMMENT_EDGE = /\/\*|\*\//g;
const NUMBER = /\d+(?:\.\d*)?(?:e[+-]?\d+)?/iy;

/**
 * Cuts a text into tokens by the lexical rules of Doris (job-sql.md §1.3): strings in single or double quotes with
 * backslash escapes and doubled quotes, names in backquotes, `--` (no blank needed, a backslash before the line's end
 * continues it), `#` and nested `/* … *\/` comments. Punctuation is one character each.
 * Never throws; linear in the length of the text.
 *
 * @param max no more tokens than these are read.
 */
export function tokenize(sql: string, max = Infinity): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < sql.length && tokens.length < max) {
    const gapEnd = skipGap(sql, at);
    if (gapEnd === undefined) {
      tokens.push({ kind: 'broken', start: at, end: sql.length, text: '' });
      break;
    }
    if (gapEnd >= sql.length) break;
    const token = readToken(sql, gapEnd);
    tokens.push(token);
    at = token.end;
  }
  return tokens;
}

/** Whether `token` is the bare word `word` (given in upper case). */
export function isWord(token: Token | undefined, word: string): boolean {
  return (
    token?.kind === 'word' && token.text.length === word.length && token.text.toUpperCase() === word
  );
}

/** Whether `token` is the punctuation character `character`. */
export function isPunctuation(token: Token | undefined, character: string): boolean {
  return token?.kind === 'punctuation' && token.text === character;
}

/** End of the white space and comments that start at `at`; undefined when a comment never ends. */
function skipGap(sql: string, at: number): number | undefined {
  let i = at;
  while (i < sql.length) {
    const code = sql.charCodeAt(i);
    if (isSpace(code)) {
      i += 1;
    } else if (code === 0x23 || (code === 0x2d && sql.charCodeAt(i + 1) === 0x2d)) {
      i = lineCommentEnd(sql, i);
    } else if (code === 0x2f && sql.charCodeAt(i + 1) === 0x2a) {
      const end = blockCommentEnd(sql, i);
      if (end === undefined) return undefined;
      i = end;
    } else {
      break;
    }
  }
  return i;
}

/** Blank and control characters; a byte order mark and NUL too, which some clients send around a statement. */
function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d) || code === 0xfeff || code === 0;
}

function lineCommentEnd(sql: string, start: number): number {
  let i = start;
  for (;;) {
    const end = sql.indexOf('\n', i);
    if (end < 0) return sql.length;
    if (sql.charCodeAt(end - 1) !== 0x5c) return end + 1;
    i = end + 1;
  }
}

function blockCommentEnd(sql: string, start: number): number | undefined {
  let depth = 0;
  COMMENT_EDGE.lastIndex = start;
  for (;;) {
    const edge = COMMENT_EDGE.exec(sql);
    if (edge === null) return undefined;
    depth += edge[0] === '/*' ? 1 : -1;
    if (depth === 0) return COMMENT_EDGE.lastIndex;
  }
}

function readToken(sql: string, start: number): Token {
  const code = sql.charCodeAt(start);
  if (code === 0x27 || code === 0x22) return readString(sql, start, code);
  if (code === 0x60) return readQuotedName(sql, start);
  if (!isWordUnit(code)) {
    return { kind: 'punctuation', start, end: start + 1, text: sql.charAt(start) };
  }
  let end = start + 1;
  while (end < sql.length && isWordUnit(sql.charCodeAt(end))) end += 1;
  if (code >= 0x30 && code <= 0x39) {
    NUMBER.lastIndex = start;
    const numberEnd = start + (NUMBER.exec(sql)?.[0].length ?? 0);
    // `1st` is a name in Doris, `1e5` and `1.5` are numbers.
    if (numberEnd >= end && !isWordUnit(sql.charCodeAt(numberEnd))) {
      return { kind: 'number', start, end: numberEnd, text: sql.slice(start, numberEnd) };
    }
  }
  return { kind: 'word', start, end, text: sql.slice(start, end) };
}

function isWordUnit(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x30 && code <= 0x39) ||
    code === 0x5f ||
    code === 0x24 ||
    (code >= 0x80 && code !== 0xfeff)
  );
}

const ESCAPES: Readonly<Record<string, string>> = {
  '0': '\0',
  b: '\b',
  n: '\n',
  r: '\r',
  t: '\t',
  Z: '\u001a',
  // Kept with their backslash: it is LIKE that reads them.
  '%': '\\%',
  _: '\\_',
};

function readString(sql: string, start: number, quote: number): Token {
  let text = '';
  let plainFrom = start + 1;
  for (let i = plainFrom; i < sql.length; i += 1) {
    const code = sql.charCodeAt(i);
    if (code === 0x5c) {
      const escaped = sql.charAt(i + 1);
      text += sql.slice(plainFrom, i) + (ESCAPES[escaped] ?? escaped);
      i += 1;
      plainFrom = i + 1;
    } else if (code === quote) {
      text += sql.slice(plainFrom, i);
      if (sql.charCodeAt(i + 1) !== quote) return { kind: 'string', start, end: i + 1, text };
      i += 1;
      plainFrom = i; // the second quote of the pair stands for itself
    }
  }
  return { kind: 'broken', start, end: sql.length, text: '' };
}

function readQuotedName(sql: string, start: number): Token {
  let from = start + 1;
  for (;;) {
    const close = sql.indexOf('`', from);
    if (close < 0) return { kind: 'broken', start, end: sql.length, text: '' };
    if (sql.charCodeAt(close + 1) !== 0x60) {
      const text = sql.slice(start + 1, close).replaceAll('``', '`');
      return { kind: 'quoted', start, end: close + 1, text };
    }
    from = close + 2;
  }
}
