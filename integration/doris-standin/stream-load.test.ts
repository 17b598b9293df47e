import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { basic, connect, http, load, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;
const SIGN = { hidden_columns: '__DORIS_DELETE_SIGN__' };
const ONE_COPY = `"replication_num"="1"`;

beforeAll(async () => {
  standin = await startStandin({ users: [], labelsMax: 5 });
  sql = await connect(standin, { multipleStatements: true });
  await sql.query(`CREATE USER 'reader' IDENTIFIED BY 'r/@:p'`);
  await sql.query('CREATE DATABASE d');
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

beforeEach(async () => {
  await sql.query('DROP TABLE IF EXISTS d.t');
  await sql.query(`CREATE TABLE d.t (id INT NOT NULL, name VARCHAR(4) NULL, amount DECIMAL(20,2) NULL, must INT NOT NULL DEFAULT "7")
    UNIQUE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS AUTO PROPERTIES(${ONE_COPY})`);
});

describe('the way over the FE', () => {
  const path = '/api/d/t/_stream_load';
  const headers = { expect: '100-continue', 'content-length': '0' };

  test('answers 307 to the BE with the credentials in the address and a question mark at the end', async () => {
    await sql.query(`GRANT LOAD_PRIV ON d.t TO 'reader'`);
    const authorization = basic('reader', 'r/@:p');
    const { headers: answer, status } = await http(standin.http, path, {
      method: 'PUT',
      headers: { ...headers, authorization },
    });
    expect(status).toBe(307);
    expect(answer.location).toBe(`http://reader:r%2F%40:p@${standin.be}${path}?`);
    await sql.query(`REVOKE LOAD_PRIV ON d.t FROM 'reader'`);
  });

  test.each([
    ['without Expect', { expect: undefined }, 'FAILED', 'There is no 100-continue header'],
    ['with a bad group commit word', { group_commit: 'maybe' }, 'FAILED', 'group_commit'],
    ['without the LOAD privilege', { authorization: basic('reader', 'r/@:p') }, 'FAILED', 'denied'],
    ['with a wrong password', { authorization: basic('root', 'x') }, 401, 'Unauthorized'],
    ['without credentials', { authorization: undefined }, 401, 'Unauthorized'],
  ])('a load %s is HTTP 200 and a failure', async (_case, changed, state, message) => {
    const answer = await http(standin.http, path, {
      method: 'PUT',
      headers: { ...headers, ...changed },
    });
    const body = JSON.parse(answer.body) as Record<string, unknown>;
    expect(answer.status).toBe(200);
    expect(body['status'] ?? body['code']).toBe(state);
    expect(body['msg']).toContain(message);
  });

  test('does not look whether the table exists', async () => {
    const { status } = await http(standin.http, '/api/d/nowhere/_stream_load', {
      method: 'PUT',
      headers,
    });
    expect(status).toBe(307);
  });
});

describe('headers and framing', () => {
  test.each([
    ['an unknown header', { x_colour: 'red' }, 'does not model the header x_colour'],
    ['another format', { format: 'csv' }, 'format=csv'],
    ['a bad strict_mode', { strict_mode: 'yes' }, 'INVALID_ARGUMENT'],
    ['a time-out that is no number', { timeout: 'soon' }, 'INVALID_ARGUMENT'],
    ['a time-out out of range', { timeout: '0' }, 'Timeout should between'],
    ['MERGE without delete', { merge_type: 'MERGE' }, 'INVALID_ARGUMENT'],
    ['delete without MERGE', { delete: 'id=1' }, 'INVALID_ARGUMENT'],
    ['a bad label', { label: 'a.b' }, 'Label format error'],
    ['an unknown compression', { compress_type: 'lzo' }, 'compress_type=lzo'],
    ['a column mapping', { columns: 'id, name=upper(x)' }, 'column mapping'],
    ['no credentials', { authorization: undefined }, 'no valid Basic authorization'],
  ])('%s fails and loads nothing', async (_case, headers, message) => {
    const answer = await load(standin, 'd/t', [{ id: 1 }], headers);
    expect(answer).toMatchObject({ Status: 'Fail', NumberLoadedRows: 0 });
    expect(answer['Message']).toContain(message);
    expect(await rowsOf(sql, 'SELECT id FROM d.t')).toEqual([]);
  });

  test('the transaction id is -1 when none began', async () => {
    expect(await load(standin, 'd/none', [])).toMatchObject({ TxnId: -1, Status: 'Fail' });
    expect(await load(standin, 'none/t', [])).toMatchObject({ TxnId: -1, Status: 'Fail' });
    const denied = await load(standin, 'd/t', [], { authorization: basic('reader', 'r/@:p') });
    expect(denied).toMatchObject({ TxnId: -1, Status: 'Fail' });
    expect(denied['Message']).toContain('NOT_AUTHORIZED');
  });

  test('a chunked body is taken, an empty one consumes its label', async () => {
    const chunked = { 'content-length': undefined, 'transfer-encoding': 'chunked' };
    expect(await load(standin, 'd/t', [{ id: 1 }], chunked)).toMatchObject({ Status: 'Success' });
    expect(await load(standin, 'd/t', '', { label: 'empty' })).toMatchObject({
      Status: 'Success',
      NumberTotalRows: 0,
      TwoPhaseCommit: 'false',
    });
    expect((await load(standin, 'd/t', '', { label: 'empty' }))['Status']).toBe(
      'Label Already Exists',
    );
  });

  test('gzip is unpacked only when compress_type says so, and LoadBytes counts what was sent', async () => {
    const body = gzipSync('{"id":1,"name":"a"}\n{"id":2,"name":"b"}');
    const answer = await load(standin, 'd/t', body, { compress_type: 'gz' });
    expect(answer).toMatchObject({
      Status: 'Success',
      NumberLoadedRows: 2,
      LoadBytes: body.length,
    });
    expect((await load(standin, 'd/t', body))['Status']).toBe('Fail');
    expect((await load(standin, 'd/t', '{"id":3}', { compress_type: 'gz' }))['Status']).toBe(
      'Fail',
    );
  });
});

/** Sends the headers of a load alone and waits: for `100 Continue`, or for the end of it. */
function waitForContinue(address: string, headers: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`http://${address}/api/d/t/_stream_load`, {
      method: 'PUT',
      headers: {
        authorization: basic('root'),
        expect: '100-continue',
        format: 'json',
        'content-length': '8',
        ...headers,
      },
    });
    outgoing.on('continue', () => {
      resolve('continue');
      outgoing.destroy();
    });
    outgoing.on('response', (response) => resolve(`answer ${response.statusCode}`));
    outgoing.on('error', reject);
    outgoing.flushHeaders();
  });
}

test('100 Continue comes from a BE that takes the load, and from nobody else', async () => {
  expect(await waitForContinue(standin.be, {})).toBe('continue');
  expect(await waitForContinue(standin.be, { format: 'csv' })).toBe('answer 200');
  expect(await waitForContinue(standin.http, {})).toBe('answer 307');
});

describe('rows', () => {
  test.each([
    ['an integer out of range', { id: 1, must: '2147483648' }],
    ['an integer with a fraction', { id: 1, must: 1.5 }],
    ['a text longer in bytes than its column', { id: 1, name: 'äää' }],
    ['too many digits', { id: 1, amount: '1234567890123456789.00' }],
    ['NULL for NOT NULL', { id: 1, must: null }],
    ['NULL for NOT NULL in a deleted row', { id: 1, must: null, __DORIS_DELETE_SIGN__: 1 }],
    ['a missing key column', { name: 'a' }],
    ['keys in another case', { ID: 1 }],
    ['no column at all', { other: 1 }],
  ])('%s makes the load fail in strict mode', async (_case, row) => {
    const answer = await load(standin, 'd/t', [{ id: 9, name: 'ok' }, row], SIGN);
    expect(answer).toMatchObject({
      Status: 'Fail',
      Message: '[DATA_QUALITY_ERROR]too many filtered rows',
      NumberTotalRows: 2,
      NumberFilteredRows: 1,
      NumberLoadedRows: 0,
    });
    const url = new URL(String(answer['ErrorURL']));
    const log = await http(url.host, url.pathname + url.search, { headers: {} });
    expect(log.body).toMatch(/^Reason: .* src line \[\{/);
    expect(await rowsOf(sql, 'SELECT * FROM d.t')).toEqual([]);
  });

  test.each([
    ['a broken line', '{"id":1'],
    ['text after the object', '{"id":1} x'],
    ['a key given twice', '{"id":1,"id":2}'],
    ['an array', '[{"id":1}]'],
    ['bytes that are not UTF-8', Buffer.from('7b226964223a312c226e616d65223a22ff227d', 'hex')],
  ])('%s is a bad row', async (_case, line) => {
    expect(await load(standin, 'd/t', line)).toMatchObject({
      Status: 'Fail',
      NumberFilteredRows: 1,
    });
  });

  test('without strict mode a bad value becomes NULL where NULL is allowed, but a long text never does', async () => {
    const lax = { strict_mode: 'false' };
    const rows = [{ id: 1, amount: 'much' }];
    expect(await load(standin, 'd/t', rows, lax)).toMatchObject({ Status: 'Success' });
    expect(await rowsOf(sql, 'SELECT id, amount FROM d.t')).toEqual([['1', null]]);
    expect((await load(standin, 'd/t', [{ id: 2, must: 'x' }], lax))['Status']).toBe('Fail');
    expect((await load(standin, 'd/t', [{ id: 2, name: 'abcde' }], lax))['Status']).toBe('Fail');
  });

  test('max_filter_ratio lets some bad rows go', async () => {
    const rows = [{ id: 1 }, { id: 2, must: 'x' }];
    const answer = await load(standin, 'd/t', rows, { max_filter_ratio: '0.5' });
    expect(answer).toMatchObject({ Status: 'Success', NumberLoadedRows: 1, NumberFilteredRows: 1 });
    expect(answer['ErrorURL']).toContain(standin.be);
    expect((await load(standin, 'd/t', rows, { max_filter_ratio: '0.4' }))['Status']).toBe('Fail');
  });

  test('an absent key takes the default, digits survive as text and are lost as a JSON number', async () => {
    await load(
      standin,
      'd/t',
      '{"id":1,"amount":"90071992547409931.25"}\n{"id":2,"amount":90071992547409931.25}',
    );
    expect(await rowsOf(sql, 'SELECT * FROM d.t ORDER BY id')).toEqual([
      ['1', null, '90071992547409931.25', '7'],
      ['2', null, '90071992547409936.00', '7'],
    ]);
  });

  test('values of every type come back as Doris prints them', async () => {
    await sql.query('DROP TABLE d.t');
    await sql.query(`CREATE TABLE d.t (id BIGINT, big LARGEINT, f FLOAT, g DOUBLE, b BOOLEAN, d DATE, e DATETIME(3), s STRING, j JSON, a ARRAY<STRING>)
      UNIQUE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1 PROPERTIES(${ONE_COPY})`);
    const row = `{"id":9007199254740993,"big":"-170141183460469231731687303715884105728","f":0.1,"g":1e300,"b":true,
      "d":"2024-02-29","e":"2024-12-31 23:59:59.9996","s":"a\\u0000\\n\\"ä😀","j":{"n": 12345678901234567890, "s": "a b"},"a":["x","y\\"",null]}`;
    await load(standin, 'd/t', row.replaceAll(/\n\s*/g, ''));
    const [stored = []] = await rowsOf(sql, 'SELECT * FROM d.t');
    const numbers = [
      '9007199254740993',
      '-170141183460469231731687303715884105728',
      '0.1',
      '1e+300',
    ];
    expect(stored.slice(0, 4)).toEqual(numbers);
    expect(stored.slice(4, 7)).toEqual(['1', '2024-02-29', '2025-01-01 00:00:00.000']);
    expect(stored[7]).toBe('a\0\n"ä😀');
    expect(stored.slice(8)).toEqual([
      '{"n":12345678901234567890,"s":"a b"}',
      '["x", "y\\"", null]',
    ]);
    for (const bad of ['"2023-02-29"', '"0000-00-00"', '20240101', '"2024-1-1"'])
      expect((await load(standin, 'd/t', `{"id":1,"d":${bad}}`))['Status'], bad).toBe('Fail');
  });

  test('a time with an offset is moved into the zone of the load, and refused without one', async () => {
    await sql.query('ALTER TABLE d.t ADD COLUMN e DATETIME NULL');
    const row = [{ id: 1, e: '2024-01-01 00:30:00+02:00' }];
    expect((await load(standin, 'd/t', row))['Status']).toBe('Fail');
    await load(standin, 'd/t', row, { timezone: '+00:00' });
    expect(await rowsOf(sql, 'SELECT e FROM d.t')).toEqual([['2023-12-31 22:30:00']]);
  });
});

describe('labels', () => {
  test('a label is taken until its load aborts, and says what became of it', async () => {
    const bad = await load(standin, 'd/t', [{ id: 'x' }], { label: 'again' });
    expect(bad['Status']).toBe('Fail');
    const good = await load(standin, 'd/t', [{ id: 1 }], { label: 'again' });
    expect(good['Status']).toBe('Success');
    const repeated = await load(standin, 'd/t', [{ id: 2 }], { label: 'again' });
    expect(repeated).toMatchObject({
      Status: 'Label Already Exists',
      ExistingJobStatus: 'FINISHED',
      TxnId: -1,
    });
    expect(repeated['Message']).toContain(
      `Label [again] has already been used, relate to txn [${good['TxnId']}]`,
    );
    expect(await rowsOf(sql, 'SELECT id FROM d.t')).toEqual([['1']]);
  });

  test('labels belong to a database and are case-sensitive', async () => {
    await sql.query('CREATE DATABASE e');
    await sql.query(
      `CREATE TABLE e.t (id INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES(${ONE_COPY})`,
    );
    expect((await load(standin, 'd/t', [{ id: 1 }], { label: 'mine' }))['Status']).toBe('Success');
    expect((await load(standin, 'e/t', [{ id: 1 }], { label: 'mine' }))['Status']).toBe('Success');
    expect((await load(standin, 'd/t', [{ id: 1 }], { label: 'Mine' }))['Status']).toBe('Success');
    await sql.query('DROP DATABASE e');
  });

  test('a label is forgotten after so many others, and get_load_state knows the rest', async () => {
    const state = async (label: string): Promise<unknown> => {
      const { body } = await http(standin.http, `/api/d/get_load_state?label=${label}`);
      return (JSON.parse(body) as { data: unknown }).data;
    };
    await load(standin, 'd/t', [{ id: 1 }], { label: 'old' });
    expect(await state('old')).toBe('VISIBLE');
    await load(standin, 'd/t', [{ id: 'x' }], { label: 'bad' });
    expect(await state('bad')).toBe('ABORTED');
    for (let i = 0; i < 5; i++) await load(standin, 'd/t', [{ id: 1 }], { label: `next${i}` });
    expect(await state('old')).toBe('UNKNOWN');
    expect((await load(standin, 'd/t', [{ id: 1 }], { label: 'old' }))['Status']).toBe('Success');
  });

  test('a two-phase load is checked, held back under its label, and gone when it is aborted', async () => {
    const headers = { label: 'probe', two_phase_commit: 'true' };
    expect(await load(standin, 'd/t', [{ id: 7 }], headers)).toMatchObject({
      Status: 'Success',
      TwoPhaseCommit: 'true',
      NumberLoadedRows: 1,
    });
    expect(await rowsOf(sql, 'SELECT id FROM d.t WHERE id = 7')).toEqual([]);
    expect(await load(standin, 'd/t', [{ id: 7 }], headers)).toMatchObject({
      Status: 'Label Already Exists',
      ExistingJobStatus: 'PRECOMMITTED',
    });
    const end = async (operation: string): Promise<unknown> => {
      const answer = await http(standin.be, '/api/d/_stream_load_2pc', {
        method: 'PUT',
        headers: { label: 'probe', txn_operation: operation },
      });
      return (JSON.parse(answer.body) as { status: unknown }).status;
    };
    expect(await end('undo')).toBe('ANALYSIS_ERROR');
    expect(await end('abort')).toBe('Success');
    expect(await end('abort')).toBe('ANALYSIS_ERROR');
    expect(await load(standin, 'd/t', [{ id: 'x' }], headers)).toMatchObject({ Status: 'Fail' });
    expect(await load(standin, 'd/t', [{ id: 7 }], { label: 'probe' })).toMatchObject({
      Status: 'Success',
    });
  });
});
