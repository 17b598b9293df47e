/** SQLSTATEs of the error numbers that the FE sends (doris-target.md §3.6). */
const SQL_STATES: Readonly<Record<number, string>> = {
  1007: 'HY000',
  1008: 'HY000',
  1044: '42000',
  1045: '28000',
  1046: '3D000',
  1047: '08S01',
  1049: '42000',
  1050: '42S01',
  1051: '42S02',
  1060: '42S21',
  1094: 'HY000',
  1095: 'HY000',
  1102: '42000',
  1103: '42000',
  1105: 'HY000',
  1109: '42S02',
  1142: '42000',
  1166: '42000',
  1193: 'HY000',
  1203: '42000',
  1224: '42000',
  1225: '42000',
  1227: '42000',
  1231: '42000',
  1238: 'HY000',
  1251: '08004',
  5025: 'HY000',
};

/** An error that the FE answers as an ERR packet. */
export class SqlError extends Error {
  override readonly name = 'SqlError';
  readonly errno: number;
  readonly sqlState: string;

  constructor(errno: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.errno = errno;
    const state = SQL_STATES[errno];
    if (state === undefined) throw new TypeError(`no SQLSTATE for ${errno}`);
    this.sqlState = state;
  }
}

/** A statement was refused with a number of its own; the text is wrapped as the FE wraps it. */
export function ddlError(errno: number, detail: string): SqlError {
  return new SqlError(errno, `errCode = 2, detailMessage = ${detail}`);
}

/** The planner refused a statement: almost everything is 1105, the text carries the meaning (§3.6). */
export function refusal(detail: string): SqlError {
  return ddlError(1105, detail);
}

/** Doris could do this, the stand-in cannot. Loud, so that nobody takes a guess for Doris. */
export function notModelled(what: string): SqlError {
  return refusal(`doris-standin does not model ${what}`);
}
