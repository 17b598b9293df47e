import {
  columnGroups,
  compile,
  LITERAL_SPILL,
  literalCode,
  prefixBytes,
  prefixCode,
  REREAD,
  runEndCode,
  runStartCode,
} from '../../encode/generated-code.ts';
import type { RowLayout } from '../../encode/row-layout.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import type { Quick } from './quick-form.ts';
import { SCAN_PARAMETERS, SCAN_SLACK } from './scan-code.ts';

export interface ProgramColumn {
  /** Index in `TableSpec.columns`. */
  readonly index: number;
  /** Undefined: every value is the writer's. */
  readonly quick: Quick | undefined;
  /** Bytes outside of ASCII are UTF-8, by the server's word. */
  readonly utf8: boolean;
}

export interface ProgramPlan {
  readonly layout: RowLayout;
  /** The copied columns, in order. */
  readonly columns: readonly ProgramColumn[];
  /** Number of columns of the table, copied or not. */
  readonly width: number;
}

/** Writes the value of column `place` that begins at `from`, in any form; returns where it ends. */
export type CopyValue = (
  out: TableBatch,
  place: number,
  source: Buffer,
  from: number,
  to: number,
) => number;

/**
 * Writes the line `source[from..to)` of COPY's text format; `words` is `source` as words, `source[to]` the newline, and
 * {@link SCAN_SLACK} bytes after it are there.
 */
export type CopyProgram = (
  source: Buffer,
  words: DataView,
  from: number,
  to: number,
  out: TableBatch,
) => void;

const [TAB, NEWLINE] = [9, 10];
/** A byte outside of UTF-8 becomes three; one to escape that takes more is the writer's. */
const GROWTH = 3;
const NULL_BYTES = 4;
const QUOTES = 2;

/**
 * The reader of COPY's rows as code made for the table: no loop over columns, no test of a type, buffers and places in local variables.
 * Measured by `integration/bench/copy.ts`. Nothing of the table's names becomes code.
 *
 * @throws EvalError where the process may not generate code.
 */
export function copyProgram(plan: ProgramPlan, slow: CopyValue, broken: () => never): CopyProgram {
  const groups = columnGroups(plan.columns.length);
  const [tail] = plan.layout.tails;
  const room = plan.columns.reduce(
    (sum, { index }) => sum + Buffer.byteLength(plan.layout.prefixes[index]!) + QUOTES + NULL_BYTES,
    Buffer.byteLength(tail) + LITERAL_SPILL + SCAN_SLACK,
  );
  const reserve = (at: string): string => `out.reserve(${room} + ${GROWTH} * (to - ${at}));`;
  const last = plan.columns.length - 1;
  const code = `${groups
    .map(
      (group, g) => `function copy${g}(source, words, at, to, out) {
  let b = out.buffer, v = out.view, p = out.position;
  let first = 0, value = 0, c = 0;
  ${group.map((place) => columnCode(plan, place, place === last, reserve('at'))).join('\n  ')}
  ${g === groups.length - 1 ? `${runEndCode(plan.layout, plan.width)} ${literalCode(tail)}` : ''}
  out.position = p;
  return at;
}`,
    )
    .join('\n')}
return function copyRow(source, words, from, to, out) {
  let at = from;
  out.startRow();
  ${reserve('from')}
  ${groups.map((_, g) => `at = copy${g}(source, words, at, to, out);`).join('\n  ')}
  out.commitRow();
};`;
  const parameters = {
    ...SCAN_PARAMETERS,
    prefixes: prefixBytes(plan.layout),
    slow,
    broken,
  };
  return compile(code, parameters) as CopyProgram;
}

function columnCode(plan: ProgramPlan, place: number, last: boolean, reserve: string): string {
  const { index, quick, utf8 } = plan.columns[place]!;
  const { layout } = plan;
  const writer = `out.position = value; at = slow(out, ${place}, source, first, to); ${reserve} ${REREAD}`;
  const end = last ? 'if (at !== to) broken();' : 'if (at >= to) broken(); at++;';
  return `${runEndCode(layout, index)} ${prefixCode(index, layout.prefixes[index]!)} ${runStartCode(layout, index)}
  first = at; value = p;
  ${quick === undefined ? writer : quickCode(quick, utf8, last, writer)}
  ${end}`;
}

function quickCode(quick: Quick, utf8: boolean, last: boolean, writer: string): string {
  const stop = last ? NEWLINE : TAB;
  const text = 'at = copyText(source, words, at, b, v, p); p = end.target;';
  const plain = 'at = copyPlain(words, at, v, p); p += at - first;';
  return `${quick.quoted ? 'b[p++] = 34;' : ''}
  ${quick.text && utf8 ? text : plain}
  c = source[at];
  if (c === ${stop} && ${quick.check}) {
    ${quick.dropped > 0 ? `p -= ${quick.dropped};` : ''} ${quick.quoted ? 'b[p++] = 34;' : ''}
  } else if (c === 92 && at === first && source[at + 1] === 78) {
    p = value; ${literalCode('null')} at += 2;
    if (source[at] !== ${stop}) broken();
  } else { ${writer} }`;
}
