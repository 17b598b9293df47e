import { expect, test } from 'vitest';
import { type LabelLimits, Transactions } from './transactions.ts';

const LIMITS: LabelLimits = { labelsMax: 3, labelKeepMs: 1000, runningMax: 2 };

test('a finished label is forgotten by age, a running one never', () => {
  let now = 0;
  const transactions = new Transactions(LIMITS, [], () => now);
  const done = transactions.begin('d', 'done');
  transactions.begin('d', 'running');
  transactions.finish(done, 'VISIBLE');
  now = 1000;
  expect(() => transactions.begin('d', 'done')).toThrow('has already been used');
  now = 1001;
  expect(transactions.state('d', 'done')).toBe('UNKNOWN');
  expect(transactions.state('d', 'running')).toBe('PREPARE');
  expect(transactions.begin('d', 'done').id).toBeGreaterThan(done.id);
});

test('so many transactions of a database may run at once', () => {
  const transactions = new Transactions(LIMITS);
  const first = transactions.begin('d', 'a');
  transactions.begin('d', 'b');
  expect(() => transactions.begin('d', 'c')).toThrow('larger than limit 2');
  transactions.begin('e', 'c');
  transactions.finish(first, 'ABORTED');
  transactions.begin('d', 'c');
});

test.each(['', 'a.b', 'a/b', 'ä', 'x'.repeat(129)])('%j is no label', (label) => {
  expect(() => new Transactions(LIMITS).begin('d', label)).toThrow('Label format error');
});

test('labels of an earlier run are as good as new ones', () => {
  const kept = ['a', 'b', 'c', 'd'].map((label, i) => ({
    id: 2000 + i,
    database: 'd',
    label,
    status: 'VISIBLE' as const,
    finishTimeMs: i,
  }));
  const transactions = new Transactions(LIMITS, kept, () => 10);
  expect(['a', 'b', 'c', 'd'].map((label) => transactions.state('d', label))).toEqual([
    'UNKNOWN',
    'VISIBLE',
    'VISIBLE',
    'VISIBLE',
  ]);
  expect(transactions.begin('d', 'e').id).toBe(2004);
});
