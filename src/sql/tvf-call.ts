import { isPunctuation, isWord, type Token } from './tokenizer.ts';

export type TvfName = 'jobs' | 'tasks';

/** Columns of the seed, all strings (job-sql.md §3.2). */
export const TVF_COLUMNS: Readonly<Record<TvfName, readonly string[]>> = {
  jobs: [
    'Id',
    'Name',
    'Definer',
    'ExecuteType',
    'RecurringStrategy',
    'Status',
    'ExecuteSql',
    'CreateTime',
    'SucceedTaskCount',
    'FailedTaskCount',
    'CanceledTaskCount',
    'Comment',
    'Properties',
    'CurrentOffset',
    'EndOffset',
    'LoadStatistic',
    'ErrorMsg',
    'JobRuntimeMsg',
  ],
  tasks: [
    'TaskId',
    'JobId',
    'JobName',
    'Label',
    'Status',
    'ErrorMsg',
    'CreateTime',
    'StartTime',
    'FinishTime',
    'TrackingUrl',
    'LoadStatistic',
    'User',
    'FirstErrorMsg',
    'RunningOffset',
  ],
};

/** A call of `jobs("type"="insert")` or `tasks(...)` in a FROM clause. */
export interface TvfCall {
  readonly name: TvfName;
  /** Index of its first token, and the index after its last one. */
  readonly from: number;
  readonly to: number;
}

/** A query over `jobs()` or `tasks()`. */
export interface QueryText {
  readonly sql: string;
  /** Without closing semicolons. */
  readonly tokens: readonly Token[];
  /** At least one. */
  readonly calls: readonly TvfCall[];
}

const QUERY_VERBS = new Set(
  'SELECT WITH EXPLAIN DESC DESCRIBE INSERT UPDATE DELETE CREATE'.split(' '),
);

/**
 * The calls in a query that ask for insert jobs, in their order. Empty when the statement is none of the kinds that may be
 * answered or rewritten: a view or a scheduled job keeps its text, so rows of today must not be written into it.
 * Other arguments (`mv`, a wrong key, none) are Doris' to answer (job-sql.md §3.1).
 */
export function findTvfCalls(tokens: readonly Token[]): readonly TvfCall[] {
  const verb = tokens.find((token) => !isPunctuation(token, '('));
  if (verb?.kind !== 'word' || !QUERY_VERBS.has(verb.text.toUpperCase())) return [];
  if (isWord(verb, 'CREATE') && !isWord(tokens[1], 'TABLE')) return [];
  const calls: TvfCall[] = [];
  for (let i = 1; i < tokens.length; i += 1) {
    const call = readCall(tokens, i);
    if (call !== undefined) calls.push(call);
  }
  return calls;
}

/** The function of `DESC FUNCTION jobs("type"="insert") [[AS] alias]`; undefined for any other statement. */
export function describedTvf(tokens: readonly Token[]): TvfName | undefined {
  const [verb, noun] = tokens;
  const describes = isWord(verb, 'DESC') || isWord(verb, 'DESCRIBE');
  if (!describes || !isWord(noun, 'FUNCTION')) return undefined;
  const [first, ...more] = tokens.slice(2 + CALL_TOKENS);
  const [alias, end] = isWord(first, 'AS') ? more : [first, ...more];
  const isAlias = alias === undefined ? first === undefined : isName(alias);
  return isAlias && end === undefined ? insertCall(tokens, 2) : undefined;
}

function isName({ kind }: Token): boolean {
  return kind === 'word' || kind === 'quoted';
}

/** `jobs ( type = insert )` */
const CALL_TOKENS = 6;

/** A call where a table may stand. */
function readCall(tokens: readonly Token[], at: number): TvfCall | undefined {
  const before = tokens[at - 1];
  const mayBeTable =
    isWord(before, 'FROM') ||
    isWord(before, 'JOIN') ||
    isWord(before, 'USING') ||
    isPunctuation(before, ',') ||
    isPunctuation(before, '(') ||
    // `JOIN [shuffle] jobs(…)`
    isPunctuation(before, ']');
  const name = mayBeTable ? insertCall(tokens, at) : undefined;
  return name && { name, from: at, to: at + CALL_TOKENS };
}

/** The function that is called at `at` and asked for insert jobs. */
function insertCall(tokens: readonly Token[], at: number): TvfName | undefined {
  const [name, open, key, equals, value, close] = tokens.slice(at, at + CALL_TOKENS);
  if (!isWord(name, 'JOBS') && !isWord(name, 'TASKS')) return undefined;
  const isInsert =
    isPunctuation(open, '(') &&
    isConstant(key, 'type') &&
    isPunctuation(equals, '=') &&
    isConstant(value, 'insert') &&
    isPunctuation(close, ')');
  if (!isInsert) return undefined;
  return isWord(name, 'JOBS') ? 'jobs' : 'tasks';
}

function isConstant(token: Token | undefined, text: string): boolean {
  return (
    token !== undefined &&
    token.kind !== 'punctuation' &&
    token.kind !== 'broken' &&
    token.text.toLowerCase() === text
  );
}

/** Number of `?` outside strings and comments. */
export function countParameters(tokens: readonly Token[]): number {
  return tokens.filter((token) => isPunctuation(token, '?')).length;
}

/** A value for each `?` that lets the statement be planned: NULL fits everywhere but into LIMIT and OFFSET. */
export function placeholders(tokens: readonly Token[]): readonly (number | null)[] {
  const isCount = (at: number): boolean => {
    const before = tokens[at - 1];
    if (isWord(before, 'LIMIT') || isWord(before, 'OFFSET')) return true;
    return isPunctuation(before, ',') && isWord(tokens[at - 3], 'LIMIT');
  };
  return tokens.flatMap((token, at) => {
    if (!isPunctuation(token, '?')) return [];
    return [isCount(at) ? 1 : null];
  });
}
