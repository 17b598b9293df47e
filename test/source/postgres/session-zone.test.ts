import { expect, test } from 'vitest';
import type { Session } from '../../../src/source/postgres/connection.ts';
import { sessionZone, zoneSetting } from '../../../src/source/postgres/session-zone.ts';

test.each([
  ['Z', 'UTC'],
  ['GMT+0', 'UTC'],
  ['+08:00', '<+08:00>-08:00'],
  ['GMT-3', '<-03:00>+03:00'],
  ['-03:30', '<-03:30>+03:30'],
  ['Etc/GMT+8', 'Etc/GMT+8'],
  ['America/New_York', 'America/New_York'],
  ['<+08>-08', '<+08>-08'],
])('the zone %s as a setting of Postgres: %s', (zone, setting) => {
  expect(zoneSetting(zone)).toBe(setting);
});

/** The name and the offset that a session tells. */
const told = (zone: string, offset: number): Promise<string> =>
  sessionZone({ rows: () => Promise.resolve([{ zone, offset }]) } as unknown as Session);

test.each([
  ['Etc/UTC', 0, 'UTC'],
  ['GMT0', 0, 'UTC'],
  ['Europe/Berlin', 3600, 'Europe/Berlin'],
  // POSIX counts westwards.
  ['GMT+8', -28_800, '-08:00'],
  ['UTC-5:30', 19_800, '+05:30'],
  ['<+08>-08', 28_800, '<+08>-08'],
  ['EST5EDT,M3.2.0,M11.1.0', -18_000, 'EST5EDT,M3.2.0,M11.1.0'],
])("the server's zone %s with the offset %i is kept as %s", async (zone, offset, kept) => {
  expect(await told(zone, offset)).toBe(kept);
});

test.each([
  ['GMT+0:00:30', -30],
  ['a zone', 0],
])("the server's zone %s is refused with what to do", async (zone, offset) => {
  await expect(told(zone, offset)).rejects.toThrow(
    `the server's TimeZone is '${zone}': set the source property server_time_zone to a name`,
  );
});
