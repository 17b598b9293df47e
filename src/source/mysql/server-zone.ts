import { setImmediate as nextTurn } from 'node:timers/promises';
import { offsetName, type TimeZone, timeZone, UTC } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import { ownZone, ZONE_PROPERTY } from '../job-zone.ts';
import type { MysqlConnection } from './mysql-connection.ts';

/** The first full day, and the last one, that a TIMESTAMP of any version can name. */
const FIRST_SEC = 86_400;
const LAST_SEC = Date.UTC(2037, 11, 31) / 1000;
/** The server is asked for its clocks at such distances, so that all answers are one row: a row has at most 4096 columns. */
const PROBE_SEC = 20 * 86_400;
const PROBES_OF_YEAR = 18;

/** Tried first, because several names may stand for the same clocks, and people know these. */
const WELL_KNOWN = [
  'Asia/Shanghai',
  'Asia/Hong_Kong',
  'Asia/Seoul',
  'Europe/Berlin',
  'Europe/London',
  'Europe/Paris',
  'Europe/Moscow',
  'America/New_York',
  'America/Chicago',
  'America/Denver',
  'America/Los_Angeles',
  'America/Sao_Paulo',
  'Australia/Sydney',
] as const;

/**
 * The server's own zone, which sessions have that say nothing else (`@@global.time_zone`).
 *
 * The machine's zone (`SYSTEM`) has no name that the server would tell: `system_time_zone` is an abbreviation such as CST, which stands
 * for Shanghai and for Chicago. So the server is asked for its clocks from 1970 to 2037, and the zone is the one that has
 * them all, its every change looked at from both sides.
 *
 * @throws ProxyError SOURCE_SETTING when that is no zone we know.
 */
export async function serverZone(connection: MysqlConnection, where: string): Promise<TimeZone> {
  const [row] = await connection.query('SELECT @@global.time_zone, @@system_time_zone');
  const [name, abbreviation] = [row?.[0] ?? '', row?.[1] ?? ''];
  if (name.toUpperCase() !== 'SYSTEM') {
    const zone = timeZone(name);
    if (zone !== undefined) return zone;
    throw unknown(where, `'${name}'`);
  }
  const probes: number[] = [];
  for (let at = LAST_SEC; at >= FIRST_SEC; at -= PROBE_SEC) probes.push(at);
  const offsets = await systemOffsets(connection, probes);
  const zone = fixedZone(offsets) ?? (await zoneWith(connection, probes, offsets));
  if (zone !== undefined) return zone;
  throw unknown(where, `that of its machine, '${abbreviation}'`);
}

function unknown(where: string, what: string): ProxyError {
  return new ProxyError(
    'SOURCE_SETTING',
    `${where}: its time zone is ${what}, which is none that is known here: ` +
      `set the source property ${ZONE_PROPERTY} to a name like 'Asia/Shanghai', an offset like '+08:00', or 'UTC'`,
  );
}

function fixedZone(offsets: readonly number[]): TimeZone | undefined {
  const [first = 0] = offsets;
  if (first === 0 && offsets.every((offset) => offset === 0)) return UTC;
  if (first % 60 !== 0 || offsets.some((offset) => offset !== first)) return undefined;
  return timeZone(offsetName(first));
}

async function zoneWith(
  connection: MysqlConnection,
  probes: readonly number[],
  offsets: readonly number[],
): Promise<TimeZone | undefined> {
  for (const name of [ownZone(), ...WELL_KNOWN, ...Intl.supportedValuesOf('timeZone')]) {
    const zone = timeZone(name);
    if (zone === undefined || !(await agrees(zone, probes, offsets))) continue;
    const edges = zone.changes(FIRST_SEC, LAST_SEC).flatMap((at) => [at - 1, at]);
    const found = await systemOffsets(connection, edges);
    if (edges.every((at, i) => zone.offsetAt(at) === found[i])) return zone;
  }
  return undefined;
}

async function agrees(
  zone: TimeZone,
  probes: readonly number[],
  offsets: readonly number[],
): Promise<boolean> {
  for (const [i, at] of probes.entries()) {
    // The first look at a year of a zone takes a millisecond or two, and clients are relayed by the same thread.
    if (i % PROBES_OF_YEAR === 0) await nextTurn();
    if (zone.offsetAt(at) !== offsets[i]) return false;
  }
  return true;
}

/** What the clocks of the server's machine add to UTC at these instants, in seconds. */
async function systemOffsets(
  connection: MysqlConnection,
  instants: readonly number[],
): Promise<readonly number[]> {
  const asked = instants.map((at) => `CONVERT_TZ('${clock(at)}', '+00:00', 'SYSTEM')`);
  const [row = []] = await connection.query(`SELECT ${asked.join(', ')}`);
  return instants.map((at, i) => Date.parse(`${row[i]?.replace(' ', 'T')}Z`) / 1000 - at);
}

function clock(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}
