import { rowLayout } from '../../encode/row-layout.ts';
import type { TableBatch } from '../../encode/table-batch.ts';
import type { TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import { ColumnMismatch, rowField, type RowField } from './row-field.ts';
import { canGenerateCode } from '../../encode/generated-code.ts';
import { generatedProgram } from './row-program-generated.ts';
import { interpretedProgram } from './row-program-interpreted.ts';
import type { RowPlan, RowProgram } from './row-program.ts';
import type { RowsEvent } from './rows-event.ts';
import { skippedField } from './skipped-field.ts';
import type { MapColumn, TableMap } from './table-map.ts';
import { type DateWatch, dateWatch } from './unheld-dates.ts';

/** Writes the rows of one version of a table: bytes of the log to bytes of a load, no object for a row or a value. */
export interface RowCodec {
  readonly table: TableSpec;

  /**
   * Writes the rows of an event into `out`, whose spec is {@link table}, and returns how many rows changed at the source. An update that
   * changes the key is a deletion with the whole row before it, and an upsert; any other update is an upsert alone.
   *
   * @throws ProxyError UNDECODABLE when a column is missing from the images, and when the bytes are no rows of this table.
   */
  write(event: RowsEvent, out: TableBatch): number;
}

/**
 * A codec for rows that follow `map`, after it was compared with what the job knows of the table. Moments are written as the
 * clocks of `zone` show them.
 *
 * @throws ProxyError SOURCE_DDL naming the column, when they disagree: the table was changed in a way that the log
 * did not show, and today's description must not be used for rows of another time.
 */
export function createRowCodec(
  table: TableSpec,
  map: TableMap,
  zone: TimeZone,
  form: 'generated' | 'interpreted' = canGenerateCode() ? 'generated' : 'interpreted',
): RowCodec {
  const watch = dateWatch(table);
  const plan: RowPlan = {
    fields: checkedFields(table, map, watch, zone),
    layout: rowLayout(table),
    keys: table.key.map((key) => table.columns.findIndex(({ name }) => name === key)),
  };
  const program = form === 'generated' ? generatedProgram(plan) : interpretedProgram(plan);
  return new ProgramCodec(table, watch, program);
}

function checkedFields(
  table: TableSpec,
  map: TableMap,
  watch: DateWatch,
  zone: TimeZone,
): RowField[] {
  if (map.columns.length !== table.columns.length) {
    throw changed(
      table,
      `has ${map.columns.length} columns in the log and ${table.columns.length} in the job`,
    );
  }
  return table.columns.map((column, i) => {
    const logged = map.columns[i]!;
    if (logged.name !== undefined && logged.name !== column.name) {
      throw changed(
        table,
        `has a column ${logged.name} in the log where the job knows ${column.name}`,
      );
    }
    if (column.excluded === true) return skippedField(column, logged);
    try {
      return rowField(column, logged, watch.unheld(i), zone);
    } catch (error) {
      if (!(error instanceof ColumnMismatch)) throw error;
      throw changed(
        table,
        `has column ${column.name} in the log as ${describe(logged)}, and the job knows it as ${column.sourceType}`,
      );
    }
  });
}

function describe({ type, meta, unsigned }: MapColumn): string {
  return `type code ${type}, metadata ${meta}${unsigned === true ? ', unsigned' : ''}`;
}

function changed(table: TableSpec, how: string): ProxyError {
  return new ProxyError(
    'SOURCE_DDL',
    `Table ${tableId(table)} ${how}: its definition was changed. Drop the job and create it anew.`,
  );
}

class ProgramCodec implements RowCodec {
  readonly table: TableSpec;
  readonly #watch: DateWatch;
  readonly #program: RowProgram;
  readonly #keysBefore: Int32Array;
  readonly #keysAfter: Int32Array;

  constructor(table: TableSpec, watch: DateWatch, program: RowProgram) {
    this.table = table;
    this.#watch = watch;
    this.#program = program;
    this.#keysBefore = new Int32Array(2 * table.key.length);
    this.#keysAfter = new Int32Array(2 * table.key.length);
  }

  write(event: RowsEvent, out: TableBatch): number {
    try {
      this.#check(event);
      const rows = event.change === 'update' ? this.#updates(event, out) : this.#images(event, out);
      this.#watch.tell(out);
      return rows;
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      throw new ProxyError(error.code, `Table ${tableId(this.table)}: ${error.message}`, {
        cause: error,
      });
    }
  }

  #check(event: RowsEvent): void {
    if (!event.full) {
      throw new ProxyError(
        'UNDECODABLE',
        'a row in the log does not have all columns. Set binlog_row_image=FULL globally and in every session that writes, and create the job anew.',
      );
    }
    if (event.columnCount !== this.table.columns.length && event.start < event.end) {
      throw new ProxyError(
        'UNDECODABLE',
        'a rows event has another number of columns than its map.',
      );
    }
  }

  #images({ change, bytes, start, end }: RowsEvent, out: TableBatch): number {
    const program = this.#program;
    const deleted = change === 'delete';
    let rows = 0;
    for (let at = start; at < end; rows++) at = program.write(bytes, at, end, out, deleted);
    return rows;
  }

  /** The image before is only read as far as its key, unless the key changed. */
  #updates({ bytes, start, end }: RowsEvent, out: TableBatch): number {
    const program = this.#program;
    let rows = 0;
    for (let before = start; before < end; rows++) {
      const after = program.skip(bytes, before, end, this.#keysBefore);
      const next = program.skip(bytes, after, end, this.#keysAfter);
      if (!this.#sameKey(bytes)) program.write(bytes, before, end, out, true);
      program.write(bytes, after, end, out, false);
      before = next;
    }
    return rows;
  }

  #sameKey(bytes: Buffer): boolean {
    const before = this.#keysBefore;
    const after = this.#keysAfter;
    for (let k = 0; k < before.length; k += 2) {
      const a = before[k]!;
      const b = after[k]!;
      const length = before[k + 1]! - a;
      if (after[k + 1]! - b !== length) return false;
      for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false;
    }
    return true;
  }
}
