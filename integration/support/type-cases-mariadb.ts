import { literal, NULL, texts, type TypeCase, zeroDates } from './type-case.ts';

const OLD_FORMAT = ['SET GLOBAL mysql56_temporal_format = OFF'];
const NEW_FORMAT = ['SET GLOBAL mysql56_temporal_format = ON'];

export const MARIADB: readonly TypeCase[] = [
  { type: 'JSON', values: [[literal('{"b": 1,"a":[1.0]}'), JSON.stringify('{"b": 1,"a":[1.0]}')]] },
  {
    type: 'UUID',
    values: [
      ...texts(
        '123e4567-e89b-12d3-a456-426655440000',
        '00000000-0000-0000-0000-000000000000',
        'ffffffff-ffff-ffff-ffff-ffffffffff00',
      ),
      ...texts('0190163d-8694-739b-aea5-966c26f8ad90', '6ccd780c-baba-1026-9564-5b8c656024db'),
      NULL,
    ],
  },
  { type: 'INET4', values: [...texts('0.0.0.0', '255.255.255.255', '10.0.0.0'), NULL] },
  {
    type: 'INET6',
    values: [
      ...texts(
        '::',
        '::1',
        '2001:db8::ff00:42:8329',
        '::ffff:1.2.3.4',
        '::1.2.3.4',
        '1::3:4:5:6:7:8',
        'fe80::',
        '1:0:0:4::8',
      ),
      ...texts(
        '::2',
        '::ffff',
        '::0.1.0.0',
        '1::',
        'ff02::1:0:0',
        '1:2:3:4:5:6::',
        '::5:6:7:8',
        '0:0:1::',
      ),
      NULL,
    ],
  },
  {
    type: 'VARCHAR(1000) COMPRESSED',
    values: [
      ["REPEAT('compressible ', 50)", `"${'compressible '.repeat(50)}"`],
      ...texts('short', ''),
      NULL,
    ],
  },
  {
    type: 'TEXT COMPRESSED',
    values: [["REPEAT('ab\"', 5000)", `"${String.raw`ab\"`.repeat(5000)}"`], ...texts('')],
  },
  { type: 'BLOB COMPRESSED', values: [["REPEAT(x'00', 3000)", `"${'A'.repeat(4000)}"`]] },
  {
    type: 'VARBINARY(200) COMPRESSED',
    values: [
      ["REPEAT(x'00', 150)", `"${'A'.repeat(200)}"`],
      ["''", '""'],
    ],
  },
  {
    type: 'LONGTEXT',
    before: ['SET GLOBAL log_bin_compress = ON', 'SET GLOBAL log_bin_compress_min_len = 10'],
    values: [["REPEAT('row event ', 500)", `"${'row event '.repeat(500)}"`], ...texts('short')],
    after: ['SET GLOBAL log_bin_compress = OFF'],
  },
  {
    type: 'INT AS (id * 2) PERSISTENT',
    values: [
      ['DEFAULT', '0'],
      ['DEFAULT', '2'],
    ],
  },
  {
    type: 'INT AS (id * 2) VIRTUAL',
    values: [
      ['DEFAULT', '0'],
      ['DEFAULT', '2'],
    ],
  },
  ...[0, 1, 2, 3, 4, 5, 6].flatMap((digits): TypeCase[] => {
    const f = (text: string): string => (digits === 0 ? '' : `.${text.slice(0, digits)}`);
    const around = { before: OLD_FORMAT, after: NEW_FORMAT };
    return [
      {
        ...around,
        type: `DATETIME(${digits})`,
        values: [
          ...texts(`2024-02-29 12:34:56${f('123456')}`, `9999-12-31 23:59:59${f('999999')}`),
          ...zeroDates('0000-00-00'),
        ],
      },
      {
        ...around,
        type: `TIMESTAMP(${digits}) NULL`,
        values: [...texts(`2024-02-29 12:34:56${f('123456')}`), ...zeroDates('0000-00-00')],
      },
      {
        ...around,
        type: `TIME(${digits})`,
        values: texts(
          `-01:00:00${f('000000')}`,
          `838:59:58${f('123456')}`,
          `-00:00:01${f('500000')}`,
          `00:00:00${f('000000')}`,
        ),
      },
    ];
  }),
];
