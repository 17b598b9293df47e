import { rowLayout } from '../../encode/row-layout.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import type { TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { canGenerateCode } from '../../encode/generated-code.ts';
import { snapshotField } from './snapshot-field.ts';
import { generatedSnapshot } from './snapshot-program-generated.ts';
import { interpretedSnapshot } from './snapshot-program-interpreted.ts';
import { dateWatch } from './unheld-dates.ts';

/**
 * Writes the rows of a SELECT: text protocol to bytes of a load, the same bytes that the row codec writes for the same
 * row in the log.
 *
 * The session must have `time_zone = '+00:00'`, `character_set_results = utf8mb4`, and no PAD_CHAR_TO_FULL_LENGTH in its SQL mode.
 */
export interface SnapshotCodec {
  readonly table: TableSpec;
  /** The expressions to select, `` `id`, `price` + 0e0 ``: one for each column that is not excluded, in the table's order. */
  readonly select: string;

  /**
   * Writes the row packet at `start..end` of `packet`, without its four bytes of header, into `out`, whose spec is {@link table}.
   *
   * @throws ProxyError UNDECODABLE when the packet is no row of that SELECT.
   */
  writeRow(packet: Buffer, start: number, end: number, out: TableBatch): void;
}

/**
 * Moments are written as the clocks of `zone` show them.
 *
 * @throws ProxyError SOURCE_TABLE for a column whose type or character set is not known.
 */
export function createSnapshotCodec(
  table: TableSpec,
  zone: TimeZone,
  form: 'generated' | 'interpreted' = canGenerateCode() ? 'generated' : 'interpreted',
): SnapshotCodec {
  const watch = dateWatch(table);
  const fields = table.columns.map((column, i) =>
    column.excluded === true ? undefined : snapshotField(column, watch.unheld(i), zone),
  );
  const plan = { fields, layout: rowLayout(table) };
  const write = form === 'generated' ? generatedSnapshot(plan) : interpretedSnapshot(plan);
  return {
    table,
    select: fields.flatMap((field) => field?.expression ?? []).join(', '),
    writeRow(packet, start, end, out) {
      try {
        write(packet, start, end, out);
        watch.tell(out);
      } catch (error) {
        if (!(error instanceof ProxyError)) throw error;
        throw new ProxyError(error.code, `Table ${tableId(table)}: ${error.message}`, {
          cause: error,
        });
      }
    },
  };
}
