import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { available } from './servers.ts';
import { EndToEnd, type Place } from './support/end-to-end.ts';
import { jobRow, type JobRow, waitForJob } from './support/jobs.ts';

/** More rows than a test inserts: reading them again shows. */
const OLD_ROWS = 100;
const TABLE = `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20));
  INSERT INTO t VALUES ${Array.from({ length: OLD_ROWS }, (_, i) => `(${-i}, 'old')`).join()}`;
/** From the fault to progress or to a pause with its reason. */
const WITHIN_MS = 60_000;
const TIMEOUT_MS = 180_000;

/** What happens to a job's source ends in progress, or in PAUSED with a reason that says what to do; never in a new copy. */
describe.each(['mysql', 'mariadb', 'postgres18'] as const)('a %s source in trouble', (kind) => {
  const run = test.runIf(available(kind));
  const postgres = kind === 'postgres18';
  let world: EndToEnd;
  let ids = 0;
  beforeAll(async () => {
    if (available(kind)) world = await EndToEnd.open(kind);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const query = async <Row extends Record<string, unknown>>(sql: string): Promise<Row[]> => {
    const { source } = world;
    return await (source.kind === 'postgres' ? source.query<Row>(sql) : source.query<Row>(sql));
  };

  const insert = (place: Place): Promise<void> =>
    place.sql(`INSERT INTO t VALUES (${++ids}, 'new')`);

  /** A job that follows one table, under the login of a user of its own. */
  async function follow(name: string): Promise<Place> {
    const place = await world.place(name);
    await place.sql(TABLE);
    const user = await makeUser(place, name);
    await place.createJob(name, 't', { user, password: 'one' });
    await insert(place);
    await place.same('t', { timeoutMs: WITHIN_MS });
    return place;
  }

  async function makeUser(place: Place, name: string): Promise<string> {
    const user = `u_${name}`;
    if (postgres) {
      await world.source.exec(
        `CREATE ROLE ${user} LOGIN REPLICATION PASSWORD 'one'; GRANT ALL ON SCHEMA ${place.database} TO ${user};
         GRANT CREATE ON DATABASE postgres TO ${user}; ALTER TABLE ${place.database}.t OWNER TO ${user}`,
      );
    } else {
      await world.source.exec(
        `CREATE USER ${user}@'%' IDENTIFIED BY 'one'; GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO ${user}@'%'`,
      );
    }
    return user;
  }

  const setPassword = (name: string, password: string): Promise<void> =>
    world.source.exec(
      postgres
        ? `ALTER ROLE u_${name} PASSWORD '${password}'`
        : `ALTER USER u_${name}@'%' IDENTIFIED BY '${password}'`,
    );

  /** Ends the connection in which the job reads the log. */
  async function killReader(): Promise<number> {
    if (postgres) {
      const rows = await query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'`,
      );
      return rows.length;
    }
    const readers = await query<{ Id: string }>(
      `SELECT ID AS Id FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'`,
    );
    for (const { Id } of readers) await world.source.exec(`KILL ${Id}`);
    return readers.length;
  }

  const paused = async (name: string): Promise<JobRow> =>
    await waitForJob(world.client, name, (row) => row['Status'] === 'PAUSED', WITHIN_MS);

  const running = (name: string): Promise<JobRow> =>
    waitForJob(world.client, name, (row) => row['Status'] === 'RUNNING', WITHIN_MS);

  /** A silent new copy would have read the whole table once more. */
  async function expectOneCopy(name: string): Promise<void> {
    const row = await jobRow(world.client, name);
    const { scannedRows } = JSON.parse(row?.['LoadStatistic'] ?? '{}') as { scannedRows: number };
    expect(scannedRows).toBeGreaterThanOrEqual(OLD_ROWS);
    expect(scannedRows).toBeLessThan(2 * OLD_ROWS);
  }

  run(
    'goes on when its reader is killed, again and again',
    async () => {
      const place = await follow('killed');
      for (let i = 0; i < 3; i++) {
        await vi.waitFor(async () => expect(await killReader()).toBeGreaterThan(0), WITHIN_MS);
        await insert(place);
      }
      await place.same('t', { timeoutMs: WITHIN_MS });
      await expectOneCopy('killed');
      await running('killed');
      await place.dropJob('killed');
    },
    TIMEOUT_MS,
  );

  run(
    'goes on by itself when its server was away for longer than every retry',
    async () => {
      const place = await follow('down');
      await insert(place);
      await world.source.kill();
      // Longer than the retries that nobody sees; what is tried later is a resume.
      const away = await paused('down');
      expect(away['ErrorMsg']).toContain(
        `connect ECONNREFUSED ${world.source.host}:${world.source.port}`,
      );
      await world.source.start();
      await insert(place);
      await place.same('t', { timeoutMs: 100_000 });
      await running('down');
      await place.dropJob('down');
    },
    TIMEOUT_MS,
  );

  run(
    'is paused when its password was changed, and goes on after ALTER JOB',
    async () => {
      const place = await follow('password');
      await setPassword('password', 'two');
      await killReader();
      await insert(place);
      const row = await paused('password');
      expect(row['ErrorMsg']).toMatch(/Access denied|password authentication failed/);
      expect(row['ErrorMsg']).not.toMatch(/'(one|two)'/);
      const type = postgres ? 'POSTGRES' : 'MYSQL';
      await world.client.query(
        `ALTER JOB password FROM ${type} ("password" = "two") TO DATABASE ${place.target}`,
      );
      await world.client.query(`RESUME JOB WHERE jobName = 'password'`);
      await place.same('t', { timeoutMs: WITHIN_MS });
      await place.dropJob('password');
    },
    TIMEOUT_MS,
  );

  run(
    'is paused when the server no longer has its place in the log, and copies nothing anew',
    async () => {
      const place = await follow('lost');
      await world.client.query(`PAUSE JOB WHERE jobName = 'lost'`);
      await insert(place);
      await loseLog('lost');
      await insert(place);
      await world.client.query(`RESUME JOB WHERE jobName = 'lost'`);
      const row = await paused('lost');
      expect(row['ErrorMsg']).toMatch(
        {
          mysql: /source purged required binary logs/,
          mariadb: /required binlog files have been purged/,
          postgres18: /Replication slot invalidated: slot doris_cdc_\d+ does not exist/,
        }[kind],
      );
      expect(row['ErrorMsg']).toContain('Drop the job, empty its Doris tables');
      await expectOneCopy('lost');
      await place.dropJob('lost');
    },
    TIMEOUT_MS,
  );

  async function loseLog(name: string): Promise<void> {
    if (postgres) {
      const id = (await jobRow(world.client, name))?.['Id'];
      await vi.waitFor(
        () => world.source.exec(`SELECT pg_drop_replication_slot('doris_cdc_${id}')`),
        WITHIN_MS,
      );
      return;
    }
    await world.source.exec('FLUSH BINARY LOGS; FLUSH BINARY LOGS');
    const logs = await query<{ Log_name: string }>('SHOW BINARY LOGS');
    // MariaDB keeps a file until it has noted that crash recovery does not need it.
    await vi.waitFor(async () => {
      await world.source.exec(`PURGE BINARY LOGS TO '${logs.at(-1)?.Log_name}'`);
      expect(await query('SHOW BINARY LOGS')).toHaveLength(1);
    }, WITHIN_MS);
  }

  run(
    postgres
      ? 'is paused when its table leaves the publication'
      : 'is paused when the server begins a log that does not follow on its own',
    async () => {
      const place = await follow('history');
      if (postgres) {
        const id = (await jobRow(world.client, 'history'))?.['Id'];
        await world.source.exec(`ALTER PUBLICATION doris_pub_${id} DROP TABLE ${place.database}.t`);
      } else {
        await world.source.exec(kind === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');
      }
      // The next one looks whether all is as it was.
      await killReader();
      await insert(place);
      const row = await paused('history');
      // A server that is reset says so to the reader it has, or to the one that comes after it.
      expect(row['ErrorMsg']).toMatch(
        {
          mysql: /could not find next log/,
          mariadb:
            /could not find next log|start from GTID \S+, which is not in the master's binlog/,
          postgres18: /publication doris_pub_\d+ is missing required tables: \[src_history\.t\]/,
        }[kind],
      );
      expect(row['ErrorMsg']).toContain('rop the job, empty its Doris tables');
      await expectOneCopy('history');
      await place.dropJob('history');
    },
    TIMEOUT_MS,
  );
});
