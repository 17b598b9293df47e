import { setTimeout as sleep } from 'node:timers/promises';
import type { Batch } from '../../encode/batch.ts';
import { ProxyError } from '../../model/error.ts';
import { copyAll } from './copy-reader.ts';
import type { Session } from './connection.ts';
import type { RowEncoder } from './row-encoder.ts';
import { quoteName } from './sql-text.ts';
import { copiedColumns, fromTable, keyLiteral } from './table-split.ts';

const TAB = 0x09;
/** Rows asked for at once: a statement of some tens of kilobytes. */
const ROWS_MAX = 500;
const VISIBLE_TIMEOUT_MS = 60_000;
const POLL_MS = 20;

/** Lends sessions that nobody else uses meanwhile. */
export interface SessionPool {
  take(): Promise<Session>;
  giveBack(session: Session): void;
}

interface Wanted {
  readonly encoder: RowEncoder;
  readonly keys: Map<string, readonly Buffer[]>;
}

/**
 * Rows that the log does not hold whole, because an UPDATE left a TOASTed value unchanged (and REPLICA IDENTITY is not FULL),
 * or because a generated column is not published. They are read from the table, whole, when the batch is complete.
 *
 * Why that is right. The row is read in a snapshot S in which every transaction of the batch is visible, so it is the row's
 * state at S, at or after the change. Whatever happened to it between the change and S is still to come in the
 * log: a later UPDATE or DELETE of the key is replayed over it, and a value that such an UPDATE leaves unchanged is read
 * again then. So Doris is ahead of the log for this one row for a moment, as it is during the copy, and
 * converges. A key that is not there at S was deleted, or changed, after the change: it is deleted, as the log will say too.
 *
 * Why the whole row, and not the missing columns: mixing two states of a row would show one that never was. Why not a partial
 * update in Doris: replayed after a crash it may meet a key that a later, already loaded, DELETE removed, and would make a row
 * of it whose unnamed columns are NULL, or fail where they must not be.
 *
 * Why S needs care: the log shows a commit before SELECTs do (cdc-semantics.md §3.5). Read too early, the row of a
 * transaction that wrote the value and then left it unchanged would be the one before both.
 */
export class RowReread {
  readonly #sessions: SessionPool;
  readonly #partitioned: (encoder: RowEncoder) => boolean;
  readonly #wanted = new Map<RowEncoder, Wanted>();
  readonly #xids = new Set<number>();
  #size = 0;

  constructor(sessions: SessionPool, partitioned: (encoder: RowEncoder) => boolean) {
    this.#sessions = sessions;
    this.#partitioned = partitioned;
  }

  /** Rows that wait to be read. */
  get size(): number {
    return this.#size;
  }

  /** More than this should not wait: the batch would not know its size. */
  get full(): boolean {
    return this.#size >= ROWS_MAX;
  }

  /** Notes the key of a row that transaction `xid` changed. */
  want(encoder: RowEncoder, key: readonly Buffer[], xid: number): void {
    let wanted = this.#wanted.get(encoder);
    if (wanted === undefined) {
      wanted = { encoder, keys: new Map() };
      this.#wanted.set(encoder, wanted);
    }
    const id = JSON.stringify(key.map((value) => value.toString('latin1')));
    if (!wanted.keys.has(id)) this.#size++;
    wanted.keys.set(id, key);
    this.#xids.add(xid);
  }

  /** Reads the noted rows into the batch, over whatever it holds of them. */
  async fill(batch: Batch, signal: AbortSignal): Promise<void> {
    if (this.#size === 0) return;
    const session = await this.#sessions.take();
    try {
      await this.#snapshot(session, signal);
      for (const { encoder, keys } of this.#wanted.values()) {
        await this.#readTable(session, batch, encoder, [...keys.values()], signal);
      }
      await session.run('COMMIT');
      this.#sessions.giveBack(session);
    } catch (error) {
      // A transaction that failed half-way, or a COPY that was left: not worth mending.
      session.destroy();
      throw error;
    }
    this.#wanted.clear();
    this.#xids.clear();
    this.#size = 0;
  }

  /** Begins a transaction whose snapshot shows every noted transaction. */
  async #snapshot(session: Session, signal: AbortSignal): Promise<void> {
    const until = Date.now() + VISIBLE_TIMEOUT_MS;
    for (;;) {
      await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const [row] = await session.rows<{ readonly snapshot: string }>(
        'SELECT pg_current_snapshot()::text AS snapshot',
      );
      const snapshot = row?.snapshot ?? '';
      if ([...this.#xids].every((xid) => isVisible(snapshot, xid))) return;
      await session.run('ROLLBACK');
      if (Date.now() > until) {
        throw new ProxyError(
          'SOURCE_UNREACHABLE',
          'a committed transaction is still invisible: it waits for a synchronous standby that does not answer',
        );
      }
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  async #readTable(
    session: Session,
    batch: Batch,
    encoder: RowEncoder,
    keys: readonly (readonly Buffer[])[],
    signal: AbortSignal,
  ): Promise<void> {
    const out = batch.table(encoder.spec);
    const missing = new Set(keys.keys());
    const sql = rereadSql(encoder, this.#partitioned(encoder), keys);
    await copyAll(
      session,
      sql,
      (b, from, to) => {
        // The first value is the key's number in the list.
        const stop = b.indexOf(TAB, from);
        missing.delete(Number(b.toString('latin1', from, stop)));
        encoder.copyRow(out, b, stop + 1, to);
      },
      signal,
    );
    for (const i of missing) encoder.deleteKey(out, keys[i]!);
  }
}

function rereadSql(
  encoder: RowEncoder,
  partitioned: boolean,
  keys: readonly (readonly Buffer[])[],
): string {
  const { spec } = encoder;
  const rows = keys.map((key, i) => {
    const values = spec.key.map((name, k) => keyLiteral(spec, name, key[k]!.toString('utf8')));
    return `(${i}, ${values.join(', ')})`;
  });
  const names = spec.key.map((_, k) => `k${k}`);
  const join = spec.key.map((name, k) => `t.${quoteName(name)} = v.k${k}`).join(' AND ');
  return (
    `COPY (SELECT v.n, ${copiedColumns(spec, 't.')} FROM (VALUES ${rows.join(', ')}) v(n, ${names.join(', ')}) ` +
    `JOIN ${fromTable(spec, partitioned)} t ON ${join}) TO STDOUT`
  );
}

/**
 * Whether a snapshot (`xmin:xmax:xip,…` of 64-bit ids) shows the transaction whose low 32 bits are `xid`.
 * The transaction is in the log, so it is no more than 2^31 away from the snapshot's ids.
 */
export function isVisible(snapshot: string, xid: number): boolean {
  const [, max = '0', running = ''] = snapshot.split(':');
  const xmax = BigInt(max);
  let full = (xmax & ~0xffff_ffffn) | BigInt(xid);
  if (full > xmax + 0x8000_0000n) full -= 0x1_0000_0000n;
  else if (full + 0x8000_0000n < xmax) full += 0x1_0000_0000n;
  return full < xmax && !running.split(',').includes(String(full));
}
