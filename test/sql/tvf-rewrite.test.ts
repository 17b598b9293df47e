import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { recognize } from '../../src/sql/recognize.ts';
import { tokenize } from '../../src/sql/tokenizer.ts';
import { TVF_COLUMNS } from '../../src/sql/tvf-call.ts';
import { rewriteTvfQuery, sqlLiteral, type TvfRows } from '../../src/sql/tvf-rewrite.ts';

const rewrite = (
  sql: string,
  parameters: readonly (string | number | bigint | null)[] = [],
  rows: TvfRows = [],
): string => {
  const found = recognize(sql);
  if (found?.kind !== 'query') throw new Error('not recognised');
  return rewriteTvfQuery(found.query, () => rows, parameters);
};

/** The text with each derived table as `<>`. */
const outline = (sql: string, parameters?: readonly (string | number | null)[]): string =>
  rewrite(sql, parameters).replaceAll(/\(SELECT \* FROM \(.*?\) no_rows WHERE 1 = 0\)/g, '<>');

describe('what is not a call stays as it was written', () => {
  test.each([
    ['select Id from jobs("type"="insert") where a = 1', 'select Id from <> jobs where a = 1'],
    ['select Id from jobs(type=insert)', 'select Id from <> jobs'],
    ['select Id from jobs(type=insert);', 'select Id from <> jobs'],
    ['select Id from jobs(type=insert)j;', 'select Id from <>j'],
    ['select Id from jobs ( "type" = "insert" ) AS j', 'select Id from <> AS j'],
    ['select Id from jobs(type=insert) `j k`', 'select Id from <> `j k`'],
    [
      'select * from jobs(type=insert) j left join tasks(type=insert) on 1 = 1',
      'select * from <> j left join <> tasks on 1 = 1',
    ],
    [
      'select * from jobs(type=insert), jobs(type=insert), tasks(type=insert)',
      'select * from <> jobs, <> jobs_2, <> tasks_3',
    ],
    [
      'select /*+ SET_VAR(x=1) */ Id -- c\nfrom (select * from jobs(type=insert)) j',
      'select /*+ SET_VAR(x=1) */ Id -- c\nfrom (select * from <> jobs) j',
    ],
    [
      "insert into t select 'jobs(type=insert)' from jobs(type=insert) union all select 1",
      "insert into t select 'jobs(type=insert)' from <> jobs union all select 1",
    ],
  ])('%s', (sql, expected) => {
    expect(outline(sql)).toBe(expected);
  });
});

test('parameters become literals in their places', () => {
  expect(
    outline("select ?, '?' from jobs(type=insert) where a = ? and b = ? limit ?", [
      null,
      "it's \\",
      1.5,
      3,
    ]),
  ).toBe(String.raw`select NULL, '?' from <> jobs where a = 'it''s \\' and b = 1.5 limit 3`);
});

test('rows become SELECTs of literals with the columns’ names', () => {
  const rows = [
    TVF_COLUMNS.tasks.map((_, i) => `v${i}`),
    TVF_COLUMNS.tasks.map(() => String.raw`\N`),
  ];
  const text = rewrite('select * from tasks("type"="insert")', [], rows);
  expect(text).toMatch(
    /^select \* from \(SELECT CAST\('v0' AS VARCHAR\(65533\)\) AS `TaskId`, CAST\('v1' AS VARCHAR\(65533\)\) AS `JobId`, /,
  );
  expect(text.split(' UNION ALL ')).toHaveLength(2);
  expect(text.match(/CAST\('\\\\N' AS VARCHAR\(65533\)\)/g)).toHaveLength(TVF_COLUMNS.tasks.length);
  expect(text).toMatch(/AS `RunningOffset`\) tasks$/);
});

test('a column with a value beyond VARCHAR is STRING, the others are not', () => {
  const long = TVF_COLUMNS.tasks.map((_, i) => (i === 5 ? 'ä'.repeat(32_767) : 'x'));
  const text = rewrite('select * from tasks("type"="insert")', [], [long]);
  expect(text.match(/AS STRING\) AS `\w+`/g)).toEqual(['AS STRING) AS `ErrorMsg`']);
});

test('a literal reads back as its value', () => {
  const text = fc.string({ unit: 'grapheme' }).filter((value) => !/\\[%_]/.test(value));
  fc.assert(
    fc.property(text, (value) => {
      expect(tokenize(sqlLiteral(value))).toEqual([
        { kind: 'string', text: value, start: 0, end: sqlLiteral(value).length },
      ]);
    }),
  );
});
