import type { TvfName } from './tvf-call.ts';

/** A value in a query: what it is when the query is executed. */
export type Operand =
  | { readonly kind: 'column'; readonly column: number }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'number'; readonly value: number }
  /** The n-th `?`, from 0. */
  | { readonly kind: 'parameter'; readonly index: number }
  | { readonly kind: 'null' };

export type Comparison = '=' | '<>' | '<' | '<=' | '>' | '>=';

export type Condition =
  | { readonly kind: 'and' | 'or'; readonly left: Condition; readonly right: Condition }
  | { readonly kind: 'not'; readonly operand: Condition }
  | {
      readonly kind: 'compare';
      readonly operator: Comparison;
      readonly left: Operand;
      readonly right: Operand;
    }
  | { readonly kind: 'like'; readonly operand: Operand; readonly pattern: Operand }
  | { readonly kind: 'in'; readonly operand: Operand; readonly list: readonly Operand[] }
  | { readonly kind: 'isNull'; readonly operand: Operand };

/** A column of the answer: a column of the table by its index, or the number of rows. */
export interface OutputColumn {
  readonly name: string;
  readonly source: number | 'count';
}

/** A query of the common shape: one call, no other table (job-sql.md §3.1). */
export interface TvfQuery {
  readonly table: TvfName;
  /** Either all are columns of the table, or all count rows. */
  readonly columns: readonly OutputColumn[];
  readonly where?: Condition;
  readonly orderBy: readonly { readonly column: number; readonly descending: boolean }[];
  readonly limit?: Operand;
  readonly offset?: Operand;
}

/** A literal or `?` of the text, in its order. */
export type Literal = Extract<Operand, { kind: 'string' | 'number' | 'parameter' }>;
