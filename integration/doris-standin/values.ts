import { INTEGER_BITS, type ColumnType } from './column-type.ts';
import { NO_ZONE, parseDateTime, validDate } from './date-text.ts';
import {
  compactJson,
  FALSE,
  NESTED,
  NULL,
  NUMBER,
  readJsonArray,
  STRING,
  TRUE,
} from './json-line.ts';

/** A value that the column does not take. */
export class Rejected {
  readonly reason: string;
  /** True: the row is filtered even without `strict_mode` (too long); false: the value cannot be converted (§1.12). */
  readonly always: boolean;

  constructor(reason: string, always: boolean) {
    this.reason = reason;
    this.always = always;
  }
}

/** What goes into the staging table: a number for small integers and floats, text for all else. */
export type Staged = string | number | null;

export interface ConversionContext {
  /** Minutes east of UTC of the load's `timezone`; undefined when the load did not name one. */
  readonly zoneMinutes: number | undefined;
  readonly stringBytesMax: number;
}

export type Converter = (kind: number, text: string) => Staged | Rejected;

/** The staging type of a column's values. */
export function stageType({ name }: ColumnType): 'INTEGER' | 'DOUBLE' | 'VARCHAR' {
  if (name === 'FLOAT' || name === 'DOUBLE') return 'DOUBLE';
  return ['BOOLEAN', 'TINYINT', 'SMALLINT', 'INT'].includes(name) ? 'INTEGER' : 'VARCHAR';
}

/** The rule by which a column takes JSON values (doris-target.md §1.12, §1.13, §3.2). NULL never comes here. */
export function converterFor(type: ColumnType, context: ConversionContext): Converter {
  switch (type.name) {
    case 'BOOLEAN':
      return toBoolean;
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'LARGEINT':
      return integerConverter(type.name);
    case 'FLOAT':
    case 'DOUBLE':
      return floatConverter(type.name);
    case 'DECIMAL':
      return decimalConverter(type.precision, type.scale);
    case 'DATE':
      return (kind, text) =>
        kind === STRING && validDate(text) ? text : unconvertible('DATE', text);
    case 'DATETIME':
      return (kind, text) => {
        const parsed =
          kind === STRING ? parseDateTime(text, type.scale, context.zoneMinutes) : undefined;
        if (parsed === NO_ZONE)
          return new Rejected('doris-standin: an offset needs the header timezone', true);
        return parsed ?? unconvertible('DATETIME', text);
      };
    case 'CHAR':
    case 'VARCHAR':
      return textConverter(type.length);
    case 'STRING':
      return textConverter(context.stringBytesMax);
    case 'JSON':
    case 'VARIANT':
      return toJson;
    case 'ARRAY':
      return arrayConverter(converterFor(type.item, context), stageType(type.item) === 'VARCHAR');
    default:
      return type satisfies never;
  }
}

function unconvertible(type: string, text: string): Rejected {
  return new Rejected(`parse ${type} value failed: ${text.slice(0, 100)}`, false);
}

function toBoolean(kind: number, text: string): Staged | Rejected {
  if (kind === TRUE) return 1;
  if (kind === FALSE) return 0;
  if (kind === NUMBER || kind === STRING) {
    if (text === '1' || text === 'true') return 1;
    if (text === '0' || text === 'false') return 0;
  }
  return unconvertible('BOOLEAN', text);
}

function integerConverter(name: string): Converter {
  const bits = INTEGER_BITS[name]!;
  const max = 2n ** BigInt(bits - 1) - 1n;
  const wide = bits > 32;
  return (kind, text) => {
    if (kind === TRUE) return wide ? '1' : 1;
    if (kind === FALSE) return wide ? '0' : 0;
    if ((kind !== NUMBER && kind !== STRING) || !/^[-+]?\d+$/.test(text))
      return unconvertible(name, text);
    if (!wide) {
      const value = Number(text);
      if (value > Number(max) || value < -Number(max) - 1) return unconvertible(name, text);
      return value;
    }
    const digits = text.startsWith('+') ? text.slice(1) : text;
    if (digits.length < 18) return digits;
    const value = BigInt(digits);
    return value > max || value < -max - 1n ? unconvertible(name, text) : digits;
  };
}

const FLOAT_TEXT = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/;
const SPECIAL: Readonly<Record<string, number>> = {
  nan: NaN,
  inf: Infinity,
  '-inf': -Infinity,
  infinity: Infinity,
  '-infinity': -Infinity,
};

function floatConverter(name: 'FLOAT' | 'DOUBLE'): Converter {
  return (kind, text) => {
    if (kind === STRING && SPECIAL[text.toLowerCase()] !== undefined)
      return SPECIAL[text.toLowerCase()]!;
    if ((kind !== NUMBER && kind !== STRING) || !FLOAT_TEXT.test(text))
      return unconvertible(name, text);
    const value = Number(text);
    const stored = name === 'FLOAT' ? Math.fround(value) : value;
    return Number.isFinite(stored) ? stored : unconvertible(name, text);
  };
}

const DECIMAL_TEXT = /^([-+]?)(\d*)(?:\.(\d*))?$/;

function decimalConverter(precision: number, scale: number): Converter {
  return (kind, text) => {
    if (kind !== NUMBER && kind !== STRING) return unconvertible('DECIMAL', text);
    // A JSON number passes through a double (§1.13), so a writer that does not quote its decimals loses digits here too.
    const exact = kind === NUMBER ? Number(text).toFixed(scale) : text;
    const parts = DECIMAL_TEXT.exec(exact);
    if (parts === null) return unconvertible('DECIMAL', text);
    const [, sign = '', whole = '', fraction = ''] = parts;
    if (whole === '' && fraction === '') return unconvertible('DECIMAL', text);
    const kept = whole + fraction.slice(0, scale).padEnd(scale, '0');
    let unscaled = BigInt(kept === '' ? '0' : kept);
    if ((fraction[scale] ?? '0') >= '5') unscaled += 1n;
    const digits = unscaled.toString();
    if (digits.length > precision) return unconvertible(`DECIMAL(${precision},${scale})`, text);
    const padded = digits.padStart(scale + 1, '0');
    const minus = sign === '-' ? '-' : '';
    return scale === 0
      ? minus + padded
      : `${minus}${padded.slice(0, -scale)}.${padded.slice(-scale)}`;
  };
}

function textConverter(bytesMax: number): Converter {
  return (kind, text) => {
    if (kind === TRUE || kind === FALSE)
      return new Rejected('doris-standin does not model a JSON boolean in a text column', true);
    const value = kind === NESTED ? compactJson(text) : text;
    // A UTF-16 unit takes at most 3 bytes in UTF-8: most values need no count.
    if (value.length * 3 > bytesMax && Buffer.byteLength(value) > bytesMax)
      return new Rejected(
        `the length of input is too long than schema. input str: [${value.slice(0, 32)}] schema length: ${bytesMax}; actual length: ${Buffer.byteLength(value)}`,
        true,
      );
    return value;
  };
}

function toJson(kind: number, text: string): Staged | Rejected {
  if (kind === TRUE) return 'true';
  if (kind === FALSE) return 'false';
  if (kind === STRING) {
    try {
      JSON.parse(text);
    } catch {
      return unconvertible('JSON', text);
    }
  }
  return compactJson(text);
}

function arrayConverter(item: Converter, quoted: boolean): Converter {
  return (kind, text) => {
    if (kind !== NESTED && kind !== STRING) return unconvertible('ARRAY', text);
    const shown: string[] = [];
    try {
      for (const element of readJsonArray(text)) {
        const value = element.kind === NULL ? null : item(element.kind, element.text);
        if (value instanceof Rejected) return value;
        const plain = !quoted || element.kind === NUMBER;
        shown.push(value === null ? 'null' : plain ? String(value) : JSON.stringify(value));
      }
    } catch {
      return unconvertible('ARRAY', text);
    }
    return `[${shown.join(', ')}]`;
  };
}
