import { type TimeZone, timeZone } from '../lib/time-zone.ts';
import { ProxyError } from '../model/error.ts';
import type { Properties } from '../model/job.ts';

/**
 * The zone of a job: whose clocks the moments of its rows (`TIMESTAMP`, `timestamptz`) are written in. CREATE JOB finds it
 * out and keeps it in the source property `server_time_zone`, so that rows do not change when a setting of the server does. A job without
 * the property writes UTC.
 *
 * What counts, in this order: the property; what the URL says (cdc-semantics.md §1.0, job-sql.md §5.3); the server's own zone.
 */
export const ZONE_PROPERTY = 'server_time_zone';

const EXPECTED =
  "a name like 'Asia/Shanghai', an offset like '+08:00', 'UTC', or 'SYSTEM' for the server's own";

/** Whether `text` asks for the server's zone, whatever it is. */
function isServersZone(text: string): boolean {
  return /^(?:system|server|default)$/i.test(text.trim());
}

/** Undefined when `text`, written as `server_time_zone`, can be understood; else what is wrong. */
export function zoneMistake(text: string): string | undefined {
  if (isServersZone(text) || timeZone(text) !== undefined) return undefined;
  return `Invalid value for key '${ZONE_PROPERTY}': ${text}: expected is ${EXPECTED}`;
}

/**
 * The zone that a new job's statement asks for; undefined: the server's own. `parameters` are those of the URL that may name one; the
 * first that is there counts.
 *
 * @throws ProxyError STATEMENT for a zone that is not known, and for parameters that contradict each other.
 */
export function askedZone(
  properties: Properties,
  parameters: ReadonlyMap<string, string>,
  names: readonly string[],
): TimeZone | undefined {
  const given = properties[ZONE_PROPERTY];
  if (given !== undefined) {
    const mistake = zoneMistake(given);
    if (mistake !== undefined) throw new ProxyError('STATEMENT', mistake);
    return timeZone(given);
  }
  const found = names.flatMap((name) => parameters.get(name.toLowerCase()) ?? []);
  const [first] = found;
  if (first === undefined) return undefined;
  const other = found.find((text) => text.toLowerCase() !== first.toLowerCase());
  if (other !== undefined) {
    throw new ProxyError('STATEMENT', `jdbc_url names two time zones, '${first}' and '${other}'`);
  }
  if (isServersZone(first)) return undefined;
  const zone = timeZone(isLocal(first) ? ownZone() : first);
  if (zone !== undefined) return zone;
  throw new ProxyError(
    'STATEMENT',
    `the time zone '${first}' of jdbc_url is not known: set the property ${ZONE_PROPERTY} to ${EXPECTED}`,
  );
}

/** Connector/J: the zone of the process that connects (MySQL Connector/J manual, `connectionTimeZone`). */
const isLocal = (text: string): boolean => /^local$/i.test(text);

export function ownZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** What a key of moments is refused with where clocks show two of them alike: Doris would keep one of two rows. */
export function repeatedKeyText(column: string, zone: string): string {
  return (
    `key column ${column} holds moments, and when the clocks of '${zone}' are put back two of them look alike: ` +
    `set the source property ${ZONE_PROPERTY} to 'UTC' or to an offset like '+08:00'`
  );
}
