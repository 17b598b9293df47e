import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPostgresOptions } from '../src/source/postgres/postgres-options.ts';
import { PostgresSource } from '../src/source/postgres/postgres-source.ts';
import { available, type PostgresServer, startPostgres } from './servers.ts';
import { findProgram } from './support/server-process.ts';
import { ALL, copied, failure } from './support/postgres-fixture.ts';
import { Replica } from './support/postgres-replica.ts';

const openssl = findProgram('openssl');

describe.runIf(available('postgres15') && openssl !== undefined)('Postgres over TLS', () => {
  let server: PostgresServer;
  let authority: string;

  beforeAll(async () => {
    server = await startPostgres({ version: 15 });
    const folder = server.dataDir!;
    const [key, certificate] = [join(folder, 'server.key'), join(folder, 'server.crt')];
    const request = ['req', '-new', '-x509', '-days', '2', '-nodes', '-subj', '/CN=another.name'];
    execFileSync(openssl!, [...request, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
    authority = readFileSync(certificate, 'utf8');
    const { uid, gid } = statSync(folder);
    chownSync(key, uid, gid);
    chownSync(certificate, uid, gid);
    chmodSync(key, 0o600);
    await server.restart(['--ssl=on']);
    await server.query(
      `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i`,
    );
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  function open(properties: Record<string, string>, query = ''): Promise<PostgresSource> {
    const { host, port, user, password, database } = server;
    const jdbc_url = `jdbc:postgresql://${host}:${port}/${database}${query}`;
    const given = { jdbc_url, user, database, schema: 'public', ...properties };
    const context = { jobId: 1, rootCertificate: authority };
    return PostgresSource.open(readPostgresOptions(given, password, context));
  }

  test.each(['require', 'verify-ca'])('ssl_mode %s: copy and stream', async (mode) => {
    await using source = await open({ ssl_mode: mode });
    const { tables, replica, from } = await copied(source);
    await server.query(
      `UPDATE t SET v = repeat('y', 600) WHERE id % 3 = 0; DELETE FROM t WHERE id = 1`,
    );
    await using stream = await source.openStream(tables, from);
    await replica.follow(stream, await source.latestPosition());
    const [row] = await server.query<{ plain: string; coded: string }>(
      `SELECT count(*) FILTER (WHERE NOT ssl) AS plain, count(*) FILTER (WHERE ssl) AS coded
       FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'doris_job_1'`,
    );
    expect([row?.plain, Number(row?.coded) >= 2]).toEqual(['0', true]);
    const now = new Replica();
    await now.copy(source, tables, 5000);
    expect(replica.rows(tables[0]!)).toEqual(now.rows(tables[0]!));
    await stream[Symbol.asyncDispose]();
    await source.release();
  });

  test('a certificate for another name, and a server without TLS, are refused and not gone without', async () => {
    const name = await failure(open({}, '?sslmode=verify-full'));
    expect([name.code, name.message]).toEqual([
      'SOURCE_SETTING',
      expect.stringContaining('does not match'),
    ]);
    await server.restart(['--ssl=off']);
    const none = await failure(open({ ssl_mode: 'require' }));
    expect([none.code, none.message]).toEqual([
      'SOURCE_SETTING',
      expect.stringContaining('does not support SSL'),
    ]);
    await using source = await open({});
    expect(await source.preflight(ALL)).toHaveLength(1);
  });
});
