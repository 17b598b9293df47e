const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * JSON text of an hstore value (`"a"=>"1", "b"=>NULL`), as Doris' own jobs write it: `{"a":"1","b":null}`.
 * The server quotes every key and every value but NULL. Undefined when the text is not of that form.
 */
export function hstoreJson(b: Buffer, from: number, to: number): Buffer | undefined {
  const entries: string[] = [];
  let at = from;
  while (at < to) {
    const key = readQuoted(b, at, to);
    if (key === undefined || b.toString('latin1', key.next, key.next + 2) !== '=>')
      return undefined;
    at = key.next + 2;
    if (b[at] === QUOTE) {
      const value = readQuoted(b, at, to);
      if (value === undefined) return undefined;
      entries.push(`${JSON.stringify(key.text)}:${JSON.stringify(value.text)}`);
      at = value.next;
    } else {
      if (b.toString('latin1', at, at + 4) !== 'NULL') return undefined;
      entries.push(`${JSON.stringify(key.text)}:null`);
      at += 4;
    }
    if (at === to) break;
    if (b.toString('latin1', at, at + 2) !== ', ') return undefined;
    at += 2;
  }
  return Buffer.from(`{${entries.join(',')}}`);
}

function readQuoted(
  b: Buffer,
  from: number,
  to: number,
): { readonly text: string; readonly next: number } | undefined {
  if (b[from] !== QUOTE) return undefined;
  const bytes: number[] = [];
  for (let at = from + 1; at < to; at++) {
    if (b[at] === QUOTE) return { text: Buffer.from(bytes).toString('utf8'), next: at + 1 };
    if (b[at] === BACKSLASH) at++;
    bytes.push(b[at]!);
  }
  return undefined;
}
