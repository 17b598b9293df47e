import { NULL, texts, type TypeCase } from './type-case.ts';

export const TEXTS: readonly TypeCase[] = [
  {
    type: 'VARCHAR(100)',
    values: [
      ...texts('', 'abc', 'Grüße', '中文', '😀😀'),
      [String.raw`'a"b\\c\nd\re\tf\b\Zg\0'`, String.raw`"a\"b\\c\nd\re\tf\b\u001ag\u0000"`],
      ["'  spaces  '", '"  spaces  "'],
      NULL,
    ],
  },
  {
    type: 'VARCHAR(10000)',
    values: [
      ["REPEAT('x\"', 3000)", `"${String.raw`x\"`.repeat(3000)}"`],
      ["''", '""'],
    ],
  },
  { type: 'VARCHAR(60)', values: texts('é'.repeat(60)) },
  { type: 'VARCHAR(64)', values: texts('é'.repeat(64)) },
  { type: 'CHAR(5)', values: [["'ab  '", '"ab"'], ...texts('', '中文中文中')] },
  { type: 'CHAR(255)', values: texts('é'.repeat(255), 'short') },
  {
    type: 'VARCHAR(20) CHARACTER SET latin1',
    values: [
      ...texts('Grüße €'),
      ["CONVERT(x'81414222' USING latin1)", String.raw`"${'\u0081'}AB\""`],
    ],
  },
  { type: 'CHAR(20) CHARACTER SET ascii', values: texts('plain') },
  { type: 'VARCHAR(20) CHARACTER SET gbk', values: texts('中文 abc') },
  { type: 'VARCHAR(20) CHARACTER SET big5', values: texts('中文') },
  { type: 'VARCHAR(20) CHARACTER SET sjis', values: texts('日本語') },
  { type: 'VARCHAR(20) CHARACTER SET ujis', values: texts('日本語') },
  { type: 'VARCHAR(20) CHARACTER SET euckr', values: texts('한국어') },
  { type: 'VARCHAR(20) CHARACTER SET utf8mb3', values: texts('中文') },
  { type: 'VARCHAR(20) CHARACTER SET utf16', values: texts('中文😀"'.replace('"', '')) },
  { type: 'CHAR(4) CHARACTER SET utf16', values: [["'ab '", '"ab"']] },
  { type: 'VARCHAR(20) CHARACTER SET utf16le', values: texts('中文😀') },
  { type: 'VARCHAR(20) CHARACTER SET utf32', values: texts('中文😀') },
  { type: 'VARCHAR(20) CHARACTER SET ucs2', values: texts('中文') },
  { type: 'VARCHAR(20) CHARACTER SET koi8r', values: texts('Привет') },
  { type: 'VARCHAR(20) CHARACTER SET cp1251', values: texts('Привет') },
  { type: 'VARCHAR(20) CHARACTER SET hebrew', values: texts('שלום') },
  { type: 'VARCHAR(20) CHARACTER SET dec8', values: texts('Größe') },
  { type: 'VARCHAR(20) CHARACTER SET keybcs2', values: texts('Čeština') },
  { type: 'VARCHAR(20) CHARACTER SET swe7', values: texts('ÅÄÖ') },
  { type: 'TINYTEXT', values: texts('tiny', '') },
  { type: 'TEXT', values: [...texts('text'), ["REPEAT('é', 20000)", `"${'é'.repeat(20_000)}"`]] },
  {
    type: 'MEDIUMTEXT CHARACTER SET latin1',
    values: [["REPEAT('é', 70000)", `"${'é'.repeat(70_000)}"`]],
  },
  {
    type: 'LONGTEXT',
    values: [["REPEAT('\\n', 100000)", `"${String.raw`\n`.repeat(100_000)}"`], NULL],
  },
  {
    type: "ENUM('a','b,c','it''s','back\\\\slash','中','q\"d','new\\nline')",
    values: [
      ...texts('a', 'b,c', '中'),
      ["'it''s'", '"it\'s"'],
      [String.raw`'back\\slash'`, String.raw`"back\\slash"`],
      ["'q\"d'", String.raw`"q\"d"`],
      [String.raw`'new\nline'`, String.raw`"new\nline"`],
      ["'no such label'", '""'],
      NULL,
    ],
  },
  {
    type: `ENUM(${Array.from({ length: 300 }, (_, i) => `'label ${i}'`).join()})`,
    values: texts('label 0', 'label 254', 'label 255', 'label 299'),
  },
  {
    type: "SET('x','y''z','中')",
    values: [["''", '""'], ["'x'", '"x"'], ["'中,x'", '"x,中"'], ["'y''z'", '"y\'z"'], NULL],
  },
  {
    type: `SET(${Array.from({ length: 64 }, (_, i) => `'s${i}'`).join()})`,
    values: texts('s0,s63', 's31,s32', 's7'),
  },
];

export const BYTES: readonly TypeCase[] = [
  {
    type: 'BINARY(4)',
    values: [["x'01020000'", '"AQIAAA=="'], ["x'01'", '"AQAAAA=="'], ["''", '"AAAAAA=="'], NULL],
  },
  {
    type: 'VARBINARY(300)',
    values: [
      ["x'ff00'", '"/wA="'],
      ["''", '""'],
      ["REPEAT(x'00', 300)", `"${'A'.repeat(400)}"`],
    ],
  },
  { type: 'TINYBLOB', values: [["x'00010203'", '"AAECAw=="']] },
  { type: 'BLOB', values: [["REPEAT(x'ff', 300)", `"${'/'.repeat(400)}"`]] },
  { type: 'MEDIUMBLOB', values: [["x'22'", '"Ig=="']] },
  { type: 'LONGBLOB', values: [["REPEAT(x'00', 300000)", `"${'A'.repeat(400_000)}"`], NULL] },
];

const point = (x: number, y: number): string => `POINT(${x} ${y})`;

const geometry = (type: string, ...wkt: readonly string[]): TypeCase => ({
  type,
  values: wkt.map((text) => [`ST_GeomFromText('${text}')`, `"${text}"`]),
});

export const SHAPES: readonly TypeCase[] = [
  geometry('POINT', point(1, 2), point(-0.5, 1e300), point(0.1, 123456789.123)),
  geometry('LINESTRING', 'LINESTRING(0 0,1 1,2 0)'),
  geometry('POLYGON', 'POLYGON((0 0,10 0,10 10,0 10,0 0),(1 1,2 1,2 2,1 1))'),
  {
    type: 'MULTIPOINT',
    values: [["ST_GeomFromText('MULTIPOINT(0 0,1 1)')", '"MULTIPOINT((0 0),(1 1))"']],
  },
  geometry('MULTILINESTRING', 'MULTILINESTRING((0 0,1 1),(2 2,3 3))'),
  geometry('MULTIPOLYGON', 'MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))'),
  geometry(
    'GEOMETRYCOLLECTION',
    'GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1),MULTILINESTRING((0 0,1 1)))',
  ),
  {
    type: 'GEOMETRY',
    values: [
      ["ST_GeomFromText('POINT(1 2)', 3857)", '"SRID=3857;POINT(1 2)"'],
      ["ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')", '"POLYGON((0 0,1 0,1 1,0 0))"'],
      NULL,
    ],
  },
];
