import { describe, expect, test } from 'vitest';
import type { Position } from '../src/model/offset.ts';
import { tableId, type TableSpec } from '../src/model/table.ts';
import type { ChangeStream } from '../src/source/source.ts';
import type { PostgresSource } from '../src/source/postgres/postgres-source.ts';
import {
  ALL,
  copied,
  copyOf,
  failure,
  POSTGRES_VERSIONS,
  PostgresFixture,
} from './support/postgres-fixture.ts';
import { LIMIT, type Replica } from './support/postgres-replica.ts';

/** Takes what comes with the batches behind the log. */
async function settle(replica: Replica, stream: ChangeStream): Promise<void> {
  while ((await replica.step(stream, { ...LIMIT, idleMs: 1 })).barrier !== undefined);
}

/** A job that is started anew for each look, as after a pause: what it knows is what was recorded. */
class Follower {
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

const PARTITIONED = `CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
  CREATE TABLE p_0 PARTITION OF p FOR VALUES FROM (0) TO (100);
  CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
  CREATE TABLE p_10 PARTITION OF p_1 FOR VALUES FROM (100) TO (150);
  CREATE TABLE p_15 PARTITION OF p_1 FOR VALUES FROM (150) TO (200);
  INSERT INTO p SELECT i, 'old' FROM generate_series(1, 199) i`;

describe.each(POSTGRES_VERSIONS)('Postgres %i', (version) => {
  const fixture = new PostgresFixture(version);
  const sql = async (text: string): Promise<void> => void (await fixture.server.query(text));

  test.runIf(fixture.here)(
    'a unique index over NOT NULL columns stands in for a primary key, by both roads',
    async () => {
      await fixture.schema(
        'uniq',
        `CREATE TABLE two (a int NOT NULL, b text NOT NULL, c int NOT NULL, v text, UNIQUE (c, v));
         CREATE UNIQUE INDEX two_ba ON two (b, a) INCLUDE (v); CREATE UNIQUE INDEX two_c ON two (a, b, c);
         CREATE UNIQUE INDEX two_some ON two (a) WHERE b = 'x'; CREATE UNIQUE INDEX two_sum ON two ((c + 1));
         ALTER TABLE two REPLICA IDENTITY USING INDEX two_ba;
         CREATE TABLE whole (id int NOT NULL UNIQUE, v text); ALTER TABLE whole REPLICA IDENTITY FULL;
         CREATE TABLE chosen (a int NOT NULL UNIQUE, b int NOT NULL UNIQUE, v text);
         ALTER TABLE chosen REPLICA IDENTITY USING INDEX chosen_b_key;
         CREATE TABLE p (id int NOT NULL, v text, UNIQUE (id)) PARTITION BY RANGE (id);
         CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100);
         INSERT INTO two SELECT i % 7, 'b' || i, i, 'v' || i FROM generate_series(1, 50) i;
         INSERT INTO whole SELECT i, 'w' || i FROM generate_series(1, 50) i;
         INSERT INTO chosen SELECT -i, i, 'x' FROM generate_series(1, 50) i;
         INSERT INTO p SELECT i, 'p' FROM generate_series(1, 50) i`,
      );
      await using source = await fixture.open('uniq');
      const refused = await failure(source.preflight(ALL));
      expect(refused.code).toBe('SOURCE_TABLE');
      expect(refused.message).toBe(
        'table uniq.p has no primary key; its unique index p_id_key (id) can be the key once the server logs it: ' +
          'ALTER TABLE uniq.p REPLICA IDENTITY USING INDEX p_id_key; ALTER TABLE uniq.p_1 REPLICA IDENTITY USING INDEX p_1_id_key',
      );
      await sql(refused.message.slice(refused.message.indexOf('ALTER TABLE')));
      const job = await Follower.open(source);
      expect(job.tables.map(({ name, key, keyIndex }) => [name, key, keyIndex])).toEqual([
        ['chosen', ['b'], 'chosen_b_key'],
        ['p', ['id'], 'p_id_key'],
        ['two', ['b', 'a'], 'two_ba'],
        ['whole', ['id'], 'whole_id_key'],
      ]);
      await sql(
        `UPDATE uniq.two SET v = 'new' WHERE c = 1; UPDATE uniq.two SET a = 100 WHERE c = 2; UPDATE uniq.two SET b = 'moved' WHERE c = 3;
         DELETE FROM uniq.two WHERE c = 4; INSERT INTO uniq.two VALUES (1, 'more', 51, NULL);
         UPDATE uniq.whole SET v = NULL WHERE id = 1; UPDATE uniq.whole SET id = 100 WHERE id = 2; DELETE FROM uniq.whole WHERE id = 3;
         UPDATE uniq.chosen SET a = 1 WHERE b = 1; UPDATE uniq.chosen SET b = 100 WHERE b = 2; DELETE FROM uniq.chosen WHERE b = 3;
         UPDATE uniq.p SET v = 'q' WHERE id = 1; UPDATE uniq.p SET id = 99 WHERE id = 2; DELETE FROM uniq.p WHERE id = 3`,
      );
      await job.follow();
      await job.same();
      // A new partition logs no old keys: rows may be inserted, and the server takes no other change until it does.
      await sql(
        `CREATE TABLE uniq.p_2 PARTITION OF uniq.p FOR VALUES FROM (100) TO (200); INSERT INTO uniq.p VALUES (100, 'a'), (101, 'b')`,
      );
      await job.follow();
      await job.same();
      await expect(sql('DELETE FROM uniq.p WHERE id = 100')).rejects.toThrow('replica identity');
      await sql(
        `ALTER TABLE uniq.p_2 REPLICA IDENTITY USING INDEX p_2_id_key; DELETE FROM uniq.p WHERE id = 100; UPDATE uniq.p SET id = 102 WHERE id = 101`,
      );
      await job.follow();
      await job.same();
      // Without the index rows may be there twice: nothing in the log says that it went.
      await sql('DROP INDEX uniq.two_c; ALTER TABLE uniq.whole DROP CONSTRAINT whole_id_key');
      const dropped = await failure(job.follow());
      expect([dropped.code, dropped.message]).toEqual([
        'SOURCE_DDL',
        expect.stringContaining('the unique index whole_id_key of uniq.whole was dropped'),
      ]);
      await sql('ALTER TABLE uniq.whole ADD UNIQUE (id)');
      await job.follow();
      // Found by the log, too: the server describes the table again before its next row.
      {
        await using stream = await source.openStream(job.tables, job.at);
        await sql(`INSERT INTO uniq.whole VALUES (200, 'a')`);
        await job.replica.follow(stream, await source.latestPosition());
        await sql(
          `ALTER TABLE uniq.whole DROP CONSTRAINT whole_id_key; INSERT INTO uniq.whole VALUES (200, 'b')`,
        );
        const seen = await failure(
          (async () => job.replica.follow(stream, await source.latestPosition()))(),
        );
        expect(seen.message).toContain('the unique index whole_id_key of uniq.whole was dropped');
      }
      await sql('ALTER TABLE uniq.two REPLICA IDENTITY DEFAULT');
      await using again = await fixture.open('uniq');
      expect((await failure(again.preflight({ ...ALL, include: ['two'] }))).message).toContain(
        'ALTER TABLE uniq.two REPLICA IDENTITY USING INDEX two_ba',
      );
      await source.release();
    },
  );

  test.runIf(fixture.here)('what is no key is refused, and why', async () => {
    const unchecked = version >= 18 ? ', CONSTRAINT nn NOT NULL id' : '';
    await fixture.schema(
      'nokey',
      `CREATE TABLE nullable (id int UNIQUE); CREATE TABLE late (id int NOT NULL UNIQUE DEFERRABLE);
       CREATE TABLE part (id int NOT NULL); CREATE UNIQUE INDEX ON part (id) WHERE id > 0;
       CREATE TABLE made (a int, g int GENERATED ALWAYS AS (a + 1) STORED NOT NULL PRIMARY KEY);
       CREATE TABLE carried (id int PRIMARY KEY, x int NOT NULL);
       CREATE UNIQUE INDEX carried_x ON carried (x) INCLUDE (id); ALTER TABLE carried REPLICA IDENTITY USING INDEX carried_x;
       CREATE TABLE un (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE UNLOGGED TABLE un_1 PARTITION OF un FOR VALUES FROM (0) TO (100);
       CREATE TABLE unchecked (id int UNIQUE); ${unchecked === '' ? '' : 'ALTER TABLE unchecked ADD CONSTRAINT nn NOT NULL id NOT VALID'}`,
    );
    await using source = await fixture.open('nokey');
    const { message } = await failure(source.preflight(ALL));
    const lines = message.split('\n');
    expect(lines).toContain(
      'The following tables do not have primary key defined: late, nullable, part, unchecked',
    );
    expect(lines).toContain(
      'partitions that are unlogged or foreign tables are not in the log: nokey.un',
    );
    expect(message).toContain(
      'the replica identity of nokey.carried does not hold the primary key (id)',
    );
    expect(message.includes('the key of nokey.made has generated columns (g)')).toBe(version < 18);
  });

  test.runIf(fixture.here)(
    'partitions that come while the job runs, and while it does not, are copied and followed',
    async () => {
      await fixture.schema('grow', PARTITIONED);
      await using source = await fixture.open('grow');
      const job = await Follower.open(source);
      // New and empty, filled before anybody looks; a table of its own that had rows before it was attached.
      await sql(
        `CREATE TABLE grow.p_2 PARTITION OF grow.p FOR VALUES FROM (200) TO (300);
         INSERT INTO grow.p VALUES (200, 'new'), (201, 'new'); UPDATE grow.p SET v = 'newer' WHERE id = 201;
         UPDATE grow.p SET id = 202 WHERE id = 1;
         CREATE TABLE grow.apart (v text, id int PRIMARY KEY);
         INSERT INTO grow.apart SELECT 'before', i FROM generate_series(300, 350) i;
         ALTER TABLE grow.p ATTACH PARTITION grow.apart FOR VALUES FROM (300) TO (400);
         DELETE FROM grow.p WHERE id = 300; UPDATE grow.p SET v = 'after' WHERE id = 301`,
      );
      await job.follow();
      await job.same();
      const parts = Object.values(job.tables[0]!.parts!).map((mark) => mark.split(' ')[1]);
      expect(parts).toEqual(['grow.p_0', 'grow.p_10', 'grow.p_15', 'grow.p_2', 'grow.apart']);
      const attach = (name: string, from: number): Promise<void> =>
        sql(
          `CREATE TABLE grow.${name} (id int PRIMARY KEY, v text); INSERT INTO grow.${name} SELECT i, 'm' FROM generate_series(${from}, ${from + 20}) i;
           ALTER TABLE grow.p ATTACH PARTITION grow.${name} FOR VALUES FROM (${from}) TO (${from + 100}); INSERT INTO grow.p VALUES (${from + 30}, 'x')`,
        );
      // The log shows the table as it was before, and the connection may take that for ever.
      await attach('moved', 400);
      {
        await using stream = await source.openStream(job.tables, job.at);
        await job.replica.follow(stream, await source.latestPosition());
        await settle(job.replica, stream);
        await sql(
          `INSERT INTO grow.p VALUES (431, 'y'); UPDATE grow.p SET v = 'z' WHERE id = 400; DELETE FROM grow.p WHERE id = 401`,
        );
        // While it runs: the first row of an unknown relation is what makes it look, where the server tells of one.
        await attach('late', 700);
        job.at = await job.replica.follow(stream, await source.latestPosition());
        await settle(job.replica, stream);
        if (version >= 15) await job.same();
        job.tables = job.tables.map((table) => job.replica.noted.get(tableId(table)) ?? table);
      }
      await job.follow();
      await job.same();
      // Gone before it was ever seen: its rows are in the log, and not in the table.
      await sql(
        `CREATE TABLE grow.brief PARTITION OF grow.p FOR VALUES FROM (500) TO (600);
         INSERT INTO grow.p VALUES (500, 'x'); DROP TABLE grow.brief; INSERT INTO grow.p VALUES (250, 'y')`,
      );
      await job.follow();
      await job.same();
      // All at once is TRUNCATE of the table.
      await sql(`TRUNCATE grow.p; INSERT INTO grow.p VALUES (1, 'again')`);
      await job.follow();
      await job.same();
      expect(job.replica.rows(job.tables[0]!).size).toBe(1);
      await source.release();
    },
  );

  test.runIf(fixture.here).each(['own', 'given'] as const)(
    'rows that go with a partition stop the job once, by name, and it goes on behind it (%s publication)',
    async (whose) => {
      const schema = `shrink_${whose}`;
      await fixture.schema(schema, PARTITIONED);
      const given = { publicationName: `pub_${schema}` };
      if (whose === 'given') {
        await sql(
          `CREATE PUBLICATION ${given.publicationName} FOR TABLE ${schema}.p WITH (publish_via_partition_root = true)`,
        );
      }
      await using source = await fixture.open(schema, whose === 'given' ? given : {});
      const job = await Follower.open(source);
      const stopped = async (text: string): Promise<void> => {
        const stop = await failure(job.follow());
        expect([stop.code, stop.message]).toEqual(['SOURCE_DDL', expect.stringContaining(text)]);
        expect(stop.message).toContain('RESUME JOB');
      };
      await sql(
        `INSERT INTO ${schema}.p VALUES (0, 'before'); TRUNCATE ${schema}.p_0; INSERT INTO ${schema}.p VALUES (5, 'after')`,
      );
      await stopped(
        whose === 'own'
          ? `of table ${schema}.p only a part was truncated (${schema}.p_0): DELETE its rows from the Doris table p`
          : `partition ${schema}.p_0 of ${schema}.p was truncated, or rewritten by VACUUM FULL or CLUSTER`,
      );
      // The log tells its place; without that the stop comes behind all that the log had when it was found.
      expect(job.replica.row(job.tables[0]!, 0)).toBeDefined();
      expect(job.replica.row(job.tables[0]!, 5)).toEqual({
        id: 5,
        v: whose === 'own' ? 'old' : 'after',
      });
      job.remove('p', (id) => id >= 100 || (id === 5 && whose === 'given'));
      await job.follow();
      await job.same();
      await sql(
        `ALTER TABLE ${schema}.p_1 DETACH PARTITION ${schema}.p_15; INSERT INTO ${schema}.p VALUES (6, 'on')`,
      );
      await stopped(`partition ${schema}.p_15 of ${schema}.p was detached or dropped`);
      job.remove('p', (id) => id < 150);
      await job.follow();
      await job.same();
      // Changed where nobody looked, and back again; and one that is dropped.
      await sql(
        `ALTER TABLE ${schema}.p DETACH PARTITION ${schema}.p_0; INSERT INTO ${schema}.p_0 VALUES (7, 'apart'); DELETE FROM ${schema}.p_0 WHERE id = 5;
         ALTER TABLE ${schema}.p ATTACH PARTITION ${schema}.p_0 FOR VALUES FROM (0) TO (100); DROP TABLE ${schema}.p_10`,
      );
      await stopped(`partition ${schema}.p_0 of ${schema}.p was detached and attached again`);
      job.remove('p', (id) => id < 100 && id !== 5);
      await job.follow();
      await job.same();
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'a publication that somebody alters stops the job, and does not let it go on as if nothing was',
    async () => {
      await fixture.schema(
        'pub',
        `${PARTITIONED}; CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)`,
      );
      await using source = await fixture.open('pub');
      const job = await Follower.open(source);
      const name = `doris_pub_${fixture.job}`;
      const refused = async (text: string): Promise<void> => {
        const error = await failure(job.follow());
        expect([error.code, error.failure.cure]).toEqual(['SOURCE_SETTING', 'operator']);
        expect(error.message).toContain(text);
        expect(error.message).toContain('Changes made since are not in the log');
      };
      const noticed = async (): Promise<void> => {
        const error = await failure(job.follow());
        expect([error.code, error.message]).toEqual([
          'SOURCE_DDL',
          expect.stringContaining(`publication ${name} was altered`),
        ]);
        await job.follow();
      };
      await job.follow();
      await sql(`ALTER PUBLICATION ${name} DROP TABLE pub.t`);
      await refused(`publication ${name} is missing required tables: [pub.t]`);
      await sql(`ALTER PUBLICATION ${name} ADD TABLE pub.t`);
      await noticed();
      // Shrunk, and whole again, between two looks.
      await sql(
        `ALTER PUBLICATION ${name} SET TABLE pub.t; INSERT INTO pub.u VALUES (1); ALTER PUBLICATION ${name} ADD TABLE pub.p, pub.u`,
      );
      await noticed();
      await sql(`ALTER PUBLICATION ${name} SET TABLE pub.t, pub.u`);
      await refused(`publication ${name} is missing required tables: [pub.p]`);
      await sql(`ALTER PUBLICATION ${name} ADD TABLE pub.p`);
      await noticed();
      await sql(`ALTER PUBLICATION ${name} SET (publish = 'insert')`);
      await refused('does not publish update, delete, truncate');
      await sql(`ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate')`);
      await noticed();
      await sql(`DROP PUBLICATION ${name}`);
      await refused(`publication does not exist: ${name}`);
      await sql(`CREATE PUBLICATION ${name} FOR TABLE pub.p, pub.t, pub.u`);
      await noticed();
      // Made anew, with the same tables: the same names, and another history. More tables are nothing to stop for.
      await sql(
        `DROP PUBLICATION ${name}; CREATE PUBLICATION ${name} FOR TABLE pub.p, pub.t, pub.u`,
      );
      await noticed();
      await sql(
        `CREATE TABLE pub.more (id int PRIMARY KEY); ALTER PUBLICATION ${name} ADD TABLE pub.more;
         INSERT INTO pub.more VALUES (1); INSERT INTO pub.t VALUES (9)`,
      );
      await job.follow();
      expect(
        job.replica.row(
          job.tables.find((t) => t.name === 't')!,
          9,
        ),
      ).toEqual({ id: 9 });
      await source.release();
    },
  );

  test.runIf(fixture.here)(
    'a publication that lists partitions one by one must list those that come, and then they are copied',
    async () => {
      await fixture.schema('listed', PARTITIONED);
      await sql('CREATE PUBLICATION listed FOR TABLE listed.p_0, listed.p_10');
      await using source = await fixture.open('listed', { publicationName: 'listed' });
      expect((await failure(source.preflight(ALL))).message).toContain(
        'publication listed is missing required tables: [listed.p_15]',
      );
      await sql('ALTER PUBLICATION listed ADD TABLE listed.p_15');
      const job = await Follower.open(source);
      await sql(
        `CREATE TABLE listed.p_2 PARTITION OF listed.p FOR VALUES FROM (200) TO (300);
         INSERT INTO listed.p VALUES (1000 % 800, 'unseen')`,
      );
      const error = await failure(job.follow());
      expect(error.message).toContain('missing required tables: [listed.p_2]');
      await sql('ALTER PUBLICATION listed ADD TABLE listed.p_2');
      await job.follow();
      await job.same();
      await source.release();
    },
  );
});
