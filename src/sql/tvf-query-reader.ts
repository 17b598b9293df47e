import type { Comparison, Condition, Literal, Operand, OutputColumn } from './tvf-query.ts';

/** A node of node-sql-parser's tree. Its own types describe it only in part; every field that is used is checked here. */
export interface SelectNode {
  readonly [field: string]: unknown;
}

/** The query is valid, perhaps, but not of the common shape. */
export class UnsupportedShape extends Error {}

interface ReadQuery {
  readonly columns: readonly OutputColumn[];
  readonly where?: Condition;
  readonly orderBy: readonly { readonly column: number; readonly descending: boolean }[];
  readonly limit?: Operand;
  readonly offset?: Operand;
}

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  '=': '=',
  '<>': '<>',
  '!=': '<>',
  '<': '<',
  '<=': '<=',
  '>': '>',
  '>=': '>=',
};

/**
 * Turns the parser's tree into a query. Closed world: a node with a field that is not known here and not
 * empty is refused, so that nothing of the query is dropped in silence.
 */
export class QueryReader {
  readonly #names: readonly string[];
  readonly #callName: string;
  readonly #literals: readonly Literal[];
  #alias: string | undefined;

  constructor(names: readonly string[], callName: string, literals: readonly Literal[]) {
    this.#names = names;
    this.#callName = callName;
    this.#literals = literals;
  }

  /** @throws UnsupportedShape */
  read(select: SelectNode): ReadQuery {
    const known = ['type', 'columns', 'from', 'where', 'orderby', 'limit', 'into'];
    expectFields(select, 'select', known);
    expectFields(nodeOf(select['into']), undefined, []);
    this.#readTable(listOf(select['from']));
    const columns = listOf(select['columns']).flatMap((node) => this.#output(node));
    const counts = columns.some((column) => column.source === 'count');
    const orderBy = listOf(select['orderby'] ?? []).map((node) => this.#order(node, columns));
    if (counts && (columns.some((column) => column.source !== 'count') || orderBy.length > 0)) {
      throw new UnsupportedShape();
    }
    return {
      columns,
      orderBy,
      ...(isEmpty(select['where']) ? {} : { where: this.#condition(nodeOf(select['where'])) }),
      ...(isEmpty(select['limit']) ? {} : this.#limit(nodeOf(select['limit']))),
    };
  }

  #readTable(tables: readonly SelectNode[]): void {
    const [table] = tables;
    if (table === undefined || tables.length !== 1) throw new UnsupportedShape();
    expectFields(table, undefined, ['table', 'as']);
    if (table['table'] !== this.#callName) throw new UnsupportedShape();
    this.#alias = typeof table['as'] === 'string' ? table['as'] : undefined;
  }

  #output(item: SelectNode): readonly OutputColumn[] {
    expectFields(item, undefined, ['expr', 'as', 'type']);
    if (!isEmpty(item['type']) && item['type'] !== 'expr') throw new UnsupportedShape();
    const expression = nodeOf(item['expr']);
    const alias = isEmpty(item['as']) ? undefined : textOf(item['as']);
    if (expression['type'] === 'aggr_func') {
      // Read even when its name is not needed: any other aggregate is another shape.
      const name = this.#count(expression);
      return [{ name: alias ?? name, source: 'count' }];
    }
    expectFields(expression, 'column_ref', ['table', 'column']);
    this.#expectQualifier(expression);
    if (expression['column'] === '*') {
      if (alias !== undefined) throw new UnsupportedShape();
      return this.#names.map((name, source) => ({ name, source }));
    }
    // Doris heads a column as the query spells it.
    const name = alias ?? textOf(expression['column']);
    return [{ name, source: this.#column(expression) }];
  }

  /** `COUNT(*)` or `COUNT(1)`; returns the name of its column. */
  #count(call: SelectNode): string {
    expectFields(call, 'aggr_func', ['name', 'args']);
    const args = nodeOf(call['args']);
    expectFields(args, undefined, ['expr']);
    const counted = nodeOf(args['expr']);
    if (textOf(call['name']).toUpperCase() !== 'COUNT') throw new UnsupportedShape();
    if (counted['type'] === 'star') return 'count(*)';
    const literal = this.#operand(counted);
    if (literal.kind !== 'number') throw new UnsupportedShape();
    return `count(${literal.value})`;
  }

  #condition(node: SelectNode): Condition {
    if (node['type'] === 'unary_expr') {
      expectFields(node, 'unary_expr', ['operator', 'expr']);
      if (node['operator'] !== 'NOT' && node['operator'] !== '!') throw new UnsupportedShape();
      return { kind: 'not', operand: this.#condition(nodeOf(node['expr'])) };
    }
    if (node['type'] === 'function') return this.#negated(node);
    expectFields(node, 'binary_expr', ['operator', 'left', 'right']);
    const [left, right] = [nodeOf(node['left']), nodeOf(node['right'])];
    const operator = textOf(node['operator']).toUpperCase();
    if (operator === 'AND' || operator === 'OR') return this.#alternatives(this.#chain(node));
    return this.#predicate(operator, this.#operand(left), right);
  }

  /**
   * The conditions and the words between them, in the order of the text. The parser's tree gives AND no
   * precedence over OR: `a OR b AND c` comes as `(a OR b) AND c`; only parentheses that were written are marked.
   */
  #chain(node: SelectNode): readonly (Condition | 'AND' | 'OR')[] {
    const operator = node['type'] === 'binary_expr' ? textOf(node['operator']).toUpperCase() : '';
    if (operator !== 'AND' && operator !== 'OR') return [this.#condition(node)];
    expectFields(node, 'binary_expr', ['operator', 'left', 'right']);
    const side = (child: SelectNode): readonly (Condition | 'AND' | 'OR')[] =>
      child['parentheses'] === true ? [this.#condition(child)] : this.#chain(child);
    return [...side(nodeOf(node['left'])), operator, ...side(nodeOf(node['right']))];
  }

  /** AND binds tighter than OR. */
  #alternatives(chain: readonly (Condition | 'AND' | 'OR')[]): Condition {
    let either: Condition | undefined;
    let both: Condition | undefined;
    for (const part of [...chain, 'OR' as const]) {
      if (part === 'OR' && both !== undefined) {
        either = either === undefined ? both : { kind: 'or', left: either, right: both };
        both = undefined;
      } else if (typeof part !== 'string') {
        both = both === undefined ? part : { kind: 'and', left: both, right: part };
      }
    }
    if (either === undefined) throw new UnsupportedShape();
    return either;
  }

  #predicate(operator: string, operand: Operand, right: SelectNode): Condition {
    const comparison = COMPARISONS[operator];
    if (comparison !== undefined) {
      return {
        kind: 'compare',
        operator: comparison,
        left: operand,
        right: this.#operand(right),
      };
    }
    const negated = /^(?:NOT .*|IS NOT)$/.test(operator);
    const positive = this.#positive(operator.replace(/ ?NOT ?/, ''), operand, right);
    return negated ? { kind: 'not', operand: positive } : positive;
  }

  #positive(operator: string, operand: Operand, right: SelectNode): Condition {
    switch (operator) {
      case 'LIKE':
        return { kind: 'like', operand, pattern: this.#operand(right) };
      case 'IN': {
        expectFields(right, 'expr_list', ['value']);
        const list = listOf(right['value']).map((item) => this.#operand(item));
        return { kind: 'in', operand, list };
      }
      case 'IS':
        expectFields(right, 'null', ['value']);
        return { kind: 'isNull', operand };
      default:
        throw new UnsupportedShape();
    }
  }

  /** `NOT (a AND b)` comes as a call of the function `not`. */
  #negated(node: SelectNode): Condition {
    expectFields(node, 'function', ['name', 'args']);
    const parts = listOf(nodeOf(node['name'])['name']);
    const args = nodeOf(node['args']);
    const [inner, more] = listOf(args['value']);
    const isNot = parts.length === 1 && textOf(parts[0]?.['value']).toUpperCase() === 'NOT';
    if (!isNot || inner === undefined || more !== undefined) throw new UnsupportedShape();
    return { kind: 'not', operand: this.#condition(inner) };
  }

  #operand(node: SelectNode): Operand {
    switch (node['type']) {
      case 'column_ref':
        expectFields(node, 'column_ref', ['table', 'column']);
        this.#expectQualifier(node);
        return { kind: 'column', column: this.#column(node) };
      case 'number':
        expectFields(node, 'number', ['value']);
        return this.#literal(Number(node['value']));
      case 'null':
        expectFields(node, 'null', ['value']);
        return { kind: 'null' };
      default:
        throw new UnsupportedShape();
    }
  }

  /** Every number in the text is a literal's place; a negative one has a sign before it. */
  #literal(place: number): Operand {
    const literal = this.#literals[Math.abs(place) - 1];
    if (literal === undefined) throw new UnsupportedShape();
    if (place > 0) return literal;
    if (literal.kind !== 'number') throw new UnsupportedShape();
    return { kind: 'number', value: -literal.value };
  }

  #order(
    item: SelectNode,
    output: readonly OutputColumn[],
  ): { readonly column: number; readonly descending: boolean } {
    expectFields(item, undefined, ['expr', 'type']);
    const descending = item['type'] === 'DESC';
    const expression = nodeOf(item['expr']);
    if (expression['type'] === 'column_ref' && isEmpty(expression['table'])) {
      expectFields(expression, 'column_ref', ['column']);
      const alias = textOf(expression['column']).toLowerCase();
      const named = output.filter((column) => column.name.toLowerCase() === alias);
      const [first] = named;
      if (typeof first?.source === 'number') {
        if (named.some((column) => column.source !== first.source)) throw new UnsupportedShape();
        return { column: first.source, descending };
      }
    }
    const operand = this.#operand(expression);
    if (operand.kind === 'column') return { column: operand.column, descending };
    const source = operand.kind === 'number' ? output[operand.value - 1]?.source : undefined;
    if (typeof source !== 'number') throw new UnsupportedShape();
    return { column: source, descending };
  }

  #limit(node: SelectNode): { limit: Operand; offset?: Operand } {
    expectFields(node, undefined, ['seperator', 'value']);
    const [first, second] = listOf(node['value']).map((item) => this.#rowCount(item));
    if (first === undefined) throw new UnsupportedShape();
    if (second === undefined) return { limit: first };
    return node['seperator'] === ','
      ? { limit: second, offset: first }
      : { limit: first, offset: second };
  }

  #rowCount(node: SelectNode): Operand {
    const operand = this.#operand(node);
    const isCount =
      operand.kind === 'parameter' ||
      (operand.kind === 'number' && Number.isSafeInteger(operand.value) && operand.value >= 0);
    if (!isCount) throw new UnsupportedShape();
    return operand;
  }

  #column(node: SelectNode): number {
    const wanted = textOf(node['column']).toLowerCase();
    const index = this.#names.findIndex((name) => name.toLowerCase() === wanted);
    if (index < 0) throw new UnsupportedShape();
    return index;
  }

  #expectQualifier(node: SelectNode): void {
    if (isEmpty(node['table'])) return;
    const written = node['table'];
    const qualifier = typeof written === 'string' ? written : nodeOf(written)['value'];
    if (this.#alias === undefined || qualifier !== this.#alias) throw new UnsupportedShape();
  }
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined;
}

/** Refuses a node of another type, or with a field that would be ignored. Parentheses are already in the tree's shape. */
function expectFields(node: SelectNode, type: string | undefined, known: readonly string[]): void {
  if (type !== undefined && node['type'] !== type) throw new UnsupportedShape();
  for (const [field, value] of Object.entries(node)) {
    const isKnown = field === 'parentheses' || field === 'type' || known.includes(field);
    if (!isKnown && !isEmpty(value)) throw new UnsupportedShape();
  }
}

function nodeOf(value: unknown): SelectNode {
  if (typeof value !== 'object' || value === null) throw new UnsupportedShape();
  return value as SelectNode;
}

function listOf(value: unknown): readonly SelectNode[] {
  if (!Array.isArray(value)) throw new UnsupportedShape();
  return value.map((item) => nodeOf(item));
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new UnsupportedShape();
  return value;
}
