import {
  namesSource,
  nativeJobName,
  parseJobStatement,
  type JobStatement,
} from './job-statement.ts';
import { isPunctuation, isWord, tokenize, type Token } from './tokenizer.ts';
import { parseConfigStatement, type ConfigStatement } from './config-statement.ts';
import { describedTvf, findTvfCalls, type QueryText, type TvfName } from './tvf-call.ts';

/** A text that is ours. */
export type Recognized =
  | { readonly kind: 'job'; readonly statement: JobStatement }
  | { readonly kind: 'query'; readonly query: QueryText }
  | { readonly kind: 'describe'; readonly table: TvfName }
  | { readonly kind: 'config'; readonly statement: ConfigStatement }
  /** Jobs for Doris to run, one or a batch of them: they go there, unless one of ours has a name of theirs and could not be told from it any more. */
  | { readonly kind: 'native'; readonly names: readonly string[] }
  /** Several statements, at least one of them ours whatever its name. */
  | { readonly kind: 'batch'; readonly parts: readonly BatchPart[] };

/** One of several statements. */
export interface BatchPart {
  /** From the last semicolon to the next, comments included. */
  readonly sql: string;
  /** Undefined: Doris' own. Never a batch. */
  readonly recognized: Recognized | undefined;
}

/** Longer statements are Doris' own: looking through them would hold up everybody's queries (wire.md §2.6). In UTF-16 units. */
const LENGTH_MAX = 64 * 1024;

/** The exception: a CREATE JOB that names thousands of tables; sent to Doris it would show it the source's password. */
const JOB_LENGTH_MAX = 4 * 1024 * 1024;
/** More tokens than a shorter statement can have: a list of tables is one. Millions would hold up everybody's queries for seconds. */
const TOKENS_MAX = LENGTH_MAX + 1;
const GAP = String.raw`(?:[\s\0;\uFEFF]|--[^\n]*\n|#[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)`;
const JOB_START = new RegExp(`^${GAP}*(?:create|alter)${GAP}+job\\b`, 'i');

/** Every statement of ours has one of these; nearly no other statement has. */
const HINT =
  /\b(?:job|task)\b|\b(?:jobs|tasks)\s*[(/#-]|streaming\\?_(?:job|task)|frontend\s+config/i;

/**
 * Decides whether `sql` is ours; undefined sends it to Doris byte for byte. A statement that starts like
 * ours but does not parse is not ours: Doris then answers in its own words; unless it names a job's source, whose
 * password Doris must not see. Never throws.
 */
export function recognize(sql: string): Recognized | undefined {
  if (sql.length > LENGTH_MAX && !(sql.length <= JOB_LENGTH_MAX && JOB_START.test(sql))) {
    return undefined;
  }
  if (!HINT.test(sql)) return undefined;
  const tokens = tokenize(sql, TOKENS_MAX);
  if (tokens.length === TOKENS_MAX) return tooLong(sql, tokens);
  const statements = splitStatements(sql, tokens);
  if (statements.length <= 1) {
    return recognizeOne(
      sql,
      tokens.filter((token) => !isPunctuation(token, ';')),
    );
  }
  const parts = statements.map((part) => ({
    sql: part,
    recognized: recognizeOne(part, tokenize(part)),
  }));
  const ours = parts.flatMap(({ recognized }) => recognized ?? []);
  if (ours.length === 0) return undefined;
  const names = ours.flatMap((found) => (found.kind === 'native' ? found.names : []));
  return names.length === ours.length ? { kind: 'native', names } : { kind: 'batch', parts };
}

/** Not ours, unless Doris must not see it. */
function tooLong(sql: string, tokens: readonly Token[]): Recognized | undefined {
  if (!namesSource(sql, tokens)) return undefined;
  const message = `the statement has more than ${LENGTH_MAX} words and signs`;
  return { kind: 'job', statement: { kind: 'invalid', message } };
}

/** The texts between semicolons; those without a token are none. */
function splitStatements(sql: string, tokens: readonly Token[]): readonly string[] {
  const parts: string[] = [];
  let from = 0;
  let empty = true;
  for (const token of tokens) {
    if (!isPunctuation(token, ';')) {
      empty = false;
      continue;
    }
    if (!empty) parts.push(sql.slice(from, token.start));
    from = token.end;
    empty = true;
  }
  if (!empty) parts.push(sql.slice(from));
  return parts;
}

function recognizeOne(sql: string, tokens: readonly Token[]): Recognized | undefined {
  if (isWord(tokens[1], 'JOB') || isWord(tokens[1], 'TASK')) {
    const statement = parseJobStatement(sql, tokens);
    if (statement !== undefined) return { kind: 'job', statement };
    const name = nativeJobName(tokens);
    return name === undefined ? undefined : { kind: 'native', names: [name] };
  }
  if (tokens.at(-1)?.kind === 'broken') return undefined;
  if (isWord(tokens[0], 'ADMIN') || isWord(tokens[0], 'SHOW')) {
    const statement = parseConfigStatement(tokens);
    return statement && { kind: 'config', statement };
  }
  const described = describedTvf(tokens);
  if (described !== undefined) return { kind: 'describe', table: described };
  const calls = findTvfCalls(tokens);
  return calls.length > 0 ? { kind: 'query', query: { sql, tokens, calls } } : undefined;
}
