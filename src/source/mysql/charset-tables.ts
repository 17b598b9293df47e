/**
 * The single-byte character sets of MySQL that iconv-lite does not have, as MySQL 9.7 converts them to Unicode:
 * one character for each byte from 0x80 on; U+FFFD where the set has none.
 */
const C1 = Array.from({ length: 32 }, (_, i) => String.fromCharCode(0x80 + i)).join('');
const NONE = '\ufffd';

export const UPPER_HALVES: Readonly<Record<string, string>> = {
  dec8:
    `${C1}\u00a0¡¢£${NONE}¥${NONE}§¤©ª«${NONE.repeat(4)}°±²³${NONE}µ¶·${NONE}¹º»¼½${NONE}¿` +
    `ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ${NONE}ÑÒÓÔÕÖŒØÙÚÛÜŸ${NONE}ßàáâãäåæçèéêëìíîï${NONE}ñòóôõöœøùúûüÿ${NONE.repeat(2)}`,
  hp8:
    `${C1}\u00a0ÀÂÈÊËÎÏ´ˋˆ¨˜ÙÛ₤¯Ýý°ÇçÑñ¡¿¤£¥§ƒ¢âêôûáéóúàèòùäëöüÅîØÆåíøæÄìÖÜÉïßÔ` +
    `ÁÃãÐðÍÌÓÒÕõŠšÚŸÿÞþ·µ¶¾—¼½ªº«■»±${NONE}`,
  keybcs2:
    'ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐' +
    '└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0',
  geostd8:
    `€${NONE}‚${NONE}„…†‡${NONE}‰${NONE}‹${NONE.repeat(5)}‘’“”•–—${NONE.repeat(3)}›${NONE.repeat(4)}` +
    `\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶·¸¹º»¼½¾¿აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ` +
    `${NONE.repeat(23)}№${NONE.repeat(2)}`,
  swe7: NONE.repeat(128),
};

/**
 * Bytes that MySQL 9.7 and MariaDB 10.11 convert otherwise than iconv-lite. Theirs is right by definition: the
 * bytes were made by the same tables.
 */
export const OWN_BYTES: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  armscii8: { 0x27: "'", 0xa1: '\u2741', 0xa2: '§', 0xad: '\u055f', 0xfe: '’', 0xff: "'" },
  cp866: { 0xfc: 'ⁿ', 0xfd: '²' },
  greek: { 0xa1: '\u02bd', 0xa2: '\u02bc' },
  hebrew: { 0xaf: '\u203e' },
  koi8u: { 0x95: '•' },
  latin1: { 0x81: '\u0081', 0x8d: '\u008d', 0x8f: '\u008f', 0x90: '\u0090', 0x9d: '\u009d' },
  macroman: { 0xbd: '\u03a9', 0xdb: '€', 0xf0: '\uf8ff' },
  swe7: {
    0x40: 'É',
    0x5b: 'Ä',
    0x5c: 'Ö',
    0x5d: 'Å',
    0x5e: 'Ü',
    0x60: 'é',
    0x7b: 'ä',
    0x7c: 'ö',
    0x7d: 'å',
    0x7e: 'ü',
  },
  tis620: Object.fromEntries(C1.split('').map((control, i) => [0x80 + i, control])),
};

const JIS = [
  ['\uff5e', '\u301c'],
  ['\u2225', '\u2016'],
  ['\uff0d', '\u2212'],
  ['\uffe0', '¢'],
  ['\uffe1', '£'],
  ['\uffe2', '¬'],
] as const;

/** The same for sets with longer characters: what iconv-lite gives, and what the servers do. */
export const OWN_CHARACTERS: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  sjis: JIS,
  ujis: JIS,
  gb2312: [
    ['·', '\u30fb'],
    ['—', '\u2015'],
  ],
  big5: [
    ['\u2027', '•'],
    ['\ufe51', '\uff64'],
    ['¯', '\u203e'],
    ['\uff5e', '\u223c'],
    ['\u2295', '\u2641'],
    ['\u2299', '\u2609'],
  ],
};
