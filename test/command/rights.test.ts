import { describe, expect, test } from 'vitest';
import { Rights } from '../../src/command/rights.ts';

const parse = (cells: Record<string, string | null>): Rights =>
  Rights.parse({ columns: Object.keys(cells), rows: [Object.values(cells)] });

describe('LOAD on db', () => {
  test.each<[string, Record<string, string | null>, boolean]>([
    ['global', { GlobalPrivs: 'Select_priv,Load_priv' }, true],
    ['global, old form', { GlobalPrivs: 'Select_priv ,Load_priv  (false)' }, true],
    ['ADMIN stands for it', { GlobalPrivs: 'Node_priv,Admin_priv' }, true],
    ['NODE does not', { GlobalPrivs: 'Node_priv' }, false],
    ['catalog', { CatalogPrivs: 'internal: Load_priv' }, true],
    ['catalog with stars', { CatalogPrivs: 'internal.*.*: Load_priv' }, true],
    ['another catalog', { CatalogPrivs: 'hive: Load_priv' }, false],
    ['database', { DatabasePrivs: 'internal.a: Select_priv; internal.db: Load_priv' }, true],
    ['another database', { DatabasePrivs: 'internal.dbx: Load_priv' }, false],
    ['database of another catalog', { DatabasePrivs: 'hive.db: Load_priv' }, false],
    ['database, other case', { DatabasePrivs: 'internal.DB: Load_priv' }, false],
    ['database, another right', { DatabasePrivs: 'internal.db: Select_priv' }, false],
    ['database, old form', { DatabasePrivs: 'default_cluster:db: Load_priv  (false)' }, true],
    ['a table of it is not enough', { TablePrivs: 'internal.db.t: Load_priv' }, false],
    ['NULL', { GlobalPrivs: null, DatabasePrivs: null }, false],
    ['columns in any case', { globalprivs: 'load_priv' }, true],
  ])('%s', (_what, cells, expected) => {
    expect(parse({ UserIdentity: "'u'@'%'", ...cells }).mayLoad('db')).toBe(expected);
  });
});

test('CREATE also counts for the table alone', () => {
  const rights = parse({ TablePrivs: 'internal.db.t: Create_priv' });
  expect(rights.mayCreate('db', 't')).toBe(true);
  expect(rights.mayCreate('db', 'u')).toBe(false);
});

test('several rows add up', () => {
  const rights = Rights.parse({
    columns: ['DatabasePrivs'],
    rows: [['internal.a: Load_priv'], ['internal.b: Load_priv']],
  });
  expect([rights.mayLoad('a'), rights.mayLoad('b'), rights.mayLoad('c')]).toEqual([
    true,
    true,
    false,
  ]);
});

test.each([
  ["'root'@'%'", 'root'],
  ['root@%', 'root'],
  ["'default_cluster:root'@'10.%'", 'root'],
  ["'a@b'@'%'", 'a@b'],
  ["'jack'@['example.com']", 'jack'],
])('user name of %s', (identity, user) => {
  expect(parse({ UserIdentity: identity }).user).toBe(user);
});
