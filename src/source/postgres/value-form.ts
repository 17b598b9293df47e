import type { ColumnSpec } from '../../model/table.ts';
import { OID } from '../../typemap/postgres-to-doris.ts';

/** How the server's text of a value becomes JSON. One digit, because it is looked at for every value. */
export const FORM = {
  /** JSON string of the text. */
  TEXT: 0,
  /** JSON number in the server's digits: at most 32 bits, so no reader's double can harm it. */
  NUMBER: 1,
  /** Digits as a JSON string: Doris casts, and no double is in between (cdc-semantics.md §1.7). */
  DIGITS: 2,
  /** A JSON number, or the server's `NaN`, `Infinity` as a string. */
  FLOAT: 3,
  /** As DIGITS, but NaN and infinities are refused. */
  DECIMAL: 4,
  BOOLEAN: 5,
  /** `bit(1)`. */
  BIT: 6,
  DATE: 7,
  DATETIME: 8,
  /** An instant, printed in the session's zone: the offset is dropped. */
  INSTANT: 9,
  /** `\x…` to base64. */
  BYTES: 10,
  ARRAY: 11,
  HSTORE: 12,
} as const;

/** One of {@link FORM}. */
export type Form = number;

export interface ArrayForm {
  readonly element: Form;
  readonly depth: number;
  /** `;` for box, `,` for all others. */
  readonly delimiter: number;
}

const OID_BOX_ARRAY = 1020;
const OID_BYTEA_ARRAY = 1001;
/** Element type by array type, where the element's JSON is not simply its text. */
const ELEMENTS: ReadonlyMap<number, number> = new Map([
  [1000, OID.bool],
  [OID_BYTEA_ARRAY, OID.bytea],
  [1005, OID.int2],
  [1007, OID.int4],
  [1016, OID.int8],
  [1021, OID.float4],
  [1022, OID.float8],
  [1028, OID.oid],
  [1115, OID.timestamp],
  [1182, OID.date],
  [1185, OID.timestamptz],
  [1231, OID.numeric],
  [1561, OID.bit],
]);

/**
 * The form follows the Doris type first: a target column that is STRING takes
 * whatever the source holds, `infinity` included, as the server's text.
 */
export function columnForm(column: ColumnSpec): Form {
  if (column.dorisType.startsWith('ARRAY<')) return FORM.ARRAY;
  if (/(?:^|\.)hstore$/.test(column.sourceType)) return FORM.HSTORE;
  return scalarForm(column.typeOid ?? 0, column.dorisType);
}

export function arrayForm(column: ColumnSpec): ArrayForm {
  const depth = column.dorisType.split('ARRAY<').length - 1;
  const inner = column.dorisType.slice(6 * depth, column.dorisType.length - depth);
  const oid = column.typeOid ?? 0;
  return {
    element: scalarForm(ELEMENTS.get(oid) ?? 0, inner),
    depth,
    delimiter: oid === OID_BOX_ARRAY ? 0x3b : 0x2c,
  };
}

function scalarForm(oid: number, dorisType: string): Form {
  if (oid === OID.bytea) return FORM.BYTES;
  switch (dorisType.replace(/\(.*/, '')) {
    case 'BOOLEAN':
      return oid === OID.bit ? FORM.BIT : FORM.BOOLEAN;
    case 'SMALLINT':
    case 'INT':
      return FORM.NUMBER;
    case 'BIGINT':
      return FORM.DIGITS;
    case 'FLOAT':
    case 'DOUBLE':
      return FORM.FLOAT;
    case 'DECIMAL':
      return FORM.DECIMAL;
    case 'DATE':
      return FORM.DATE;
    case 'DATETIME':
      return oid === OID.timestamptz ? FORM.INSTANT : FORM.DATETIME;
    default:
      return FORM.TEXT;
  }
}

/**
 * What a row that deletes a key carries in a NOT NULL column: Doris filters rows with NULL there,
 * delete sign or not (doris-target.md §1.12), and the log of a DELETE may hold the key only. Nobody ever reads it.
 */
export function deletedValue(column: ColumnSpec): string {
  if (column.nullable) return 'null';
  if (column.dorisType.startsWith('ARRAY<')) return '[]';
  switch (column.dorisType.replace(/\(.*/, '')) {
    case 'BOOLEAN':
      return 'false';
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'FLOAT':
    case 'DOUBLE':
    case 'DECIMAL':
      return '0';
    case 'DATE':
      return '"1970-01-01"';
    case 'DATETIME':
      return '"1970-01-01 00:00:00"';
    default:
      return '""';
  }
}
