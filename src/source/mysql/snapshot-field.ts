import { type TimeZone, UTC } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { ColumnSpec } from '../../model/table.ts';
import { type MysqlType, parseMysqlType } from '../../typemap/mysql-type.ts';
import { isUtf8, textWriter } from './charset.ts';
import type { Unheld } from './temporal.ts';
import {
  dateTextPut,
  momentTextPut,
  putBigintText,
  putFloatText,
  putNumberText,
  putPaddedNumber,
  putQuotedPadded,
  putQuotedText,
  type TextPut,
} from './text-values.ts';
import {
  bitWriter,
  geometryWriter,
  writeBase64,
  writeVector,
  type WriteValue,
} from './value-writer.ts';

/** How a column is selected, and how the text of its values becomes JSON. */
export type SnapshotField = { readonly expression: string } & (
  | { readonly kind: 'put'; readonly put: TextPut }
  /** UTF-8 text: generated code writes it itself. */
  | { readonly kind: 'utf8' }
  | { readonly kind: 'write'; readonly write: WriteValue }
);

interface Context {
  readonly type: MysqlType;
  readonly column: ColumnSpec;
  /** The column's name in backticks. */
  readonly name: string;
  readonly unheld: Unheld;
  readonly zone: TimeZone;
}

type MakeField = (context: Context) => SnapshotField;

/** @throws ProxyError SOURCE_TABLE for a type or character set that is not known. */
export function snapshotField(column: ColumnSpec, unheld: Unheld, zone: TimeZone): SnapshotField {
  const type = parseMysqlType(column.sourceType);
  const make = Object.hasOwn(FIELDS, type.name) ? FIELDS[type.name] : undefined;
  if (make === undefined) {
    throw new ProxyError('SOURCE_TABLE', `Unsupported column type: ${column.sourceType}`);
  }
  return make({ type, column, unheld, zone, name: `\`${column.name.replaceAll('`', '``')}\`` });
}

function put(expression: string, how: TextPut): SnapshotField {
  return { kind: 'put', expression, put: how };
}

const integer: MakeField = ({ type, name }) =>
  put(name, type.zerofill ? putPaddedNumber : putNumberText);

const bigint: MakeField = ({ type, name }) => {
  if (type.zerofill) return put(name, putQuotedPadded);
  return put(name, type.unsigned ? putQuotedText : putBigintText);
};

/** In a key a number is text (mysql-to-doris.ts), so it gets quotes. */
function quotedInKey(column: ColumnSpec, how: TextPut): TextPut {
  if (/^(FLOAT|DOUBLE)$/.test(column.dorisType)) return how;
  return (b, at, source, start, end) => {
    b[at] = 0x22;
    const p = how(b, at + 1, source, start, end);
    b[p] = 0x22;
    return p + 1;
  };
}

/** The text of `f` has six digits; the sum with a double has all of them (libraries.md, rule 5). */
const float: MakeField = ({ column, name }) =>
  put(`${name} + 0e0`, quotedInKey(column, putFloatText));

/** DOUBLE(M,D) is printed with D places; the sum is printed as the double that it is. */
const double: MakeField = ({ type, column, name }) =>
  put(type.args.length > 0 ? `${name} + 0e0` : name, quotedInKey(column, putNumberText));

const decimal: MakeField = ({ type, name }) =>
  put(name, type.zerofill ? putQuotedPadded : putQuotedText);

const dateOrDatetime: MakeField = ({ name, unheld }) => put(name, dateTextPut(unheld));

/** The session is in UTC whatever the job's zone is: of a repeated hour the server's own text would not tell which it was. */
const timestamp: MakeField = ({ type, name, unheld, zone }) =>
  put(name, zone === UTC ? dateTextPut(unheld) : momentTextPut(type.args[0] ?? 0, unheld, zone));

const serverText: MakeField = ({ name }) => put(name, putQuotedText);

/**
 * Text of other character sets comes as its stored bytes, so that both roads transcode it with the same tables;
 * the server's own differ in places (charset.ts).
 */
const text: MakeField = ({ column, name }) => {
  const charset = column.charset ?? '';
  if (isUtf8(charset)) return { kind: 'utf8', expression: name };
  return {
    kind: 'write',
    expression: `CAST(${name} AS BINARY)`,
    write: textWriter(charset),
  };
};

/** Labels and JSON: the server sends them as utf8mb4 whatever the column says. */
const utf8: MakeField = ({ name }) => ({ kind: 'utf8', expression: name });

/** Binary values come as they are, whatever `character_set_results` says. */
const bytes =
  (make: (type: MysqlType) => WriteValue): MakeField =>
  ({ type, name }) => ({ kind: 'write', expression: name, write: make(type) });

const base64 = bytes(() => writeBase64);
const geometry = bytes(() => geometryWriter());

const FIELDS: Readonly<Record<string, MakeField>> = {
  tinyint: integer,
  smallint: integer,
  mediumint: integer,
  int: integer,
  bigint,
  float,
  double,
  decimal,
  bit: bytes((type) => bitWriter(type.args[0] ?? 1)),
  year: ({ name }) => put(name, putPaddedNumber),
  date: dateOrDatetime,
  datetime: dateOrDatetime,
  timestamp,
  time: serverText,
  char: text,
  varchar: text,
  tinytext: text,
  text,
  mediumtext: text,
  longtext: text,
  binary: base64,
  varbinary: base64,
  tinyblob: base64,
  blob: base64,
  mediumblob: base64,
  longblob: base64,
  enum: utf8,
  set: utf8,
  json: utf8,
  geometry,
  point: geometry,
  linestring: geometry,
  polygon: geometry,
  multipoint: geometry,
  multilinestring: geometry,
  multipolygon: geometry,
  geometrycollection: geometry,
  vector: bytes(() => writeVector),
  uuid: serverText,
  inet4: serverText,
  inet6: serverText,
};
