/**
 * Everything that can go wrong for a user, as a closed set. A code says who can cure the failure and
 * what a MySQL client is told; numbers and SQLSTATEs are those of Doris (`ErrorCode.java`) where Doris has the error. None is from
 * 2000 to 2999: those are a client's own, and MariaDB's library makes "Received malformed packet" of one that comes from a server.
 *
 * - `retry`: passes by itself (a server that is down); the job tries again with back-off.
 * - `operator`: somebody must act; the job is paused with the message as its reason.
 * - `statement`: the statement was wrong; only its sender learns of it.
 */
const FAILURES = {
  /** Doris answers almost every refused statement with 1105; the text carries the meaning. */
  STATEMENT: { cure: 'statement', errno: 1105, sqlState: 'HY000' },
  NO_DATABASE: { cure: 'statement', errno: 1046, sqlState: '3D000' },
  UNKNOWN_DATABASE: { cure: 'statement', errno: 1049, sqlState: '42000' },
  DATABASE_ACCESS: { cure: 'statement', errno: 1225, sqlState: '42000' },
  TABLE_ACCESS: { cure: 'statement', errno: 1224, sqlState: '42000' },
  PRIVILEGE: { cure: 'statement', errno: 1227, sqlState: '42000' },

  SOURCE_UNREACHABLE: { cure: 'retry', errno: 1105, sqlState: 'HY000' },
  SOURCE_ACCESS: { cure: 'operator', errno: 1045, sqlState: '28000' },
  SOURCE_SETTING: { cure: 'operator', errno: 1105, sqlState: 'HY000' },
  SOURCE_TABLE: { cure: 'operator', errno: 1105, sqlState: 'HY000' },
  /** The log no longer holds the position: only a new job can copy the tables again. */
  POSITION_LOST: { cure: 'operator', errno: 1236, sqlState: 'HY000' },
  /** An event, message or value that we do not decode. Never skipped. */
  UNDECODABLE: { cure: 'operator', errno: 1105, sqlState: 'HY000' },
  /** A DDL statement on a synchronised table that cannot be carried over. */
  SOURCE_DDL: { cure: 'operator', errno: 1105, sqlState: 'HY000' },

  TARGET_UNREACHABLE: { cure: 'retry', errno: 1105, sqlState: 'HY000' },
  TARGET_BUSY: { cure: 'retry', errno: 1105, sqlState: 'HY000' },
  /** A label that we never sent is in use: whoever has it, our rows are not under it. They get another label. */
  LABEL_TAKEN: { cure: 'retry', errno: 1105, sqlState: 'HY000' },
  TARGET_ACCESS: { cure: 'operator', errno: 1045, sqlState: '28000' },
  TARGET_TABLE: { cure: 'operator', errno: 1105, sqlState: 'HY000' },
  /** Doris refused rows; sending them again cannot help. */
  TARGET_DATA: { cure: 'operator', errno: 1105, sqlState: 'HY000' },

  /** Our own catalog cannot be written: the disk is full or broken. Nothing of a job may go on without it. */
  CATALOG: { cure: 'retry', errno: 1105, sqlState: 'HY000' },

  /** The job was paused, altered or dropped under the runner: stop quietly. */
  JOB_FENCED: { cure: 'retry', errno: 1105, sqlState: 'HY000' },
} as const;

export type FailureCode = keyof typeof FAILURES;

export interface Failure {
  readonly cure: 'retry' | 'operator' | 'statement';
  readonly errno: number;
  readonly sqlState: string;
}

/** The one error class of the program. Anything else that is thrown is a bug. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: FailureCode;

  /** `message` is what the user reads: it names the thing and says what to do, and never holds a secret. */
  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get failure(): Failure {
    return FAILURES[this.code];
  }
}
