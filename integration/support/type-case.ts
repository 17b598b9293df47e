/** A column type, and values of it: the SQL literal, and the JSON that both roads must write. */
export interface TypeCase {
  readonly type: string;
  readonly values: readonly (readonly [literal: string, json: string])[];
  /** Statements around the table's life. */
  readonly before?: readonly string[];
  readonly after?: readonly string[];
}

export const NULL = ['NULL', 'null'] as const;

/** Values whose JSON is what stands here between quotes. */
export const texts = (...values: readonly string[]): [string, string][] =>
  values.map((value) => [`'${value}'`, `"${value}"`]);

export const numbers = (...values: readonly (string | number)[]): [string, string][] =>
  values.map((value) => [String(value), String(value)]);

export const zeroDates = (...values: readonly string[]): [string, string][] =>
  values.map((value) => [`'${value}'`, 'null']);

export const literal = (text: string): string =>
  `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
