import { ProxyError } from '../model/error.ts';

/** A MySQL or MariaDB `COLUMN_TYPE`, taken apart. */
export interface MysqlType {
  /** Lower case, without length: `int`, `varchar`, `geometrycollection`. */
  readonly name: string;
  /** `(10,2)` of a decimal, `(6)` of a datetime; empty for enum and set. */
  readonly args: readonly number[];
  /** Of enum and set, in order. */
  readonly labels: readonly string[];
  readonly unsigned: boolean;
  /** Implies `unsigned`. The server pads the text of a SELECT with zeros; the value is the number. */
  readonly zerofill: boolean;
}

/** Names that are another name's type. */
const SYNONYMS: Readonly<Record<string, string>> = {
  integer: 'int',
  real: 'double',
  numeric: 'decimal',
  geomcollection: 'geometrycollection',
};

/**
 * Parses `COLUMN_TYPE` of `information_schema.columns`: `int(10) unsigned zerofill`, `enum('a','b''c')`.
 * Comments that MariaDB adds are dropped: they tell of storage (`COMPRESSED`, `mariadb-5.3`), which the log tells itself.
 *
 * @throws ProxyError SOURCE_TABLE when the text is no type.
 */
export function parseMysqlType(columnType: string): MysqlType {
  const match = /^\s*([a-z0-9_]+)\s*(.*)$/is.exec(columnType);
  if (match === null) throw notAType(columnType);
  const word = match[1]!.toLowerCase();
  const name = SYNONYMS[word] ?? word;
  const rest = match[2]!;
  if (name === 'enum' || name === 'set') {
    return {
      name,
      args: [],
      labels: parseLabels(rest, columnType),
      unsigned: false,
      zerofill: false,
    };
  }
  const plain = rest.replaceAll(/\/\*.*?\*\//gs, ' ').toLowerCase();
  const args = /^\s*\(([0-9,\s]*)\)/.exec(plain);
  const zerofill = /\bzerofill\b/.test(plain);
  return {
    name,
    args: args === null ? [] : args[1]!.split(',').map(Number),
    labels: [],
    unsigned: zerofill || /\bunsigned\b/.test(plain),
    zerofill,
  };
}

/** What the server writes behind a backslash in a label, whatever the SQL mode; another character stands for itself. */
const ESCAPES: Readonly<Record<string, string>> = { '0': '\0', n: '\n', r: '\r' };

function parseLabels(text: string, columnType: string): string[] {
  const labels: string[] = [];
  let at = text.indexOf('(') + 1;
  for (;;) {
    if (at === 0 || text[at] !== "'") throw notAType(columnType);
    let label = '';
    for (at++; ; at++) {
      const c = text[at];
      if (c === undefined) throw notAType(columnType);
      if (c === "'" && text[at + 1] !== "'") break;
      if (c === "'" || c === '\\') at++;
      const next = text[at] ?? '';
      label += c === '\\' ? (ESCAPES[next] ?? next) : c;
    }
    labels.push(label);
    at++;
    if (text[at] === ')') return labels;
    if (text[at] !== ',') throw notAType(columnType);
    at++;
  }
}

function notAType(columnType: string): ProxyError {
  return new ProxyError('SOURCE_TABLE', `Unsupported column type: ${columnType}`);
}
