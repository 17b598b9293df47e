import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ColumnSpec, TableSpec } from '../src/model/table.ts';
import { FrontendClient } from '../src/sink/frontend-client.ts';
import { checkTable, createTable, truncateTable, type TargetTable } from '../src/sink/table-ddl.ts';
import { create, JobWorld } from './command/job-world.ts';
import { FakeQueryPort, type FrontendReply } from './support/fake-query-port.ts';

/**
 * Everything that is said to an FE, in one file: a grammar of Doris can read it, and a change of it shows in a review.
 * After a wanted change: `npx vitest run --config test/vitest.config.ts -u test/doris-statements.test.ts`.
 */
const FILE = 'fixtures/doris-statements.sql';

/** Of each kind that the typemaps give. */
const TYPES = (
  'BOOLEAN TINYINT SMALLINT INT BIGINT LARGEINT FLOAT DOUBLE DECIMAL(38,10) DATE DATETIME DATETIME(6) ' +
  'CHAR(40) VARCHAR(65533) STRING ARRAY<FLOAT> ARRAY<ARRAY<DECIMAL(10,2)>>'
).split(' ');

const column = (name: string, dorisType: string, comment = ''): ColumnSpec => ({
  name,
  sourceType: 'x',
  dorisType,
  nullable: true,
  comment,
});

const TABLE: TableSpec = {
  schema: 'shop',
  name: 'orders',
  target: 'select',
  columns: [
    column('key', 'STRING', 'a "word", a \\ and\na line'),
    column('größe 1', 'LARGEINT'),
    ...TYPES.map((type, i) => column(`c${i}`, type)),
  ],
  key: ['größe 1', 'key'],
};

const EXISTING: TargetTable = {
  keyModel: 'UNIQUE',
  key: ['größe 1', 'key'],
  columns: ['key varchar(10)', 'größe 1 bigint', 'C0 boolean', 'c3 smallint', 'x int'].map(
    (text) => ({
      name: text.slice(0, text.lastIndexOf(' ')),
      type: text.slice(text.lastIndexOf(' ') + 1),
      nullable: false,
      defaultValue: text.startsWith('c3') ? '0' : undefined,
      comment: text.startsWith('c3') ? 'three' : '',
    }),
  ),
};

let world: JobWorld;
beforeAll(async () => {
  world = await JobWorld.open();
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

function cures(): readonly string[] {
  try {
    checkTable('dw', EXISTING, TABLE);
  } catch (error) {
    const text = (error as Error).message;
    return [...text.matchAll(/cure: (ALTER TABLE .*?)(?=\. \(\d+\) |$)/g)].map(([, sql]) => sql!);
  }
  return [];
}

const FOUND: FrontendReply = {
  columns: [{ name: 'TABLE_NAME', type: 'varchar' }],
  rows: [['t']],
};

async function lookUps(): Promise<readonly string[]> {
  await using fe = await FakeQueryPort.open(() => FOUND);
  await using client = new FrontendClient({
    frontends: [{ host: '127.0.0.1', port: fe.port }],
    user: 'svc',
    password: '',
  });
  await client.databaseExists("it's");
  await client.jobNames();
  await client.describeTable('dw', 'select');
  return fe.statements;
}

/** What job statements ask over the caller's connection and do over our own, and queries that Doris answers over literal rows. */
async function ofJobs(): Promise<readonly string[]> {
  const property = 'PROPERTIES("session.enable_profile" = "true")';
  world.caller.answer = { columns: ['Variable_name'], rows: [['enable_profile']] };
  await world.run(create({ job: property }));
  world.caller.answer = { columns: ['@@version_comment'], rows: [['x (Cloud Mode)']] };
  const group = create({ name: 'in_group', job: 'PROPERTIES("compute_group" = "g")' });
  await expect(world.run(group)).rejects.toThrow('SHOW COMPUTE GROUPS');
  const rewritten: string[] = [];
  for (const sql of [
    'select Name, row_number() over (order by Id) from jobs("type"="insert")',
    'with j as (select * from jobs("type"="insert")) select t.*, j.Status from dw.t join j on t.name = j.Name',
    'insert into dw.seen select TaskId, JobId from tasks("type"="insert")',
  ]) {
    const reply = await world.run(sql);
    if (reply === 'relay' || reply.kind !== 'rewritten') throw new Error(`not rewritten: ${sql}`);
    rewritten.push(reply.sql);
  }
  await world.run('select * from tasks("type"="insert")');
  await world.commands
    .recognize('select max(Id) from jobs("type"="insert")')
    ?.describe?.(world.caller);
  world.parts.target.databases.add('other');
  world.parts.target.broken = 'order_info';
  await expect(world.run(create({ name: 'k', target: 'other' }))).rejects.toThrow();
  const id = String(world.job().id);
  return [...new Set([...world.caller.asked, ...world.parts.target.statements, ...rewritten])].map(
    (sql) => sql.replaceAll(id, '10001'),
  );
}

test('all statements for Doris are those of the file', async () => {
  const statements = [
    ...(await lookUps()),
    createTable('dw', TABLE, {
      'table.create.properties.replication_num': '1',
      'table.create.properties.function_column.sequence_type': 'bigint',
    }),
    truncateTable('dw', 'select'),
    ...cures(),
    ...(await ofJobs()),
  ];
  expect(statements.length).toBeGreaterThan(20);
  await expect(statements.map((sql) => `${sql};\n`).join('\n')).toMatchFileSnapshot(FILE);
});
