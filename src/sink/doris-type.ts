/** A Doris type in one spelling: DESC, information_schema and the manual print the same type in different ways. */
interface DorisType {
  readonly base: string;
  /** Length, precision or scale; empty where the type has none. */
  readonly args: readonly number[];
}

const SPELLINGS: Readonly<Record<string, string>> = {
  text: 'string',
  integer: 'int',
  jsonb: 'json',
  bool: 'boolean',
  'bigint unsigned': 'largeint',
  datev2: 'date',
  datetimev2: 'datetime',
  decimalv2: 'decimal',
  decimalv3: 'decimal',
  decimal32: 'decimal',
  decimal64: 'decimal',
  decimal128: 'decimal',
};

/** What a type means when it is printed without arguments (doris-target.md §3.2). */
const DEFAULT_ARGS: Readonly<Record<string, readonly number[]>> = {
  decimal: [38, 9],
  datetime: [0],
  varchar: [65_533],
  char: [1],
};

/** Narrow to wide. The number of digits that each holds for certain, and the number that its widest value has. */
const INTEGERS: Readonly<Record<string, { readonly holds: number; readonly digits: number }>> = {
  boolean: { holds: 0, digits: 1 },
  tinyint: { holds: 2, digits: 3 },
  smallint: { holds: 4, digits: 5 },
  int: { holds: 9, digits: 10 },
  bigint: { holds: 18, digits: 19 },
  largeint: { holds: 38, digits: 39 },
};

/** Integers that a floating-point column keeps exactly. */
const EXACT: Readonly<Record<string, readonly string[]>> = {
  float: ['boolean', 'tinyint', 'smallint'],
  double: ['boolean', 'tinyint', 'smallint', 'int'],
};

/**
 * Whether a column of type `actual` keeps every value that is written for a column of type `wanted`.
 * Text columns of any length take the place of STRING: a value that is too long is refused with its
 * reason in every mode, so nothing is lost in silence. A type that this code does not know is not judged.
 */
export function holds(actual: string, wanted: string): boolean {
  const [inActual, inWanted] = [elementOf(actual), elementOf(wanted)];
  if (inActual !== undefined && inWanted !== undefined) return holds(inActual, inWanted);
  const [a, w] = [parse(actual), parse(wanted)];
  if (a === undefined || w === undefined) return true;
  if (a.base === w.base && a.args.length === 0) return true;
  if (a.base === 'string' || a.base === 'variant') return true;
  const width = a.base === 'char' || a.base === 'varchar' ? (a.args[0] ?? 0) : undefined;
  if (width !== undefined) return width >= textWidth(w);
  return holdsValue(a, w);
}

function holdsValue(a: DorisType, w: DorisType): boolean {
  const [a0 = 0, a1 = 0] = a.args;
  const [w0 = 0, w1 = 0] = w.args;
  const integer = INTEGERS[w.base];
  if (integer !== undefined) {
    const wider = INTEGERS[a.base];
    if (wider !== undefined) return wider.digits >= integer.digits;
    if (a.base === 'decimal') return a0 - a1 >= integer.digits;
    return EXACT[a.base]?.includes(w.base) ?? false;
  }
  switch (w.base) {
    case 'decimal':
      if (a.base === 'decimal') return a1 >= w1 && a0 - a1 >= w0 - w1;
      return w1 === 0 && (INTEGERS[a.base]?.holds ?? 0) >= w0;
    case 'float':
      return a.base === 'double';
    case 'date':
      return a.base === 'datetime';
    case 'datetime':
      return a.base === 'datetime' && a0 >= w0;
    case 'string':
      // Chosen by whoever made the table: text that is not JSON is refused, not altered.
      return a.base === 'json';
    default:
      return false;
  }
}

/** Characters of the longest text of a type; 0 where no width is too small to try. */
function textWidth({ base, args }: DorisType): number {
  const [first = 0, second = 0] = args;
  const integer = INTEGERS[base];
  if (integer !== undefined) return base === 'boolean' ? 5 : integer.digits + 1;
  switch (base) {
    case 'decimal':
      // Sign, point, and the zero in front of it.
      return first + 3;
    case 'float':
    case 'double':
      return 24;
    case 'date':
      return 10;
    case 'datetime':
      return second === 0 && first === 0 ? 19 : 20 + first;
    case 'char':
    case 'varchar':
      return first;
    default:
      return 0;
  }
}

function elementOf(type: string): string | undefined {
  return /^\s*array\s*<(.*)>\s*$/is.exec(type)?.[1];
}

function parse(text: string): DorisType | undefined {
  // MAP and STRUCT: only that they are no scalars is known here.
  if (text.includes('<')) return { base: 'nested', args: [] };
  const match = /^\s*([a-z][a-z0-9_ ]*?)\s*(?:\(([\d\s,]+)\))?\s*$/i.exec(text);
  if (match === null) return undefined;
  const printed = match[1]!.toLowerCase();
  const args = match[2]?.split(',').map(Number) ?? [];
  const base = SPELLINGS[printed] ?? printed;
  if (base === 'unknown') return undefined;
  // information_schema shows BOOLEAN like this, and a display width behind the other integers.
  if (base === 'tinyint' && args[0] === 1) return { base: 'boolean', args: [] };
  if (INTEGERS[base] !== undefined) return { base, args: [] };
  return { base, args: args.length > 0 ? args : (DEFAULT_ARGS[base] ?? []) };
}
