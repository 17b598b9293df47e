import type { ColumnType } from './column-type.ts';
import { informationSchemaSql } from './information-schema.ts';
import { jobFunctionColumns, jobFunctionSql } from './native-jobs.ts';
import { resolvePath, type Session } from './session.ts';
import { notModelled, refusal } from './sql-error.ts';
import { quoteName, quoteText, visibleRowsSql } from './store.ts';
import { isSymbol, isWord, type Statement, type Token } from './tokens.ts';
import { identity, requirePrivilege } from './users.ts';

/** A query in DuckDB's words. */
export interface Translation {
  readonly sql: string;
  /**
   * Doris types by output column name, lower case: DuckDB does not tell VARCHAR from STRING or JSON. `undefined` stands
   * for a name that two tables give different types.
   */
  readonly types: ReadonlyMap<string, ColumnType | undefined>;
  /** What `SLEEP(n)` asks for: the query begins that much later. */
  readonly sleepMs: number;
}

const AFTER_TABLE = new Set(
  'WHERE GROUP ORDER HAVING LIMIT UNION INTERSECT EXCEPT MINUS JOIN INNER LEFT RIGHT FULL CROSS ON USING NATURAL WINDOW QUALIFY'.split(
    ' ',
  ),
);
const ENDS_FROM = new Set(
  'WHERE GROUP ORDER HAVING LIMIT UNION INTERSECT EXCEPT MINUS WINDOW QUALIFY SELECT'.split(' '),
);
/** Functions whose arguments hold a FROM of their own. */
const FROM_INSIDE = new Set(['EXTRACT', 'TRIM', 'SUBSTRING', 'OVERLAY', 'POSITION']);
const TYPE_WORDS: Readonly<Record<string, string>> = {
  LARGEINT: 'HUGEINT',
  SIGNED: 'BIGINT',
  STRING: 'VARCHAR',
  JSON: 'VARCHAR',
};
const OPERATORS: Readonly<Record<string, string>> = {
  '&&': ' AND ',
  '||': ' OR ',
  '<=>': ' IS NOT DISTINCT FROM ',
};

/** Words that DuckDB keeps for itself and Doris does not: a column may have them as its name. */
const PLAIN_WORDS = new Set(
  'ANALYSE ANALYZE ANTI ASOF ASYMMETRIC AT AUTHORIZATION CHECK COLLATION COLUMN COLUMNS CONCURRENTLY DEFERRABLE DO FETCH FREEZE GENERATED INITIALLY LAMBDA NOTNULL ONLY OVERLAPS PIVOT PLACING POSITIONAL REFERENCES RETURNING SEMI SHOW SIMILAR SOME SUMMARIZE SYMMETRIC UNPACK UNPIVOT VARIADIC VERBOSE'.split(
    ' ',
  ),
);

interface Level {
  /** Commas separate tables. */
  inFrom: boolean;
  readonly function: boolean;
}

/** Translates one query. @throws SqlError for a missing table or privilege, and for what is not modelled. */
export function translateQuery(statement: Statement, session: Session): Translation {
  return new Translator(statement, session).run();
}

class Translator {
  private readonly tokens: readonly Token[];
  private readonly statement: Statement;
  private readonly session: Session;
  private readonly types = new Map<string, ColumnType | undefined>();
  private readonly names: ReadonlySet<string>;
  private readonly out: string[] = [];
  private readonly levels: Level[] = [{ inFrom: false, function: false }];
  private at = 0;
  private expectTable = false;
  private sleepMs = 0;

  constructor(statement: Statement, session: Session) {
    this.statement = statement;
    this.session = session;
    this.tokens = statement.tokens.slice(statement.position);
    this.names = commonTableNames(this.tokens);
  }

  run(): Translation {
    const aliases = missingAliases(this.statement.sql, this.tokens);
    this.findStringCasts();
    while (this.at < this.tokens.length) {
      const alias = aliases.get(this.at);
      if (alias !== undefined) this.out.push(`AS ${quoteName(alias)}`);
      this.step(this.tokens[this.at]!);
    }
    const alias = aliases.get(this.at);
    if (alias !== undefined) this.out.push(`AS ${quoteName(alias)}`);
    return { sql: this.out.join(' '), types: this.types, sleepMs: this.sleepMs };
  }

  private step(token: Token): void {
    const level = this.levels.at(-1)!;
    if (isSymbol(token, '(')) return this.open(level);
    if (isSymbol(token, ')')) this.levels.pop();
    if (isSymbol(token, ',') && level.inFrom) this.expectTable = true;
    else if (this.expectTable && (token.kind === 'word' || token.kind === 'quoted'))
      return this.table();
    if (token.kind === 'word') {
      const word = token.text.toUpperCase();
      if (ENDS_FROM.has(word)) level.inFrom = false;
      const distinctFrom = isWord(this.tokens[this.at - 1], 'DISTINCT') && level.inFrom;
      if ((word === 'FROM' && !level.function && !distinctFrom) || word === 'JOIN') {
        level.inFrom = true;
        this.expectTable = true;
      }
      if (word === 'LIMIT' && isSymbol(this.tokens[this.at + 2], ',')) return this.limit();
    }
    this.expression(token);
  }

  private open(level: Level): void {
    const before = this.tokens[this.at - 1];
    const next = this.tokens[this.at + 1];
    const query = ['SELECT', 'WITH', 'VALUES'].some((word) => isWord(next, word));
    const tables = this.expectTable && !query;
    if (query) this.expectTable = false;
    const inFunction = before?.kind === 'word' && FROM_INSIDE.has(before.text.toUpperCase());
    this.levels.push({ inFrom: tables, function: inFunction });
    if (level.inFrom && query) this.expectTable = false;
    this.out.push('(');
    this.at++;
  }

  /** `LIMIT offset, count` */
  private limit(): void {
    const [, offset, , count] = this.tokens.slice(this.at, this.at + 4);
    this.out.push(`LIMIT ${count?.text ?? ''} OFFSET ${offset!.text}`);
    this.at += 4;
  }

  private path(): string[] {
    const parts = [this.tokens[this.at++]!.text];
    while (isSymbol(this.tokens[this.at], '.')) {
      parts.push(this.tokens[this.at + 1]?.text ?? '');
      this.at += 2;
    }
    return parts;
  }

  private table(): void {
    this.expectTable = false;
    const path = this.path();
    const name = path.at(-1)!;
    if (isSymbol(this.tokens[this.at], '(')) return this.tableFunction(name);
    if (path.length === 1 && this.names.has(name.toLowerCase())) {
      this.out.push(quoteName(name));
      return;
    }
    const [database, table] = resolvePath(this.session, path);
    if (database.toLowerCase() === 'information_schema') {
      this.derived(informationSchemaSql(this.session, table), name);
      return;
    }
    const found = this.session.state.catalog.table(database, table);
    requirePrivilege(this.session.account, 'Select_priv', database, table);
    for (const column of found.columns) this.hint(column.name, column.type);
    this.derived(visibleRowsSql(found, this.session.variables.isOn('show_hidden_columns')), name);
  }

  private derived(sql: string, name: string): void {
    const next = this.tokens[this.at];
    const aliased =
      next !== undefined &&
      (next.kind === 'quoted' ||
        (next.kind === 'word' && !AFTER_TABLE.has(next.text.toUpperCase())));
    this.out.push(aliased ? sql : `${sql} AS ${quoteName(name)}`);
  }

  /** `jobs("type"="insert")` and `tasks(...)`. */
  private tableFunction(written: string): void {
    const name = written.toUpperCase();
    const columns = jobFunctionColumns(name, this.session.state.settings.versionComment);
    if (columns === undefined) throw notModelled(`the table function ${written}`);
    const [, key, equals, value, close] = this.tokens.slice(this.at, this.at + 5);
    if (!isSymbol(equals, '=') || !isSymbol(close, ')') || key?.text.toLowerCase() !== 'type')
      throw refusal(`Invalid ${name.toLowerCase().slice(0, -1)} metadata query`);
    if (value?.text.toUpperCase() !== 'INSERT')
      throw notModelled(`${written}("type"="${value?.text ?? ''}")`);
    this.at += 5;
    for (const column of columns) this.hint(column, { name: 'STRING' });
    this.derived(jobFunctionSql(name, columns, this.session), written);
  }

  private hint(name: string, type: ColumnType): void {
    const key = name.toLowerCase();
    const known = this.types.get(key);
    const clash = this.types.has(key) && JSON.stringify(known) !== JSON.stringify(type);
    this.types.set(key, clash ? undefined : type);
  }

  /** `CAST(x AS STRING) AS name` is a STRING column of the result. */
  private findStringCasts(): void {
    this.tokens.forEach((token, i) => {
      if (!isWord(token, 'STRING') || !isWord(this.tokens[i - 1], 'AS')) return;
      if (!isSymbol(this.tokens[i + 1], ')')) return;
      const next = isWord(this.tokens[i + 2], 'AS') ? i + 3 : i + 2;
      const name = this.tokens[next];
      if (name?.kind === 'quoted' || (next === i + 3 && name?.kind === 'word'))
        this.hint(name.text, { name: 'STRING' });
    });
  }

  private expression(token: Token): void {
    this.at++;
    switch (token.kind) {
      case 'string':
        this.out.push(quoteText(token.text));
        return;
      case 'quoted':
        if (!this.qualified(token)) this.out.push(quoteName(token.text));
        return;
      case 'variable':
        this.out.push(this.variable(token.text));
        return;
      case 'symbol':
        this.out.push(OPERATORS[token.text] ?? token.text);
        return;
      case 'parameter':
        throw refusal('? is only legal in a prepared statement');
      case 'number':
        this.out.push(token.text);
        return;
      case 'word':
        if (!this.qualified(token)) this.out.push(this.word(token));
    }
  }

  /** `db.table.column`: the table's alias is enough for DuckDB, which does not know the database. */
  private qualified(token: Token): boolean {
    const dots = [this.tokens[this.at], this.tokens[this.at + 2]];
    const before = this.tokens[this.at - 2];
    if (!dots.every((dot) => isSymbol(dot, '.')) || isSymbol(before, '.')) return false;
    if (!this.session.state.catalog.has(token.text)) return false;
    this.at++;
    return true;
  }

  private word(token: Token): string {
    const { session } = this;
    const word = token.text.toUpperCase();
    if (isSymbol(this.tokens[this.at - 2], '.')) return quoteName(token.text);
    if (isWord(this.tokens[this.at - 2], 'AS') && TYPE_WORDS[word] !== undefined)
      return TYPE_WORDS[word];
    if (PLAIN_WORDS.has(word) && !isSymbol(this.tokens[this.at], '(')) return quoteName(token.text);
    if (word === 'DIV') return '//';
    if (word === 'RLIKE' || word === 'REGEXP') throw notModelled(word);
    if (word === 'SLEEP' && isSymbol(this.tokens[this.at], '(')) return this.sleep();
    const called = isSymbol(this.tokens[this.at], '(') && isSymbol(this.tokens[this.at + 1], ')');
    const value = called || word === 'CURRENT_USER' ? sessionFunction(session, word) : undefined;
    if (value === undefined) return token.text;
    if (called) this.at += 2;
    return value;
  }

  private sleep(): string {
    const [, seconds, close] = this.tokens.slice(this.at, this.at + 3);
    if (seconds?.kind !== 'number' || !isSymbol(close, ')'))
      throw notModelled('SLEEP of an expression');
    this.at += 3;
    this.sleepMs += Number(seconds.text) * 1000;
    return 'true';
  }

  private variable(text: string): string {
    if (!text.startsWith('@@')) throw notModelled('user variables');
    const { kind, value } = this.session.variables.get(text.replace(/^@@(?:\w+\s*\.\s*)?/, ''));
    if (kind === 'integer') return `CAST(${value} AS BIGINT)`;
    return kind === 'boolean' ? value : quoteText(value);
  }
}

function sessionFunction(session: Session, word: string): string | undefined {
  const { account, database } = session;
  switch (word) {
    case 'CURRENT_USER':
      return quoteText(identity(account));
    case 'USER':
    case 'SESSION_USER':
      return quoteText(identity({ user: account.user, host: session.address }));
    case 'DATABASE':
    case 'SCHEMA':
      // Without one: an empty text, because the FE keeps it as text; not checked on a real Doris.
      return quoteText(database ?? '');
    case 'CURRENT_CATALOG':
      return quoteText('internal');
    case 'CONNECTION_ID':
      return `CAST(${session.connectionId} AS BIGINT)`;
    case 'VERSION':
      return quoteText(session.variables.get('version').value);
    case 'NOW':
    case 'CURRENT_TIMESTAMP':
    case 'UTC_TIMESTAMP':
      return "date_trunc('second', now() AT TIME ZONE 'UTC')";
    case 'LAST_INSERT_ID':
      return 'CAST(0 AS BIGINT)';
    default:
      return undefined;
  }
}

/** Names that WITH clauses define, lower case. */
function commonTableNames(tokens: readonly Token[]): Set<string> {
  const names = new Set<string>();
  if (!tokens.some((token) => isWord(token, 'WITH'))) return names;
  tokens.forEach((token, i) => {
    const named = token.kind === 'word' || token.kind === 'quoted';
    const before = tokens[i - 1];
    if (!named || !(isWord(before, 'WITH') || isWord(before, 'RECURSIVE') || isSymbol(before, ',')))
      return;
    let next = i + 1;
    if (isSymbol(tokens[next], '('))
      next = tokens.findIndex((t, j) => j > i && isSymbol(t, ')')) + 1;
    if (isWord(tokens[next], 'AS') && isSymbol(tokens[next + 1], '('))
      names.add(token.text.toLowerCase());
  });
  return names;
}

/** Names for the computed columns of the first select list: Doris names them by their text. Key: the index of the token after. */
function missingAliases(sql: string, tokens: readonly Token[]): Map<number, string> {
  const aliases = new Map<number, string>();
  if (!isWord(tokens[0], 'SELECT')) return aliases;
  let [depth, start] = [0, isWord(tokens[1], 'DISTINCT') || isWord(tokens[1], 'ALL') ? 2 : 1];
  for (let i = start; i <= tokens.length; i++) {
    const token = tokens[i];
    if (isSymbol(token, '(')) depth++;
    if (isSymbol(token, ')')) depth--;
    const ends =
      token === undefined ||
      (depth === 0 &&
        (isSymbol(token, ',') ||
          isWord(token, 'FROM') ||
          (token.kind === 'word' && ENDS_FROM.has(token.text.toUpperCase()))));
    if (!ends) continue;
    const item = tokens.slice(start, i);
    if (needsAlias(item)) aliases.set(i, sql.slice(item[0]!.start, item.at(-1)!.end));
    if (!isSymbol(token, ',')) break;
    start = i + 1;
  }
  return aliases;
}

function needsAlias(item: readonly Token[]): boolean {
  const last = item.at(-1);
  if (last === undefined || isSymbol(last, '*')) return false;
  const beforeLast = item.at(-2);
  if (item.every(({ kind, text }) => kind === 'word' || kind === 'quoted' || text === '.'))
    return (
      isWord(last, 'CURRENT_USER') ||
      isWord(last, 'NULL') ||
      isWord(last, 'TRUE') ||
      isWord(last, 'FALSE')
    );
  if (isWord(beforeLast, 'AS')) return false;
  const named = last.kind === 'word' || last.kind === 'quoted';
  // `expr name`: an operand ends right before the name.
  const operandBefore =
    beforeLast !== undefined &&
    (isSymbol(beforeLast, ')') ||
      ['number', 'string', 'quoted', 'variable'].includes(beforeLast.kind));
  return !(named && operandBefore && !isWord(last, 'END'));
}
