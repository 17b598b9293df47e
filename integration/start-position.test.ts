import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  available,
  type MysqlServer,
  type PostgresServer,
  startMariadb,
  startMysql,
  startPostgres,
} from './servers.ts';
import { EndToEnd } from './support/end-to-end.ts';

// A commit is in the log before a SELECT can see it (cdc-semantics.md §3.5). The servers are made to stay in between for long,
// and CREATE JOB takes its place in the log then: the copy does not see the row, so the stream has to begin before it.

const TABLE = `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (0, 'old')`;
/** Every new session and DDL statement waits as well, on a machine that may be busy. */
const TIMEOUT_MS = 90_000;
const ROUNDS = 3;

/** Ways to a safe place (mysql-position.ts), and what keeps a transaction between log and visibility. */
const MYSQL_WAYS = [
  ['MySQL with GTIDs', 'mysql', () => startMysql()],
  [
    'MySQL without GTIDs',
    'mysql',
    () => startMysql(['--gtid-mode=OFF', '--enforce-gtid-consistency=OFF']),
  ],
  ['MariaDB', 'mariadb', () => startMariadb()],
] as const;

const SLOW_COMMIT = {
  mysql: 'SET GLOBAL binlog_group_commit_sync_delay = 1000000',
  // MariaDB's commit delay comes before the log is written; the wait for a replica comes behind it. None is there.
  mariadb: `SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC, GLOBAL rpl_semi_sync_master_wait_no_slave = ON,
    GLOBAL rpl_semi_sync_master_timeout = 3000, GLOBAL rpl_semi_sync_master_enabled = ON`,
} as const;

const QUICK_COMMIT = {
  mysql: 'SET GLOBAL binlog_group_commit_sync_delay = 0',
  mariadb: 'SET GLOBAL rpl_semi_sync_master_enabled = OFF',
} as const;

describe.each(MYSQL_WAYS)('CREATE JOB while commits are under way: %s', (_name, kind, start) => {
  let world: EndToEnd;
  let server: MysqlServer;
  beforeAll(async () => {
    if (!available(kind)) return;
    world = await EndToEnd.open(kind, async () => (server = await start()));
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const logEnd = async (): Promise<string> => {
    const show = kind === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS';
    const [row] = await server.query<{ File: string; Position: number }>(show);
    return `${row?.File}:${row?.Position}`;
  };

  test.runIf(available(kind))(
    'no row is missed',
    async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const place = await world.place(`window_${round}`);
        await place.sql(TABLE);
        const writers = await Promise.all(
          [1, 2, 3, 4].map(() => server.connect({ database: place.database })),
        );
        const before = await logEnd();
        await server.query(SLOW_COMMIT[kind]);
        const created = new AbortController();
        let [under, next] = [0, 0];
        /** Commits one row after another, until the job is there; `under` counts commits under way. */
        const write = async (writer: (typeof writers)[number]): Promise<void> => {
          do {
            under += 1;
            await writer.query(`INSERT INTO t VALUES (${++next}, 'new')`);
            under -= 1;
          } while (!created.signal.aborted);
        };
        const [first, ...others] = writers;
        const writing = [write(first!)];
        // The window is real: the row is in the log, and nobody sees it.
        await vi.waitFor(async () => expect(await logEnd()).not.toBe(before), { interval: 5 });
        expect(await server.query(`SELECT id FROM ${place.database}.t`)).toEqual([{ id: 0 }]);
        if (kind === 'mysql') writing.push(...others.map(write));
        await place.createJob(`window_${round}`, 't');
        const underAtEnd = under;
        created.abort();
        await Promise.all(writing);
        await server.query(QUICK_COMMIT[kind]);
        for (const writer of writers) writer.destroy();
        // CREATE JOB came back while a commit was under way: it was so when it took its place.
        expect(underAtEnd).toBeGreaterThan(0);
        await place.same('t', { timeoutMs: 60_000 });
        await place.dropJob(`window_${round}`);
      }
    },
    TIMEOUT_MS,
  );
});

describe('CREATE JOB while commits are under way: Postgres', () => {
  let world: EndToEnd;
  let server: PostgresServer;
  beforeAll(async () => {
    if (!available('postgres18')) return;
    world = await EndToEnd.open('postgres18', async () => (server = await startPostgres()));
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  const standby = async (names: string): Promise<void> => {
    await server.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
    await server.query('SELECT pg_reload_conf()');
  };
  const waiting = async (): Promise<readonly number[]> => {
    const rows = await server.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
    );
    return rows.map(({ pid }) => pid);
  };

  const RELEASE = {
    'the standby is given up': () => standby(''),
    'the wait is cancelled': async () => {
      for (const pid of await waiting()) await server.query(`SELECT pg_cancel_backend(${pid})`);
    },
  } as const;

  test.runIf(available('postgres18')).each(Object.keys(RELEASE) as (keyof typeof RELEASE)[])(
    'no row is missed that waits for a synchronous standby, until %s',
    async (release) => {
      const place = await world.place(`standby_${Object.keys(RELEASE).indexOf(release)}`);
      // The handle's own statements, and those of the job, do not wait for the standby.
      await server.query(`ALTER ROLE postgres SET synchronous_commit = local`);
      await server.query(`SET synchronous_commit = local`);
      await place.sql(TABLE);
      await standby('nobody');
      const writer = await server.connect({
        options: `-c search_path=${place.database} -c synchronous_commit=on`,
      });
      try {
        const committing = writer.query(`INSERT INTO t VALUES (1, 'before')`);
        await vi.waitFor(async () => expect(await waiting()).toHaveLength(1), { interval: 5 });
        // Flushed, and not visible: this is what SyncRep is.
        expect(await server.query(`SELECT id FROM ${place.database}.t`)).toEqual([{ id: 0 }]);
        let created = false;
        const creating = place.createJob('standby', 't').then(() => (created = true));
        // The slot is being made: the server waits for the transactions that began before it.
        await vi.waitFor(
          async () => {
            const [row] = await server.query<{ n: string }>(
              `SELECT count(*) AS n FROM pg_replication_slots`,
            );
            expect(Number(row?.n) > 0 || created).toBe(true);
          },
          { timeout: 20_000, interval: 20 },
        );
        expect(created).toBe(false);
        await RELEASE[release]();
        await committing;
        await creating;
        await standby('');
        await writer.query(`INSERT INTO t VALUES (2, 'after')`);
      } finally {
        await standby('');
        await writer.end();
      }
      await place.same('t', { timeoutMs: 60_000 });
      await place.dropJob('standby');
    },
    TIMEOUT_MS,
  );

  test.runIf(available('postgres18'))(
    'no row is missed that a given slot has already left behind while it waited',
    async () => {
      const place = await world.place('given_slot');
      await server.query(`SET synchronous_commit = local`);
      await place.sql(TABLE);
      await server.query(`SELECT pg_create_logical_replication_slot('given', 'pgoutput')`);
      await standby('nobody');
      const writer = await server.connect({
        options: `-c search_path=${place.database} -c synchronous_commit=on`,
      });
      try {
        const committing = writer.query(`INSERT INTO t VALUES (1, 'before')`);
        await vi.waitFor(async () => expect(await waiting()).toHaveLength(1), { interval: 5 });
        await server.query(`SELECT pg_replication_slot_advance('given', pg_current_wal_lsn())`);
        expect(await server.query(`SELECT id FROM ${place.database}.t`)).toEqual([{ id: 0 }]);
        const creating = place.createJob('given_slot', 't', { slot_name: 'given' });
        // Long enough for a copy that does not wait to have read the table without the row.
        const early = await Promise.race([
          creating.then(() => 'created'),
          sleep(3_000, 'still waiting'),
        ]);
        expect(early).toBe('still waiting');
        await standby('');
        await committing;
        await creating;
      } finally {
        await standby('');
        await writer.end();
      }
      await place.same('t', { timeoutMs: 60_000 });
      await place.dropJob('given_slot');
      await vi.waitFor(() => server.query(`SELECT pg_drop_replication_slot('given')`), 10_000);
    },
    TIMEOUT_MS,
  );
});
