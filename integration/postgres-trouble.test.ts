import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { available, type PostgresServer, startPostgres } from './servers.ts';
import { EndToEnd, type Place } from './support/end-to-end.ts';
import { jobRow, waitForPause } from './support/jobs.ts';
import { findProgram, temporaryFolder } from './support/server-process.ts';

const WITHIN_MS = 60_000;
const openssl = findProgram('openssl');

/** A Postgres source in trouble of its own kind: progress, or PAUSED with a reason that says what to do. */
describe.runIf(available('postgres18') && openssl !== undefined)('a Postgres source', () => {
  let world: EndToEnd;
  let server: PostgresServer;
  const certificates = temporaryFolder('certificates');
  beforeAll(async () => {
    world = await EndToEnd.open('postgres18', () => startPostgres({ version: 18 }), [
      `--ssl-cert-dir=${certificates}`,
    ]);
    server = world.source as PostgresServer;
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const sql = (text: string): Promise<void> => server.exec(text);
  const pause = (name: string): Promise<unknown> =>
    world.client.query(`PAUSE JOB WHERE jobName = '${name}'`);
  const resume = (name: string): Promise<unknown> =>
    world.client.query(`RESUME JOB WHERE jobName = '${name}'`);

  /** When the configuration that a new connection has was read. */
  async function loadedAt(): Promise<string> {
    const client = await server.connect();
    const { rows } = await client.query<{ at: string }>('SELECT pg_conf_load_time()::text AS at');
    await client.end();
    return rows[0]?.at ?? '';
  }

  /** Returns when the server has read it, and its certificate, anew. */
  async function setting(assignment: string): Promise<void> {
    const before = await loadedAt();
    await sql(`ALTER SYSTEM SET ${assignment}`);
    await sql('SELECT pg_reload_conf()');
    await vi.waitFor(async () => expect(await loadedAt()).not.toBe(before), WITHIN_MS);
  }

  /** A job that follows one table. */
  async function follow(
    name: string,
    properties: Readonly<Record<string, string>> = {},
    table = 'CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))',
  ): Promise<Place> {
    const place = await world.place(name);
    await place.sql(`${table}; INSERT INTO t VALUES (1, 'old'), (2, 'old')`);
    await place.createJob(name, 't', properties);
    await place.sql(`INSERT INTO t VALUES (3, 'new')`);
    await place.same('t', { timeoutMs: WITHIN_MS });
    return place;
  }

  const paused = async (name: string, reason: RegExp): Promise<void> =>
    void (await waitForPause(world.client, name, reason, WITHIN_MS));

  const idOf = async (name: string): Promise<string> =>
    (await jobRow(world.client, name))?.['Id'] ?? '';

  const dropSlot = async (name: string): Promise<void> => {
    const slot = `doris_cdc_${await idOf(name)}`;
    await vi.waitFor(() => sql(`SELECT pg_drop_replication_slot('${slot}')`), WITHIN_MS);
  };

  /** The job's walsender ends, and it looks at everything anew. */
  const killSender = async (): Promise<void> => {
    await sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'`,
    );
  };

  test('a slot that fell too far behind, or was idle for too long, is named with the setting that lost it', async () => {
    const place = await follow('behind');
    await pause('behind');
    await setting("max_slot_wal_keep_size = '1MB'");
    for (let i = 0; i < 4; i++) {
      await place.sql(
        `CREATE TABLE busy_${i} AS SELECT repeat('x', 500) FROM generate_series(1, 10000)`,
      );
      await sql('SELECT pg_switch_wal()');
    }
    await sql('CHECKPOINT');
    await setting('max_slot_wal_keep_size = -1');
    await resume('behind');
    await paused(
      'behind',
      /^Replication slot invalidated: slot doris_cdc_\d+ has wal_status lost: .*max_slot_wal_keep_size.*Drop the job, empty its Doris tables/s,
    );
    await place.dropJob('behind');
    const idle = await follow('idle');
    await pause('idle');
    await setting("idle_replication_slot_timeout = '1s'");
    await vi.waitFor(
      async () => {
        await sql('CHECKPOINT');
        const [slot] = await server.query(
          `SELECT 1 AS one FROM pg_replication_slots WHERE invalidation_reason = 'idle_timeout'`,
        );
        expect(slot).toBeDefined();
      },
      { timeout: WITHIN_MS, interval: 200 },
    );
    await setting('idle_replication_slot_timeout = 0');
    await resume('idle');
    await paused('idle', /idle_replication_slot_timeout/);
    await idle.dropJob('idle');
  });

  test('a slot that somebody else reads is waited for', async () => {
    await sql(`SELECT pg_create_logical_replication_slot('shared', 'pgoutput')`);
    const place = await follow('active', { slot_name: 'shared' });
    await pause('active');
    const thief = await server.connect({
      replication: 'database',
      application_name: 'thief',
    } as pg.ClientConfig);
    // Answers only when it ends.
    const stolen = vi.waitFor(async () => {
      await thief.query(
        `START_REPLICATION SLOT shared LOGICAL 0/0 (proto_version '1', publication_names 'doris_pub_${await idOf('active')}')`,
      );
    }, WITHIN_MS);
    stolen.catch(() => undefined);
    await vi.waitFor(async () => {
      const [slot] = await server.query(
        `SELECT active FROM pg_replication_slots WHERE slot_name = 'shared'`,
      );
      expect(slot?.['active']).toBe(true);
    }, WITHIN_MS);
    await place.sql(`INSERT INTO t VALUES (4, 'waits')`);
    await resume('active');
    await paused(
      'active',
      /replication slot shared is active, held by another consumer: thief \(pid \d+, 127\.0\.0\.1\)\. Stop that one/,
    );
    await killSender();
    await place.same('t', { timeoutMs: WITHIN_MS });
    await place.dropJob('active');
    await thief.end().catch(() => undefined);
    await vi.waitFor(() => sql(`SELECT pg_drop_replication_slot('shared')`), WITHIN_MS);
  });

  test('an altered or dropped publication pauses the job; it goes on when told that nothing was missed', async () => {
    const place = await follow('published');
    const publication = `doris_pub_${await idOf('published')}`;
    await sql(`ALTER PUBLICATION ${publication} DROP TABLE ${place.database}.t`);
    await killSender();
    await paused(
      'published',
      new RegExp(
        `publication ${publication} is missing required tables: \\[${place.database}.t\\].*Changes made since are not in the log`,
        's',
      ),
    );
    await sql(`DROP PUBLICATION ${publication}`);
    await resume('published');
    await paused('published', new RegExp(`publication does not exist: ${publication}`));
    await sql(`CREATE PUBLICATION ${publication} FOR TABLE ${place.database}.t`);
    await resume('published');
    await paused(
      'published',
      new RegExp(`publication ${publication} was altered .*if not; then RESUME JOB`),
    );
    await resume('published');
    await place.sql(`INSERT INTO t VALUES (5, 'on')`);
    await place.same('t', { timeoutMs: WITHIN_MS });
    await place.dropJob('published');
  });

  test('partitions come and go: what comes is copied, what goes pauses the job once, whoever kills it', async () => {
    const place = await follow(
      'parts',
      {},
      `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)) PARTITION BY RANGE (id);
       CREATE TABLE t_0 PARTITION OF t FOR VALUES FROM (0) TO (100)`,
    );
    await place.sql(
      `CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (100) TO (200); INSERT INTO t VALUES (100, 'new'), (101, 'new');
       CREATE TABLE t_2 (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t_2 SELECT i, 'there' FROM generate_series(200, 299) i;
       ALTER TABLE t ATTACH PARTITION t_2 FOR VALUES FROM (200) TO (300); UPDATE t SET v = 'changed' WHERE id = 200`,
    );
    await place.same('t', { timeoutMs: WITHIN_MS });
    // Killed somewhere between its being found and its being copied: begun anew.
    await place.sql(
      `CREATE TABLE t_3 (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t_3 SELECT i, 'big' FROM generate_series(1000, 5999) i;
       ALTER TABLE t ATTACH PARTITION t_3 FOR VALUES FROM (1000) TO (9000); INSERT INTO t VALUES (6000, 'behind')`,
    );
    await world.proxy.kill();
    await place.sql('DELETE FROM t WHERE id = 1000');
    await world.proxy.start();
    await world.reconnect();
    await place.same('t', { timeoutMs: WITHIN_MS });
    await place.sql(`TRUNCATE t_1; INSERT INTO t VALUES (102, 'after')`);
    await paused(
      'parts',
      new RegExp(
        `of table ${place.database}.t only a part was truncated \\(${place.database}.t_1\\): DELETE its rows from the Doris table t; then RESUME JOB`,
      ),
    );
    await world.client.query(`DELETE FROM ${place.target}.t WHERE id >= 100 AND id < 200`);
    await world.proxy.kill();
    await world.proxy.start();
    await world.reconnect();
    await paused('parts', /only a part was truncated/);
    await place.sql('DROP TABLE t_2');
    await resume('parts');
    await paused('parts', /partition .*t_2 of .* was detached or dropped/);
    await world.client.query(`DELETE FROM ${place.target}.t WHERE id >= 200 AND id < 300`);
    await resume('parts');
    await place.sql(`INSERT INTO t VALUES (6, 'on')`);
    await place.same('t', { timeoutMs: WITHIN_MS });
    await place.dropJob('parts');
  });

  test('a certificate that expires pauses the job until there is a new one', async () => {
    const folder = server.dataDir!;
    const authority = join(certificates, 'ca.pem');
    const run = (...args: readonly string[]): void => {
      execFileSync(openssl!, [...args], { stdio: 'ignore', cwd: certificates });
    };
    run(
      'req',
      '-new',
      '-x509',
      '-days',
      '2',
      '-nodes',
      '-subj',
      '/CN=ca',
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
    );
    run(
      'req',
      '-new',
      '-nodes',
      '-subj',
      '/CN=server',
      '-keyout',
      'server.key',
      '-out',
      'server.csr',
    );
    const { uid, gid } = statSync(folder);
    const install = (days: string): void => {
      run(
        'x509',
        '-req',
        '-in',
        'server.csr',
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-days',
        days,
        '-out',
        'server.crt',
      );
      for (const name of ['server.key', 'server.crt']) {
        copyFileSync(join(certificates, name), join(folder, name));
        chownSync(join(folder, name), uid, gid);
        chmodSync(join(folder, name), 0o600);
      }
    };
    install('2');
    await setting('ssl = on');
    expect(readFileSync(authority, 'utf8')).toContain('BEGIN CERTIFICATE');
    const place = await follow('tls', { ssl_mode: 'verify-ca', ssl_rootcert: 'FILE:ca.pem' });
    install('-1');
    await setting('ssl = on');
    await killSender();
    await paused(
      'tls',
      /certificate has expired\. Correct the server's certificate.*then RESUME JOB/s,
    );
    install('2');
    await setting('ssl = on');
    await resume('tls');
    await place.sql(`INSERT INTO t VALUES (5, 'on')`);
    await place.same('t', { timeoutMs: WITHIN_MS });
    await place.dropJob('tls');
  });

  test('a server that no longer logs for slots, and one that took over without the slot', async () => {
    const place = await follow('level');
    await pause('level');
    await dropSlot('level');
    // With the slot the server would not even start.
    await server.restart(['--wal_level=replica']);
    await resume('level');
    await paused(
      'level',
      /wal_level is replica.*Set wal_level = logical and restart it.*Drop the job, empty its Doris tables/s,
    );
    await place.dropJob('level');
    await server.restart([]);
    const other = await follow('promoted');
    // A standby has the data and not the slots; promoted it goes on in a history of its own.
    await server.stop();
    const slots = join(server.dataDir!, 'pg_replslot');
    for (const slot of readdirSync(slots)) rmSync(join(slots, slot), { recursive: true });
    writeFileSync(join(server.dataDir!, 'standby.signal'), '');
    await server.start();
    await sql('SELECT pg_promote()');
    await other.sql(`INSERT INTO t VALUES (5, 'elsewhere')`);
    await paused(
      'promoted',
      /slot doris_cdc_\d+ does not exist: it was dropped, or this is another server \(a promoted standby/,
    );
    await other.dropJob('promoted');
    await other.createJob('anew', 't');
    await other.sql(`INSERT INTO t VALUES (6, 'anew')`);
    await other.same('t', { timeoutMs: WITHIN_MS });
    await other.dropJob('anew');
  });
});
