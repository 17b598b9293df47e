import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FrontendError } from '../../src/command/commands.ts';
import { TVF_COLUMNS } from '../../src/sql/tvf-call.ts';
import { grants } from './fake-parts.ts';
import { create, JobWorld } from './job-world.ts';

let world: JobWorld;

beforeEach(async () => {
  world = await JobWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

describe('jobs() and tasks()', () => {
  test('the common shape is answered here, with columns known at once', async () => {
    await world.run(create());
    const sql = 'select Id, Name, Status from jobs(type=insert) where ExecuteType = ?';
    expect(world.commands.recognize(sql)).toMatchObject({
      columns: ['Id', 'Name', 'Status'],
      parameterCount: 1,
    });
    expect(await world.run(sql, ['STREAMING'])).toEqual({
      kind: 'rows',
      columns: ['Id', 'Name', 'Status'],
      rows: [[String(world.job().id), 'j', 'PENDING']],
    });
    const all = await world.run('select * from jobs("type"="insert")');
    expect(all).toMatchObject({ columns: TVF_COLUMNS.jobs });
  });

  test('jobs by id, tasks of each newest first', async () => {
    await world.run(create());
    await world.parts.catalog.changeJob(world.job().id, (job) => job, {
      tasks: [world.runningTask(1), world.runningTask(2), world.runningTask(3)],
    });
    expect(await world.run('select TaskId from tasks("type"="insert")')).toMatchObject({
      rows: [['3'], ['2'], ['1']],
    });
  });

  test('jobs of Doris are among them, padded', async () => {
    await world.run(create());
    world.caller.native = { columns: ['Name', 'Id', 'Comment'], rows: [['theirs', '1', null]] };
    expect(
      await world.run('select Id, Name, Comment, ErrorMsg from jobs("type"="insert")'),
    ).toMatchObject({
      rows: [
        ['1', 'theirs', '\\N', '\\N'],
        [String(world.job().id), 'j', 'my job', '\\N'],
      ],
    });
  });

  test('a user sees jobs of databases with LOAD', async () => {
    await world.run(create());
    world.caller.grants = grants('jack', 'DatabasePrivs', 'internal.other: Load_priv');
    expect(await world.run('select count(*) from jobs("type"="insert")')).toMatchObject({
      rows: [['0']],
    });
    expect(await world.run('select count(*) from tasks("type"="insert")')).toMatchObject({
      rows: [['0']],
    });
    world.caller.grants = grants('jack', 'DatabasePrivs', 'internal.db: Select_priv,Load_priv');
    expect(await world.run('select count(*) from jobs("type"="insert")')).toMatchObject({
      rows: [['1']],
    });
  });

  test('DESC FUNCTION lists the columns', async () => {
    const answer = await world.run('DESC FUNCTION tasks("type"="insert")');
    expect(answer).toMatchObject({
      kind: 'rows',
      columns: ['Field', 'Type', 'Null', 'Key', 'Default', 'Extra'],
    });
    const rows = answer === 'relay' || answer.kind !== 'rows' ? [] : answer.rows;
    expect(rows[0]).toEqual(['TaskId', 'text', 'No', 'false', null, 'NONE']);
    expect(rows.map(([name]) => name)).toEqual(TVF_COLUMNS.tasks);
  });

  test('columns of any other shape are asked for, without rows', async () => {
    const describeOf = async (sql: string): Promise<unknown> =>
      await world.commands.recognize(sql)?.describe?.(world.caller);
    world.caller.answer = { columns: ['n', 'm'], rows: [] };
    const sql =
      '(select max(Id) n, ? m from jobs("type"="insert") where Name = ? limit ?, ?) -- all';
    expect(await describeOf(sql)).toBe(world.caller.answer);
    expect(world.caller.asked.at(-1)).toMatch(
      /^SELECT \* FROM \(\(select max\(Id\) n, NULL m from \(.* WHERE 1 = 0\) jobs where Name = NULL limit 1, 1\)\) djp_described LIMIT 0$/,
    );
    await describeOf('explain select max(Id) from jobs("type"="insert") offset ?');
    expect(world.caller.asked.at(-1)).toMatch(/^explain select max\(Id\) from .* offset 1$/);
    const asked = world.caller.asked.length;
    expect(await describeOf('insert into t select max(Id) from jobs("type"="insert")')).toEqual({
      columns: [],
      rows: [],
    });
    expect(world.caller.asked).toHaveLength(asked);
    expect(world.commands.recognize('select Id from jobs("type"="insert")')).not.toHaveProperty(
      'describe',
    );
    world.caller.ask = () => Promise.reject(new FrontendError(1105, 'HY000', 'no'));
    expect(await describeOf(sql)).toEqual({ columns: [], rows: [] });
  });

  test('a count is a BIGINT, in text and prepared', async () => {
    const sql = 'select count(*) n from jobs("type"="insert")';
    expect(world.commands.recognize(sql)).toMatchObject({ columns: ['n'], types: [{ type: 8 }] });
    expect(await world.run(sql)).toMatchObject({ types: [{ type: 8 }], rows: [['0']] });
  });

  test('what would be too much text for Doris is refused before it is made', async () => {
    await world.run(create());
    const rows = Array.from({ length: 1000 }, (_, i) => [`native ${i}`, String(i + 1)]);
    world.caller.native = { columns: ['Name', 'Id'], rows };
    const calls = Array.from({ length: 1500 }, (_, i) => `jobs("type"="insert") j${i}`).join(', ');
    await expect(world.run(`select max(j0.Id) from ${calls}`)).rejects.toThrow('too many rows');
    expect(await world.run('select max(Id) from jobs("type"="insert")')).toMatchObject({
      kind: 'rewritten',
    });
  });

  test('any other shape is Doris’ to answer, over literal rows', async () => {
    await world.run(create());
    const sql = 'select count(distinct j.Name) n from jobs("type"="insert") j join t on t.x = ?';
    expect(world.commands.recognize(sql)).toMatchObject({ columns: [], parameterCount: 1 });
    expect(await world.run(sql, ["o'x"])).toEqual({
      kind: 'rewritten',
      sql: expect.stringMatching(
        /^select count\(distinct j\.Name\) n from \(SELECT CAST\('\d+' AS VARCHAR\(65533\)\) AS `Id`, .*\) j join t on t\.x = 'o''x'$/,
      ),
    });
    expect(await world.run('insert into t select Id from jobs("type"="insert")')).toMatchObject({
      sql: expect.stringMatching(/^insert into t select Id from \(SELECT /),
    });
  });
});
