import { describe, expect, test } from 'vitest';
import { jobRow, taskRow } from '../../src/command/job-rows.ts';
import { parseOffsetJson } from '../../src/command/offset-json.ts';
import { timeTextIn } from '../../src/command/time-zone.ts';
import type { Job, Task } from '../../src/model/job.ts';
import type { MysqlPosition, Position, PostgresPosition } from '../../src/model/offset.ts';
import { TVF_COLUMNS, type TvfName } from '../../src/sql/tvf-call.ts';

// The samples of the manual were taken in China.

const named = (table: TvfName, row: readonly string[]): Record<string, string> => {
  expect(row).toHaveLength(TVF_COLUMNS[table].length);
  return Object.fromEntries(TVF_COLUMNS[table].map((name, i) => [name, row[i] ?? 'missing']));
};

const position = (pos: number, change: Partial<MysqlPosition> = {}): MysqlPosition => ({
  kind: 'mysql',
  file: 'binlog.000002',
  pos,
  gtids: '',
  event: 2,
  serverId: '1',
  serverUuid: 'u',
  tsSec: 1_765_284_495,
  ...change,
});

/** The job of the manual's samples, its source properties in the order of its CREATE JOB. */
const SEED_JOB: Job = {
  id: 1_765_332_859_199,
  name: 'mysql_db_sync',
  definer: 'root',
  comment: '',
  sourceType: 'MYSQL',
  sourceProperties: {
    jdbc_url: 'jdbc:mysql://127.0.0.1:3306',
    driver_url: 'mysql-connector-j-8.0.31.jar',
    driver_class: 'com.mysql.cj.jdbc.Driver',
    user: 'root',
    database: 'test',
    include_tables: 'user_info',
    offset: 'initial',
  },
  targetDatabase: 'target_test_db',
  targetProperties: { 'table.create.properties.replication_num': '1' },
  jobProperties: {},
  createTimeMs: Date.parse('2025-12-10T10:19:35+08:00'),
  status: 'RUNNING',
  succeedTaskCount: 2,
  failedTaskCount: 0,
  canceledTaskCount: 0,
  statistic: { scannedRows: 3, loadBytes: 232 },
  snapshotPending: false,
  position: position(9350),
  endPosition: position(157, { file: 'binlog.000003', event: 0 }),
  epoch: 3,
};

test('a row of jobs() is the manual’s sample', () => {
  expect(named('jobs', jobRowOf(SEED_JOB))).toEqual({
    Id: '1765332859199',
    Name: 'mysql_db_sync',
    Definer: 'root',
    ExecuteType: 'STREAMING',
    RecurringStrategy: '\\N',
    Status: 'RUNNING',
    ExecuteSql:
      "FROM MYSQL('include_tables'='user_info','database'='test','driver_class'='com.mysql.cj.jdbc.Driver','driver_url'='mysql-connector-j-8.0.31.jar','offset'='initial','jdbc_url'='jdbc:mysql://127.0.0.1:3306','user'='root' ) TO DATABASE target_test_db ('table.create.properties.replication_num'='1')",
    CreateTime: '2025-12-10 10:19:35',
    SucceedTaskCount: '2',
    FailedTaskCount: '0',
    CanceledTaskCount: '0',
    Comment: '',
    Properties: '\\N',
    // `row` is 0 where the sample has 1: we do not stop inside a row event.
    CurrentOffset:
      '{"ts_sec":"1765284495","file":"binlog.000002","pos":"9350","kind":"SPECIFIC","splitId":"binlog-split","row":"0","event":"2","server_id":"1"}',
    EndOffset:
      '{"ts_sec":"0","file":"binlog.000003","pos":"157","kind":"SPECIFIC","gtids":"","row":"0","event":"0"}',
    LoadStatistic: '{"scannedRows":3,"loadBytes":232,"fileNumber":0,"fileSize":0}',
    ErrorMsg: '\\N',
    JobRuntimeMsg: '',
  });
});

const time = timeTextIn('Asia/Shanghai');
const jobRowOf = (job: Job): readonly string[] => jobRow(job, time);
const taskRowOf = (job: Job, task: Task): readonly string[] => taskRow(job, task, time);

const SEED_TASK: Task = {
  id: 1_765_336_137_066,
  jobId: SEED_JOB.id,
  status: 'SUCCESS',
  createTimeMs: Date.parse('2025-12-10T11:09:06+08:00'),
  startTimeMs: Date.parse('2025-12-10T11:09:16+08:00'),
  finishTimeMs: Date.parse('2025-12-10T11:09:18+08:00'),
  statistic: { scannedRows: 1, loadBytes: 333 },
  range: { kind: 'stream', from: position(9350), to: position(9521) },
  loads: [],
};

test('a row of tasks() is the manual’s sample', () => {
  expect(named('tasks', taskRowOf(SEED_JOB, SEED_TASK))).toEqual({
    TaskId: '1765336137066',
    JobId: '1765332859199',
    JobName: 'mysql_db_sync',
    Label: '1765332859199_1765336137066',
    Status: 'SUCCESS',
    ErrorMsg: '\\N',
    CreateTime: '2025-12-10 11:09:06',
    StartTime: '2025-12-10 11:09:16',
    FinishTime: '2025-12-10 11:09:18',
    TrackingUrl: '\\N',
    LoadStatistic: '{"scannedRows":1,"loadBytes":333}',
    User: 'root',
    FirstErrorMsg: '',
    RunningOffset:
      '{"endOffset":{"ts_sec":"1765284495","file":"binlog.000002","pos":"9521","kind":"SPECIFIC","row":"0","event":"2","server_id":"1"},"startOffset":{"ts_sec":"1765284495","file":"binlog.000002","pos":"9350","kind":"SPECIFIC","row":"0","splitId":"binlog-split","event":"2","server_id":"1"},"splitId":"binlog-split"}',
  });
  const { finishTimeMs: _none, ...running } = SEED_TASK;
  expect(named('tasks', taskRowOf(SEED_JOB, { ...running, status: 'RUNNING' }))).toMatchObject({
    FinishTime: '\\N',
    RunningOffset:
      '{"startOffset":{"ts_sec":"1765284495","file":"binlog.000002","pos":"9350","kind":"SPECIFIC","row":"0","splitId":"binlog-split","event":"2","server_id":"1"},"splitId":"binlog-split"}',
  });
  const { startTimeMs: _neither, ...waiting } = running;
  expect(named('tasks', taskRowOf(SEED_JOB, { ...waiting, status: 'PENDING' }))).toMatchObject({
    StartTime: '\\N',
    RunningOffset: '\\N',
  });
});

describe('a job that has not come so far', () => {
  const fresh: Job = { ...SEED_JOB, succeedTaskCount: 0, snapshotPending: true };

  test('shows no offset before its first commit', () => {
    const { endPosition: _none, ...start } = fresh;
    const expected = { CurrentOffset: '\\N', EndOffset: '\\N' };
    expect(named('jobs', jobRowOf(start))).toMatchObject(expected);
    expect(named('jobs', jobRowOf({ ...start, snapshotPending: false }))).toMatchObject(expected);
  });

  test('shows the splits of the last commit during the snapshot', () => {
    const lastSplits = [
      { splitId: 'test.user_info:0', tableId: 'test.user_info', splitKey: ['id'], splitEnd: ['9'] },
      {
        splitId: 'test.user_info:1',
        tableId: 'test.user_info',
        splitKey: ['id'],
        splitStart: ["<'>"],
      },
    ];
    expect(named('jobs', jobRowOf({ ...fresh, lastSplits }))['CurrentOffset']).toBe(
      String.raw`[{"tableId":"test.user_info","splitKey":["id"],"splitEnd":["9"],"splitId":"test.user_info:0"},{"tableId":"test.user_info","splitKey":["id"],"splitStart":["\u003c\u0027\u003e"],"splitId":"test.user_info:1"}]`,
    );
  });

  test('shows a place that a statement has set as it was given, until the job moves on', () => {
    const given = '{"pos":"154","file":"b.9"}';
    const jobProperties = { offset: given };
    const set = parseOffsetJson('MYSQL', given);
    const shown = (place: Position): string | undefined => {
      const job = { ...fresh, snapshotPending: false, jobProperties, position: place };
      return named('jobs', jobRowOf(job))['CurrentOffset'];
    };
    expect(shown(set)).toBe('{"file":"b.9","pos":"154","splitId":"binlog-split"}');
    expect(shown(position(9350))).toContain('"kind":"SPECIFIC"');
  });

  test('shows bounds of numeric keys as JSON numbers, whatever their size', () => {
    const split = {
      splitId: 'test.t:1',
      tableId: 'test.t',
      splitKey: ['n', 'd', 's', 'z'],
      splitStart: ['-18446744073709551615', '1.50', '7', '007'],
      splitEnd: ['NaN', '0.1', '8', '0'],
      numericKey: [true, true, false, true],
    };
    const { CurrentOffset: shown } = named('jobs', jobRowOf({ ...fresh, lastSplits: [split] }));
    expect(shown).toContain('"splitStart":[-18446744073709551615,1.50,"7","007"]');
    expect(shown).toContain('"splitEnd":["NaN",0.1,"8",0]');
    expect(() => JSON.parse(shown ?? '') as unknown).not.toThrow();
  });

  test('shows how new the rows of loaded splits are, and keeps them where nothing follows', () => {
    const split = {
      splitId: 'test.t:0',
      tableId: 'test.t',
      splitKey: ['id'],
      highWatermark: position(9000),
    };
    const shown =
      '[{"tableId":"test.t","splitKey":["id"],"highWatermark":' +
      '{"ts_sec":"0","file":"binlog.000002","pos":"9000","kind":"SPECIFIC","gtids":"","row":"0","event":"2"},"splitId":"test.t:0"}]';
    const over = { ...fresh, snapshotPending: false, lastSplits: [split] };
    const sourceProperties = { offset: 'snapshot' };
    expect(named('jobs', jobRowOf({ ...over, sourceProperties }))['CurrentOffset']).toBe(shown);
    const copy: Task = { ...SEED_TASK, range: { kind: 'snapshot', splits: [split] } };
    expect(named('tasks', taskRowOf(fresh, copy))['RunningOffset']).toBe(shown);
    const running = named('tasks', taskRowOf(fresh, { ...copy, status: 'RUNNING' }));
    expect(running['RunningOffset']).not.toContain('highWatermark');
  });

  test('shows the offset that a statement has set', () => {
    const altered = { ...fresh, jobProperties: { offset: '{}' }, position: position(4) };
    expect(named('jobs', jobRowOf(altered))['CurrentOffset']).toContain('"pos":"4"');
  });
});

test('properties, comment and reason are shown as they are', () => {
  const row = named(
    'jobs',
    jobRowOf({
      ...SEED_JOB,
      comment: 'c',
      jobProperties: { max_interval: '3', 'session.x': '"' },
      targetProperties: {},
      failure: { code: 'INTERNAL_ERR', message: 'no luck' },
      status: 'PAUSED',
    }),
  );
  expect(row['Comment']).toBe('c');
  expect(JSON.parse(row['Properties'] ?? '')).toEqual({ max_interval: '3', 'session.x': '"' });
  expect(row['ErrorMsg']).toBe('no luck');
  expect(row['ExecuteSql']).toMatch(/ \) TO DATABASE target_test_db$/);
});

const told = (over: Partial<Job>): string | undefined =>
  named('jobs', jobRowOf({ ...SEED_JOB, ...over }))['JobRuntimeMsg'];

test('rows that Doris has dropped are counted and told', () => {
  const statistic = { scannedRows: 9, loadBytes: 90, filteredRows: 2 };
  expect(named('jobs', jobRowOf({ ...SEED_JOB, statistic }))).toMatchObject({
    LoadStatistic: '{"scannedRows":9,"loadBytes":90,"fileNumber":0,"fileSize":0,"filteredRows":2}',
    JobRuntimeMsg:
      '2 rows were refused by Doris and dropped, as load.max_filter_ratio allows: they are missing in the target',
  });
  expect(named('tasks', taskRowOf(SEED_JOB, { ...SEED_TASK, statistic }))).toMatchObject({
    LoadStatistic: '{"scannedRows":9,"loadBytes":90,"filteredRows":2}',
  });
});

test('what was left out, and values that became NULL, are told beside errors', () => {
  expect(told({})).toBe('');
  expect(told({ unheld: { 't.c': 1 } })).toBe(
    '1 value of column t.c became NULL: zero or impossible dates, which Doris does not have',
  );
  expect(
    told({ leftOut: [{ table: 'a', reason: 'it is odd' }], unheld: { 't.c': 3, 'u.c': 2 } }),
  ).toMatch(
    /^table a is left out: it is odd; 3 values of column t\.c .*; 2 values of column u\.c /,
  );
});

test('positions of Postgres have the key order of job-sql.md §3.9', () => {
  const wal: PostgresPosition = {
    kind: 'postgres',
    lsn: '24118832',
    event: 0,
    txId: '743',
    tsUsec: '1765336148123456',
  };
  const row = named('jobs', jobRowOf({ ...SEED_JOB, position: wal, endPosition: wal }));
  expect(row['CurrentOffset']).toBe(
    '{"lsn_proc":"24118832","lsn_commit":"24118832","lsn":"24118832","txId":"743","splitId":"binlog-split","ts_usec":"1765336148123456"}',
  );
  expect(row['EndOffset']).toBe('{"lsn":"24118832","txId":"743","ts_usec":"-9223372036854775808"}');
});

test('GTIDs are part of a position where the server has them', () => {
  const row = named('jobs', jobRowOf({ ...SEED_JOB, position: position(4, { gtids: 'a:1-5' }) }));
  expect(row['CurrentOffset']).toBe(
    '{"ts_sec":"1765284495","file":"binlog.000002","pos":"4","kind":"SPECIFIC","gtids":"a:1-5","splitId":"binlog-split","row":"0","event":"2","server_id":"1"}',
  );
});
