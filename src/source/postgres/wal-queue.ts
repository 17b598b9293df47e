import { ProxyError } from '../../model/error.ts';
import { HEADER, MessageQueue } from './message-queue.ts';

const COPY_DATA = 0x64; // d

/** What is in a CopyData message (PostgreSQL manual: "Streaming Replication Protocol"). */
const XLOG_DATA = 0x77; // w
/** A keep-alive among pgoutput's messages, of which none begins with this byte; then its LSN. */
export const KEEPALIVE = 0x6b; // k

/** Type, start and end of the WAL, the server's clock. */
const XLOG_HEADER = 25;
/** Type, end of the WAL, the server's clock, whether an answer is wanted. */
const KEEPALIVE_BYTES = 18;

/** What a message on a replication connection is, `b[start..end)`. */
export type WalMessage = 'change' | 'keepalive' | 'question' | 'other';

/** @throws ProxyError UNDECODABLE for a message of the stream that is not known. */
export function walMessage(b: Buffer, start: number, end: number): WalMessage {
  if (b[start] !== COPY_DATA) return 'other';
  const bytes = end - start - HEADER;
  const kind = bytes > 0 ? b[start + HEADER] : undefined;
  if (kind === XLOG_DATA && bytes > XLOG_HEADER) return 'change';
  if (kind === KEEPALIVE && bytes === KEEPALIVE_BYTES) {
    return b[end - 1] === 0 ? 'keepalive' : 'question';
  }
  throw new ProxyError(
    'UNDECODABLE',
    `replication message 0x${kind?.toString(16)} of ${bytes} bytes`,
  );
}

/** The messages of a log: what `buffer[start..end)` holds is pgoutput's, or a {@link KEEPALIVE}. All else is the driver's. */
export class WalQueue extends MessageQueue {
  override peek(): boolean {
    while (super.peek()) {
      if (this.buffer[this.start] === COPY_DATA) {
        const kind = this.buffer[this.start + HEADER];
        this.start += kind === XLOG_DATA ? HEADER + XLOG_HEADER : HEADER;
        return true;
      }
      this.advance();
    }
    return false;
  }
}
