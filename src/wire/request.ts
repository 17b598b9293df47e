/**
 * What a client's packet asks for, as far as a relay must know (wire.md §2.4, §2.6): which answer a command has, and
 * whether a statement may be one of ours. Everything else passes unread.
 */
import type { AnswerKind } from './response-walker.ts';

/** Command bytes (MySQL internals manual: "Text Protocol", "Prepared Statements"; MariaDB: "COM_STMT_BULK_EXECUTE"). */
export const Command = {
  QUIT: 0x01,
  QUERY: 0x03,
  FIELD_LIST: 0x04,
  PROCESS_INFO: 0x0a,
  CHANGE_USER: 0x11,
  BINLOG_DUMP: 0x12,
  TABLE_DUMP: 0x13,
  CONNECT_OUT: 0x14,
  STMT_PREPARE: 0x16,
  STMT_EXECUTE: 0x17,
  STMT_SEND_LONG_DATA: 0x18,
  STMT_CLOSE: 0x19,
  STMT_RESET: 0x1a,
  STMT_FETCH: 0x1c,
  DAEMON: 0x1d,
  BINLOG_DUMP_GTID: 0x1e,
  RESET_CONNECTION: 0x1f,
  CLONE: 0x20,
  STMT_BULK_EXECUTE: 0xfa,
  MULTI: 0xfe,
} as const;

const ANSWERS: ReadonlyMap<number, AnswerKind | 'none' | 'stream'> = new Map([
  [Command.QUIT, 'none'],
  [Command.QUERY, 'result'],
  [Command.FIELD_LIST, 'rows'],
  [Command.PROCESS_INFO, 'result'],
  [Command.CHANGE_USER, 'auth'],
  [Command.BINLOG_DUMP, 'stream'],
  [Command.TABLE_DUMP, 'stream'],
  [Command.CONNECT_OUT, 'stream'],
  [Command.STMT_PREPARE, 'prepare'],
  [Command.STMT_EXECUTE, 'result'],
  [Command.STMT_SEND_LONG_DATA, 'none'],
  [Command.STMT_CLOSE, 'none'],
  [Command.STMT_FETCH, 'rows'],
  [Command.DAEMON, 'stream'],
  [Command.BINLOG_DUMP_GTID, 'stream'],
  [Command.CLONE, 'stream'],
  [Command.STMT_BULK_EXECUTE, 'result'],
  [Command.MULTI, 'stream'],
]);

/**
 * The form of a command's answer. `'stream'`: not a request and its answer any more, look no further.
 * Commands that are not listed, unknown ones included, are answered by one packet.
 */
export function answerOf(command: number): AnswerKind | 'none' | 'stream' {
  return ANSWERS.get(command) ?? 'single';
}

/** Statements are searched for our table functions, and for batches, as far as this; nothing longer is waited for. */
export const SEARCHED_BYTES_MAX = 65_536;

/** First bytes of statements that may be ours, of white space and comments, of a byte order mark. */
const FIRST_BYTES = new Uint8Array(256);
for (const char of 'cCaApPrRdDsSwWeEiI \t\r\n\f\v/-#(;\u00ef\u0000')
  FIRST_BYTES[char.charCodeAt(0)] = 1;

const SPACE_OR_COMMENT =
  /(?:[\s\0(;]+|\u00ef\u00bb\u00bf|--[^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|\/\*[^]*?(?:\*\/|$))*/y;
/** The contents of these comments is executed, so it does not count as comment. */
const EXECUTED_COMMENT = /^\/\*!/;
const WORD = /[A-Za-z]+/y;
/** `jobs(` and `tasks(`, a comment before the parenthesis allowed. */
const TABLE_FUNCTION = /(?:jobs|tasks)[`"]?\s*(?:\(|\/\*|--|#)/i;
const JOB_WORD = /\b(?:jobs?|tasks?)\b/i;

/** Statements of ours begin with one of these and the second word; the others may call a table function. */
const SECOND_WORD: ReadonlyMap<string, string> = new Map([
  ['CREATE', 'JOB'],
  ['ALTER', 'JOB'],
  ['PAUSE', 'JOB'],
  ['RESUME', 'JOB'],
  ['DROP', 'JOB'],
  ['CANCEL', 'TASK'],
]);

const MAY_SELECT = new Set(['SELECT', 'WITH', 'EXPLAIN', 'DESC', 'DESCRIBE', 'INSERT', 'CREATE']);

function skipSpace(sql: string, from: number): number {
  SPACE_OR_COMMENT.lastIndex = from;
  SPACE_OR_COMMENT.test(sql);
  return SPACE_OR_COMMENT.lastIndex;
}

function wordAt(sql: string, at: number): string {
  WORD.lastIndex = at;
  return WORD.exec(sql)?.[0] ?? '';
}

/** Whether something follows the first `;`: a batch, or a `;` in a string, which costs a closer look and nothing else. */
function mayBeBatch(sql: string): boolean {
  const at = sql.indexOf(';');
  return at >= 0 && skipSpace(sql, at) < sql.length;
}

/**
 * A first look at a statement: the bytes `from` to `to`, all of it or its first {@link SEARCHED_BYTES_MAX} bytes.
 * `false`: certainly not ours, pass it on. `true`: ask whoever can parse.
 */
export function mayBeOurs(bytes: Buffer, from: number, to: number): boolean {
  if (FIRST_BYTES[bytes[from] ?? 0] === 0) {
    const semicolon = bytes.indexOf(0x3b, from);
    if (semicolon < 0 || semicolon >= to - 1) return false;
  }
  // Words of ours are ASCII, so latin1 will do, and it is the cheapest.
  return textMayBeOurs(bytes.toString('latin1', from, to));
}

function textMayBeOurs(sql: string): boolean {
  if (mayBeBatch(sql) && JOB_WORD.test(sql)) return true;
  const start = skipSpace(sql, 0);
  if (start > 0 && EXECUTED_COMMENT.test(sql.trimStart())) return JOB_WORD.test(sql);
  const first = wordAt(sql, start);
  const word = first.toUpperCase();
  const second = SECOND_WORD.get(word);
  if (second !== undefined) {
    const at = skipSpace(sql, start + first.length);
    if (wordAt(sql, at).toUpperCase() === second) return true;
  }
  return MAY_SELECT.has(word) && TABLE_FUNCTION.test(sql);
}
