import type { RowDataPacket } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { MysqlServer, PostgresServer, ServerKind } from '../servers.ts';
import { EndToEnd, type Place } from './end-to-end.ts';

/** A table of two rows. */
export const T =
  "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1, 'one'), (2, 'two')";

/** A world for all tests of a `describe`; call it there. Jobs and their tables are each test's own. */
export class Worlds {
  #world: EndToEnd | undefined;
  #places = 0;

  /** `proxyArgs`: more flags of the proxy's. */
  constructor(kind: ServerKind, proxyArgs: readonly string[] = []) {
    beforeAll(async () => {
      this.#world = await EndToEnd.open(kind, undefined, proxyArgs);
    });
    afterAll(async () => {
      await this.#world?.[Symbol.asyncDispose]();
    });
    afterEach(async () => {
      const jobs = await this.rows('select Name from jobs("type"="insert")');
      for (const { Name: name } of jobs) await this.run(`DROP JOB WHERE jobName = '${name}'`);
    });
  }

  get it(): EndToEnd {
    if (this.#world === undefined) throw new Error('the world is not there');
    return this.#world;
  }

  get mysql(): MysqlServer {
    return this.it.source as MysqlServer;
  }

  get postgres(): PostgresServer {
    return this.it.source as PostgresServer;
  }

  async run(sql: string): Promise<void> {
    await this.it.client.query(sql);
  }

  async rows(sql: string): Promise<RowDataPacket[]> {
    const [rows] = await this.it.client.query<RowDataPacket[]>(sql);
    return rows;
  }

  async place(sql: string): Promise<Place> {
    this.#places += 1;
    const place = await this.it.place(`s${this.#places}`);
    await place.sql(sql);
    return place;
  }

  /** Ids in the table of a place's target. */
  async ids(place: Place, table = 't'): Promise<number[]> {
    const rows = await this.rows(`SELECT id FROM ${place.target}.${table} ORDER BY id`);
    return rows.map(({ id }) => Number(id));
  }

  /** Names of the tables in a place's target. */
  async tables(place: Place): Promise<string[]> {
    const rows = await this.rows(`SHOW TABLES FROM ${place.target}`);
    return rows
      .flatMap(Object.values)
      .map(String)
      .toSorted((a, b) => a.localeCompare(b));
  }
}
