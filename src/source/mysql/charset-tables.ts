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
    `€${NONE}‚${NONE}„…†‡${NONE}‰${NONE}‹${NONE.repeat(5)}‘’“”•–—${NONE.repeat(3)}›${NONE.repeat(5)}` +
    `\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶·¸¹º»¼½¾¿აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ` +
    `${NONE.repeat(23)}№${NONE.repeat(2)}`,
  swe7: NONE.repeat(128),
};

/** swe7 has Swedish letters in place of some ASCII characters. */
export const SWE7_LOWER: Readonly<Record<number, string>> = {
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
};
