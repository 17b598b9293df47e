import { afterEach, describe, expect, test } from 'vitest';
import { FrontendClient } from '../../src/sink/frontend-client.ts';
import { FakeQueryPort, type FrontendReply } from '../support/fake-query-port.ts';

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

async function frontend(reply: (sql: string) => FrontendReply): Promise<FakeQueryPort> {
  const fake = await FakeQueryPort.open(reply);
  opened.push(fake);
  return fake;
}

function clientOf(...ports: number[]): FrontendClient {
  const client = new FrontendClient({
    frontends: ports.map((port) => ({ host: '127.0.0.1', port })),
    user: 'svc',
    password: 'secret',
  });
  opened.push(client);
  return client;
}

function table(names: readonly string[], ...rows: (string | null)[][]): FrontendReply {
  return { columns: names.map((name) => ({ name, type: 'blob' as const })), rows };
}

describe('rows', () => {
  test('are text, also where Doris labels a column binary', async () => {
    const fe = await frontend(() => ({
      columns: [
        { name: 'a', type: 'varchar' },
        { name: 'b', type: 'blob' },
        { name: 'c', type: 'json' },
      ],
      rows: [
        ['é', '漢字', '{"k":"é"}'],
        [null, '', null],
      ],
    }));
    await expect(clientOf(fe.port).query('SELECT 1')).resolves.toEqual([
      { a: 'é', b: '漢字', c: '{"k":"é"}' },
      { a: null, b: '', c: null },
    ]);
  });

  test('of a statement without rows are none', async () => {
    const fe = await frontend(() => 'ok');
    await expect(clientOf(fe.port).query('SET x = 1')).resolves.toEqual([]);
  });
});

test('every session begins with an sql_mode of its own, in front of its first statement', async () => {
  const fe = await frontend(() => 'ok');
  const client = clientOf(fe.port);
  await client.execute('CREATE TABLE a (b INT)');
  await client.execute('CREATE TABLE c (d INT)');
  expect(fe.settings).toEqual(["SET SESSION sql_mode = ''"]);
  expect(fe.statements).toHaveLength(2);
});

describe('a TRUNCATE', () => {
  test('is seen by the partitions that it replaces, and in the process lists of the FEs', async () => {
    const lists: string[][] = [];
    const reply = (sql: string): FrontendReply => {
      if (sql === 'SHOW FULL PROCESSLIST') return table(['Id', 'Command', 'Info'], ...lists);
      return table(['PartitionId', 'PartitionName'], ['12', 't'], ['11', 'u']);
    };
    const [one, two] = [await frontend(reply), await frontend(reply)];
    const client = clientOf(one.port, two.port);
    await expect(client.emptying('d', 't')).resolves.toEqual({
      partitions: '11,12',
      running: false,
    });
    expect(one.statements).toEqual(['SHOW PARTITIONS FROM `d`.`t`', 'SHOW FULL PROCESSLIST']);
    expect(two.statements).toEqual(['SHOW FULL PROCESSLIST']);
    // What ran there is over.
    lists.push(['6', 'Sleep', 'TRUNCATE TABLE `d`.`t`']);
    await expect(client.emptying('d', 't')).resolves.toMatchObject({ running: false });
    lists.push(['7', 'Query', 'TRUNCATE TABLE `d`.`t`']);
    await expect(client.emptying('d', 't')).resolves.toMatchObject({ running: true });
    await two[Symbol.asyncDispose]();
    await expect
      .poll(() => client.emptying('d', 'other'))
      .toMatchObject({ running: false, partitions: '11,12' });
  });

  test('may run at an FE that is only out of sight', async () => {
    const one = await frontend(() => table(['PartitionId'], ['11']));
    const hidden = await frontend(() => 'cut');
    const client = clientOf(one.port, hidden.port);
    await expect(client.emptying('d', 't')).resolves.toEqual({ partitions: '11', running: true });
  });

  test('is not seen where Doris shows no partitions, and asked for in vain where no FE answers', async () => {
    const fe = await frontend((sql) =>
      sql.startsWith('SHOW PARTITIONS') ? { errno: 1142, message: 'denied' } : table(['Info']),
    );
    await expect(clientOf(fe.port).emptying('d', 't')).resolves.toEqual({
      partitions: '',
      running: false,
    });
    await expect(clientOf(1).emptying('d', 't')).rejects.toMatchObject({
      code: 'TARGET_UNREACHABLE',
    });
  });

  test('that is cut off is named', async () => {
    const fe = await frontend(() => 'cut');
    await expect(clientOf(fe.port).truncate('d', 't')).rejects.toMatchObject({
      code: 'TARGET_UNREACHABLE',
      message: expect.stringMatching(/^TRUNCATE TABLE `d`.`t`: FE /) as string,
    });
    expect(fe.statements).toHaveLength(1);
  });
});

describe('look-ups', () => {
  test('names of jobs are those that Doris has, and none in a release without jobs', async () => {
    const fe = await frontend(() => table(['Name'], ['one'], ['two']));
    await expect(clientOf(fe.port).jobNames()).resolves.toEqual(['one', 'two']);
    const old = await frontend(() => ({
      errno: 1105,
      message: 'errCode = 2, detailMessage = Could not find table function jobs',
    }));
    await expect(clientOf(old.port).jobNames()).resolves.toEqual([]);
  });

  test('a database is there or not, by its exact name', async () => {
    const fe = await frontend((sql) =>
      sql.includes("'Dw'") || sql.includes("'dw'")
        ? table(['SCHEMA_NAME'], ['dw'])
        : table(['SCHEMA_NAME']),
    );
    const client = clientOf(fe.port);
    await expect(client.databaseExists('dw')).resolves.toBe(true);
    await expect(client.databaseExists('Dw')).resolves.toBe(false);
    await expect(client.databaseExists(String.raw`o'b\x`)).resolves.toBe(false);
    expect(fe.statements[2]).toBe(
      String.raw`SELECT SCHEMA_NAME FROM information_schema.schemata WHERE SCHEMA_NAME = 'o''b\\x'`,
    );
  });

  test('a table is described as it is', async () => {
    const fe = await frontend((sql) => {
      if (sql.startsWith('SELECT')) return table(['TABLE_NAME'], ['t`1']);
      if (sql.startsWith('SHOW FULL')) {
        return table(
          ['Field', 'Type', 'Collation', 'Null', 'Key', 'Default', 'Extra', 'Comment'],
          ['id', 'bigint', '', 'NO', 'YES', null, '', ''],
          ['v)x', 'datetime(3)', '', 'YES', 'NO', 'CURRENT_TIMESTAMP', 'NONE', 'UNIQUE KEY(a)'],
        );
      }
      const ddl =
        'CREATE TABLE `t``1` (\n  `id` bigint NOT NULL,\n  `v)x` datetime(3) NULL COMMENT "UNIQUE KEY(a)"\n' +
        ') ENGINE=OLAP\nDUPLICATE KEY(`id`, `v)x`)\nDISTRIBUTED BY HASH(`id`) BUCKETS AUTO\nPROPERTIES ()';
      return table(['Table', 'Create Table'], ['t`1', ddl]);
    });
    await expect(clientOf(fe.port).describeTable('d', 't`1')).resolves.toEqual({
      keyModel: 'DUPLICATE',
      key: ['id', 'v)x'],
      columns: [
        { name: 'id', type: 'bigint', nullable: false, defaultValue: undefined, comment: '' },
        {
          name: 'v)x',
          type: 'datetime(3)',
          nullable: true,
          defaultValue: 'CURRENT_TIMESTAMP',
          comment: 'UNIQUE KEY(a)',
        },
      ],
    });
    expect(fe.statements.slice(1)).toEqual([
      'SHOW FULL COLUMNS FROM `d`.`t``1`',
      'SHOW CREATE TABLE `d`.`t``1`',
    ]);
  });

  test.each([
    ['"function_column.sequence_type" = "bigint"', { type: 'bigint' }],
    ['"replication_num" = "1",\n"function_column.sequence_col" = "at"', { column: 'at' }],
    ['"replication_num" = "1"', undefined],
  ])('its sequence column is known: %s', async (properties, sequence) => {
    const fe = await frontend((sql) => {
      if (sql.startsWith('SELECT')) return table(['TABLE_NAME'], ['t']);
      if (sql.startsWith('SHOW FULL')) return table(['Field', 'Type'], ['id', 'int']);
      const ddl = `CREATE TABLE \`t\` (\n  \`id\` int\n) ENGINE=OLAP\nUNIQUE KEY(\`id\`)\nPROPERTIES (\n${properties}\n);`;
      return table(['Table', 'Create Table'], ['t', ddl]);
    });
    const found = await clientOf(fe.port).describeTable('d', 't');
    expect(found?.sequence).toEqual(sequence);
  });

  test('a table that is not there has no description', async () => {
    const fe = await frontend(() => table(['TABLE_NAME']));
    await expect(clientOf(fe.port).describeTable('d', 't')).resolves.toBeUndefined();
  });
});

describe('failures', () => {
  test('an FE that is away is passed over, and remembered', async () => {
    const fe = await frontend(() => 'ok');
    const client = clientOf(1, fe.port);
    await client.execute('CREATE TABLE t');
    await client.execute('CREATE TABLE u');
    expect(fe.statements).toEqual(['CREATE TABLE t', 'CREATE TABLE u']);
  });

  test('a look-up is repeated elsewhere when its connection breaks, DDL is not', async () => {
    const [bad, good] = [await frontend(() => 'cut'), await frontend(() => 'ok')];
    await expect(clientOf(bad.port, good.port).query('SELECT 1')).resolves.toEqual([]);
    await expect(
      clientOf(bad.port, good.port).execute('ALTER TABLE t ADD COLUMN c INT'),
    ).rejects.toMatchObject({ code: 'TARGET_UNREACHABLE' });
    expect(good.statements).toEqual(['SELECT 1']);
  });

  test('nobody there: the error names the FE, not the password', async () => {
    const error = await clientOf(1)
      .query('SELECT 1')
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'TARGET_UNREACHABLE' });
    expect(String(error)).toContain('127.0.0.1:1');
    expect(String(error)).not.toContain('secret');
  });

  test.each([
    [1045, "Access denied for user 'svc'@'h' (using password: YES)", 'TARGET_ACCESS'],
    [1203, 'Reach limit of connections', 'TARGET_BUSY'],
  ])('login refused with %i: %s', async (errno, message, code) => {
    const fe = await frontend(() => 'ok');
    fe.refusal = { errno, message };
    await expect(clientOf(fe.port).query('SELECT 1')).rejects.toMatchObject({
      code,
      message: `FE 127.0.0.1:${fe.port}: ${message}`,
    });
  });

  test.each([
    [1227, 'errCode = 2, detailMessage = Access denied; you need CREATE', 'TARGET_ACCESS'],
    [1105, 'errCode = 2, detailMessage = Access denied; you need CREATE', 'TARGET_ACCESS'],
    [1105, 'errCode = 2, detailMessage = replication num should be less than 1', 'TARGET_TABLE'],
  ])("DDL refused with %i keeps Doris' text", async (errno, message, code) => {
    const fe = await frontend(() => ({ errno, message }));
    const client = clientOf(fe.port);
    const failed = client.execute('CREATE TABLE IF NOT EXISTS `d`.`t` (\n  `id` INT\n)');
    await expect(failed).rejects.toMatchObject({ code });
    await expect(failed).rejects.toThrow(message);
    // The connection is fine: it serves the next statement.
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code });
    expect(fe.connections).toBe(1);
  });

  test('an abort ends a statement that hangs, and its connection', async () => {
    const fe = await frontend(() => 'silence');
    const stop = new AbortController();
    const asked = clientOf(fe.port).query('SELECT SLEEP(100)', stop.signal);
    setTimeout(() => stop.abort(new Error('paused')), 50);
    await expect(asked).rejects.toThrow('paused');
    await expect.poll(() => fe.connections).toBe(0);
  });
});
