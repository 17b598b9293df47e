import { setTimeout as sleep } from 'node:timers/promises';
import { ProxyError } from '../../model/error.ts';
import { COPY_ANEW } from '../copy-anew.ts';
import type { Session } from './connection.ts';
import { parseLsn } from './lsn.ts';
import { messageOf, sqlStateOf } from './postgres-error.ts';
import { quoteLiteral } from './sql-text.ts';

/** A replication slot as the server shows it. */
export interface Slot {
  readonly plugin: string;
  /** Of the database that we are connected to. */
  readonly here: boolean;
  readonly active: boolean;
  readonly activePid: number | null;
  readonly confirmedLsn: bigint;
  /** `reserved`, `extended`, `unreserved`, or `lost`: the WAL that it needs is gone. */
  readonly walStatus: string;
  /** Why the server has given it up, since Postgres 17: `wal_removed`, `rows_removed`, `wal_level_insufficient`, `idle_timeout`. */
  readonly invalidation: string;
}

/** Making a slot waits for every transaction that writes at that moment, and so does what comes after it. */
const CREATE_TIMEOUT_MS = 300_000;
const POLL_MS = 50;
const RELEASE_TIMEOUT_MS = 3_000;

export async function readSlot(session: Session, name: string): Promise<Slot | undefined> {
  const [row] = await session.rows<{
    readonly plugin: string | null;
    readonly here: boolean | null;
    readonly active: boolean;
    readonly active_pid: number | null;
    readonly confirmed: string | null;
    readonly wal_status: string | null;
    readonly invalidation: string | null;
  }>(
    `SELECT plugin, database = current_database() AS here, active, active_pid, confirmed_flush_lsn::text AS confirmed, wal_status,
            to_jsonb(s) ->> 'invalidation_reason' AS invalidation
     FROM pg_replication_slots s WHERE slot_name = $1`,
    [name],
  );
  if (row === undefined) return undefined;
  return {
    plugin: row.plugin ?? '',
    here: row.here === true,
    active: row.active,
    activePid: row.active_pid,
    confirmedLsn: parseLsn(row.confirmed ?? '0/0'),
    walStatus: row.wal_status ?? 'lost',
    invalidation: row.invalidation ?? '',
  };
}

/** The end of the log as it is now. */
export async function currentLsn(session: Session): Promise<bigint> {
  const [row] = await session.rows<{ readonly lsn: string }>(
    `SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn`,
  );
  return parseLsn(row?.lsn ?? '0/0');
}

/** Makes the slot and returns its consistent point: whatever commits after it is in the stream. */
export async function createSlot(session: Session, name: string): Promise<bigint> {
  const [row] = await session.rows<{ readonly lsn: string }>(
    `SELECT lsn::text AS lsn FROM pg_create_logical_replication_slot($1, 'pgoutput')`,
    [name],
    CREATE_TIMEOUT_MS,
  );
  return parseLsn(row?.lsn ?? '0/0');
}

/**
 * Waits until every transaction that may have committed before now is visible to a new SELECT.
 *
 * A commit is in the WAL before it is visible: while it waits for a synchronous standby, for as long as that takes
 * (cdc-semantics.md §3.5). The slot's stream begins after its consistent point, so a transaction that committed
 * before it and is not visible yet would be in neither the stream nor the copy. Such a transaction still counts as
 * running in a snapshot; once all that run now have ended, a SELECT sees everything before the slot.
 */
export async function waitForVisibility(session: Session): Promise<void> {
  const until = Date.now() + CREATE_TIMEOUT_MS;
  const [now] = await session.rows<{ readonly xmax: string }>(
    'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xmax',
  );
  const xmax = BigInt(now?.xmax ?? '0');
  for (;;) {
    const [row] = await session.rows<{ readonly xmin: string }>(
      'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin',
    );
    if (BigInt(row?.xmin ?? '0') >= xmax) return;
    if (Date.now() > until) throw waitedTooLong('the replication slot was made');
    await sleep(POLL_MS);
  }
}

/** `what` was done, and older transactions hide what it must see. */
export function waitedTooLong(what: string): ProxyError {
  return new ProxyError(
    'SOURCE_UNREACHABLE',
    `transactions that were open when ${what} have not ended; end them (pg_stat_activity, pg_prepared_xacts), or wait`,
  );
}

/**
 * Drops a slot of ours, and first the walsender of an earlier connection of ours that the server still keeps. A slot
 * that is gone is what we wanted.
 */
export async function dropSlot(session: Session, name: string): Promise<void> {
  const until = Date.now() + 10_000;
  for (;;) {
    const slot = await readSlot(session, name);
    if (slot === undefined) return;
    if (slot.activePid !== null) {
      await session.rows('SELECT pg_terminate_backend($1)', [slot.activePid]);
    }
    try {
      await session.run(`SELECT pg_drop_replication_slot(${quoteLiteral(name)})`);
      return;
    } catch (error) {
      const state = sqlStateOf((error as Error).cause);
      if (state === '42704') return;
      // 55006: in use, until the walsender has ended.
      if (state !== '55006' || Date.now() > until) throw error;
      await sleep(POLL_MS);
    }
  }
}

/**
 * Stops a stream that the server could not serve: called before each start (cdc-semantics.md §4.3). A slot that is still held
 * is waited for a little: a connection that we have just closed, or a killed process of ours, lives a moment longer
 * on the server.
 */
export async function checkSlot(
  session: Session,
  name: string,
  from: bigint,
  ourName: string,
): Promise<void> {
  const until = Date.now() + RELEASE_TIMEOUT_MS;
  let slot = await readSlot(session, name);
  while (slot?.active === true && Date.now() < until) {
    await expectOurs(session, name, slot.activePid, ourName);
    await sleep(POLL_MS);
    slot = await readSlot(session, name);
  }
  const level = await walLevel(session);
  if (level !== 'logical') {
    throw lost(
      `wal_level is ${level}, so that the server no longer logs what a slot needs. Set wal_level = logical and restart it`,
    );
  }
  if (slot === undefined) {
    throw lost(
      `slot ${name} does not exist: it was dropped, or this is another server (a promoted standby, a restored backup)`,
    );
  }
  if (slot.walStatus === 'lost') {
    const why = WHY_INVALID[slot.invalidation || 'wal_removed'] ?? slot.invalidation;
    throw lost(`slot ${name} has wal_status lost: ${why}`);
  }
  // The server would silently start at the confirmed position instead.
  if (slot.confirmedLsn > from) {
    throw lost(`slot ${name} was confirmed up to ${slot.confirmedLsn}, the job is at ${from}`);
  }
  // It would wait until its log gets there, and skip what comes before.
  const end = await currentLsn(session);
  if (end < from) {
    throw lost(
      `the job is at ${from} and the log ends at ${end}: this is another server (a promoted standby, a restored backup)`,
    );
  }
}

/** A connection of ours ends soon; anybody else's does not, if we may see whose it is. */
async function expectOurs(
  session: Session,
  slot: string,
  pid: number | null,
  ourName: string,
): Promise<void> {
  const [holder] = await session.rows<{ readonly name: string; readonly at: string | null }>(
    `SELECT application_name AS name, host(client_addr) AS at FROM pg_stat_activity
     WHERE pid = $1 AND application_name <> ''`,
    [pid],
  );
  if (holder === undefined || holder.name === ourName) return;
  const who = `${holder.name} (pid ${pid}, ${holder.at ?? 'local'})`;
  throw new ProxyError('SOURCE_UNREACHABLE', heldBy(slot, who));
}

function heldBy(slot: string, who: string): string {
  return `replication slot ${slot} is active, held by another consumer: ${who}. Stop that one; a slot serves one job only.`;
}

/** What a person can do about it, by `invalidation_reason` (PostgreSQL manual, pg_replication_slots). */
const WHY_INVALID: Readonly<Record<string, string>> = {
  wal_removed: 'the job was behind by more WAL than max_slot_wal_keep_size allows, raise it',
  idle_timeout: 'the job did not read for longer than idle_replication_slot_timeout, raise it',
  rows_removed: 'rows of the catalog that it needs were vacuumed',
  wal_level_insufficient: 'wal_level was lowered',
};

async function walLevel(session: Session): Promise<string> {
  const [row] = await session.rows<{ readonly level: string }>(
    `SELECT current_setting('wal_level') AS level`,
  );
  return row?.level ?? '';
}

function lost(why: string): ProxyError {
  return new ProxyError(
    'POSITION_LOST',
    `Replication slot invalidated: ${why}. Changes since the job's position are gone. ${COPY_ANEW}`,
  );
}

/** What a START_REPLICATION or the stream after it failed with. */
export function streamError(slot: string, publication: string, cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  const text = messageOf(cause);
  const state = sqlStateOf(cause);
  const failure = (code: ProxyError['code'], message: string): ProxyError =>
    new ProxyError(code, message, { cause });
  if (state === '55006') {
    return failure('SOURCE_UNREACHABLE', heldBy(slot, text));
  }
  if (state === '42704' && text.includes('publication')) {
    return failure(
      'SOURCE_SETTING',
      `publication does not exist: ${publication}. Create it before starting the job or omit publication_name to let Doris create one.`,
    );
  }
  if (state === '42704' || /no longer (?:get changes|access|available)|invalidated/.test(text)) {
    return failure('POSITION_LOST', `Replication slot invalidated: ${slot}: ${text}. ${COPY_ANEW}`);
  }
  // 58P01: a WAL file that was removed under the slot.
  if (state === '58P01') {
    return failure('POSITION_LOST', `Replication slot invalidated: ${slot}: ${text}. ${COPY_ANEW}`);
  }
  return failure(
    ({ '28P01': 'SOURCE_ACCESS', '28000': 'SOURCE_ACCESS', '42501': 'SOURCE_ACCESS' }[state] as
      | 'SOURCE_ACCESS'
      | undefined) ?? 'SOURCE_UNREACHABLE',
    `the replication stream of slot ${slot} ended: ${text}`,
  );
}
