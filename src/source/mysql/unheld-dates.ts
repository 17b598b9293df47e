import { ProxyError } from '../../model/error.ts';
import type { TableSpec } from '../../model/table.ts';

/** Counts the dates of a table that Doris cannot hold; they are written as NULL (cdc-semantics.md §1.2). */
export interface DateWatch {
  /** By column. A double counts to 2^53. */
  readonly counts: Float64Array;
  /** What a decoder calls when it meets such a date in `column`. */
  unheld(column: number): () => void;
}

/** A NULL in the key would make one row of many, so there such a date stops the table instead. */
export function dateWatch(table: TableSpec): DateWatch {
  const counts = new Float64Array(table.columns.length);
  return {
    counts,
    unheld: (i) => {
      const { name } = table.columns[i]!;
      if (!table.key.includes(name)) return () => void counts[i]!++;
      return () => {
        throw new ProxyError(
          'UNDECODABLE',
          `key column ${name} holds a date that Doris cannot hold (a zero year, month or day, or no day of its month).`,
        );
      };
    },
  };
}
