/** One answer among several to the same packet: `a; b; c` (wire.md §2.7). */
import { HEADER_BYTES, payloadLength, PAYLOAD_MAX, ProtocolError } from './packet.ts';
import { okStatusAt } from './response-walker.ts';
import { Status } from './resultset.ts';
import { Cursor } from './value.ts';

export interface PlacedAnswer {
  /** Sequence id of the packet that comes next. */
  readonly nextSequence: number;
  /** It is an ERR, or ends with one: the rest of the batch is not run. */
  readonly failed: boolean;
  /** The server asked for a file. */
  readonly infile: boolean;
}

/**
 * Gives the packets of a complete answer, in place, ids that go on from `sequence`, and when `more` is to follow, says so
 * in the packet that ends each of its results.
 *
 * @throws ProtocolError when the bytes are no whole answer to COM_QUERY.
 */
export function placeAnswer(
  answer: Buffer,
  sequence: number,
  more: boolean,
  deprecateEof: boolean,
): PlacedAnswer {
  let state: 'start' | 'definitions' | 'after-definitions' | 'rows' = 'start';
  let left = 0;
  let [next, failed, infile, continues] = [sequence, false, false, false];
  const flag = (at: number | undefined): void => {
    state = 'start';
    if (more && at !== undefined) {
      answer.writeUInt16LE(answer.readUInt16LE(at) | Status.MORE_RESULTS, at);
    }
  };
  for (let at = 0; at < answer.length; next = (next + 1) & 0xff) {
    const length = at + HEADER_BYTES <= answer.length ? payloadLength(answer, at) : 0;
    const from = at + HEADER_BYTES;
    if (from + length > answer.length) throw new ProtocolError('answer ends early');
    answer[at + 3] = next;
    at = from + length;
    const continuation = continues;
    continues = length === PAYLOAD_MAX;
    if (continuation) continue;
    const first = length > 0 ? answer[from] : -1;
    if (first === 0xff) {
      failed = true;
    } else if (state === 'start') {
      if (first === 0xfb) infile = true;
      else if (first === 0) flag(okStatusAt(answer, from, length));
      else {
        left = new Cursor(answer.subarray(from, at)).lenenc() ?? 0;
        state = 'definitions';
      }
    } else if (state === 'definitions') {
      left -= 1;
      if (left === 0) state = 'after-definitions';
    } else if (state === 'after-definitions' && first === 0xfe && length <= 5) {
      // Servers say it here already.
      flag(from + 3);
      state = 'rows';
    } else {
      state = 'rows';
      const eof = first === 0xfe && length === 5;
      const ok = first === 0xfe && length > 5 && (length < 9 || (deprecateEof && !continues));
      if (eof) flag(from + 3);
      else if (ok) flag(okStatusAt(answer, from, length));
    }
  }
  return { nextSequence: next, failed, infile };
}
