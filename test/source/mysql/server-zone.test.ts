import { expect, test } from 'vitest';
import { timeZone } from '../../../src/lib/time-zone.ts';
import type { MysqlConnection, TextRow } from '../../../src/source/mysql/mysql-connection.ts';
import { serverZone } from '../../../src/source/mysql/server-zone.ts';

/** A server on a machine with these clocks: `offset` in seconds at an instant in seconds. */
class FakeMachine {
  readonly queries: string[] = [];
  readonly #globalZone: string;
  readonly #offset: (seconds: number) => number;

  constructor(globalZone: string, offset: (seconds: number) => number) {
    this.#globalZone = globalZone;
    this.#offset = offset;
  }

  query(sql: string): Promise<readonly TextRow[]> {
    this.queries.push(sql);
    if (sql.includes('@@global.time_zone')) return Promise.resolve([[this.#globalZone, 'CST']]);
    const clocks = [...sql.matchAll(/CONVERT_TZ\('([\d: -]+)', '\+00:00', 'SYSTEM'\)/g)];
    return Promise.resolve([
      clocks.map(([, text]) => {
        const utc = Date.parse(`${text?.replace(' ', 'T')}Z`) / 1000;
        const local = new Date((utc + this.#offset(utc)) * 1000);
        return local.toISOString().slice(0, 19).replace('T', ' ');
      }),
    ]);
  }
}

const zoneOf = async (
  globalZone: string,
  offset: (seconds: number) => number = () => 0,
): Promise<string> => {
  const machine = new FakeMachine(globalZone, offset) as unknown as MysqlConnection;
  return (await serverZone(machine, 'MySQL db:3306')).name;
};

test.each([
  ['UTC', 'UTC'],
  ['+08:00', '+08:00'],
  ['Asia/Shanghai', 'Asia/Shanghai'],
])('a zone that the server names is that: %s', async (name, zone) => {
  expect(await zoneOf(name)).toBe(zone);
});

test.each([
  [0, 'UTC'],
  [19_800, '+05:30'],
  [-8 * 3600, '-08:00'],
])('clocks that are never changed are an offset: %i s', async (offset, zone) => {
  expect(await zoneOf('SYSTEM', () => offset)).toBe(zone);
});

test.each([
  'Asia/Shanghai',
  'America/Chicago',
  'Europe/Berlin',
  'Australia/Lord_Howe',
  'America/Recife',
])('the clocks of %s are known again', async (name) => {
  const clocks = timeZone(name)!;
  const found = timeZone(await zoneOf('SYSTEM', (seconds) => clocks.offsetAt(seconds)))!;
  const changes = clocks.changes(86_400, 2 ** 31);
  expect(found.changes(86_400, 2 ** 31)).toEqual(changes);
  expect(changes.map((at) => found.offsetAt(at))).toEqual(changes.map((at) => clocks.offsetAt(at)));
});

test('clocks that nobody else has, by a minute on one day, are not guessed', async () => {
  const clocks = timeZone('Asia/Shanghai')!;
  const [change] = clocks.changes(86_400, 2 ** 31);
  await expect(
    zoneOf('SYSTEM', (seconds) => clocks.offsetAt(seconds === change ? seconds - 1 : seconds)),
  ).rejects.toThrow(
    "MySQL db:3306: its time zone is that of its machine, 'CST', which is none that is known here: " +
      "set the source property server_time_zone to a name like 'Asia/Shanghai', an offset like '+08:00', or 'UTC'",
  );
});

test('a name that only the server knows is refused with what to do', async () => {
  await expect(zoneOf('posix/Mars')).rejects.toThrow(
    "its time zone is 'posix/Mars', which is none",
  );
});
