import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkTable } from '../src/sink/table-ddl.ts';
import { bodyOf, column, ID_AND_NAME, newLabel, SinkWorld, STRICT } from './support/sink-world.ts';

/** Faults are switches of the stand-in; a real cluster is only asked for what needs none. */
const standinOnly = process.env['TEST_DORIS_URL'] === undefined ? test : test.skip;

const SEQUENCED = { 'table.create.properties.function_column.sequence_type': 'bigint' };
const never = new AbortController().signal;

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open('sink_faults');
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe('refused rows', () => {
  test('with one row in ten thousand that does not fit names it by its key, and leaves nothing', async () => {
    const columns = [column('id', 'BIGINT'), column('name', 'VARCHAR(3000)')];
    const table = await world.makeTable('poisoned', columns);
    await using sink = world.sink();
    // Longer than what the log of the BE shows of a row.
    const long = 'y'.repeat(3_001);
    const rows = Array.from({ length: 10_000 }, (_, id) => [id, `fits ${id}`] as [number, string]);
    rows[7_321] = [7_321, long];
    const body = bodyOf(table, rows);
    const startedAt = Date.now();
    const loading = sink.load(world.database, body, newLabel(), STRICT, never);
    await expect(loading).rejects.toThrow(
      /the row with key id = 7321 in table sink_faults.poisoned/,
    );
    expect(Date.now() - startedAt).toBeLessThan(30_000);
    await expect(world.rowsOf(table)).resolves.toEqual([]);
  });

  standinOnly('refused by a cluster that takes no probes still says why', async () => {
    const table = await world.makeTable('no_probes');
    await using sink = world.sink();
    await world.fault({ noTwoPhase: {} });
    const body = bodyOf(table, [
      [1, 'fits'],
      [2, 'x'.repeat(2_000)],
    ]);
    await expect(sink.load(world.database, body, newLabel(), STRICT, never)).rejects.toThrow(
      /one of 2 rows from key id = 1 on in table sink_faults.no_probes .*column_name\[name\]/,
    );
  });
});

describe('a table with a sequence column', () => {
  test('keeps the newest load, whichever comes last: an old one cannot come back', async () => {
    const table = await world.makeTable('sequenced', ID_AND_NAME, SEQUENCED);
    const found = await world.frontend.describeTable(world.database, table.target);
    expect(found?.sequence).toEqual({ type: 'bigint' });
    expect(() => checkTable(world.database, found!, table)).not.toThrow();
    await using sink = world.sink();
    const load = async (sequence: number, rows: Parameters<typeof bodyOf>[1]): Promise<void> => {
      const body = bodyOf(table, rows);
      await sink.load(world.database, body, newLabel(), { ...STRICT, sequence }, never);
    };
    const base = 1_760_000_000_000;
    await load(base, [
      [1, 'old'],
      [2, 'old'],
      [3, 'old'],
    ]);
    await load(base + 1, [[1, 'new'], [2]]);
    const rows = [
      [1, 'new'],
      [3, 'old'],
    ];
    await expect(world.rowsOf(table)).resolves.toEqual(rows);
    // The first load once more, its label forgotten.
    await load(base, [
      [1, 'old'],
      [2, 'old'],
      [3, 'old'],
    ]);
    await expect(world.rowsOf(table)).resolves.toEqual(rows);
    // A range that is loaded again after a crash has the number that it had.
    await load(base + 1, [[1, 'new again'], [2]]);
    await expect(world.rowsOf(table)).resolves.toEqual([
      [1, 'new again'],
      [3, 'old'],
    ]);
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
      'the disks of the BE are full',
      {
        failWith: {
          count: 2,
          message:
            '[INTERNAL_ERROR]TStatus: errCode = 2, detailMessage = disk /data on backend 10002 exceed limit usage, path hash: 42',
        },
      },
      false,
    ],
    [
      'a schema change of the table is under way',
      {
        failWith: {
          count: 2,
          message:
            "[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = Table[t]'s state(SCHEMA_CHANGE) is not NORMAL. Do not allow doing load",
        },
      },
      false,
    ],
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
    const table = await world.makeTable(newLabel());
    await using sink = world.sink();
    await world.fault(faults);
    const rows = Array.from({ length: 500 }, (__, i) => [i, `name ${i}`] as const);
    const loaded = sink.load(world.database, bodyOf(table, rows), newLabel(), STRICT, never);
    await expect(loaded).resolves.toMatchObject({ alreadyThere, loadedRows: 500 });
    await expect(world.rowsOf(table)).resolves.toEqual(rows);
  });

  standinOnly('a sender that dies in the middle leaves a label that can be settled', async () => {
    const table = await world.makeTable('dies');
    const label = newLabel();
    const rows = Array.from({ length: 500 }, (_, i) => [i, `name ${i}`] as const);
    await world.fault({ publishDelay: { ms: 1_000 } });
    {
      await using sink = world.sink();
      const stop = new AbortController();
      const loading = sink.load(world.database, bodyOf(table, rows), label, STRICT, stop.signal);
      setTimeout(() => stop.abort(new Error('killed')), 300);
      await expect(loading).rejects.toThrow('killed');
    }
    await using next = world.sink();
    const settled = await next.settle(world.database, label, never);
    await expect
      .poll(async () => (await world.rowsOf(table)).length, { timeout: 10_000 })
      .toBe(settled === 'loaded' ? 500 : 0);
  });
});
