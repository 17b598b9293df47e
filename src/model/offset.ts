/**
 * A place in a MySQL or MariaDB binlog from which a stream can go on: a transaction's start, and how many
 * row events of that transaction were already loaded (a transaction may span several batches).
 */
export interface MysqlPosition {
  readonly kind: 'mysql';
  readonly file: string;
  /** Offset of the transaction's first event in `file`, in bytes. */
  readonly pos: number;
  /** Executed GTID set before the transaction, `''` when the server has no GTIDs. */
  readonly gtids: string;
  /** Row events of the transaction that were already loaded; 0 at a transaction's start. */
  readonly event: number;
  /** `server_id` of the server that wrote the last event; `''` when unknown. */
  readonly serverId: string;
  /** Which server `file` and `pos` belong to (`@@server_uuid`, MariaDB: `host:port`); `''` when unknown. */
  readonly serverUuid: string;
  /** Seconds since 1970 of the last event, 0 when unknown. */
  readonly tsSec: number;
  /** Seconds since 1970 when `file` was begun: a log that was reset has files of the same names. Absent when unknown. */
  readonly fileSec?: number;
}

/** A place in a Postgres WAL: everything that committed at or before `lsn` was loaded. */
export interface PostgresPosition {
  readonly kind: 'postgres';
  /** End of the last loaded commit, as a decimal 64-bit number. */
  readonly lsn: string;
  /** Row messages of the transaction after `lsn` that were already loaded; 0 at a transaction's start. */
  readonly event: number;
  readonly txId: string;
  /** Microseconds since 1970 of the last commit, `'0'` when unknown. */
  readonly tsUsec: string;
}

export type Position = MysqlPosition | PostgresPosition;
