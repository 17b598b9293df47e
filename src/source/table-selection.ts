import type { TableSelection } from './source.ts';

/**
 * Which of a source's tables a job wants, in their order. An entry of the lists is first a name, compared exactly; what
 * no table is called is a pattern: `*` stands for any text, `?` for one character, a backslash takes the next character as
 * it is. A list without `include` means all tables but `exclude` (job-sql.md §2.4 step 17).
 */
export function selectNames(
  all: readonly string[],
  { include, exclude }: Pick<TableSelection, 'include' | 'exclude'>,
): readonly string[] {
  const listed = listedIn(include.length > 0 ? include : exclude, all);
  return all.filter((name) => listed(name) === include.length > 0);
}

function listedIn(list: readonly string[], all: readonly string[]): (name: string) => boolean {
  const names = new Set(all);
  const exact = new Set<string>();
  const patterns: (readonly Part[])[] = [];
  for (const entry of list.map((text) => text.trim())) {
    if (names.has(entry)) exact.add(entry);
    else patterns.push(parsePattern(entry));
  }
  return (name) => exact.has(name) || patterns.some((pattern) => fits(Array.from(name), pattern));
}

const ANY_TEXT = Symbol('*');
const ANY_CHARACTER = Symbol('?');
type Part = string | typeof ANY_TEXT | typeof ANY_CHARACTER;

function parsePattern(pattern: string): readonly Part[] {
  const parts: Part[] = [];
  let escaped = false;
  for (const character of pattern) {
    if (escaped) parts.push(character);
    else if (character === '*') parts.push(ANY_TEXT);
    else if (character === '?') parts.push(ANY_CHARACTER);
    else if (character !== '\\') parts.push(character);
    escaped = !escaped && character === '\\';
  }
  return parts;
}

/** Length of name × pattern at most, whatever the pattern: on a mismatch the last `*` takes one character more. */
function fits(name: readonly string[], pattern: readonly Part[]): boolean {
  let [at, part] = [0, 0];
  let [anyPart, anyAt] = [-1, 0];
  while (at < name.length) {
    const wanted = pattern[part];
    if (wanted === ANY_TEXT) {
      [anyPart, anyAt] = [part, at];
      part += 1;
    } else if (wanted === ANY_CHARACTER || wanted === name[at]) {
      at += 1;
      part += 1;
    } else if (anyPart >= 0) {
      anyAt += 1;
      [at, part] = [anyAt, anyPart + 1];
    } else {
      return false;
    }
  }
  return pattern.slice(part).every((rest) => rest === ANY_TEXT);
}
