import { type TimeZone, UTC } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { Position, PostgresPosition } from '../../model/offset.ts';
import type { SnapshotSplit } from '../../model/job.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import type { Violation } from '../../model/violation.ts';
import type { ChangeStream, LeaveOut, Source, SplitReader, TableSelection } from '../source.ts';
import { Session, type PostgresTarget } from './connection.ts';
import { ownNames } from './own-names.ts';
import { preflight, type SourceNames } from './preflight.ts';
import { stampReader, stampsOf, withParts } from './part-stamp.ts';
import { PartWatch } from './part-watch.ts';
import { dropPublication, ensurePublication } from './publication.ts';
import {
  checkSlot,
  createSlot,
  currentLsn,
  dropSlot,
  readSlot,
  waitForVisibility,
} from './replication-slot.ts';
import { RowEncoder } from './row-encoder.ts';
import { RowReread } from './row-reread.ts';
import { SharedSnapshot } from './shared-snapshot.ts';
import { PostgresSplitReader } from './split-reader.ts';
import { checkZone, sessionZone, zoneSetting } from './session-zone.ts';
import { readTables, type SourceTable } from './table-catalog.ts';
import { gone } from './table-checks.ts';
import { partCopy, type TablePart } from './table-parts.ts';
import { nextSplit, splitCopy } from './table-split.ts';
import { WalReader, type WalReaderOptions } from './wal-reader.ts';
import { WalRelations, type KnownTable } from './wal-relations.ts';
import { PostgresChangeStream, type StreamReader } from './wal-stream.ts';

/** Sessions kept for the next split. */
const IDLE_SESSIONS_MAX = 4;

export interface PostgresSourceOptions {
  readonly jobId: number;
  readonly target: Omit<PostgresTarget, 'applicationName' | 'timeZone'>;
  /** The job's zone as its properties have it; absent: UTC. */
  readonly zone?: string;
  /** The zone that a new job's statement asks for; undefined: the server's. @throws ProxyError STATEMENT */
  readonly askedZone?: () => TimeZone | undefined;
  /** The one schema that the job copies. */
  readonly schema: string;
  /** Property `slot_name`; absent: `doris_cdc_<jobId>`, made and dropped by us. */
  readonly slotName?: string;
  /** Property `publication_name`; absent: `doris_pub_<jobId>`, made and dropped by us. */
  readonly publicationName?: string;
  /** Told of what must never happen. */
  readonly violated?: (kind: Violation) => Promise<void>;
}

/**
 * A Postgres server, 13 or later, read by COPY and by logical replication with pgoutput.
 *
 * Slot and publication are made by the first {@link safePosition} or {@link latestPosition} after a {@link preflight}, which
 * is CREATE JOB; a later Source of the job only uses them, so that one that was lost is found out.
 */
export class PostgresSource implements Source {
  #target: PostgresTarget;
  #zone: string;
  readonly #askedZone: (() => TimeZone | undefined) | undefined;
  readonly #names: SourceNames;
  readonly #snapshot: SharedSnapshot;
  readonly #violated: PostgresSourceOptions['violated'];
  readonly #idle: Session[] = [];
  readonly #encoders = new WeakMap<TableSpec, RowEncoder>();
  #control: Promise<Session> | undefined;
  /** What {@link preflight} selected and the slot is not made for yet. */
  #selected: readonly SourceTable[] | undefined;
  #partitioned: Promise<ReadonlySet<string>> | undefined;
  #checkUtf8: Promise<boolean> | undefined;

  /** @throws ProxyError SOURCE_UNREACHABLE, SOURCE_ACCESS, SOURCE_SETTING (no such database). */
  static async open(options: PostgresSourceOptions): Promise<PostgresSource> {
    const source = new PostgresSource(options);
    await source.#session();
    return source;
  }

  private constructor(options: PostgresSourceOptions) {
    const { jobId } = options;
    const { slot_name: slot, publication_name: publication } = ownNames(jobId);
    this.#zone = options.zone ?? UTC.name;
    this.#askedZone = options.askedZone;
    this.#target = {
      ...options.target,
      applicationName: `doris_job_${jobId}`,
      timeZone: zoneSetting(this.#zone),
    };
    const publicationName = options.publicationName ?? publication;
    this.#names = {
      schema: options.schema,
      slot: options.slotName ?? slot,
      ownSlot: (options.slotName ?? slot) === slot,
      publication: { name: publicationName, own: publicationName === publication },
    };
    this.#violated = options.violated;
    this.#snapshot = new SharedSnapshot(() => Session.open(this.#target));
  }

  async findTimeZone(): Promise<string> {
    const { timeZone: _job, ...plain } = this.#target;
    const asked = this.#askedZone?.();
    if (asked === undefined) {
      await using session = await Session.open(plain);
      this.#zone = await sessionZone(session);
    } else {
      this.#zone = asked.name;
      await checkZone(await this.#session(), asked);
    }
    this.#target = { ...plain, timeZone: zoneSetting(this.#zone) };
    return this.#zone;
  }

  async preflight(selection: TableSelection, leaveOut?: LeaveOut): Promise<readonly TableSpec[]> {
    const found = await preflight(
      await this.#session(),
      { ...this.#names, zone: this.#zone },
      selection,
      leaveOut,
    );
    this.#selected = found.tables;
    return found.specs;
  }

  /**
   * The slot's consistent point: the stream holds what commits after it, and what committed before it is visible
   * when this returns (see {@link waitForVisibility}).
   */
  async safePosition(): Promise<Position> {
    const session = await this.#session();
    const made = await this.#prepare(session);
    const slot = made ?? (await readSlot(session, this.#names.slot))?.confirmedLsn;
    if (slot === undefined) {
      throw new ProxyError(
        'SOURCE_SETTING',
        `replication slot does not exist: ${this.#names.slot}. Create it before starting the job or omit slot_name to let Doris create one.`,
      );
    }
    await waitForVisibility(session);
    return position(slot);
  }

  async latestPosition(): Promise<Position> {
    const session = await this.#session();
    await this.#prepare(session);
    return position(await currentLsn(session));
  }

  /** What a slot keeps begins with the slot. */
  earliestPosition(): Promise<Position> {
    return Promise.reject(new ProxyError('STATEMENT', "Invalid value for key 'offset': earliest"));
  }

  async lagBytes(from: Position): Promise<number> {
    if (from.kind !== 'postgres') return -1;
    return Number((await currentLsn(await this.#session())) - BigInt(from.lsn));
  }

  async nextSplit(
    table: TableSpec,
    rows: number,
    previous: SnapshotSplit | undefined,
  ): Promise<SnapshotSplit | undefined> {
    const partitioned = (await this.#partitionedTables()).has(tableId(table));
    return await nextSplit(await this.#session(), table, partitioned, rows, previous);
  }

  async readSplit(table: TableSpec, split: SnapshotSplit): Promise<SplitReader> {
    const partitioned = (await this.#partitionedTables()).has(tableId(table));
    const encoder = await this.#encoder(table);
    const session = await this.#take();
    try {
      await this.#snapshot.enter(session);
    } catch (error) {
      session.destroy();
      throw error;
    }
    return new PostgresSplitReader(session, encoder, splitCopy(table, partitioned, split), () =>
      this.#giveBack(session),
    );
  }

  async mark(specs: readonly TableSpec[]): Promise<readonly TableSpec[]> {
    const session = await this.#session();
    const stampOf = await stampReader(session, this.#names.publication.name);
    // A job that ends with its copy has no publication.
    if (stampOf === undefined) return specs;
    const known = await this.#knownTables(session, specs);
    return known.map(({ encoder, source }) =>
      withParts(encoder.spec, stampsOf(source.parts, stampOf)),
    );
  }

  async openStream(tables: readonly TableSpec[], from: Position): Promise<ChangeStream> {
    if (from.kind !== 'postgres') {
      throw new ProxyError('POSITION_LOST', 'the position is not one of a Postgres server');
    }
    await this.#snapshot[Symbol.asyncDispose]();
    const session = await this.#session();
    const known = await this.#knownTables(session, tables);
    const [server] = await session.rows<{ readonly version: number }>(
      `SELECT current_setting('server_version_num')::int AS version`,
    );
    const watch = this.#watch(known, (server?.version ?? 0) < 150_000);
    await watch.verify();
    await this.#checkSlot(session, BigInt(from.lsn));
    const reader = await this.#openReader(session, { from: BigInt(from.lsn) });
    const relations = new WalRelations(known, watch, (oid, modifier) =>
      this.#typeName(oid, modifier),
    );
    const partitioned = new Set(known.filter((k) => k.source.kind === 'p').map((k) => k.encoder));
    const sessions = {
      take: () => this.#take(),
      giveBack: (free: Session) => this.#giveBack(free),
    };
    const reread = new RowReread(sessions, (encoder) => partitioned.has(encoder));
    const reopen = async (old: StreamReader, at: bigint): Promise<StreamReader> => {
      await old[Symbol.asyncDispose]();
      const again = await this.#session();
      await this.#checkSlot(again, at);
      return await this.#openReader(again, { from: at, confirmed: old.confirmed });
    };
    return new PostgresChangeStream({ reader, reopen, relations, reread, watch }, from);
  }

  #checkSlot(session: Session, from: bigint): Promise<void> {
    return checkSlot(session, this.#names.slot, from, this.#target.applicationName);
  }

  async #openReader(
    session: Session,
    place: Pick<WalReaderOptions, 'from' | 'confirmed'>,
  ): Promise<WalReader> {
    const [timeout] = await session.rows<{ readonly ms: number }>(
      `SELECT setting::int AS ms FROM pg_settings WHERE name = 'wal_sender_timeout'`,
    );
    const { slot, publication } = this.#names;
    const senderTimeoutMs = timeout?.ms ?? 0;
    return await WalReader.open({
      target: this.#target,
      slot,
      publication: publication.name,
      senderTimeoutMs,
      ...place,
    });
  }

  async release(): Promise<void> {
    await using session = await Session.open(this.#target);
    const { slot, ownSlot, publication } = this.#names;
    if (ownSlot) await dropSlot(session, slot);
    if (publication.own) await dropPublication(session, publication.name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#snapshot[Symbol.asyncDispose]();
    for (const session of this.#idle.splice(0)) session.destroy();
    const control = await this.#control?.catch(() => undefined);
    await control?.[Symbol.asyncDispose]();
  }

  /** Makes publication and slot if this is the job's creation and they are not there; returns a new slot's position. */
  async #prepare(session: Session): Promise<bigint | undefined> {
    const tables = this.#selected;
    if (tables === undefined) return undefined;
    const { slot, ownSlot, publication } = this.#names;
    const shrank = await ensurePublication(session, publication, tables);
    if (shrank) await this.#violated?.('publication_shrank');
    const exists = (await readSlot(session, slot)) !== undefined;
    const made = exists || !ownSlot ? undefined : await createSlot(session, slot);
    this.#selected = undefined;
    return made;
  }

  /** The session for short questions; they queue in it. Opened again when it was lost. */
  async #session(): Promise<Session> {
    const session = await this.#control?.catch(() => undefined);
    if (session !== undefined && !session.dead) return session;
    // No moment is printed here but the bounds of splits, with their offset. So a zone that the server lacks can be told.
    this.#control = Session.open({ ...this.#target, timeZone: 'UTC' });
    return await this.#control;
  }

  async #take(): Promise<Session> {
    for (let session = this.#idle.pop(); session !== undefined; session = this.#idle.pop()) {
      if (!session.dead) return session;
    }
    return await Session.open(this.#target);
  }

  #giveBack(session: Session): void {
    if (session.dead || this.#idle.length >= IDLE_SESSIONS_MAX) session.destroy();
    else this.#idle.push(session);
  }

  async #knownTables(
    session: Session,
    specs: readonly TableSpec[],
  ): Promise<readonly KnownTable[]> {
    const found = await readTables(session, this.#names.schema);
    return await Promise.all(
      specs.map(async (spec) => {
        const source = found.find((t) => t.name === spec.name);
        if (source === undefined) throw gone(spec);
        return { source, encoder: await this.#encoder(spec) };
      }),
    );
  }

  /** One for all splits of a table, and for its log: code that is made for a table has to become warm. */
  async #encoder(spec: TableSpec): Promise<RowEncoder> {
    const checkUtf8 = await this.#strictUtf8();
    let encoder = this.#encoders.get(spec);
    if (encoder === undefined) {
      encoder = new RowEncoder(spec, checkUtf8);
      this.#encoders.set(spec, encoder);
    }
    return encoder;
  }

  #watch(known: readonly KnownTable[], looksUpOnce: boolean): PartWatch {
    return new PartWatch(known, {
      looksUpOnce,
      publication: this.#names.publication,
      session: () => this.#session(),
      readPart: ({ encoder }, part) => this.#readPart(encoder, part),
    });
  }

  async #readPart(encoder: RowEncoder, part: TablePart): Promise<SplitReader> {
    const session = await this.#take();
    try {
      await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const sql = await partCopy(session, encoder.spec, part);
      return new PostgresSplitReader(session, encoder, sql, () => this.#giveBack(session));
    } catch (error) {
      session.destroy();
      throw error;
    }
  }

  async #typeName(oid: number, modifier: number): Promise<string> {
    const session = await this.#session();
    const [row] = await session.rows<{ readonly name: string | null }>(
      'SELECT format_type($1::oid, $2::int) AS name',
      [String(oid), modifier],
    );
    return row?.name ?? `type ${oid}`;
  }

  async #partitionedTables(): Promise<ReadonlySet<string>> {
    this.#partitioned ??= this.#readPartitioned();
    try {
      return await this.#partitioned;
    } catch (error) {
      this.#partitioned = undefined;
      throw error;
    }
  }

  async #readPartitioned(): Promise<ReadonlySet<string>> {
    const session = await this.#session();
    const rows = await session.rows<{ readonly name: string }>(
      `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND c.relkind = 'p'`,
      [this.#names.schema],
    );
    return new Set(rows.map((row) => tableId({ schema: this.#names.schema, name: row.name })));
  }

  async #strictUtf8(): Promise<boolean> {
    this.#checkUtf8 ??= this.#session().then(async (session) => {
      const [row] = await session.rows<{ readonly encoding: string }>(
        `SELECT current_setting('server_encoding') AS encoding`,
      );
      return row?.encoding === 'SQL_ASCII';
    });
    try {
      return await this.#checkUtf8;
    } catch (error) {
      this.#checkUtf8 = undefined;
      throw error;
    }
  }
}

function position(lsn: bigint): PostgresPosition {
  return { kind: 'postgres', lsn: String(lsn), event: 0, txId: '', tsUsec: '0' };
}
