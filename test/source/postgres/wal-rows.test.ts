import { expect, test } from 'vitest';
import { Batch } from '../../../src/encode/batch.ts';
import { MESSAGE, readRelation } from '../../../src/source/postgres/pgoutput.ts';
import { RowEncoder } from '../../../src/source/postgres/row-encoder.ts';
import { isVisible } from '../../../src/source/postgres/row-reread.ts';
import { WalRows, WalTable } from '../../../src/source/postgres/wal-rows.ts';
import { COLUMNS, TABLE, TABLE_OID } from '../../support/fake-wal.ts';
import * as message from '../../support/pgoutput-messages.ts';

const FULL = COLUMNS.map((column) => ({ ...column, identity: true }));

/** What one message makes of an empty batch: lines, and keys of rows that the log does not hold whole. */
function write(
  bytes: Buffer,
  columns: readonly message.TestColumn[] = COLUMNS,
): { readonly lines: readonly string[]; readonly incomplete: readonly string[] } {
  // As it lies in a received piece, and alone: by generated code, and value by value.
  const piece = Buffer.concat([bytes, Buffer.from('more of the piece')]);
  const [first, second] = [piece, bytes].map((b) => writeOf(b, bytes.length, columns));
  expect(first).toEqual(second);
  return first!;
}

function writeOf(
  bytes: Buffer,
  end: number,
  columns: readonly message.TestColumn[],
): { readonly lines: readonly string[]; readonly incomplete: readonly string[] } {
  const description = message.relation(TABLE_OID, 'public', 't', columns);
  const relation = readRelation(description, 0, description.length);
  const incomplete: string[] = [];
  const rows = new WalRows((_, key) => incomplete.push(key.map(String).join('|')));
  const batch = new Batch();
  rows.write(new WalTable(relation, new RowEncoder(TABLE, false)), batch, bytes, 0, end);
  const text = Buffer.concat(batch.bodies().flatMap((body) => body.body)).toString();
  return { lines: text.split('\n').slice(0, -1), incomplete };
}

const put = (id: string, v: string): string =>
  `{"id":"${id}","v":"${v}","__DORIS_DELETE_SIGN__":0}`;
const gone = (id: string): string => `{"id":"${id}","v":"","__DORIS_DELETE_SIGN__":1}`;

test.each([
  ['insert', message.insert(TABLE_OID, ['1', 'x']), [put('1', 'x')]],
  ['update', message.update(TABLE_OID, ['1', 'y']), [put('1', 'y')]],
  [
    'update of the key',
    message.update(TABLE_OID, ['2', 'y'], { kind: 'K', values: ['1', null] }),
    [put('2', 'y'), gone('1')],
  ],
  [
    'update with an old key that is the same',
    message.update(TABLE_OID, ['1', 'y'], { kind: 'K', values: ['1', null] }),
    [put('1', 'y')],
  ],
  ['delete', message.remove(TABLE_OID, 'K', ['1', null]), [gone('1')]],
])('%s', (_, bytes, lines) => {
  expect(write(bytes)).toEqual({ lines, incomplete: [] });
});

test('REPLICA IDENTITY FULL fills an unchanged value in, and tells a changed key', () => {
  const old = { kind: 'O' as const, values: ['1', 'big'] };
  expect(write(message.update(TABLE_OID, ['1', undefined], old), FULL)).toEqual({
    lines: [put('1', 'big')],
    incomplete: [],
  });
  expect(write(message.update(TABLE_OID, ['2', undefined], old), FULL)).toEqual({
    lines: [put('2', 'big'), gone('1')],
    incomplete: [],
  });
  expect(write(message.remove(TABLE_OID, 'O', ['1', 'big']), FULL).lines).toEqual([gone('1')]);
});

test('an unchanged value that the log lacks: the row is read again by its new key, the old one is deleted', () => {
  expect(write(message.update(TABLE_OID, ['1', undefined]))).toEqual({
    lines: [],
    incomplete: ['1'],
  });
  const moved = message.update(TABLE_OID, ['2', undefined], { kind: 'K', values: ['1', null] });
  expect(write(moved)).toEqual({ lines: [gone('1')], incomplete: ['2'] });
});

test('an old row that says NULL for an unchanged value is a key in disguise: the row is read again', () => {
  const bytes = message.update(TABLE_OID, ['1', undefined], { kind: 'O', values: ['1', null] });
  expect(write(bytes, FULL)).toEqual({ lines: [], incomplete: ['1'] });
});

test('an unchanged key that is TOASTed comes with the old tuple', () => {
  const bytes = message.update(TABLE_OID, [undefined, 'y'], {
    kind: 'K',
    values: ['long key', null],
  });
  expect(write(bytes)).toEqual({ lines: [put('long key', 'y')], incomplete: [] });
});

test('a column that is not in the log makes every row incomplete', () => {
  const [id] = COLUMNS as [message.TestColumn];
  expect(write(message.insert(TABLE_OID, ['1']), [id])).toEqual({ lines: [], incomplete: ['1'] });
  expect(write(message.remove(TABLE_OID, 'K', ['1']), [id]).lines).toEqual([gone('1')]);
});

test('columns are matched by name: another order, and columns that are not copied', () => {
  const columns = [{ name: 'more', oid: 23 }, COLUMNS[0]!, COLUMNS[1]!];
  expect(write(message.insert(TABLE_OID, ['5', '1', 'x']), columns).lines).toEqual([put('1', 'x')]);
});

test('a truncated message is refused wherever it is cut', () => {
  const bytes = message.update(TABLE_OID, ['2', 'yy'], { kind: 'K', values: ['1', null] });
  for (let length = 6; length < bytes.length; length++) {
    expect(() => write(bytes.subarray(0, length))).toThrow(
      expect.objectContaining({ code: 'UNDECODABLE' }),
    );
  }
  expect(bytes[0]).toBe(MESSAGE.UPDATE);
});

test('whether a snapshot shows a transaction, of which the log says 32 bits', () => {
  expect(isVisible('100:100:', 99)).toBe(true);
  expect(isVisible('100:100:', 100)).toBe(false);
  expect(isVisible('100:105:100,103', 102)).toBe(true);
  expect(isVisible('100:105:100,103', 103)).toBe(false);
  // After 2^32 transactions: the same low bits, and one that began before the turn.
  const epoch = 2n ** 32n;
  expect(isVisible(`${epoch + 5n}:${epoch + 5n}:`, 3)).toBe(true);
  expect(isVisible(`${epoch + 5n}:${epoch + 5n}:`, 0xffff_fff0)).toBe(true);
  expect(isVisible(`${epoch - 16n}:${epoch + 5n}:${epoch - 16n}`, 0xffff_fff0)).toBe(false);
  expect(isVisible(`${epoch - 5n}:${epoch - 5n}:`, 3)).toBe(false);
});
