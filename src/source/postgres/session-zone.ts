import { offsetName, type TimeZone, timeZone, UTC } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import { ZONE_PROPERTY } from '../job-zone.ts';
import type { Session } from './connection.ts';

/**
 * A job's zone as a value of Postgres' setting `TimeZone`. The server prints moments itself, under the same setting on both roads: scalars,
 * elements of arrays, and those inside of ranges and composites, which keep their offset in the text.
 *
 * An offset is written as a POSIX zone, whose sign counts westwards: Postgres takes `+08:00` for eight hours behind UTC
 * (PostgreSQL manual, B.5 "POSIX Time Zone Specifications").
 */
export function zoneSetting(name: string): string {
  const zone = timeZone(name);
  if (zone === UTC) return 'UTC';
  if (zone === undefined || !isOffset(name)) return name;
  const offset = zone.offsetAt(0);
  return `<${offsetName(offset)}>${offsetName(-offset)}`;
}

/**
 * What a session is given by server, database or role: this one must not have asked for a zone. An offset there is a POSIX zone, whose
 * sign is the other way round; it is told as the offset that it is.
 *
 * @throws ProxyError SOURCE_SETTING for a zone that cannot be asked for.
 */
export async function sessionZone(session: Session): Promise<string> {
  const [row] = await session.rows<{ readonly zone: string; readonly offset: number }>(
    `SELECT current_setting('TimeZone') AS zone, extract(timezone FROM now())::int AS offset`,
  );
  const { zone: name = '', offset = 0 } = row ?? {};
  if (timeZone(name) === UTC) return UTC.name;
  if (isOffset(name) && offset % 60 === 0) return offsetName(offset);
  // Into the options of a connection goes what has no blank and no backslash.
  if (!isOffset(name) && /^[\w+\-/:.,<>]+$/.test(name)) return name;
  throw new ProxyError(
    'SOURCE_SETTING',
    `the server's TimeZone is '${name}': set the source property ${ZONE_PROPERTY} to a name like 'Asia/Shanghai', an offset like '+08:00', or 'UTC'`,
  );
}

const isOffset = (name: string): boolean => /^(?:utc|gmt)?[+-]/i.test(name);

/** @throws ProxyError STATEMENT when the server's tables lack the zone. */
export async function checkZone(session: Session, zone: TimeZone): Promise<void> {
  const setting = zoneSetting(zone.name);
  if (setting !== zone.name) return;
  const [row] = await session.rows<{ readonly known: boolean }>(
    'SELECT EXISTS (SELECT FROM pg_timezone_names WHERE lower(name) = lower($1)) AS known',
    [setting],
  );
  if (row?.known === true) return;
  throw new ProxyError(
    'STATEMENT',
    `${ZONE_PROPERTY} '${zone.name}' is not known to the server: see pg_timezone_names, or give an offset like '+08:00'`,
  );
}
