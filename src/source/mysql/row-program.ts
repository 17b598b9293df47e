import type { RowLayout } from '../../encode/row-layout.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import { ProxyError } from '../../model/error.ts';
import type { RowField } from './row-field.ts';

/** What a row program is made of. */
export interface RowPlan {
  /** One for each column of the row image. */
  readonly fields: readonly RowField[];
  readonly layout: RowLayout;
  /** Indexes of the key columns. */
  readonly keys: readonly number[];
}

/**
 * Reads row images: a bitmap of NULLs, then the values of the other columns. Two forms give the same bytes:
 * `row-program-generated.ts`, straight-line code for one table, and `row-program-interpreted.ts`.
 */
export interface RowProgram {
  /**
   * Writes the image at `at` as one row, and returns where it ends.
   * @throws ProxyError UNDECODABLE when the image does not end at or before `end`.
   */
  write(source: Buffer, at: number, end: number, out: TableBatch, deleted: boolean): number;

  /**
   * Steps over the image at `at`, and returns where it ends. `keyBytes[2i]` and `keyBytes[2i + 1]` become start and end of the stored
   * bytes of key column `i`.
   */
  skip(source: Buffer, at: number, end: number, keyBytes: Int32Array): number;
}

export function overrun(): never {
  throw new ProxyError('UNDECODABLE', 'A row in the log ends before its last column.');
}
