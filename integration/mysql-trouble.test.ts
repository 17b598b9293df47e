import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { EndToEnd, type Place } from './support/end-to-end.ts';
import { jobRow, type JobRow, waitForPause } from './support/jobs.ts';
import { MovingAddress } from './support/moving-address.ts';
import { findProgram, temporaryFolder } from './support/server-process.ts';

const WITHIN_MS = 60_000;
const TIMEOUT_MS = 180_000;
/** More than a test inserts: a second copy would show. */
const OLD_ROWS = 50;
const openssl = findProgram('openssl');

/** What differs between the two: statements, and the words of the servers. */
const KINDS = {
  mysql: {
    start: (id: number) =>
      startMysql(['--gtid-mode=ON', '--enforce-gtid-consistency=ON', `--server-id=${id}`]),
    follow: (login: string) =>
      `CHANGE REPLICATION SOURCE TO ${login.replaceAll('MASTER', 'SOURCE')}, SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1; START REPLICA`,
    stop: 'STOP REPLICA',
    reset: 'RESET BINARY LOGS AND GTIDS',
    purged: /source purged required binary logs/,
    lacks: /lacks transactions that were read from another one: [-0-9a-f]{36}:\d/,
    begun: /no longer has transactions that were read from it: [-0-9a-f]{36}:\d/,
  },
  mariadb: {
    start: (id: number) => startMariadb(['--log-slave-updates', `--server-id=${id}`]),
    follow: (login: string) =>
      `CHANGE MASTER TO ${login}, MASTER_USE_GTID = slave_pos; START SLAVE`,
    stop: 'STOP SLAVE',
    reset: 'RESET MASTER',
    purged: /required binlog files have been purged/,
    lacks: /GTID 0-2-\d+, which is not in the master's binlog/,
    begun: /GTID 0-\d-\d+, which is not in the master's binlog/,
  },
} as const;

const ANEW = 'Drop the job, empty its Doris tables';

/** A MySQL source in trouble of its own kind: progress, or PAUSED with a reason that says what to do; never a second copy. */
describe.concurrent.each(['mysql', 'mariadb'] as const)('a %s source', (kind) => {
  describe.sequential('in trouble', () => troubles(kind));
});

function troubles(kind: keyof typeof KINDS): void {
  const run = test.runIf(available(kind) && openssl !== undefined);
  const words = KINDS[kind];
  const certificates = temporaryFolder('certificates');
  let world: EndToEnd;
  let server: MysqlServer;
  beforeAll(async () => {
    if (!available(kind)) return;
    world = await EndToEnd.open(kind, () => words.start(1), [`--ssl-cert-dir=${certificates}`]);
    server = world.source as MysqlServer;
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const statement = (verb: string, name: string): Promise<unknown> =>
    world.client.query(`${verb} JOB WHERE jobName = '${name}'`);

  /** A job that follows one table. */
  async function follow(
    name: string,
    properties: Readonly<Record<string, string>> = {},
  ): Promise<Place> {
    const place = await world.place(name);
    const rows = Array.from({ length: OLD_ROWS }, (_, i) => `(${-i}, 'old')`).join();
    await place.sql(
      `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200)); INSERT INTO t VALUES ${rows}`,
    );
    await place.createJob(name, 't', properties);
    await place.sql(`INSERT INTO t VALUES (1, 'new')`);
    await place.same('t', { timeoutMs: WITHIN_MS });
    return place;
  }

  const paused = (name: string, reason: RegExp): Promise<JobRow> =>
    waitForPause(world.client, name, reason, WITHIN_MS);

  async function expectOneCopy(name: string, rows: number): Promise<void> {
    const row = await jobRow(world.client, name);
    const { scannedRows } = JSON.parse(row?.['LoadStatistic'] ?? '{}') as { scannedRows: number };
    expect(scannedRows).toBeLessThan(OLD_ROWS + rows + OLD_ROWS);
  }

  async function killReader(): Promise<void> {
    const readers = await server.query<{ Id: string }>(
      `SELECT ID AS Id FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'`,
    );
    for (const { Id } of readers) await server.exec(`KILL ${Id}`);
  }

  run(
    'is followed across files that begin during a large transaction, and when its reader is killed in the middle of it',
    async () => {
      const place = await follow('rotated');
      await server.exec('SET GLOBAL max_binlog_size = 65536');
      const writer = await server.connect({ database: place.database });
      const writing = writer.query(
        `INSERT INTO t WITH RECURSIVE n (id) AS (SELECT 100 UNION ALL SELECT id + 1 FROM n WHERE id < 1000) SELECT a.id * 1000 + b.id, REPEAT('z', 150) FROM n a JOIN n b ON b.id < 125 WHERE a.id < 1100`,
      );
      const stop = new AbortController();
      const rotating = (async () => {
        while (!stop.signal.aborted) await server.exec('FLUSH BINARY LOGS');
      })();
      await writing;
      stop.abort();
      await rotating;
      for (let i = 0; i < 5; i++) {
        await killReader();
        await place.sql(`UPDATE t SET v = 'turn ${i}' WHERE id = 1; FLUSH BINARY LOGS`);
      }
      writer.destroy();
      await place.same('t', { timeoutMs: WITHIN_MS });
      await server.exec('SET GLOBAL max_binlog_size = 1073741824');
      await place.dropJob('rotated');
    },
    TIMEOUT_MS,
  );

  run(
    'whose certificate expires pauses the job until it has a new one',
    async () => {
      const folder = server.dataDir!;
      const make = (...args: readonly string[]): void => {
        execFileSync(openssl!, [...args], { stdio: 'ignore', cwd: certificates });
      };
      const request = (name: string, ...more: readonly string[]): void =>
        make('req', '-new', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, ...more);
      request('ca', '-x509', '-days', '2', '-out', 'ca.pem');
      request('server', '-out', 'server.csr');
      const install = (days: string): void => {
        const sign = ['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key'];
        make(...sign, '-CAcreateserial', '-days', days, '-out', 'server.crt');
        for (const name of ['server.key', 'server.crt']) {
          copyFileSync(join(certificates, name), join(folder, name));
          chmodSync(join(folder, name), 0o600);
        }
      };
      install('2');
      // MySQL would refuse to take an expired one while it runs.
      const restart = (): Promise<void> => {
        const [certificate, key] = [join(folder, 'server.crt'), join(folder, 'server.key')];
        return server.restart([`--ssl-cert=${certificate}`, `--ssl-key=${key}`]);
      };
      await restart();
      expect(readFileSync(join(certificates, 'ca.pem'), 'utf8')).toContain('BEGIN CERTIFICATE');
      const place = await follow('tls', { ssl_mode: 'verify-ca', ssl_rootcert: 'FILE:ca.pem' });
      await statement('PAUSE', 'tls');
      install('-1');
      await restart();
      await statement('RESUME', 'tls');
      await paused('tls', /certificate has expired.*by ALTER JOB, then RESUME JOB/s);
      install('2');
      await restart();
      await statement('RESUME', 'tls');
      await place.sql(`INSERT INTO t VALUES (2, 'on')`);
      await place.same('t', { timeoutMs: WITHIN_MS });
      await place.dropJob('tls');
    },
    TIMEOUT_MS,
  );

  run(
    'that is replaced is followed by GTIDs, what the new server does not have is missed, and what it has purged is named',
    async () => {
      await using copy = await words.start(2);
      await using address = await MovingAddress.open(server.port);
      const jdbc_url = `jdbc:mysql://${address.host}:${address.port}`;
      const place = await world.place('moved');
      await place.sql(`CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))`);
      const login =
        `MASTER_HOST = '${server.host}', MASTER_PORT = ${server.port}, ` +
        `MASTER_USER = '${server.user}', MASTER_PASSWORD = '${server.password}'`;
      await copy.exec(words.follow(login));
      const rows = Array.from({ length: OLD_ROWS }, (_, i) => `(${-i}, 'old')`).join();
      await place.sql(`INSERT INTO t VALUES ${rows}`);
      await place.createJob('moved', 't', { jdbc_url });
      await place.sql(`INSERT INTO t VALUES (1, 'before')`);
      await place.same('t', { timeoutMs: WITHIN_MS });
      const at = async (where: MysqlServer, sql: string): Promise<void> => {
        await where.exec(`USE ${place.database}; ${sql}`);
      };
      await vi.waitFor(
        async () =>
          expect(await copy.query('SELECT id FROM src_moved.t WHERE id = 1')).toHaveLength(1),
        WITHIN_MS,
      );
      await copy.exec(words.stop);
      // A transaction of the copy's own, which the server never had, before and after it takes over.
      await at(copy, `INSERT INTO t VALUES (2, 'errant')`);
      address.moveTo(copy.port);
      await at(copy, `INSERT INTO t VALUES (3, 'after'); DELETE FROM t WHERE id = 1`);
      await arrived([2, 3]);
      address.moveTo(server.port);
      await at(server, `INSERT INTO t VALUES (4, 'of the old server')`);
      await paused('moved', words.lacks);
      expect((await jobRow(world.client, 'moved'))?.['ErrorMsg']).toContain(ANEW);
      address.moveTo(copy.port);
      await statement('RESUME', 'moved');
      await at(copy, `INSERT INTO t VALUES (5, 'back')`);
      await arrived([2, 3, 5]);
      await expectOneCopy('moved', 5);
      await statement('PAUSE', 'moved');
      await at(copy, `INSERT INTO t VALUES (6, 'purged'); FLUSH BINARY LOGS`);
      const logs = await copy.query<{ Log_name: string }>('SHOW BINARY LOGS');
      await vi.waitFor(async () => {
        await copy.exec(`PURGE BINARY LOGS TO '${logs.at(-1)?.Log_name}'`);
        expect(await copy.query('SHOW BINARY LOGS')).toHaveLength(1);
      }, WITHIN_MS);
      await statement('RESUME', 'moved');
      await paused('moved', words.purged);
      expect((await jobRow(world.client, 'moved'))?.['ErrorMsg']).toContain(ANEW);
      await expectOneCopy('moved', 5);
      await place.dropJob('moved');
    },
    TIMEOUT_MS,
  );

  /** The rows that the job has brought since its copy. */
  async function arrived(ids: readonly number[]): Promise<void> {
    await vi.waitFor(
      async () => {
        const [found] = await world.client.query('SELECT id FROM dst_moved.t WHERE id > 0');
        const rows = found as { readonly id: number }[];
        expect(rows.map(({ id }) => id).toSorted((a, b) => a - b)).toEqual(ids);
      },
      { timeout: WITHIN_MS, interval: 100 },
    );
  }

  run(
    'that is another one by its server_uuid is followed by GTIDs; one whose log was begun anew is not',
    async () => {
      const place = await follow('identity');
      await server.kill();
      rmSync(join(server.dataDir!, 'auto.cnf'), { force: true });
      await server.start();
      await place.sql(`INSERT INTO t VALUES (2, 'on')`);
      await place.same('t', { timeoutMs: WITHIN_MS });
      await statement('PAUSE', 'identity');
      await server.exec(words.reset);
      await place.sql(`INSERT INTO t VALUES (3, 'begun anew')`);
      await statement('RESUME', 'identity');
      const row = await paused('identity', words.begun);
      expect(row['ErrorMsg']).toContain(ANEW);
      await expectOneCopy('identity', 3);
      await place.dropJob('identity');
    },
    TIMEOUT_MS,
  );
}
