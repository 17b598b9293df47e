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

const KNOWN: ReadonlyMap<number, AnswerKind | 'none' | 'stream'> = new Map([
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

/** By command byte. */
const ANSWERS = Array.from({ length: 256 }, (_, command) => KNOWN.get(command) ?? 'single');

/**
 * The form of a command's answer. `'stream'`: not a request and its answer any more, look no further.
 * Commands that are not listed, unknown ones included, are answered by one packet.
 */
export function answerOf(command: number): AnswerKind | 'none' | 'stream' {
  return ANSWERS[command] ?? 'single';
}

/** Statements up to this length are searched for words of ours; of longer ones this much is looked at. */
export const SEARCHED_BYTES_MAX = 65_536;

/**
 * Every statement of ours has one of these: `JOB` and `TASK`, a call of `jobs` or `tasks`, the name of a setting of ours, or `FRONTEND
 * CONFIG`. Nearly no other statement has. No narrower than the recognition in `sql/`, which decides.
 */
const HINT =
  /\b(?:job|task)\b|\b(?:jobs|tasks)\s*[(/#-]|streaming\\?_(?:job|task)|frontend\s+config/i;

const GAP = String.raw`(?:[\s\0;]|\u00ef\u00bb\u00bf|--[^\n]*\n|#[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)`;
/** The only statements of ours that may be long: they name tables. */
const JOB_START = new RegExp(`^${GAP}*(?:create|alter)${GAP}+job\\b`, 'i');

const packed = (letters: string): number => Buffer.from(letters).readUIntBE(0, 3);

/** Three letters of each of the words in {@link HINT}, those that the fewest other words have. */
const [JOB, TASK, CONFIG] = [packed('job'), packed('ask'), packed('nfi')];

/**
 * Up to this length a loop is quicker: a text and a regular expression take less for a byte, but half a microsecond
 * at all in a process whose caches are busy, which was half of what the relay's own code took for a query.
 */
const SHORT_BYTES_MAX = 256;

/** Whether the letters of a word of ours are there, small or capital. */
function hasLetters(bytes: Buffer, from: number, to: number): boolean {
  let last = 0;
  for (let i = from; i < to; i++) {
    last = ((last << 8) | bytes[i]! | 0x20) & 0xff_ff_ff;
    if (last === JOB || last === TASK || last === CONFIG) return true;
  }
  return false;
}

/**
 * A first look at a statement of `length` bytes that begins at `from`, of which {@link SEARCHED_BYTES_MAX} or all are there.
 * `false`: certainly not ours, pass it on. `true`: ask whoever can parse.
 */
export function mayBeOurs(bytes: Buffer, from: number, length: number): boolean {
  if (length <= SHORT_BYTES_MAX && !hasLetters(bytes, from, from + length)) return false;
  // Words of ours are ASCII, so latin1 will do, and it is the cheapest.
  const text = bytes.toString('latin1', from, from + Math.min(length, SEARCHED_BYTES_MAX));
  return (length <= SEARCHED_BYTES_MAX ? HINT : JOB_START).test(text);
}
