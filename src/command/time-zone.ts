import { timeZone, UTC } from '../lib/time-zone.ts';
import { ownZone } from '../source/job-zone.ts';
import { FrontendError, type Caller } from './commands.ts';

/** Prints a moment (milliseconds since 1970) as `yyyy-MM-dd HH:mm:ss`. */
export type TimeText = (ms: number) => string;

/** Names that Doris and the tables of time zones understand differently (`TimeUtils.java`). */
const ALIASES: Readonly<Record<string, string>> = { CST: 'Asia/Shanghai', PRC: 'Asia/Shanghai' };

/** Times as Doris prints them for this caller: in the time zone of the session. */
export async function timeTextOf(caller: Caller): Promise<TimeText> {
  try {
    const { rows } = await caller.ask('SELECT @@time_zone');
    return timeTextIn(rows[0]?.[0] ?? '');
  } catch (error) {
    if (error instanceof FrontendError) return timeTextIn('');
    throw error;
  }
}

/** Times in the zone called `name`: one of the IANA tables, or an offset like `+08:00`. What neither knows is this process' zone. */
export function timeTextIn(name: string): TimeText {
  const zone = timeZone(ALIASES[name] ?? name) ?? timeZone(ownZone()) ?? UTC;
  return (ms) => {
    const clock = new Date(ms + 1000 * zone.offsetAt(Math.floor(ms / 1000)));
    return clock.toISOString().slice(0, 19).replace('T', ' ');
  };
}
