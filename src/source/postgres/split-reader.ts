import type { Batch } from '../../encode/batch.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import type { FillLimit, SplitReader } from '../source.ts';
import type { Session } from './connection.ts';
import { CopyReader, type RowTaker } from './copy-reader.ts';
import type { RowEncoder } from './row-encoder.ts';

/** Puts rows into a batch until it is full. */
class BatchRows implements RowTaker {
  readonly #encoder: RowEncoder;
  readonly #batch: Batch;
  readonly #out: TableBatch;
  readonly #limit: FillLimit;

  constructor(encoder: RowEncoder, batch: Batch, limit: FillLimit) {
    this.#encoder = encoder;
    this.#batch = batch;
    this.#out = batch.table(encoder.spec);
    this.#limit = limit;
  }

  row(b: Buffer, from: number, to: number): boolean {
    this.#encoder.copyRow(this.#out, b, from, to);
    return this.#batch.rows < this.#limit.rowsMax && this.#batch.bytes < this.#limit.bytesMax;
  }
}

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
    this.#exhausted = await this.#copy.read(new BatchRows(this.#encoder, batch, limit), signal);
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
