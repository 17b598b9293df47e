import { setTimeout as sleep } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2/promise';
import type { EndToEnd, Place } from './end-to-end.ts';

const WITHIN_MS = 60_000;

/**
 * A job that loses its connections again and again: a day's worth of a bad network. Each round ends the connection in which it reads the
 * log and waits until a row that was written meanwhile is in Doris.
 */
export class Reconnects {
  readonly #world: EndToEnd;
  readonly #place: Place;
  #ids = 0;

  private constructor(world: EndToEnd, place: Place) {
    this.#world = world;
    this.#place = place;
  }

  static async open(world: EndToEnd): Promise<Reconnects> {
    const place = await world.place('lines');
    await place.sql('CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))');
    await place.createJob('lines', 't');
    const reconnects = new Reconnects(world, place);
    await reconnects.#arrived();
    return reconnects;
  }

  /** Ends the job's connection `rounds` times. */
  async ofSource(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      for (const deadline = Date.now() + WITHIN_MS; (await this.#killReaders()) === 0;) {
        if (Date.now() > deadline) throw new Error('the job does not come back');
        await sleep(20);
      }
      await this.#arrived();
    }
  }

  /** Clients that connect, ask, and go: politely, or without a word. */
  async ofClients(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      const client = await this.#world.proxy.connect();
      await client.query('SELECT 1');
      if (i % 2 === 0) await client.end();
      else client.destroy();
    }
  }

  async close(): Promise<void> {
    await this.#place.same('t');
    await this.#place.dropJob('lines');
  }

  async #killReaders(): Promise<number> {
    const { source } = this.#world;
    if (source.kind === 'postgres') {
      const killed = await source.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'`,
      );
      return killed.length;
    }
    const readers = await source.query<{ readonly Id: string }>(
      `SELECT ID AS Id FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'`,
    );
    for (const { Id } of readers) {
      // It may be gone by now.
      await source.exec(`KILL ${Id}`).catch(() => undefined);
    }
    return readers.length;
  }

  async #arrived(): Promise<void> {
    const id = ++this.#ids;
    await this.#place.sql(`INSERT INTO t VALUES (${id}, 'row')`);
    for (const deadline = Date.now() + WITHIN_MS; ;) {
      const [rows] = await this.#world.client.query<RowDataPacket[]>(
        `SELECT COUNT(*) AS n FROM ${this.#place.target}.t`,
      );
      if (Number(rows[0]?.['n']) === id) return;
      if (Date.now() > deadline) throw new Error(`row ${id} does not arrive`);
      await sleep(20);
    }
  }
}
