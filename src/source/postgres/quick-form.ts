import type { ColumnSpec } from '../../model/table.ts';
import { columnForm, FORM } from './value-form.ts';

const DASH = 0x2d;
const PLUS = 0x2b;
const SPACE = 0x20;
const ZERO = 0x30;

/** Which values of a column are copied as they are, given that they are plain ASCII without anything to escape. */
export interface Quick {
  readonly quoted: boolean;
  readonly check: number;
}

const NEVER = 0;
const ALWAYS = 1;
const DIGITS = 2;
const DATE = 3;
const DATETIME = 4;
const INSTANT = 5;
/** Text: escapes are written on the way, so it needs no check. */
const TEXT = 6;

const BY_FORM: ReadonlyMap<number, Quick> = new Map([
  [FORM.TEXT, { quoted: true, check: TEXT }],
  [FORM.DIGITS, { quoted: true, check: ALWAYS }],
  [FORM.NUMBER, { quoted: false, check: ALWAYS }],
  [FORM.FLOAT, { quoted: false, check: DIGITS }],
  [FORM.DECIMAL, { quoted: true, check: DIGITS }],
  [FORM.DATE, { quoted: true, check: DATE }],
  [FORM.DATETIME, { quoted: true, check: DATETIME }],
  [FORM.INSTANT, { quoted: true, check: INSTANT }],
]);

export function isText({ check }: Quick): boolean {
  return check === TEXT;
}

export function quickForm(column: ColumnSpec): Quick {
  return BY_FORM.get(columnForm(column)) ?? { quoted: false, check: NEVER };
}

/**
 * Where the copy of `b[from..to)` ends, or -1: ask the {@link ValueWriter}. Says yes only where the writer would have
 * written the same bytes.
 */
export function quickEnd({ check }: Quick, b: Buffer, from: number, to: number): number {
  switch (check) {
    case ALWAYS:
    case TEXT:
      return to;
    case DIGITS: {
      const first = b[from] === DASH ? b[from + 1]! : b[from]!;
      return first >= ZERO && first <= 0x39 ? to : -1;
    }
    case DATE:
      return to - from === 10 && b[from + 4] === DASH ? to : -1;
    case DATETIME:
      return isTimestamp(b, from, to) && b[to - 1]! <= 0x39 ? to : -1;
    case INSTANT:
      // An offset of whole hours: `+00`, `-04`.
      return isTimestamp(b, from, to - 3) && (b[to - 3] === PLUS || b[to - 3] === DASH)
        ? to - 3
        : -1;
    default:
      return -1;
  }
}

function isTimestamp(b: Buffer, from: number, to: number): boolean {
  return to - from >= 19 && b[from + 4] === DASH && b[from + 10] === SPACE;
}
