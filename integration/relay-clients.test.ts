import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, mariadbCli, mysqlCli, startMariadb, startMysql } from './servers.ts';
import type { MysqlServer } from './servers.ts';
import { runGo, runJava, runPython, type Seen } from './support/client-programs.ts';
import {
  cliResults,
  expectSame,
  nameOf,
  relayRuns,
  type Variant,
  type Ways,
} from './support/client-runs.ts';
import { relayScript } from './support/clients/mysql2.ts';
import { type ProxyHandle, startProxy } from './support/proxy.ts';
import { TLS_ARGS } from './support/tls-args.ts';

/** Clients as they are, in front of real servers: whatever an application does is the same directly and through the proxy. */

/** Each way of a driver at least once in front of one of the two servers, TLS in front of both, and values of 17 MB once for each driver. */
const JDBC: Readonly<Record<'mysql' | 'mariadb', readonly Variant[]>> = {
  mysql: ['Connector/J 8', 'Connector/J 9', 'MariaDB Connector/J'].flatMap((client): Variant[] => {
    const [off, on] = client.startsWith('MariaDB')
      ? ['disable', 'trust']
      : ['DISABLED', 'REQUIRED'];
    const plain = `sslMode=${off}&allowPublicKeyRetrieval=true`;
    const large = client !== 'Connector/J 8';
    return [
      { client, options: `${plain}&useCursorFetch=true&defaultFetchSize=7&allowMultiQueries=true` },
      { client, options: `${plain}&useServerPrepStmts=true&rewriteBatchedStatements=true`, large },
      { client, options: `sslMode=${on}&useServerPrepStmts=true&cachePrepStmts=true` },
    ];
  }),
  mariadb: [
    { client: 'Connector/J 8', options: 'sslMode=REQUIRED&useServerPrepStmts=true', large: true },
    { client: 'Connector/J 8', options: 'useCompression=true' },
    { client: 'Connector/J 9', options: 'rewriteBatchedStatements=true&allowMultiQueries=true' },
    { client: 'Connector/J 9', options: 'useCursorFetch=true&defaultFetchSize=7' },
    {
      client: 'MariaDB Connector/J',
      options: 'sslMode=trust&useBulkStmts=true&useCompression=true',
    },
  ],
};

const PYTHON: readonly Variant[] = [
  { client: 'pymysql', options: '' },
  { client: 'pymysql', options: 'tls&multi' },
  { client: 'MySQLdb', options: 'multi' },
  { client: 'mysql+pymysql', options: 'tls' },
  { client: 'mysql+mysqldb', options: '' },
];

const GO: readonly Variant[] = [
  { client: '', options: '' },
  { client: '', options: 'interpolateParams=true&multiStatements=true&parseTime=true' },
  { client: '', options: 'tls=skip-verify&maxAllowedPacket=0&compress=true' },
];

/** For command lines: the results with their types, errors that stop nobody, the names for completion (\#). */
const STATEMENTS = `
drop database if exists cli;
create database cli character set utf8mb4;
use cli
create table t (id int primary key auto_increment, s varchar(50), b blob, d decimal(10,3), dt datetime(6));
insert into t (s, b, d, dt) values ('ü€😀', x'00ff27', 1.5, '2026-01-02 03:04:05.678901'), (null, null, null, null);
insert ignore into t (id) values (1), (9);
select * from t;
select * from t where false;
selec 1;
select * from nowhere;
show create table t\\G
prepare p from 'select id, ? as x from t order by id limit 1';
set @x = 'executed';
execute p using @x;
deallocate prepare p;
/* PAUSE JOB WHERE jobName = 'x' */ select 'create job a on streaming from mysql ( ) to database b' as looks_like_ours;
delimiter //
create procedure twice(in a int) begin select a; select a * 2 as second; end//
delimiter ;
call twice(21);
\\#
begin;
delete from t;
rollback;
select count(*), database(), current_user() from t;
status_of_nothing;
drop database cli;
`;

const START = { mysql: startMysql, mariadb: startMariadb };

function relays(kind: keyof typeof START): void {
  let server: MysqlServer;
  let proxy: ProxyHandle;
  let ways: Ways;

  beforeAll(async () => {
    server = await START[kind](['--max-allowed-packet=64M']);
    const { host, port, user, password } = server;
    proxy = await startProxy({
      fe: `${host}:${port}`,
      feHttp: '127.0.0.1:1', // There are no jobs.
      dorisPassword: password,
      args: TLS_ARGS,
    });
    ways = {
      direct: { host, port },
      relayed: { host: proxy.host, port: proxy.port },
      serverTls: kind === 'mysql',
      kind: 'mysql',
      user,
      password,
    };
  });

  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  describe.each([
    ['JDBC', runJava, JDBC[kind]],
    ['Python', runPython, PYTHON],
    ['Go', runGo, GO],
  ] as const)('%s', (_language, runClients, variants) => {
    let seen: ReadonlyMap<string, Seen> | undefined;

    beforeAll(async () => {
      seen = await runClients(relayRuns(ways, variants));
    });

    test.for(variants.map(nameOf))('%s', (name, { skip }) => {
      skip(seen === undefined, 'not on this machine');
      expectSame(seen, name);
    });
  });

  test('mysql2', async () => {
    const { user, password, direct, relayed } = ways;
    const ssl = { rejectUnauthorized: false };
    const seen = new Map<string, Seen>([
      ['direct mysql2', await relayScript({ ...direct, user, password }, 'mysql')],
      ['relayed mysql2', await relayScript({ ...relayed, user, password }, 'mysql')],
      ['direct TLS', await relayScript({ ...direct, user, password }, 'mysql')],
      ['relayed TLS', await relayScript({ ...relayed, user, password, ssl }, 'mysql')],
    ]);
    expectSame(seen, 'mysql2');
    expectSame(seen, 'TLS');
  });

  test.each([
    ['mysql', mysqlCli, ['--ssl-mode=DISABLED', '--get-server-public-key']],
    ['mysql', mysqlCli, ['--ssl-mode=PREFERRED', '--get-server-public-key', '--table']],
    ['mariadb', mariadbCli, ['--skip-ssl']],
    ['mariadb', mariadbCli, ['--ssl', '--skip-ssl-verify-server-cert', '--quick', '--xml']],
  ] as const)('the command line of %s (%#)', async (client, cli, options) => {
    if (!available(client)) return;
    const [direct, relayed] = await cliResults(ways, cli, options, STATEMENTS);
    expect(direct.stdout).toContain('executed');
    expect(direct.stderr).toContain('ERROR 1064 (42000)');
    expect(relayed).toEqual(direct);
  });
}

for (const kind of ['mysql', 'mariadb'] as const) {
  describe.runIf(available(kind))(`${kind}, relayed`, () => relays(kind));
}
