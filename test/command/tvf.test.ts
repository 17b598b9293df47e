import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Parameter } from '../../src/command/commands.ts';
import { answerTvfQuery } from '../../src/command/tvf.ts';
import { recognize } from '../../src/sql/recognize.ts';
import { TVF_COLUMNS } from '../../src/sql/tvf-call.ts';
import { readTvfQuery } from '../../src/sql/tvf-parser.ts';
import type { TvfQuery } from '../../src/sql/tvf-query.ts';

const read = (sql: string): TvfQuery | undefined => {
  const found = recognize(sql);
  if (found?.kind !== 'query') throw new Error(`not recognised: ${sql}`);
  return readTvfQuery(found.query);
};

/** A row with these values; all other columns are empty. */
const jobRow = (values: Record<string, string>): string[] =>
  TVF_COLUMNS.jobs.map((name) => values[name] ?? '');
const ROWS = [
  jobRow({ Id: '9', Name: 'alpha', Status: 'RUNNING', SucceedTaskCount: '10', ErrorMsg: '\\N' }),
  jobRow({ Id: '10', Name: 'beta_1', Status: 'PAUSED', SucceedTaskCount: '9', ErrorMsg: "it's" }),
  jobRow({ Id: '11', Name: 'Ünï%', Status: 'RUNNING', SucceedTaskCount: 'x', ErrorMsg: '' }),
];

/** Names of the jobs that a condition selects. */
const select = async (where: string, parameters: readonly Parameter[] = []): Promise<string[]> => {
  const query = read(`select Name from jobs("type"="insert") where ${where}`);
  if (query === undefined) throw new Error(`not local: ${where}`);
  const rows = await answerTvfQuery(query, ROWS, parameters);
  return (rows ?? []).map(([name]) => name ?? '');
};

describe('conditions', () => {
  const [a, b, u] = ['alpha', 'beta_1', 'Ünï%'];
  test.each<[string, string[]]>([
    ["Status = 'RUNNING'", [a, u]],
    ['STATUS = "RUNNING"', [a, u]],
    ["'RUNNING' = `status`", [a, u]],
    ["Status = 'running'", []],
    ["Status <> 'RUNNING'", [b]],
    ["Status != 'RUNNING' or Id = '9'", [a, b]],
    ["ErrorMsg = 'it''s'", [b]],
    [String.raw`ErrorMsg = 'it\'s'`, [b]],
    [String.raw`ErrorMsg = '\\N'`, [a]],
    // Strings compare as text, and a number makes both sides numbers.
    ["SucceedTaskCount > '9'", [u]],
    ["'2' <= SucceedTaskCount", [b, u]],
    ['SucceedTaskCount > 9', [a]],
    ['SucceedTaskCount >= 9.0', [a, b]],
    ['SucceedTaskCount > -1', [a, b]],
    ['NOT SucceedTaskCount > 9', [b]],
    ['Id in (9, 11)', [a, u]],
    ["Id in ('9', '11')", [a, u]],
    ["Id not in ('9', '11')", [b]],
    ['SucceedTaskCount not in (9)', [a]],
    ["Id not in ('9', null)", []],
    ["Name like 'alp%'", [a]],
    ["Name like '%a%'", [a, b]],
    ["Name like 'beta__'", [b]],
    [String.raw`Name like 'beta\_1'`, [b]],
    [String.raw`Name like '%\%'`, [u]],
    ["Name like '_n_%'", [u]],
    ["Name not like '%a%'", [u]],
    ["Name like ''", []],
    ['Name is null', []],
    ['Name is not null', [a, b, u]],
    ['Name = null', []],
    ['not (Name = null)', []],
    ["not (Status = 'RUNNING' and Id = '9')", [b, u]],
    ["(Status = 'PAUSED' or (Id = '9')) and Name like '%'", [a, b]],
    ["not Status = 'PAUSED' and Id <> '11'", [a]],
    // AND before OR, whatever the parser's tree says.
    ["Id = '9' or Id = '10' and Id = '11'", [a]],
    ["Id = '11' and Id = '10' or Id = '9'", [a]],
    ["(Id = '9' or Id = '10') and Id = '11'", []],
    ["Id = '9' or Id = '10' and (Id = '11' or Status = 'PAUSED') and Name like '%'", [a, b]],
    ["not (Id = '9' or Id = '10' and Id = '11') and not Id = '10' or Id = '10'", [b, u]],
    ['Id < Name', [a, b, u]],
    ["Name = 'alpha' -- and so on", [a]],
    ["Name /* x */ = # y\n'alpha'", [a]],
    ["Name = 'alpha';", [a]],
  ])('%s', async (where, expected) => {
    expect(await select(where)).toEqual(expected);
  });

  test.each<[string, Parameter[], string[]]>([
    ['Id = ?', ['9'], [a]],
    ['Id = ?', [9], [a]],
    ['Id = ?', [9n], [a]],
    ['Id = ?', [null], []],
    ["Name = '?' or Id in (?, ?)", ['10', '11'], [b, u]],
    ['Name like ?', ['%a'], [a]],
    ['Id > ? limit ? offset ?', [8, 1, '1'], [b]],
  ])('%s with %s', async (where, parameters, expected) => {
    expect(await select(where, parameters)).toEqual(expected);
  });

  test('a LIMIT that is no count is refused', async () => {
    await expect(select('Id = Id limit ?', ['x'])).rejects.toThrow(/LIMIT and OFFSET/);
    await expect(select('Id = Id limit ?', [-1])).rejects.toThrow(/LIMIT and OFFSET/);
    await expect(select('Id = Id limit ?', [null])).rejects.toThrow(/LIMIT and OFFSET/);
  });
});

const answer = async (
  sql: string,
): Promise<{ columns: string[]; rows: readonly (readonly string[])[] | undefined }> => {
  const query = read(sql);
  if (query === undefined) throw new Error(`not local: ${sql}`);
  return {
    columns: query.columns.map(({ name }) => name),
    rows: await answerTvfQuery(query, ROWS, []),
  };
};

describe('columns, order and window', () => {
  const from = 'from jobs("type"="insert")';

  test.each<[string, string[], string[][]]>([
    [
      `select Id, NAME as n, j.\`Status\` ${from} j limit 1`,
      ['Id', 'n', 'Status'],
      [['9', 'alpha', 'RUNNING']],
    ],
    [`select Id ${from} order by Id`, ['Id'], [['10'], ['11'], ['9']]],
    [`select Id ${from} order by Id desc limit 2`, ['Id'], [['9'], ['11']]],
    [`select Id ${from} limit 1, 5`, ['Id'], [['10'], ['11']]],
    [`select Id ${from} limit 5 offset 2`, ['Id'], [['11']]],
    [`select Id ${from} limit 0`, ['Id'], []],
    [
      `select Status s, Id ${from} order by s desc, 2`,
      ['s', 'Id'],
      [
        ['RUNNING', '11'],
        ['RUNNING', '9'],
        ['PAUSED', '10'],
      ],
    ],
    [`select Name Id, Id x ${from} order by Id limit 1`, ['Id', 'x'], [['alpha', '9']]],
    [`select count(*) ${from}`, ['count(*)'], [['3']]],
    [`select COUNT(*) as c, count(1) ${from} where Id = '9'`, ['c', 'count(1)'], [['1', '1']]],
    [`select count(*) ${from} limit 0`, ['count(*)'], []],
  ])('%s', async (sql, columns, rows) => {
    expect(await answer(sql)).toEqual({ columns, rows });
  });

  test('* is all columns, wherever it stands', async () => {
    expect(await answer(`select * ${from}`)).toEqual({ columns: TVF_COLUMNS.jobs, rows: ROWS });
    expect((await answer(`select Id, j.* ${from} j`)).columns).toEqual(['Id', ...TVF_COLUMNS.jobs]);
    expect(read('select * from tasks("type"="insert")')?.columns.map(({ name }) => name)).toEqual(
      TVF_COLUMNS.tasks,
    );
  });
});

test.each([
  'select Id from jobs("type"="insert") j, tasks("type"="insert") t',
  'select Id from jobs("type"="insert"), t',
  'select Id from jobs("type"="insert") j join t on t.id = j.Id',
  'select distinct Id from jobs("type"="insert")',
  'select Id from jobs("type"="insert") group by Id',
  'select Id, count(*) from jobs("type"="insert")',
  'select count(distinct Id) from jobs("type"="insert")',
  'select count(*) from jobs("type"="insert") order by 1',
  'select max(Id) from jobs("type"="insert")',
  'select Id + 1 from jobs("type"="insert")',
  'select \'x\', Id from jobs("type"="insert")',
  'select Unknown from jobs("type"="insert")',
  'select x.Id from jobs("type"="insert") j',
  'select Id from jobs("type"="insert") where Id between 1 and 2',
  'select Id from jobs("type"="insert") where Id + 1 = 2',
  'select Id from jobs("type"="insert") where Id',
  'select Id from jobs("type"="insert") where Id is true',
  'select Id from jobs("type"="insert") where Id regexp "1"',
  'select Id from jobs("type"="insert") where Id = 1 && Name = 2 || Name = 3',
  'select Id from jobs("type"="insert") where Id = (select 1)',
  'select Id from jobs("type"="insert") where upper(Name) = "X"',
  'select Id from jobs("type"="insert") where (Id, Name) = (1, 2)',
  'select Id from jobs("type"="insert") where Name = "x" collate utf8_bin',
  'select Id from jobs("type"="insert") where Name = x"41"',
  'select Id from jobs("type"="insert") order by cast(Id as bigint)',
  'select Id from jobs("type"="insert") order by 2',
  'select Id from jobs("type"="insert") limit -1',
  'select Id from jobs("type"="insert") for update',
  'select Id from jobs("type"="insert") into outfile "x"',
  'select Id from jobs("type"="insert") union select 1',
  '(select Id from jobs("type"="insert"))',
  'with a as (select 1) select Id from jobs("type"="insert")',
  'select row_number() over (order by Id) from jobs("type"="insert")',
  'explain select Id from jobs("type"="insert")',
  `select Id from jobs("type"="insert") where Id in (${'1,'.repeat(300)}1)`,
  'select max(Id) m from jobs("type"="insert")',
  'select count(Comment) n from jobs("type"="insert")',
  'select count(distinct Name) as n from jobs("type"="insert")',
  'select count(*) over () n from jobs("type"="insert")',
])('another shape is left to Doris: %s', (sql) => {
  expect(read(sql)).toBeUndefined();
});

test('whatever stands around a call: read or left to Doris, never an exception', async () => {
  const words =
    "select * Id Name , ( ) = <> < like in is not null and or 'a' ? 5 -1 count(*) order by limit offset " +
    'where from jobs(type=insert) j t join on union as distinct case when end between exists . `x` @a :b';
  const soup = fc.array(fc.constantFrom(...words.split(' ')), { maxLength: 14 });
  await fc.assert(
    fc.asyncProperty(soup, soup, async (before, after) => {
      const call = 'from jobs(type=insert)';
      for (const sql of [
        `select * ${call} ${after.join(' ')}`,
        `select ${before.join(' ')} ${call} ${after.join(' ')}`,
      ]) {
        const query = read(sql);
        const ones = Array.from({ length: 30 }, () => 1);
        if (query === undefined) continue;
        expect(await answerTvfQuery(query, ROWS, ones)).toBeInstanceOf(Array);
      }
    }),
    { numRuns: 300 },
  );
});

interface Tree {
  readonly text: string;
  readonly truth: boolean;
  /** 3 a comparison, 2 NOT, 1 AND, 0 OR. */
  readonly level: number;
}

const inside = (tree: Tree, level: number): string =>
  tree.level < level ? `(${tree.text})` : tree.text;

/** Conditions on one row, written with no more parentheses than SQL needs. */
const trees = fc.letrec<{ tree: Tree }>((tie) => {
  const leaf = fc
    .boolean()
    .map((truth): Tree => ({ text: `Id = '${truth ? 9 : 10}'`, truth, level: 3 }));
  const pair = fc.tuple(tie('tree'), tie('tree'));
  return {
    tree: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      leaf,
      tie('tree').map((a) => ({ text: `not ${inside(a, 2)}`, truth: !a.truth, level: 2 })),
      pair.map(([a, b]) => ({
        text: `${inside(a, 1)} and ${inside(b, 1)}`,
        truth: a.truth && b.truth,
        level: 1,
      })),
      pair.map(([a, b]) => ({
        text: `${inside(a, 0)} or ${inside(b, 0)}`,
        truth: a.truth || b.truth,
        level: 0,
      })),
    ),
  };
}).tree;

test('AND, OR and NOT bind as in SQL', async () => {
  await fc.assert(
    fc.asyncProperty(trees, async ({ text, truth }) => {
      const query = read(`select Name from jobs("type"="insert") where ${text}`);
      // Long ones are left to Doris.
      fc.pre(query !== undefined);
      expect(await answerTvfQuery(query, ROWS.slice(0, 1), [])).toHaveLength(truth ? 1 : 0);
    }),
    { numRuns: 500 },
  );
});

describe('a query that costs too much is left to Doris', () => {
  const long = 'a'.repeat(60_000);

  test.each<[string, string, string]>([
    ['many %', long, `${'%a'.repeat(1_000)}%${'a'.repeat(2_000)}b`],
    ['one % with a long text behind it', 'a'.repeat(4_000_000), `%${'a'.repeat(1_000)}b`],
    ['a pattern of megabytes', '', '%'.repeat(3_000_000)],
  ])('%s', async (_, text, pattern) => {
    const query = read('select Name from jobs("type"="insert") where Name like ?');
    if (query === undefined) throw new Error('not local');
    const startedMs = performance.now();
    expect(await answerTvfQuery(query, [jobRow({ Name: text })], [pattern])).toBeUndefined();
    expect(performance.now() - startedMs).toBeLessThan(500);
  });

  test('others get the thread in between', async () => {
    const query = read('select Name from jobs("type"="insert") where Name like ?');
    if (query === undefined) throw new Error('not local');
    const rows = Array.from({ length: 10_000 }, () => jobRow({ Name: 'a'.repeat(1_000) }));
    const turns: NodeJS.Immediate[] = [];
    const turn = (): void => void turns.push(setImmediate(turn));
    turn();
    expect(await answerTvfQuery(query, rows, ['%b'])).toEqual([]);
    clearImmediate(turns.at(-1));
    expect(turns.length).toBeGreaterThan(5);
  });
});

test('texts are ordered by their UTF-8 bytes', async () => {
  const query = read('select Name from jobs("type"="insert") order by Name');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'binary', maxLength: 4 }), { maxLength: 6 }),
      async (names) => {
        const rows = await answerTvfQuery(
          query!,
          names.map((Name) => jobRow({ Name })),
          [],
        );
        const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(rows?.map(([name]) => name)).toEqual(sorted);
      },
    ),
    { numRuns: 100 },
  );
});
