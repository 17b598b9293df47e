/**
 * Whether `text` is like `pattern`: `%` is any text, `_` any character, a backslash takes the next one as it is. Without
 * recursion, and without memory for each character of a long text.
 *
 * @param stepsMax a pattern like `%a%a%a%b` takes a time that grows with the product of both lengths: undefined when that
 *   many steps do not suffice. A step takes some nanoseconds.
 */
export function like(
  text: string,
  pattern: string,
  stepsMax: number,
): { readonly matches: boolean; readonly steps: number } | undefined {
  let steps = pattern.length;
  if (steps > stepsMax) return undefined;
  const parts = likeParts(pattern);
  let [at, part] = [0, 0];
  // Where the last `%` stands and how much of the text it has taken: on a mismatch it takes one more.
  let [anyPart, anyAt] = [-1, 0];
  while (at < text.length) {
    steps += 1;
    if (steps > stepsMax) return undefined;
    const wanted = parts[part];
    if (wanted === ANY_TEXT) {
      [anyPart, anyAt] = [part, at];
      part += 1;
    } else if (wanted === ANY_CHARACTER) {
      at += widthAt(text, at);
      part += 1;
    } else if (wanted !== undefined && wanted === text.charCodeAt(at)) {
      at += 1;
      part += 1;
    } else if (anyPart >= 0) {
      anyAt += widthAt(text, anyAt);
      [at, part] = [anyAt, anyPart + 1];
    } else {
      return { matches: false, steps };
    }
  }
  return { matches: parts.slice(part).every((rest) => rest === ANY_TEXT), steps };
}

const ANY_TEXT = -1;
const ANY_CHARACTER = -2;

/** UTF-16 units, and the two wildcards. */
function likeParts(pattern: string): readonly number[] {
  const parts: number[] = [];
  let escaped = false;
  for (let i = 0; i < pattern.length; i += 1) {
    const character = pattern.charAt(i);
    if (escaped) parts.push(pattern.charCodeAt(i));
    else if (character === '%') parts.push(ANY_TEXT);
    else if (character === '_') parts.push(ANY_CHARACTER);
    else if (character !== '\\') parts.push(pattern.charCodeAt(i));
    escaped = !escaped && character === '\\';
  }
  return parts;
}

/** UTF-16 units of the character at `at`. */
function widthAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xff_ff ? 2 : 1;
}
