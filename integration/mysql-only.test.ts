import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import { ProxyError } from '../src/model/error.ts';
import type { MysqlPosition } from '../src/model/offset.ts';
import { openSource } from '../src/source/open-source.ts';
import type { Source } from '../src/source/source.ts';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { ALL, allSplits, copy, newDatabase, openMysql } from './support/mysql-job.ts';
import { follow, LIMIT, never, Replica, sourceRows } from './support/replica.ts';

const mysqlPosition = (position: unknown): MysqlPosition => position as MysqlPosition;

const xa = (xid: string, id: number): string =>
  `XA START '${xid}'; INSERT INTO t VALUES (${id}); XA END '${xid}'; XA PREPARE '${xid}';`;

/** Takes a safe position while a commit is logged and not yet visible: the row must be seen afterwards, by SELECT or in the stream. */
async function expectSafe(server: MysqlServer, source: Source): Promise<void> {
  const specs = await source.preflight(ALL);
  const writer = await server.connect({ database: 'late' });
  const logEnd = async (): Promise<number> => mysqlPosition(await source.latestPosition()).pos;
  await server.query('SET GLOBAL binlog_group_commit_sync_delay = 1000000');
  try {
    const before = await logEnd();
    const commit = writer.query('INSERT INTO t VALUES (1)');
    await vi.waitFor(async () => expect(await logEnd()).toBeGreaterThan(before), { interval: 10 });
    const safe = await source.safePosition();
    const visible = (await server.query('SELECT * FROM late.t')).length;
    await commit;
    await using stream = await source.openStream(specs, safe);
    const replica = new Replica();
    await follow(stream, replica);
    expect(replica.rows + visible).toBeGreaterThan(0);
  } finally {
    await server.query('SET GLOBAL binlog_group_commit_sync_delay = 0');
    writer.destroy();
  }
}

describe.runIf(available('mariadb'))('MariaDB', () => {
  test('a prepared XA transaction stops the stream: no position can wait for it', async () => {
    await using server = await startMariadb();
    await using source = await newDatabase(server, 'xa', 'CREATE TABLE t (id INT PRIMARY KEY)');
    await using stream = await source.openStream(
      await source.preflight(ALL),
      await source.latestPosition(),
    );
    await server.query("XA START 'a'; INSERT INTO t VALUES (3); XA END 'a'; XA PREPARE 'a'");
    await expect(follow(stream, new Replica())).rejects.toMatchObject({
      code: 'UNDECODABLE',
      message: expect.stringContaining('an XA transaction was prepared on xa.t') as string,
    });
    await server.query("XA ROLLBACK 'a'");
  });
});

describe.runIf(available('mysql'))('MySQL with GTIDs', () => {
  let server: MysqlServer;
  beforeAll(async () => {
    server = await startMysql(['--gtid-mode=ON', '--enforce-gtid-consistency=ON']);
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  test('XA transactions count when they commit, also when the stream was opened anew in between', async () => {
    await using source = await newDatabase(server, 'xa', 'CREATE TABLE t (id INT PRIMARY KEY)');
    const specs = await source.preflight(ALL);
    const from = await source.latestPosition();
    await server.query(`${xa('a', 1)} ${xa('b', 2)} ${xa('c', 3)} INSERT INTO t VALUES (10);
      XA COMMIT 'b'; FLUSH BINARY LOGS; INSERT INTO t VALUES (11)`);
    const replica = new Replica();
    let position = from;
    {
      await using stream = await source.openStream(specs, from);
      const fills = await follow(stream, replica);
      position = fills.at(-1)!.to;
    }
    expect(replica.sorted('xa.t')).toEqual(await sourceRows(server, 'xa.t'));
    expect(replica.rows).toBe(3);
    await server.query(
      "XA COMMIT 'a'; XA ROLLBACK 'c'; INSERT INTO t VALUES (12); XA START 'd'; XA END 'd'; XA PREPARE 'd'; XA COMMIT 'd'",
    );
    await using stream = await source.openStream(specs, position);
    await follow(stream, replica);
    expect(replica.sorted('xa.t')).toEqual(await sourceRows(server, 'xa.t'));
    // Nothing is left out any more.
    const { to } = await stream.fill(new Batch(), LIMIT, never);
    const { gtids } = mysqlPosition(await source.latestPosition());
    expect(to).toMatchObject({ gtids });
  });

  test('TLS carries control queries, rows and the log; a certificate must verify when asked for', async () => {
    await using plain = await newDatabase(
      server,
      'secret',
      "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1, 'a')",
    );
    await server.query(`DROP USER IF EXISTS tls; CREATE USER tls IDENTIFIED BY 'Secret-1' REQUIRE SSL;
      GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO tls`);
    const login = { user: 'tls', database: 'secret' };
    const url = `jdbc:mysql://${server.host}:${server.port}/`;
    const connect = (more: Record<string, string>, rootCertificate?: string): Promise<Source> =>
      openSource('MYSQL', { jdbc_url: url, ...login, ...more }, 'Secret-1', {
        jobId: 77,
        ...(rootCertificate === undefined ? {} : { rootCertificate }),
      });
    await expect(connect({})).rejects.toMatchObject({ code: 'SOURCE_ACCESS' });
    const ca = readFileSync(join(server.dataDir!, 'ca.pem'), 'utf8');
    for (const opening of [
      connect({ ssl_mode: 'require' }),
      connect({ jdbc_url: `${url}?useSSL=true` }),
      connect({ ssl_mode: 'verify-ca' }, ca),
    ]) {
      await using source = await opening;
      const [table] = await source.preflight(ALL);
      await using stream = await source.openStream([table!], await source.safePosition());
      const replica = new Replica();
      for (const split of await allSplits(source, table!, 10))
        await copy(source, table!, split, replica);
      await server.query("UPDATE t SET v = CONCAT(v, 'b')");
      await follow(stream, replica);
      expect(replica.sorted('secret.t')).toEqual(await sourceRows(server, 'secret.t'));
    }
    const other = readFileSync(join(server.dataDir!, 'client-cert.pem'), 'utf8');
    await expect(connect({ ssl_mode: 'verify-ca' }, other)).rejects.toMatchObject({
      code: 'SOURCE_ACCESS',
    });
    await expect(connect({ ssl_mode: 'verify-ca' })).rejects.toThrow(
      "ssl_mode 'verify-ca' requires ssl_rootcert to be set",
    );
    expect(await plain.lagBytes(await plain.latestPosition())).toBe(0);
  });

  test('a second stream with the same server id ends the first one, by name', async () => {
    await using source = await newDatabase(server, 'twice', 'CREATE TABLE t (id INT PRIMARY KEY)');
    const specs = await source.preflight(ALL);
    const from = await source.latestPosition();
    await using first = await source.openStream(specs, from);
    await first.fill(new Batch(), LIMIT, never);
    await using second = await source.openStream(specs, from);
    await expect(follow(first, new Replica(), { ...LIMIT, idleMs: 5_000 })).rejects.toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      message: expect.stringContaining('same server_uuid/server_id') as string,
    });
    await server.query('INSERT INTO t VALUES (1)');
    const replica = new Replica();
    await follow(second, replica);
    expect(replica.rows).toBe(1);
  });

  test('a safe position is before a commit that is logged and not yet visible', async () => {
    await using source = await newDatabase(server, 'late', 'CREATE TABLE t (id INT PRIMARY KEY)');
    await expectSafe(server, source);
  });
});

describe.runIf(available('mysql'))('MySQL without GTIDs', () => {
  let server: MysqlServer;
  beforeAll(async () => {
    server = await startMysql(['--gtid-mode=OFF', '--enforce-gtid-consistency=OFF']);
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  test('without GTIDs positions are files and offsets, of one server only', async () => {
    await server.query(
      'CREATE DATABASE plain; USE plain; CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))',
    );
    await using source = await openMysql(server, 'plain');
    const specs = await source.preflight(ALL);
    const safe = mysqlPosition(await source.safePosition());
    expect(safe.gtids).toBe('');
    await server.query(
      "INSERT INTO t VALUES (1, 'a'); FLUSH BINARY LOGS; INSERT INTO t VALUES (2, 'b')",
    );
    const replica = new Replica();
    let fills;
    {
      await using stream = await source.openStream(specs, safe);
      fills = await follow(stream, replica, { ...LIMIT, rowsMax: 1 });
    }
    expect(replica.sorted('plain.t')).toEqual(await sourceRows(server, 'plain.t'));
    const half = new Replica();
    await using rest = await source.openStream(specs, fills[0]!.to);
    await follow(rest, half);
    expect(half.rows).toBe(1);
    const foreign = { ...safe, serverUuid: '00000000-0000-0000-0000-000000000000' };
    await expect(source.openStream(specs, foreign)).rejects.toMatchObject({
      code: 'POSITION_LOST',
    });
    await expect(
      source.openStream(specs, {
        ...safe,
        file: '',
        gtids: '3e11fa47-71ca-11e1-9e33-c80aa9429562:1',
      }),
    ).rejects.toBeInstanceOf(ProxyError);
  });

  test('a safe position waits for commits, by time for a user who may not ask for them', async () => {
    await using source = await newDatabase(server, 'late', 'CREATE TABLE t (id INT PRIMARY KEY)');
    await expectSafe(server, source);
    await server.query(`DROP USER IF EXISTS reader; CREATE USER reader IDENTIFIED BY 'Reader-1';
      GRANT SELECT ON late.* TO reader; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader;
      DELETE FROM late.t`);
    const properties = {
      jdbc_url: `jdbc:mysql://${server.host}:${server.port}`,
      user: 'reader',
      database: 'late',
    };
    await using plain = await openSource('MYSQL', properties, 'Reader-1', { jobId: 7 });
    await expectSafe(server, plain);
  });

  test('compressed transactions are decoded, cut and resumed like others', async () => {
    await server.query(
      'CREATE DATABASE packed; USE packed; CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(400)); SET SESSION binlog_transaction_compression = ON',
    );
    await using source = await openMysql(server, 'packed');
    const specs = await source.preflight(ALL);
    const from = await source.latestPosition();
    await server.query(`INSERT INTO t VALUES (1, 'a');
      BEGIN; INSERT INTO t SELECT id + 100, REPEAT('z', 300) FROM (
        WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 500) SELECT * FROM n) x;
      UPDATE t SET v = 'u' WHERE id % 3 = 0; COMMIT; DELETE FROM t WHERE id = 101`);
    const cut = { ...LIMIT, rowsMax: 1 };
    const replica = new Replica();
    const batch = new Batch();
    let [position, inside] = [from, 0];
    for (;;) {
      await using stream = await source.openStream(specs, position);
      const fill = await stream.fill(batch, cut, never);
      if (batch.empty) break;
      replica.apply(batch);
      position = fill.to;
      if (mysqlPosition(position).event > 0) inside++;
    }
    expect(inside).toBeGreaterThan(5);
    expect(replica.sorted('packed.t')).toEqual(await sourceRows(server, 'packed.t'));
  });
});
