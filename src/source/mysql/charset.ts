import iconv from 'iconv-lite';
import { putEscaped } from '../../encode/json-bytes.ts';
import type { JsonWriter } from '../../encode/json-writer.ts';
import { ProxyError } from '../../model/error.ts';
import { OWN_BYTES, OWN_CHARACTERS, UPPER_HALVES } from './charset-tables.ts';

/** Bytes of a character at most, by MySQL's name of the character set. */
const BYTES_MAX: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    (
      'armscii8 ascii cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 dec8 geostd8 greek hebrew hp8 keybcs2 ' +
      'koi8r koi8u latin1 latin2 latin5 latin7 macce macroman swe7 tis620'
    )
      .split(' ')
      .map((name) => [name, 1]),
  ),
  ...Object.fromEntries(
    'big5 cp932 euckr gb2312 gbk sjis ucs2'.split(' ').map((name) => [name, 2]),
  ),
  ...Object.fromEntries('eucjpms ujis utf8 utf8mb3'.split(' ').map((name) => [name, 3])),
  ...Object.fromEntries('gb18030 utf16 utf16le utf32 utf8mb4'.split(' ').map((name) => [name, 4])),
};

/** iconv-lite's names where they are not MySQL's. MySQL's wide sets are big-endian, its latin1 is Windows' code page. */
const ICONV: Readonly<Record<string, string>> = {
  latin1: 'cp1252',
  ucs2: 'utf-16be',
  utf16: 'utf-16be',
  utf16le: 'utf-16le',
  utf32: 'utf-32be',
  ujis: 'eucjp',
  eucjpms: 'eucjp',
  macce: 'maccenteuro',
};

const UTF8: ReadonlySet<string> = new Set(['utf8', 'utf8mb3', 'utf8mb4']);

/** Collation ids below 256 that are not of a UTF-8 set, as MySQL 9.7 and MariaDB 10.11 number them. */
const COLLATIONS: Readonly<Record<string, readonly number[]>> = {
  armscii8: [32, 64],
  ascii: [11, 65],
  big5: [1, 84],
  binary: [63],
  cp1250: [26, 34, 44, 66, 99],
  cp1251: [14, 23, 50, 51, 52],
  cp1256: [57, 67],
  cp1257: [29, 58, 59],
  cp850: [4, 80],
  cp852: [40, 81],
  cp866: [36, 68],
  cp932: [95, 96],
  dec8: [3, 69],
  eucjpms: [97, 98],
  euckr: [19, 85],
  gb18030: [248, 249, 250],
  gb2312: [24, 86],
  gbk: [28, 87],
  geostd8: [92, 93],
  greek: [25, 70],
  hebrew: [16, 71],
  hp8: [6, 72],
  keybcs2: [37, 73],
  koi8r: [7, 74],
  koi8u: [22, 75],
  latin1: [5, 8, 15, 31, 47, 48, 49, 94],
  latin2: [2, 9, 21, 27, 77],
  latin5: [30, 78],
  latin7: [20, 41, 42, 79],
  macce: [38, 43],
  macroman: [39, 53],
  sjis: [13, 88],
  swe7: [10, 82],
  tis620: [18, 89],
  ujis: [12, 91],
};
const CHARSET_BY_COLLATION = new Map(
  Object.entries(COLLATIONS).flatMap(([charset, ids]) => ids.map((id) => [id, charset] as const)),
);
/** MariaDB's `_nopad_` collations are the others' numbers plus this. */
const NOPAD = 1024;

/** The character set of a client's collation; clients cannot use the wide sets, so what is in no list is UTF-8. */
export function collationCharset(id: number): string {
  const plain = id > NOPAD && id < 2 * NOPAD ? id - NOPAD : id;
  return CHARSET_BY_COLLATION.get(plain) ?? 'utf8mb4';
}

/** Bytes of one character at most; undefined for a name that is no character set of MySQL. */
export function characterBytesMax(charset: string): number | undefined {
  return Object.hasOwn(BYTES_MAX, charset) ? BYTES_MAX[charset] : undefined;
}

/** Whether text of the character set can be copied as it is. */
export function isUtf8(charset: string): boolean {
  return UTF8.has(charset);
}

/** Statement text. Bytes of `binary` clients are taken for UTF-8, as the server does for names. */
export function decodeText(bytes: Buffer, charset: string): string {
  if (isUtf8(charset) || charset === 'binary') return bytes.toString('utf8');
  const table = singleByteTable(charset);
  if (table !== undefined) return Array.from(bytes, (byte) => table[byte]).join('');
  return decodeWide(bytes, charset);
}

function decodeWide(bytes: Buffer, charset: string): string {
  if (charset === 'big5') refuseEten(bytes);
  let text = iconv.decode(bytes, ICONV[charset] ?? charset, { stripBOM: false });
  for (const [theirs, own] of OWN_CHARACTERS[charset] ?? []) text = text.replaceAll(theirs, own);
  return text;
}

/** Kana, Cyrillic and signs of Big5's ETEN extension: iconv-lite reads other characters there. */
function refuseEten(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at++) {
    const lead = bytes[at]!;
    if (lead < 0x80) continue;
    if (lead >= 0xc6 && lead <= 0xc8 && (lead > 0xc6 || bytes[at + 1]! >= 0xa1)) {
      throw new ProxyError(
        'UNDECODABLE',
        `A text in the character set big5 has a character of its ETEN extension (0x${bytes.toString('hex', at, at + 2)}). Convert the column to utf8mb4.`,
      );
    }
    at++;
  }
}

/** Writes `start..end` of `source` as a JSON string. */
export type TextWriter = (out: JsonWriter, source: Buffer, start: number, end: number) => void;

/**
 * The writer for a column's character set. Snapshot and stream both hand it the stored bytes, so they cannot disagree.
 * Characters are those of the server's own tables, but where it makes `?` of a byte that Unicode has a character for.
 *
 * @throws ProxyError SOURCE_TABLE for a name that is no character set of MySQL.
 */
export function textWriter(charset: string): TextWriter {
  if (characterBytesMax(charset) === undefined) {
    throw new ProxyError('SOURCE_TABLE', `Unsupported character set: ${charset}`);
  }
  if (isUtf8(charset)) return (out, source, start, end) => out.quotedUtf8(source, start, end);
  const table = singleByteTable(charset);
  if (table !== undefined) return singleByteWriter(table);
  return (out, source, start, end) =>
    out.quotedText(decodeWide(source.subarray(start, end), charset));
}

/** A character for each of 256 bytes; undefined for sets with longer characters. */
function singleByteTable(charset: string): readonly string[] | undefined {
  if (BYTES_MAX[charset] !== 1) return undefined;
  const ascii = Array.from({ length: 128 }, (_, i) => String.fromCharCode(i));
  const upper = Object.hasOwn(UPPER_HALVES, charset) ? UPPER_HALVES[charset] : undefined;
  const bytes = Buffer.from(Array.from({ length: 128 }, (_, i) => 0x80 + i));
  const characters = upper ?? iconv.decode(bytes, ICONV[charset] ?? charset, { stripBOM: false });
  const table = [...ascii, ...characters.split('')];
  for (const [byte, character] of Object.entries(OWN_BYTES[charset] ?? {})) {
    table[Number(byte)] = character;
  }
  return table;
}

/** Escaped JSON bytes of every source byte, six of room for each: `\u0001` is the longest. */
function singleByteWriter(table: readonly string[]): TextWriter {
  const ROOM = 6;
  const bytes = new Uint8Array(256 * ROOM);
  const lengths = new Uint8Array(256);
  table.forEach((character, byte) => {
    const utf8 = Buffer.from(character);
    const at = byte * ROOM;
    lengths[byte] = putEscaped(bytes, at, utf8, 0, utf8.length) - at;
  });
  return (out, source, start, end) => {
    let size = 2;
    for (let s = start; s < end; s++) size += lengths[source[s]!]!;
    out.reserve(size);
    const b = out.buffer;
    let p = out.position;
    b[p++] = 0x22;
    for (let s = start; s < end; s++) {
      const byte = source[s]!;
      const length = lengths[byte]!;
      for (let i = 0; i < length; i++) b[p++] = bytes[byte * ROOM + i]!;
    }
    b[p++] = 0x22;
    out.position = p;
  };
}
