import { literal, NULL, texts, type TypeCase } from './type-case.ts';

/** A JSON document as text, and as the server prints it. */
const json = (...documents: readonly (readonly [string, string])[]): [string, string][] =>
  documents.map(([sql, text]) => [sql, JSON.stringify(text)]);

const same = (...documents: readonly string[]): [string, string][] =>
  json(...documents.map((text) => [literal(text), text] as const));

const long = 'k'.repeat(300);

export const MYSQL: readonly TypeCase[] = [
  {
    type: 'JSON',
    before: [
      'CREATE TABLE types.h (b BLOB, t BIT(9), ts TIMESTAMP(3), d DATETIME, y YEAR, e ENUM("x"), v VARBINARY(9), c BINARY(3))',
      "INSERT INTO types.h VALUES (x'00ff', b'101', '2024-02-29 01:02:03.5', '2024-02-29 01:02:03', 2024, 'x', 'v', 'c')",
    ],
    values: [
      ...same(
        'null',
        'true',
        'false',
        '0',
        '-1',
        '32767',
        '65535',
        '-32769',
        '2147483647',
        '4294967295',
        '9223372036854775807',
        '18446744073709551615',
        '1.0',
        '1.5',
        '1e100',
        '-0.0',
        '""',
        '"text"',
        '[]',
        '{}',
        '[1, 2, [3, {}]]',
        '{"a": 1, "b": [true, null, "x"]}',
        '{"": 0}',
        '{"1": 1, "10": 2, "__proto__": 3}',
      ),
      ...same(String.raw`"quote \" back \\ slash / line \n tab \t bell \u0007 Grüße 😀"`),
      ...same(`{"${long}": "${'v'.repeat(200)}"}`, `"${'w'.repeat(20_000)}"`),
      ...json(
        [literal('{"bb": 1, "a": 2, "ccc": 3}'), '{"a": 2, "bb": 1, "ccc": 3}'],
        [
          literal(JSON.stringify(Array.from({ length: 20_000 }, (_, i) => i * 1000))),
          `[${Array.from({ length: 20_000 }, (_, i) => i * 1000).join(', ')}]`,
        ],
        ["JSON_OBJECT('d', CAST(1.50 AS DECIMAL(10,2)))", '{"d": 1.50}'],
        ['JSON_ARRAY(CAST(-123456789012.000000001 AS DECIMAL(30,9)))', '[-123456789012.000000001]'],
        ["JSON_ARRAY(DATE '2024-02-29')", '["2024-02-29"]'],
        ["JSON_ARRAY(TIMESTAMP '2024-02-29 12:34:56.5')", '["2024-02-29 12:34:56.500000"]'],
        ["JSON_ARRAY(TIME '-838:59:59')", '["-838:59:59.000000"]'],
        ["JSON_ARRAY(TIME '10:11:12.123456')", '["10:11:12.123456"]'],
        ["JSON_ARRAY(x'00ff')", '["base64:type15:AP8="]'],
        [
          "JSON_ARRAY(REPEAT(x'00', 100))",
          `["base64:type15:${'A'.repeat(76)}\\n${'A'.repeat(58)}=="]`,
        ],
        ["JSON_ARRAY(b'101')", '["base64:type15:BQ=="]'],
        ['JSON_ARRAY(CAST(2024 AS YEAR))', '[2024]'],
        ['JSON_ARRAY(1.5e0, 1e0)', '[1.5, 1.0]'],
        ['JSON_ARRAY(1e-7, 1e-16)', '[0.0000001, 1e-16]'],
        [
          '(SELECT JSON_ARRAY(b, t, ts, d, y, e, v, c) FROM types.h)',
          '["base64:type252:AP8=", "base64:type16:AAU=", "2024-02-29 01:02:03.500000", "2024-02-29 01:02:03.000000", 2024, "x", "base64:type15:dg==", "base64:type254:YwAA"]',
        ],
        [
          'JSON_ARRAY(1e15, 1e14, 123456789012345678e0)',
          '[1e15, 100000000000000.0, 1.2345678901234568e17]',
        ],
      ),
      NULL,
    ],
  },
  {
    type: 'VECTOR(3)',
    values: [
      ["STRING_TO_VECTOR('[1,2.5,-0.1]')", '[1,2.5,-0.1]'],
      ["STRING_TO_VECTOR('[3.4028235e38,1.1]')", '[3.4028235e+38,1.1]'],
      NULL,
    ],
  },
  {
    type: 'GEOMETRY SRID 4326',
    values: [["ST_GeomFromText('POINT(52.5 13.4)', 4326)", '"SRID=4326;POINT(13.4 52.5)"']],
  },
  {
    type: 'GEOMETRYCOLLECTION',
    values: [
      ["ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')", '"GEOMETRYCOLLECTION EMPTY"'],
      [
        "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),GEOMETRYCOLLECTION(POINT(2 2)))')",
        '"GEOMETRYCOLLECTION(POINT(1 1),GEOMETRYCOLLECTION(POINT(2 2)))"',
      ],
    ],
  },
  { type: 'VARCHAR(20) CHARACTER SET gb18030', values: texts('中文😀') },
  {
    type: 'VARCHAR(100)',
    before: ['SET SESSION binlog_transaction_compression = ON'],
    values: texts('compressed transaction', 'another'),
    after: ['SET SESSION binlog_transaction_compression = OFF'],
  },
  {
    type: 'INT GENERATED ALWAYS AS (id * 2) STORED',
    values: [
      ['DEFAULT', '0'],
      ['DEFAULT', '2'],
    ],
  },
  {
    type: 'INT GENERATED ALWAYS AS (id * 2) VIRTUAL',
    values: [
      ['DEFAULT', '0'],
      ['DEFAULT', '2'],
    ],
  },
];
