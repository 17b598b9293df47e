import { expect } from 'vitest';
import type { Position } from '../../src/model/offset.ts';
import { tableId, type TableSpec } from '../../src/model/table.ts';
import type { PostgresSource } from '../../src/source/postgres/postgres-source.ts';
import type { ChangeStream } from '../../src/source/source.ts';
import { copied, copyOf } from './postgres-fixture.ts';
import { LIMIT, type Replica } from './postgres-replica.ts';

/** Takes what comes with the batches behind the log. */
export async function settle(replica: Replica, stream: ChangeStream): Promise<void> {
  while ((await replica.step(stream, { ...LIMIT, idleMs: 1 })).barrier !== undefined);
}

/** A job that is started anew for each look, as after a pause: what it knows is what was recorded. */
export class Follower {
  readonly #source: PostgresSource;
  readonly replica: Replica;
  tables: readonly TableSpec[];
  at: Position;

  private constructor(source: PostgresSource, start: Awaited<ReturnType<typeof copied>>) {
    this.#source = source;
    ({ replica: this.replica, tables: this.tables, from: this.at } = start);
  }

  static async open(source: PostgresSource): Promise<Follower> {
    return new Follower(source, await copied(source));
  }

  /** @throws what stops the job; as there, what is behind the stop is recorded. */
  async follow(): Promise<void> {
    const { replica } = this;
    await using stream = await this.#source.openStream(this.tables, this.at);
    try {
      await replica.follow(stream, await this.#source.latestPosition());
      // What is found behind the log comes with the batch after it.
      await settle(replica, stream);
    } finally {
      this.at = replica.at ?? this.at;
      this.tables = this.tables.map((table) => replica.noted.get(tableId(table)) ?? table);
    }
  }

  async same(): Promise<void> {
    const now = await copyOf(this.#source, this.tables);
    for (const table of this.tables) {
      expect(this.replica.rows(table), table.name).toEqual(now.rows(table));
    }
  }

  /** What a person does in Doris after a stop. */
  remove(table: string, keep: (id: number) => boolean): void {
    const spec = this.tables.find(({ name }) => name === table)!;
    const rows = this.replica.rows(spec);
    for (const key of rows.keys()) if (!keep(Number(JSON.parse(key)[0]))) rows.delete(key);
  }
}

/** A table with 199 rows in three partitions, two of them of a partitioned partition. */
export const PARTITIONED = `CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
  CREATE TABLE p_0 PARTITION OF p FOR VALUES FROM (0) TO (100);
  CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
  CREATE TABLE p_10 PARTITION OF p_1 FOR VALUES FROM (100) TO (150);
  CREATE TABLE p_15 PARTITION OF p_1 FOR VALUES FROM (150) TO (200);
  INSERT INTO p SELECT i, 'old' FROM generate_series(1, 199) i`;
