import { parseJobStatement, type JobStatement } from './job-statement.ts';
import { isPunctuation, isWord, tokenize, type Token } from './tokenizer.ts';
import { parseConfigStatement, type ConfigStatement } from './config-statement.ts';
import { describedTvf, findTvfCalls, type QueryText, type TvfName } from './tvf-call.ts';

/** A text that is ours. */
export type Recognized =
  | { readonly kind: 'job'; readonly statement: JobStatement }
  | { readonly kind: 'query'; readonly query: QueryText }
  | { readonly kind: 'describe'; readonly table: TvfName }
  | { readonly kind: 'config'; readonly statement: ConfigStatement }
  /** Several statements, at least one of them ours: refused as a whole, so that never half of it runs. */
  | { readonly kind: 'batch' };

/** Longer statements are Doris' own: looking through them would hold up everybody's queries (wire.md §2.6). In UTF-16 units. */
const LENGTH_MAX = 64 * 1024;

/** The exception: a CREATE JOB that names thousands of tables; sent to Doris it would show it the source's password. */
const JOB_LENGTH_MAX = 4 * 1024 * 1024;
const GAP = String.raw`(?:[\s\0;\uFEFF]|--[^\n]*\n|#[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)`;
const JOB_START = new RegExp(`^${GAP}*(?:create|alter)${GAP}+job\\b`, 'i');

/** Every statement of ours has one of these; nearly no other statement has. */
const HINT = /\b(?:job|task)\b|\b(?:jobs|tasks)\s*[(/#-]|streaming\\?_(?:job|task)/i;

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
  const tokens = tokenize(sql);
  const parts = splitStatements(tokens);
  if (parts.length === 1) return recognizeOne(sql, parts[0] ?? []);
  return parts.some((part) => recognizeOne(sql, part) !== undefined)
    ? { kind: 'batch' }
    : undefined;
}

function splitStatements(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const parts: Token[][] = [];
  let part: Token[] = [];
  for (const token of tokens) {
    if (isPunctuation(token, ';')) {
      if (part.length > 0) parts.push(part);
      part = [];
    } else {
      part.push(token);
    }
  }
  if (part.length > 0) parts.push(part);
  return parts;
}

function recognizeOne(sql: string, tokens: readonly Token[]): Recognized | undefined {
  if (isWord(tokens[1], 'JOB') || isWord(tokens[1], 'TASK')) {
    const statement = parseJobStatement(sql, tokens);
    return statement && { kind: 'job', statement };
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
