import { describe, expect, test } from 'vitest';
import { ProxyError } from '../../../src/model/error.ts';
import {
  characterBytesMax,
  collationCharset,
  decodeText,
  textWriter,
} from '../../../src/source/mysql/charset.ts';
import { inet4Text, inet6Text } from '../../../src/source/mysql/address.ts';
import { Scratch } from '../../../src/source/mysql/scratch.ts';

function written(charset: string, bytes: Buffer): string {
  const out = new Scratch();
  textWriter(charset)(
    out,
    Buffer.concat([Buffer.from('<'), bytes, Buffer.from('>')]),
    1,
    1 + bytes.length,
  );
  return JSON.parse(out.buffer.toString('utf8', 0, out.position)) as string;
}

const NAMES =
  'armscii8 ascii big5 cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 cp932 dec8 eucjpms euckr gb18030 gb2312 gbk geostd8 ' +
  'greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7 macce macroman sjis tis620 ujis utf8mb3 utf8mb4';

describe.each(NAMES.split(' '))('%s', (charset) => {
  test('keeps ASCII, quotes and control characters', () => {
    const text = 'a"b\\c\n\u0001~'.replace(charset === 'armscii8' ? "'" : '', '');
    expect(written(charset, Buffer.from(text))).toBe(text);
    expect(decodeText(Buffer.from(text), charset)).toBe(text);
  });
});

test.each([
  ['latin1', [0xe9, 0x80, 0x81, 0x9f], 'é€\u0081Ÿ'],
  ['dec8', [0xd7, 0xa8], 'Œ¤'],
  ['swe7', [0x5b, 0x61, 0x7e], 'Äaü'],
  ['keybcs2', [0x80, 0xff], 'Č\u00a0'],
  ['geostd8', [0xc0, 0xfd], 'ა№'],
  ['hp8', [0xa1, 0xff], 'À\ufffd'],
  ['tis620', [0xa1, 0x80], 'ก\u0080'],
  ['gbk', [0xd6, 0xd0, 0x22], '中"'],
  ['sjis', [0x93, 0xfa, 0x5c], '日\\'],
  ['ujis', [0xc6, 0xfc], '日'],
  ['ucs2', [0x4e, 0x2d, 0, 0x22], '中"'],
  ['utf16', [0xd8, 0x3d, 0xde, 0x00, 0xfe, 0xff], '😀\ufeff'],
  ['utf16le', [0x3d, 0xd8, 0x00, 0xde], '😀'],
  ['utf32', [0, 1, 0xf6, 0], '😀'],
  ['utf16', [0xd8, 0x3d], '\ufffd'],
] as const)('%s %j is %s', (charset, bytes, text) => {
  expect(written(charset, Buffer.from(bytes))).toBe(text);
});

test('what is no character set of MySQL is refused by name', () => {
  for (const name of ['utf7', 'constructor', '', 'base64', 'binary']) {
    expect(() => textWriter(name)).toThrow(ProxyError);
    expect(characterBytesMax(name)).toBeUndefined();
  }
});

test.each([
  [8, 'latin1'],
  [28, 'gbk'],
  [63, 'binary'],
  [33, 'utf8mb4'],
  [45, 'utf8mb4'],
  [255, 'utf8mb4'],
  [309, 'utf8mb4'],
  [1071, 'latin1'], // MariaDB's latin1_nopad_bin
  [2304, 'utf8mb4'],
])('a client of collation %i writes %s', (id, charset) => {
  expect(collationCharset(id)).toBe(charset);
});

test.each([
  ['00000000000000000000000000000000', '::'],
  ['00000000000000000000000000000001', '::1'],
  ['20010db8000000000000ff0000428329', '2001:db8::ff00:42:8329'],
  ['00000000000000000000ffff01020304', '::ffff:1.2.3.4'],
  ['00000000000000000000000001020304', '::1.2.3.4'],
  ['00010000000300040005000600070008', '1::3:4:5:6:7:8'],
  ['00010000000000040000000000000008', '1:0:0:4::8'],
  ['00010002000300040005000600070008', '1:2:3:4:5:6:7:8'],
])('an INET6 of %s is %s', (hex, text) => {
  expect(inet6Text(Buffer.from(hex, 'hex'))).toBe(text);
});

test('an INET4 is four numbers', () => {
  expect(inet4Text(Buffer.from([10, 0, 255, 1]))).toBe('10.0.255.1');
});
