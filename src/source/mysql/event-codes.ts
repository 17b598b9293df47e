/** The event codes that {@link BinlogParser} decodes (MySQL: `binlog_event.h`, MariaDB: `log_event.h`). */
export const CODE = {
  QUERY: 2,
  ROTATE: 4,
  FORMAT: 15,
  XID: 16,
  TABLE_MAP: 19,
  WRITE_ROWS_V1: 23,
  UPDATE_ROWS_V1: 24,
  DELETE_ROWS_V1: 25,
  HEARTBEAT: 27,
  WRITE_ROWS: 30,
  UPDATE_ROWS: 31,
  DELETE_ROWS: 32,
  GTID: 33,
  ANONYMOUS_GTID: 34,
  XA_PREPARE: 38,
  TRANSACTION_PAYLOAD: 40,
  HEARTBEAT_V2: 41,
  TAGGED_GTID: 42,
  MARIADB_GTID: 162,
  QUERY_COMPRESSED: 165,
  WRITE_ROWS_COMPRESSED_V1: 166,
  UPDATE_ROWS_COMPRESSED_V1: 167,
  DELETE_ROWS_COMPRESSED_V1: 168,
  WRITE_ROWS_COMPRESSED: 169,
  UPDATE_ROWS_COMPRESSED: 170,
  DELETE_ROWS_COMPRESSED: 171,
} as const;

/** An event that is not decoded: passed over for a stated reason, or the end of the stream. */
export interface Undecoded {
  readonly name: string;
  readonly handling: 'ignore' | 'stop';
  readonly why: string;
}

const ignore = (name: string, why: string): Undecoded => ({ name, handling: 'ignore', why });
const stop = (name: string, why: string): Undecoded => ({ name, handling: 'stop', why });

const BEFORE_5_0 = 'it is written by servers before MySQL 5.0 only';
const LOAD_DATA =
  'LOAD DATA was logged as a statement; set binlog_format=ROW in every session that writes, and start a new job';
const CONTEXT = 'context of the Query event that follows, which is judged itself';
const GROUP_REPLICATION = 'certification data of group replication, without rows';

/**
 * Every code of MySQL 9.7 and MariaDB 12 that is not decoded. A code in neither table stops the stream, unless the
 * server marked the event as ignorable: an event passed over in silence could have been rows.
 */
export const UNDECODED: Readonly<Record<number, Undecoded>> = {
  0: stop('Unknown', 'it marks an event that the server itself could not read'),
  1: stop('Start_v3', BEFORE_5_0),
  3: ignore('Stop', 'the server was shut down; the next file goes on'),
  5: ignore('Intvar', CONTEXT),
  6: stop('Load', BEFORE_5_0),
  7: ignore('Slave', 'never written by any server'),
  8: stop('Create_file', BEFORE_5_0),
  9: stop('Append_block', LOAD_DATA),
  10: stop('Exec_load', BEFORE_5_0),
  11: stop('Delete_file', LOAD_DATA),
  12: stop('New_load', BEFORE_5_0),
  13: ignore('Rand', CONTEXT),
  14: ignore('User_var', CONTEXT),
  17: stop('Begin_load_query', LOAD_DATA),
  18: stop('Execute_load_query', LOAD_DATA),
  20: stop('Pre_ga_write_rows', 'it is written by MySQL 5.1 before its release only'),
  21: stop('Pre_ga_update_rows', 'it is written by MySQL 5.1 before its release only'),
  22: stop('Pre_ga_delete_rows', 'it is written by MySQL 5.1 before its release only'),
  26: stop('Incident', 'the server says that changes are missing from its log; start a new job'),
  28: ignore('Ignorable', 'a note that the server itself calls ignorable'),
  29: ignore('Rows_query', 'the text of the statement behind the rows that follow'),
  35: ignore('Previous_gtids', 'the GTID set before this file; positions keep their own'),
  36: ignore('Transaction_context', GROUP_REPLICATION),
  37: ignore('View_change', GROUP_REPLICATION),
  39: stop(
    'Partial_update_rows',
    "a session wrote with binlog_row_value_options=PARTIAL_JSON; set it to '' everywhere, and start a new job",
  ),
  160: ignore('Annotate_rows', 'the text of the statement behind the rows that follow'),
  161: ignore('Binlog_checkpoint', 'crash recovery of the server itself'),
  163: ignore('Gtid_list', 'the GTID state before this file; positions keep their own'),
  164: stop(
    'Start_encryption',
    'the file is encrypted; a server decrypts it before it sends events, so this one was not read from a server',
  ),
};
