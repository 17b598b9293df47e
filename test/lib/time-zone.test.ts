import fc from 'fast-check';
import { expect, test } from 'vitest';
import { offsetName, repeatsClock, type TimeZone, timeZone, UTC } from '../../src/lib/time-zone.ts';

const at = (iso: string): number => Date.parse(iso) / 1000;
const named = (name: string): TimeZone => timeZone(name)!;

test.each([
  'UTC',
  'utc',
  'Z',
  'GMT',
  'Etc/UTC',
  'Zulu',
  '+00:00',
  '-0',
  'UTC+0',
  'GMT+00:00',
  ' UTC ',
])('%s is UTC itself', (name) => expect(timeZone(name)).toBe(UTC));

test.each([
  ['+08:00', 8 * 3600],
  ['-3', -3 * 3600],
  ['+0530', 19_800],
  ['GMT+8', 8 * 3600],
  ['utc-09:30', -34_200],
  ['+14:00', 50_400],
  ['Etc/GMT+8', -8 * 3600],
])('%s is ahead of UTC by %i seconds, always', (name, offset) => {
  for (const seconds of [-6e10, 0, 1.7e9, 2.5e11])
    expect(named(name).offsetAt(seconds)).toBe(offset);
  expect(named(name).changes(-6e10, 0)).toEqual([]);
});

test.each([
  '',
  'CST',
  'PST',
  'IST',
  'Mars/Base',
  '+14:01',
  '+08:60',
  '8',
  'SYSTEM',
  'Asia/Shanghai;',
  '+8:0',
])("'%s' is no zone, or several", (name) => expect(timeZone(name)).toBeUndefined());

test.each([
  'asia/shanghai',
  'PRC',
  'EST5EDT',
  'CET',
  'America/Argentina/Buenos_Aires',
  'Etc/GMT-14',
])('%s is a name', (name) => expect(named(name).name).toBe(name));

/** Written by hand from the tables of IANA. */
test.each([
  ['America/New_York', '2024-03-10T07:00:00Z', -5, -4],
  ['America/New_York', '2024-11-03T06:00:00Z', -4, -5],
  ['America/New_York', '2007-03-11T07:00:00Z', -5, -4],
  ['America/New_York', '2006-04-02T07:00:00Z', -5, -4],
  ['America/New_York', '9999-03-14T07:00:00Z', -5, -4],
  ['Europe/Berlin', '2024-03-31T01:00:00Z', 1, 2],
  ['Europe/Berlin', '2024-10-27T01:00:00Z', 2, 1],
  ['Asia/Shanghai', '1991-09-14T17:00:00Z', 9, 8],
  ['Australia/Lord_Howe', '2024-04-06T15:00:00Z', 11, 10.5],
  ['America/Recife', '2000-10-08T03:00:00Z', -3, -2],
  ['America/Recife', '2000-10-15T02:00:00Z', -2, -3],
  ['Pacific/Apia', '2011-12-30T10:00:00Z', -10, 14],
])('%s at %s: from %d hours to %d, to the second', (name, iso, before, after) => {
  const zone = named(name);
  expect(zone.offsetAt(at(iso) - 1)).toBe(before * 3600);
  expect(zone.offsetAt(at(iso))).toBe(after * 3600);
  expect(zone.changes(at(iso) - 1, at(iso))).toEqual([at(iso)]);
  expect(zone.changes(at(iso), at(iso) + 3600)).toEqual([]);
});

test('clocks that followed the sun have seconds', () => {
  expect(named('America/New_York').offsetAt(at('1800-01-01T00:00:00Z'))).toBe(
    -(4 * 3600 + 56 * 60 + 2),
  );
  expect(named('Asia/Shanghai').offsetAt(at('1900-12-31T15:54:16Z'))).toBe(8 * 3600 + 5 * 60 + 43);
  expect(named('Asia/Shanghai').offsetAt(at('1900-12-31T15:54:17Z'))).toBe(8 * 3600);
});

test('in any order of instants the clock is the one that Intl prints', () => {
  const zone = named('America/New_York');
  const digits = {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  } as const;
  const local = new Intl.DateTimeFormat('sv', { ...digits, timeZone: 'America/New_York' });
  const utc = new Intl.DateTimeFormat('sv', { ...digits, timeZone: 'UTC' });
  const instant = fc.integer({ min: at('1800-01-01T00:00:00Z'), max: at('2500-01-01T00:00:00Z') });
  fc.assert(
    fc.property(fc.array(instant, { minLength: 1, maxLength: 20 }), (instants) => {
      for (const seconds of instants) {
        expect(utc.format((seconds + zone.offsetAt(seconds)) * 1000)).toBe(
          local.format(seconds * 1000),
        );
      }
    }),
  );
});

test.each([
  ['UTC', 1970, false],
  ['+08:00', 1970, false],
  ['America/New_York', 1970, true],
  ['Asia/Shanghai', 1970, true],
  ['Asia/Shanghai', 1992, false],
  ['Asia/Tokyo', 1970, false],
  ['Asia/Tokyo', 1900, true],
])('%s since %i has a clock time that comes twice: %s', async (name, year, twice) => {
  const from = Date.UTC(year) / 1000;
  expect(await repeatsClock(named(name), from, at('2038-01-01T00:00:00Z'))).toBe(twice);
});

test('others have the thread while centuries of a zone are looked at', async () => {
  let turns = 0;
  const others = setInterval(() => turns++, 1);
  await repeatsClock(named('Asia/Kolkata'), at('1950-01-01T00:00:00Z'), at('2100-01-01T00:00:00Z'));
  clearInterval(others);
  expect(turns).toBeGreaterThan(10);
});

test('an offset has a name that is understood', () => {
  expect([0, 28_800, -12_600, 50_400].map(offsetName)).toEqual([
    '+00:00',
    '+08:00',
    '-03:30',
    '+14:00',
  ]);
  fc.assert(
    fc.property(fc.integer({ min: -14 * 60, max: 14 * 60 }), (minutes) => {
      expect(timeZone(offsetName(60 * minutes))?.offsetAt(0)).toBe(60 * minutes);
    }),
  );
});
