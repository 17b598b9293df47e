import type { RowLayout } from '../../encode/row-layout.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import { ProxyError } from '../../model/error.ts';
import type { SnapshotField } from './snapshot-field.ts';

/** What a snapshot program is made of. */
export interface SnapshotPlan {
  /** By column of the table; undefined for those that are not selected. */
  readonly fields: readonly (SnapshotField | undefined)[];
  readonly layout: RowLayout;
}

/** Writes the text-protocol row at `start..end` as one row of `out`. */
export type WriteRow = (source: Buffer, start: number, end: number, out: TableBatch) => void;

/** First byte of a value (MySQL internals manual: ProtocolText::ResultsetRow): NULL, or how the length is written. */
export const NULL_MARK = 0xfb;
export const LENGTH_2 = 0xfc;
export const LENGTH_3 = 0xfd;

export function malformed(): never {
  throw new ProxyError('UNDECODABLE', 'A row of the result does not have the selected columns.');
}
