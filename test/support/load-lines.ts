import type { LoadBody } from '../../src/encode/batch.ts';

/** What a load of these tests is asked for. */
export const OPTIONS = { strictMode: true, maxFilterRatio: 0, sequence: 77 };

/** Rows with `id` from 0 and a `v` of `width` characters, one line each, for the table `t`. */
export function linesOf(rows: number, width = 10): LoadBody {
  const body = Array.from({ length: rows }, (_, i) =>
    Buffer.from(`${JSON.stringify({ id: i, v: 'x'.repeat(width), __DORIS_DELETE_SIGN__: 0 })}\n`),
  );
  const bytes = body.reduce((sum, line) => sum + line.length, 0);
  const table = { schema: 's', name: 'source_t', target: 't', columns: [], key: ['id'] };
  return { table, body, bytes, rows };
}
