import { Batch } from '../../src/encode/batch.ts';
import type { Position } from '../../src/model/offset.ts';
import { tableId } from '../../src/model/table.ts';
import type { ChangeStream, Fill, FillLimit } from '../../src/source/source.ts';
import type { MysqlServer } from './mysql-server.ts';

export const LIMIT: FillLimit = {
  rowsMax: 100_000,
  bytesMax: 64 * 1024 * 1024,
  ageMs: 20,
  idleMs: 100,
};
const DELETE_SIGN = '__DORIS_DELETE_SIGN__';

export const never = new AbortController().signal;

/** Numbers come as numbers on one side and as text on the other. */
function asText(value: unknown): unknown {
  return typeof value === 'number' || typeof value === 'bigint' ? `${value}` : value;
}

/** Tables as the load bodies make them: what Doris would hold, by table and key. */
export class Replica {
  readonly tables = new Map<string, Map<string, string>>();
  /** Rows that were loaded, deletions included. */
  rows = 0;

  /** Loads a batch, and empties it. */
  apply(batch: Batch): void {
    for (const { table, body } of batch.bodies()) {
      const rows = this.#table(tableId(table));
      for (const line of Buffer.concat(body).toString().trimEnd().split('\n')) {
        const { [DELETE_SIGN]: deleted, ...row } = JSON.parse(line) as Record<string, unknown>;
        const key = JSON.stringify(table.key.map((column) => asText(row[column])));
        this.rows++;
        if (deleted === 1) rows.delete(key);
        else rows.set(key, JSON.stringify(Object.values(row).map(asText)));
      }
    }
    batch.reset();
  }

  truncate(table: string): void {
    this.#table(table).clear();
  }

  /** The rows of a table, in an order of their own. */
  sorted(table: string): readonly string[] {
    return [...this.#table(table).values()].toSorted();
  }

  #table(name: string): Map<string, string> {
    let rows = this.tables.get(name);
    if (rows === undefined) {
      rows = new Map();
      this.tables.set(name, rows);
    }
    return rows;
  }
}

/** A table's rows at the source, in the form of {@link Replica.sorted}. */
export async function sourceRows(server: MysqlServer, table: string): Promise<readonly string[]> {
  const rows = await server.query(`SELECT * FROM ${table}`);
  return rows.map((row) => JSON.stringify(Object.values(row).map(asText))).toSorted();
}

/** Fills and applies until the stream has nothing more for a while. Returns every place where a batch ended. */
export async function follow(
  stream: ChangeStream,
  replica: Replica,
  limit: FillLimit = LIMIT,
): Promise<readonly Fill[]> {
  const batch = new Batch();
  const fills: Fill[] = [];
  for (;;) {
    const fill = await stream.fill(batch, limit, never);
    const idle = batch.empty && fill.barrier === undefined;
    replica.apply(batch);
    for (const table of fill.barrier?.tables ?? []) replica.truncate(tableId(table));
    if (idle) return fills;
    fills.push(fill);
  }
}

/** Where a stream would go on after `fill`. */
export function after(fill: Fill): Position {
  return fill.barrier?.after ?? fill.to;
}
