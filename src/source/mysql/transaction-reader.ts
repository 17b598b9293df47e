import type { Batch } from '../../encode/batch.ts';
import { ProxyError } from '../../model/error.ts';
import type { MysqlPosition } from '../../model/offset.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import type { BinlogEvent } from './binlog-event.ts';
import type { LogCursor } from './log-cursor.ts';
import type { QueryEvent } from './query-event.ts';
import type { RowsEvent } from './rows-event.ts';
import type { MappedTable, StreamTables } from './stream-tables.ts';

/** What reading one event led to. */
export type Outcome =
  /** Nothing that a batch can end at. */
  | 'within'
  /** A row event inside of a transaction: a large one can be cut here. */
  | 'rows'
  /** No transaction is open. */
  | 'boundary'
  /** Between `to` and the position now, `table` was emptied. */
  | { readonly truncated: TableSpec; readonly to: MysqlPosition };

/** Row events that were loaded before the stream was opened: the first ones of the transaction that starts at `file`, `pos`. */
export interface Loaded {
  readonly file: string;
  readonly pos: number;
  readonly rowEvents: number;
}

/** XA transactions are decoded when they have committed; until then their events are kept, up to this many bytes. */
const XA_BYTES_MAX = 256 * 1024 * 1024;

interface HeldRows {
  readonly table: MappedTable;
  readonly event: RowsEvent;
}

/** An XA transaction that was prepared and is neither committed nor rolled back. */
interface PreparedXa {
  readonly gtid: string;
  readonly rows: readonly HeldRows[];
}

/**
 * Reads a log's events as transactions and writes the rows of the job's tables into a batch.
 *
 * A group is GTID, BEGIN, table maps and rows, XID or COMMIT; or GTID and one statement. MariaDB has no BEGIN, its GTID event
 * says which of the two follows. Without GTID events (before MySQL 5.6) BEGIN and the statement begin their group.
 *
 * An XA transaction's rows are logged when it is prepared and count when it commits, a group of its own, maybe much later. With a MySQL
 * GTID set its prepare is left out of the executed ones until then, so that a later stream gets it again.
 */
export class TransactionReader {
  readonly #cursor: LogCursor;
  readonly #tables: StreamTables;
  #loaded: Loaded | undefined;
  /** Row events of the open group that must not be decoded again. */
  #skip = 0;
  /** BEGIN was seen, so only a commit ends the group. */
  #begun = false;
  /** Rows of the open group were written into a batch. */
  #touched = false;
  /** Rows of the open XA transaction. */
  #held: HeldRows[] | undefined;
  /** Of the open XA transaction, as its statements write it: `X'6f6e65',X'',1`. */
  #xid = '';
  readonly #prepared = new Map<string, PreparedXa>();
  /** Of all rows that are held. */
  #heldBytes = 0;

  constructor(cursor: LogCursor, tables: StreamTables, loaded: Loaded | undefined) {
    this.#cursor = cursor;
    this.#tables = tables;
    this.#loaded = loaded;
  }

  /** Reads an event that the cursor has passed. A payload is opened by the caller, who then gives its inner events. */
  read(event: BinlogEvent, batch: Batch): Outcome {
    switch (event.kind) {
      case 'rows':
        return this.#rows(event, batch);
      case 'table-map':
        this.#tables.map(event.map);
        return 'within';
      case 'xid':
        return this.#commit();
      case 'gtid':
        this.#begin(event.header.size, event.gtid);
        return 'within';
      case 'mariadb-gtid':
        this.#begin(event.header.size, event.gtid);
        this.#begun = !event.standalone;
        if (event.xa === 'prepare') this.#held = [];
        return 'within';
      case 'query':
        return this.#query(event, event.header.size, batch);
      case 'xa-prepare':
        return this.#prepare(event.onePhase, batch);
      case 'rotate':
        this.#cursor.rotate(event.file, event.position);
        return this.#between();
      case 'format':
        this.#newServerRun();
        this.#cursor.describeFile(event.header.timestampSec);
        return 'boundary';
      case 'payload':
      case 'heartbeat':
      case 'ignored':
        return this.#between();
      default:
        return unreachable(event);
    }
  }

  /** A file begins. A transaction that the file before left open was cut off by a crash: it did not happen. */
  #newServerRun(): void {
    this.#tables.forgetIds();
    if (!this.#cursor.inGroup) return;
    if (this.#touched) throw malformed('a transaction without its end, in front of a new file');
    this.#endGroup();
  }

  #between(): Outcome {
    return this.#cursor.inGroup ? 'within' : 'boundary';
  }

  #begin(eventBytes: number, gtid: string | undefined): void {
    // A group without a statement of concern (a view change of group replication) has no end of its own.
    if (this.#cursor.inGroup) this.#endGroup();
    this.#cursor.beginGroup(eventBytes, gtid);
    const { file, groupStart } = this.#cursor;
    // On a log where this is never met nothing is skipped: the transaction is loaded again from its start.
    const loaded = this.#loaded;
    if (loaded?.file !== file || loaded.pos !== groupStart) return;
    this.#skip = loaded.rowEvents;
    this.#loaded = undefined;
  }

  #rows(event: RowsEvent, batch: Batch): Outcome {
    const cursor = this.#cursor;
    if (!cursor.inGroup) throw malformed('rows outside of a transaction');
    const table = this.#tables.rowsOf(event.tableId);
    if (table === undefined && event.start < event.end) {
      throw malformed(`rows of table id ${event.tableId} without a table map`);
    }
    if (cursor.rowEvents >= this.#skip && table !== undefined && table !== 'other') {
      this.#write({ table, event }, batch);
    }
    cursor.countRowEvent();
    return this.#held === undefined && cursor.rowEvents >= this.#skip ? 'rows' : 'within';
  }

  #write(rows: HeldRows, batch: Batch): void {
    if (this.#held === undefined) {
      rows.table.codec.write(rows.event, batch.table(rows.table.spec));
      this.#touched = true;
      return;
    }
    this.#held.push({ table: rows.table, event: copied(rows.event) });
    this.#heldBytes += rows.event.end - rows.event.start;
    if (this.#heldBytes > XA_BYTES_MAX) {
      const name = tableId(rows.table.spec);
      throw new ProxyError(
        'UNDECODABLE',
        `XA transactions with more than ${XA_BYTES_MAX} bytes of rows are undecided, the last one on ${name}`,
      );
    }
  }

  #query(event: QueryEvent, eventBytes: number, batch: Batch): Outcome {
    const { sql } = event;
    if (sql === 'BEGIN' || sql.startsWith('XA START ')) {
      if (!this.#cursor.inGroup) this.#begin(eventBytes, undefined);
      this.#begun = true;
      if (sql !== 'BEGIN') {
        this.#held = [];
        this.#xid = sql.slice('XA START '.length);
      }
      return 'within';
    }
    const decided = /^XA (COMMIT|ROLLBACK) (.*)$/s.exec(sql);
    if (decided !== null) return this.#decide(decided[2]!, decided[1] === 'COMMIT', batch);
    if (this.#begun) return this.#queryInside(event);
    if (!this.#cursor.inGroup) this.#begin(eventBytes, undefined);
    const to = this.#cursor.position();
    const truncated = this.#tables.judge(event);
    this.#endGroup();
    return truncated === undefined ? 'boundary' : { truncated, to };
  }

  #queryInside(event: QueryEvent): Outcome {
    const { sql } = event;
    if (sql === 'COMMIT') return this.#commit();
    if (sql.startsWith('ROLLBACK')) {
      // Servers leave rolled back rows out, except beside changes that cannot be rolled back (MyISAM).
      if (this.#touched) throw malformed('rows that the same transaction rolled back');
      return sql === 'ROLLBACK' ? this.#commit() : 'within';
    }
    if (this.#tables.judge(event) !== undefined)
      throw malformed('TRUNCATE inside of a transaction');
    return 'within';
  }

  #prepare(onePhase: boolean, batch: Batch): Outcome {
    const rows = this.#held ?? [];
    this.#held = undefined;
    if (onePhase) {
      this.#writeHeld(rows, batch);
      return this.#commit();
    }
    const gtid = this.#cursor.leaveGroup();
    if (gtid !== undefined) {
      this.#prepared.set(this.#xid, { gtid, rows });
    } else if (rows.length > 0) {
      throw new ProxyError(
        'UNDECODABLE',
        `an XA transaction was prepared on ${tableId(rows[0]!.table.spec)}: whether its rows count is decided later, and ` +
          'only a MySQL server with gtid_mode=ON lets a position wait for it. Use one-phase commits or plain transactions, and create the job anew',
      );
    }
    this.#endGroup();
    return 'boundary';
  }

  /** XA COMMIT or XA ROLLBACK of a transaction that was prepared in a group before. */
  #decide(xid: string, committed: boolean, batch: Batch): Outcome {
    const prepared = this.#prepared.get(xid);
    if (prepared === undefined && committed && this.#cursor.canLeaveOut) {
      throw malformed(
        `the commit of XA transaction ${xid}, which was prepared before this job began`,
      );
    }
    if (prepared !== undefined) {
      if (committed) this.#writeHeld(prepared.rows, batch);
      else this.#heldBytes -= heldBytes(prepared.rows);
      this.#prepared.delete(xid);
      this.#cursor.addLeftOut(prepared.gtid);
    }
    return this.#commit();
  }

  #writeHeld(rows: readonly HeldRows[], batch: Batch): void {
    this.#heldBytes -= heldBytes(rows);
    for (const { table, event } of rows) table.codec.write(event, batch.table(table.spec));
  }

  #commit(): Outcome {
    if (this.#cursor.rowEvents < this.#skip) {
      throw malformed(`a transaction with fewer row events than were loaded of it (${this.#skip})`);
    }
    if (this.#held !== undefined && this.#held.length > 0) {
      throw malformed('an XA transaction without its end');
    }
    this.#endGroup();
    return 'boundary';
  }

  #endGroup(): void {
    this.#cursor.endGroup();
    this.#begun = false;
    this.#touched = false;
    this.#held = undefined;
    this.#skip = 0;
  }
}

/** The log's packets are memory that is used again. */
function copied(event: RowsEvent): RowsEvent {
  const bytes = Buffer.from(event.bytes.subarray(event.start, event.end));
  return { ...event, bytes, start: 0, end: bytes.length };
}

function heldBytes(rows: readonly HeldRows[]): number {
  return rows.reduce((sum, { event }) => sum + event.end - event.start, 0);
}

/** The compiler's proof that every kind of event is handled. */
function unreachable(event: never): never {
  throw new Error(`unhandled event ${JSON.stringify(event)}`);
}

function malformed(what: string): ProxyError {
  return new ProxyError('UNDECODABLE', `the log holds ${what}`);
}
