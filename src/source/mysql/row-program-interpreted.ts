import type { TableBatch } from '../../encode/table-batch.ts';
import type { RowField } from './row-field.ts';
import { overrun, type RowPlan, type RowProgram } from './row-program.ts';

/** The row program where code may not be generated (`node --disallow-code-generation-from-strings`). */
export function interpretedProgram(plan: RowPlan): RowProgram {
  const { fields, layout, keys } = plan;
  const nullBytes = (fields.length + 7) >> 3;

  function write(
    source: Buffer,
    start: number,
    end: number,
    out: TableBatch,
    deleted: boolean,
  ): number {
    let at = start + nullBytes;
    out.startRow();
    fields.forEach((field, i) => {
      const isNull = nullAt(source, start, i);
      if (layout.prefixes[i] !== undefined) {
        out.startColumn(i);
        if (isNull) out.null();
      }
      if (isNull) return;
      const valueAt = field.kind === 'fixed' ? at : at + field.lengthBytes;
      const valueEnd = valueAt + valueBytes(field, source, at);
      if (valueEnd > end) overrun();
      if (layout.prefixes[i] !== undefined) writeValue(field, out, source, valueAt, valueEnd);
      at = valueEnd;
    });
    out.endRow(deleted);
    return at;
  }

  function skip(source: Buffer, start: number, end: number, keyBytes: Int32Array): number {
    let at = start + nullBytes;
    fields.forEach((field, i) => {
      const from = at;
      if (!nullAt(source, start, i)) {
        at += (field.kind === 'fixed' ? 0 : field.lengthBytes) + valueBytes(field, source, at);
      }
      const key = keys.indexOf(i);
      if (key === -1) return;
      keyBytes[2 * key] = from;
      keyBytes[2 * key + 1] = at;
    });
    if (at > end) overrun();
    return at;
  }

  return { write, skip };
}

function nullAt(source: Buffer, bitmapAt: number, i: number): boolean {
  return (source[bitmapAt + (i >> 3)]! & (1 << (i & 7))) !== 0;
}

function valueBytes(field: RowField, source: Buffer, at: number): number {
  if (field.kind === 'fixed') return field.size;
  let length = 0;
  for (let i = field.lengthBytes - 1; i >= 0; i--) length = length * 256 + source[at + i]!;
  return length;
}

function writeValue(
  field: RowField,
  out: TableBatch,
  source: Buffer,
  start: number,
  end: number,
): void {
  if (field.kind === 'prefixed') return field.write(out, source, start, end);
  out.reserve(field.room);
  out.position = field.put(out.buffer, out.position, source, start);
  return undefined;
}
