import type { TableBatch } from '../../encode/table-batch.ts';
import { ProxyError } from '../../model/error.ts';
import type { TableSpec } from '../../model/table.ts';

/** Counts the dates of a table that Doris cannot hold; they are written as NULL (cdc-semantics.md §1.2). */
export interface DateWatch {
  /** What a decoder calls when it meets such a date in `column`. */
  unheld(column: number): () => void;
  /** Adds what was met since the last call to `out.unheld`: called once for what is written at a time, not for each value. */
  tell(out: TableBatch): void;
}

/** A NULL in the key would make one row of many, so there such a date stops the table instead. */
export function dateWatch(table: TableSpec): DateWatch {
  const counts = new Float64Array(table.columns.length);
  let met = false;
  return {
    unheld: (i) => {
      const { name } = table.columns[i]!;
      if (!table.key.includes(name)) {
        return () => {
          met = true;
          counts[i]!++;
        };
      }
      return () => {
        throw new ProxyError(
          'UNDECODABLE',
          `key column ${name} holds a date that Doris cannot hold (a zero year, month or day, or no day of its month).`,
        );
      };
    },
    tell: (out) => {
      if (!met) return;
      met = false;
      for (let i = 0; i < counts.length; i++) out.unheld[i]! += counts[i]!;
      counts.fill(0);
    },
  };
}
