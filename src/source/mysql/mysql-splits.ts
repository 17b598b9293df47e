import type { SnapshotSplit } from '../../model/job.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { parseMysqlType } from '../../typemap/mysql-type.ts';
import { type MysqlConnection, quoteName, textLiteral } from './mysql-connection.ts';

/** A boundary is found by walking over a split's keys in the index. */
const BOUNDARY_MS = 600_000;

/**
 * How a key column's values travel: read as text by `select`, kept in the split, and written back by `literal` so that
 * the server compares them as it compares the column. We never compare values ourselves.
 */
interface KeyColumn {
  readonly name: string;
  readonly select: string;
  /** The value as the split keeps it, from the text that `select` gave. */
  keep(selected: string): string;
  literal(kept: string): string;
  /** The condition `column operator value`, where that is not what it reads. */
  condition?(operator: Operator, kept: string): string;
}

type Operator = '<' | '<=' | '=' | '>' | '>=';

/**
 * The split after `previous`: the next `rows` keys in key order. The boundary is read by an index walk
 * (`ORDER BY key LIMIT rows, 1`), so any key type and any distribution gives even splits.
 */
export async function nextSplit(
  connection: MysqlConnection,
  table: TableSpec,
  collations: ReadonlyMap<string, string>,
  rows: number,
  previous: SnapshotSplit | undefined,
): Promise<SnapshotSplit | undefined> {
  const start = previous?.splitEnd;
  if (previous !== undefined && start === undefined) return undefined;
  const key = keyColumns(table, collations);
  const names = key.map((column) => quoteName(column.name)).join(', ');
  const where = start === undefined ? '' : ` WHERE ${notBefore(key, start)}`;
  const [boundary] = await connection.query(
    `SELECT ${key.map((column) => column.select).join(', ')} FROM ${tableReference(table)}${where} ` +
      `ORDER BY ${names} LIMIT ${Math.max(1, Math.floor(rows))}, 1`,
    BOUNDARY_MS,
  );
  const number = previous === undefined ? 0 : Number(previous.splitId.split(':').at(-1)) + 1;
  return {
    splitId: `${tableId(table)}:${number}`,
    tableId: tableId(table),
    splitKey: table.key,
    ...(start === undefined ? {} : { splitStart: start }),
    ...(boundary === undefined
      ? {}
      : { splitEnd: key.map((column, i) => column.keep(boundary[i] ?? '')) }),
  };
}

/** The rows of `split`, as the rest of a SELECT from `FROM` on. */
export function splitSource(
  table: TableSpec,
  collations: ReadonlyMap<string, string>,
  split: SnapshotSplit,
): string {
  const key = keyColumns(table, collations);
  const { splitStart: start, splitEnd: end } = split;
  // Columns that both bounds agree on: as an equality they let the index be entered by the columns behind them.
  const shared = start === undefined || end === undefined ? 0 : sharedPrefix(start, end);
  const bounds = [
    ...key.slice(0, shared).map((column, i) => equality(column, start![i]!)),
    ...(start === undefined ? [] : [notBefore(key, start, shared)]),
    ...(end === undefined ? [] : [before(key, end, shared)]),
  ];
  const where = bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`;
  return `FROM ${tableReference(table)}${where}`;
}

/** With the key's index named: an optimizer that sorts instead would sort the rest of the table for every split. */
function tableReference(table: TableSpec): string {
  const index = table.keyIndex === undefined ? 'PRIMARY' : quoteName(table.keyIndex);
  return `${quoteName(table.schema)}.${quoteName(table.name)} FORCE INDEX (${index})`;
}

function conditionOf(column: KeyColumn, operator: Operator, kept: string): string {
  return (
    column.condition?.(operator, kept) ??
    `${quoteName(column.name)} ${operator} ${column.literal(kept)}`
  );
}

function sharedPrefix(start: readonly string[], end: readonly string[]): number {
  const differs = start.findIndex((value, i) => value !== end[i]);
  // The last column always takes part as a range: bounds that are equal in all columns have nothing between them.
  return differs === -1 ? start.length - 1 : differs;
}

function equality(column: KeyColumn, kept: string): string {
  return conditionOf(column, '=', kept);
}

function notBefore(key: readonly KeyColumn[], bound: readonly string[], from = 0): string {
  return compare(key, bound, from, '>', '>=');
}

function before(key: readonly KeyColumn[], bound: readonly string[], from = 0): string {
  return compare(key, bound, from, '<', '<');
}

/**
 * `(a, b) >= (x, y)`, columns before `from` left out, in a form that MySQL reads as index ranges: it does not for row comparisons
 * (MySQL 8.4 manual, "Range Optimization of Row Constructor Expressions"). `a >= x AND (a > x OR (a = x AND b >= y))`
 * is entered at (x, y) by the equality, and `a >= x` in front bounds the walk where the optimizer gives up on the OR.
 */
function compare(
  key: readonly KeyColumn[],
  bound: readonly string[],
  from: number,
  strict: '<' | '>',
  last: '<' | '>=',
): string {
  let condition = '';
  for (let i = key.length - 1; i >= from; i--) {
    const is = (operator: Operator): string => conditionOf(key[i]!, operator, bound[i]!);
    const equal = equality(key[i]!, bound[i]!);
    condition =
      condition === ''
        ? is(last)
        : `${is(`${strict}=`)} AND (${is(strict)} OR (${equal} AND ${condition}))`;
  }
  return `(${condition})`;
}

function keyColumns(
  table: TableSpec,
  collations: ReadonlyMap<string, string>,
): readonly KeyColumn[] {
  return table.key.map((name) => {
    const column = table.columns.find((candidate) => candidate.name === name)!;
    const { name: type, labels } = parseMysqlType(column.sourceType);
    if (type === 'enum') return { name, ...enumForm(quoteName(name), labels) };
    return { name, ...valueForm(quoteName(name), type, column.charset, collations.get(name)) };
  });
}

/**
 * ENUM is ordered by the number of its label, 0 for the invalid value. A range of numbers is no range of the index to the
 * optimizer, which would walk the index from its start for every split; a list of numbers is. And only equality with a
 * label is a constant to it, without which it would sort; labels that a collation could take for one another are left as numbers.
 */
function enumForm(column: string, labels: readonly string[]): Omit<KeyColumn, 'name'> {
  const plain = labels.every((label) => /^[ -~]*$/.test(label));
  const distinct =
    new Set(labels.map((label) => label.trim().toLowerCase())).size === labels.length;
  return {
    select: `${column} + 0`,
    keep: asIs,
    literal: digits,
    condition(operator, kept) {
      const value = Number(digits(kept));
      if (operator === '=') {
        const label = plain && distinct ? labels[value - 1] : undefined;
        return `${column} = ${label === undefined ? value : textLiteral(label)}`;
      }
      const from = operator === '>' ? value + 1 : value;
      const until = operator === '<' ? value - 1 : value;
      const [first, last] = operator.startsWith('>') ? [from, labels.length] : [0, until];
      const numbers = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
      return numbers.length === 0 ? 'FALSE' : `${column} IN (${numbers.join(', ')})`;
    },
  };
}

const asIs = (text: string): string => text;
/** Bounds come back from the catalog: whatever is in it, it must not become SQL. */
const digits = (text: string): string => text.replaceAll(/[^\d.eE+-]/g, '');
const hexDigits = (text: string): string => text.replaceAll(/[^\da-f]/gi, '');
const printable = (text: string): string => text.replaceAll(/[^ -&(-[\]-~]/g, '');

const INTEGERS = new Set(['tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal']);
const BYTES = new Set(['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob']);

function valueForm(
  column: string,
  type: string,
  charset: string | undefined,
  collation: string | undefined,
): Omit<KeyColumn, 'name'> {
  if (INTEGERS.has(type)) return { select: column, keep: asIs, literal: digits };
  // The text of a FLOAT is rounded to six digits; as a double it is exact.
  if (type === 'float' || type === 'double') {
    return { select: `${column} + 0e0`, keep: asIs, literal: exponentForm };
  }
  // BIT by its number; SET too, because it is ordered by it.
  if (type === 'bit' || type === 'set') {
    return { select: `${column} + 0`, keep: asIs, literal: digits };
  }
  if (BYTES.has(type)) {
    return { select: `HEX(${column})`, keep: (hex) => `0x${hex}`, literal: binaryLiteral };
  }
  if (charset !== undefined && collation !== undefined) {
    return {
      select: `HEX(${column})`,
      keep: (hex) => keptText(hex, charset),
      literal: (kept) => {
        const bytes = kept.startsWith('0x')
          ? hexDigits(kept.slice(2))
          : Buffer.from(kept).toString('hex');
        return `_${charset} X'${bytes}' COLLATE ${collation}`;
      },
    };
  }
  // Dates, times, years, and MariaDB's UUID and addresses: ASCII text that the server converts to the column's type.
  return { select: column, keep: asIs, literal: (text) => `'${printable(text)}'` };
}

/** A literal without exponent would be an exact decimal, and compared as one. */
function exponentForm(text: string): string {
  return /e/i.test(text) ? digits(text) : `${digits(text)}e0`;
}

function binaryLiteral(kept: string): string {
  return `X'${hexDigits(kept.slice(2))}'`;
}

const UTF8 = new Set(['utf8mb4', 'utf8mb3', 'utf8', 'ascii']);
const WIDE = new Set(['ucs2', 'utf16', 'utf16le', 'utf32']);

/** Readable where the text gives back exactly the column's bytes; `0x…` otherwise, and where it would look like that. */
function keptText(hex: string, charset: string): string {
  const bytes = Buffer.from(hex, 'hex');
  const text = bytes.toString();
  const exact = UTF8.has(charset)
    ? Buffer.from(text).equals(bytes)
    : !WIDE.has(charset) && bytes.every((byte) => byte < 0x80);
  return exact && !text.startsWith('0x') ? text : `0x${hex}`;
}
