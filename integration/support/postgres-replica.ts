import { Batch } from '../../src/encode/batch.ts';
import type { Position } from '../../src/model/offset.ts';
import { tableId, type TableSpec } from '../../src/model/table.ts';
import type { ChangeStream, Fill, FillLimit, Source } from '../../src/source/source.ts';

export const LIMIT: FillLimit = { rowsMax: 50_000, bytesMax: 32 << 20, ageMs: 20, idleMs: 300 };

/**
 * What Doris would hold: for each table, by key, the line that was loaded last, without its delete sign. Lines are
 * kept as text, so that two ways to the same state are compared byte by byte.
 */
export class Replica {
  readonly tables = new Map<string, Map<string, string>>();
  /** Tables as they were to be recorded last. */
  readonly noted = new Map<string, TableSpec>();
  /** Behind what was followed last, a stop included. */
  at: Position | undefined;
  loads = 0;

  rows(table: TableSpec): Map<string, string> {
    const id = tableId(table);
    const rows = this.tables.get(id) ?? new Map<string, string>();
    this.tables.set(id, rows);
    return rows;
  }

  /** The row's JSON as an object, to be compared in a test. */
  row(table: TableSpec, ...key: readonly unknown[]): Record<string, unknown> | undefined {
    const line = this.rows(table).get(JSON.stringify(key));
    return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
  }

  load(batch: Batch): void {
    for (const { table, body } of batch.bodies()) {
      const rows = this.rows(table);
      for (const line of Buffer.concat(body).toString('utf8').split('\n')) {
        if (line === '') continue;
        const row = JSON.parse(line) as Record<string, unknown>;
        const key = JSON.stringify(table.key.map((name) => row[name]));
        const bare = line.replace(/,"__DORIS_DELETE_SIGN__":[01]\}$/, '}');
        if (row['__DORIS_DELETE_SIGN__'] === 1) rows.delete(key);
        else rows.set(key, bare);
      }
    }
    this.loads++;
    batch.reset();
  }

  /** Reads every split of every table; `between` is awaited after each. */
  async copy(
    source: Source,
    tables: readonly TableSpec[],
    splitRows = 1000,
    between: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<number> {
    let splits = 0;
    const batch = new Batch();
    const signal = AbortSignal.timeout(60_000);
    for (const table of tables) {
      for (
        let split = await source.nextSplit(table, splitRows, undefined);
        split !== undefined;
        split = await source.nextSplit(table, splitRows, split)
      ) {
        splits++;
        await using reader = await source.readSplit(table, split);
        for (let done = false; !done;) {
          done = await reader.fill(batch, LIMIT, signal);
          this.load(batch);
        }
        await between();
      }
    }
    return splits;
  }

  /** One fill, loaded, its barrier carried out, and acknowledged. */
  async step(stream: ChangeStream, limit: FillLimit = LIMIT): Promise<Fill> {
    const batch = new Batch();
    const fill = await stream.fill(batch, limit, AbortSignal.timeout(30_000));
    this.load(batch);
    const { barrier } = fill;
    if (barrier?.kind === 'truncate') for (const table of barrier.tables) this.rows(table).clear();
    if (barrier?.kind === 'note')
      for (const table of barrier.tables) this.noted.set(tableId(table), table);
    this.at = barrier?.after ?? fill.to;
    stream.acknowledge(this.at);
    if (barrier?.stop !== undefined) throw barrier.stop;
    return fill;
  }

  /** Follows the stream until it is past `position`; returns where it is then. */
  async follow(
    stream: ChangeStream,
    position: Position,
    limit: FillLimit = LIMIT,
  ): Promise<Position> {
    for (;;) {
      const fill = await this.step(stream, limit);
      const at = fill.barrier?.after ?? fill.to;
      if (at.kind !== 'postgres' || position.kind !== 'postgres') throw new Error('Postgres only');
      if (BigInt(at.lsn) >= BigInt(position.lsn)) return at;
    }
  }
}
