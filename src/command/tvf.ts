import { ProxyError } from '../model/error.ts';
import type { Condition, Operand, TvfQuery } from '../sql/tvf-query.ts';
import type { Parameter } from './commands.ts';

type Row = readonly string[];
/** A value in a comparison. Numbers come only from numeric literals and parameters. */
type Value = string | number | null;

/**
 * Answers a query of the common shape over the table's rows, as Doris would over STRING columns: strings compare by their
 * UTF-8 bytes, a string and a number as DOUBLE, and what is NULL or no number is unknown (three-valued logic).
 *
 * @throws ProxyError STATEMENT when a parameter of LIMIT is no count.
 */
export function answerTvfQuery(
  query: TvfQuery,
  rows: readonly Row[],
  parameters: readonly Parameter[],
): readonly Row[] {
  const { where } = query;
  const selected = rows.filter(
    (row) => where === undefined || holds(where, row, parameters) === true,
  );
  const window = limitOf(query, parameters);
  if (query.columns[0]?.source === 'count') {
    const counted = query.columns.map(() => String(selected.length));
    return [counted].slice(window.from, window.to);
  }
  const sorted = query.orderBy.length === 0 ? selected : sortRows(selected, query.orderBy);
  return sorted
    .slice(window.from, window.to)
    .map((row) => query.columns.map(({ source }) => row[Number(source)] ?? ''));
}

function sortRows(rows: readonly Row[], orderBy: TvfQuery['orderBy']): readonly Row[] {
  return rows.toSorted((a, b) => {
    for (const { column, descending } of orderBy) {
      const order = compareText(a[column] ?? '', b[column] ?? '');
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  });
}

function limitOf(
  query: TvfQuery,
  parameters: readonly Parameter[],
): { readonly from: number; readonly to: number } {
  const count = (operand: Operand | undefined): number | undefined => {
    if (operand === undefined) return undefined;
    const value = valueOf(operand, [], parameters);
    const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number;
    throw new ProxyError('STATEMENT', 'LIMIT and OFFSET take a non-negative integer');
  };
  const from = count(query.offset) ?? 0;
  return { from, to: from + (count(query.limit) ?? Infinity) };
}

/** `null` is unknown. */
function holds(condition: Condition, row: Row, parameters: readonly Parameter[]): boolean | null {
  const value = (operand: Operand): Value => valueOf(operand, row, parameters);
  switch (condition.kind) {
    case 'and':
    case 'or': {
      const decides = condition.kind === 'or';
      const left = holds(condition.left, row, parameters);
      if (left === decides) return decides;
      const right = holds(condition.right, row, parameters);
      if (right === decides) return decides;
      return left === null || right === null ? null : !decides;
    }
    case 'not':
      return negate(holds(condition.operand, row, parameters));
    case 'compare': {
      const order = compare(value(condition.left), value(condition.right));
      return order === null ? null : COMPARISONS[condition.operator](order);
    }
    case 'like':
      return like(value(condition.operand), value(condition.pattern));
    case 'in':
      return isIn(value(condition.operand), condition.list.map(value));
    case 'isNull':
  }
  return value(condition.operand) === null;
}

const COMPARISONS = {
  '=': (order: number) => order === 0,
  '<>': (order: number) => order !== 0,
  '<': (order: number) => order < 0,
  '<=': (order: number) => order <= 0,
  '>': (order: number) => order > 0,
  '>=': (order: number) => order >= 0,
} as const;

function negate(truth: boolean | null): boolean | null {
  return truth === null ? null : !truth;
}

function valueOf(operand: Operand, row: Row, parameters: readonly Parameter[]): Value {
  switch (operand.kind) {
    case 'column':
      return row[operand.column] ?? null;
    case 'string':
      return operand.text;
    case 'number':
      return operand.value;
    case 'parameter': {
      const parameter = parameters[operand.index] ?? null;
      return typeof parameter === 'bigint' ? Number(parameter) : parameter;
    }
    case 'null':
  }
  return null;
}

function compare(left: Value, right: Value): number | null {
  if (left === null || right === null) return null;
  if (typeof left === 'string' && typeof right === 'string') return compareText(left, right);
  const [a, b] = [toNumber(left), toNumber(right)];
  return a === null || b === null ? null : a - b;
}

function compareText(left: string, right: string): number {
  return left === right ? 0 : Buffer.compare(Buffer.from(left), Buffer.from(right));
}

/** Doris' cast to DOUBLE: NULL when the text is no number. */
function toNumber(value: string | number): number | null {
  if (typeof value === 'number') return value;
  const text = value.trim();
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(text) ? Number(text) : null;
}

/** One number in the list makes all of it a comparison of numbers. */
function isIn(operand: Value, list: readonly Value[]): boolean | null {
  const numeric = typeof operand === 'number' || list.some((item) => typeof item === 'number');
  const cast = (value: Value): Value => (numeric && value !== null ? toNumber(value) : value);
  let unknown = false;
  for (const item of list) {
    const order = compare(cast(operand), cast(item));
    if (order === 0) return true;
    if (order === null) unknown = true;
  }
  return unknown ? null : false;
}

/** `%` any text, `_` any character, a backslash takes the next one as it is. Linear in text × pattern, without recursion. */
function like(operand: Value, pattern: Value): boolean | null {
  if (operand === null || pattern === null) return null;
  const text = Array.from(String(operand));
  const parts = likeParts(String(pattern));
  let [at, part] = [0, 0];
  // Where the last `%` stands and how much of the text it has taken: on a mismatch it takes one more.
  let [anyPart, anyAt] = [-1, 0];
  while (at < text.length) {
    const wanted = parts[part];
    if (wanted === ANY_TEXT) {
      [anyPart, anyAt] = [part, at];
      part += 1;
    } else if (wanted !== undefined && (wanted === ANY_CHARACTER || wanted === text[at])) {
      at += 1;
      part += 1;
    } else if (anyPart >= 0) {
      anyAt += 1;
      [at, part] = [anyAt, anyPart + 1];
    } else {
      return false;
    }
  }
  return parts.slice(part).every((rest) => rest === ANY_TEXT);
}

const ANY_TEXT = Symbol('%');
const ANY_CHARACTER = Symbol('_');

function likeParts(pattern: string): readonly (string | symbol)[] {
  const parts: (string | symbol)[] = [];
  let escaped = false;
  for (const character of pattern) {
    if (escaped) parts.push(character);
    else if (character === '%') parts.push(ANY_TEXT);
    else if (character === '_') parts.push(ANY_CHARACTER);
    else if (character !== '\\') parts.push(character);
    escaped = !escaped && character === '\\';
  }
  return parts;
}
