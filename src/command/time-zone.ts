import { FrontendError, type Caller } from './commands.ts';

/** Prints a moment (milliseconds since 1970) as `yyyy-MM-dd HH:mm:ss`. */
export type TimeText = (ms: number) => string;

/** Names that Doris and the tables of time zones understand differently (`TimeUtils.java`). */
const ALIASES: Readonly<Record<string, string>> = { CST: 'Asia/Shanghai', PRC: 'Asia/Shanghai' };

/** Making a formatter takes longer than formatting all rows; there are few zones. */
const formatters = new Map<string, TimeText>();
const FORMATTERS_MAX = 64;

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

/** Times in `zone`: a name of the IANA tables, or an offset like `+08:00`. What neither knows is this process' zone. */
export function timeTextIn(zone: string): TimeText {
  let text = formatters.get(zone);
  if (text === undefined) {
    text = offsetText(zone) ?? namedText(ALIASES[zone] ?? zone);
    if (formatters.size >= FORMATTERS_MAX) formatters.clear();
    formatters.set(zone, text);
  }
  return text;
}

function offsetText(zone: string): TimeText | undefined {
  const groups = /^(?<sign>[+-])(?<hours>\d{1,2}):(?<minutes>\d\d)$/.exec(zone)?.groups;
  if (groups === undefined) return undefined;
  const minutes = Number(groups['hours']) * 60 + Number(groups['minutes']);
  const offsetMs = (groups['sign'] === '-' ? -minutes : minutes) * 60_000;
  return (ms) => clockText(ms + offsetMs);
}

/** `ms` as a clock in UTC shows it. */
function clockText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

/** Clocks are changed at quarters of an hour, in milliseconds. */
const QUARTER_MS = 900_000;
const QUARTERS_MAX = 10_000;

/** Asking for the parts of a date takes ten times as long as adding an offset, and `tasks()` has three times in each row. */
function namedText(zone: string): TimeText {
  const format = formatOf(zone);
  const offsets = new Map<number, number>();
  return (ms) => {
    const quarter = Math.floor(ms / QUARTER_MS);
    let offsetMs = offsets.get(quarter);
    if (offsetMs === undefined) {
      offsetMs = offsetAt(format, quarter * QUARTER_MS);
      if (offsets.size >= QUARTERS_MAX) offsets.clear();
      offsets.set(quarter, offsetMs);
    }
    return clockText(ms + offsetMs);
  };
}

function offsetAt(format: Intl.DateTimeFormat, ms: number): number {
  const parts = new Map(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  const clock = [part('month') - 1, part('day'), part('hour'), part('minute'), part('second')];
  return Date.UTC(part('year'), ...clock) - ms;
}

function formatOf(zone: string): Intl.DateTimeFormat {
  const digits = {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  } as const;
  try {
    return new Intl.DateTimeFormat('en', zone === '' ? digits : { ...digits, timeZone: zone });
  } catch {
    return new Intl.DateTimeFormat('en', digits);
  }
}
