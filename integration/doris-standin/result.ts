import type { ColumnType } from './column-type.ts';

export interface ResultColumn {
  readonly name: string;
  readonly type: ColumnType;
}

/** Values are text, as the text protocol shows them; the binary protocol is made from it. */
export type Row = readonly (string | null)[];

export type Result =
  | { readonly kind: 'ok'; readonly affectedRows: number; readonly info: string }
  | {
      readonly kind: 'rows';
      readonly columns: readonly ResultColumn[];
      readonly rows: Iterable<Row>;
    };

export const OK: Result = { kind: 'ok', affectedRows: 0, info: '' };

/** A result made by the FE: all columns VARCHAR (doris-target.md §4.4). */
export function textRows(names: readonly string[], rows: readonly Row[]): Result {
  const columns = names.map((name): ResultColumn => ({
    name,
    type: { name: 'VARCHAR', length: 65533 },
  }));
  return { kind: 'rows', columns, rows };
}

/** Whether `text` matches a LIKE pattern. */
export function isLike(text: string, pattern: string): boolean {
  const source = pattern.replaceAll(/\\?[\s\S]/g, (part) => {
    if (part === '%') return '[\\s\\S]*';
    if (part === '_') return '[\\s\\S]';
    return part.at(-1)!.replace(/[.*+?^${}()|[\]\\]/, '\\$&');
  });
  return new RegExp(`^${source}$`, 'i').test(text);
}

/** Column names out of one text. */
export function words(text: string): readonly string[] {
  return text.split(/\s+/);
}
