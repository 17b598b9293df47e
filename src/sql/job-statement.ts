import { isPunctuation, isWord, type Token } from './tokenizer.ts';

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
 *
 * Wider than Doris' grammar in four places, because the manual writes them so (job-sql.md §1.2, §1.3): job properties may follow
 * ON STREAMING, the word PROPERTIES may stand before the target's list, and a job name in WHERE may be bare or in backquotes.
 */
export function parseJobStatement(sql: string, tokens: readonly Token[]): JobStatement | undefined {
  try {
    return new Parser(sql, tokens).parse();
  } catch (error) {
    if (error instanceof NotOurs) return undefined;
    throw error;
  }
}

/** Whether a property's value must never be shown. */
export function isSecretKey(key: string): boolean {
  return /passw|pwd|secret/i.test(key);
}

/** The text is no statement of ours; ends the parse. */
class NotOurs extends Error {}

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
    if (this.#at !== this.#tokens.length) throw new NotOurs();
    return this.#mistake === undefined ? statement : { kind: 'invalid', message: this.#mistake };
  }

  #statement(): JobStatement {
    const verb = this.#take();
    const noun = this.#take();
    if (isWord(verb, 'CANCEL') && isWord(noun, 'TASK')) return this.#cancel();
    if (!isWord(noun, 'JOB')) throw new NotOurs();
    if (isWord(verb, 'CREATE')) return this.#create();
    if (isWord(verb, 'ALTER')) return this.#alter();
    if (isWord(verb, 'PAUSE')) return { kind: 'pause', name: this.#whereJobName() };
    if (isWord(verb, 'RESUME')) return { kind: 'resume', name: this.#whereJobName() };
    if (isWord(verb, 'DROP')) {
      const ifExists = this.#skipWords('IF', 'EXISTS');
      return { kind: 'drop', name: this.#whereJobName(), ifExists };
    }
    throw new NotOurs();
  }

  #create(): JobStatement {
    const name = this.#path();
    let jobProperties = this.#propertyClause();
    this.#expectWords('ON', 'STREAMING');
    jobProperties ??= this.#propertyClause();
    const comment = this.#skipWords('COMMENT') ? this.#string() : '';
    const ends = this.#fromTo();
    return { kind: 'create', name, comment, jobProperties: jobProperties ?? new Map(), ends };
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
    const token = this.#take();
    if (token.kind !== 'word' && token.kind !== 'quoted' && token.kind !== 'string') {
      throw new NotOurs();
    }
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
    const token = this.#take();
    if (token.kind !== 'number' || !/^\d+$/.test(token.text)) throw new NotOurs();
    return token.text;
  }

  #fromTo(): FromTo {
    this.#expectWords('FROM');
    const sourceType = this.#name();
    const sourceProperties = this.#listIfAny() ?? new Map();
    this.#expectWords('TO', 'DATABASE');
    const targetDatabase = this.#name();
    const marked = this.#skipWords('PROPERTIES');
    const targetProperties = this.#listIfAny();
    if (marked && targetProperties === undefined) throw new NotOurs();
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
    if (list === undefined) throw new NotOurs();
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
    this.#expectPunctuation(')');
    return list;
  }

  #constant(): string {
    const token = this.#take();
    if (token.kind === 'punctuation' || token.kind === 'broken') throw new NotOurs();
    if (token.kind === 'word' && /^(?:true|false)$/i.test(token.text)) {
      return token.text.toLowerCase();
    }
    return token.text;
  }

  #string(): string {
    const token = this.#take();
    if (token.kind !== 'string') throw new NotOurs();
    return token.text;
  }

  #name(): string {
    const token = this.#take();
    if (token.kind !== 'word' && token.kind !== 'quoted') throw new NotOurs();
    return token.text;
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

  #take(): Token {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new NotOurs();
    this.#at += 1;
    return token;
  }

  /** Steps over all of `words`, or over none of them. */
  #skipWords(...words: readonly string[]): boolean {
    if (!words.every((word, i) => isWord(this.#tokens[this.#at + i], word))) return false;
    this.#at += words.length;
    return true;
  }

  #expectWords(...words: readonly string[]): void {
    if (!this.#skipWords(...words)) throw new NotOurs();
  }

  #expectPunctuation(character: string): void {
    if (!isPunctuation(this.#take(), character)) throw new NotOurs();
  }
}

/** The text of Doris' property map; the values of a password are not shown. */
function duplicateKey(key: string, former: string, value: string): string {
  const [first, second] = isSecretKey(key) ? ['***', '***'] : [former, value];
  return `Multiple entries with same key: ${key}=${first} and ${key}=${second}`;
}
