import { collationCharset, decodeText } from './charset.ts';
import type { ByteReader } from './byte-reader.ts';

/** A statement in the log: BEGIN, COMMIT, DDL, or a change logged as a statement. */
export interface QueryEvent {
  readonly kind: 'query';
  /** The session's default database; `''` when it had none. */
  readonly schema: string;
  readonly sql: string;
  /** The server's error code when it wrote the statement; 0 almost always. */
  readonly errorCode: number;
  /** `"` quotes names (SQL mode ANSI_QUOTES). */
  readonly ansiQuotes: boolean;
  /** `\` is an ordinary character in strings (SQL mode NO_BACKSLASH_ESCAPES). */
  readonly noBackslashEscapes: boolean;
}

const ANSI_QUOTES = 1n << 2n;
const NO_BACKSLASH_ESCAPES = 1n << 20n;

interface Status {
  readonly sqlMode: bigint;
  readonly charset: string;
}

/**
 * Decodes the body of a Query event (MySQL internals manual: Query_event). The text is in the client's character set, which
 * decides how names in a DDL statement read. `inflate` opens MariaDB's compressed text.
 */
export function parseQuery(
  reader: ByteReader,
  inflate: ((bytes: Buffer) => Buffer) | undefined,
): QueryEvent {
  reader.skip(8); // thread id, seconds it ran
  const schemaBytes = reader.uint8();
  const errorCode = reader.uint16();
  const status = readStatus(reader.slice(reader.uint16()));
  const schema = reader.slice(schemaBytes).toString();
  reader.skip(1); // a zero byte
  const text = inflate === undefined ? reader.rest() : inflate(reader.rest());
  return {
    kind: 'query',
    schema,
    sql: decodeText(text, status.charset),
    errorCode,
    ansiQuotes: (status.sqlMode & ANSI_QUOTES) !== 0n,
    noBackslashEscapes: (status.sqlMode & NO_BACKSLASH_ESCAPES) !== 0n,
  };
}

/**
 * Status variables have no lengths, so reading ends at the first one behind those that we need: servers write
 * them in the order of `Query_log_event::write`, flags, mode, catalog, auto-increment, character set.
 */
function readStatus(bytes: Buffer): Status {
  let sqlMode = 0n;
  for (let at = 0; at < bytes.length;) {
    const code = bytes[at++]!;
    const left = bytes.length - at;
    if (code === 0 && left >= 4) at += 4;
    else if (code === 1 && left >= 8) {
      sqlMode = bytes.readBigUInt64LE(at);
      at += 8;
    } else if (code === 3 && left >= 4) at += 4;
    else if (code === 6 && left >= 1) at += 1 + bytes[at]!;
    else if (code === 4 && left >= 6) {
      return { sqlMode, charset: collationCharset(bytes.readUInt16LE(at)) };
    } else break;
  }
  return { sqlMode, charset: 'utf8mb4' };
}
