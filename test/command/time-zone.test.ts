import { expect, test } from 'vitest';
import { FrontendError } from '../../src/command/commands.ts';
import { timeTextIn, timeTextOf } from '../../src/command/time-zone.ts';
import { FakeCaller } from './fake-parts.ts';

const MS = Date.UTC(2025, 11, 10, 2, 9, 5, 987);
const MIDNIGHT = Date.UTC(2026, 0, 1);

test.each([
  ['Etc/UTC', '2025-12-10 02:09:05', '2026-01-01 00:00:00'],
  ['Asia/Shanghai', '2025-12-10 10:09:05', '2026-01-01 08:00:00'],
  ['CST', '2025-12-10 10:09:05', '2026-01-01 08:00:00'],
  ['America/New_York', '2025-12-09 21:09:05', '2025-12-31 19:00:00'],
  ['+08:00', '2025-12-10 10:09:05', '2026-01-01 08:00:00'],
  ['-03:30', '2025-12-09 22:39:05', '2025-12-31 20:30:00'],
])('times in %s', (zone, text, midnight) => {
  expect(timeTextIn(zone)(MS)).toBe(text);
  expect(timeTextIn(zone)(MIDNIGHT)).toBe(midnight);
});

test('a zone that nobody knows is that of the process', () => {
  const here = timeTextIn('')(MS);
  expect(here).toMatch(/^2025-12-\d\d \d\d:\d\d:05$/);
  expect(timeTextIn('Middle/Earth')(MS)).toBe(here);
});

test('the session’s zone is asked for; an FE that does not tell it is no failure', async () => {
  const caller = new FakeCaller();
  caller.answer = { columns: ['@@time_zone'], rows: [['Asia/Shanghai']] };
  expect((await timeTextOf(caller))(MS)).toBe('2025-12-10 10:09:05');
  expect(caller.asked).toEqual(['SELECT @@time_zone']);
  caller.ask = () => Promise.reject(new FrontendError(1193, 'HY000', 'Unknown system variable'));
  expect((await timeTextOf(caller))(MS)).toBe(timeTextIn('')(MS));
});

test('clocks that are changed', () => {
  const berlin = timeTextIn('Europe/Berlin');
  expect(berlin(Date.UTC(2026, 2, 29, 0, 59, 59))).toBe('2026-03-29 01:59:59');
  expect(berlin(Date.UTC(2026, 2, 29, 1, 0, 0))).toBe('2026-03-29 03:00:00');
  expect(berlin(Date.UTC(2026, 9, 25, 0, 59, 59))).toBe('2026-10-25 02:59:59');
  expect(berlin(Date.UTC(2026, 9, 25, 1, 0, 0))).toBe('2026-10-25 02:00:00');
  // By half an hour, and a zone of three quarters.
  expect(timeTextIn('Australia/Lord_Howe')(Date.UTC(2026, 3, 4, 15, 0, 0))).toBe(
    '2026-04-05 01:30:00',
  );
  expect(timeTextIn('Asia/Kathmandu')(MIDNIGHT)).toBe('2026-01-01 05:45:00');
});
