import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FrontendClient } from '../src/sink/frontend-client.ts';
import { checkTable, createTable, truncateTable } from '../src/sink/table-ddl.ts';
import { available, startMariadb } from './servers.ts';
import {
  bodyOf,
  column,
  ID_AND_NAME,
  newLabel,
  PROPERTIES,
  SinkWorld,
  spec,
  STRICT,
} from './support/sink-world.ts';

const never = new AbortController().signal;

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open('sink_it');
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe('the target table', () => {
  const ALL_TYPES = [
    column('id', 'BIGINT', 'the "key"\nof `all` \\ types'),
    column('k2', 'STRING'),
    column('bool', 'BOOLEAN'),
    column('tiny', 'TINYINT'),
    column('small', 'SMALLINT'),
    column('int', 'INT'),
    column('large', 'LARGEINT'),
    column('float', 'FLOAT'),
    column('double', 'DOUBLE'),
    column('dec', 'DECIMAL(38,10)'),
    column('date', 'DATE'),
    column('dt', 'DATETIME(6)'),
    column('dt0', 'DATETIME(0)'),
    column('chr', 'CHAR(15)'),
    column('vchr', 'VARCHAR(30)'),
    column('str', 'STRING'),
    column('json', 'JSON'),
    column('arr', 'ARRAY<INT>'),
  ];

  test('of every type is made, and found to fit when it is looked at again', async () => {
    const table = spec('all_types', ALL_TYPES, ['k2', 'id']);
    const ddl = createTable(world.database, table, PROPERTIES);
    await world.frontend.execute(ddl);
    await expect(world.frontend.execute(ddl)).rejects.toMatchObject({ code: 'TARGET_TABLE' });
    const found = await world.frontend.describeTable(world.database, 'all_types');
    expect(found).toMatchObject({ keyModel: 'UNIQUE', key: ['k2', 'id'] });
    expect(found!.columns.map(({ name, nullable }) => [name, nullable])).toEqual([
      ['k2', false],
      ['id', false],
      ...ALL_TYPES.slice(2).map(({ name }) => [name, true]),
    ]);
    expect(found!.columns[1]!.comment).toBe('the "key"\nof `all` \\ types');
    checkTable(world.database, found!, table);
  });

  test('made by somebody else is reported whole, and the cures cure it', async () => {
    await world.client
      .query(`CREATE TABLE ${world.database}.theirs (id INT NOT NULL, note VARCHAR(10) NOT NULL DEFAULT "x",
      Spelled STRING NULL, due DATE NULL, own INT NULL) UNIQUE KEY(id)
      DISTRIBUTED BY HASH(id) BUCKETS 1 PROPERTIES ("replication_num" = "1")`);
    const table = spec('theirs', [
      column('id', 'INT'),
      column('note', 'VARCHAR(40)'),
      column('spelled', 'STRING'),
      column('due', 'DATE'),
      column('added', 'DECIMAL(10,2)'),
    ]);
    let error: unknown;
    try {
      checkTable(
        world.database,
        (await world.frontend.describeTable(world.database, 'theirs'))!,
        table,
      );
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'TARGET_TABLE' });
    const cures = [...String(error).matchAll(/cure: (ALTER TABLE .*?)(?=\. \(\d+\)|$)/g)];
    expect(cures).toHaveLength(3);
    for (const [, cure] of cures) {
      // Doris does one heavy change of a table at a time, in the background.
      await expect.poll(() => world.frontend.execute(cure!), { timeout: 60_000 }).toBeUndefined();
    }
    await expect
      .poll(
        async () => {
          checkTable(
            world.database,
            (await world.frontend.describeTable(world.database, 'theirs'))!,
            table,
          );
        },
        { timeout: 60_000 },
      )
      .toBeUndefined();
  });

  test('is emptied', async () => {
    const table = await world.makeTable('emptied');
    await using sink = world.sink();
    await sink.load(world.database, bodyOf(table, [[1, 'a']]), newLabel(), STRICT, never);
    await world.frontend.execute(truncateTable(world.database, table.target));
    await expect(world.rowsOf(table)).resolves.toEqual([]);
  });

  test('that Doris cannot make is refused in its words', async () => {
    const table = spec('too_many', ID_AND_NAME);
    const properties = { 'table.create.properties.replication_num': '99' };
    await expect(
      world.frontend.execute(createTable(world.database, table, properties)),
    ).rejects.toMatchObject({
      code: 'TARGET_TABLE',
      message: expect.stringContaining('replica'),
    });
  });

  test('and its database are there or not', async () => {
    await world.makeTable('there');
    await expect(world.frontend.databaseExists(world.database)).resolves.toBe(true);
    await expect(world.frontend.databaseExists('Sink_It')).resolves.toBe(false);
    await expect(world.frontend.tableExists(world.database, 'there')).resolves.toBe(true);
    await expect(world.frontend.tableExists(world.database, 'not_there')).resolves.toBe(false);
    await expect(
      world.frontend.describeTable(world.database, 'not_there'),
    ).resolves.toBeUndefined();
  });
});

describe('a load', () => {
  test('inserts, replaces and deletes by key', async () => {
    const table = await world.makeTable('upserts');
    await using sink = world.sink();
    const first = bodyOf(table, [
      [1, 'one'],
      [2, 'two'],
      [3, 'drei "\n\\ é 漢'],
    ]);
    const label = newLabel();
    await expect(sink.load(world.database, first, label, STRICT, never)).resolves.toMatchObject({
      label,
      loadedRows: 3,
      filteredRows: 0,
      loadBytes: first.bytes,
      alreadyThere: false,
    });
    const second = bodyOf(table, [[1], [2, 'zwei'], [9]]);
    await sink.load(world.database, second, newLabel(), STRICT, never);
    await expect(world.rowsOf(table)).resolves.toEqual([
      [2, 'zwei'],
      [3, 'drei "\n\\ é 漢'],
    ]);
  });

  test('that was loaded is not loaded again, and its label is settled', async () => {
    const table = await world.makeTable('again');
    await using sink = world.sink();
    const label = newLabel();
    const body = bodyOf(table, [[1, 'a']]);
    await expect(sink.settle(world.database, label, never)).resolves.toBe('absent');
    await sink.load(world.database, body, label, STRICT, never);
    await expect(sink.load(world.database, body, label, STRICT, never)).resolves.toMatchObject({
      alreadyThere: true,
      loadedRows: 1,
    });
    await expect(sink.settle(world.database, label, never)).resolves.toBe('loaded');
  });

  test('with a row that does not fit is refused whole, naming table, reason and row', async () => {
    const table = await world.makeTable('refused');
    await using sink = world.sink();
    const body = bodyOf(table, [
      [1, 'fits'],
      [2, 'x'.repeat(200)],
    ]);
    const label = newLabel();
    const error: unknown = await sink
      .load(world.database, body, label, STRICT, never)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'TARGET_DATA', failure: { cure: 'operator' } });
    expect(String(error)).toContain(`${world.database}.refused`);
    expect(String(error)).toContain('name');
    expect(String(error)).not.toContain('x'.repeat(200));
    await expect(world.rowsOf(table)).resolves.toEqual([]);
    // The label is free again: the transaction was aborted.
    await expect(sink.settle(world.database, label, never)).resolves.toBe('absent');
    const lenient = { strictMode: true, maxFilterRatio: 0.5, sequence: 1 };
    await expect(sink.load(world.database, body, label, lenient, never)).resolves.toMatchObject({
      loadedRows: 1,
      filteredRows: 1,
    });
  });

  test('into a table that is not there, or with a wrong password, waits for an operator', async () => {
    const nowhere = bodyOf(spec('nowhere', ID_AND_NAME), [[1, 'a']]);
    await using sink = world.sink();
    await expect(
      sink.load(world.database, nowhere, newLabel(), STRICT, never),
    ).rejects.toMatchObject({
      code: 'TARGET_TABLE',
    });
    await using stranger = world.sink({ password: 'not the password' });
    const refused = stranger.load(world.database, nowhere, newLabel(), STRICT, never);
    await expect(refused).rejects.toMatchObject({ code: 'TARGET_ACCESS' });
    await expect(refused).rejects.not.toThrow('not the password');
  });
});

/** A real server judges the escapes; the stand-in knows no modes. */
test.runIf(available('mariadb'))(
  'literals are what they are where the server takes backslashes as they stand',
  async () => {
    await using server = await startMariadb(['--sql-mode=NO_BACKSLASH_ESCAPES']);
    const { host, port, user, password } = server;
    const frontends = [{ host, port }];
    await using frontend = new FrontendClient({ frontends, user, password });
    const name = `a\\b'c"d`;
    await server.exec(`CREATE DATABASE \`${name}\``);
    await expect(frontend.databaseExists(name)).resolves.toBe(true);
  },
);
