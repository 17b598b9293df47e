import type { Batch } from '../../encode/batch.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { COPY_ANEW } from '../copy-anew.ts';
import type { FillLimit, SplitReader } from '../source.ts';
import type { Session } from './connection.ts';
import {
  notLogged,
  stampReader,
  stampsOf,
  whatHappened,
  withParts,
  type Stamps,
} from './part-stamp.ts';
import { publicationFindings, type PublicationName } from './publication.ts';
import { sqlStateOf } from './postgres-error.ts';
import { currentLsn, waitedTooLong } from './replication-slot.ts';
import { expectKeys, expectTables } from './table-checks.ts';
import type { SourceTable } from './table-catalog.ts';
import { readParts, type TablePart } from './table-parts.ts';
import type { KnownTable, Parts } from './wal-relations.ts';

/** How often it is looked whether a new partition may be copied. */
const VISIBLE_POLL_MS = 1_000;
const VISIBLE_TIMEOUT_MS = 300_000;

/** Between two looks that nobody waits for: this many times as long as the last one took, for the server's sake and the stream's. */
const REST = 20;

/** What the watch needs of its source. */
export interface WatchedSource {
  readonly publication: PublicationName;
  /**
   * Before Postgres 15 a connection that has seen a relation before it became a partition publishes none of its changes, however
   * long it lives: it looks up once whether a relation is published (`rel_sync_cache_relation_cb` of pgoutput.c).
   */
  readonly looksUpOnce: boolean;
  session(): Promise<Session>;
  /** All rows of one part, in a snapshot of now. */
  readPart(table: KnownTable, part: TablePart): Promise<SplitReader>;
}

/** A change of what the job knows of its tables, with the reason to stop there, if it is one. */
export interface Noted {
  readonly tables: readonly TableSpec[];
  readonly stop?: ProxyError;
}

function hear(arrival: Arrival): Arrival {
  return { ...arrival, heard: true };
}

interface Stop {
  readonly table: KnownTable;
  readonly reasons: readonly string[];
  readonly lsn: bigint;
}

interface Arrival {
  readonly table: KnownTable;
  readonly part: TablePart;
  readonly stamp: string;
  /** Every transaction below it must have ended before the part is read. */
  readonly xmax: bigint;
  readonly at: number;
  /** Where the log was when the part was found. */
  readonly lsn: bigint;
  /** Whether the connection tells all its changes from now on. */
  readonly heard: boolean;
}

/**
 * Watches what no message of the log tells: which relations hold a table's rows, whether all of them are published, and
 * whether its key is still one. A table's parts are recorded with the job (`TableSpec.parts`), so that
 * what happens while the job is paused is found as well.
 *
 * - A partition that is new (made, or attached with rows that the log never had) is copied, as at the beginning of a job: read now,
 *   which is ahead of the log, over which the log is replayed then.
 * - One that went (detached, dropped) took rows along that are not in the log as deleted, and one that was out of the
 *   publication has changes that are not in the log at all: the job stops, once, with the cure.
 */
export class PartWatch implements Parts, AsyncDisposable {
  readonly #tables: readonly KnownTable[];
  readonly #source: WatchedSource;
  /** By table: what is, or is about to be, recorded. */
  readonly #recorded = new Map<KnownTable, Stamps>();
  /** Which table a relation belongs to; those that were parts in this stream's life stay. */
  readonly #owners = new Map<number, KnownTable>();
  #stops: readonly Stop[] = [];
  #arrivals: Arrival[] = [];
  #polledAt = 0;
  #suspected = false;
  #restUntil = 0;
  #reader: SplitReader | undefined;

  constructor(tables: readonly KnownTable[], source: WatchedSource) {
    this.#tables = tables;
    this.#source = source;
    for (const table of tables) {
      const { parts } = table.encoder.spec;
      if (parts !== undefined) this.#record(table, parts);
    }
  }

  /** The partitioned table that a relation is, or was, a part of. */
  ownerOf(relation: number): KnownTable | undefined {
    return this.#owners.get(relation);
  }

  async isPart(relation: number): Promise<boolean> {
    const session = await this.#source.session();
    const [row] = await session.rows<{ readonly is: boolean }>(
      'SELECT EXISTS (SELECT FROM pg_partition_ancestors($1::oid) WHERE relid = ANY ($2::oid[])) AS is',
      [String(relation), this.#tables.map(({ source }) => String(source.oid))],
    );
    return row?.is === true;
  }

  /** Whether `relations` are all parts that `table` is known to have. */
  isWhole(table: KnownTable, relations: ReadonlySet<number>): boolean {
    return Object.keys(this.#recorded.get(table) ?? {}).every((oid) => relations.has(Number(oid)));
  }

  /**
   * Looks at the server's catalog.
   *
   * @throws ProxyError SOURCE_DDL: a table or its key is gone; SOURCE_SETTING: the publication lacks something.
   */
  async verify(): Promise<void> {
    const startedAt = Date.now();
    this.#suspected = false;
    await this.#look();
    this.#restUntil = Date.now() + REST * (Date.now() - startedAt);
  }

  /** As {@link verify}, unless the last look was too short a time ago: it is then soon {@link isDue}. */
  async suspect(): Promise<void> {
    this.#suspected = true;
    if (this.isDue()) await this.verify();
  }

  isDue(): boolean {
    return this.#suspected && Date.now() >= this.#restUntil;
  }

  async #look(): Promise<void> {
    const session = await this.#source.session();
    const oids = this.#tables.map(({ source }) => source.oid);
    await expectTables(session, this.#tables);
    await expectKeys(session, this.#tables);
    const parts = await readParts(session, oids);
    const { publication } = this.#source;
    const tables = this.#tables.map(({ source }): SourceTable => ({
      ...source,
      parts: parts.get(source.oid) ?? [],
    }));
    // Ours or not: by now it must be there.
    const wanted = { name: publication.name, own: false };
    const findings = await publicationFindings(session, wanted, tables);
    const stampOf = await stampReader(session, publication.name);
    if (findings.length > 0 || stampOf === undefined) {
      throw new ProxyError(
        'SOURCE_SETTING',
        `${findings.join('\n')}\nChanges made since are not in the log; when rows were changed: ${COPY_ANEW}`,
      );
    }
    for (const table of this.#tables) {
      const found = parts.get(table.source.oid) ?? [];
      await this.#compare(session, table, found, stampOf);
    }
  }

  /**
   * What was found to stop at, once the stream is at `lsn`, and is from now on recorded as it is. What the log still had when it
   * was found comes before: loaded later, it would bring rows back that somebody has removed from Doris meanwhile.
   */
  takeStop(lsn: bigint): Noted | undefined {
    const stops = this.#stops;
    if (stops.length === 0 || stops.some((stop) => stop.lsn > lsn)) return undefined;
    const reasons = [...new Set(stops.flatMap((stop) => stop.reasons))].join('; ');
    const tables = stops.map(({ table }) => this.#specOf(table));
    this.#stops = [];
    return {
      tables,
      stop: new ProxyError('SOURCE_DDL', `${reasons}; then RESUME JOB, which goes on behind this`),
    };
  }

  /** Whether a part was found, up to `lsn`, that the connection may know as something else: it must be another one. */
  isUnheard(lsn: bigint): boolean {
    return this.#arrivals.some((arrival) => !arrival.heard && arrival.lsn <= lsn);
  }

  /** A connection was opened at `lsn`. */
  heard(lsn: bigint): void {
    this.#arrivals = this.#arrivals.map((arrival) =>
      arrival.lsn <= lsn ? hear(arrival) : arrival,
    );
  }

  /**
   * Puts rows of new parts into `batch`, up to the limits: `more` while there are some, then what to record. Undefined:
   * nothing is to be copied now, with the stream at `lsn`. A TRUNCATE of the whole table that was before a part came is thus
   * carried out before its rows are there.
   */
  async copy(
    lsn: bigint,
    batch: Batch,
    limit: FillLimit,
    signal: AbortSignal,
  ): Promise<Noted | 'more' | undefined> {
    const next = this.#arrivals.find((arrival) => arrival.heard && arrival.lsn <= lsn);
    // What is recorded then would hide a stop that is still to come.
    if (next === undefined || this.#stops.length > 0 || !(await this.#isVisible(next)))
      return undefined;
    const { table, part, stamp } = next;
    let there = true;
    try {
      this.#reader ??= await this.#source.readPart(table, part);
      if (!(await this.#reader.fill(batch, limit, signal))) return 'more';
    } catch (error) {
      // Dropped since it was seen: no rows to be had, and none to be recorded.
      if (sqlStateOf((error as Error).cause) !== '42P01') throw error;
      there = false;
    }
    await this[Symbol.asyncDispose]();
    this.#arrivals = this.#arrivals.filter((arrival) => arrival !== next);
    if (there) this.#record(table, { ...this.#recorded.get(table), [part.oid]: stamp });
    return { tables: [this.#specOf(table)] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reader = this.#reader;
    this.#reader = undefined;
    await reader?.[Symbol.asyncDispose]();
  }

  /**
   * A commit is in the log before it is visible (cdc-semantics.md §3.5): a part that is read while one that the stream had
   * already is still on its way would take its rows back.
   */
  async #isVisible({ xmax, at, part }: Arrival): Promise<boolean> {
    if (this.#reader !== undefined) return true;
    const now = Date.now();
    if (now - this.#polledAt < VISIBLE_POLL_MS) return false;
    this.#polledAt = now;
    const session = await this.#source.session();
    const [row] = await session.rows<{ readonly xmin: string }>(
      'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin',
    );
    const visible = BigInt(row?.xmin ?? '0') >= xmax;
    if (visible) this.#polledAt = 0;
    else if (now - at > VISIBLE_TIMEOUT_MS) throw waitedTooLong(`partition ${tableId(part)} came`);
    return visible;
  }

  async #compare(
    session: Session,
    table: KnownTable,
    found: readonly TablePart[],
    stampOf: (part: TablePart) => string,
  ): Promise<void> {
    const recorded = this.#recorded.get(table);
    if (recorded === undefined) {
      // A job's stream begins with what is there.
      this.#record(table, stampsOf(found, stampOf));
      return;
    }
    const reasons = this.#judge(table, recorded, found, stampOf);
    if (reasons.length > 0) {
      this.#stops = [...this.#stops, { table, reasons, lsn: await currentLsn(session) }];
    }
    for (const part of found) {
      const known = recorded[part.oid] !== undefined;
      if (known || this.#arrivals.some((a) => a.part.oid === part.oid)) continue;
      if (!part.logged) throw notLogged(table, part);
      this.#owners.set(part.oid, table);
      const [row] = await session.rows<{ readonly xmax: string }>(
        'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xmax',
      );
      this.#arrivals.push({
        table,
        part,
        stamp: stampOf(part),
        xmax: BigInt(row?.xmax ?? '0'),
        at: Date.now(),
        lsn: await currentLsn(session),
        heard: !this.#source.looksUpOnce,
      });
    }
  }

  /** What went, or was attached anew, is forgotten, and copied when it is there; the rest is known from now on as it is. */
  #judge(
    table: KnownTable,
    recorded: Stamps,
    found: readonly TablePart[],
    stampOf: (part: TablePart) => string,
  ): readonly string[] {
    const stamps = { ...recorded };
    const reasons: string[] = [];
    for (const [oid, stamp] of Object.entries(recorded)) {
      const part = found.find((one) => String(one.oid) === oid);
      const now = part === undefined ? undefined : stampOf(part);
      const reason = whatHappened(table, this.#source.publication.name, stamp, now);
      if (reason === undefined) continue;
      reasons.push(reason.text);
      if (now === undefined || reason.anew) delete stamps[oid];
      else stamps[oid] = now;
    }
    if (reasons.length > 0) this.#record(table, stamps);
    return reasons;
  }

  #record(table: KnownTable, stamps: Stamps): void {
    this.#recorded.set(table, stamps);
    for (const oid of Object.keys(stamps)) this.#owners.set(Number(oid), table);
  }

  #specOf(table: KnownTable): TableSpec {
    return withParts(table.encoder.spec, this.#recorded.get(table) ?? {});
  }
}
