import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, mariadbCli, mysqlCli } from './servers.ts';
import { type Driver, DRIVERS, javaClient, pythonClient } from './support/client-programs.ts';
import { createMysqlJob } from './support/jobs.ts';
import { type Command, removeFolder, run, temporaryFolder } from './support/server-process.ts';
import { T, Worlds } from './support/worlds.ts';

const JOB_COLUMNS =
  'Id,Name,Definer,ExecuteType,RecurringStrategy,Status,ExecuteSql,CreateTime,SucceedTaskCount,FailedTaskCount,' +
  'CanceledTaskCount,Comment,Properties,CurrentOffset,EndOffset,LoadStatistic,ErrorMsg,JobRuntimeMsg';

/** What every client must say of the life of its job. */
const LIFE = {
  refused: expect.stringContaining(
    'errCode = 2, detailMessage = job name exist, jobName:by_client',
  ) as string,
  columns: 'Name,Status',
  paused: 'PAUSED',
  status: 'RUNNING',
  task: 'SUCCESS',
  all: `1 ${JOB_COLUMNS}`,
  joined: 'n,c by_client true',
  left: '0',
};

/** The last text of each kind that a client has printed. */
const life = async (command: Command): Promise<Record<string, string>> => {
  const result = await run(command, { timeoutMs: 60_000 });
  // A driver may warn of the refusal on stderr.
  if (result.code !== 0) throw new Error(result.stderr);
  const lines = result.stdout.trim().split('\n');
  return Object.fromEntries(
    lines.map((line): [string, string] => {
      const at = line.indexOf(': ');
      return [line.slice(0, at), line.slice(at + 2)];
    }),
  );
};

describe.runIf(available('mariadb'))('clients that run a job', () => {
  const world = new Worlds('mariadb');
  const folder = temporaryFolder('clients');
  const file = join(folder, 'create.sql');
  let create = '';

  beforeAll(async () => {
    const place = await world.place(T);
    create = createMysqlJob(world.mysql, {
      name: 'by_client',
      database: place.database,
      tables: 't',
      target: place.target,
    });
    writeFileSync(file, create);
  });
  afterAll(() => removeFolder(folder));

  test('PyMySQL', async () => {
    const { host, port } = world.it.proxy;
    const command = await pythonClient('job_client', [host, String(port), 'root', file]);
    if (command !== undefined) expect(await life(command)).toEqual(LIFE);
  });

  const OPTIONS = [
    '',
    'useServerPrepStmts=true',
    'useServerPrepStmts=true&cachePrepStmts=true',
    'useCursorFetch=true&defaultFetchSize=1',
    'rewriteBatchedStatements=true&allowMultiQueries=true',
  ];
  const RUNS = (Object.keys(DRIVERS) as Driver[]).flatMap((driver) =>
    OPTIONS.map((options): [Driver, string] => [driver, options]),
  );

  test.each(RUNS)('%s with "%s"', async (driver, options) => {
    const { host, port } = world.it.proxy;
    const url = `jdbc:${DRIVERS[driver].scheme}://${host}:${port}/?${options}`;
    const command = await javaClient('JobClient', driver, [url, 'root', file]);
    if (command === undefined) return;
    const expected = options.includes('useServerPrepStmts')
      ? LIFE
      : { ...LIFE, columns: expect.stringMatching(/^(?:Name,Status|unknown)$/) as string };
    expect(await life(command)).toEqual(expected);
  });

  test.each(['mysql', 'mariadb'] as const)('the command line of %s', async (kind) => {
    if (!available(kind)) return;
    const cli = kind === 'mysql' ? mysqlCli : mariadbCli;
    const login = ['-h127.0.0.1', `-P${world.it.proxy.port}`, '-uroot', '--batch'];
    const said = async (sql: string): Promise<string> => {
      const result = await cli(login, sql);
      expect(result).toMatchObject({ code: 0, stderr: '' });
      return result.stdout.trim();
    };
    expect(await said(`${create};`)).toBe('');
    expect(await cli(login, `${create};`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        'ERROR 1105 (HY000) at line 1: errCode = 2, detailMessage = job name exist, jobName:by_client',
      ) as string,
    });
    expect(await said('PAUSE JOB WHERE jobname = by_client ;')).toBe('');
    expect(await said('select Name, Status from jobs("type"="insert");')).toBe(
      'Name\tStatus\nby_client\tPAUSED',
    );
    expect(await said('select upper(Name) n, 1 + 1 x from jobs("type"="insert");')).toBe(
      'n\tx\nBY_CLIENT\t2',
    );
    expect(await said("RESUME JOB WHERE jobname = 'by_client';")).toBe('');
    expect(await said("DROP JOB WHERE jobname = 'by_client';")).toBe('');
    expect(await said('select Name from jobs("type"="insert");')).toBe('');
  });
});
