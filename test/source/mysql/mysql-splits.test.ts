import { expect, test } from 'vitest';
import type { SnapshotSplit } from '../../../src/model/job.ts';
import type { TableSpec } from '../../../src/model/table.ts';
import { splitSource } from '../../../src/source/mysql/mysql-splits.ts';

function table(...types: readonly string[]): TableSpec {
  return {
    schema: 'shop',
    name: 'a`b',
    target: 't',
    columns: types.map((sourceType, i) => ({
      name: `k${i}`,
      sourceType,
      ...(/char|text/.test(sourceType) ? { charset: 'utf8mb4' } : {}),
      dorisType: 'STRING',
      nullable: false,
      comment: '',
    })),
    key: types.map((_type, i) => `k${i}`),
  };
}

function where(
  spec: TableSpec,
  splitStart?: readonly string[],
  splitEnd?: readonly string[],
): string {
  const collations = new Map(spec.key.map((name) => [name, 'utf8mb4_general_ci']));
  const split: SnapshotSplit = {
    splitId: 'shop.a`b:0',
    tableId: 'shop.a`b',
    splitKey: spec.key,
    ...(splitStart === undefined ? {} : { splitStart }),
    ...(splitEnd === undefined ? {} : { splitEnd }),
  };
  return splitSource(spec, collations, split);
}

test('a split without bounds is the whole table', () => {
  expect(where(table('int'))).toBe('FROM `shop`.`a``b` FORCE INDEX (PRIMARY)');
});

test('a range of a composite key enters the index at its bounds', () => {
  const spec = table('int', 'bigint unsigned', 'date');
  expect(where(spec, ['1', '2', '2024-01-31'], ['5', '6', '0000-00-00'])).toBe(
    'FROM `shop`.`a``b` FORCE INDEX (PRIMARY) WHERE ' +
      "(`k0` >= 1 AND (`k0` > 1 OR (`k0` = 1 AND `k1` >= 2 AND (`k1` > 2 OR (`k1` = 2 AND `k2` >= '2024-01-31'))))) AND " +
      "(`k0` <= 5 AND (`k0` < 5 OR (`k0` = 5 AND `k1` <= 6 AND (`k1` < 6 OR (`k1` = 6 AND `k2` < '0000-00-00')))))",
  );
  // Inside of one tenant the tenant is an equality.
  expect(where(table('int', 'int'), ['1', '2'], ['1', '9'])).toBe(
    'FROM `shop`.`a``b` FORCE INDEX (PRIMARY) WHERE `k0` = 1 AND (`k1` >= 2) AND (`k1` < 9)',
  );
});

test.each([
  ['decimal(20,4)', '12345678901234567890.1234', '12345678901234567890.1234'],
  ['double', '1.5', '1.5e0'],
  ['float', '1.100000023841858', '1.100000023841858e0'],
  ['bit(3)', '5', '5'],
  ['timestamp(6)', '2024-01-31 12:00:00.000001', "'2024-01-31 12:00:00.000001'"],
  ['year', '0000', "'0000'"],
  ['varbinary(8)', '0x00FF27', "X'00FF27'"],
  ['varchar(10)', "a'b", "_utf8mb4 X'612762' COLLATE utf8mb4_general_ci"],
  ['varchar(10)', '0xC3', "_utf8mb4 X'C3' COLLATE utf8mb4_general_ci"],
  ['varchar(10)', 'ü', "_utf8mb4 X'c3bc' COLLATE utf8mb4_general_ci"],
  // A catalog that was tampered with must not become SQL.
  ['date', "2024' OR '1'='1", "'2024 OR 1=1'"],
])('a bound of type %s, %s, is written as %s', (type, kept, literal) => {
  expect(where(table(type), undefined, [kept])).toContain(`WHERE (\`k0\` < ${literal})`);
});

test('an ENUM is compared by lists of its numbers, which the index can follow', () => {
  const spec = table("enum('z','b','a')", 'int');
  expect(where(spec, ['1', '5'], ['3', '7'])).toBe(
    'FROM `shop`.`a``b` FORCE INDEX (PRIMARY) WHERE ' +
      "(`k0` IN (1, 2, 3) AND (`k0` IN (2, 3) OR (`k0` = _utf8mb4 X'7a' AND `k1` >= 5))) AND " +
      "(`k0` IN (0, 1, 2, 3) AND (`k0` IN (0, 1, 2) OR (`k0` = _utf8mb4 X'61' AND `k1` < 7)))",
  );
  expect(where(table("enum('z')"), ['1'], ['0'])).toContain('WHERE (`k0` IN (1)) AND (FALSE)');
  // A collation may take these for one another: their numbers never are.
  const alike = table("enum('e','é')", 'int');
  expect(where(alike, ['1', '5'], ['1', '9'])).toContain('`k0` = 1 AND');
});
