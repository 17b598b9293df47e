import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch } from '../../src/encode/batch.ts';
import type { TableBatch } from '../../src/encode/table-batch.ts';
import type { TableSpec } from '../../src/model/table.ts';

type Value = number | string | null;
interface Row {
  readonly values: readonly Value[];
  readonly deleted: boolean;
}

function spec(
  columns: readonly string[],
  key: readonly string[],
  excluded: string[] = [],
): TableSpec {
  return {
    schema: 'shop',
    name: 'orders',
    target: 'orders',
    columns: columns.map((name) => ({
      name,
      sourceType: 'int',
      dorisType: 'INT',
      nullable: true,
      comment: '',
      excluded: excluded.includes(name),
    })),
    key,
  };
}

function write(out: TableBatch, row: Row): void {
  out.startRow();
  out.spec.columns.forEach((column, i) => {
    if (column.excluded === true) return;
    out.startColumn(i);
    const value = row.values[i]!;
    if (value === null) out.null();
    else if (typeof value === 'number') out.integer(value);
    else out.quotedText(value);
  });
  out.endRow(row.deleted);
}

const bytes = (batch: Batch) => Buffer.concat(batch.bodies().flatMap(({ body }) => body));

function linesOf(batch: Batch): unknown[] {
  const text = batch.bodies().map(({ body }) => Buffer.concat(body).toString());
  return text
    .join('')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);
}

test('a batch keeps the last change of each key, wherever the key columns stand', () => {
  const shapes = fc.constantFrom(
    ['a'],
    ['b'],
    ['c'],
    ['a', 'c'],
    ['c', 'a'],
    ['b', 'c'],
    ['a', 'b', 'c'],
  );
  const value = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom('x', 'x"', '\n', ''));
  const row = fc.record({ values: fc.tuple(value, value, value), deleted: fc.boolean() });
  fc.assert(
    fc.property(shapes, fc.array(row, { maxLength: 300 }), (key, rows) => {
      const columns = ['a', 'b', 'c'];
      const table = spec(columns, key);
      const batch = new Batch();
      for (const r of rows) write(batch.table(table), r);
      const last = new Map<string, unknown>();
      for (const r of rows) {
        const id = JSON.stringify(key.map((k) => r.values[columns.indexOf(k)]));
        last.delete(id);
        const [a, b, c] = r.values;
        last.set(id, { a, b, c, __DORIS_DELETE_SIGN__: Number(r.deleted) });
      }
      expect(linesOf(batch)).toEqual([...last.values()]);
      expect(batch.rows).toBe(rows.length);
      const bodies = batch.bodies();
      expect(bodies.map((b) => b.rows)).toEqual(last.size === 0 ? [] : [last.size]);
    }),
  );
});

test('keys that ascend for a while are found again by the first that does not', () => {
  const table = spec(['id', 'v'], ['id']);
  const batch = new Batch();
  const padding = 'x'.repeat(100); // so that the rows lie in several chunks
  const later = fc.array(fc.nat({ max: 6_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6_000 }), later, (count, others) => {
      batch.reset();
      const ids = [...Array.from({ length: count }, (_, i) => i), ...others];
      const last = new Map<number, unknown>();
      for (const [n, id] of ids.entries()) {
        write(batch.table(table), { values: [id, `${n}${padding}`], deleted: false });
        last.delete(id);
        last.set(id, { id, v: `${n}${padding}`, __DORIS_DELETE_SIGN__: 0 });
      }
      expect(linesOf(batch)).toEqual([...last.values()]);
    }),
    { numRuns: 30 },
  );
});

test('the same changes give the same bytes, in a fresh batch and in one used before', () => {
  const table = spec(['id', 'v'], ['id']);
  const used = new Batch();
  for (let round = 0; round < 3; round++) {
    const fresh = new Batch();
    for (const batch of [used, fresh]) {
      for (let i = 0; i < 20_000; i++) {
        write(batch.table(table), {
          values: [i % 7000, `value ${i * round}`],
          deleted: i % 5 === 0,
        });
      }
    }
    expect(bytes(used).equals(bytes(fresh))).toBe(true);
    expect(used.bodies()[0]!.bytes).toBe(bytes(used).length);
    expect(used.rows).toBe(20_000);
    used.reset();
    expect(used.empty).toBe(true);
    expect(used.bytes).toBe(0);
  }
});

test('rows of any size stay whole when the memory grows', () => {
  const table = spec(['id', 'v'], ['id']);
  const batch = new Batch();
  const sizes = [10, 100_000, 3_000_000, 70_000, 9_000_000, 0, 65_536];
  sizes.forEach((size, id) => {
    const out = batch.table(table);
    const value = Buffer.alloc(size, 'x"\n');
    out.startRow();
    out.startColumn(0);
    out.integer(id);
    out.startColumn(1);
    out.byte(0x22);
    for (let at = 0; at < size; at += 5000) out.utf8(value, at, Math.min(size, at + 5000));
    out.byte(0x22);
    out.endRow(false);
  });
  const lines = linesOf(batch) as { id: number; v: string }[];
  expect(lines.map((line) => [line.id, line.v.length])).toEqual(
    sizes.map((size, id) => [id, size]),
  );
});

test('excluded columns are not in the row, and key columns around them are one key', () => {
  const table = spec(['a', 'gone', 'b', 'v'], ['b', 'a'], ['gone']);
  const batch = new Batch();
  write(batch.table(table), { values: [1, 9, 2, 'old'], deleted: false });
  write(batch.table(table), { values: [1, 8, 2, 'new'], deleted: false });
  expect(linesOf(batch)).toEqual([{ a: 1, b: 2, v: 'new', __DORIS_DELETE_SIGN__: 0 }]);
});

test('a row left in progress by an error is forgotten', () => {
  const table = spec(['id', 'v'], ['id']);
  const batch = new Batch();
  const out = batch.table(table);
  out.startRow();
  out.startColumn(0);
  out.integer(77);
  write(out, { values: [1, 'x'], deleted: false });
  expect(linesOf(batch)).toEqual([{ id: 1, v: 'x', __DORIS_DELETE_SIGN__: 0 }]);
});

test('bodies come by table name, and a table without rows has none', () => {
  const a = spec(['id'], ['id']);
  const b = { ...a, name: 'accounts' };
  const batch = new Batch();
  write(batch.table(a), { values: [1], deleted: false });
  write(batch.table(b), { values: [1], deleted: false });
  batch.table({ ...a, name: 'empty' });
  expect(batch.bodies().map(({ table }) => table.name)).toEqual(['accounts', 'orders']);
  batch.reset();
  expect(batch.bodies()).toEqual([]);
});

test('many small loads of wide tables reuse the memory instead of adding to it', () => {
  const table = spec(['id', 'v'], ['id']);
  const batch = new Batch();
  const row = 'x'.repeat(2000);
  const fill = () => {
    for (let i = 0; i < 4000; i++) write(batch.table(table), { values: [i, row], deleted: false });
    const [body] = batch.bodies();
    const memory = new Set(body!.body.map((part) => part.buffer));
    batch.reset();
    return memory;
  };
  const first = fill();
  const second = fill();
  const held = [...first].reduce((sum, memory) => sum + memory.byteLength, 0);
  expect(held).toBeLessThan(2 * 4000 * 2050);
  expect([...second].filter((memory) => first.has(memory)).length).toBeGreaterThanOrEqual(
    first.size - 1,
  );
});
