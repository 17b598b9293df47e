import { describe, expect, test } from 'vitest';
import { tableId } from '../src/model/table.ts';
import { ALL, failure, POSTGRES_VERSIONS, PostgresFixture } from './support/postgres-fixture.ts';
import { Follower, PARTITIONED, settle } from './support/postgres-follower.ts';

describe.each(POSTGRES_VERSIONS)('Postgres %i', (version) => {
  const fixture = new PostgresFixture(version);
  const sql = async (text: string): Promise<void> => void (await fixture.server.query(text));

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
      // The log still has the TRUNCATE when the rows of the new partition are found.
      await sql('TRUNCATE grow.p');
      await attach('behind', 900);
      await job.follow();
      await job.same();
      expect(job.replica.rows(job.tables[0]!).size).toBe(22);
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
    'a partition that somebody else has made is read through its table',
    async () => {
      await fixture.schema(
        'lent',
        `${PARTITIONED}; CREATE ROLE lender LOGIN REPLICATION PASSWORD 'lender'; CREATE ROLE other;
         GRANT CREATE ON DATABASE postgres TO lender; GRANT USAGE, CREATE ON SCHEMA lent TO lender, other; ALTER TABLE p OWNER TO lender`,
      );
      await using source = await fixture.open('lent', { user: 'lender', password: 'lender' });
      const job = await Follower.open(source);
      await sql(
        `CREATE TABLE lent.theirs (v text, id int PRIMARY KEY); INSERT INTO lent.theirs SELECT 'x', i FROM generate_series(200, 250) i;
         ALTER TABLE lent.p ATTACH PARTITION lent.theirs FOR VALUES FROM (200) TO (300); ALTER TABLE lent.theirs OWNER TO other;
         INSERT INTO lent.p VALUES (299, 'y')`,
      );
      await job.follow();
      await job.same();
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
