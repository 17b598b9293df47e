import { isPunctuation, isWord, type Token, type TokenKind } from './tokenizer.ts';

/** A property list as written: keys in order, each once. */
export type PropertyList = ReadonlyMap<string, string>;

/** The two ends of a job, as CREATE and ALTER spell them. */
export interface FromTo {
  /** As written: whether it is known is for the command to say. */
  readonly sourceType: string;
  readonly sourceProperties: PropertyList;
  readonly targetDatabase: string;
  readonly targetProperties: PropertyList;
}

export interface CreateJob {
  readonly kind: 'create';
  readonly name: string;
  readonly comment: string;
  readonly jobProperties: PropertyList;
  readonly ends: FromTo;
}

export interface AlterJob {
  readonly kind: 'alter';
  readonly name: string;
  readonly jobProperties: PropertyList;
  /** Absent in the form that only changes job properties. */
  readonly ends?: FromTo;
}

/** A streaming-job statement (job-sql.md §1.1). */
export type JobStatement =
  | CreateJob
  | AlterJob
  | { readonly kind: 'pause' | 'resume'; readonly name: string }
  | { readonly kind: 'drop'; readonly name: string; readonly ifExists: boolean }
  | { readonly kind: 'cancel'; readonly name: string; readonly taskId: string }
  /** Parsed, but with a mistake that Doris reports while it parses. The message holds no password. */
  | { readonly kind: 'invalid'; readonly message: string };

/**
 * Parses one statement, given as its tokens without the closing `;`. Undefined: no form of ours, so Doris answers it.
 * CREATE and ALTER of a job with a source are ours even when they do not parse: Doris must not see the source's password.
 *
 * Wider than Doris' grammar in four places, because the manual writes them so (job-sql.md §1.2, §1.3): job properties may follow
 * ON STREAMING, the word PROPERTIES may stand before the target's list, and a job name in WHERE may be bare or in backquotes.
 */
export function parseJobStatement(sql: string, tokens: readonly Token[]): JobStatement | undefined {
  try {
    return new Parser(sql, tokens).parse();
  } catch (error) {
    if (!(error instanceof Unexpected)) throw error;
    return namesSource(sql, tokens)
      ? { kind: 'invalid', message: syntaxError(sql, error) }
      : undefined;
  }
}

/** First of these words: what the job does. All three are reserved, so a name is not taken for one. */
const BODY_WORD = /^(?:FROM|DO|INSERT)$/i;

/**
 * Whether a CREATE or ALTER JOB that does not parse is meant to have a source, or holds what looks like a password. What runs
 * statements of Doris (DO INSERT) is Doris' own.
 */
export function namesSource(sql: string, [verb, noun, ...rest]: readonly Token[]): boolean {
  if (!(isWord(verb, 'CREATE') || isWord(verb, 'ALTER')) || !isWord(noun, 'JOB')) return false;
  const body = rest.find((token) => token.kind === 'word' && BODY_WORD.test(token.text));
  if (body !== undefined) return isWord(body, 'FROM');
  const streams = rest.some((token, i) => isWord(token, 'ON') && isWord(rest[i + 1], 'STREAMING'));
  return (streams && isWord(verb, 'CREATE')) || /\bfrom\b|passw|pwd|secret/i.test(sql);
}

/** The name in `CREATE JOB name [PROPERTIES (…)] ON …`, whatever comes then; undefined for any other text. */
export function nativeJobName([verb, noun, ...rest]: readonly Token[]): string | undefined {
  if (!isWord(verb, 'CREATE') || !isWord(noun, 'JOB')) return undefined;
  const end = rest.findIndex((token) => isWord(token, 'ON') || isWord(token, 'PROPERTIES'));
  const path = rest.slice(0, Math.max(0, end));
  const isPath = path.every((token, i) =>
    i % 2 === 1 ? isPunctuation(token, '.') : token.kind === 'word' || token.kind === 'quoted',
  );
  return isPath && path.length % 2 === 1 ? path.map(({ text }) => text).join('') : undefined;
}

/** Whether a property's value must never be shown. */
export function isSecretKey(key: string): boolean {
  return /passw|pwd|secret/i.test(key);
}

/** The text cannot go on like this; ends the parse. */
class Unexpected extends Error {
  readonly found: Token | undefined;
  readonly expected: string;

  constructor(found: Token | undefined, expected: string) {
    super(expected);
    this.found = found;
    this.expected = expected;
  }
}

/** As Doris' parser puts it (job-sql.md §2.1), but of what was found only the kind is told: it may be a password. */
function syntaxError(sql: string, { found, expected }: Unexpected): string {
  const before = sql.slice(0, found?.start ?? sql.trimEnd().length);
  const line = before.split('\n').length;
  const position = before.length - (before.lastIndexOf('\n') + 1);
  return `mismatched input ${kindOf(found)} expecting ${expected}(line ${line}, pos ${position})`;
}

function kindOf(token: Token | undefined): string {
  if (token === undefined) return "'<EOF>'";
  if (token.kind === 'broken') return 'a string, name or comment that never ends';
  if (token.kind === 'punctuation' && '(),=.;'.includes(token.text)) return `'${token.text}'`;
  return token.kind === 'quoted' ? 'a quoted name' : `a ${token.kind}`;
}

class Parser {
  readonly #sql: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  /** The first mistake; told only when the whole statement has parsed, because until then it may not be ours. */
  #mistake: string | undefined;

  constructor(sql: string, tokens: readonly Token[]) {
    this.#sql = sql;
    this.#tokens = tokens;
  }

  parse(): JobStatement {
    const statement = this.#statement();
    if (this.#at !== this.#tokens.length) throw this.#unexpected('<EOF>');
    return this.#mistake === undefined ? statement : { kind: 'invalid', message: this.#mistake };
  }

  #statement(): JobStatement {
    const verb = this.#take();
    const noun = this.#take();
    if (isWord(verb, 'CANCEL') && isWord(noun, 'TASK')) return this.#cancel();
    if (!isWord(noun, 'JOB')) throw new Unexpected(noun, "'JOB'");
    if (isWord(verb, 'CREATE')) return this.#create();
    if (isWord(verb, 'ALTER')) return this.#alter();
    if (isWord(verb, 'PAUSE')) return { kind: 'pause', name: this.#whereJobName() };
    if (isWord(verb, 'RESUME')) return { kind: 'resume', name: this.#whereJobName() };
    if (isWord(verb, 'DROP')) {
      const ifExists = this.#skipWords('IF', 'EXISTS');
      return { kind: 'drop', name: this.#whereJobName(), ifExists };
    }
    throw new Unexpected(verb, 'a statement of jobs');
  }

  #create(): JobStatement {
    const name = this.#path();
    let jobProperties = this.#propertyClause();
    if (isWord(this.#tokens[this.#at + 1], 'SCHEDULE')) return this.#scheduled();
    this.#expectWords('ON', 'STREAMING');
    jobProperties ??= this.#propertyClause();
    const comment = this.#skipWords('COMMENT') ? this.#string() : '';
    const ends = this.#fromTo();
    return { kind: 'create', name, comment, jobProperties: jobProperties ?? new Map(), ends };
  }

  /** Parses in Doris with a source too, and is then refused; the password is in it all the same. */
  #scheduled(): JobStatement {
    const from = this.#tokens.findIndex((token) => isWord(token, 'FROM'));
    if (!namesSource(this.#sql, this.#tokens) || from < 0) throw this.#unexpected("'STREAMING'");
    this.#at = this.#tokens.length;
    return {
      kind: 'invalid',
      message: 'From..To Database is only supported in streaming job',
    };
  }

  #alter(): JobStatement {
    const name = this.#path();
    const jobProperties = this.#propertyClause();
    if (jobProperties !== undefined && this.#at === this.#tokens.length) {
      return { kind: 'alter', name, jobProperties };
    }
    const ends = this.#fromTo();
    return { kind: 'alter', name, jobProperties: jobProperties ?? new Map(), ends };
  }

  #cancel(): JobStatement {
    const name = this.#whereJobName();
    this.#expectWords('AND');
    return { kind: 'cancel', name, taskId: this.#keyValue('taskId', () => this.#integer()) };
  }

  #whereJobName(): string {
    this.#expectWords('WHERE');
    return this.#keyValue('jobName', () => this.#jobNameValue());
  }

  #keyValue(key: string, value: () => string): string {
    const token = this.#takeKind(['word', 'quoted', 'string'], key);
    this.#expectPunctuation('=');
    if (token.text.toLowerCase() !== key.toLowerCase()) {
      this.#mistake ??= `${key} should be: '${key}'`;
    }
    return value();
  }

  /** A string here only loses its quotes, nothing is unescaped (job-sql.md §1.3). */
  #jobNameValue(): string {
    const token = this.#peek();
    if (token?.kind !== 'string') return this.#path();
    this.#at += 1;
    return this.#sql.slice(token.start + 1, token.end - 1);
  }

  #integer(): string {
    const token = this.#takeKind(['number'], 'an integer');
    if (!/^\d+$/.test(token.text)) throw new Unexpected(token, 'an integer');
    return token.text;
  }

  #fromTo(): FromTo {
    this.#expectWords('FROM');
    const sourceType = this.#name();
    const sourceProperties = this.#listIfAny() ?? new Map();
    this.#expectWords('TO', 'DATABASE');
    const targetDatabase = this.#name();
    const targetProperties = this.#propertyClause() ?? this.#listIfAny();
    return {
      sourceType,
      sourceProperties,
      targetDatabase,
      targetProperties: targetProperties ?? new Map(),
    };
  }

  #propertyClause(): PropertyList | undefined {
    if (!this.#skipWords('PROPERTIES')) return undefined;
    const list = this.#listIfAny();
    if (list === undefined) throw this.#unexpected("'('");
    return list;
  }

  #listIfAny(): PropertyList | undefined {
    if (!isPunctuation(this.#peek(), '(')) return undefined;
    const list = new Map<string, string>();
    do {
      this.#at += 1; // the parenthesis, then the commas
      const key = this.#constant();
      this.#expectPunctuation('=');
      const value = this.#constant();
      const former = list.get(key);
      if (former !== undefined) this.#mistake ??= duplicateKey(key, former, value);
      list.set(key, value);
    } while (isPunctuation(this.#peek(), ','));
    if (!isPunctuation(this.#peek(), ')')) throw this.#unexpected("{')', ','}");
    this.#at += 1;
    return list;
  }

  #constant(): string {
    const token = this.#takeKind(['word', 'number', 'string', 'quoted'], 'a property');
    if (token.kind === 'word' && /^(?:true|false)$/i.test(token.text)) {
      return token.text.toLowerCase();
    }
    return token.text;
  }

  #string(): string {
    return this.#takeKind(['string'], 'a string').text;
  }

  #name(): string {
    return this.#takeKind(['word', 'quoted'], 'a name').text;
  }

  /** `a.b` is the single job name `a.b`: names are not scoped by a database. */
  #path(): string {
    let path = this.#name();
    while (isPunctuation(this.#peek(), '.')) {
      this.#at += 1;
      path += `.${this.#name()}`;
    }
    return path;
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #take(): Token | undefined {
    this.#at += 1;
    return this.#tokens[this.#at - 1];
  }

  #takeKind(kinds: readonly TokenKind[], expected: string): Token {
    const token = this.#take();
    if (token === undefined || !kinds.includes(token.kind)) throw new Unexpected(token, expected);
    return token;
  }

  #unexpected(expected: string): Unexpected {
    return new Unexpected(this.#peek(), expected);
  }

  /** Steps over all of `words`, or over none of them. */
  #skipWords(...words: readonly string[]): boolean {
    if (!words.every((word, i) => isWord(this.#tokens[this.#at + i], word))) return false;
    this.#at += words.length;
    return true;
  }

  #expectWords(...words: readonly string[]): void {
    if (this.#skipWords(...words)) return;
    throw this.#unexpected(`'${words.join(' ')}'`);
  }

  #expectPunctuation(character: string): void {
    const token = this.#take();
    if (!isPunctuation(token, character)) throw new Unexpected(token, `'${character}'`);
  }
}

/** The text of Doris' property map; the values of a password are not shown. */
function duplicateKey(key: string, former: string, value: string): string {
  const [first, second] = isSecretKey(key) ? ['***', '***'] : [former, value];
  return `Multiple entries with same key: ${key}=${first} and ${key}=${second}`;
}
