import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scenarios } from './scenarios.ts';
import { available } from './servers.ts';
import { EndToEnd } from './support/end-to-end.ts';

scenarios('mysql');
scenarios('mariadb');

/** Types whose values Doris prints as MySQL does. */
const KEPT =
  /^(TINYINT UNSIGNED|SMALLINT|MEDIUMINT|INT|BIGINT|DECIMAL\(38|DATE|TIMESTAMP|TIME|CHAR|VARCHAR|TEXT|ENUM|SET)/;

describe.each(['mysql', 'mariadb'] as const)('values of %s in Doris', (kind) => {
  let world: EndToEnd;
  beforeAll(async () => {
    if (available(kind)) world = await EndToEnd.open(kind);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  test.runIf(available(kind))('the copy and the log write a value the same way', async () => {
    const place = await world.place('types');
    const columns: readonly (readonly [type: string, ...values: string[]])[] = [
      ['TINYINT', '-128', '127'],
      ['TINYINT UNSIGNED', '0', '255'],
      ['SMALLINT', '-32768', '32767'],
      ['MEDIUMINT UNSIGNED', '0', '16777215'],
      ['INT UNSIGNED', '0', '4294967295'],
      ['BIGINT', '-9223372036854775808', '9223372036854775807'],
      ['BIGINT UNSIGNED', '0', '18446744073709551615'],
      ['DECIMAL(38,10)', '-9999999999999999999999999999.9999999999', '0.0000000001'],
      [
        'DECIMAL(65,30)',
        '-12345678901234567890123456789012345.123456789012345678901234567890',
        '0',
      ],
      ['FLOAT', '1.1', '16777216', '-3.4e38', '123456.789'],
      ['DOUBLE', '0.1', '-1.7976931348623157e308', '2.2250738585072014e-308'],
      ['BIT(1)', "b'0'", "b'1'"],
      ['BIT(17)', "b'10000000000000001'", "b'0'"],
      ['BOOLEAN', 'TRUE', 'FALSE'],
      ['YEAR', '1901', '2155', '0'],
      ['DATE', "'1000-01-01'", "'9999-12-31'"],
      ['DATETIME', "'2024-02-29 23:59:59'", "'1000-01-01 00:00:00'"],
      ['DATETIME(6)', "'2024-02-29 23:59:59.999999'", "'2024-01-01 00:00:00.000001'"],
      ['TIMESTAMP(3) NULL', "'2024-02-29 23:59:59.123'", "'1970-01-02 00:00:01'"],
      ['TIME(6)', "'-838:59:58.999999'", "'-00:01:00'", "'00:00:00.000001'"],
      ['CHAR(10) CHARACTER SET utf8mb4', "'abc'", "''", "'日本'"],
      ['VARCHAR(50) CHARACTER SET utf8mb4', "'🦆 \\'\"\\\\ \\n\\t'", "'\\0x'"],
      ['VARCHAR(50) CHARACTER SET latin1', "'é€'", "'plain'"],
      ['VARCHAR(50) CHARACTER SET gbk', "'中文'", "'a'"],
      ['TEXT CHARACTER SET utf8mb4', "REPEAT('長', 5000)", "''"],
      ['BINARY(4)', "x'00ff'", "x'01020304'"],
      ['VARBINARY(20)', "x'00ff0a27'", "''"],
      ['BLOB', "x'89504e470d0a1a0a'", "REPEAT(x'00', 1000)"],
      ["ENUM('a','b,c','d''e') CHARACTER SET utf8mb4", "'b,c'", `'d''e'`],
      ["SET('x','y','z')", "'x,z'", "''"],
      [
        'JSON',
        `'{"b": [1, 2.5, null], "a": "\\\\u00e9\\\\n", "big": 18446744073709551615}'`,
        `'[]'`,
      ],
    ];
    const names = columns.map((_, i) => `c${i}`);
    const rows = Math.max(...columns.map(([, ...values]) => values.length)) + 1;
    const insert = (from: number): string => {
      const tuples = Array.from({ length: rows }, (_, row) => {
        // The last row is NULL throughout.
        const values = columns.map(([, ...all]) =>
          row === rows - 1 ? 'NULL' : (all[row] ?? all[0]),
        );
        return `(${[from + row, ...values].join(', ')})`;
      });
      return `INSERT INTO t VALUES ${tuples.join(', ')}`;
    };
    const list = columns.map(([type], i) => `c${i} ${type}`).join(', ');
    await place.sql(`CREATE TABLE t (id INT PRIMARY KEY, ${list}); ${insert(0)}`);
    await place.createJob('types', 't');
    await place.same('t', { columns: 'id' });
    await place.sql(insert(1000));
    await place.same('t', { columns: 'id' });

    const half = async (where: string): Promise<unknown[]> => {
      const sql = `SELECT ${names.join(', ')} FROM ${place.target}.t WHERE ${where} ORDER BY id`;
      const [found] = await world.client.query({ sql, rowsAsArray: true });
      return (found as unknown[][]).map((row) => row.map((value, i) => [columns[i]?.[0], value]));
    };
    const copied = await half('id < 1000');
    expect(copied).toHaveLength(rows);
    expect(await half('id >= 1000')).toEqual(copied);
    // Where Doris keeps the type, it is also the text that the source prints.
    const kept = names.filter((_, i) => KEPT.test(columns[i]?.[0] ?? ''));
    await place.same('t', { columns: ['id', ...kept].join(', ') });
    await place.dropJob('types');
  });
});
