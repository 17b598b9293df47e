import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJobStatement, type JobStatement } from '../../src/sql/job-statement.ts';
import { tokenize } from '../../src/sql/tokenizer.ts';

const parse = (sql: string): JobStatement | undefined => parseJobStatement(sql, tokenize(sql));

const SEED_CREATE = `CREATE JOB multi_table_sync
ON STREAMING
FROM MYSQL (
        "jdbc_url" = "jdbc:mysql://127.0.0.1:3306",
        "driver_url" = "mysql-connector-j-8.0.31.jar",
        "driver_class" = "com.mysql.cj.jdbc.Driver",
        "user" = "root",
        "password" = "123456",
        "database" = "test",
        "include_tables" = "user_info,order_info",
        "offset" = "initial"
)
TO DATABASE target_test_db (
    "table.create.properties.replication_num" = "1"  -- one BE
)`;

test('the manual’s CREATE JOB', () => {
  expect(parse(SEED_CREATE)).toEqual({
    kind: 'create',
    name: 'multi_table_sync',
    comment: '',
    jobProperties: new Map(),
    ends: {
      sourceType: 'MYSQL',
      sourceProperties: new Map([
        ['jdbc_url', 'jdbc:mysql://127.0.0.1:3306'],
        ['driver_url', 'mysql-connector-j-8.0.31.jar'],
        ['driver_class', 'com.mysql.cj.jdbc.Driver'],
        ['user', 'root'],
        ['password', '123456'],
        ['database', 'test'],
        ['include_tables', 'user_info,order_info'],
        ['offset', 'initial'],
      ]),
      targetDatabase: 'target_test_db',
      targetProperties: new Map([['table.create.properties.replication_num', '1']]),
    },
  });
});

describe('CREATE JOB: clauses', () => {
  test.each([
    'CREATE JOB j PROPERTIES("max_interval"="5") ON STREAMING COMMENT "c" FROM MYSQL TO DATABASE d',
    'CREATE JOB j ON STREAMING PROPERTIES("max_interval"="5") COMMENT "c" FROM MYSQL TO DATABASE d',
    "create job `j` on streaming properties(max_interval=5) comment 'c' from mysql to database `d`",
  ])('job properties on either side of ON STREAMING: %s', (sql) => {
    expect(parse(sql)).toMatchObject({
      kind: 'create',
      name: 'j',
      comment: 'c',
      jobProperties: new Map([['max_interval', '5']]),
      ends: { targetDatabase: 'd', sourceProperties: new Map(), targetProperties: new Map() },
    });
  });

  test('the word PROPERTIES may stand before the target list', () => {
    expect(
      parse('CREATE JOB j ON STREAMING FROM MYSQL TO DATABASE d PROPERTIES ("a"="b")'),
    ).toMatchObject({ ends: { targetProperties: new Map([['a', 'b']]) } });
    expect(parse('CREATE JOB j ON STREAMING FROM MYSQL TO DATABASE d PROPERTIES')).toEqual({
      kind: 'invalid',
      message: "mismatched input '<EOF>' expecting '('(line 1, pos 61)",
    });
  });

  test('a path is one name', () => {
    expect(parse('CREATE JOB a.`b c`.d ON STREAMING FROM MYSQL TO DATABASE d')).toMatchObject({
      name: 'a.b c.d',
    });
  });

  test('keys and values in every spelling', () => {
    const sql = `CREATE JOB j ON STREAMING FROM POSTGRES (a=b, 'c'="d", \`e\`=1.50, "f"=TRUE, 'g'='it''s \\'x\\'') TO DATABASE d`;
    expect(parse(sql)).toMatchObject({
      ends: {
        sourceType: 'POSTGRES',
        sourceProperties: new Map([
          ['a', 'b'],
          ['c', 'd'],
          ['e', '1.50'],
          ['f', 'true'],
          ['g', "it's 'x'"],
        ]),
      },
    });
  });
});

describe('mistakes that the parse finds', () => {
  test.each([
    [
      'CREATE JOB j ON STREAMING FROM MYSQL ("k"="v1", "k"="v2") TO DATABASE d',
      'Multiple entries with same key: k=v1 and k=v2',
    ],
    [
      'CREATE JOB j ON STREAMING FROM MYSQL ("password"="s1", "password"="s2") TO DATABASE d',
      'Multiple entries with same key: password=*** and password=***',
    ],
    ["PAUSE JOB WHERE name = 'x'", "jobName should be: 'jobName'"],
    ["CANCEL TASK WHERE jobName = 'x' AND id = 5", "taskId should be: 'taskId'"],
  ])('%s', (sql, message) => {
    expect(parse(sql)).toEqual({ kind: 'invalid', message });
  });

  test('what does not parse is told before what is wrong in it', () => {
    expect(parse('CREATE JOB j ON STREAMING FROM MYSQL ("k"="1", "k"="2") TO d')).toMatchObject({
      message: "mismatched input a word expecting 'TO DATABASE'(line 1, pos 56)",
    });
  });
});

describe('job names in WHERE', () => {
  test.each([
    ["'x'", 'x'],
    ['"x"', 'x'],
    ['x', 'x'],
    ['`x y`', 'x y'],
    ['a.b', 'a.b'],
    [String.raw`'a\'b'`, String.raw`a\'b`],
    ["'a''b'", "a''b"],
    ["'x; drop'", 'x; drop'],
  ])('%s', (written, name) => {
    expect(parse(`PAUSE JOB WHERE jobName = ${written}`)).toEqual({ kind: 'pause', name });
    expect(parse(`RESUME JOB WHERE JOBNAME=${written}`)).toEqual({ kind: 'resume', name });
    expect(parse(`DROP JOB WHERE \`jobname\` = ${written}`)).toEqual({
      kind: 'drop',
      name,
      ifExists: false,
    });
    expect(parse(`DROP JOB IF EXISTS WHERE 'jobname' = ${written}`)).toMatchObject({
      ifExists: true,
    });
    expect(parse(`CANCEL TASK WHERE jobName = ${written} AND taskId = 12`)).toEqual({
      kind: 'cancel',
      name,
      taskId: '12',
    });
  });
});

describe('ALTER JOB', () => {
  test('the form of the manual', () => {
    const sql = 'ALTER JOB j\nFROM MYSQL (\n "user" = "root", "password" = "1")\nTO DATABASE db';
    expect(parse(sql)).toMatchObject({
      kind: 'alter',
      name: 'j',
      jobProperties: new Map(),
      ends: {
        sourceProperties: new Map([
          ['user', 'root'],
          ['password', '1'],
        ]),
      },
    });
  });

  test('properties alone, and both', () => {
    expect(parse("ALTER JOB j PROPERTIES('offset'='{}')")).toEqual({
      kind: 'alter',
      name: 'j',
      jobProperties: new Map([['offset', '{}']]),
    });
    expect(parse('ALTER JOB j PROPERTIES(a=b) FROM MYSQL TO DATABASE db')).toMatchObject({
      jobProperties: new Map([['a', 'b']]),
      ends: { targetDatabase: 'db' },
    });
    expect(parse('ALTER JOB j')).toBeUndefined();
  });
});

const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((t) => !/\\[%_]|\0/.test(t));
const string = (value: string, mark: string): string =>
  mark + value.replaceAll('\\', '\\\\').replaceAll(mark, mark + mark) + mark;
const name = (value: string): string => `\`${value.replaceAll('`', '``')}\``;
const list = fc.uniqueArray(fc.tuple(text, text), { selector: ([key]) => key, maxLength: 6 });

test('a printed CREATE JOB parses back to itself', () => {
  fc.assert(
    fc.property(
      text,
      text,
      list,
      list,
      list,
      text,
      fc.boolean(),
      (job, comment, p, s, t, db, after) => {
        const print = (pairs: [string, string][]): string =>
          pairs.length === 0
            ? ''
            : `(${pairs.map(([k, v], i) => `${string(k, i % 2 ? "'" : '"')} = ${string(v, '"')}`).join(' , ')} )`;
        const clause = p.length === 0 ? '' : `PROPERTIES ${print(p)}`;
        const sql = `CREATE JOB ${name(job)} ${after ? '' : clause} ON STREAMING ${after ? clause : ''}
        COMMENT ${string(comment, "'")} FROM Mysql ${print(s)} TO DATABASE ${name(db)} ${print(t)}`;
        expect(parse(sql)).toEqual({
          kind: 'create',
          name: job,
          comment,
          jobProperties: new Map(p),
          ends: {
            sourceType: 'Mysql',
            sourceProperties: new Map(s),
            targetDatabase: db,
            targetProperties: new Map(t),
          },
        });
      },
    ),
  );
});

test('a statement cut anywhere is no statement', () => {
  const tokens = tokenize(SEED_CREATE);
  const whole = new Set([tokens.length]);
  // Without the target's list it is a complete statement.
  whole.add(tokens.findIndex((token) => token.text === 'target_test_db') + 1);
  for (let n = 0; n < tokens.length; n += 1) {
    const parsed = parseJobStatement(SEED_CREATE, tokens.slice(0, n));
    expect(parsed !== undefined && parsed.kind !== 'invalid').toBe(whole.has(n));
  }
});
