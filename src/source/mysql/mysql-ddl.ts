import { type SqlToken, sqlTokens } from './mysql-tokens.ts';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** What a statement in the log means for a job. */
export type LoggedStatement =
  /** Touches no table's rows or columns. */
  | { readonly kind: 'none' }
  | { readonly kind: 'truncate'; readonly table: TableName }
  /** Changes how rows of `table` are kept apart or changed by others. */
  | {
      readonly kind: 'keys';
      readonly table: TableName;
      /** Adds a foreign key by which another table's rows change its rows. */
      readonly cascades: boolean;
      /** Names of indexes, or of what may be one, that are gone afterwards. */
      readonly dropped: readonly string[];
    }
  /** Changes columns, names or rows of `tables` in a way that row events do not show. `what`: `ALTER TABLE`. */
  | { readonly kind: 'change'; readonly what: string; readonly tables: readonly TableName[] }
  | { readonly kind: 'drop-database'; readonly schema: string }
  /** Row changes logged as text, or a statement that we do not know; `names` are all tables that it may mean. */
  | { readonly kind: 'text'; readonly what: string; readonly names: readonly TableName[] };

const NONE: LoggedStatement = { kind: 'none' };

/** Words that stand in a CREATE TABLE only when it takes rows from elsewhere. */
const FILLS: ReadonlySet<string> = new Set(['SELECT', 'TABLE']);

/** First words of statements that change neither a table's rows nor its columns. */
const IRRELEVANT = new Set(
  (
    'BEGIN COMMIT ROLLBACK SAVEPOINT RELEASE START XA SET GRANT REVOKE FLUSH ANALYZE OPTIMIZE REPAIR CHECK ' +
    'CHECKSUM CACHE LOCK UNLOCK INSTALL UNINSTALL RESET PURGE CHANGE KILL USE SHOW BINLOG'
  ).split(' '),
);

/**
 * Reads a statement of a Query event; `schema` is the event's default database. Never throws: what it cannot read
 * comes out as `text`, with every name in it.
 */
export function readLoggedStatement(sql: string, schema: string): LoggedStatement {
  return new Reader(sqlTokens(sql), schema).statement();
}

class Reader {
  readonly #tokens: readonly SqlToken[];
  readonly #schema: string;
  #at = 0;

  constructor(tokens: readonly SqlToken[], schema: string) {
    this.#tokens = tokens;
    this.#schema = schema;
  }

  statement(): LoggedStatement {
    if (this.#words('SET', 'STATEMENT')) this.#skipTo('FOR');
    const first = this.#word(this.#at);
    switch (first) {
      case 'ALTER':
        return this.#alter();
      case 'CREATE':
        return this.#create();
      case 'DROP':
        return this.#drop();
      case 'RENAME':
        return this.#rename();
      case 'TRUNCATE':
        return this.#truncate();
      default:
        return IRRELEVANT.has(first) ? NONE : this.#text(first);
    }
  }

  #alter(): LoggedStatement {
    this.#at++;
    while (this.#words('IGNORE') || this.#words('ONLINE') || this.#words('OFFLINE'));
    if (!this.#words('TABLE')) return NONE;
    this.#words('IF', 'EXISTS');
    const table = this.#name();
    if (table === undefined) return this.#text('ALTER TABLE');
    const clauses = this.#list();
    if (!clauses.every((clause) => isHarmless(clause))) {
      return { kind: 'change', what: 'ALTER TABLE', tables: [table] };
    }
    const dropped = clauses.flatMap((clause) => droppedIndex(clause) ?? []);
    const adds = clauses.some((clause) => cascades(clause));
    return adds || dropped.length > 0 ? { kind: 'keys', table, cascades: adds, dropped } : NONE;
  }

  /**
   * A new table has no rows yet, and the one before it was dropped by a statement of its own; but CREATE OR REPLACE drops it,
   * and CREATE TABLE … SELECT logged as a statement fills it. Rows that follow are compared with the table's description.
   */
  #create(): LoggedStatement {
    this.#at++;
    const replaces = this.#words('OR', 'REPLACE');
    if (!this.#words('TABLE') || this.#words('IF', 'NOT', 'EXISTS')) return NONE;
    const name = this.#name();
    const fills = this.#tokens.slice(this.#at).some((token) => FILLS.has(upper(token)));
    return replaces || fills ? this.#changeOf('CREATE TABLE', [name]) : NONE;
  }

  #drop(): LoggedStatement {
    this.#at++;
    if (this.#words('DATABASE') || this.#words('SCHEMA')) {
      this.#words('IF', 'EXISTS');
      const name = this.#identifier();
      return name === undefined ? this.#text('DROP') : { kind: 'drop-database', schema: name };
    }
    if (this.#words('INDEX')) return this.#dropIndex();
    if (!this.#words('TABLE') && !this.#words('TABLES')) return NONE;
    this.#words('IF', 'EXISTS');
    return this.#changeOf('DROP TABLE', this.#names());
  }

  /** `DROP INDEX name ON table`. */
  #dropIndex(): LoggedStatement {
    this.#words('IF', 'EXISTS');
    const index = this.#identifier();
    const table = this.#words('ON') ? this.#name() : undefined;
    if (index === undefined || table === undefined) return this.#text('DROP INDEX');
    return index.toUpperCase() === 'PRIMARY'
      ? { kind: 'change', what: 'DROP INDEX', tables: [table] }
      : { kind: 'keys', table, cascades: false, dropped: [index] };
  }

  #rename(): LoggedStatement {
    this.#at++;
    if (!this.#words('TABLE') && !this.#words('TABLES')) return NONE;
    this.#words('IF', 'EXISTS');
    const names: (TableName | undefined)[] = [];
    do {
      names.push(this.#name());
      while (this.#at < this.#tokens.length && !this.#words('TO')) this.#at++;
      names.push(this.#name());
    } while (this.#punctuation(','));
    return this.#changeOf('RENAME TABLE', names);
  }

  #truncate(): LoggedStatement {
    this.#at++;
    this.#words('TABLE');
    const table = this.#name();
    return table === undefined ? this.#text('TRUNCATE') : { kind: 'truncate', table };
  }

  #changeOf(what: string, names: readonly (TableName | undefined)[]): LoggedStatement {
    const tables = names.filter((name) => name !== undefined);
    return tables.length < names.length ? this.#text(what) : { kind: 'change', what, tables };
  }

  /** Every name in the statement that can be a table's, qualified or not. */
  #text(what: string): LoggedStatement {
    const names: TableName[] = [];
    const tokens = this.#tokens;
    for (let i = 0; i < tokens.length; i++) {
      const name = asIdentifier(tokens[i]);
      if (name === undefined) continue;
      const qualified = tokens[i - 1]?.text === '.' && tokens[i - 1]?.kind === 'other';
      const schema = qualified ? asIdentifier(tokens[i - 2]) : this.#schema;
      if (schema !== undefined) names.push({ schema, name });
    }
    return { kind: 'text', what, names };
  }

  #names(): readonly (TableName | undefined)[] {
    const names = [this.#name()];
    while (this.#punctuation(',')) names.push(this.#name());
    return names;
  }

  #name(): TableName | undefined {
    const first = this.#identifier();
    if (first === undefined) return undefined;
    if (!this.#punctuation('.')) return { schema: this.#schema, name: first };
    const second = this.#identifier();
    return second === undefined ? undefined : { schema: first, name: second };
  }

  #identifier(): string | undefined {
    const name = asIdentifier(this.#tokens[this.#at]);
    if (name !== undefined) this.#at++;
    return name;
  }

  /** The rest of the statement, cut at the commas outside of parentheses. */
  #list(): readonly (readonly SqlToken[])[] {
    const parts: SqlToken[][] = [[]];
    let depth = 0;
    for (const token of this.#tokens.slice(this.#at)) {
      const mark = token.kind === 'other' ? token.text : '';
      if (mark === '(') depth++;
      if (mark === ')') depth--;
      if (mark === ',' && depth === 0) parts.push([]);
      else parts.at(-1)!.push(token);
    }
    return parts;
  }

  /** Steps over `words` if they come next. */
  #words(...words: readonly string[]): boolean {
    if (!words.every((word, i) => this.#word(this.#at + i) === word)) return false;
    this.#at += words.length;
    return true;
  }

  #skipTo(word: string): void {
    while (this.#at < this.#tokens.length && !this.#words(word)) this.#at++;
  }

  #word(at: number): string {
    return upper(this.#tokens[at]);
  }

  #punctuation(mark: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'other' || token.text !== mark) return false;
    this.#at++;
    return true;
  }
}

/** `"t"` is a name under ANSI_QUOTES; a string cannot stand where names stand, so it is taken for one there. */
function asIdentifier(token: SqlToken | undefined): string | undefined {
  return token === undefined || token.kind === 'other' ? undefined : token.text;
}

function upper(token: SqlToken | undefined): string {
  return token?.kind === 'word' ? token.text.toUpperCase() : '';
}

/**
 * What may follow each first word of an ALTER TABLE clause when the clause changes neither columns nor rows (MySQL 8.4 manual,
 * "ALTER TABLE"; MariaDB's additions). `*`: anything. A word that is not here changes something.
 * DROP, TRUNCATE and EXCHANGE PARTITION are not here: they take rows away without row events.
 */
const HARMLESS: ReadonlyMap<string, readonly string[]> = new Map([
  ['ADD', ['INDEX', 'KEY', 'UNIQUE', 'FULLTEXT', 'SPATIAL', 'FOREIGN', 'CHECK', 'PARTITION']],
  ['DROP', ['INDEX', 'KEY', 'FOREIGN', 'CHECK']],
  ['RENAME', ['INDEX', 'KEY']],
  ...[
    'ALTER ENABLE DISABLE FORCE ALGORITHM LOCK WITH WITHOUT ORDER WAIT NOWAIT',
    'ANALYZE CHECK OPTIMIZE REBUILD REPAIR COALESCE REORGANIZE REMOVE PARTITION',
    'COMMENT ENGINE TYPE AUTO_INCREMENT ROW_FORMAT KEY_BLOCK_SIZE MAX_ROWS MIN_ROWS AVG_ROW_LENGTH CHECKSUM',
    'PAGE_CHECKSUM TABLE_CHECKSUM DELAY_KEY_WRITE PACK_KEYS COMPRESSION PAGE_COMPRESSED PAGE_COMPRESSION_LEVEL',
    'ENCRYPTION ENCRYPTED ENCRYPTION_KEY_ID INSERT_METHOD TABLESPACE TRANSACTIONAL DEFAULT CHARACTER CHARSET COLLATE',
    'STATS_PERSISTENT STATS_AUTO_RECALC STATS_SAMPLE_PAGES AUTOEXTEND_SIZE ENGINE_ATTRIBUTE',
    'SECONDARY_ENGINE SECONDARY_ENGINE_ATTRIBUTE SECONDARY_LOAD SECONDARY_UNLOAD DATA INDEX CONNECTION PASSWORD',
  ]
    .flatMap((words) => words.split(' '))
    .map((word): [string, readonly string[]] => [word, ['*']]),
]);

/** `ON DELETE CASCADE`, `ON UPDATE SET NULL`: words that nothing else in a harmless clause has in this order. */
function cascades(clause: readonly SqlToken[]): boolean {
  return clause.some(
    (token, i) =>
      upper(token) === 'ON' &&
      /^(DELETE|UPDATE)$/.test(upper(clause[i + 1])) &&
      /^(CASCADE|SET)$/.test(upper(clause[i + 2])),
  );
}

/** `DROP INDEX name`, `DROP KEY name`, `DROP CONSTRAINT name`, which may be a unique index. */
function droppedIndex(clause: readonly SqlToken[]): string | undefined {
  if (upper(clause[0]) !== 'DROP' || !/^(INDEX|KEY|CONSTRAINT)$/.test(upper(clause[1]))) {
    return undefined;
  }
  return asIdentifier(clause[upper(clause[2]) === 'IF' ? 4 : 2]);
}

function isHarmless(clause: readonly SqlToken[]): boolean {
  const [first, second] = [upper(clause[0]), upper(clause[1])];
  if (clause.length === 0) return true;
  // ADD CONSTRAINT [name] UNIQUE …; DROP CONSTRAINT name: only the primary key is ours.
  if (second === 'CONSTRAINT' && (first === 'ADD' || first === 'DROP')) {
    return !clause.some((token) => token.text.toUpperCase() === 'PRIMARY');
  }
  const following = HARMLESS.get(first);
  return following !== undefined && (following[0] === '*' || following.includes(second));
}
