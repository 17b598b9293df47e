import { describe, expect, test } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import type { Position } from '../src/model/offset.ts';
import {
  ALL,
  copyOf,
  failure,
  lsnOf,
  POSTGRES_VERSIONS,
  PostgresFixture,
} from './support/postgres-fixture.ts';
import { LIMIT, Replica } from './support/postgres-replica.ts';

describe.each(POSTGRES_VERSIONS)('Postgres %i', (version) => {
  const fixture = new PostgresFixture(version);

  test.runIf(fixture.here)(
    'a position inside a transaction is found again, and a range is read again exactly',
    async () => {
      await fixture.schema(
        'parts',
        `CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY);`,
      );
      await using source = await fixture.open('parts');
      const tables = await source.preflight({ ...ALL, include: ['t'] });
      const from = await source.latestPosition();
      await fixture.server.query(
        `INSERT INTO parts.t SELECT i, 'one' FROM generate_series(1, 10) i`,
      );
      await fixture.server.query(
        `INSERT INTO parts.t SELECT i, 'big' FROM generate_series(11, 1000) i`,
      );
      await fixture.server.query(`UPDATE parts.t SET v = 'three' WHERE id <= 500`);
      const end = await source.latestPosition();
      const limit = { ...LIMIT, rowsMax: 300 };
      const replica = new Replica();
      const cuts: Position[] = [from];
      // Every step over a new connection: as if the process were killed after each load.
      for (let at = from; lsnOf(at) < lsnOf(end);) {
        await using stream = await source.openStream(tables, at);
        at = (await replica.step(stream, limit)).to;
        cuts.push(at);
      }
      const now = await copyOf(source, tables);
      expect(replica.rows(tables[0]!)).toEqual(now.rows(tables[0]!));
      expect(cuts.filter((p) => p.kind === 'postgres' && p.event > 0).length).toBeGreaterThan(3);
      await source.release();
      // The same ranges again, from a slot that still has them: each gives the bytes that it gave.
      await using again = await fixture.open('parts');
      await again.preflight({ ...ALL, include: ['t'] });
      const start = await again.latestPosition();
      await fixture.server.query(
        `UPDATE parts.t SET v = 'again' WHERE id <= 700; DELETE FROM parts.t WHERE id > 900`,
      );
      await fixture.server.query(`INSERT INTO parts.t VALUES (5000, 'last')`);
      const bodies: string[] = [];
      const places: Position[] = [start];
      {
        await using stream = await again.openStream(tables, start);
        const goal = await again.latestPosition();
        const batch = new Batch();
        for (let at = start; lsnOf(at) < lsnOf(goal);) {
          at = (await stream.fill(batch, limit, AbortSignal.timeout(20_000))).to;
          places.push(at);
          bodies.push(
            batch
              .bodies()
              .map((b) => Buffer.concat(b.body).toString())
              .join('|'),
          );
          batch.reset();
        }
      }
      expect(places.length).toBeGreaterThan(3);
      for (let i = 0; i + 1 < places.length; i++) {
        await using stream = await again.openStream(tables, places[i]!);
        const batch = new Batch();
        const until = {
          rowsMax: Infinity,
          bytesMax: Infinity,
          ageMs: 0,
          idleMs: 100,
          until: places[i + 1]!,
        };
        const fill = await stream.fill(batch, until, AbortSignal.timeout(20_000));
        expect(fill.to).toEqual(places[i + 1]);
        expect(
          batch
            .bodies()
            .map((b) => Buffer.concat(b.body).toString())
            .join('|'),
        ).toBe(bodies[i]);
      }
      await again.release();
    },
  );

  test.runIf(fixture.here)(
    'adjacent commits: what is confirmed is the commit and not a byte more (§4.5.1)',
    async () => {
      await fixture.schema('adjacent', `CREATE TABLE t (id int PRIMARY KEY, v text);`);
      await using source = await fixture.open('adjacent');
      const tables = await source.preflight(ALL);
      const from = await source.latestPosition();
      await Promise.all(
        Array.from({ length: 8 }, async (_, c) => {
          const client = await fixture.server.connect();
          for (let i = 0; i < 15; i++)
            await client.query(`INSERT INTO adjacent.t VALUES (${c * 1000 + i}, 'x')`);
          await client.end();
        }),
      );
      const end = lsnOf(await source.latestPosition());
      const replica = new Replica();
      let [at, steps] = [from, 0];
      while (lsnOf(at) < end) {
        await using stream = await source.openStream(tables, at);
        const fill = await replica.step(stream, { ...LIMIT, rowsMax: 1 });
        at = fill.to;
        // The server has taken the word before the connection is cut.
        await expect.poll(() => fixture.slotLsn(), { interval: 2 }).toBe(lsnOf(at));
        steps++;
      }
      expect(steps).toBeGreaterThanOrEqual(120);
      expect(replica.rows(tables[0]!).size).toBe(120);
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'nothing is confirmed before acknowledge; an idle job on a busy server lets WAL go',
    async () => {
      await fixture.schema(
        'idle',
        `CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE busy (id int, v text);`,
      );
      await using source = await fixture.open('idle');
      const tables = await source.preflight({ ...ALL, include: ['t'] });
      const from = await source.latestPosition();
      const before = await fixture.slotLsn();
      await using stream = await source.openStream(tables, from);
      await fixture.server.query('INSERT INTO idle.t VALUES (1)');
      const batch = new Batch();
      const fill = await stream.fill(batch, LIMIT, AbortSignal.timeout(10_000));
      expect(batch.rows).toBe(1);
      // wal_sender_timeout is 3 s: status messages keep the stream alive and confirm nothing new.
      await new Promise((resolve) => setTimeout(resolve, 4000));
      expect(await fixture.slotLsn()).toBeLessThanOrEqual(lsnOf(from));
      expect(await fixture.slotLsn()).toBeGreaterThanOrEqual(before);
      stream.acknowledge(fill.to);
      await fixture.server.query(
        `INSERT INTO idle.busy SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i`,
      );
      const busy = lsnOf(await source.latestPosition());
      batch.reset();
      for (let lsn = 0n; lsn < busy;) {
        const { to } = await stream.fill(batch, LIMIT, AbortSignal.timeout(10_000));
        expect(batch.rows).toBe(0);
        stream.acknowledge(to);
        lsn = lsnOf(to);
      }
      await expect.poll(() => fixture.slotLsn()).toBeGreaterThanOrEqual(busy);
      expect(await source.lagBytes(await source.latestPosition())).toBeLessThan(100_000);
      await stream[Symbol.asyncDispose]();
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'DDL on a table stops the stream behind what came before it, by name',
    async () => {
      const cases = [
        ['ALTER TABLE ddl.t ADD x int', 'table ddl.t: column x was added'],
        ['ALTER TABLE ddl.t DROP b', 'table ddl.t: column b was dropped'],
        ['ALTER TABLE ddl.t RENAME b TO bb', 'column bb was added, column b was dropped'],
        [
          'ALTER TABLE ddl.t ALTER b TYPE bigint USING 1',
          'column b changed from character varying(10) to bigint',
        ],
        ['ALTER TABLE ddl.t RENAME TO t2', 'ddl.t was renamed to ddl.t2'],
      ] as const;
      for (const [sql, text] of cases) {
        await fixture.server.query('DROP SCHEMA IF EXISTS ddl CASCADE');
        await fixture.schema(
          'ddl',
          'CREATE TABLE t (id int PRIMARY KEY, b varchar(10), "dropped" int); ALTER TABLE t DROP "dropped"',
        );
        await using source = await fixture.open('ddl');
        const tables = await source.preflight(ALL);
        const from = await source.latestPosition();
        await using stream = await source.openStream(tables, from);
        await fixture.server.query(`INSERT INTO ddl.t VALUES (1)`);
        await fixture.server.query(sql);
        const name = sql.includes('TO t2') ? 't2' : 't';
        await fixture.server.query(`INSERT INTO ddl.${name} VALUES (2)`);
        const replica = new Replica();
        const error = await failure(replica.follow(stream, await source.latestPosition()));
        expect(error.code).toBe('SOURCE_DDL');
        expect(error.message).toContain(text);
        expect(replica.rows(tables[0]!).size).toBe(1);
        await stream[Symbol.asyncDispose]();
        await source.release();
      }
      // Wider, but the same in Doris: no reason to stop.
      await fixture.server.query('DROP SCHEMA ddl CASCADE');
      await fixture.schema('ddl', 'CREATE TABLE t (id int PRIMARY KEY, b varchar(10))');
      await using source = await fixture.open('ddl');
      const tables = await source.preflight(ALL);
      await using stream = await source.openStream(tables, await source.latestPosition());
      await fixture.server.query(
        `ALTER TABLE ddl.t ALTER b TYPE varchar(20); INSERT INTO ddl.t VALUES (1, repeat('x', 20))`,
      );
      const replica = new Replica();
      await replica.follow(stream, await source.latestPosition());
      expect(replica.row(tables[0]!, 1)).toEqual({ id: 1, b: 'x'.repeat(20) });
      await fixture.server.query('DROP TABLE ddl.t');
      const error = await failure(source.openStream(tables, await source.latestPosition()));
      expect([error.code, error.message]).toEqual([
        'SOURCE_DDL',
        expect.stringContaining('table ddl.t does not exist any more'),
      ]);
      await stream[Symbol.asyncDispose]();
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'a reader that is not read from for longer than wal_sender_timeout keeps its stream and its bound',
    async () => {
      await fixture.schema('slow', 'CREATE TABLE t (id int PRIMARY KEY, v text)');
      await using source = await fixture.open('slow');
      const tables = await source.preflight(ALL);
      const from = await source.latestPosition();
      await using stream = await source.openStream(tables, from);
      // 40 MB: several times what the queue takes, so the socket is paused, and keep-alives are not even read.
      await fixture.server.query(
        `INSERT INTO slow.t SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i`,
      );
      const before = process.memoryUsage().arrayBuffers;
      await new Promise((resolve) => setTimeout(resolve, 4000));
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(24 << 20);
      const replica = new Replica();
      await replica.follow(stream, await source.latestPosition());
      expect(replica.rows(tables[0]!).size).toBe(40_000);
      await stream[Symbol.asyncDispose]();
      await source.release();
    },
  );
});
