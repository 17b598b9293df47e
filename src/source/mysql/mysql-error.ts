import { ProxyError, type FailureCode } from '../../model/error.ts';
import { COPY_ANEW } from '../copy-anew.ts';

/** What mysql2 puts on its errors; the server's own have `errno` and `sqlMessage`. */
interface DriverError {
  readonly message?: string;
  readonly code?: string;
  readonly errno?: number;
  readonly sqlMessage?: string;
}

/**
 * Server error numbers by what cures them ("MySQL 8.4 Error Message Reference"; MariaDB shares them below 1900).
 * Too many connections, shutdown, lock waits and killed statements pass by themselves.
 */
const CODES: ReadonlyMap<number, FailureCode> = new Map([
  ...[1040, 1053, 1077, 1079, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317].map(retry),
  ...[1836, 1927, 1969, 3024, 3032, 3169, 3168, 4031].map(retry),
  ...[1044, 1045, 1129, 1130, 1131, 1142, 1143, 1227, 1251, 1275, 1698, 1820, 1862].map(access),
  ...[3118, 3159, 3955, 4151].map(access),
  ...[1049, 1051, 1054, 1146, 1356].map(table),
]);

function retry(errno: number): [number, FailureCode] {
  return [errno, 'SOURCE_UNREACHABLE'];
}

function access(errno: number): [number, FailureCode] {
  return [errno, 'SOURCE_ACCESS'];
}

function table(errno: number): [number, FailureCode] {
  return [errno, 'SOURCE_TABLE'];
}

/** ER_MASTER_FATAL_ERROR_READING_BINLOG: one number for all that can go wrong with a dump; the text says which. */
const BINLOG_FATAL = 1236;

/** Texts of error 1236 (`rpl_binlog_sender.cc`; MariaDB `sql_repl.cc`), the first that matches decides. */
const BINLOG_TEXTS: readonly (readonly [RegExp, FailureCode])[] = [
  [/same server_(uu)?id|same server id/i, 'SOURCE_UNREACHABLE'],
  [/shutdown|kill/i, 'SOURCE_UNREACHABLE'],
  [/max_allowed_packet/i, 'SOURCE_SETTING'],
  [/binary log is not open|misconfigured|checksum|GTID_MODE|AUTO_POSITION mode/i, 'SOURCE_SETTING'],
];

/**
 * A driver's or server's error as ours. `where` names the server (`MySQL 10.0.0.1:3306`); the server's own text follows it
 * unchanged, because users look for `Access denied for user`. mysql2 never puts a password into a message.
 */
export function sourceError(cause: unknown, where: string): ProxyError {
  if (cause instanceof ProxyError) return cause;
  const error = (cause ?? {}) as DriverError;
  const text = error.sqlMessage ?? error.message ?? error.code ?? String(cause);
  const code = failureCode(error, text);
  const said = text || error.code;
  const message = code === 'POSITION_LOST' ? `${said?.replace(/\.$/, '')}. ${COPY_ANEW}` : said;
  return new ProxyError(code, `${where}: ${message}`, { cause });
}

function failureCode(error: DriverError, text: string): FailureCode {
  // Network failures have negative errno or none; mysql2's own carry a code only.
  if (error.errno === undefined || error.errno <= 0 || error.sqlMessage === undefined) {
    return networkCode(error, text);
  }
  if (error.errno === BINLOG_FATAL) {
    const known = BINLOG_TEXTS.find(([pattern]) => pattern.test(text));
    // The rest says in many ways that the asked position is not in the log (purged, beyond the end, another server).
    return known?.[1] ?? 'POSITION_LOST';
  }
  return CODES.get(error.errno) ?? 'SOURCE_SETTING';
}

function networkCode(error: DriverError, text: string): FailureCode {
  if (error.code === 'HANDSHAKE_NO_SSL_SUPPORT') return 'SOURCE_SETTING';
  if (/^AUTH_SWITCH|plugin/i.test(`${error.code} ${text}`)) return 'SOURCE_ACCESS';
  // A certificate that does not verify stays so until somebody acts.
  if (/certificate|CERT_|^ERR_TLS|^ERR_OSSL|^ERR_SSL/i.test(`${error.code} ${text}`)) {
    return 'SOURCE_ACCESS';
  }
  return 'SOURCE_UNREACHABLE';
}
