import { describe, expect, test } from 'vitest';
import type { ProxyError } from '../src/model/error.ts';
import type { Position } from '../src/model/offset.ts';
import { PostgresSource } from '../src/source/postgres/postgres-source.ts';
import { WalReader } from '../src/source/postgres/wal-reader.ts';
import { startPostgres } from './servers.ts';
import {
  ALL,
  failure,
  lsnOf,
  POSTGRES_VERSIONS,
  PostgresFixture,
} from './support/postgres-fixture.ts';
import { Replica } from './support/postgres-replica.ts';
import { SilentRelay } from './support/silent-relay.ts';

describe.each(POSTGRES_VERSIONS)('Postgres %i', (version) => {
  const fixture = new PostgresFixture(version);

  test.runIf(fixture.here)(
    'slot and publication: made once, for all tables, respected when given, dropped when ours',
    async () => {
      await fixture.schema(
        'res',
        'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)',
      );
      const source = await fixture.open('res');
      const include = { ...ALL, include: ['a', 'b'] };
      await source.preflight(include);
      const position = await source.safePosition();
      expect(await source.safePosition()).toEqual(position);
      const published = (name: string): Promise<unknown[]> =>
        fixture.server.query(
          `SELECT tablename FROM pg_publication_tables WHERE pubname = '${name}' ORDER BY 1`,
        );
      expect(await published(`doris_pub_${fixture.job}`)).toEqual([
        { tablename: 'a' },
        { tablename: 'b' },
      ]);
      await source.release();
      await source.release();
      expect(await published(`doris_pub_${fixture.job}`)).toEqual([]);
      expect(
        await fixture.server.query(
          `SELECT * FROM pg_replication_slots WHERE slot_name = 'doris_cdc_${fixture.job}'`,
        ),
      ).toEqual([]);
      await source[Symbol.asyncDispose]();
      // Given by the user.
      await using given = await fixture.open('res', {
        slotName: 'my_slot',
        publicationName: 'my_pub',
      });
      const missing = await failure(given.preflight(include));
      expect(missing.message.split('\n')).toEqual([
        'publication does not exist: my_pub. Create it before starting the job or omit publication_name to let Doris create one.',
        'replication slot does not exist: my_slot. Create it before starting the job or omit slot_name to let Doris create one.',
      ]);
      await fixture.server.query(
        `CREATE PUBLICATION my_pub FOR TABLE res.a WITH (publish = 'insert, update')`,
      );
      await fixture.server.query(
        `SELECT pg_create_logical_replication_slot('my_slot', 'test_decoding')`,
      );
      const wrong = await failure(given.preflight(include));
      expect(wrong.message).toContain(
        'publication my_pub is missing required tables: [res.b]. Add them via ALTER PUBLICATION ... ADD TABLE before starting.',
      );
      expect(wrong.message).toContain('publication my_pub does not publish delete, truncate');
      expect(wrong.message).toContain(
        'replication slot my_slot has the plugin test_decoding, pgoutput is needed',
      );
      await fixture.server.query(
        `DROP PUBLICATION my_pub; CREATE PUBLICATION my_pub FOR ALL TABLES`,
      );
      await fixture.server.query(`SELECT pg_drop_replication_slot('my_slot')`);
      await fixture.server.query(
        `SELECT pg_create_logical_replication_slot('my_slot', 'pgoutput')`,
      );
      await fixture.server.query('INSERT INTO res.a VALUES (1); INSERT INTO res.c VALUES (1)');
      const tables = await given.preflight(include);
      const from = await given.safePosition();
      {
        const replica = new Replica();
        await using stream = await given.openStream(tables, from);
        await replica.follow(stream, await given.latestPosition());
        expect([...replica.tables.keys()]).toEqual(['res.a']);
        // Held by us: a second job with the same slot is told so.
        await using second = await fixture.open('res', {
          slotName: 'my_slot',
          publicationName: 'my_pub',
        });
        expect((await failure(second.preflight(include))).message).toContain(
          'replication slot my_slot is active',
        );
      }
      await given.release();
      expect(
        await fixture.server.query(
          `SELECT slot_name FROM pg_replication_slots WHERE slot_name = 'my_slot'`,
        ),
      ).toHaveLength(1);
      expect(
        await fixture.server.query(`SELECT 1 AS one FROM pg_publication WHERE pubname = 'my_pub'`),
      ).toHaveLength(1);
      await expect
        .poll(async () => {
          await fixture.server.query(`SELECT pg_drop_replication_slot('my_slot')`);
          return true;
        })
        .toBe(true);
      await fixture.server.query('DROP PUBLICATION my_pub');
      // Ours by name, made by somebody else.
      await fixture.server.query(`CREATE PUBLICATION doris_pub_${fixture.job + 1} FOR TABLE res.a`);
      await using clash = await fixture.open('res');
      expect((await failure(clash.preflight(include))).message).toContain(
        `publication doris_pub_${fixture.job} already exists but does not cover the configured include_tables (missing: [res.b]). Another Doris cluster may be using the same jobId.`,
      );
      await fixture.server.query(`DROP PUBLICATION doris_pub_${fixture.job}`);
    },
  );

  test.runIf(fixture.here)('preflight reports everything that is wrong at once', async () => {
    await fixture.server.query(`CREATE ROLE poor LOGIN PASSWORD 'poor'`);
    await fixture.schema(
      'bad',
      `CREATE TABLE ok (id int PRIMARY KEY); CREATE TABLE nokey (id int); CREATE TABLE nokey2 (id int);
      CREATE UNLOGGED TABLE fast (id int PRIMARY KEY); CREATE TABLE def (id int PRIMARY KEY DEFERRABLE);
      GRANT USAGE ON SCHEMA bad TO poor; GRANT SELECT ON bad.nokey TO poor`,
    );
    await using source = await fixture.open('bad', { user: 'poor', password: 'poor' });
    const error = await failure(
      source.preflight({ ...ALL, excludeColumns: { ok: ['id', 'none'] } }),
    );
    const lines = error.message.split('\n');
    expect(lines).toContain('The following tables do not have primary key defined: nokey, nokey2');
    expect(lines).toContain(
      `exclude_columns validation failed: column 'none' does not exist in table 'ok'`,
    );
    expect(lines).toContain(
      `exclude_columns validation failed: column 'id' in table 'ok' is a primary key column and cannot be excluded`,
    );
    expect(lines).toContain('unlogged and temporary tables are not in the log: bad.fast');
    expect(lines).toContain(
      'the user lacks SELECT (or USAGE of the schema) for: bad.def, bad.fast, bad.nokey2, bad.ok',
    );
    expect(error.message).toContain('user poor may not replicate');
    expect(error.message).toContain('to make a publication the user needs CREATE on database');
    expect(error.message).toContain('DEFERRABLE');
    await using owner = await fixture.open('bad');
    expect((await failure(owner.preflight({ ...ALL, include: ['nokey'] }))).message).toBe(
      'The following tables do not have primary key defined: nokey',
    );
    expect((await failure(owner.preflight({ ...ALL, include: ['absent'] }))).message).toBe(
      'Can not found match table in database bad',
    );
    await using empty = await fixture.open('no_such_schema');
    expect((await failure(empty.preflight(ALL))).message).toBe(
      'No tables found in database no_such_schema',
    );
  });

  test.runIf(fixture.here)(
    'a killed walsender, a restarted server, a changed password, a lost slot',
    async () => {
      await fixture.server.query(
        `CREATE ROLE rep LOGIN REPLICATION PASSWORD 'one'; GRANT CREATE ON DATABASE postgres TO rep`,
      );
      await fixture.schema(
        'faults',
        `CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t OWNER TO rep; GRANT USAGE ON SCHEMA faults TO rep`,
      );
      const login = { user: 'rep', password: 'one' };
      await using source = await fixture.open('faults', login);
      const jobId = fixture.job;
      const tables = await source.preflight(ALL);
      let at = await source.safePosition();
      const replica = new Replica();
      const caught = async (break_: () => Promise<unknown>): Promise<ProxyError> => {
        await using stream = await source.openStream(tables, at);
        at = await replica.follow(stream, await source.latestPosition());
        const reading = failure(
          (async () => {
            for (;;) await replica.step(stream);
          })(),
        );
        await break_();
        return await reading;
      };
      const killed = await caught(() =>
        fixture.server.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'doris_job_${jobId}' AND backend_type = 'walsender'`,
        ),
      );
      expect([killed.code, killed.failure.cure]).toEqual(['SOURCE_UNREACHABLE', 'retry']);
      await fixture.server.query('INSERT INTO faults.t VALUES (1)');
      const restarted = await caught(async () => {
        await fixture.server.query('INSERT INTO faults.t VALUES (2)');
        await fixture.server.kill();
        const down = await failure(source.latestPosition());
        expect(down.code).toBe('SOURCE_UNREACHABLE');
        await fixture.server.start();
      });
      expect(restarted.code).toBe('SOURCE_UNREACHABLE');
      {
        await using stream = await source.openStream(tables, at);
        at = await replica.follow(stream, await source.latestPosition());
        expect(replica.rows(tables[0]!).size).toBe(2);
        // Somebody else wants the slot while we have it: the other waits and tries again.
        await using other = await fixture.open('faults', { ...login, jobId });
        const busy = await failure(other.openStream(tables, at));
        expect([busy.code, busy.message]).toEqual([
          'SOURCE_UNREACHABLE',
          expect.stringContaining('is active, held by another consumer'),
        ]);
      }
      await fixture.server.query(`ALTER ROLE rep PASSWORD 'two'`);
      const denied = await failure(fixture.open('faults', { ...login, jobId }));
      expect([denied.code, denied.failure.cure]).toEqual(['SOURCE_ACCESS', 'operator']);
      expect(denied.message).toContain('password authentication failed');
      expect(denied.message).not.toContain(login.password + "'");
      await using admin = await fixture.open('faults', { jobId });
      await fixture.server.query(`DROP PUBLICATION doris_pub_${jobId}`);
      const unpublished = await failure(admin.openStream(tables, at));
      expect([unpublished.code, unpublished.message]).toEqual([
        'SOURCE_SETTING',
        expect.stringContaining('publication'),
      ]);
      await fixture.server.query(`CREATE PUBLICATION doris_pub_${jobId} FOR TABLE faults.t`);
      await fixture.server.query(
        `SELECT pg_replication_slot_advance('doris_cdc_${jobId}', pg_current_wal_lsn())`,
      );
      const advanced = await failure(admin.openStream(tables, { ...at, lsn: '1' } as Position));
      expect([advanced.code, advanced.message]).toEqual([
        'POSITION_LOST',
        expect.stringContaining('Replication slot invalidated'),
      ]);
      await fixture.server.query(`SELECT pg_drop_replication_slot('doris_cdc_${jobId}')`);
      const dropped = await failure(admin.openStream(tables, at));
      expect([dropped.code, dropped.message]).toEqual([
        'POSITION_LOST',
        expect.stringContaining('does not exist'),
      ]);
      await admin.release();
    },
  );

  test.runIf(fixture.here)('a server that says nothing is given up', async () => {
    await fixture.schema('silent', 'CREATE TABLE t (id int PRIMARY KEY)');
    await using source = await fixture.open('silent');
    await source.preflight(ALL);
    const from = lsnOf(await source.safePosition());
    await using relay = await SilentRelay.open(fixture.server.port);
    const { host, user, password, database } = fixture.server;
    const slot = `doris_cdc_${fixture.job}`;
    await using reader = await WalReader.open({
      target: { host, port: relay.port, user, password, database, applicationName: 'silent' },
      slot,
      publication: `doris_pub_${fixture.job}`,
      from,
      senderTimeoutMs: 300,
      silenceMs: 600,
    });
    const { signal } = new AbortController();
    // An idle server is no silent one: it answers to be asked.
    for (const until = Date.now() + 1_000; Date.now() < until;) {
      await reader.wait(100, signal);
      while (reader.queue.peek()) reader.advance();
    }
    relay.silence();
    const error = await failure(
      (async () => {
        for (;;) {
          await reader.wait(5_000, signal);
          while (reader.queue.peek()) reader.advance();
        }
      })(),
    );
    expect([error.code, error.message]).toEqual([
      'SOURCE_UNREACHABLE',
      expect.stringContaining(`the replication stream of slot ${slot} ended: no message for`),
    ]);
    await reader[Symbol.asyncDispose]();
    await source.release();
  });

  test.runIf(fixture.here)('wal_level below logical, and a slot that lost its WAL', async () => {
    await using own = await startPostgres({ version, options: ['--wal_level=replica'] });
    await own.query('CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE busy (v text)');
    const target = {
      host: own.host,
      port: own.port,
      user: own.user,
      password: own.password,
      database: own.database,
    };
    {
      await using source = await PostgresSource.open({ jobId: 1, schema: 'public', target });
      const error = await failure(source.preflight({ ...ALL, include: ['t'] }));
      expect([error.code, error.message]).toEqual([
        'SOURCE_SETTING',
        expect.stringContaining('wal_level is replica, logical is needed'),
      ]);
    }
    await own.restart([
      '--wal_level=logical',
      '--max_slot_wal_keep_size=1MB',
      '--min_wal_size=32MB',
      '--max_wal_size=32MB',
    ]);
    await using source = await PostgresSource.open({ jobId: 1, schema: 'public', target });
    const tables = await source.preflight({ ...ALL, include: ['t'] });
    const from = await source.safePosition();
    for (let i = 0; i < 6; i++) {
      await own.query(
        `INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 10000); SELECT pg_switch_wal(); CHECKPOINT`,
      );
    }
    const lost = await failure(source.openStream(tables, from));
    expect([lost.code, lost.failure.cure]).toEqual(['POSITION_LOST', 'operator']);
    expect(lost.message).toContain('wal_status lost');
  });
});
