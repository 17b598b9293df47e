import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { available } from './servers.ts';
import { EndToEnd, type Place } from './support/end-to-end.ts';
import { createMysqlJob, jobRow, type JobRow, waitForJob } from './support/jobs.ts';
import type { MysqlServer } from './support/mysql-server.ts';
import { RandomWriter, WRITER_TABLES, writerConnection } from './support/random-writer.ts';

/** Within this time a job goes on, or says what it waits for. */
const NAMED_MS = 60_000;
/** A job that was paused three times waits for 40 s before it resumes by itself, and for 80 s after the fourth (job-sql.md §4.3). */
const RESUMED_MS = 120_000;

/** Faults are switches of the stand-in. */
const here = available('mariadb') && process.env['TEST_DORIS_URL'] === undefined;

const DISK_FULL =
  '[INTERNAL_ERROR]TStatus: errCode = 2, detailMessage = disk /data on backend 10002 exceed limit usage, path hash: 42';
const SCHEMA_CHANGE =
  "[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = Table[t]'s state(SCHEMA_CHANGE) is not NORMAL. Do not allow doing load";

/** Most of the time is waiting, so there are two worlds at once. */
describe.concurrent.each([
  ['in trouble while somebody writes', whileSomebodyWrites],
  ['away', away],
] as const)('Doris %s', (_, tests) => {
  describe.runIf(here).sequential('', tests);
});

/** `expect.poll` would have to know which of the tests that run it is in. */
const eventually = (check: () => Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: NAMED_MS, interval: 100 });

function whileSomebodyWrites(): void {
  let world: EndToEnd;
  let place: Place;
  let doris: Connection;
  let stopWriter: () => Promise<void>;
  let marks = 0;

  beforeAll(async () => {
    world = await EndToEnd.open('mariadb');
    doris = await world.doris.connect();
    place = await world.place('faults');
    const writer = new RandomWriter(7, 'mysql', 300);
    const connection = await writerConnection(world.source, place.database);
    for (const statement of writer.schema()) await connection.execute(statement);
    await place.sql('CREATE TABLE marks (id INT PRIMARY KEY, v VARCHAR(50))');
    await writer.write(50, connection.execute);
    await place.createJob('faults', ['marks', ...Object.keys(WRITER_TABLES)].join());
    const stop = new AbortController();
    const writing = (async () => {
      while (!stop.signal.aborted) await writer.write(5, connection.execute);
      await connection[Symbol.asyncDispose]();
    })();
    stopWriter = async () => {
      stop.abort();
      await writing;
    };
  });
  afterAll(async () => {
    await stopWriter?.();
    await doris?.end();
    await world?.[Symbol.asyncDispose]();
  });

  async function arm(faults: Record<string, unknown>): Promise<void> {
    const response = await fetch(`http://${world.doris.feHttp}/_standin/faults`, {
      method: 'PUT',
      body: JSON.stringify(faults),
    });
    expect(response.status).toBe(200);
  }

  async function rowsOf(table: string): Promise<unknown[]> {
    const [rows] = await doris.query<RowDataPacket[][]>({
      sql: `SELECT * FROM ${place.target}.${table} ORDER BY id`,
      rowsAsArray: true,
    });
    return rows;
  }

  /** A row written now arrives: what was in the way is over. */
  async function expectProgress(): Promise<void> {
    const id = ++marks;
    await place.sql(`INSERT INTO marks VALUES (${id}, 'mark ${id}')`);
    await eventually(async () => expect(await rowsOf('marks')).toHaveLength(id));
  }

  const paused = (job: string, words: RegExp): Promise<JobRow> =>
    waitForJob(
      world.client,
      job,
      ({ Status, ErrorMsg }) => Status === 'PAUSED' && words.test(ErrorMsg ?? ''),
      NAMED_MS,
    );

  test.each([
    ['the FE is away for a moment', { feDown: { count: 5 } }],
    ['no BE is alive for a moment', { beDown: { count: 5 } }],
    ['the line is cut during the body', { resetDuringBody: { count: 2 } }],
    ['the line is cut after the body', { resetAfterBody: { count: 2, commit: false } }],
    ['the line is cut after the commit', { resetAfterBody: { count: 2, commit: true } }],
    ['the BE reports a failure after the commit', { failAfterCommit: { count: 2 } }],
    ['publishing times out', { publishTimeout: { count: 2, ms: 700 } }],
    ['publishing takes long', { publishDelay: { count: 2, ms: 700 } }],
    ['the BE answers late', { slowBe: { count: 2, ms: 700 } }],
    ['there are too many versions', { tooManyVersions: { count: 3 } }],
    ['there are too many transactions', { tooManyTxns: { count: 3 } }],
    ['the disks are full', { failWith: { count: 3, message: DISK_FULL } }],
    ['a schema change is under way', { failWith: { count: 3, message: SCHEMA_CHANGE } }],
  ])('%s: the job goes on', async (_, faults) => {
    await arm(faults);
    await expectProgress();
  });

  /** One table and one job for each; what lasts is tried on all of them at the same time. */
  const LASTING = ['versions', 'transactions', 'disk', 'dropped', 'strict', 'lenient'] as const;

  test.concurrent(
    'what lasts is named within a minute, and the job goes on after the cure',
    async () => {
      for (const name of LASTING) {
        await place.sql(`CREATE TABLE ${name} (id INT PRIMARY KEY, v VARCHAR(50))`);
        const wish = { name, tables: name, database: place.database, target: place.target };
        const statement = createMysqlJob(world.source as MysqlServer, wish);
        const ratio = name === 'lenient' ? ', "load.max_filter_ratio" = "0.5"' : '';
        await world.client.query(statement.replace(/"1"\n\)$/, `"1"${ratio})`));
        await place.sql(`INSERT INTO ${name} VALUES (1, 'one')`);
      }
      for (const name of LASTING) await place.same(name);
      for (const name of ['strict', 'lenient']) await remake(name);
      await arm({
        tooManyVersions: { count: 10_000, table: 'versions' },
        tooManyTxns: { count: 10_000, table: 'transactions' },
        failWith: { count: 10_000, table: 'disk', message: DISK_FULL },
      });
      await doris.query(`DROP TABLE ${place.target}.dropped`);
      for (const name of LASTING) {
        await place.sql(`INSERT INTO ${name} VALUES (2, NULL), (3, 'three'), (4, 'four')`);
      }
      await Promise.all([
        paused('versions', /-235/),
        paused('transactions', /larger than limit/),
        paused('disk', /exceed limit usage/),
        paused('dropped', /dropped.*unknown table|unknown table.*dropped/),
        paused(
          'strict',
          /refuses the row with key id = 2 in table dst_faults.strict .*came with the changes after \S+:\d+ up to/,
        ),
      ]);
      // Where the user has allowed it, Doris drops the row and the others go on.
      await eventually(async () =>
        expect(await rowsOf('lenient')).toEqual(
          expect.arrayContaining([
            [3, 'three'],
            [4, 'four'],
          ]),
        ),
      );
      expect(await rowsOf('lenient')).not.toContainEqual([2, null]);
      expect(await jobRow(world.client, 'lenient')).toMatchObject({
        LoadStatistic: expect.stringContaining('"filteredRows":1}') as string,
        JobRuntimeMsg: expect.stringMatching(/^1 row was refused by Doris and dropped/) as string,
      });
      await arm({
        tooManyVersions: { count: 0 },
        tooManyTxns: { count: 0 },
        failWith: { count: 0 },
      });
      await doris.query(`ALTER TABLE ${place.target}.strict MODIFY COLUMN v VARCHAR(50) NULL`);
      // Doris changes the column in the background.
      await eventually(async () =>
        expect(
          JSON.stringify(await doris.query(`SHOW CREATE TABLE ${place.target}.strict`)),
        ).toContain('`v` varchar(50) NULL'),
      );
      await world.client.query(`RESUME JOB WHERE jobName = 'strict'`);
      // By themselves, after whatever wait each of them has come to meanwhile.
      for (const name of ['versions', 'transactions', 'disk']) {
        await place.same(name, { timeoutMs: RESUMED_MS });
      }
      await eventually(async () => expect(await rowsOf('strict')).toContainEqual([2, null]));
      for (const name of LASTING) await place.dropJob(name);
    },
    2 * RESUMED_MS,
  );

  /** The same table, but its column takes no NULL any more. */
  async function remake(name: string): Promise<void> {
    await world.client.query(`PAUSE JOB WHERE jobName = '${name}'`);
    await doris.query(`DROP TABLE ${place.target}.${name}`);
    await doris.query(
      `CREATE TABLE ${place.target}.${name} (id INT NOT NULL, v VARCHAR(50) NOT NULL) UNIQUE KEY(id)
       DISTRIBUTED BY HASH(id) BUCKETS 1 PROPERTIES ("replication_num" = "1")`,
    );
    await world.client.query(`RESUME JOB WHERE jobName = '${name}'`);
  }

  test.concurrent('a load of a dropped job that comes late does not come over the rows of the next job', async () => {
    const names = ['lateBegin', 'lateCommit'] as const;
    for (const name of names) {
      await place.sql(`CREATE TABLE ${name} (id INT PRIMARY KEY, v VARCHAR(50))`);
      await place.createJob(`${name}_old`, name);
    }
    for (const name of names) await running(`${name}_old`);
    await arm(Object.fromEntries(names.map((name) => [name, { count: 1, table: name }])));
    for (const name of names) await place.sql(`INSERT INTO ${name} VALUES (1, 'old'), (2, 'old')`);
    await eventually(async () => expect(await armed()).not.toMatch(/lateBegin|lateCommit/));
    for (const name of names) {
      await place.dropJob(`${name}_old`);
      await place.sql(`UPDATE ${name} SET v = 'new' WHERE id = 1`);
      await place.createJob(`${name}_new`, name);
    }
    const words = /the dropped job lateCommit_old left behind: load \d+_\d+ may/;
    await waitForJob(
      world.client,
      'lateCommit_new',
      ({ Status, ErrorMsg }) => Status === 'PENDING' && words.test(ErrorMsg ?? ''),
      NAMED_MS,
    );
    await running('lateBegin_new');
    await place.same('lateBegin');
    await release();
    // The one that comes late for good finds its label taken.
    await eventually(async () => expect(await endOf('lateBegin')).toBe('Label Already Exists'));
    for (const name of names) {
      expect((await running(`${name}_new`))['ErrorMsg']).toBe(String.raw`\N`);
      await place.same(name);
      await place.dropJob(`${name}_new`);
    }
  });

  const running = (job: string): Promise<JobRow> =>
    waitForJob(world.client, job, ({ Status }) => Status === 'RUNNING', NAMED_MS);

  const standin = async (path: string): Promise<Response> =>
    await fetch(`http://${world.doris.feHttp}/_standin/${path}`);

  const release = async (): Promise<void> => {
    const response = await fetch(`http://${world.doris.feHttp}/_standin/release`, {
      method: 'PUT',
    });
    expect(response.status).toBe(200);
  };

  const armed = async (): Promise<string> => await (await standin('faults')).text();

  /** What the last attempt to load the table came to. */
  const endOf = async (name: string): Promise<string | undefined> => {
    const loads = (await (await standin('loads')).json()) as { table: string; status: string }[];
    return loads.findLast(({ table }) => table === name)?.status;
  };

  test.concurrent('a TRUNCATE that Doris runs late does not empty what was loaded after it', async () => {
    await place.sql(`CREATE TABLE emptied (id INT PRIMARY KEY, v VARCHAR(50))`);
    await place.sql(`INSERT INTO emptied VALUES (1, 'one'), (2, 'two')`);
    await place.createJob('emptied', 'emptied');
    await place.same('emptied');
    const first = await partitionOf('emptied');
    await arm({ lateTruncate: { count: 1, table: 'emptied' } });
    await place.sql(`TRUNCATE TABLE emptied`);
    await place.sql(`INSERT INTO emptied VALUES (3, 'three')`);
    await paused('emptied', /TRUNCATE TABLE `dst_faults`.`emptied`: FE/);
    await release();
    // The late one, and the one that was sent once it was over.
    await eventually(async () => expect(await partitionOf('emptied')).toBe(first + 2));
    await place.same('emptied');
    await place.dropJob('emptied');
  });

  async function partitionOf(table: string): Promise<number> {
    const [rows] = await doris.query<RowDataPacket[]>(
      `SHOW PARTITIONS FROM ${place.target}.${table}`,
    );
    return Number(rows[0]?.['PartitionId']);
  }

  test('another password of the service account is named, and the old one cures it', async () => {
    await doris.query(`SET PASSWORD FOR 'root' = PASSWORD('another')`);
    await place.sql(`INSERT INTO marks VALUES (${++marks}, 'behind the password')`);
    await paused('faults', /Access denied|Unauthorized/);
    await doris.query(`SET PASSWORD FOR 'root' = PASSWORD('')`);
    await world.client.query(`RESUME JOB WHERE jobName = 'faults'`);
    await expectProgress();
  });

  test('in the end both sides are the same', async () => {
    await stopWriter();
    await place.sameWritten();
    await place.same('marks');
  });
}

function away(): void {
  test('for longer than the job is silent: paused, then on by itself', async () => {
    await using world = await EndToEnd.open('mariadb');
    const place = await world.place('away');
    await place.sql(`CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)`);
    await place.createJob('away', 't');
    await place.same('t');
    await place.sql(`INSERT INTO t VALUES (2)`);
    await world.doris.kill();
    await place.sql(`INSERT INTO t VALUES (3)`);
    const { host, port } = world.proxy.admin;
    const metrics = async (): Promise<string> =>
      (await fetch(`http://${host}:${port}/metrics`)).text();
    await eventually(async () =>
      expect(await metrics()).toMatch(/streaming_jobs\{status="PAUSED"\} 1/),
    );
    await world.doris.start();
    await world.reconnect();
    await place.sql(`INSERT INTO t VALUES (4)`);
    await place.same('t', { timeoutMs: NAMED_MS });
  });
}
