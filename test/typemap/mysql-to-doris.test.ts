import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProxyError } from '../../src/model/error.ts';
import { mysqlToDoris } from '../../src/typemap/mysql-to-doris.ts';
import { parseMysqlType } from '../../src/typemap/mysql-type.ts';

test.each([
  ['tinyint', 'TINYINT', 'TINYINT'],
  ['tinyint(1)', 'TINYINT', 'TINYINT'],
  ['tinyint(3) unsigned', 'SMALLINT', 'SMALLINT'],
  ['smallint', 'SMALLINT', 'SMALLINT'],
  ['smallint unsigned', 'INT', 'INT'],
  ['mediumint', 'INT', 'INT'],
  ['mediumint unsigned', 'INT', 'INT'],
  ['int(11)', 'INT', 'INT'],
  ['int(5) unsigned zerofill', 'BIGINT', 'BIGINT'],
  ['bigint', 'BIGINT', 'BIGINT'],
  ['bigint(20) unsigned', 'LARGEINT', 'LARGEINT'],
  ['float', 'FLOAT', 'VARCHAR(65533)'],
  ['float(7,3)', 'FLOAT', 'VARCHAR(65533)'],
  ['double(10,2) unsigned', 'DOUBLE', 'VARCHAR(65533)'],
  ['decimal(10,2)', 'DECIMAL(10,2)', 'DECIMAL(10,2)'],
  ['decimal(38,38)', 'DECIMAL(38,38)', 'DECIMAL(38,38)'],
  ['decimal(39,0)', 'STRING', 'VARCHAR(65533)'],
  ['decimal(10,0) unsigned', 'DECIMAL(11,0)', 'DECIMAL(11,0)'],
  ['decimal(38,10) unsigned', 'STRING', 'VARCHAR(65533)'],
  ['bit(1)', 'BOOLEAN', 'BOOLEAN'],
  ['bit(8)', 'STRING', 'VARCHAR(65533)'],
  ['year(4)', 'SMALLINT', 'SMALLINT'],
  ['date', 'DATE', 'DATE'],
  ['datetime', 'DATETIME', 'DATETIME'],
  ['datetime(6)', 'DATETIME(6)', 'DATETIME(6)'],
  ['timestamp(3)', 'DATETIME(3)', 'DATETIME(3)'],
  ['datetime /* mariadb-5.3 */', 'DATETIME', 'DATETIME'],
  ['time(2)', 'STRING', 'VARCHAR(65533)'],
  ['char(1)', 'CHAR(4)', 'CHAR(4)'],
  ['char(63)', 'CHAR(252)', 'CHAR(252)'],
  ['char(64)', 'VARCHAR(256)', 'VARCHAR(256)'],
  ['varchar(0)', 'VARCHAR(4)', 'VARCHAR(4)'],
  ['varchar(16383)', 'VARCHAR(65532)', 'VARCHAR(65532)'],
  ['varchar(16384)', 'STRING', 'VARCHAR(65533)'],
  ['varchar(10) /*M!100301 COMPRESSED*/', 'VARCHAR(40)', 'VARCHAR(40)'],
  ['longtext', 'STRING', 'VARCHAR(65533)'],
  ['varbinary(10)', 'STRING', 'VARCHAR(65533)'],
  ["enum('a','b')", 'STRING', 'VARCHAR(65533)'],
  ['json', 'STRING', 'VARCHAR(65533)'],
  ['geomcollection', 'STRING', 'VARCHAR(65533)'],
  ['vector(3)', 'ARRAY<FLOAT>', 'ARRAY<FLOAT>'],
  ['inet6', 'STRING', 'VARCHAR(65533)'],
])('%s becomes %s, and %s in a key', (source, value, key) => {
  expect(mysqlToDoris(source)).toBe(value);
  expect(mysqlToDoris(source, 'key')).toBe(key);
});

test.each(['hologram', 'constructor', '', 'enum', "enum('a", "enum('a';'b')"])(
  'what is no type is refused by name: %s',
  (source) => {
    expect(() => mysqlToDoris(source)).toThrow(ProxyError);
    expect(() => mysqlToDoris(source)).toThrow(`Unsupported column type: ${source}`);
  },
);

/** As MySQL 9 and MariaDB 10.11 print a label in COLUMN_TYPE. */
function print(label: string): string {
  const escaped = label.replaceAll('\\', '\\\\').replaceAll("'", "''");
  return `'${escaped.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\0', '\\0')}'`;
}

test('labels come back as they were declared, whatever they hold', () => {
  const label = fc.string({
    unit: fc.constantFrom('a', ',', "'", '"', '\\', 'n', '0', '\n', '\0', ')', '中'),
  });
  fc.assert(
    fc.property(
      fc.array(label, { minLength: 1 }),
      fc.constantFrom('enum', 'set'),
      (labels, name) => {
        const type = parseMysqlType(`${name}(${labels.map(print).join(',')})`);
        expect(type).toMatchObject({ name, labels });
      },
    ),
  );
});
