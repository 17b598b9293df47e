import { ProxyError } from '../../model/error.ts';

/** Which transactions a stream has passed. Text as the server prints it, so that it can be handed back to a server. */
export interface ExecutedGtids {
  /** Whether one transaction can be missing while later ones are in. */
  readonly canHaveGaps: boolean;
  /** `gtid` as its event names it: MySQL `uuid:7` or `uuid:tag:7`, MariaDB `domain-server-sequence`. */
  add(gtid: string): void;
  /** Whether everything that the text `gtids` stands for was passed. */
  reached(gtids: string): boolean;
  toString(): string;
}

/** Inclusive at both ends. Numbers are exact: a server that commits a million transactions a second needs 285 years to 2^53. */
type Interval = [first: number, last: number];

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TAG = /^[a-z_][a-z0-9_]{0,31}$/;

/**
 * A MySQL GTID set: `uuid:1-5:7,uuid:tag:1-3` (MySQL 8.4 manual, "GTID Format and Storage"; tags since 8.3).
 * Adding the transaction that follows the newest one of its source, the usual case, changes one number.
 */
export class MysqlGtids implements ExecutedGtids {
  readonly canHaveGaps = true;
  /** By `uuid` or `uuid:tag`; intervals sorted, with gaps between them. */
  readonly #sources = new Map<string, Interval[]>();

  /** @throws ProxyError STATEMENT when `text` is no GTID set: it came from a user. */
  static parse(text: string): MysqlGtids {
    const set = new MysqlGtids();
    for (const block of text.toLowerCase().replace(/\s/g, '').split(',')) {
      if (block !== '') set.#addBlock(block, text);
    }
    return set;
  }

  add(gtid: string): void {
    const at = gtid.lastIndexOf(':');
    const number = Number(gtid.slice(at + 1));
    this.#addInterval(gtid.slice(0, at), number, number);
  }

  reached(gtids: string): boolean {
    for (const [source, intervals] of MysqlGtids.parse(gtids).#sources) {
      const own = this.#sources.get(source) ?? [];
      for (const [first, last] of intervals) {
        if (!own.some((interval) => interval[0] <= first && last <= interval[1])) return false;
      }
    }
    return true;
  }

  /** Sources in the server's order: by UUID, without tag first; one block for each UUID. */
  toString(): string {
    let text = '';
    let before = '';
    for (const source of [...this.#sources.keys()].toSorted()) {
      const [uuid, tag] = source.split(':');
      const ranges = this.#sources
        .get(source)!
        .map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
        .join(':');
      const name = tag === undefined ? '' : `:${tag}`;
      if (uuid !== before) text += `${text === '' ? '' : ','}${uuid}`;
      text += `${name}:${ranges}`;
      before = uuid!;
    }
    return text;
  }

  #addBlock(block: string, whole: string): void {
    const [uuid, ...items] = block.split(':');
    let source = uuid!;
    let ranges = 0;
    for (const item of items) {
      const range = /^(\d{1,16})(?:-(\d{1,16}))?$/.exec(item);
      if (range === null) {
        if (!TAG.test(item)) throw notGtids(whole);
        source = `${uuid}:${item}`;
        continue;
      }
      const first = Number(range[1]);
      const last = Number(range[2] ?? range[1]);
      if (first < 1 || last < first || last > Number.MAX_SAFE_INTEGER) throw notGtids(whole);
      this.#addInterval(source, first, last);
      ranges++;
    }
    if (!UUID.test(uuid!) || ranges === 0) throw notGtids(whole);
  }

  #addInterval(source: string, first: number, last: number): void {
    const intervals = this.#sources.get(source);
    if (intervals === undefined) {
      this.#sources.set(source, [[first, last]]);
      return;
    }
    const newest = intervals.at(-1)!;
    if (first === newest[1] + 1) {
      newest[1] = last;
      return;
    }
    if (newest[0] <= first && last <= newest[1]) return;
    this.#sources.set(source, merged([...intervals, [first, last]]));
  }
}

function merged(intervals: readonly Interval[]): Interval[] {
  const result: Interval[] = [];
  for (const [first, last] of intervals.toSorted((a, b) => a[0] - b[0])) {
    const before = result.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else result.push([first, last]);
  }
  return result;
}

/**
 * A MariaDB GTID position: the last transaction of each replication domain, `0-1-270,5-2-13` (MariaDB manual, "Global
 * Transaction ID"). Within a domain the log has one order, so the last one stands for all before it, whatever its number.
 */
export class MariadbGtids implements ExecutedGtids {
  readonly canHaveGaps = false;
  readonly #domains = new Map<string, string>();

  /** @throws ProxyError STATEMENT when `text` is no GTID position. */
  static parse(text: string): MariadbGtids {
    const position = new MariadbGtids();
    for (const gtid of text.replace(/\s/g, '').split(',')) {
      if (gtid === '') continue;
      if (!/^\d{1,10}-\d{1,10}-\d{1,20}$/.test(gtid)) throw notGtids(text);
      position.add(gtid);
    }
    return position;
  }

  add(gtid: string): void {
    this.#domains.set(gtid.slice(0, gtid.indexOf('-')), gtid);
  }

  /** By numbers within each domain: those of one server grow. */
  reached(gtids: string): boolean {
    return [...MariadbGtids.parse(gtids).#domains].every(([domain, gtid]) => {
      const own = this.#domains.get(domain);
      return own !== undefined && sequence(own) >= sequence(gtid);
    });
  }

  toString(): string {
    return [...this.#domains]
      .toSorted(([a], [b]) => Number(a) - Number(b))
      .map(([, gtid]) => gtid)
      .join(',');
  }
}

function sequence(gtid: string): bigint {
  return BigInt(gtid.slice(gtid.lastIndexOf('-') + 1));
}

function notGtids(text: string): ProxyError {
  return new ProxyError('STATEMENT', `Invalid GTID set: '${text}'`);
}
