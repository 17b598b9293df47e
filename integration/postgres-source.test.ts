import { describe, expect, test, vi } from 'vitest';
import type { TableSpec } from '../src/model/table.ts';
import {
  ALL,
  copied,
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
    'upper-case, quoted and odd names; composite keys in index order; excluded columns',
    async () => {
      await fixture.schema(
        'Odd "Schema"'.replaceAll('"', '""'),
        `CREATE TABLE "My ""Table%_" ("Id" int, "select" text, "Ü b" text, secret text, PRIMARY KEY ("select", "Id"));
       INSERT INTO "My ""Table%_" SELECT i, 'k' || i % 10, 'v' || i, 's' FROM generate_series(1, 100) i;
       CREATE TABLE "MyxTable%_" (id int PRIMARY KEY);`,
      );
      await using source = await fixture.open('Odd "Schema"');
      const name = 'My "Table%_';
      const { tables, replica, from } = await copied(source, {
        include: [name],
        exclude: [],
        targets: { [name]: 'target' },
        excludeColumns: { [name]: ['secret'] },
      });
      const [table] = tables as [TableSpec];
      expect(tables.map((t) => [t.name, t.target])).toEqual([[name, 'target']]);
      expect(table.key).toEqual(['select', 'Id']);
      expect(replica.rows(table).size).toBe(100);
      const q = `"Odd ""Schema"""."My ""Table%_"`;
      await fixture.server.query(
        `UPDATE ${q} SET "Ü b" = 'new' WHERE "Id" = 5; UPDATE ${q} SET "Id" = 1000 WHERE "Id" = 6; DELETE FROM ${q} WHERE "Id" = 7`,
      );
      await using stream = await source.openStream(tables, from);
      await replica.follow(stream, await source.latestPosition());
      expect(replica.row(table, 'k5', 5)).toEqual({ Id: 5, select: 'k5', 'Ü b': 'new' });
      expect(replica.rows(table)).toEqual((await copyOf(source, tables)).rows(table));
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'several tables, partitions, inheritance, changing while they are copied',
    async () => {
      await fixture.schema(
        'many',
        `CREATE TABLE p (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
       CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a');
       CREATE TABLE p_b PARTITION OF p FOR VALUES IN ('b') PARTITION BY RANGE (id);
       CREATE TABLE p_b1 PARTITION OF p_b FOR VALUES FROM (0) TO (500);
       CREATE TABLE p_b2 PARTITION OF p_b FOR VALUES FROM (500) TO (100000);
       CREATE TABLE parent (id int PRIMARY KEY, v text);
       CREATE TABLE child (w int, PRIMARY KEY (id)) INHERITS (parent);
       INSERT INTO p SELECT i, CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, 'v' || i FROM generate_series(1, 1000) i;
       INSERT INTO parent SELECT i, 'p' FROM generate_series(1, 100) i;
       INSERT INTO child SELECT i, 'c', i FROM generate_series(1, 100) i;`,
      );
      await using source = await fixture.open('many');
      const tables = await source.preflight(ALL);
      expect(tables.map((t) => t.name)).toEqual(['child', 'p', 'parent']);
      const from = await source.safePosition();
      const replica = new Replica();
      const stop = new AbortController();
      let written = 0;
      const writer = (async () => {
        const client = await fixture.server.connect();
        for (let i = 0; !stop.signal.aborted; i++, written++) {
          const id = 1 + ((i * 7) % 1000);
          await client.query(`UPDATE many.p SET v = 'u${i}' WHERE id = ${id}`);
          await client.query(
            `UPDATE many.p SET region = CASE region WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = ${id + 1}`,
          );
          await client.query(`DELETE FROM many.p WHERE id = ${id + 2}`);
          await client.query(
            `INSERT INTO many.p VALUES (${id + 2}, 'a', 'again') ON CONFLICT DO NOTHING`,
          );
          await client.query(
            `UPDATE many.child SET w = w + 1 WHERE id = ${1 + (i % 100)}; UPDATE many.parent SET v = 'x${i}'`,
          );
        }
        await client.end();
      })();
      // Between any two splits every table changes, however the two processes are scheduled.
      const changed = async (): Promise<void> => {
        const round = written;
        await Promise.race([
          vi.waitFor(() => expect(written).toBeGreaterThan(round), {
            timeout: 20_000,
            interval: 2,
          }),
          writer,
        ]);
      };
      const splits = await replica.copy(source, tables, 50, changed);
      expect(splits).toBeGreaterThan(20);
      stop.abort();
      await writer;
      await using stream = await source.openStream(tables, from);
      await replica.follow(stream, await source.latestPosition());
      const now = await copyOf(source, tables);
      for (const table of tables) expect(replica.rows(table)).toEqual(now.rows(table));
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'unchanged TOAST values keep their value, whatever happens around them',
    async () => {
      await fixture.schema(
        'toast',
        `CREATE TABLE d (id int PRIMARY KEY, n int, big text, big2 bytea NOT NULL);
       ALTER TABLE d ALTER big SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL;
       CREATE TABLE f (id int PRIMARY KEY, n int, big text);
       ALTER TABLE f REPLICA IDENTITY FULL, ALTER big SET STORAGE EXTERNAL;
       CREATE TABLE p (id int PRIMARY KEY, n int, big text) PARTITION BY RANGE (id);
       ALTER TABLE p ALTER big SET STORAGE EXTERNAL;
       CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100);
       ALTER TABLE ONLY p REPLICA IDENTITY FULL;
       INSERT INTO p SELECT i, 0, repeat('b' || i, 3000) FROM generate_series(1, 9) i;
       INSERT INTO d SELECT i, 0, repeat('b' || i, 3000), decode(repeat('0' || i, 9000), 'hex') FROM generate_series(1, 9) i;
       INSERT INTO f SELECT i, 0, repeat('b' || i, 3000) FROM generate_series(1, 9) i;`,
      );
      await using source = await fixture.open('toast');
      const { tables, replica, from } = await copied(source);
      const [d, f, p] = tables as [TableSpec, TableSpec, TableSpec];
      await fixture.server.query(
        'UPDATE toast.d SET n = 1 WHERE id = 1; UPDATE toast.f SET n = 1 WHERE id = 1; UPDATE toast.p SET n = 1, id = 11 WHERE id = 1',
      );
      await using stream = await source.openStream(tables, from);
      await replica.follow(stream, await source.latestPosition());
      expect(replica.row(d, 1)).toMatchObject({ n: 1, big: 'b1'.repeat(3000) });
      expect(replica.row(f, 1)).toMatchObject({ n: 1, big: 'b1'.repeat(3000) });
      expect(replica.row(p, 11)).toMatchObject({ n: 1, big: 'b1'.repeat(3000) });
      // One transaction that writes the value and then leaves it alone; a changed key; a later delete.
      await fixture.server.query(
        `BEGIN; UPDATE toast.d SET big = repeat('new', 2000) WHERE id = 2; UPDATE toast.d SET n = 2 WHERE id = 2; COMMIT`,
      );
      await fixture.server.query(
        `UPDATE toast.d SET id = 103, n = 3 WHERE id = 3; UPDATE toast.f SET id = 103 WHERE id = 3`,
      );
      await fixture.server.query(
        `UPDATE toast.d SET n = 4 WHERE id = 4; DELETE FROM toast.d WHERE id = 4`,
      );
      await fixture.server.query(
        `UPDATE toast.d SET n = 5 WHERE id = 5; UPDATE toast.d SET big = 'short' WHERE id = 5`,
      );
      await fixture.server.query(
        `UPDATE toast.d SET n = 6 WHERE id = 6; DELETE FROM toast.d WHERE id = 6; INSERT INTO toast.d VALUES (6, 66, 'x', 'y')`,
      );
      await fixture.server.query(
        `UPDATE toast.d SET n = 7 WHERE id = 7; UPDATE toast.d SET id = 107 WHERE id = 7; UPDATE toast.d SET n = 77 WHERE id = 107`,
      );
      // One transaction a batch: every state in between is seen, and rows are read ahead of the log.
      const position = await source.latestPosition();
      await replica.follow(stream, position, { ...LIMIT, rowsMax: 1 });
      const now = await copyOf(source, tables);
      for (const table of tables) expect(replica.rows(table)).toEqual(now.rows(table));
      // Replayed from the start, in one go: as after a crash.
      await stream[Symbol.asyncDispose]();
      expect(await fixture.slotLsn()).toBeGreaterThan(lsnOf(from));
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'generated columns are right although the log may lack them',
    async () => {
      const virtual = version >= 18 ? ', v int GENERATED ALWAYS AS (a * 3) VIRTUAL' : '';
      await fixture.schema(
        'gen',
        `CREATE TABLE t (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED${virtual});`,
      );
      await using source = await fixture.open('gen');
      const { tables, replica, from } = await copied(source);
      await fixture.server.query(
        `INSERT INTO gen.t (id, a) SELECT i, i FROM generate_series(1, 1200) i; UPDATE gen.t SET a = 100 WHERE id = 1; DELETE FROM gen.t WHERE id = 2`,
      );
      await using stream = await source.openStream(tables, from);
      await replica.follow(stream, await source.latestPosition());
      expect(replica.row(tables[0]!, 1)).toEqual({
        id: 1,
        a: 100,
        g: 200,
        ...(version >= 18 ? { v: 300 } : {}),
      });
      expect(replica.rows(tables[0]!)).toEqual((await copyOf(source, tables)).rows(tables[0]!));
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'replica identity FULL and by an index; refused where it lacks the key',
    async () => {
      await fixture.schema(
        'ident',
        `CREATE TABLE full_t (id int PRIMARY KEY, v text NOT NULL, a int[]);
       ALTER TABLE full_t REPLICA IDENTITY FULL;
       CREATE TABLE idx (id int PRIMARY KEY, x int NOT NULL, v text NOT NULL);
       CREATE UNIQUE INDEX idx_both ON idx (x, id);
       ALTER TABLE idx REPLICA IDENTITY USING INDEX idx_both;`,
      );
      await using source = await fixture.open('ident');
      const { tables, replica, from } = await copied(source);
      await fixture.server.query(
        `INSERT INTO ident.full_t VALUES (1, 'a', '{1}'), (2, 'b', NULL), (3, 'c', NULL);
       UPDATE ident.full_t SET v = 'aa' WHERE id = 1; UPDATE ident.full_t SET id = 20 WHERE id = 2; DELETE FROM ident.full_t WHERE id = 3;
       INSERT INTO ident.idx VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (4, 4, 'd');
       UPDATE ident.idx SET v = 'aa' WHERE id = 1; UPDATE ident.idx SET x = 20 WHERE id = 2; UPDATE ident.idx SET id = 30 WHERE id = 3;
       DELETE FROM ident.idx WHERE id = 4;`,
      );
      await using stream = await source.openStream(tables, from);
      await replica.follow(stream, await source.latestPosition());
      const now = await copyOf(source, tables);
      for (const table of tables) expect(replica.rows(table)).toEqual(now.rows(table));
      expect(replica.rows(tables[0]!).size + replica.rows(tables[1]!).size).toBe(5);
      await stream[Symbol.asyncDispose]();
      await source.release();
      await fixture.server
        .query(`CREATE TABLE ident.bad (id int PRIMARY KEY, x int NOT NULL UNIQUE); ALTER TABLE ident.bad REPLICA IDENTITY USING INDEX bad_x_key;
      CREATE TABLE ident.nothing (id int PRIMARY KEY); ALTER TABLE ident.nothing REPLICA IDENTITY NOTHING`);
      const error = await failure(source.preflight(ALL));
      expect(error.code).toBe('SOURCE_TABLE');
      expect(error.message).toContain(
        'the replica identity of ident.bad does not hold the primary key (id)',
      );
      expect(error.message).toContain(
        'the replica identity of ident.nothing does not hold the primary key (id)',
      );
    },
  );

  test.runIf(fixture.here)(
    'TRUNCATE is a barrier between what came before it and after it',
    async () => {
      await fixture.schema(
        'trunc',
        `CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a); CREATE TABLE c (id int PRIMARY KEY);
      INSERT INTO a SELECT generate_series(1, 5); INSERT INTO c VALUES (1)`,
      );
      await using source = await fixture.open('trunc');
      const { tables, replica, from } = await copied(source);
      await fixture.server.query(
        'BEGIN; INSERT INTO trunc.a VALUES (6); TRUNCATE trunc.a CASCADE; INSERT INTO trunc.a VALUES (7); COMMIT',
      );
      await fixture.server.query('TRUNCATE trunc.c; INSERT INTO trunc.c VALUES (2)');
      const stream = await source.openStream(tables, from);
      const first = await replica.step(stream);
      expect(first.barrier?.tables.map((t) => t.name)).toEqual(['a', 'b']);
      expect(first.to).toMatchObject({ event: 1 });
      expect(first.barrier?.after).toMatchObject({ event: 2 });
      // Killed here: the next stream begins behind the barrier, inside the transaction.
      await stream[Symbol.asyncDispose]();
      await using next = await source.openStream(tables, first.barrier!.after);
      await replica.follow(next, await source.latestPosition());
      const now = await copyOf(source, tables);
      for (const table of tables) expect(replica.rows(table)).toEqual(now.rows(table));
      expect(replica.rows(tables[0]!).size).toBe(1);
      await next[Symbol.asyncDispose]();
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'a commit that is in the log and not visible yet is waited for',
    async () => {
      await fixture.schema(
        'sync',
        `CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
      INSERT INTO t SELECT i, 0, repeat('old', 3000) FROM generate_series(1, 3) i`,
      );
      await using source = await fixture.open('sync');
      const { tables, replica, from } = await copied(source);
      await using stream = await source.openStream(tables, from);
      await replica.follow(stream, await source.latestPosition());
      const client = await fixture.server.connect();
      await fixture.server.query(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
      await fixture.server.query('SELECT pg_reload_conf()');
      await expect
        .poll(async () => (await fixture.server.query('SHOW synchronous_standby_names'))[0])
        .toEqual({ synchronous_standby_names: 'nobody' });
      // Writes the value, then leaves it alone; in the log at once, visible only when the standby is given up.
      const writing = client.query(
        `BEGIN; UPDATE sync.t SET big = repeat('new', 3000) WHERE id = 1; UPDATE sync.t SET n = 1 WHERE id = 1; COMMIT`,
      );
      const reading = replica.step(stream, { ...LIMIT, idleMs: 20_000 });
      await new Promise((resolve) => setTimeout(resolve, 1000));
      // A job that begins now must wait for it too: its slot begins behind that commit.
      await using late = await fixture.open('sync');
      await late.preflight(ALL);
      let safe = false;
      const position = late.safePosition().finally(() => (safe = true));
      await new Promise((resolve) => setTimeout(resolve, 1000));
      expect(safe).toBe(false);
      await fixture.server.query('SET synchronous_commit = local');
      await fixture.server.query(`ALTER SYSTEM RESET synchronous_standby_names`);
      await fixture.server.query('SELECT pg_reload_conf()');
      await writing;
      await reading;
      expect(replica.row(tables[0]!, 1)).toEqual({ id: 1, n: 1, big: 'new'.repeat(3000) });
      const lateReplica = new Replica();
      await position;
      await lateReplica.copy(late, tables);
      expect(lateReplica.row(tables[0]!, 1)).toEqual({ id: 1, n: 1, big: 'new'.repeat(3000) });
      await client.end();
      await late.release();
      await stream[Symbol.asyncDispose]();
      await source.release();
    },
  );
});
