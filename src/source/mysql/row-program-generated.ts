import { putEscaped } from '../../encode/json-bytes.ts';
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
  textCode,
} from '../../encode/generated-code.ts';
import type { PrefixedField, RowField } from './row-field.ts';
import { overrun, type RowPlan, type RowProgram } from './row-program.ts';

const NULL_BYTES = 4;

/**
 * The row program as code made for the table: no loop over columns, no test of a type, buffer and place in local
 * variables. Measured against the interpreted program by `integration/bench/binlog.ts`.
 *
 * Nothing of the table's names or labels becomes code: names are numbers (bytes to store), fields are parameters.
 *
 * @throws EvalError where the process may not generate code.
 */
export function generatedProgram(plan: RowPlan): RowProgram {
  const nullBytes = (plan.fields.length + 7) >> 3;
  const groups = columnGroups(plan.fields.length);
  const [live, dead] = plan.layout.tails;
  const code = `${plan.fields.map((_, i) => `const f${i} = fields[${i}].${plan.fields[i]!.kind === 'fixed' ? 'put' : 'write'};`).join('\n')}
${groups.map((group, g) => writeGroup(plan, g, group)).join('\n')}
${groups.map((group, g) => skipGroup(plan, g, group)).join('\n')}
return {
  write(source, start, end, out, deleted) {
    let at = start + ${nullBytes};
    out.startRow();
    ${groups.map((_, g) => `at = write${g}(source, start, at, end, out);`).join('\n    ')}
    if (at > end) overrun();
    out.reserve(${Math.max(live.length, dead.length) + LITERAL_SPILL});
    const { buffer: b, view: v } = out;
    let p = out.position;
    ${runEndCode(plan.layout, plan.fields.length)}
    if (deleted) { ${literalCode(dead)} } else { ${literalCode(live)} }
    out.position = p;
    out.commitRow();
    return at;
  },
  skip(source, start, end, keyBytes) {
    let at = start + ${nullBytes};
    ${groups.map((_, g) => `at = skip${g}(source, start, at, keyBytes);`).join('\n    ')}
    if (at > end) overrun();
    return at;
  },
};`;
  const parameters = {
    fields: plan.fields,
    prefixes: prefixBytes(plan.layout),
    putEscaped,
    overrun,
  };
  return compile(code, parameters) as RowProgram;
}

function writeGroup(plan: RowPlan, g: number, columns: readonly number[]): string {
  let rest = LITERAL_SPILL;
  const parts = columns.toReversed().map((i) => {
    const code = writeColumn(plan, i, rest);
    rest += roomOf(plan, i);
    return code;
  });
  return `function write${g}(source, start, at, end, out) {
  out.reserve(${rest});
  let b = out.buffer, v = out.view, p = out.position, n = 0;
  ${parts.toReversed().join('\n  ')}
  out.position = p;
  return at;
}`;
}

/** What a column needs beside the text that reserves for itself. */
function roomOf(plan: RowPlan, i: number): number {
  const prefix = plan.layout.prefixes[i];
  if (prefix === undefined) return 0;
  const field = plan.fields[i]!;
  return Buffer.byteLength(prefix) + Math.max(NULL_BYTES, field.kind === 'fixed' ? field.room : 0);
}

/** `rest`: bytes that the group's later columns need at least; whoever reserves, reserves them too. */
function writeColumn(plan: RowPlan, i: number, rest: number): string {
  const prefix = plan.layout.prefixes[i];
  const field = plan.fields[i]!;
  if (prefix === undefined) return `if (!${isNull(i)}) { ${skipValue(field)} }`;
  const value = field.kind === 'fixed' ? fixedValue(i, field.size) : prefixedValue(i, field, rest);
  return `${runEndCode(plan.layout, i)} ${prefixCode(i, prefix)} ${runStartCode(plan.layout, i)}
  if (${isNull(i)}) { ${literalCode('null')} } else { ${value} }`;
}

function isNull(i: number): string {
  return `(source[start + ${i >> 3}] & ${1 << (i & 7)})`;
}

function fixedValue(i: number, size: number): string {
  return `p = f${i}(b, p, source, at); at += ${size};`;
}

function prefixedValue(i: number, field: PrefixedField, rest: number): string {
  const read = `n = ${lengthCode(field.lengthBytes)}; at += ${field.lengthBytes}; if (n > end - at) overrun();`;
  const reread = `out.reserve(${rest}); ${REREAD}`;
  const call = `out.position = p; f${i}(out, source, at, at + n); ${reread}`;
  if (!field.utf8) return `${read} ${call} at += n;`;
  return `${read} ${textCode(call, rest)} at += n;`;
}

function lengthCode(bytes: number): string {
  const low = ['source[at]', 'source[at + 1] << 8', 'source[at + 2] << 16'].slice(0, bytes);
  const sum = `(${low.join(' | ')})`;
  return bytes === 4 ? `${sum} + source[at + 3] * 16777216` : sum;
}

function skipGroup(plan: RowPlan, g: number, columns: readonly number[]): string {
  const parts = columns.map((i) => {
    const key = plan.keys.indexOf(i);
    const skip = `if (!${isNull(i)}) { ${skipValue(plan.fields[i]!)} }`;
    if (key === -1) return skip;
    return `keyBytes[${2 * key}] = at; ${skip} keyBytes[${2 * key + 1}] = at;`;
  });
  return `function skip${g}(source, start, at, keyBytes) {
  ${parts.join('\n  ')}
  return at;
}`;
}

function skipValue(field: RowField): string {
  if (field.kind === 'fixed') return `at += ${field.size};`;
  return `at += ${field.lengthBytes} + (${lengthCode(field.lengthBytes)});`;
}
