import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { Batch, type LoadBody } from '../src/encode/batch.ts';
import type { ColumnSpec, TableSpec } from '../src/model/table.ts';
import { DorisSink, type DorisSinkOptions } from '../src/sink/doris-sink.ts';
import { FrontendClient } from '../src/sink/frontend-client.ts';
import type { HostPort } from '../src/sink/stream-load.ts';
import { checkTable, createTable, truncateTable } from '../src/sink/table-ddl.ts';
import { startDoris, type DorisHandle } from './support/doris.ts';

/** Faults are switches of the stand-in; a real cluster is only asked for what needs none. */
const standinOnly = process.env['TEST_DORIS_URL'] === undefined ? test : test.skip;

const DATABASE = 'sink_it';
const PROPERTIES = { 'table.create.properties.replication_num': '1' };
const STRICT = { strictMode: true, maxFilterRatio: 0 };
const never = new AbortController().signal;

let doris: DorisHandle;
let client: Connection;
let frontend: FrontendClient;
beforeAll(async () => {
  doris = await startDoris();
  client = await doris.connect();
  await client.query(`DROP DATABASE IF EXISTS ${DATABASE} FORCE`);
  await client.query(`CREATE DATABASE ${DATABASE}`);
  frontend = new FrontendClient({ frontends: [hostPort(doris.fe)], ...account() });
});
afterAll(async () => {
  await frontend[Symbol.asyncDispose]();
  await client.query(`DROP DATABASE IF EXISTS ${DATABASE} FORCE`);
  await client.end();
  await doris[Symbol.asyncDispose]();
});

function account() {
  return { user: doris.dorisUser, password: doris.dorisPassword };
}

function hostPort(text: string): HostPort {
  const [host = '', port] = text.split(':');
  return { host, port: Number(port) };
}

function openSink(options: Partial<DorisSinkOptions> = {}): DorisSink {
  return new DorisSink({
    frontends: [hostPort(doris.feHttp)],
    ...account(),
    retryMs: 20_000,
    quietMs: 500,
    backoff: { firstMs: 20, maxMs: 500 },
    ...options,
  });
}

function column(name: string, dorisType: string, comment = ''): ColumnSpec {
  return { name, sourceType: 'x', dorisType, nullable: true, comment };
}

function spec(target: string, columns: readonly ColumnSpec[], key = ['id']): TableSpec {
  return { schema: 'src', name: target, target, columns, key };
}

const ID_AND_NAME = [column('id', 'INT'), column('name', 'VARCHAR(20)')];

/** JSON lines of `[id, name]` rows; a row without a name is a delete that knows only the key. */
function bodyOf(table: TableSpec, rows: readonly (readonly [number, string?])[]): LoadBody {
  const batch = new Batch();
  const out = batch.table(table);
  for (const [id, name] of rows) {
    out.startRow();
    out.startColumn(0);
    out.integer(id);
    out.startColumn(1);
    if (name === undefined) out.null();
    else out.quotedText(name);
    out.endRow(name === undefined);
  }
  return batch.bodies()[0]!;
}

async function makeTable(name: string): Promise<TableSpec> {
  const table = spec(name, ID_AND_NAME);
  await frontend.execute(createTable(DATABASE, table, PROPERTIES));
  return table;
}

async function rowsOf(table: TableSpec): Promise<unknown[][]> {
  const [rows] = await client.query<RowDataPacket[][]>({
    sql: `SELECT id, name FROM ${DATABASE}.${table.target} ORDER BY id`,
    rowsAsArray: true,
  });
  return rows;
}

let fresh = 0;
const newLabel = () => `it_${Date.now()}_${fresh++}`;

async function fault(faults: Record<string, unknown>): Promise<void> {
  const response = await fetch(`http://${doris.feHttp}/_standin/faults`, {
    method: 'PUT',
    body: JSON.stringify(faults),
  });
  expect(response.status).toBe(200);
}

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
    const ddl = createTable(DATABASE, table, PROPERTIES);
    await frontend.execute(ddl);
    await frontend.execute(ddl);
    const found = await frontend.describeTable(DATABASE, 'all_types');
    expect(found).toMatchObject({ keyModel: 'UNIQUE', key: ['k2', 'id'] });
    expect(found!.columns.map(({ name, nullable }) => [name, nullable])).toEqual([
      ['k2', false],
      ['id', false],
      ...ALL_TYPES.slice(2).map(({ name }) => [name, true]),
    ]);
    expect(found!.columns[1]!.comment).toBe('the "key"\nof `all` \\ types');
    checkTable(DATABASE, found!, table);
  });

  test('made by somebody else is reported whole, and the cures cure it', async () => {
    await client.query(`CREATE TABLE ${DATABASE}.theirs (id INT NOT NULL, note VARCHAR(10) NOT NULL DEFAULT "x",
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
      checkTable(DATABASE, (await frontend.describeTable(DATABASE, 'theirs'))!, table);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'TARGET_TABLE' });
    const cures = [...String(error).matchAll(/cure: (ALTER TABLE .*?)(?=\. \(\d+\)|$)/g)];
    expect(cures).toHaveLength(3);
    for (const [, cure] of cures) {
      // Doris does one heavy change of a table at a time, in the background.
      await expect.poll(() => frontend.execute(cure!), { timeout: 60_000 }).toBeUndefined();
    }
    await expect
      .poll(
        async () => {
          checkTable(DATABASE, (await frontend.describeTable(DATABASE, 'theirs'))!, table);
        },
        { timeout: 60_000 },
      )
      .toBeUndefined();
  });

  test('is emptied', async () => {
    const table = await makeTable('emptied');
    await using sink = openSink();
    await sink.load(DATABASE, bodyOf(table, [[1, 'a']]), newLabel(), STRICT, never);
    await frontend.execute(truncateTable(DATABASE, table.target));
    await expect(rowsOf(table)).resolves.toEqual([]);
  });

  test('that Doris cannot make is refused in its words', async () => {
    const table = spec('too_many', ID_AND_NAME);
    const properties = { 'table.create.properties.replication_num': '99' };
    await expect(frontend.execute(createTable(DATABASE, table, properties))).rejects.toMatchObject({
      code: 'TARGET_TABLE',
      message: expect.stringContaining('replica'),
    });
  });

  test('and its database are there or not', async () => {
    await makeTable('there');
    await expect(frontend.databaseExists(DATABASE)).resolves.toBe(true);
    await expect(frontend.databaseExists('Sink_It')).resolves.toBe(false);
    await expect(frontend.tableExists(DATABASE, 'there')).resolves.toBe(true);
    await expect(frontend.tableExists(DATABASE, 'not_there')).resolves.toBe(false);
    await expect(frontend.describeTable(DATABASE, 'not_there')).resolves.toBeUndefined();
    const version = await frontend.version();
    expect(version.number?.[0]).toBeGreaterThanOrEqual(2);
  });
});

describe('a load', () => {
  test('inserts, replaces and deletes by key', async () => {
    const table = await makeTable('upserts');
    await using sink = openSink();
    const first = bodyOf(table, [
      [1, 'one'],
      [2, 'two'],
      [3, 'drei "\n\\ é 漢'],
    ]);
    const label = newLabel();
    await expect(sink.load(DATABASE, first, label, STRICT, never)).resolves.toMatchObject({
      label,
      loadedRows: 3,
      filteredRows: 0,
      loadBytes: first.bytes,
      alreadyThere: false,
    });
    const second = bodyOf(table, [[1], [2, 'zwei'], [9]]);
    await sink.load(DATABASE, second, newLabel(), STRICT, never);
    await expect(rowsOf(table)).resolves.toEqual([
      [2, 'zwei'],
      [3, 'drei "\n\\ é 漢'],
    ]);
  });

  test('that was loaded is not loaded again, and its label is settled', async () => {
    const table = await makeTable('again');
    await using sink = openSink();
    const label = newLabel();
    const body = bodyOf(table, [[1, 'a']]);
    await expect(sink.settle(DATABASE, label, never)).resolves.toBe('absent');
    await sink.load(DATABASE, body, label, STRICT, never);
    await expect(sink.load(DATABASE, body, label, STRICT, never)).resolves.toMatchObject({
      alreadyThere: true,
      loadedRows: 1,
    });
    await expect(sink.settle(DATABASE, label, never)).resolves.toBe('loaded');
  });

  test('with a row that does not fit is refused whole, naming table, reason and row', async () => {
    const table = await makeTable('refused');
    await using sink = openSink();
    const body = bodyOf(table, [
      [1, 'fits'],
      [2, 'x'.repeat(200)],
    ]);
    const label = newLabel();
    const error: unknown = await sink
      .load(DATABASE, body, label, STRICT, never)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'TARGET_DATA', failure: { cure: 'operator' } });
    expect(String(error)).toContain(`${DATABASE}.refused`);
    expect(String(error)).toContain('name');
    expect(String(error)).not.toContain('x'.repeat(200));
    await expect(rowsOf(table)).resolves.toEqual([]);
    // The label is free again: the transaction was aborted.
    await expect(sink.settle(DATABASE, label, never)).resolves.toBe('absent');
    const lenient = { strictMode: true, maxFilterRatio: 0.5 };
    await expect(sink.load(DATABASE, body, label, lenient, never)).resolves.toMatchObject({
      loadedRows: 1,
      filteredRows: 1,
    });
  });

  test('into a table that is not there, or with a wrong password, waits for an operator', async () => {
    const nowhere = bodyOf(spec('nowhere', ID_AND_NAME), [[1, 'a']]);
    await using sink = openSink();
    await expect(sink.load(DATABASE, nowhere, newLabel(), STRICT, never)).rejects.toMatchObject({
      code: 'TARGET_TABLE',
    });
    await using stranger = openSink({ password: 'not the password' });
    const refused = stranger.load(DATABASE, nowhere, newLabel(), STRICT, never);
    await expect(refused).rejects.toMatchObject({ code: 'TARGET_ACCESS' });
    await expect(refused).rejects.not.toThrow('not the password');
  });
});

describe('under faults the rows are there once', () => {
  standinOnly.each([
    ['the line is cut during the body', { resetDuringBody: {} }, false],
    [
      'the line is cut after the body, nothing loaded',
      { resetAfterBody: { commit: false } },
      false,
    ],
    ['the line is cut after the commit', { resetAfterBody: { commit: true } }, true],
    ['the BE reports an RPC error after the commit', { failAfterCommit: {} }, true],
    ['publishing takes longer than the BE waits', { publishTimeout: { ms: 300 } }, false],
    ['the BE is slow', { slowBe: { ms: 300 } }, false],
    ['there are too many versions', { tooManyVersions: { count: 2 } }, false],
    ['there are too many transactions', { tooManyTxns: { count: 2 } }, false],
    ['no BE is alive', { beDown: { count: 4 } }, false],
    ['the FE is away', { feDown: { count: 4 } }, false],
    [
      'everything at once',
      {
        feDown: {},
        beDown: {},
        resetDuringBody: {},
        tooManyVersions: {},
        resetAfterBody: { commit: true },
      },
      true,
    ],
  ])('%s', async (_, faults, alreadyThere) => {
    const table = await makeTable(`fault_${fresh++}`);
    await using sink = openSink();
    await fault(faults);
    const rows = Array.from({ length: 500 }, (__, i) => [i, `name ${i}`] as const);
    const loaded = sink.load(DATABASE, bodyOf(table, rows), newLabel(), STRICT, never);
    await expect(loaded).resolves.toMatchObject({ alreadyThere, loadedRows: 500 });
    await expect(rowsOf(table)).resolves.toEqual(rows);
  });

  standinOnly('a sender that dies in the middle leaves a label that can be settled', async () => {
    const table = await makeTable('dies');
    const label = newLabel();
    const rows = Array.from({ length: 500 }, (_, i) => [i, `name ${i}`] as const);
    await fault({ publishDelay: { ms: 1_000 } });
    {
      await using sink = openSink();
      const stop = new AbortController();
      const loading = sink.load(DATABASE, bodyOf(table, rows), label, STRICT, stop.signal);
      setTimeout(() => stop.abort(new Error('killed')), 300);
      await expect(loading).rejects.toThrow('killed');
    }
    await using next = openSink();
    const settled = await next.settle(DATABASE, label, never);
    await expect
      .poll(async () => (await rowsOf(table)).length, { timeout: 10_000 })
      .toBe(settled === 'loaded' ? 500 : 0);
  });
});
