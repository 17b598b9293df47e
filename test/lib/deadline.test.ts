import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Deadline } from '../../src/lib/deadline.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test('each is called once, not before its time, and up to 50 ms behind it', () => {
  const told: string[] = [];
  const deadlines = [
    new Deadline(500, () => told.push('long')),
    new Deadline(100, () => told.push('short')),
    new Deadline(100, () => told.push('cleared')),
  ];
  vi.advanceTimersByTime(49);
  deadlines[2]?.clear();
  deadlines[2]?.clear();
  vi.advanceTimersByTime(50);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(51);
  expect(told).toEqual(['short']);
  vi.advanceTimersByTime(349);
  expect(told).toEqual(['short']);
  vi.advanceTimersByTime(51);
  expect(told).toEqual(['short', 'long']);
  deadlines[0]?.clear();
  vi.advanceTimersByTime(1000);
  expect(told).toEqual(['short', 'long']);
});

test('one may clear and begin others when its time comes; without any no timer runs', () => {
  const told: string[] = [];
  let third: Deadline | undefined;
  const first = new Deadline(100, () => {
    told.push('first');
    second.clear();
    third = new Deadline(100, () => told.push('third'));
  });
  const second = new Deadline(100, () => told.push('second'));
  vi.advanceTimersByTime(100);
  expect(told).toEqual(['first']);
  vi.advanceTimersByTime(200);
  expect(told).toEqual(['first', 'third']);
  first.clear();
  third?.clear();
  expect(vi.getTimerCount()).toBe(0);
});
