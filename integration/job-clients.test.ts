import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, mariadbCli, mysqlCli } from './servers.ts';
import { DRIVERS, runGo, runJava, runPython, type Seen } from './support/client-programs.ts';
import {
  cliResults,
  expectSame,
  nameOf,
  relayRuns,
  type Variant,
  type Ways,
} from './support/client-runs.ts';
import { jobScript, relayScript } from './support/clients/mysql2.ts';
import { createMysqlJob } from './support/jobs.ts';
import { removeFolder, temporaryFolder } from './support/server-process.ts';
import { TLS_ARGS } from './support/tls-args.ts';
import { T, Worlds } from './support/worlds.ts';

const JOB_COLUMNS =
  'Id,Name,Definer,ExecuteType,RecurringStrategy,Status,ExecuteSql,CreateTime,SucceedTaskCount,FailedTaskCount,' +
  'CanceledTaskCount,Comment,Properties,CurrentOffset,EndOffset,LoadStatistic,ErrorMsg,JobRuntimeMsg';

const TASK_COLUMNS =
  'TaskId,JobId,JobName,Label,Status,ErrorMsg,CreateTime,StartTime,FinishTime,TrackingUrl,LoadStatistic,User,FirstErrorMsg,RunningOffset';

/** What every client must say of the life of its job. */
const LIFE: Seen = {
  columns: ['Name,Status'],
  status: ['RUNNING'],
  paused: ['PAUSED'],
  task: ['SUCCESS'],
  all: [`1 ${JOB_COLUMNS}`],
  parameters: ['by_client'],
  joined: ['n,c by_client true'],
  left: ['0'],
};

/** The words of a refusal, in whatever the driver makes of them. */
const REFUSALS = {
  refused: 'job name exist, jobName:by_client',
  'unknown job': 'job not exist, jobName: nobody',
  'alter refused': 'Only PAUSED job can be altered',
};

function expectLife(seen: Seen | undefined, more: Readonly<Record<string, unknown>> = {}): void {
  expect(seen).toMatchObject({ ...LIFE, ...more });
  for (const [what, words] of Object.entries(REFUSALS)) {
    const said = seen?.[what] ?? [];
    expect(said[0]).toBe('ERROR');
    expect(said.join(' ')).toMatch(/\b1105\b/);
    expect(said.at(-1)).toContain(`errCode = 2, detailMessage = ${words}`);
  }
}

/** Every column of `tasks()` by its name, and `type` as the driver calls it. */
const columnsOf = (type: string, between: string): string =>
  TASK_COLUMNS.split(',')
    .map((name) => `${name} ${type}`)
    .join(between);

const containing = (text: string): unknown => expect.stringContaining(text) as unknown;

/** What a program of one language says besides, by the name of the run. */
const MORE: Readonly<
  Record<'JDBC' | 'Python' | 'Go', (name: string) => Readonly<Record<string, unknown>>>
> = {
  JDBC: (name) => ({
    // 65,535 bytes of a character set that has three for a character.
    tasks: [columnsOf('CHAR 1 21845', ','), '1'],
    values: ['1', 'true', 'true', '0', 'class java.lang.String', 'true'],
    limited: ['[by_client]'],
    'limit is gone': ['[1, 2]'],
    'no tasks': ['[]'],
    tools: [
      ...Array.from({ length: 3 }, () => 'Name,Status by_client,RUNNING'),
      'Status,count RUNNING,1',
      'Name,Status by_client,RUNNING',
      'Name,Status ',
    ],
    // Connector/J joins the batch, and asks for several results only where they are offered. Doris does not, and gives one.
    batch: [/^Connector.*rewrite/.test(name) ? '[0, -3, -3, -3, -3, -3]' : '[0, 0, 0, 0, 0, 0]'],
  }),
  Python: (name) => {
    const several = ['count 0', "(('by_client', 'PAUSED'),)", '((1,),)', 'count 0'];
    if (!/^(?:pymysql|MySQLdb)/.test(name)) {
      // Only pydoris takes Doris' word for a table that is not there.
      const unknown = ['ERROR', 'OperationalError', '1105', containing('select * from jobs')];
      return {
        built: ["('by_client', 'RUNNING')"],
        name: name.startsWith('pydoris') ? ['False'] : unknown,
      };
    }
    return {
      tasks: [columnsOf('254', ','), '1'],
      streamed: [containing("{'Name': 'by_client', 'Status': 'RUNNING'}")],
      ...(name.includes('multi') ? { several } : {}),
    };
  },
  Go: (name) => ({
    created: ['0 0'],
    tasks: [columnsOf('CHAR true sql.NullString', '; ')],
    'by turns': ['by_client 1 by_client 2 by_client 3'],
    ...(name.includes('multi') ? { several: ['[Name Status] 1; [one] 1'] } : {}),
  }),
};

const JDBC: readonly Variant[] = Object.keys(DRIVERS).flatMap((client) => {
  const tls = client === 'MariaDB Connector/J' ? 'sslMode=trust' : 'sslMode=REQUIRED';
  return [
    '',
    `${tls}&useServerPrepStmts=true&cachePrepStmts=true`,
    'useCursorFetch=true&defaultFetchSize=1',
    'rewriteBatchedStatements=true&allowMultiQueries=true',
  ].map((options) => ({ client, options }));
});

const PYTHON: readonly Variant[] = [
  { client: 'pymysql', options: '' },
  { client: 'pymysql', options: 'tls&multi' },
  { client: 'MySQLdb', options: 'multi' },
  { client: 'mysql+pymysql', options: '' },
  { client: 'doris+pymysql', options: 'tls' },
  { client: 'pydoris', options: '' },
];

const GO: readonly Variant[] = [
  { client: '', options: '' },
  { client: '', options: 'interpolateParams=true&multiStatements=true' },
  { client: '', options: 'tls=skip-verify&maxAllowedPacket=0' },
];

/** For command lines: the stand-in's share of what is in relay-clients.test.ts. */
const STATEMENTS = `
drop database if exists cli;
create database cli;
use cli
create table t (id int, s varchar(50), d decimal(10,3)) unique key(id) distributed by hash(id) properties ('replication_num' = '1');
insert into t values (1, 'ü€😀', 1.5), (2, null, null);
select * from t order by id;
select * from t where false;
show tables;
desc t;
selec 1;
select * from nowhere;
/* PAUSE JOB WHERE jobName = 'x' */ select 'create job a on streaming from mysql ( ) to database b' as looks_like_ours;
\\#
drop database cli;
`;

/** The stand-in's share of the relayed SQL; relay-clients.test.ts has more, in front of real servers. */
const RELAYED = {
  jdbc: JDBC.filter(
    ({ client, options }) =>
      /sslMode|useCursorFetch/.test(options) ||
      (client === 'Connector/J 9' && /rewrite/.test(options)),
  ),
  python: PYTHON,
  go: GO,
};

/** Whom the clients log in as: somebody with a password and no more rights than needed. */
const APP = { user: 'app', password: "It's secret" };
const RIGHTS = 'SELECT_PRIV, LOAD_PRIV, ALTER_PRIV, CREATE_PRIV, DROP_PRIV';

describe.runIf(available('mariadb'))('clients that run a job', () => {
  const world = new Worlds('mariadb', TLS_ARGS);
  const folder = temporaryFolder('clients');
  let create = '';
  let alter = '';

  beforeAll(async () => {
    const place = await world.place(T);
    create = createMysqlJob(world.mysql, {
      name: 'by_client',
      database: place.database,
      tables: 't',
      target: place.target,
    });
    const { user, password } = world.mysql;
    alter = `ALTER JOB by_client FROM MYSQL ("user" = "${user}", "password" = "${password}") TO DATABASE ${place.target}`;
    await world.run(`DROP USER IF EXISTS '${APP.user}'`);
    await world.run(`CREATE USER '${APP.user}' IDENTIFIED BY "${APP.password}"`);
    await world.run(`GRANT ${RIGHTS} ON *.* TO '${APP.user}'`);
    writeFileSync(join(folder, 'create.sql'), create);
    writeFileSync(join(folder, 'alter.sql'), alter);
  });
  afterAll(async () => {
    removeFolder(folder);
    await world.run(`DROP USER IF EXISTS '${APP.user}'`);
  });

  const ways = (): Ways => {
    const [host = '', port] = world.it.doris.fe.split(':');
    const direct = { host, port: Number(port) };
    const relayed = { host: world.it.proxy.host, port: world.it.proxy.port };
    return { direct, relayed, serverTls: false, kind: 'doris', ...APP };
  };

  const jobRuns = (variants: readonly Variant[]): Parameters<typeof runJava>[0] => {
    const at = ways().relayed;
    return variants.map((variant) => {
      const { client, options } = variant;
      const name = nameOf(variant);
      return { name, script: 'job', client, at, options, ...APP, argument: folder };
    });
  };

  describe.each([
    ['JDBC', runJava, JDBC, RELAYED.jdbc],
    ['Python', runPython, PYTHON, RELAYED.python],
    ['Go', runGo, GO, RELAYED.go],
  ] as const)('%s', (language, runClients, jobs, relayed) => {
    let seen: ReadonlyMap<string, Seen> | undefined;

    beforeAll(async () => {
      seen = await runClients([...jobRuns(jobs), ...relayRuns(ways(), relayed)]);
    });

    test.for(jobs.map(nameOf))('a job by %s', (name, { skip }) => {
      skip(seen === undefined, 'not on this machine');
      expectLife(seen?.get(name), MORE[language](name));
    });

    test.for(relayed.map(nameOf))("Doris' SQL by %s", (name, { skip }) => {
      skip(seen === undefined, 'not on this machine');
      expectSame(seen, name);
    });
  });

  describe('mysql2', () => {
    const ssl = { rejectUnauthorized: false };

    test.each([
      ['plain', {}],
      ['TLS', { ssl }],
    ])('a job, %s', async (_how, more) => {
      const seen = await jobScript({ ...ways().relayed, ...APP, ...more }, create, alter);
      expectLife(seen, {
        tasks: [columnsOf('254', ',')],
        several: ['4', '[{"Name":"by_client"}]', '[{"one":1}]'],
      });
    });

    test("Doris' SQL", async () => {
      const { direct, relayed } = ways();
      const seen = new Map([
        ['direct mysql2', await relayScript({ ...direct, ...APP }, 'doris')],
        ['relayed mysql2', await relayScript({ ...relayed, ...APP, ssl }, 'doris')],
      ]);
      expectSame(seen, 'mysql2');
    });
  });

  test.each(['mysql', 'mariadb'] as const)('the command line of %s', async (kind) => {
    if (!available(kind)) return;
    const cli = kind === 'mysql' ? mysqlCli : mariadbCli;
    const tls = kind === 'mysql' ? '--ssl-mode=REQUIRED' : '--skip-ssl';
    const at = ['-h127.0.0.1', `-P${world.it.proxy.port}`];
    const login = [...at, `-u${APP.user}`, `-p${APP.password}`, '--batch', tls];
    const said = async (sql: string): Promise<string> => {
      const result = await cli(login, sql);
      expect(result.code).toBe(0);
      return result.stdout.trim();
    };
    const refused = async (sql: string): Promise<string> => {
      const result = await cli(login, sql);
      expect(result.code).toBe(1);
      return result.stderr.trim();
    };
    expect(await said(`${create};`)).toBe('');
    expect(await refused(`${create};`)).toContain(
      `ERROR 1105 (HY000) at line 1: errCode = 2, detailMessage = ${REFUSALS.refused}`,
    );
    expect(await refused(`${alter};`)).toContain(REFUSALS['alter refused']);
    expect(await said('PAUSE JOB WHERE jobname = by_client ;')).toBe('');
    expect(await said(`${alter};`)).toBe('');
    expect(await said('select Name, Status from jobs("type"="insert");')).toBe(
      'Name\tStatus\nby_client\tPAUSED',
    );
    expect(await said('select upper(Name) n, 1 + 1 x from jobs("type"="insert");')).toBe(
      'n\tx\nBY_CLIENT\t2',
    );
    expect(await said("RESUME JOB WHERE jobname = 'by_client';")).toBe('');
    expect(await said('select * from tasks("type"="insert") limit 0\\G')).toBe('');
    expect(await said("DROP JOB WHERE jobname = 'by_client';")).toBe('');
    expect(await said('select Name from jobs("type"="insert");')).toBe('');
  });

  test.each([
    ['mysql', mysqlCli, ['--ssl-mode=PREFERRED']],
    ['mariadb', mariadbCli, ['--skip-ssl', '--table']],
  ] as const)("Doris' SQL by the command line of %s", async (client, cli, options) => {
    if (!available(client)) return;
    const [direct, relayed] = await cliResults(ways(), cli, options, STATEMENTS);
    expect(direct.stdout).toContain('ü€😀');
    expect(direct.stdout).toContain('looks_like_ours');
    expect(direct.stderr).toContain('ERROR 1105 (HY000)');
    expect(relayed).toEqual(direct);
  });
});
