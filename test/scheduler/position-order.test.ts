import { expect, test } from 'vitest';
import type { MysqlPosition, Position } from '../../src/model/offset.ts';
import { isBefore } from '../../src/scheduler/position-order.ts';

const mysql = (file: string, pos: number, more: Partial<MysqlPosition> = {}): Position => ({
  kind: 'mysql',
  file,
  pos,
  gtids: '',
  event: 0,
  serverId: '',
  serverUuid: 'u',
  tsSec: 0,
  ...more,
});
const postgres = (lsn: string, event = 0): Position => ({
  kind: 'postgres',
  lsn,
  event,
  txId: '',
  tsUsec: '0',
});

test.each([
  ['earlier in a file', mysql('b.000009', 4), mysql('b.000009', 5)],
  ['in an earlier file, whose number is shorter', mysql('b.999999', 9), mysql('b.1000000', 4)],
  [
    'earlier in a transaction',
    mysql('b.000001', 4, { event: 1 }),
    mysql('b.000001', 4, { event: 2 }),
  ],
  ['an LSN of fewer digits', postgres('999'), postgres('1000')],
  ['earlier in a transaction of Postgres', postgres('7', 1), postgres('7', 2)],
])('before: %s', (_, a, b) => {
  expect(isBefore(a, b)).toBe(true);
  expect(isBefore(b, a)).toBe(false);
  expect(isBefore(a, a)).toBe(false);
});

test.each([
  ['another server', mysql('b.000001', 4), mysql('b.000002', 4, { serverUuid: 'v' })],
  [
    'another log in its place',
    mysql('b.1', 4, { gtids: '0-1-9' }),
    mysql('b.2', 4, { gtids: '0-1-8' }),
  ],
  ['only GTIDs', mysql('', 4), mysql('b.000002', 4)],
  ['another kind', postgres('1'), mysql('b.000002', 4)],
  ['none yet', postgres('1'), undefined],
])('not to be compared: %s', (_, a, b) => {
  expect(isBefore(a, b)).toBe(false);
  expect(isBefore(b, a)).toBe(false);
});
