import { describe, expect, test } from 'vitest';
import { ALL, failure, POSTGRES_VERSIONS, PostgresFixture } from './support/postgres-fixture.ts';
import { Follower } from './support/postgres-follower.ts';

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
          (async () => {
            for (;;) await job.replica.step(stream);
          })(),
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
});
