import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startStandin, type Standin } from './standin.ts';
import { basic, connect, errorOf, http, load, rowsOf } from './test-client.ts';

let standin: Standin;
let root: Connection;
let user: Connection;

beforeAll(async () => {
  standin = await startStandin();
  root = await connect(standin, { multipleStatements: true });
  await root.query(`CREATE DATABASE d; CREATE DATABASE e`);
  for (const name of ['d.t', 'd.s', 'e.t'])
    await root.query(
      `CREATE TABLE ${name} (id INT, v INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")`,
    );
});

afterAll(async () => {
  await root?.end();
  await standin?.close();
});

beforeEach(async () => {
  await user?.end();
  await root.query(
    `DROP USER IF EXISTS 'w'@'%'; CREATE USER 'w'@'%' IDENTIFIED BY 'p' COMMENT 'writer'`,
  );
  user = await connect(standin, { user: 'w', password: 'p' });
});

describe('what is not granted is refused', () => {
  test.each([
    ['SELECT * FROM d.t', 'SELECT', 'd.t', 1142],
    ['SELECT * FROM (SELECT * FROM d.s) x JOIN d.t ON true', 'SELECT', 'd.*', 1142],
    ['EXPLAIN SELECT 1 FROM d.t LIMIT 0', 'SELECT', '*.*.*', 1142],
    ['DESC d.t', 'SELECT', 'd.t', 1142],
    ['SHOW CREATE TABLE d.t', 'SELECT', 'd.t', 1142],
    ['INSERT INTO d.t VALUES (1, 1)', 'LOAD', 'd.t', 1142],
    ['TRUNCATE TABLE d.t', 'LOAD', 'd.*', 1142],
    ['ALTER TABLE d.t MODIFY COLUMN v COMMENT "c"', 'ALTER', 'd.t', 1142],
    ['DROP TABLE d.s', 'DROP', 'd.*', 1142],
    [
      'CREATE TABLE d.s (id INT, v INT) UNIQUE KEY(id) DISTRIBUTED BY HASH(id) PROPERTIES("replication_num"="1")',
      'CREATE',
      'd.*',
      1142,
    ],
    ['CREATE DATABASE f', 'CREATE', 'internal.*.*', 1044],
    ['DROP DATABASE f', 'DROP', 'f.*', 1044],
    ['SHOW BACKENDS', 'ADMIN', '*.*.*', 1227],
    ["CREATE USER 'x'", 'GRANT', '*.*.*', 1227],
    ['SET GLOBAL query_timeout = 1', 'ADMIN', '*.*.*', 1227],
  ])('%s needs %s on %s', async (statement, privilege, scope, errno) => {
    expect((await errorOf(user, statement)).errno).toBe(errno);
    await root.query(`GRANT ${privilege}_PRIV ON ${scope} TO 'w'@'%'`);
    await user.query(statement);
  });

  test('rights elsewhere do not help, and a REVOKE takes effect at once', async () => {
    await root.query(
      `GRANT SELECT_PRIV, LOAD_PRIV ON e.* TO 'w'; GRANT SELECT_PRIV ON d.s TO 'w'; GRANT LOAD_PRIV ON d.t TO 'w'`,
    );
    expect((await errorOf(user, 'SELECT * FROM d.t')).errno).toBe(1142);
    expect(await rowsOf(user, 'SELECT * FROM e.t')).toEqual([]);
    await root.query(`REVOKE SELECT_PRIV ON e.* FROM 'w'`);
    expect((await errorOf(user, 'SELECT * FROM e.t')).errno).toBe(1142);
    expect((await errorOf(root, `REVOKE SELECT_PRIV ON e.* FROM 'w'`)).errno).toBe(1105);
  });

  test('UPDATE and DELETE need SELECT and LOAD', async () => {
    await root.query(`GRANT LOAD_PRIV ON d.t TO 'w'`);
    expect((await errorOf(user, 'DELETE FROM d.t WHERE id = 1')).errno).toBe(1142);
    await root.query(`GRANT SELECT_PRIV ON d.t TO 'w'`);
    await user.query('UPDATE d.t SET v = 2 WHERE id = 1');
  });
});

test('a load needs LOAD at the FE and at the BE', async () => {
  const authorization = basic('w', 'p');
  const probe = async (): Promise<number> =>
    (
      await http(standin.http, '/api/d/t/_stream_load', {
        method: 'PUT',
        headers: { authorization, expect: '100-continue' },
      })
    ).status;
  expect(await probe()).toBe(200);
  expect((await load(standin, 'd/t', [{ id: 1 }], { authorization }))['Status']).toBe('Fail');
  await root.query(`GRANT LOAD_PRIV ON d.t TO 'w'`);
  expect(await probe()).toBe(307);
  expect((await load(standin, 'd/t', [{ id: 1 }], { authorization }))['Status']).toBe('Success');
});

describe('SHOW GRANTS', () => {
  test('has the columns of Doris 4 and one cell for each level', async () => {
    await root.query(
      `GRANT SELECT_PRIV, LOAD_PRIV ON d.* TO 'w'; GRANT ALTER_PRIV ON e.t TO 'w'; GRANT DROP_PRIV ON internal.*.* TO 'w'`,
    );
    const [rows] = await user.query('SHOW GRANTS');
    expect(rows).toEqual([
      {
        UserIdentity: "'w'@'%'",
        Comment: 'writer',
        Password: 'Yes',
        RequireSan: null,
        Roles: '',
        GlobalPrivs: null,
        CatalogPrivs: 'internal: Drop_priv',
        DatabasePrivs:
          'internal.information_schema: Select_priv; internal.mysql: Select_priv; internal.d: Select_priv,Load_priv',
        TablePrivs: 'internal.e.t: Alter_priv',
        ColPrivs: null,
        ResourcePrivs: null,
        CloudClusterPrivs: null,
        CloudStagePrivs: null,
        StorageVaultPrivs: null,
        WorkloadGroupPrivs: 'normal: Usage_priv',
        ComputeGroupPrivs: null,
      },
    ]);
    expect(await rowsOf(root, `SHOW GRANTS FOR 'w'@'%'`)).toEqual(
      await rowsOf(user, 'SHOW GRANTS FOR CURRENT_USER()'),
    );
    expect((await rowsOf(root, 'SHOW GRANTS'))[0]![5]).toBe('Node_priv,Admin_priv');
    const everyone = await rowsOf(root, 'SHOW ALL GRANTS');
    expect(everyone.map(([identity]) => identity)).toEqual(
      expect.arrayContaining([`'root'@'%'`, `'admin'@'%'`, `'w'@'%'`]),
    );
    expect((await errorOf(user, 'SHOW ALL GRANTS')).errno).toBe(1227);
    expect((await errorOf(user, `SHOW GRANTS FOR 'root'@'%'`)).errno).toBe(1227);
  });
});

test('only what may be touched is listed', async () => {
  await root.query(`GRANT SELECT_PRIV ON d.s TO 'w'`);
  expect((await rowsOf(user, 'SHOW DATABASES')).flat()).not.toContain('e');
  expect(await rowsOf(user, 'SHOW TABLES FROM d')).toEqual([['s']]);
  const names =
    "SELECT SCHEMA_NAME FROM information_schema.schemata WHERE SCHEMA_NAME IN ('d', 'e')";
  expect(await rowsOf(user, names)).toEqual([['d']]);
  expect(await rowsOf(root, names)).toHaveLength(2);
});

test('a database without any right on it cannot be used', async () => {
  expect((await errorOf(user, 'USE d')).errno).toBe(1044);
  const login = connect(standin, { user: 'w', password: 'p', database: 'd' });
  await expect(login).rejects.toMatchObject({ errno: 1044 });
  await user.query('USE information_schema');
  await root.query(`GRANT SELECT_PRIV ON d.s TO 'w'`);
  await user.query('USE d');
});

test('SET PASSWORD changes the login, COM_CHANGE_USER goes to no administrator', async () => {
  await user.query(`SET PASSWORD = PASSWORD('new')`);
  await expect(connect(standin, { user: 'w', password: 'p' })).rejects.toMatchObject({
    errno: 1045,
  });
  const again = await connect(standin, { user: 'w', password: 'new' });
  await expect(again.changeUser({ user: 'root', password: '' })).rejects.toMatchObject({
    errno: 1045,
  });
  expect((await errorOf(user, `SET PASSWORD FOR 'root'@'%' = PASSWORD('x')`)).errno).toBe(1227);
  again.destroy();
});
