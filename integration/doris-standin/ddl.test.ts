import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { connect, errorOf, load, rowsOf } from './test-client.ts';

let standin: Standin;
let sql: Connection;
let tables = 0;

beforeAll(async () => {
  standin = await startStandin({ heavyAlterMs: 200 });
  sql = await connect(standin, { multipleStatements: true });
  await sql.query('CREATE DATABASE d; USE d');
});

afterAll(async () => {
  await sql?.end();
  await standin?.close();
});

const REST = 'UNIQUE KEY(k) DISTRIBUTED BY HASH(k) BUCKETS AUTO PROPERTIES("replication_num"="1")';

async function newTable(columns: string): Promise<string> {
  const name = `t${++tables}`;
  await sql.query(`CREATE TABLE ${name} (k INT NOT NULL, ${columns}) ${REST}`);
  return name;
}

describe('databases', () => {
  test('are created once, dropped once, and told apart by case', async () => {
    await sql.query('CREATE DATABASE a; CREATE DATABASE IF NOT EXISTS a; CREATE DATABASE A');
    expect((await errorOf(sql, 'CREATE DATABASE a')).errno).toBe(1007);
    expect((await rowsOf(sql, 'SHOW DATABASES')).flat()).toEqual([
      'A',
      '__internal_schema',
      'a',
      'd',
      'information_schema',
      'mysql',
    ]);
    await sql.query('DROP DATABASE a; DROP DATABASE IF EXISTS a; DROP DATABASE A FORCE');
    expect((await errorOf(sql, 'DROP DATABASE a')).errno).toBe(1008);
  });

  test.each(['_a', '`1a`', '`a.b`', `a${'x'.repeat(64)}`])('%s is no name', async (name) => {
    expect((await errorOf(sql, `CREATE DATABASE ${name}`)).errno).toBe(1102);
  });

  test('those of the system are not written to', async () => {
    expect((await errorOf(sql, `CREATE TABLE mysql.t (k INT) ${REST}`)).errno).toBe(1105);
  });
});

describe('CREATE TABLE refuses', () => {
  test.each([
    ['a name', `CREATE TABLE _t (k INT) ${REST}`, 1103],
    ['a column name', `CREATE TABLE x (k INT, \`mv_a\` INT) ${REST}`, 1166],
    ['a column name of another script', `CREATE TABLE x (k INT, \`größe\` INT) ${REST}`, 1166],
    ['one column twice', `CREATE TABLE x (k INT, v INT, V INT) ${REST}`, 1060],
    [
      'keys that do not come first',
      `CREATE TABLE x (v INT, k INT) ${REST}`,
      1105,
      'ordered prefix',
    ],
    [
      'keys in another order',
      'CREATE TABLE x (a INT, b INT) UNIQUE KEY(b, a) DISTRIBUTED BY HASH(a) PROPERTIES("replication_num"="1")',
      1105,
      'ordered prefix',
    ],
    [
      'a key that is no column',
      'CREATE TABLE x (a INT) UNIQUE KEY(z) DISTRIBUTED BY HASH(a) PROPERTIES("replication_num"="1")',
      1105,
      "doesn't exist",
    ],
    ['a STRING key', `CREATE TABLE x (k STRING) ${REST}`, 1105, 'should not be used in key'],
    ['a FLOAT key', `CREATE TABLE x (k DOUBLE) ${REST}`, 1105, 'use decimal instead'],
    ['a JSON key', `CREATE TABLE x (k JSON) ${REST}`, 1105, 'should not be used in key'],
    [
      'a bucket column outside the key',
      'CREATE TABLE x (k INT, v INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(v) PROPERTIES("replication_num"="1")',
      1105,
      'is not key column',
    ],
    [
      'random buckets with unique keys',
      'CREATE TABLE x (k INT) UNIQUE KEY(k) DISTRIBUTED BY RANDOM PROPERTIES("replication_num"="1")',
      1105,
      'random distribution',
    ],
    [
      'three replicas on one backend, which is the default',
      'CREATE TABLE x (k INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(k)',
      1105,
      'Failed to find enough backend',
    ],
    [
      'more replicas than backends',
      'CREATE TABLE x (k INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="2")',
      1105,
      'replication num: 2',
    ],
    [
      'an unknown property',
      'CREATE TABLE x (k INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1", "enable_unique_key_partial_update"="true")',
      1105,
      'Unknown properties',
    ],
    [
      'a sequence column that is none',
      'CREATE TABLE x (k INT) UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1", "function_column.sequence_col"="z")',
      1105,
      'not exists',
    ],
    [
      'a sequence of text',
      'CREATE TABLE x (k INT, v VARCHAR(3)) UNIQUE KEY(k) DISTRIBUTED BY HASH(k) PROPERTIES("replication_num"="1", "function_column.sequence_col"="v")',
      1105,
      'Sequence type',
    ],
    ['VARCHAR beyond 65533', `CREATE TABLE x (k INT, v VARCHAR(65534)) ${REST}`, 1105, 'VARCHAR'],
    ['CHAR beyond 255', `CREATE TABLE x (k INT, v CHAR(256)) ${REST}`, 1105, 'CHAR'],
    ['DECIMAL beyond 38', `CREATE TABLE x (k INT, v DECIMAL(39,0)) ${REST}`, 1105, 'DECIMAL'],
    [
      'a scale beyond the precision',
      `CREATE TABLE x (k INT, v DECIMAL(3,4)) ${REST}`,
      1105,
      'DECIMAL',
    ],
    ['DATETIME beyond 6', `CREATE TABLE x (k INT, v DATETIME(7)) ${REST}`, 1105, 'DATETIME'],
    ['a type that is not storable', `CREATE TABLE x (k INT, v TIME) ${REST}`, 1105, 'TIME'],
    [
      'a bare boolean default',
      `CREATE TABLE x (k INT, v BOOLEAN DEFAULT TRUE) ${REST}`,
      1105,
      'mismatched',
    ],
    [
      'a default out of range',
      `CREATE TABLE x (k INT, v TINYINT DEFAULT "128") ${REST}`,
      1105,
      'Invalid default',
    ],
    [
      'a default NULL for NOT NULL',
      `CREATE TABLE x (k INT, v INT NOT NULL DEFAULT NULL) ${REST}`,
      1105,
      'null default',
    ],
    [
      'clauses in another order',
      'CREATE TABLE x (k INT) DISTRIBUTED BY HASH(k) UNIQUE KEY(k) PROPERTIES("replication_num"="1")',
      1105,
      'mismatched',
    ],
    [
      'AUTO_INCREMENT',
      `CREATE TABLE x (k INT, v BIGINT AUTO_INCREMENT) ${REST}`,
      1105,
      'does not model',
    ],
    ['no database', `CREATE TABLE none.x (k INT) ${REST}`, 1049],
  ] as [string, string, number, string?][])('%s', async (_what, statement, errno, text = '') => {
    const error = await errorOf(sql, statement);
    expect(error).toEqual({ errno, message: expect.stringContaining(text) });
    expect((await rowsOf(sql, 'SHOW TABLES')).flat()).not.toContain('x');
  });

  test('a table that exists, unless told not to mind', async () => {
    const name = await newTable('v INT');
    expect((await errorOf(sql, `CREATE TABLE ${name} (k INT) ${REST}`)).errno).toBe(1050);
    await sql.query(`CREATE TABLE IF NOT EXISTS ${name} (k INT) ${REST}`);
    await sql.query(`CREATE TABLE ${name.toUpperCase()} (k INT) ${REST}`);
    expect(await rowsOf(sql, `SELECT * FROM ${name}`)).toEqual([]);
  });
});

describe('a table is described', () => {
  beforeAll(async () => {
    await sql.query(`CREATE TABLE shown (k1 INT NOT NULL, k2 VARCHAR(10), d DECIMAL(10,2) NULL DEFAULT "1.5" COMMENT 'it\\'s', e DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), b LARGEINT, s STRING)
      ENGINE=OLAP UNIQUE KEY(k1, k2) COMMENT 'text' DISTRIBUTED BY HASH(k2) BUCKETS 3 PROPERTIES("replication_num"="1", "function_column.sequence_col"="b")`);
  });

  test('by DESC', async () => {
    expect(await rowsOf(sql, 'DESC shown')).toEqual([
      ['k1', 'int', 'No', 'true', null, ''],
      ['k2', 'varchar(10)', 'Yes', 'true', null, ''],
      ['d', 'decimal(10,2)', 'Yes', 'false', '1.5', 'NONE'],
      ['e', 'datetime(3)', 'No', 'false', 'CURRENT_TIMESTAMP', 'NONE'],
      ['b', 'largeint', 'Yes', 'false', null, 'NONE'],
      ['s', 'text', 'Yes', 'false', null, 'NONE'],
    ]);
    await sql.query('SET show_hidden_columns = true');
    expect((await rowsOf(sql, 'DESC shown')).map(([name]) => name)).toContain(
      '__DORIS_DELETE_SIGN__',
    );
    await sql.query('SET show_hidden_columns = false');
  });

  test('by SHOW FULL COLUMNS and information_schema', async () => {
    const full = await rowsOf(sql, 'SHOW FULL COLUMNS FROM shown FROM d');
    expect(full[2]).toEqual(['d', 'decimal(10,2)', '', 'YES', 'NO', '1.5', 'NONE', '', "it's"]);
    const columns = await rowsOf(
      sql,
      `SELECT COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_KEY, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION
       FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'd' AND TABLE_NAME = 'shown' ORDER BY ORDINAL_POSITION LIMIT 0, 5`,
    );
    expect(columns).toEqual([
      ['k1', '1', 'int', 'int', 'NO', 'UNI', null, null, null, null],
      ['k2', '2', 'varchar', 'varchar(10)', 'YES', 'UNI', '10', null, null, null],
      ['d', '3', 'decimal', 'decimal(10,2)', 'YES', '', null, '10', '2', null],
      ['e', '4', 'datetime', 'datetime(3)', 'NO', '', null, null, null, '3'],
      ['b', '5', 'bigint unsigned', 'largeint', 'YES', '', null, null, null, null],
    ]);
    expect(
      await rowsOf(
        sql,
        `SELECT TABLE_TYPE, ENGINE, TABLE_COMMENT FROM information_schema.tables WHERE TABLE_NAME = 'shown'`,
      ),
    ).toEqual([['BASE TABLE', 'Doris', 'text']]);
  });

  test('by SHOW CREATE TABLE, whose text makes the same table again', async () => {
    const [[, text]] = (await rowsOf(sql, 'SHOW CREATE TABLE shown')) as [[string, string]];
    expect(text).toContain('DISTRIBUTED BY HASH(`k2`) BUCKETS 3');
    expect(text).toContain('"replication_allocation" = "tag.location.default: 1"');
    expect(text).toContain('"function_column.sequence_col" = "b"');
    expect(text).toContain("`d` decimal(10,2) NULL DEFAULT \"1.5\" COMMENT 'it\\'s'");
  });
});

/** State of the newest job of a table. */
async function states(name: string): Promise<(string | null)[]> {
  const only = `FROM d WHERE TableName = '${name}' ORDER BY CreateTime DESC LIMIT 1`;
  const [row] = await rowsOf(sql, `SHOW ALTER TABLE COLUMN ${only}`);
  return [row![9]!];
}

describe('ALTER TABLE', () => {
  test('adds, drops and renames value columns at once', async () => {
    const name = await newTable('v INT');
    await sql.query(`INSERT INTO ${name} VALUES (1, 2)`);
    await sql.query(`ALTER TABLE ${name} ADD COLUMN a VARCHAR(3) NOT NULL DEFAULT "x" AFTER k`);
    await sql.query(`ALTER TABLE ${name} ADD COLUMN (b INT NULL, c STRING NULL)`);
    await sql.query(`ALTER TABLE ${name} DROP COLUMN v, RENAME COLUMN b w`);
    await sql.query(
      `ALTER TABLE ${name} MODIFY COLUMN w COMMENT 'note', MODIFY COLUMN a VARCHAR(9) NOT NULL DEFAULT "x"`,
    );
    expect(await rowsOf(sql, `SELECT * FROM ${name}`)).toEqual([['1', 'x', null, null]]);
    expect((await rowsOf(sql, `DESC ${name}`)).map(([field, type]) => `${field} ${type}`)).toEqual([
      'k int',
      'a varchar(9)',
      'w int',
      'c text',
    ]);
    expect(await states(name)).toEqual(['FINISHED']);
    expect((await load(standin, `d/${name}`, [{ k: 1, a: 'longer', w: 5 }]))['Status']).toBe(
      'Success',
    );
  });

  test.each([
    ['ADD COLUMN v INT NULL', 'already exists'],
    ['ADD COLUMN n INT NOT NULL', 'has no default value'],
    ['ADD COLUMN n INT NULL AFTER z', 'does not found'],
    ['ADD COLUMN n INT NULL FIRST', 'before key column'],
    ['DROP COLUMN k', 'key column'],
    ['DROP COLUMN z', 'does not exists'],
    ['RENAME COLUMN v k', 'already used'],
    ['MODIFY COLUMN v SMALLINT NULL', 'Can not change'],
    ['MODIFY COLUMN s INT NULL', 'Can not change'],
    ['MODIFY COLUMN v BIGINT NOT NULL', 'non-nullable'],
    ['MODIFY COLUMN v BIGINT NULL DEFAULT "1"', 'default value'],
    ['MODIFY COLUMN v INT NULL', 'Nothing is changed'],
    ['ADD PARTITION p', 'does not model'],
    ['MODIFY COLUMN k BIGINT NOT NULL', 'key attribute'],
  ])('refuses %s', async (clause, message) => {
    const name = await newTable('v INT NULL, s STRING NULL');
    const error = await errorOf(sql, `ALTER TABLE ${name} ${clause}`);
    expect(error).toEqual({ errno: 1105, message: expect.stringContaining(message) });
    expect(await rowsOf(sql, `DESC ${name}`)).toHaveLength(3);
  });

  test('changes a type in the background, one job at a time, while loads go on', async () => {
    const name = await newTable('v INT NULL');
    await load(standin, `d/${name}`, [{ k: 1, v: 1 }]);
    await sql.query(`ALTER TABLE ${name} MODIFY COLUMN v BIGINT NULL`);
    expect(await states(name)).not.toEqual(['FINISHED']);
    expect((await errorOf(sql, `ALTER TABLE ${name} ADD COLUMN w INT NULL`)).message).toContain(
      'is not NORMAL',
    );
    expect((await load(standin, `d/${name}`, [{ k: 2, v: '3000000000' }]))['Status']).toBe('Fail');
    expect((await load(standin, `d/${name}`, [{ k: 2, v: 2 }]))['Status']).toBe('Success');
    await vi.waitFor(async () => expect(await states(name)).toEqual(['FINISHED']));
    expect((await load(standin, `d/${name}`, [{ k: 3, v: '3000000000' }]))['Status']).toBe(
      'Success',
    );
    expect(await rowsOf(sql, `SELECT v FROM ${name} ORDER BY v`)).toEqual([
      ['1'],
      ['2'],
      ['3000000000'],
    ]);
  });

  test('a background change can be cancelled', async () => {
    const name = await newTable('v INT NULL');
    await sql.query(
      `ALTER TABLE ${name} MODIFY COLUMN v BIGINT NULL; CANCEL ALTER TABLE COLUMN FROM ${name}`,
    );
    expect(await states(name)).toEqual(['CANCELLED']);
    await sql.query(`ALTER TABLE ${name} ADD COLUMN w INT NULL`);
    expect((await errorOf(sql, `CANCEL ALTER TABLE COLUMN FROM ${name}`)).message).toContain(
      'not under',
    );
  });

  test('renames, swaps and replaces tables', async () => {
    const [one, two] = [await newTable('v INT'), await newTable('v INT')];
    await sql.query(`INSERT INTO ${one} VALUES (1, 1)`);
    await sql.query(`ALTER TABLE ${one} REPLACE WITH TABLE ${two} PROPERTIES('swap'='true')`);
    expect(await rowsOf(sql, `SELECT k FROM ${two}`)).toEqual([['1']]);
    expect((await errorOf(sql, `ALTER TABLE ${one} RENAME ${two}`)).message).toContain(
      'already used',
    );
    await sql.query(`ALTER TABLE ${one} REPLACE WITH TABLE ${two} PROPERTIES('swap'='false')`);
    expect(await rowsOf(sql, `SELECT k FROM ${one}`)).toEqual([['1']]);
    expect((await errorOf(sql, `SELECT * FROM ${two}`)).errno).toBe(1105);
    await sql.query(`ALTER TABLE ${one} RENAME ${two}`);
    expect(await rowsOf(sql, `SELECT k FROM ${two}`)).toEqual([['1']]);
  });
});

test('TRUNCATE empties, DROP takes away', async () => {
  const name = await newTable('v INT');
  await sql.query(`INSERT INTO ${name} VALUES (1, 1); TRUNCATE TABLE ${name}`);
  expect(await rowsOf(sql, `SELECT * FROM ${name}`)).toEqual([]);
  const [before] = await rowsOf(sql, `SHOW PARTITIONS FROM ${name}`);
  await sql.query(`TRUNCATE TABLE ${name}`);
  const [after] = await rowsOf(sql, `SHOW PARTITIONS FROM ${name}`);
  expect(after?.[0]).not.toBe(before?.[0]);
  expect(after?.slice(1)).toEqual(before?.slice(1));
  await sql.query(`DROP TABLE ${name}; DROP TABLE IF EXISTS ${name}`);
  expect((await errorOf(sql, `DROP TABLE ${name}`)).errno).toBe(1109);
  expect((await errorOf(sql, `TRUNCATE TABLE ${name}`)).errno).toBe(1109);
  expect(await load(standin, `d/${name}`, [{ k: 1 }])).toMatchObject({ Status: 'Fail', TxnId: -1 });
});

test('SHOW BACKENDS and FRONTENDS tell the ports', async () => {
  const [[backend]] = (await sql.query('SHOW BACKENDS')) as unknown as [[Record<string, string>]];
  expect(`${backend['Host']}:${backend['HttpPort']} ${backend['Alive']}`).toBe(
    `${standin.be} true`,
  );
  const [[frontend]] = (await sql.query('SHOW FRONTENDS')) as unknown as [[Record<string, string>]];
  expect(`${frontend['Host']}:${frontend['QueryPort']} ${frontend['IsMaster']}`).toBe(
    `${standin.query} true`,
  );
});
