import { describe, expect, test } from 'vitest';
import { available, startMysql } from './servers.ts';
import { jobRow, waitForJob } from './support/jobs.ts';
import { ALL, newDatabase } from './support/mysql-job.ts';
import { Worlds } from './support/worlds.ts';

/** A child whose rows the parent's foreign key changes. */
const FAMILY = `
  CREATE TABLE parent (id INT PRIMARY KEY);
  CREATE TABLE child (id INT PRIMARY KEY, p INT, CONSTRAINT dies FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE);
  CREATE TABLE orphan (id INT PRIMARY KEY, p INT, CONSTRAINT stays FOREIGN KEY (p) REFERENCES parent (id) ON DELETE SET NULL ON UPDATE CASCADE);
  CREATE TABLE plain (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id));
  INSERT INTO parent VALUES (1), (2), (3);
  INSERT INTO child VALUES (10, 1), (11, 1), (12, 2);
  INSERT INTO orphan VALUES (20, 1), (21, 2), (22, 3);
  INSERT INTO plain VALUES (30, 3)`;

describe.runIf(available('mariadb'))('tables of MariaDB', () => {
  const world = new Worlds('mariadb');

  test('whose rows change by foreign keys without a trace in the log are refused, all in one error', async () => {
    const place = await world.place(FAMILY);
    await expect(place.createJob('family', 'parent,child,orphan,plain')).rejects.toThrow(
      'foreign key dies of table child changes its rows with those of parent (ON DELETE CASCADE), and MariaDB does not log ' +
        'such changes: exclude the table, or give the key the rule RESTRICT; ' +
        'foreign key stays of table orphan changes its rows with those of parent (ON DELETE SET NULL, ON UPDATE CASCADE), ' +
        'and MariaDB does not log such changes: exclude the table, or give the key the rule RESTRICT',
    );
    await place.createJob('family', 'parent,plain');
    await place.same('plain');
  });

  test('which get such a foreign key while they are followed pause the job, before a row is wrong', async () => {
    const place = await world.place(
      `CREATE TABLE parent (id INT PRIMARY KEY); INSERT INTO parent VALUES (1);
       CREATE TABLE t (id INT PRIMARY KEY, p INT); INSERT INTO t VALUES (1, 1)`,
    );
    await place.createJob('late', 'parent,t');
    await place.same('t');
    await place.sql(
      `ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (p) REFERENCES parent (id) ON DELETE RESTRICT;
       INSERT INTO t VALUES (2, 1)`,
    );
    await place.same('t');
    await place.sql(
      `ALTER TABLE t DROP FOREIGN KEY f, ADD CONSTRAINT g FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE;
       DELETE FROM parent`,
    );
    const job = await waitForJob(world.it.client, 'late', (row) => row['Status'] === 'PAUSED');
    expect(job['ErrorMsg']).toMatch(/foreign key of table src_s\d+\.t changes its rows by CASCADE/);
    expect(await world.ids(place)).toEqual([1, 2]);
  });
});

describe.runIf(available('mysql'))('tables of MySQL', () => {
  const world = new Worlds('mysql');

  test('follow their foreign keys, whose changes MySQL logs since 9.6', async () => {
    const place = await world.place(FAMILY);
    await place.createJob('family', 'parent,child,orphan,plain');
    await place.same('child');
    await place.sql('DELETE FROM parent WHERE id = 1; UPDATE orphan SET p = 3 WHERE id = 21');
    await place.same('child');
    await place.same('orphan');
    expect(await world.ids(place, 'child')).toEqual([12]);
    expect(await jobRow(world.it.client, 'family')).toMatchObject({ Status: 'RUNNING' });
  });

  test('are refused when MySQL was told to leave foreign keys to InnoDB, also by a job that runs already', async () => {
    await using server = await startMysql(['--innodb-native-foreign-keys=ON']);
    await using source = await newDatabase(
      server,
      'family',
      'CREATE TABLE child (id INT PRIMARY KEY, p INT)',
    );
    const before = await source.preflight(ALL);
    const from = await source.latestPosition();
    await server.query(
      `USE family; ${FAMILY.replace('CREATE TABLE child', 'DROP TABLE child; CREATE TABLE child')}`,
    );
    const refusal =
      /foreign key dies of table child .* use MySQL 9\.6 or later without innodb_native_foreign_keys/;
    await expect(source.preflight(ALL)).rejects.toThrow(refusal);
    await expect(source.openStream(before, from)).rejects.toThrow(refusal);
  });
});
