import type { JsonWriter } from '../../encode/json-writer.ts';
import { ProxyError } from '../../model/error.ts';
import type { ArrayForm } from './value-form.ts';

const OPEN = 0x7b;
const CLOSE = 0x7d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const EQUALS = 0x3d;
const BRACKET = 0x5b;
const BRACKET_CLOSE = 0x5d;
const COMMA = 0x2c;
/** What the walk has just passed, besides OPEN and COMMA. */
const START = 0;
const VALUE = 1;

/**
 * Writes one element whose text is `b[from..to)`. Called with `-1 - start` of the whole literal
 * as `from` when its dimensions are not the declared ones.
 */
export type ElementWriter = (out: JsonWriter, b: Buffer, from: number, to: number) => void;

let scratch = Buffer.alloc(4096);

/**
 * Writes an array literal (PostgreSQL manual §8.15.6, "Array Input and Output Syntax") as a JSON array: `{1,NULL,3}`,
 * `{{a,"b,c"},{NULL,"q\"x"}}`. Lower bounds other than 1 (`[0:1]={…}`) have no counterpart in Doris and are left out.
 *
 * Postgres lets a column declared `int[]` hold `{{1,2}}`; Doris' ARRAY<INT> does not, so another depth is
 * the element writer's to refuse. The empty array has no dimensions and fits everywhere.
 */
export function writeArray(
  out: JsonWriter,
  form: ArrayForm,
  b: Buffer,
  from: number,
  to: number,
  element: ElementWriter,
): void {
  let at = from;
  if (b[at] === BRACKET) {
    at = b.indexOf(EQUALS, at) + 1;
    if (at === 0 || at > to) throw broken();
  }
  let depth = 0;
  let after = START;
  while (at < to && !(after === VALUE && depth === 0)) {
    const c = b[at]!;
    if (c === OPEN) {
      if (after === VALUE) throw broken();
      if (++depth > form.depth) element(out, b, -1 - from, to);
      out.byte(BRACKET);
      at++;
      after = OPEN;
    } else if (c === CLOSE) {
      if (after !== OPEN && after !== VALUE) throw broken();
      depth--;
      out.byte(BRACKET_CLOSE);
      at++;
      after = VALUE;
    } else if (c === form.delimiter) {
      if (after !== VALUE) throw broken();
      out.byte(COMMA);
      at++;
      after = COMMA;
    } else {
      if (after !== OPEN && after !== COMMA) throw broken();
      if (depth !== form.depth) element(out, b, -1 - from, to);
      at = c === QUOTE ? quoted(out, b, at, to, element) : bare(out, form, b, at, to, element);
      after = VALUE;
    }
  }
  if (depth !== 0 || after !== VALUE || at !== to) throw broken();
}

/** An element in quotes, in which a backslash makes the next byte stand for itself. */
function quoted(
  out: JsonWriter,
  b: Buffer,
  from: number,
  to: number,
  element: ElementWriter,
): number {
  let at = from + 1;
  while (at < to && b[at] !== QUOTE && b[at] !== BACKSLASH) at++;
  if (b[at] === QUOTE && at < to) {
    element(out, b, from + 1, at);
    return at + 1;
  }
  if (scratch.length < to - from) scratch = Buffer.allocUnsafe(2 * (to - from));
  let length = b.copy(scratch, 0, from + 1, at);
  for (; at < to && b[at] !== QUOTE; at++) {
    if (b[at] === BACKSLASH) at++;
    scratch[length++] = b[at]!;
  }
  if (at >= to) throw broken();
  element(out, scratch, 0, length);
  return at + 1;
}

/** An element without quotes; only here NULL means null. */
function bare(
  out: JsonWriter,
  form: ArrayForm,
  b: Buffer,
  from: number,
  to: number,
  element: ElementWriter,
): number {
  let at = from;
  while (at < to && b[at] !== form.delimiter && b[at] !== CLOSE) at++;
  if (at - from === 4 && b.toString('latin1', from, at).toUpperCase() === 'NULL') out.null();
  else element(out, b, from, at);
  return at;
}

function broken(): ProxyError {
  return new ProxyError('UNDECODABLE', 'Postgres printed an array that does not parse');
}
