import { expect, test } from 'vitest';
import { javaMapOrder } from '../../src/command/java-map.ts';

const order = (keys: string): string =>
  javaMapOrder(keys.split(' ').map((key) => [key, key]))
    .map(([key]) => key)
    .join(' ');

test.each([
  [
    'splitId ts_sec file pos kind row event server_id',
    'ts_sec file pos kind splitId row event server_id',
  ],
  ['row event gtids kind pos file ts_sec', 'ts_sec file pos kind gtids row event'],
  ['splitId startOffset endOffset', 'endOffset startOffset splitId'],
  ['splitId finishedSplitSize endOffset', 'endOffset finishedSplitSize splitId'],
  [
    'ts_usec splitId txId lsn lsn_commit messageType lsn_proc',
    'lsn_proc messageType lsn_commit lsn txId splitId ts_usec',
  ],
  [
    'jdbc_url driver_url driver_class user password database include_tables startup_mode',
    'include_tables password database driver_class driver_url startup_mode jdbc_url user',
  ],
  [
    'jdbc_url driver_url driver_class user password database schema include_tables offset skip_snapshot_backfill slot_name publication_name',
    'schema include_tables password database skip_snapshot_backfill publication_name driver_class offset driver_url slot_name jdbc_url user',
  ],
])('%s', (inserted, listed) => {
  expect(order(inserted)).toBe(listed);
});

test('13 entries need a larger table', () => {
  const keys = Array.from({ length: 13 }, (_, i) => String.fromCharCode(97 + i)).toReversed();
  // 'a' is 97 = 1 modulo 32: buckets 1 to 13 in alphabetical order.
  expect(order(keys.join(' '))).toBe(keys.toReversed().join(' '));
});
