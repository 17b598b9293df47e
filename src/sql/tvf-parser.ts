import { createRequire } from 'node:module';
import { isPunctuation, type Token } from './tokenizer.ts';
import { TVF_COLUMNS, type QueryText } from './tvf-call.ts';
import { QueryReader, UnsupportedShape, type SelectNode } from './tvf-query-reader.ts';
import type { Literal, TvfQuery } from './tvf-query.ts';

/** The parser's time grows faster than the text (4.8 KB take 25 ms); what is longer goes to Doris. */
const TOKENS_MAX = 250;

/** Name that the call is replaced by. No user can name a table so: the recogniser would have found another text. */
const CALL_NAME = 'djp_call';

interface SqlParser {
  astify(sql: string): unknown;
}

let parser: SqlParser | undefined;

/** Only the MySQL dialect, and only when a first query needs it: it takes 25 to 150 ms and some megabytes. */
function loadParser(): SqlParser {
  if (parser === undefined) {
    const module = createRequire(import.meta.url)('node-sql-parser/build/mysql') as {
      Parser: new () => SqlParser;
    };
    parser = new module.Parser();
  }
  return parser;
}

/**
 * Reads a query of the common shape; undefined when it has any other, which Doris then answers over
 * literal rows. Whatever is not understood to the last word is another shape.
 */
export function readTvfQuery(query: QueryText): TvfQuery | undefined {
  const [call, second] = query.calls;
  if (call === undefined || second !== undefined || query.tokens.length > TOKENS_MAX) {
    return undefined;
  }
  const { text, literals } = plainText(query);
  let ast: unknown;
  try {
    ast = loadParser().astify(text);
  } catch {
    // A syntax error, mostly. A bug of the parser's must not make a statement fail that Doris can answer either.
    return undefined;
  }
  try {
    const reader = new QueryReader(TVF_COLUMNS[call.name], CALL_NAME, literals);
    return { table: call.name, ...reader.read(ast as SelectNode) };
  } catch (error) {
    if (error instanceof UnsupportedShape) return undefined;
    throw error;
  }
}

/**
 * The query as the parser may read it: the call is a name, comments are gone, and every literal is its number in
 * `literals`, from 1. So strings keep Doris' escapes and numbers their digits, which the parser would not keep.
 */
function plainText(query: QueryText): { text: string; literals: readonly Literal[] } {
  const literals: Literal[] = [];
  let parameters = 0;
  let text = '';
  let end = query.tokens[0]?.start ?? 0;
  const call = query.calls[0];
  for (const [i, token] of query.tokens.entries()) {
    const gap = query.sql.slice(end, token.start);
    end = token.end;
    if (call !== undefined && i > call.from && i < call.to) continue;
    text += gap === '' ? '' : ' ';
    const literal = readLiteral(token, parameters);
    if (call !== undefined && i === call.from) {
      text += `${CALL_NAME} `;
    } else if (literal === undefined) {
      text += query.sql.slice(token.start, token.end);
    } else {
      if (literal.kind === 'parameter') parameters += 1;
      // A sign must stay next to its number; words must not grow together with it.
      text += `${/[-+]$/.test(text) ? '' : ' '}${literals.push(literal)} `;
    }
  }
  return { text, literals };
}

function readLiteral(token: Token, parameters: number): Literal | undefined {
  if (token.kind === 'string') return { kind: 'string', text: token.text };
  if (token.kind === 'number') return { kind: 'number', value: Number(token.text) };
  return isPunctuation(token, '?') ? { kind: 'parameter', index: parameters } : undefined;
}
