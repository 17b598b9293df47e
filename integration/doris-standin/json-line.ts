/** What stands for a value in a JSON row. `ABSENT`: the key is not in the row. */
export const ABSENT = 0;
export const NULL = 1;
export const STRING = 2;
export const NUMBER = 3;
export const TRUE = 4;
export const FALSE = 5;
export const NESTED = 6;

/** The fields of one row, by the index that the key has in the load; reused from row to row. */
export interface RowFields {
  readonly kinds: Uint8Array;
  /** Strings resolved; numbers and nested values as they are written, so that no digit is lost. */
  readonly texts: string[];
}

export class JsonLineError extends Error {
  override readonly name = 'JsonLineError';
}

const SPACE = /[ \t\r\n]*/y;
const NUMBER_TEXT = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;

function skipSpace(line: string, at: number): number {
  const code = line.charCodeAt(at);
  if (code > 32) return at;
  SPACE.lastIndex = at;
  SPACE.exec(line);
  return SPACE.lastIndex;
}

/** Index after the closing quote of the string that opens at `at`. */
function stringEnd(line: string, at: number): number {
  for (let i = at + 1; ; i++) {
    i = line.indexOf('"', i);
    if (i < 0) throw new JsonLineError('unterminated string');
    let slashes = 0;
    while (line.charCodeAt(i - 1 - slashes) === 92) slashes++;
    if (slashes % 2 === 0) return i + 1;
  }
}

function checkedParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new JsonLineError('malformed JSON', { cause });
  }
}

// Escapes and bare control characters go to JSON.parse, which resolves the first and refuses the second.
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\\\u0000-\u001F]/;

function stringAt(line: string, at: number, end: number): string {
  const inner = line.slice(at + 1, end - 1);
  return UNSAFE.test(inner) ? (checkedParse(line.slice(at, end)) as string) : inner;
}

/** Index after the object or array that opens at `at`. */
function nestedEnd(line: string, at: number): number {
  let depth = 0;
  for (let i = at; i < line.length; i++) {
    const code = line.charCodeAt(i);
    if (code === 34) i = stringEnd(line, i) - 1;
    else if (code === 123 || code === 91) depth++;
    else if ((code === 125 || code === 93) && --depth === 0) return i + 1;
  }
  throw new JsonLineError('unterminated value');
}

/**
 * Reads one line of a `read_json_by_line` body. Values are not turned into JavaScript numbers: a BIGINT or a DECIMAL
 * written as a JSON number keeps its digits until the column's type has looked at it.
 *
 * @throws JsonLineError for anything that is not one JSON object, and for a key given twice.
 */
export function readJsonLine(
  line: string,
  indexes: ReadonlyMap<string, number>,
  fields: RowFields,
): void {
  const { kinds, texts } = fields;
  kinds.fill(ABSENT);
  const seen = new Set<string>();
  let at = skipSpace(line, 0);
  if (line.charCodeAt(at) !== 123) throw new JsonLineError('not a JSON object');
  at = skipSpace(line, at + 1);
  if (line.charCodeAt(at) === 125) return assertEnd(line, at + 1);
  for (;;) {
    if (line.charCodeAt(at) !== 34) throw new JsonLineError('a key is expected');
    const keyEnd = stringEnd(line, at);
    const key = stringAt(line, at, keyEnd);
    if (seen.has(key)) throw new JsonLineError(`key ${key} twice`);
    seen.add(key);
    at = skipSpace(line, keyEnd);
    if (line.charCodeAt(at) !== 58) throw new JsonLineError("':' is expected");
    at = readValue(line, skipSpace(line, at + 1), indexes.get(key), kinds, texts);
    at = skipSpace(line, at);
    const code = line.charCodeAt(at);
    if (code === 125) return assertEnd(line, at + 1);
    if (code !== 44) throw new JsonLineError("',' or '}' is expected");
    at = skipSpace(line, at + 1);
  }
}

/** The items of a JSON array's text, in the form of a row's fields. @throws JsonLineError */
export function readJsonArray(text: string): { kind: number; text: string }[] {
  const items: { kind: number; text: string }[] = [];
  const [kinds, texts] = [new Uint8Array(1), ['']];
  let at = skipSpace(text, 0);
  if (text.charCodeAt(at) !== 91) throw new JsonLineError('not a JSON array');
  at = skipSpace(text, at + 1);
  if (text.charCodeAt(at) === 93) return items;
  for (;;) {
    at = skipSpace(text, readValue(text, at, 0, kinds, texts));
    items.push({ kind: kinds[0]!, text: texts[0]! });
    const code = text.charCodeAt(at);
    if (code === 93) return items;
    if (code !== 44) throw new JsonLineError("',' or ']' is expected");
    at = skipSpace(text, at + 1);
  }
}

/** Takes the white space out of valid JSON text, strings untouched and numbers as they are written. */
export function compactJson(text: string): string {
  return text.replaceAll(
    /("(?:[^"\\]|\\.)*")|\s+/g,
    (_match, string: string | undefined) => string ?? '',
  );
}

function assertEnd(line: string, at: number): void {
  if (skipSpace(line, at) < line.length) throw new JsonLineError('text after the object');
}

const LITERALS: readonly (readonly [string, number])[] = [
  ['null', NULL],
  ['true', TRUE],
  ['false', FALSE],
];

function readValue(
  line: string,
  at: number,
  index: number | undefined,
  kinds: Uint8Array,
  texts: string[],
): number {
  const code = line.charCodeAt(at);
  let [end, kind, text] = [at, ABSENT, ''];
  if (code === 34) {
    end = stringEnd(line, at);
    kind = STRING;
    text = stringAt(line, at, end);
  } else if (code === 123 || code === 91) {
    end = nestedEnd(line, at);
    kind = NESTED;
    text = line.slice(at, end);
    checkedParse(text);
  } else if (code === 45 || (code >= 48 && code <= 57)) {
    NUMBER_TEXT.lastIndex = at;
    text = NUMBER_TEXT.exec(line)?.[0] ?? '';
    if (text === '') throw new JsonLineError('malformed number');
    end = at + text.length;
    kind = NUMBER;
  } else {
    const literal = LITERALS.find(([word]) => line.startsWith(word, at));
    if (literal === undefined) throw new JsonLineError('a value is expected');
    end = at + literal[0].length;
    kind = literal[1];
  }
  if (index !== undefined) {
    kinds[index] = kind;
    texts[index] = text;
  }
  return end;
}
