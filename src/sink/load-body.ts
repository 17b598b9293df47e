import assert from 'node:assert/strict';

/** Doris' hidden column that decides which of two rows of a key stays: the larger value (doris-target.md §2.3). */
export const SEQUENCE_COLUMN = '__DORIS_SEQUENCE_COL__';

/** Handed to the socket at a time: small enough that a slow line is seen moving, large enough to cost nothing. */
const PIECE_BYTES = 256 * 1024;

/** JSON lines as they are sent: rows as the batch wrote them, or with a sequence in every row. */
export interface Lines {
  readonly body: readonly Buffer[];
  /** Sum of the buffers' lengths. */
  readonly bytes: number;
  readonly rows: number;
  /** The table has a sequence column: every row gets this value. A whole number, 0 or more. */
  readonly sequence?: number | undefined;
}

const sequenceTail = (sequence: number): Buffer =>
  Buffer.from(`,"${SEQUENCE_COLUMN}":${sequence}}\n`);

/** The `Content-Length` of {@link pieces}. */
export function bytesSent({ bytes, rows, sequence }: Lines): number {
  return sequence === undefined ? bytes : bytes + rows * (sequenceTail(sequence).length - 2);
}

/**
 * The body in pieces; `onPiece` is told whenever the receiver has taken one. The number of a task is only known after its rows were
 * written, so it is put in on the way: that costs a copy, and only tables with a sequence column pay for it.
 */
export function* pieces(lines: Lines, onPiece: () => void): Generator<Buffer> {
  const tail = lines.sequence === undefined ? undefined : sequenceTail(lines.sequence);
  for (const buffer of lines.body) {
    for (const piece of tail === undefined ? cut(buffer) : withTail(buffer, tail)) {
      onPiece();
      yield piece;
    }
  }
}

function* cut(buffer: Buffer): Generator<Buffer> {
  for (let at = 0; at < buffer.length; at += PIECE_BYTES) {
    yield buffer.subarray(at, at + PIECE_BYTES);
  }
}

/** Every line's `}\n` replaced by `tail`. Rows never span buffers, and a newline inside a value is escaped. */
function* withTail(buffer: Buffer, tail: Buffer): Generator<Buffer> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for (let start = 0; start < buffer.length;) {
    const newline = buffer.indexOf(0x0a, start);
    assert(
      newline > start && buffer[newline - 1] === 0x7d,
      'a row ends with a brace and a newline',
    );
    parts.push(buffer.subarray(start, newline - 1), tail);
    bytes += newline - 1 - start + tail.length;
    start = newline + 1;
    if (bytes >= PIECE_BYTES || start === buffer.length) {
      yield Buffer.concat(parts, bytes);
      [parts, bytes] = [[], 0];
    }
  }
}
