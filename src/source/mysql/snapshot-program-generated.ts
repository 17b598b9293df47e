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
  reserveCode,
  textCode,
} from '../../encode/generated-code.ts';
import type { SnapshotField } from './snapshot-field.ts';
import {
  LENGTH_2,
  LENGTH_3,
  malformed,
  NULL_MARK,
  type SnapshotPlan,
  type WriteRow,
} from './snapshot-program.ts';
import { TEXT_EXTRA } from './text-values.ts';

const NULL_BYTES = 4;

/** The snapshot program as code made for the table, as `row-program-generated.ts` is for rows of the log. */
export function generatedSnapshot(plan: SnapshotPlan): WriteRow {
  const groups = columnGroups(plan.fields.length);
  const [tail] = plan.layout.tails;
  const fields = plan.fields.map((field) => (field === undefined ? undefined : functionOf(field)));
  const code = `${fields.map((_, i) => `const f${i} = fields[${i}];`).join('\n')}
${groups.map((group, g) => writeGroup(plan, g, group)).join('\n')}
return function writeRow(source, start, end, out) {
  let at = start;
  out.startRow();
  ${groups.map((_, g) => `at = write${g}(source, at, end, out);`).join('\n  ')}
  if (at !== end) malformed();
  out.reserve(${tail.length + LITERAL_SPILL});
  const { buffer: b, view: v } = out;
  let p = out.position;
  ${runEndCode(plan.layout, plan.fields.length)}
  ${literalCode(tail)}
  out.position = p;
  out.commitRow();
};`;
  const parameters = { fields, prefixes: prefixBytes(plan.layout), putEscaped, malformed };
  return compile(code, parameters) as WriteRow;
}

function functionOf(field: SnapshotField): unknown {
  if (field.kind === 'put') return field.put;
  return field.kind === 'write' ? field.write : undefined;
}

function writeGroup(plan: SnapshotPlan, g: number, columns: readonly number[]): string {
  let rest = LITERAL_SPILL;
  const parts = columns.toReversed().map((i) => {
    const field = plan.fields[i];
    if (field === undefined) return '';
    const prefix = plan.layout.prefixes[i]!;
    const code = writeColumn(plan, i, field, rest);
    rest += Buffer.byteLength(prefix) + NULL_BYTES;
    return code;
  });
  return `function write${g}(source, at, end, out) {
  out.reserve(${rest});
  let b = out.buffer, v = out.view, p = out.position, n = 0;
  ${parts.toReversed().join('\n  ')}
  out.position = p;
  return at;
}`;
}

/** `rest`: bytes that the group's later columns need at least; whoever reserves, reserves them too. */
function writeColumn(plan: SnapshotPlan, i: number, field: SnapshotField, rest: number): string {
  return `${runEndCode(plan.layout, i)} ${prefixCode(i, plan.layout.prefixes[i]!)} ${runStartCode(plan.layout, i)}
  n = source[at++];
  if (n === ${NULL_MARK}) { ${literalCode('null')} } else {
    if (n > ${NULL_MARK}) { ${lengthCode()} }
    if (n > end - at) malformed();
    ${valueCode(i, field, rest)}
    at += n;
  }`;
}

function lengthCode(): string {
  return `if (n === ${LENGTH_2}) { n = source[at] | source[at + 1] << 8; at += 2; }
    else if (n === ${LENGTH_3}) { n = source[at] | source[at + 1] << 8 | source[at + 2] << 16; at += 3; }
    else { n = source.readUIntLE(at, 6); at += 8; }`;
}

function valueCode(i: number, field: SnapshotField, rest: number): string {
  const reread = `out.reserve(${rest}); ${REREAD}`;
  const write = (call: string): string => `out.position = p; ${call}; ${reread}`;
  if (field.kind === 'write') return write(`f${i}(out, source, at, at + n)`);
  if (field.kind === 'utf8') return textCode(write('out.quotedUtf8(source, at, at + n)'), rest);
  return `${reserveCode('n', rest + TEXT_EXTRA)} p = f${i}(b, p, source, at, at + n);`;
}
