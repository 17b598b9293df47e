import { expect, test } from 'vitest';
import { selectNames } from '../../src/source/table-selection.ts';

const ALL = ['order_2024', 'order_2025', 'orders', 'o*', 'user', 'a\\b', 'Ünï'];
const include = (...list: string[]): readonly string[] =>
  selectNames(ALL, { include: list, exclude: [] });
const exclude = (...list: string[]): readonly string[] =>
  selectNames(ALL, { include: [], exclude: list });

test.each<[string[], string[]]>([
  [['user', 'nobody'], ['user']],
  [[' user '], ['user']],
  [['USER'], []],
  [['order_*'], ['order_2024', 'order_2025']],
  [
    ['order?', 'u*'],
    ['orders', 'user'],
  ],
  [['*_20?4'], ['order_2024']],
  [['???'], ['a\\b', 'Ünï']],
  [['*'], ALL],
  [['**s*r*'], ['user']],
  // A table of that name is meant, not the pattern.
  [['o*'], ['o*']],
  [['a\\b'], ['a\\b']],
  [['o\\*'], ['o*']],
  [['order_202\\?'], []],
  [['.*'], []],
])('include %j', (list, found) => {
  expect(include(...list)).toEqual(found);
});

test('exclude leaves the rest, and include wins', () => {
  expect(exclude('order*', 'o*')).toEqual(['user', 'a\\b', 'Ünï']);
  expect(exclude()).toEqual(ALL);
  expect(selectNames(ALL, { include: ['user'], exclude: ['user'] })).toEqual(['user']);
});

test('a pattern of many stars takes no time', () => {
  const name = 'a'.repeat(64);
  expect(selectNames([name], { include: [`${'*a'.repeat(40)}b`], exclude: [] })).toEqual([]);
});
