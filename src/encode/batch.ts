import { tableId, type TableSpec } from '../model/table.ts';
import { ChunkPool } from './chunk-pool.ts';
import { TableBatch } from './table-batch.ts';

/** The bytes of one table in one batch: JSON lines, one row for each key. */
export interface LoadBody {
  readonly table: TableSpec;
  readonly body: readonly Buffer[];
  readonly bytes: number;
  readonly rows: number;
}

/**
 * Changes of several tables between two positions, as the bytes that will be loaded. One batch is filled at a time,
 * handed over as {@link bodies}, and reused after {@link reset}.
 *
 * A table whose columns change gets another TableSpec: its rows before and after are two bodies, which say
 * nothing of each other's keys, so a source ends the batch at a schema change.
 */
export class Batch {
  /** Shared by all tables, so that a limit is checked without a walk over thousands of them. */
  readonly #total = { rows: 0, bytes: 0 };
  readonly #tables = new Map<TableSpec, TableBatch>();
  readonly #pool = new ChunkPool();

  /** Changes written since the last reset, those that a later change of the same key replaced included. */
  get rows(): number {
    return this.#total.rows;
  }

  /** Bytes written since the last reset, replaced rows included: what bounds the memory. */
  get bytes(): number {
    return this.#total.bytes;
  }

  get empty(): boolean {
    return this.#total.rows === 0;
  }

  /** The rows of `spec`, which is known by identity: one object for each version of a table's columns. */
  table(spec: TableSpec): TableBatch {
    let table = this.#tables.get(spec);
    if (table === undefined) {
      table = new TableBatch(spec, this.#pool, this.#total);
      this.#tables.set(spec, table);
    }
    return table;
  }

  /**
   * The last change of every key, tables ordered by their names: the same changes give the same bodies in any process.
   * The buffers are this batch's own memory: valid until {@link reset}, and no row may be written before it.
   */
  bodies(): readonly LoadBody[] {
    const bodies: LoadBody[] = [];
    for (const [spec, table] of this.#tables) {
      const body = table.finish();
      if (body.rows > 0) bodies.push({ table: spec, ...body });
    }
    return bodies.toSorted((a, b) => (tableId(a.table) < tableId(b.table) ? -1 : 1));
  }

  /** How many values became NULL because Doris cannot hold them, by `table.column` of the source. Empty: none. */
  unheld(): Readonly<Record<string, number>> {
    const counts: [string, number][] = [];
    for (const [spec, { unheld }] of this.#tables) {
      spec.columns.forEach(({ name }, i) => {
        if (unheld[i]! > 0) counts.push([`${spec.name}.${name}`, unheld[i]!]);
      });
    }
    return Object.fromEntries(counts);
  }

  /** Forgets the rows and keeps the memory. Tables that had no row are forgotten too: their specs may be outdated. */
  reset(): void {
    for (const [spec, table] of this.#tables) {
      if (table.rows === 0) this.#tables.delete(spec);
      table.reset();
    }
    this.#total.rows = 0;
    this.#total.bytes = 0;
  }
}
