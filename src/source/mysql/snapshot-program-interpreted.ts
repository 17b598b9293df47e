import type { TableBatch } from '../../encode/table-batch.ts';
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

/** The snapshot program where code may not be generated (`node --disallow-code-generation-from-strings`). */
export function interpretedSnapshot(plan: SnapshotPlan): WriteRow {
  return (source, start, end, out) => {
    let at = start;
    out.startRow();
    plan.fields.forEach((field, i) => {
      if (field === undefined) return;
      out.startColumn(i);
      const first = source[at++]!;
      if (first === NULL_MARK) return out.null();
      let length = first;
      if (first === LENGTH_2) length = source.readUInt16LE(at);
      else if (first === LENGTH_3) length = source.readUIntLE(at, 3);
      else if (first > LENGTH_3) length = source.readUIntLE(at, 6);
      at += lengthBytes(first);
      if (length > end - at) malformed();
      writeValue(field, out, source, at, at + length);
      at += length;
      return undefined;
    });
    if (at !== end) malformed();
    out.endRow(false);
  };
}

function lengthBytes(first: number): number {
  if (first < NULL_MARK) return 0;
  if (first === LENGTH_2) return 2;
  return first === LENGTH_3 ? 3 : 8;
}

function writeValue(
  field: SnapshotField,
  out: TableBatch,
  source: Buffer,
  start: number,
  end: number,
): void {
  if (field.kind === 'utf8') return out.quotedUtf8(source, start, end);
  if (field.kind === 'write') return field.write(out, source, start, end);
  out.reserve(end - start + TEXT_EXTRA);
  out.position = field.put(out.buffer, out.position, source, start, end);
  return undefined;
}
