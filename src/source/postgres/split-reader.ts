import type { Batch } from '../../encode/batch.ts';
import type { FillLimit, SplitReader } from '../source.ts';
import type { Session } from './connection.ts';
import { CopyReader } from './copy-reader.ts';
import type { RowEncoder } from './row-encoder.ts';

/** Reads one key range by COPY, in the transaction that the session is in. */
export class PostgresSplitReader implements SplitReader {
  readonly #session: Session;
  readonly #encoder: RowEncoder;
  readonly #copy: CopyReader;
  readonly #giveBack: () => void;
  #exhausted = false;

  constructor(session: Session, encoder: RowEncoder, sql: string, giveBack: () => void) {
    this.#session = session;
    this.#encoder = encoder;
    this.#copy = new CopyReader(session, sql);
    this.#giveBack = giveBack;
  }

  /** By rows and bytes only: a range is read as fast as the server sends it, so there is no age to speak of. */
  async fill(batch: Batch, limit: FillLimit, signal: AbortSignal): Promise<boolean> {
    const out = batch.table(this.#encoder.spec);
    const encoder = this.#encoder;
    this.#exhausted = await this.#copy.read((b, from, to) => {
      encoder.copyRow(out, b, from, to);
      return batch.rows < limit.rowsMax && batch.bytes < limit.bytesMax;
    }, signal);
    return this.#exhausted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A COPY that was not read to its end can only be cut off.
    if (!this.#exhausted || this.#session.dead) {
      this.#session.destroy();
      return;
    }
    try {
      await this.#session.run('COMMIT');
      this.#giveBack();
    } catch {
      this.#session.destroy();
    }
  }
}
