import { setImmediate as nextTurn } from 'node:timers/promises';

/** How the clocks of a place stand to UTC. Seconds are seconds since 1970, whole, of any sign. */
export interface TimeZone {
  /** As it was written: `Asia/Shanghai`, `+08:00`. */
  readonly name: string;
  /** Seconds to add to an instant for what the place's clocks show then. */
  offsetAt(seconds: number): number;
  /** When the offset changes, after `from` and not after `to`: the first instants that have the new one, ascending. */
  changes(from: number, to: number): readonly number[];
}

/** Instants that need no conversion at all: for whoever has a quicker way for them. */
export const UTC: TimeZone = { name: 'UTC', offsetAt: () => 0, changes: () => [] };

/** Zones keep what they have found out. A name may be written in thousands of ways, in this case and that. */
const zones = new Map<string, TimeZone>();
const ZONES_MAX = 1000;

/**
 * The zone called `text`: a name of the IANA tables (`Asia/Shanghai`, in any case), an offset (`+08:00`, `-5`, `GMT+8`), or
 * one of the names of UTC, for which {@link UTC} itself is returned. Undefined for anything else, and for abbreviations that
 * stand for several places (`CST`): ICU would take its pick.
 */
export function timeZone(text: string): TimeZone | undefined {
  const name = text.trim();
  let zone = zones.get(name);
  if (zone === undefined) {
    zone = isUtcName(name) ? UTC : (offsetZone(name) ?? namedZone(name));
    if (zone === undefined) return undefined;
    if (zones.size >= ZONES_MAX) zones.clear();
    zones.set(name, zone);
  }
  return zone;
}

/**
 * Whether clocks show two instants of `from..to` alike: an hour that comes twice when summer time ends. A year that nobody has
 * asked for takes a millisecond or two, so others have the thread in between.
 */
export async function repeatsClock(zone: TimeZone, from: number, to: number): Promise<boolean> {
  for (let start = from; start < to; start += PIECE_SEC) {
    const changes = zone.changes(start, Math.min(start + PIECE_SEC, to));
    if (changes.some((at) => zone.offsetAt(at) < zone.offsetAt(at - 1))) return true;
    await nextTurn();
  }
  return false;
}

/** An offset that ends with its minute, as `+08:00`. */
export function offsetName(seconds: number): string {
  const minutes = Math.abs(seconds) / 60;
  return `${seconds < 0 ? '-' : '+'}${twoDigits(Math.floor(minutes / 60))}:${twoDigits(minutes % 60)}`;
}

const twoDigits = (n: number): string => String(n).padStart(2, '0');

function isUtcName(name: string): boolean {
  return /^(?:utc|uct|gmt|z|zulu|universal|greenwich|gmt[+-]?0|etc\/(?:utc|uct|gmt|gmt[+-]?0|zulu|universal|greenwich))$/i.test(
    name,
  );
}

/** What MySQL takes, and in fact occurs: Kiribati is 14 hours ahead. */
const AHEAD_MAX_SEC = 14 * 3600;

function offsetZone(name: string): TimeZone | undefined {
  const groups = /^(?:UTC|GMT)?(?<sign>[+-])(?<hours>\d{1,2})(?::?(?<minutes>[0-5]\d))?$/i.exec(
    name,
  )?.groups;
  if (groups === undefined) return undefined;
  const seconds = Number(groups['hours']) * 3600 + Number(groups['minutes'] ?? 0) * 60;
  if (seconds === 0) return UTC;
  if (seconds > AHEAD_MAX_SEC) return undefined;
  const offset = groups['sign'] === '-' ? -seconds : seconds;
  return { name, offsetAt: () => offset, changes: () => [] };
}

/** Short names in the IANA tables that mean one place or one rule. ICU knows more, from times when `PST` was a zone's name. */
const SHORT_NAMES = /^(?:CET|EET|EST|GB|HST|MET|MST|NZ|PRC|ROC|ROK|WET)$/i;

function namedZone(name: string): TimeZone | undefined {
  if (!/^[a-z][\w+/-]+$/i.test(name)) return undefined;
  if (name.length <= 3 && !SHORT_NAMES.test(name)) return undefined;
  try {
    const format = new Intl.DateTimeFormat('en', { timeZone: name, timeZoneName: 'longOffset' });
    return new NamedZone(name, format);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The mean year of the calendar: what is found out about a zone is kept in pieces of this length. */
const PIECE_SEC = 31_556_952;
/**
 * How far two looks at a zone's offset are apart. The shortest time for which a zone ever changed its offset, and back, is four days
 * (Freetown in 1939; since 1970 a week, Recife in 2000), so none is missed.
 */
const STEP_SEC = 3 * 86_400;

/** `offsets[i]` holds before `changes[i]`, the last one until the piece ends. */
interface Piece {
  readonly changes: readonly number[];
  readonly offsets: readonly number[];
}

/**
 * A zone with changes. ICU tells an offset in some microseconds, too slow for every value of a table; so the changes of a year are
 * found out once, and neighbouring instants share the answer.
 */
class NamedZone implements TimeZone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #pieces = new Map<number, Piece>();
  /** `#offset` holds for `#from <= seconds < #until`. */
  #from = 0;
  #until = 0;
  #offset = 0;

  constructor(name: string, format: Intl.DateTimeFormat) {
    this.name = name;
    this.#format = format;
  }

  offsetAt(seconds: number): number {
    if (seconds < this.#from || seconds >= this.#until) this.#find(seconds);
    return this.#offset;
  }

  changes(from: number, to: number): readonly number[] {
    const all: number[] = [];
    for (let n = Math.floor(from / PIECE_SEC); n * PIECE_SEC <= to; n++) {
      const start = n * PIECE_SEC;
      if (this.offsetAt(start) !== this.offsetAt(start - 1)) all.push(start);
      all.push(...this.#piece(n).changes);
    }
    return all.filter((at) => at > from && at <= to);
  }

  #find(seconds: number): void {
    const n = Math.floor(seconds / PIECE_SEC);
    const { changes, offsets } = this.#piece(n);
    let i = 0;
    while (i < changes.length && seconds >= changes[i]!) i++;
    this.#from = i === 0 ? n * PIECE_SEC : changes[i - 1]!;
    this.#until = changes[i] ?? (n + 1) * PIECE_SEC;
    this.#offset = offsets[i]!;
  }

  #piece(n: number): Piece {
    let piece = this.#pieces.get(n);
    if (piece === undefined) {
      piece = this.#look(n * PIECE_SEC, (n + 1) * PIECE_SEC);
      this.#pieces.set(n, piece);
    }
    return piece;
  }

  #look(start: number, end: number): Piece {
    const changes: number[] = [];
    let offset = this.#ask(start);
    const offsets = [offset];
    for (let at = start; at < end; at += STEP_SEC) {
      const next = Math.min(at + STEP_SEC, end);
      const last = this.#ask(next);
      for (let from = at; offset !== last;) {
        from = this.#change(from, next, offset);
        offset = this.#ask(from);
        // A change at the end belongs to the next piece.
        if (from === end) break;
        changes.push(from);
        offsets.push(offset);
      }
    }
    return { changes, offsets };
  }

  /** The first instant after `from`, where `offset` holds, at which it does not; it is not after `to`. */
  #change(from: number, to: number, offset: number): number {
    let [before, after] = [from, to];
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (this.#ask(middle) === offset) before = middle;
      else after = middle;
    }
    return after;
  }

  /** ICU prints `GMT+08:00`, `GMT-04:56:02` where clocks followed the sun, and `GMT`. */
  #ask(seconds: number): number {
    const text = this.#format.format(seconds * 1000);
    const groups = /GMT(?:(?<sign>[+-])(?<h>\d\d):(?<m>\d\d)(?::(?<s>\d\d))?)?$/.exec(text)?.groups;
    if (groups === undefined) throw new Error(`no offset in ${text}`);
    const offset =
      Number(groups['h'] ?? 0) * 3600 + Number(groups['m'] ?? 0) * 60 + Number(groups['s'] ?? 0);
    return groups['sign'] === '-' ? -offset : offset;
  }
}
