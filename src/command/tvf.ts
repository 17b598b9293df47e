import { setImmediate as othersFirst } from 'node:timers/promises';
import { like } from '../lib/like.ts';
import { ProxyError } from '../model/error.ts';
import type { Condition, Operand, TvfQuery } from '../sql/tvf-query.ts';
import type { Parameter } from './commands.ts';

type Row = readonly string[];
/** A value in a comparison. Numbers come only from numeric literals and parameters. */
type Value = string | number | null;

/** Steps in one go: some milliseconds, for everybody's queries go through this thread. */
const STEPS_AT_ONCE = 1_000_000;
/** Of one LIKE: no text of ours needs them unless the pattern was made for it. */
const LIKE_STEPS_MAX = 2_000_000;
/** Of a whole query. */
const QUERY_STEPS_MAX = 200_000_000;

/** The query costs too much for this thread. */
class TooCostly extends Error {}

/** What the conditions of one query have cost so far. */
class Evaluation {
  readonly parameters: readonly Parameter[];
  #steps = 0;

  constructor(parameters: readonly Parameter[]) {
    this.parameters = parameters;
  }

  get steps(): number {
    return this.#steps;
  }

  /** @throws TooCostly */
  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > QUERY_STEPS_MAX) throw new TooCostly();
  }
}

/**
 * Answers a query of the common shape over the table's rows, as Doris would over STRING columns: strings compare by their
 * UTF-8 bytes, a string and a number as DOUBLE, and what is NULL or no number is unknown (three-valued logic). Lets others have
 * the thread every few milliseconds; undefined: its conditions cost more than they may here, and Doris should answer.
 *
 * @throws ProxyError STATEMENT when a parameter of LIMIT is no count.
 */
export async function answerTvfQuery(
  query: TvfQuery,
  rows: readonly Row[],
  parameters: readonly Parameter[],
): Promise<readonly Row[] | undefined> {
  const window = limitOf(query, parameters);
  let selected: readonly Row[];
  try {
    selected = await selectRows(query.where, rows, new Evaluation(parameters));
  } catch (error) {
    if (error instanceof TooCostly) return undefined;
    throw error;
  }
  if (query.columns[0]?.source === 'count') {
    const counted = query.columns.map(() => String(selected.length));
    return [counted].slice(window.from, window.to);
  }
  const sorted = query.orderBy.length === 0 ? selected : sortRows(selected, query.orderBy);
  return sorted
    .slice(window.from, window.to)
    .map((row) => query.columns.map(({ source }) => row[Number(source)] ?? ''));
}

/** @throws TooCostly */
async function selectRows(
  where: Condition | undefined,
  rows: readonly Row[],
  evaluation: Evaluation,
): Promise<readonly Row[]> {
  if (where === undefined) return rows;
  const selected: Row[] = [];
  let pauseAt = STEPS_AT_ONCE;
  for (const row of rows) {
    if (holds(where, row, evaluation) === true) selected.push(row);
    if (evaluation.steps < pauseAt) continue;
    pauseAt = evaluation.steps + STEPS_AT_ONCE;
    await othersFirst();
  }
  return selected;
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
function holds(condition: Condition, row: Row, evaluation: Evaluation): boolean | null {
  const value = (operand: Operand): Value => valueOf(operand, row, evaluation.parameters);
  evaluation.spend(1);
  switch (condition.kind) {
    case 'and':
    case 'or': {
      const decides = condition.kind === 'or';
      const left = holds(condition.left, row, evaluation);
      if (left === decides) return decides;
      const right = holds(condition.right, row, evaluation);
      if (right === decides) return decides;
      return left === null || right === null ? null : !decides;
    }
    case 'not':
      return negate(holds(condition.operand, row, evaluation));
    case 'compare': {
      const order = compare(value(condition.left), value(condition.right));
      return order === null ? null : COMPARISONS[condition.operator](order);
    }
    case 'like':
      return isLike(value(condition.operand), value(condition.pattern), evaluation);
    case 'in':
      evaluation.spend(condition.list.length);
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

/** The order of the UTF-8 bytes, found at the first difference: most texts need no look beyond it. */
function compareText(left: string, right: string): number {
  if (left === right) return 0;
  const length = Math.min(left.length, right.length);
  let at = 0;
  while (at < length && left.charCodeAt(at) === right.charCodeAt(at)) at += 1;
  if (at === length) return left.length - right.length;
  return byteOrder(left.charCodeAt(at)) - byteOrder(right.charCodeAt(at));
}

/** UTF-16 has its surrogates, which stand for the highest characters, in front of U+E000. */
function byteOrder(unit: number): number {
  return unit >= 0xd8_00 && unit < 0xe0_00 ? unit + 0x1_00_00 : unit;
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

/** @throws TooCostly */
function isLike(operand: Value, pattern: Value, evaluation: Evaluation): boolean | null {
  if (operand === null || pattern === null) return null;
  const found = like(String(operand), String(pattern), LIKE_STEPS_MAX);
  if (found === undefined) throw new TooCostly();
  evaluation.spend(found.steps);
  return found.matches;
}
