import { refusal, type SqlError } from './sql-error.ts';

export type TokenKind =
  | 'word'
  | 'quoted'
  | 'string'
  | 'number'
  | 'symbol'
  | 'parameter'
  | 'variable';

export interface Token {
  readonly kind: TokenKind;
  /** The value: without quotes, escapes resolved. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  '0': '\0',
  Z: '\u001A',
  '%': '\\%',
  _: '\\_',
};

const SKIPPED = /(?:\s+|--[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/)+/y;
const NUMBER = /(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/y;
const WORD = /[A-Za-z_$\u0080-\uFFFF][\w$\u0080-\uFFFF]*/y;
const VARIABLE = /@@(?:(?:global|session|local)\s*\.\s*)?[A-Za-z_]\w*|@[A-Za-z_]\w*/iy;
const SYMBOL = /<=>|<>|!=|<=|>=|:=|\|\||&&|<<|>>|->>|->|::|[-+*/%(),.;=<>!&|^~?@:[\]{}]/y;

function match(pattern: RegExp, sql: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0];
}

function readQuoted(sql: string, start: number, quote: string): Token {
  let text = '';
  let at = start + 1;
  for (;;) {
    const char = sql[at];
    if (char === undefined) throw syntaxError(sql, start, `unterminated ${quote}`);
    if (char === quote && sql[at + 1] !== quote) break;
    if (char === quote) at++;
    if (char === '\\' && quote !== '`') {
      const next = sql[++at];
      if (next === undefined) throw syntaxError(sql, start, `unterminated ${quote}`);
      text += ESCAPES[next] ?? next;
    } else {
      text += char;
    }
    at++;
  }
  return { kind: quote === '`' ? 'quoted' : 'string', text, start, end: at + 1 };
}

/** Cuts a text into tokens; comments vanish. @throws SqlError 1105 when a quote is left open. */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < sql.length) {
    const skipped = match(SKIPPED, sql, at);
    if (skipped !== undefined) {
      at += skipped.length;
      continue;
    }
    const char = sql[at]!;
    if (char === "'" || char === '"' || char === '`') {
      const token = readQuoted(sql, at, char);
      tokens.push(token);
      at = token.end;
      continue;
    }
    const [kind, text] = plainToken(sql, at);
    tokens.push({ kind, text, start: at, end: at + text.length });
    at += text.length;
  }
  return tokens;
}

function plainToken(sql: string, at: number): [TokenKind, string] {
  const number = match(NUMBER, sql, at);
  if (number !== undefined) return ['number', number];
  const variable = match(VARIABLE, sql, at);
  if (variable !== undefined) return ['variable', variable];
  const word = match(WORD, sql, at);
  if (word !== undefined) return ['word', word];
  const symbol = match(SYMBOL, sql, at);
  if (symbol === undefined) throw syntaxError(sql, at, `extraneous input '${sql[at]}'`);
  return [symbol === '?' ? 'parameter' : 'symbol', symbol];
}

function syntaxError(sql: string, at: number, what: string): SqlError {
  const before = sql.slice(0, at).split('\n');
  return refusal(`\n${what}(line ${before.length}, pos ${before.at(-1)!.length})\n`);
}

/** One statement of a text: its own tokens, positions still those of the whole text. */
export class Statement {
  readonly sql: string;
  readonly tokens: readonly Token[];
  private at = 0;

  constructor(sql: string, tokens: readonly Token[]) {
    this.sql = sql;
    this.tokens = tokens;
  }

  /** The statement's text, for logs and the process list. */
  get text(): string {
    return this.sql.slice(this.tokens[0]?.start ?? 0, this.tokens.at(-1)?.end ?? 0);
  }

  get position(): number {
    return this.at;
  }

  rewind(position = 0): void {
    this.at = position;
  }

  peek(ahead = 0): Token | undefined {
    return this.tokens[this.at + ahead];
  }

  get done(): boolean {
    return this.at >= this.tokens.length;
  }

  /** Steps over the words when all of them come next. */
  accept(...words: readonly string[]): boolean {
    const found = words.every((word, i) => isWord(this.peek(i), word));
    if (found) this.at += words.length;
    return found;
  }

  expect(...words: readonly string[]): void {
    if (!this.accept(...words)) throw this.error(words.join(' '));
  }

  acceptSymbol(symbol: string): boolean {
    const token = this.peek();
    const found = token?.kind === 'symbol' && token.text === symbol;
    if (found) this.at++;
    return found;
  }

  expectSymbol(symbol: string): void {
    if (!this.acceptSymbol(symbol)) throw this.error(`'${symbol}'`);
  }

  /** The next token, whatever it is. */
  next(): Token {
    const token = this.peek();
    if (token === undefined) throw this.error('more');
    this.at++;
    return token;
  }

  identifier(): string {
    const token = this.peek();
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'quoted'))
      throw this.error('an identifier');
    this.at++;
    return token.text;
  }

  string(): string {
    const token = this.peek();
    if (token?.kind !== 'string') throw this.error('a string');
    this.at++;
    return token.text;
  }

  integer(): number {
    const token = this.peek();
    if (token?.kind !== 'number' || !/^\d+$/.test(token.text)) throw this.error('an integer');
    this.at++;
    return Number(token.text);
  }

  /** `a`, `a.b` or `a.b.c`. */
  path(): string[] {
    const parts = [this.identifier()];
    while (this.acceptSymbol('.')) parts.push(this.identifier());
    return parts;
  }

  /** `(item, item, ...)`. */
  list<T>(item: () => T): T[] {
    this.expectSymbol('(');
    const items: T[] = [];
    if (this.acceptSymbol(')')) return items;
    do items.push(item());
    while (this.acceptSymbol(','));
    this.expectSymbol(')');
    return items;
  }

  /** `("k"="v", ...)`. */
  properties(): Map<string, string> {
    const text = (): string => {
      const token = this.next();
      if (token.kind === 'symbol') throw this.error('a property', token);
      return token.text;
    };
    return new Map(
      this.list((): [string, string] => {
        const key = text();
        this.expectSymbol('=');
        return [key, text()];
      }),
    );
  }

  /** Nothing may follow: a clause that was not read is one that is not modelled. */
  end(): void {
    if (!this.done) throw this.error('<EOF>');
  }

  error(expected: string, token: Token | undefined = this.peek()): SqlError {
    const at = token?.start ?? this.sql.length;
    const shown = token === undefined ? '<EOF>' : this.sql.slice(token.start, token.end);
    return syntaxError(this.sql, at, `mismatched input '${shown}' expecting ${expected}`);
  }
}

export function isWord(token: Token | undefined, word: string): boolean {
  return token?.kind === 'word' && token.text.toUpperCase() === word;
}

export function isSymbol(token: Token | undefined, symbol: string): boolean {
  return token?.kind === 'symbol' && token.text === symbol;
}

/** The statements of one COM_QUERY; empty ones (a trailing semicolon) vanish. */
export function splitStatements(sql: string): Statement[] {
  const statements: Statement[] = [];
  let tokens: Token[] = [];
  for (const token of [...tokenize(sql), undefined]) {
    if (token !== undefined && !isSymbol(token, ';')) {
      tokens.push(token);
    } else if (tokens.length > 0) {
      statements.push(new Statement(sql, tokens));
      tokens = [];
    }
  }
  return statements;
}
