import { ESCAPED_MAX } from './json-bytes.ts';
import type { RowLayout } from './row-layout.ts';

/**
 * Pieces of generated code. All of it works on `b` and `v`, the output's bytes and words, and `p`, the place in them; on `source` and `at`, the place
 * there; and on `n`, the length of a value. Names and labels of a table never become code: they are numbers to store, or parameters.
 */

/** Longer text goes through `quotedUtf8`, which counts before it reserves. */
const INLINE_TEXT_MAX = 4096;
/** Prefixes up to this long are stored byte by byte. */
const LITERAL_MAX = 48;
/**
 * Columns of one function. V8 optimises no function whose bytecode is over some tens of kilobytes, and a table
 * may have 4096 columns.
 */
const GROUP_COLUMNS = 32;

/** Whether this process may make functions from text (`--disallow-code-generation-from-strings`). Asked once. */
export const canGenerateCode: () => boolean = (() => {
  let answer: boolean | undefined;
  return () => (answer ??= tryToGenerate());
})();

function tryToGenerate(): boolean {
  try {
    compile('', {});
    return true;
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    return false;
  }
}

/** Runs the body of a function of `parameters`: the one place of the program where text becomes code. */
export function compile(body: string, parameters: Readonly<Record<string, unknown>>): unknown {
  // oxlint-disable-next-line typescript/no-implied-eval
  const make = new Function(...Object.keys(parameters), `'use strict';\n${body}`);
  return make(...Object.values(parameters)) as unknown;
}

/** Indexes of columns, as many together as one function takes. */
export function columnGroups(columns: number): (readonly number[])[] {
  const all = Array.from({ length: columns }, (_, i) => i);
  return all.flatMap((i) => (i % GROUP_COLUMNS === 0 ? [all.slice(i, i + GROUP_COLUMNS)] : []));
}

/** What a literal may store behind its end, to be overwritten by what follows: reserved once by whoever writes literals. */
export const LITERAL_SPILL = 8;

/** Stores ASCII or UTF-8 text, eight bytes at a time, as the double with these bits: the widest store that JavaScript has. */
export function literalCode(text: string): string {
  const bytes = Buffer.from(text);
  const stores: string[] = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const word = Buffer.alloc(8);
    bytes.copy(word, 0, at, at + 8);
    const double = word.readDoubleLE();
    // Bits that the number's text does not give back; no ASCII text has them.
    const exact = Buffer.alloc(8);
    exact.writeDoubleLE(Number(String(double)));
    if (exact.equals(word)) stores.push(`v.setFloat64(p + ${at}, ${double}, true);`);
    else word.forEach((byte, k) => void stores.push(`b[p + ${at + k}] = ${byte};`));
  }
  return `${stores.join(' ')} p += ${bytes.length};`;
}

/** Stores what stands in front of the value of column `i`; the parameter `prefixes` is {@link prefixBytes}. */
export function prefixCode(i: number, prefix: string): string {
  const length = Buffer.byteLength(prefix);
  if (length <= LITERAL_MAX) return literalCode(prefix);
  return `b.set(prefixes[${i}], p); p += ${length};`;
}

export function prefixBytes(layout: RowLayout): Buffer[] {
  return layout.prefixes.map((text) => Buffer.from(text ?? ''));
}

/** Notes the runs of key columns that end in front of column `i`: see `TableBatch.marks`. */
export function runEndCode(layout: RowLayout, i: number): string {
  return marksCode(layout.runs.map((run, r) => (run.until === i ? 2 * r + 1 : -1)));
}

/** Notes the runs of key columns whose first value follows, of column `i`. */
export function runStartCode(layout: RowLayout, i: number): string {
  return marksCode(layout.runs.map((run, r) => (run.from === i ? 2 * r : -1)));
}

function marksCode(marks: readonly number[]): string {
  return marks
    .filter((mark) => mark !== -1)
    .map((mark) => `out.marks[${mark}] = p - out.rowStart;`)
    .join(' ');
}

/** After anything that may have reserved. */
export const REREAD = 'b = out.buffer; v = out.view; p = out.position;';

/** Makes room for `bytes` (an expression), and `rest` more for the columns that follow without asking. */
export function reserveCode(bytes: string, rest: number): string {
  return `if (b.length - p < ${bytes} + ${rest}) {
    out.position = p; out.reserve(${bytes} + ${rest}); ${REREAD}
  }`;
}

/** Writes `n` bytes of UTF-8 text at `at` as a string; `long` is the code for long ones. `putEscaped` is a parameter. */
export function textCode(long: string, rest: number): string {
  return `if (n > ${INLINE_TEXT_MAX}) { ${long} } else {
    ${reserveCode(`${ESCAPED_MAX} * n`, rest + 2)}
    b[p] = 34; p = putEscaped(b, p + 1, source, at, at + n); b[p++] = 34;
  }`;
}
