import type { ColumnSpec } from '../../model/table.ts';
import { columnForm, FORM } from './value-form.ts';

/** How generated code writes the values of a column that need no {@link ValueWriter}: plain ASCII of the usual shape. */
export interface Quick {
  readonly quoted: boolean;
  /** Text: escapes are written on the way. Other values with a byte to escape are the writer's. */
  readonly text: boolean;
  /** Bytes at the value's end that are dropped: the offset of an instant. */
  readonly dropped: number;
  /**
   * Whether the writer would write the same bytes: an expression over `source`, `first` (where the value begins) and
   * `at` (where it ends). Never reads in front of `first`.
   */
  readonly check: string;
}

const DIGITS = `isDigit(source[source[first] === 45 ? first + 1 : first])`;
/** `2024-01-01 00:00:00`, whatever follows: BC, infinity and later years are longer, or have no dash there. */
const MOMENT = `source[first + 4] === 45 && source[first + 10] === 32`;

const BY_FORM: ReadonlyMap<number, Quick> = new Map([
  [FORM.TEXT, { quoted: true, text: true, dropped: 0, check: 'true' }],
  [FORM.DIGITS, { quoted: true, text: false, dropped: 0, check: 'true' }],
  [FORM.NUMBER, { quoted: false, text: false, dropped: 0, check: 'true' }],
  [FORM.FLOAT, { quoted: false, text: false, dropped: 0, check: DIGITS }],
  [FORM.DECIMAL, { quoted: true, text: false, dropped: 0, check: DIGITS }],
  [
    FORM.DATE,
    {
      quoted: true,
      text: false,
      dropped: 0,
      check: 'at - first === 10 && source[first + 4] === 45',
    },
  ],
  [
    FORM.DATETIME,
    {
      quoted: true,
      text: false,
      dropped: 0,
      check: `at - first >= 19 && ${MOMENT} && isDigit(source[at - 1])`,
    },
  ],
  [
    FORM.INSTANT,
    {
      quoted: true,
      text: false,
      dropped: 3,
      // An offset of whole hours, `+00`, `-04`: all others have a colon there, and BC a blank.
      check: `at - first >= 22 && ${MOMENT} && (source[at - 3] === 43 || source[at - 3] === 45) && isDigit(source[at - 1])`,
    },
  ],
]);

/** Undefined: every value is the writer's. */
export function quickForm(column: ColumnSpec): Quick | undefined {
  return BY_FORM.get(columnForm(column));
}
