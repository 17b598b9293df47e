import fc from 'fast-check';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { connect, load, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;

beforeAll(async () => {
  standin = await startStandin({ duplicateKeys: 'last' });
  sql = await connect(standin, { multipleStatements: true });
  await sql.query('CREATE DATABASE d; USE d');
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

interface Change {
  readonly k: number;
  readonly seq: number | null;
  readonly v: number;
  readonly gone: number;
}

const change: fc.Arbitrary<Change> = fc.record({
  k: fc.integer({ min: 0, max: 4 }),
  seq: fc.option(fc.integer({ min: 0, max: 3 })),
  v: fc.nat(1000),
  gone: fc.constantFrom(0, 0, 1),
});

/** Whether `next` may take the place of `stored`: NULL is the lowest sequence, an equal one replaces. */
const replaces = (next: Change, stored: Change | undefined, sequenced: boolean): boolean =>
  stored === undefined || !sequenced || (next.seq ?? -1) >= (stored.seq ?? -1);

/** What is left after the loads, by the rule of doris-target.md §2.6, one row after another. */
function model(loads: readonly (readonly Change[])[], sequenced: boolean): string[][] {
  const stored = new Map<number, Change>();
  for (const rows of loads)
    for (const row of rows) if (replaces(row, stored.get(row.k), sequenced)) stored.set(row.k, row);
  return [...stored.values()]
    .filter(({ gone }) => gone === 0)
    .toSorted((a, b) => a.k - b.k)
    .map(({ k, v }) => [String(k), String(v)]);
}

test.each([
  ['with', ', "function_column.sequence_type"="bigint"', { 'function_column.sequence_col': 'seq' }],
  ['without', '', {}],
])('any loads %s a sequence leave what the rule says', async (word, properties, headers) => {
  let tables = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(change, { maxLength: 6 }), { maxLength: 4 }),
      async (loads) => {
        const name = `${word}${++tables}`;
        await sql.query(
          `CREATE TABLE ${name} (k INT, v INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1"${properties})`,
        );
        for (const rows of loads) {
          const body = rows.map(({ gone, ...row }) => ({ ...row, __DORIS_DELETE_SIGN__: gone }));
          const signs = { hidden_columns: '__DORIS_DELETE_SIGN__' };
          const answer = await load(standin, `d/${name}`, body, { ...signs, ...headers });
          expect(answer).toMatchObject({ Status: 'Success', NumberLoadedRows: rows.length });
        }
        expect(await rowsOf(sql, `SELECT * FROM ${name} ORDER BY k`)).toEqual(
          model(loads, word === 'with'),
        );
      },
    ),
    { numRuns: 40 },
  );
});
