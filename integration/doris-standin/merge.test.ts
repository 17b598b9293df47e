import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { connect, errorOf, load, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;
let tables = 0;

beforeAll(async () => {
  standin = await startStandin();
  sql = await connect(standin);
  await sql.query('CREATE DATABASE d');
  await sql.query('USE d');
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

/** A new UNIQUE table with the key (k, l). */
async function newTable(properties = '', columns = 'v INT NULL, w STRING NULL'): Promise<string> {
  const name = `t${++tables}`;
  await sql.query(`CREATE TABLE ${name} (k INT NULL, l VARCHAR(5) NULL, ${columns}) UNIQUE KEY(k, l)
    DISTRIBUTED BY HASH(k) BUCKETS 1 PROPERTIES("replication_num"="1"${properties})`);
  return name;
}

const SIGN = { hidden_columns: '__DORIS_DELETE_SIGN__' };
const read = (name: string): Promise<(string | null)[][]> =>
  rowsOf(sql, `SELECT * FROM ${name} ORDER BY 1, 2`);

describe('rows by key', () => {
  test('the later load replaces the whole row, NULLs in keys are equal', async () => {
    const name = await newTable();
    await load(standin, `d/${name}`, [
      { k: 1, l: null, v: 1, w: 'a' },
      { k: 1, l: '', v: 2 },
    ]);
    await load(standin, `d/${name}`, [{ k: 1, l: null, v: 3 }]);
    expect(await read(name)).toEqual(
      expect.arrayContaining([
        ['1', null, '3', null],
        ['1', '', '2', null],
      ]),
    );
    expect(await read(name)).toHaveLength(2);
  });

  test('a delete sign hides the row, only when it is declared, and counts as loaded', async () => {
    const name = await newTable();
    const [there, gone] = [
      { k: 1, l: 'a', v: 1 },
      { k: 1, l: 'a', v: 1, __DORIS_DELETE_SIGN__: '1' },
    ];
    await load(standin, `d/${name}`, [there]);
    expect((await load(standin, `d/${name}`, [gone]))['Status']).toBe('Success');
    expect(await read(name)).toHaveLength(1);
    expect(await load(standin, `d/${name}`, [gone], SIGN)).toMatchObject({ NumberLoadedRows: 1 });
    expect(await read(name)).toEqual([]);
    expect((await load(standin, `d/${name}`, [gone], SIGN))['Status']).toBe('Success');
    await load(standin, `d/${name}`, [there]);
    expect(await read(name)).toHaveLength(1);
  });

  test('hidden_columns is ignored where columns is given', async () => {
    const name = await newTable();
    const gone = { k: 1, l: 'a', v: 1, __DORIS_DELETE_SIGN__: 1 };
    await load(standin, `d/${name}`, [gone], { ...SIGN, columns: 'k,l,v' });
    expect(await read(name)).toEqual([['1', 'a', '1', null]]);
    await load(standin, `d/${name}`, [gone], { columns: 'k,l,v,__DORIS_DELETE_SIGN__' });
    expect(await read(name)).toEqual([]);
  });

  test('one key twice in a load: nobody knows which row stays', async () => {
    const name = await newTable();
    const winners = new Set<string | null>();
    for (let i = 0; i < 20; i++) {
      await load(
        standin,
        `d/${name}`,
        [1, 2].map((v) => ({ k: 1, l: 'a', v })),
      );
      const rows = await read(name);
      expect(rows).toHaveLength(1);
      winners.add(rows[0]![2]!);
    }
    expect(winners).toEqual(new Set(['1', '2']));
  });

  test('the last row stays if the test asks for it', async () => {
    await using tame = await startStandin({ duplicateKeys: 'last' });
    const connection = await connect(tame);
    await connection.query('CREATE DATABASE d');
    await connection.query(
      'CREATE TABLE d.t (k INT, v INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1")',
    );
    const rows = Array.from({ length: 5000 }, (_, v) => ({ k: v % 10, v }));
    await load(tame, 'd/t', rows);
    const stored = await rowsOf(connection, 'SELECT v FROM d.t ORDER BY v');
    expect(stored.flat()).toEqual(Array.from({ length: 10 }, (_, i) => String(4990 + i)));
    await connection.end();
  });

  test('DUPLICATE tables keep every row and know no delete sign', async () => {
    await sql.query(
      'CREATE TABLE dup (k INT, v INT) DUPLICATE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1")',
    );
    await load(standin, 'd/dup', [{ k: 1 }, { k: 1 }]);
    expect(await read('dup')).toHaveLength(2);
    expect((await load(standin, 'd/dup', [{ k: 1 }], SIGN))['Status']).toBe('Fail');
  });
});

/** A row of the key (1, a). */
const row = (v: number | null, w: string, gone = 0): object => ({
  k: 1,
  l: 'a',
  v,
  w,
  __DORIS_DELETE_SIGN__: gone,
});

describe.each([
  ['column', ', "function_column.sequence_col"="v"', {}],
  ['type', ', "function_column.sequence_type"="bigint"', { 'function_column.sequence_col': 'v' }],
])('a sequence by %s', (kind, properties, headers) => {
  const put = async (name: string, ...rows: object[]): Promise<unknown> =>
    (await load(standin, `d/${name}`, rows, { ...SIGN, ...headers }))['Status'];

  test('the greater value wins, the later load on a tie, NULL never', async () => {
    const name = await newTable(properties);
    await put(name, row(5, 'five'));
    await put(name, row(4, 'four'));
    await put(name, row(null, 'null'));
    expect((await read(name))[0]![3]).toBe('five');
    await put(name, row(5, 'five again'));
    expect((await read(name))[0]![3]).toBe('five again');
  });

  test('it also decides inside one load', async () => {
    const name = await newTable(properties);
    await put(name, row(3, 'c'), row(9, 'i'), row(null, '-'), row(4, 'd'));
    expect(await read(name)).toEqual([['1', 'a', '9', 'i']]);
  });

  test('an older delete does nothing, and a delete stands against older rows', async () => {
    const name = await newTable(properties);
    await put(name, row(5, 'five'));
    await put(name, row(4, '', 1));
    expect(await read(name)).toHaveLength(1);
    await put(name, row(6, '', 1));
    await put(name, row(5, 'late'));
    expect(await read(name)).toEqual([]);
    await put(name, row(7, 'new'));
    expect(await read(name)).toHaveLength(1);
  });

  test('a load that does not name it fails', async () => {
    const name = await newTable(properties);
    const answer = await load(standin, `d/${name}`, [{ k: 1, l: 'a', w: 'x' }], {
      columns: 'k,l,w',
    });
    expect(answer['Status']).toBe('Fail');
    expect(answer['Message']).toContain('need to specify the sequence column');
    if (kind === 'type') {
      const signed = await load(standin, `d/${name}`, [row(1, 'x')], SIGN);
      expect(signed['Message']).toContain('need to specify the sequence column');
      expect((await load(standin, `d/${name}`, [{ k: 1, l: 'a', v: 1 }]))['Status']).toBe('Fail');
      const hidden = { hidden_columns: '__DORIS_SEQUENCE_COL__' };
      const named = [{ k: 1, l: 'a', __DORIS_SEQUENCE_COL__: 8, w: 'h' }];
      expect((await load(standin, `d/${name}`, named, hidden))['Status']).toBe('Success');
      expect((await errorOf(sql, `INSERT INTO ${name} (k, l) VALUES (1, 'a')`)).message).toContain(
        'sequence',
      );
    }
  });
});

describe('partial updates', () => {
  const PARTIAL = { partial_columns: 'true', columns: 'k,l,w' };

  test('leave the other columns as they are and fill new rows', async () => {
    const name = await newTable('', 'v INT NULL DEFAULT "4", w STRING NULL');
    await load(standin, `d/${name}`, [{ k: 1, l: 'a', v: 1, w: 'x' }]);
    await load(
      standin,
      `d/${name}`,
      [
        { k: 1, l: 'a', w: 'y' },
        { k: 2, l: 'b', w: 'z' },
      ],
      PARTIAL,
    );
    expect(await read(name)).toEqual([
      ['1', 'a', '1', 'y'],
      ['2', 'b', '4', 'z'],
    ]);
  });

  test('refuse new keys when asked to, missing keys and missing values always', async () => {
    const name = await newTable('', 'v INT NOT NULL, w STRING NULL');
    const rows = [{ k: 1, l: 'a', w: 'y' }];
    const status = async (headers: Record<string, string>): Promise<unknown> =>
      (await load(standin, `d/${name}`, rows, { ...PARTIAL, ...headers }))['Status'];
    expect(await status({})).toBe('Fail');
    await load(standin, `d/${name}`, [{ k: 1, l: 'a', v: 1, w: 'x' }]);
    expect(await status({ partial_update_new_key_behavior: 'ERROR' })).toBe('Success');
    expect(await status({ columns: 'k,w' })).toBe('Fail');
    rows.push({ k: 2, l: 'b', w: '' });
    expect(await status({ partial_update_new_key_behavior: 'ERROR' })).toBe('Fail');
    expect(await read(name)).toEqual([['1', 'a', '1', 'y']]);
  });

  test('do not wake a deleted row', async () => {
    const name = await newTable();
    await load(
      standin,
      `d/${name}`,
      [{ k: 1, l: 'a', v: 1, w: 'x', __DORIS_DELETE_SIGN__: 1 }],
      SIGN,
    );
    await load(standin, `d/${name}`, [{ k: 1, l: 'a', w: 'y' }], PARTIAL);
    expect(await read(name)).toEqual([['1', 'a', null, 'y']]);
  });
});

describe('INSERT, UPDATE, DELETE', () => {
  test('follow the same rules as loads', async () => {
    const name = await newTable('', 'v INT NOT NULL, w VARCHAR(3) NULL');
    const [inserted] = await sql.query(
      `INSERT INTO ${name} VALUES (1, 'a', 1, 'x'), (2, 'b', 2, NULL)`,
    );
    expect(inserted).toMatchObject({ affectedRows: 2, insertId: 0, serverStatus: 0 });
    // Doris writes the text with a length in front; the driver does not take that off.
    expect((inserted as { info: string }).info).toMatch(
      /^.\{'label':'label_\w+', 'status':'VISIBLE', 'txnId':'\d+'\}$/,
    );
    await sql.query(`UPDATE ${name} SET v = v + 10, w = concat(w, '!') WHERE k = 1`);
    await sql.query(`DELETE FROM ${name} WHERE k = 2`);
    await sql.query(`INSERT INTO ${name} (v, k, l) SELECT v + 1, 3, l FROM ${name}`);
    expect(await read(name)).toEqual([
      ['1', 'a', '11', 'x!'],
      ['3', 'a', '12', null],
    ]);
    expect((await errorOf(sql, `INSERT INTO ${name} VALUES (1, 'a', NULL, 'x')`)).errno).toBe(5025);
    expect((await errorOf(sql, `INSERT INTO ${name} VALUES (1, 'a', 1, 'long')`)).errno).toBe(5025);
    expect((await errorOf(sql, `UPDATE ${name} SET k = 1 WHERE k = 3`)).message).toContain(
      'Only value columns',
    );
    expect((await errorOf(sql, `INSERT INTO ${name} (k, l) VALUES (1, 'a')`)).message).toContain(
      'no default value',
    );
    expect(await read(name)).toHaveLength(2);
  });

  test('a label of an INSERT is one of the database', async () => {
    const name = await newTable();
    await sql.query(`INSERT INTO ${name} WITH LABEL once (k) VALUES (1)`);
    expect(
      (await errorOf(sql, `INSERT INTO ${name} WITH LABEL once (k) VALUES (1)`)).message,
    ).toContain('[once]');
    expect((await load(standin, `d/${name}`, [{ k: 1 }], { label: 'once' }))['Status']).toBe(
      'Label Already Exists',
    );
  });
});
