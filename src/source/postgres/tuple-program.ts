import { ESCAPED_MAX } from '../../encode/json-bytes.ts';
import {
  columnGroups,
  compile,
  LITERAL_SPILL,
  literalCode,
  prefixBytes,
  prefixCode,
  REREAD,
  reserveCode,
  runEndCode,
  runStartCode,
} from '../../encode/generated-code.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import type { ProgramPlan } from './copy-program.ts';
import { VALUE } from './pgoutput.ts';
import type { Quick } from './quick-form.ts';
import { SCAN_PARAMETERS, SCAN_SLACK } from './scan-code.ts';

/** Writes the value `source[from..to)` of column `place`. */
export type WriteValue = (
  out: TableBatch,
  place: number,
  source: Buffer,
  from: number,
  to: number,
) => void;

/**
 * Writes the row whose values begin at `at` and end at `end`; `words` is `source` as words, and {@link SCAN_SLACK} bytes after `end` are
 * there. `false`: there is something else than values and NULLs, and nothing was written.
 */
export type TupleProgram = (
  source: Buffer,
  words: DataView,
  at: number,
  end: number,
  out: TableBatch,
) => boolean;

const NULL_BYTES = 4;
const QUOTES = 2;
/** Longer text is the writer's, which counts before it reserves. */
const INLINE_TEXT_MAX = 4096;
/** Kind and length. */
const VALUE_HEADER = 5;

/**
 * The reader of the log's rows as code made for the table, as `copy-program.ts` is of COPY's.
 *
 * @param places by column of the relation: its place among the copied columns, -1 for one that is not copied
 * @throws EvalError where the process may not generate code.
 */
export function tupleProgram(
  plan: ProgramPlan,
  places: readonly number[],
  write: WriteValue,
): TupleProgram {
  const groups = columnGroups(places.length);
  const [tail] = plan.layout.tails;
  const code = `${groups.map((group, g) => groupCode(plan, places, g, group)).join('\n')}
return function writeTuple(source, words, from, end, out) {
  let at = from;
  out.startRow();
  ${groups.map((_, g) => `at = tuple${g}(source, words, at, end, out); if (at < 0) return false;`).join('\n  ')}
  if (at !== end) return false;
  out.reserve(${Buffer.byteLength(tail) + LITERAL_SPILL});
  const b = out.buffer, v = out.view;
  let p = out.position;
  ${runEndCode(plan.layout, plan.width)} ${literalCode(tail)}
  out.position = p;
  out.commitRow();
  return true;
};`;
  const parameters = { ...SCAN_PARAMETERS, prefixes: prefixBytes(plan.layout), write };
  return compile(code, parameters) as TupleProgram;
}

function groupCode(
  plan: ProgramPlan,
  places: readonly number[],
  g: number,
  group: readonly number[],
): string {
  // Bytes that the columns behind the one in hand need at least: whoever reserves, reserves them too.
  let rest = LITERAL_SPILL + SCAN_SLACK;
  const parts = group.toReversed().map((i) => {
    const place = places[i]!;
    if (place < 0) return skipCode();
    const code = columnCode(plan, place, rest);
    rest += Buffer.byteLength(plan.layout.prefixes[plan.columns[place]!.index]!) + NULL_BYTES;
    return code;
  });
  return `function tuple${g}(source, words, at, end, out) {
  out.reserve(${rest});
  let b = out.buffer, v = out.view, p = out.position, n = 0, first = 0, c = 0;
  ${parts.toReversed().join('\n  ')}
  out.position = p;
  return at;
}`;
}

const LENGTH = `n = words.getInt32(at + 1); first = at + ${VALUE_HEADER}; at = first + n;
    if (n < 0 || at > end) return -1;`;

function skipCode(): string {
  return `if (at >= end) return -1;
  c = source[at];
  if (c === ${VALUE.TEXT}) { ${LENGTH} }
  else if (c === ${VALUE.NULL} || c === ${VALUE.UNCHANGED}) at++;
  else return -1;`;
}

function columnCode(plan: ProgramPlan, place: number, rest: number): string {
  const { layout } = plan;
  const { index, quick, utf8 } = plan.columns[place]!;
  const writer = `out.position = p; write(out, ${place}, source, first, at); out.reserve(${rest}); ${REREAD}`;
  const byWriter = quick === undefined || (quick.text && !utf8);
  return `if (at >= end) return -1;
  ${runEndCode(layout, index)} ${prefixCode(index, layout.prefixes[index]!)} ${runStartCode(layout, index)}
  c = source[at];
  if (c === ${VALUE.TEXT}) {
    ${LENGTH}
    ${byWriter ? writer : valueCode(quick, rest, writer)}
  } else if (c === ${VALUE.NULL}) { at++; ${literalCode('null')} }
  else return -1;`;
}

function valueCode(quick: Quick, rest: number, writer: string): string {
  if (quick.text) {
    return `if (n > ${INLINE_TEXT_MAX}) { ${writer} } else {
      ${reserveCode(`${ESCAPED_MAX} * n`, rest + QUOTES)}
      b[p++] = 34; p = putText(source, words, first, at, b, v, p); b[p++] = 34;
    }`;
  }
  const quote = quick.quoted ? 'b[p++] = 34;' : '';
  // The server's digits and dates: nothing in them is to be escaped.
  return `if (${quick.check}) {
      ${reserveCode('n', rest + QUOTES)}
      ${quote}
      copyBytes(words, first, n, v, p);
      p += n - ${quick.dropped}; ${quote}
    } else { ${writer} }`;
}
