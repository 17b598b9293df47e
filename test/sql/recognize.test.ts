import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { recognize } from '../../src/sql/recognize.ts';

const kind = (sql: string): string => {
  const found = recognize(sql);
  return found?.kind === 'job' ? found.statement.kind : (found?.kind ?? 'relay');
};

const syntax = (sql: string): string => {
  const found = recognize(sql);
  if (found?.kind !== 'job' || found.statement.kind !== 'invalid') return kind(sql);
  return found.statement.message;
};

const CREATE =
  'CREATE JOB j ON STREAMING FROM MYSQL ("user" = "root") TO DATABASE db ("table.create.properties.x" = "1")';

describe('statements of ours', () => {
  test.each<[string, string]>([
    [CREATE, 'create'],
    [`${CREATE};`, 'create'],
    [`/* x */ ${CREATE} ;; -- done`, 'create'],
    [`-- a\n# b\n${CREATE}`, 'create'],
    [`\uFEFF${CREATE}\0`, 'create'],
    ['create/**/job j on streaming from mysql to database db', 'create'],
    ["PAUSE JOB WHERE jobname = 'x' ;", 'pause'],
    ['pause\r\njob\twhere jobName="x"', 'pause'],
    ["RESUME JOB where jobName = 'x'", 'resume'],
    ["DROP JOB IF EXISTS where jobName = 'x'", 'drop'],
    ["ALTER JOB x PROPERTIES('max_interval'='5')", 'alter'],
    ["CANCEL TASK WHERE jobName = 'x' AND taskId = 5", 'cancel'],
    ['select * from jobs(type=insert) where ExecuteType = "STREAMING"', 'query'],
    ["SELECT * FROM TASKS('TYPE'='INSERT')", 'query'],
    ['select * from jobs ("type" /* x */ = "insert") j, tasks("type"="insert") t', 'query'],
    ['(select Id from jobs("type"="insert"))', 'query'],
    ['with a as (select Id from jobs("type"="insert")) select * from a', 'query'],
    ['explain select * from jobs("type"="insert")', 'query'],
    ['DESC FUNCTION jobs("type"="insert")', 'describe'],
    ["describe function TASKS('type'=insert);", 'describe'],
    ['DESC FUNCTION jobs("type"="insert") x', 'describe'],
    ['DESC FUNCTION jobs("type"="insert") AS `x`', 'describe'],
    ['insert into t select Id from jobs("type"="insert")', 'query'],
    ['delete from t using jobs("type"="insert") j where j.Id = t.id', 'query'],
    ['update t set v = 1 where id in (select Id from jobs("type"="insert"))', 'query'],
    ['select * from t join [shuffle] jobs("type"="insert") j on j.Id = t.id', 'query'],
    ['create table t as select Id from jobs("type"="insert")', 'query'],
    ['select * from x join jobs("type"="mv") join tasks("type"="insert")', 'query'],
  ])('%j', (sql, expected) => {
    expect(kind(sql)).toBe(expected);
  });
});

describe('statements of Doris, the ones that look like ours included', () => {
  test.each([
    '',
    ';',
    'select 1',
    "select 'create job x'",
    'select jobs from t',
    'select * from `jobs`',
    'select * from `jobs`("type"="insert")',
    'select jobs (1)',
    'select \'select * from jobs("type"="insert")\'',
    'select 1 /* from jobs("type"="insert") */',
    'select 1 -- from jobs("type"="insert")',
    'select * from jobs("type"="mv")',
    'select * from jobs()',
    'select * from jobs("kind"="insert")',
    'select * from jobs("type"="insert", "x"="y")',
    'select * from jobs("type"="insert"',
    'select jobs("type"="insert")',
    'show jobs',
    'create table job(id int)',
    'create table jobs (id int)',
    'create view v as select * from jobs("type"="insert")',
    'DESC FUNCTION jobs("type"="mv")',
    'DESC FUNCTION jobs("type"="insert") x y',
    'DESC FUNCTION jobs("type"="insert") as',
    'DESC FUNCTION jobs("type"="insert") "x"',
    'DESC jobs',
    'select id from job',
    'select job from task',
    'drop table job',
    'ALTER JOB j INSERT INTO t SELECT 1',
    "ALTER JOB j PROPERTIES('a'='b') INSERT INTO t SELECT 1",
    "ALTER JOB j INSERT INTO t SELECT * FROM S3('secret'='x",
    'ALTER JOB j',
    'ALTER JOB j PROPERTIES("max_interval"="1") extra',
    'PAUSE JOB x',
    "PAUSE JOB WHERE jobname LIKE 'x'",
    "PAUSE JOB WHERE (jobname = 'x')",
    "PAUSE JOB WHERE jobname = 'x' AND 1 = 1",
    'PAUSE JOB WHERE jobname = ?',
    'PAUSE MATERIALIZED VIEW JOB ON mv',
    "CANCEL TASK WHERE jobName = 'x' AND taskId = '5'",
    "CANCEL TASK WHERE taskId = 5 AND taskId = 'x'",
    'CANCEL MATERIALIZED VIEW TASK 1 ON mv',
    'CREATE ROUTINE LOAD db.job ON t FROM KAFKA ("a"="b")',
    'STOP SYNC JOB db.job',
    'SHOW CREATE JOB j',
    "pause'job' where jobname='x'",
    'select 1; select id from job; select 2',
  ])('%j', (sql) => {
    expect(recognize(sql)).toBeUndefined();
  });
});

describe('a statement with a source that does not parse is refused here, and its password is not told', () => {
  const FROM = 'FROM MYSQL ("password" = "hunter2") TO DATABASE d';

  test.each([
    [`CREATE JOB j ON STREAMING ${FROM} extra`, 'a word expecting <EOF>(line 1, pos 76)'],
    [`CREATE JOB j ON STREAMING\n ${FROM} "hunter2"`, 'a string expecting <EOF>(line 2, pos 51)'],
    [`CREATE JOB j ON STREAMIN ${FROM}`, "a word expecting 'ON STREAMING'(line 1, pos 13)"],
    [
      `CREATE JOB IF NOT EXISTS j ON STREAMING ${FROM}`,
      "a word expecting 'ON STREAMING'(line 1, pos 14)",
    ],
    [`CREATE JOB 'j' ON STREAMING ${FROM}`, 'a string expecting a name(line 1, pos 11)'],
    [
      'CREATE JOB j ON STREAMING MYSQL ("password" = "hunter2") TO DATABASE d',
      "a word expecting 'FROM'(line 1, pos 26)",
    ],
    [
      'CREATE JOB j ON STREAMING FROM MYSQL ("password" = "hunter2"',
      "'<EOF>' expecting {')', ','}(line 1, pos 60)",
    ],
    [
      'CREATE JOB j ON STREAMING FROM MYSQL ("password" = "hunter2",) TO DATABASE d',
      "')' expecting a property(line 1, pos 61)",
    ],
    [
      'CREATE JOB j ON STREAMING FROM MYSQL ("password" = hunter2 rest) TO DATABASE d',
      "a word expecting {')', ','}(line 1, pos 59)",
    ],
    [
      'CREATE JOB j ON STREAMING FROM MYSQL () TO DATABASE d',
      "')' expecting a property(line 1, pos 38)",
    ],
    [
      'CREATE JOB j ON STREAMING FROM MYSQL ("password" = "hunter2) TO DATABASE d',
      'a string, name or comment that never ends expecting a property(line 1, pos 51)',
    ],
    [
      `CREATE JOB j PROPERTIES("a"="b") ON STREAMING PROPERTIES("a"="b") ${FROM}`,
      "a word expecting 'FROM'(line 1, pos 46)",
    ],
    [`ALTER JOB j ${FROM} ()`, "')' expecting a property(line 1, pos 63)"],
    [
      'ALTER JOB j MYSQL ("password" = "hunter2") TO DATABASE d',
      "a word expecting 'FROM'(line 1, pos 12)",
    ],
    [`/* x */ CREATE JOB j' ON STREAMING ${FROM}`, "never ends expecting 'ON STREAMING'"],
  ])('%s', (sql, expected) => {
    const message = syntax(sql);
    expect(message).toMatch(/^mismatched input /);
    expect(message).toContain(expected);
    expect(message).not.toContain('hunter2');
  });

  test('a schedule has no source', () => {
    expect(syntax(`CREATE JOB j ON SCHEDULE AT "2026-01-01" ${FROM}`)).toBe(
      'From..To Database is only supported in streaming job',
    );
  });

  test('in a batch too', () => {
    expect(kind(`select 1; CREATE JOB j ON STREAMING ${FROM} extra`)).toBe('batch');
    expect(kind(`select 1; CREATE JOB j ON STREAMING FROM MYSQL ("password" = "hunter2`)).toBe(
      'batch',
    );
  });

  test('wherever a statement is cut off, it is not relayed once the source has begun', () => {
    const whole = `/* c */ CREATE JOB \`j\` ON STREAMING COMMENT 'x' ${FROM} ("a" = "b")`;
    const begun = whole.indexOf('hunter2');
    fc.assert(
      fc.property(fc.integer({ min: begun, max: whole.length }), fc.nat(), (end, at) => {
        expect(recognize(whole.slice(0, end))).toBeDefined();
        // One character of it lost, anywhere after the two words that make it a job's.
        const lost = 20 + (at % (whole.length - 20));
        expect(recognize(whole.slice(0, lost) + whole.slice(lost + 1))).toBeDefined();
      }),
    );
  });
});

const native = (name: string): string =>
  `CREATE JOB ${name} ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)`;

describe('a job for Doris to run is told by its name', () => {
  test.each([
    ['CREATE JOB j ON STREAMING DO INSERT INTO t SELECT * FROM S3("uri"="x")', 'j'],
    [
      'CREATE JOB j ON SCHEDULE EVERY 1 MINUTE DO INSERT INTO t SELECT * FROM jobs("type"="insert")',
      'j',
    ],
    ['CREATE JOB j ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)', 'j'],
    ["CREATE JOB j ON STREAMING DO INSERT INTO t SELECT * FROM cdc_stream('password'='x')", 'j'],
    ["CREATE JOB j ON STREAMING DO INSERT INTO t SELECT * FROM S3('secret'='x", 'j'],
    ['CREATE JOB j ON SCHEDULE EVERY DAY', 'j'],
    ['CREATE JOB a.b ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)', 'a.b'],
    [
      'create job `a` . /* x */ b properties("x"="y") on streaming do insert into t select 1',
      'a.b',
    ],
    ['CREATE JOB a.b.c ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)', 'a.b.c'],
    ["CREATE JOB 'a.b' ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)", undefined],
    ['CREATE JOB a. ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES (1)', undefined],
    ['CREATE JOB a.b', undefined],
  ])('%s', (sql, name) => {
    const found = recognize(sql);
    expect(found).toEqual(name && { kind: 'native', names: [name] });
  });

  test('several in a batch are one text, unless one of ours is among them', () => {
    const batch = `select 1; ${native('a')}; ${native('b')}`;
    expect(recognize(batch)).toEqual({ kind: 'native', names: ['a', 'b'] });
    expect(recognize(`${batch}; PAUSE JOB WHERE jobname = 'c'`)?.kind).toBe('batch');
  });
});

describe('a batch with one of ours in it is cut at its semicolons', () => {
  test('every character of a statement of Doris stays, comments included', () => {
    const found = recognize(`/*+ h */ select 'a;b' -- ;\n;; ${CREATE} ;`);
    expect(found?.kind === 'batch' && found.parts.map(({ sql }) => sql)).toEqual([
      "/*+ h */ select 'a;b' -- ;\n",
      ` ${CREATE} `,
    ]);
    expect(found?.kind === 'batch' && found.parts.map((part) => part.recognized?.kind)).toEqual([
      undefined,
      'job',
    ]);
  });

  test.each([
    `select 1; ${CREATE}`,
    `${CREATE}; select 1`,
    "PAUSE JOB WHERE jobname='a'; PAUSE JOB WHERE jobname='b'",
    'select 1;; select * from jobs("type"="insert");',
  ])('%j', (sql) => {
    expect(kind(sql)).toBe('batch');
  });

  test('a semicolon inside a string separates nothing', () => {
    expect(kind('ALTER JOB a PROPERTIES("x" = "1; drop job where jobname=2")')).toBe('alter');
  });
});

test('a longer text is relayed unread, but not a job of thousands of tables', () => {
  const filler = 'x'.repeat(70_000);
  expect(kind(`select '${filler}' from jobs("type"="insert")`)).toBe('relay');
  expect(
    kind(`CREATE JOB j ON STREAMING FROM MYSQL ("include_tables"="${filler}") TO DATABASE d`),
  ).toBe('create');
  expect(
    kind(
      `-- c\n/* x *//**/ CREATE /* y */ JOB j ON STREAMING FROM MYSQL ("include_tables"="${filler}") TO DATABASE d`,
    ),
  ).toBe('create');
});

/** A job that gives so many tables other names. */
const renaming = (tables: number): string => {
  const names = Array.from({ length: tables }, (_, i) => `, "table.t${i}.target_table" = "u${i}"`);
  return `CREATE JOB j ON STREAMING FROM MYSQL ("password" = "x"${names.join('')}) TO DATABASE d`;
};

test('of a long text no more is read than a job of thousands of tables needs', () => {
  expect(kind(renaming(10_000))).toBe('create');
  // Doris must not see the source's password.
  expect(syntax(renaming(20_000))).toBe('the statement has more than 65536 words and signs');
  const values = '(1),'.repeat(20_000);
  expect(kind(`CREATE JOB j ON SCHEDULE EVERY 1 DAY DO INSERT INTO t VALUES ${values}(1)`)).toBe(
    'relay',
  );
});

test('no text makes it throw', () => {
  const words =
    'CREATE ALTER PAUSE DROP CANCEL JOB TASK ON STREAMING FROM MYSQL TO DATABASE WHERE AND PROPERTIES COMMENT ' +
    'jobname taskId jobs(type=insert) tasks("type"="insert") select * \'x\' "a"="b" ( ) , = ; . ` \' /* */ -- \n 5 ?';
  const word = fc.constantFrom(...words.split(' '));
  const texts = fc.oneof(
    fc.array(word, { maxLength: 24 }).map((chosen) => chosen.join(' ')),
    fc.string({ unit: 'binary' }).map((text) => `job ${text}`),
  );
  fc.assert(
    fc.property(texts, (sql) => {
      expect(() => recognize(sql)).not.toThrow();
    }),
    { numRuns: 500 },
  );
});

test('whatever is quoted or commented never makes a statement ours', () => {
  const bait = fc.constantFrom(
    CREATE,
    "DROP JOB WHERE jobname='x'",
    'select * from jobs("type"="insert")',
    '; PAUSE JOB WHERE jobname = "x";',
  );
  const hidden = fc.oneof(
    bait.map((text) => `'${text.replaceAll("'", "''")}'`),
    bait.map((text) => `"${text.replaceAll('"', '""')}"`),
    bait.map((text) => `\`${text}\``),
    bait.map((text) => `/* ${text} */ 1`),
    bait.map((text) => `1 -- ${text}\n`),
    bait.map((text) => `1 # ${text}\n`),
  );
  fc.assert(
    fc.property(fc.array(hidden, { minLength: 1 }), (parts) => {
      expect(recognize(`select ${parts.join(', ')} from t`)).toBeUndefined();
    }),
  );
});
