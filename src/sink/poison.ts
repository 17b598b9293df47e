import { shorten, type LoadReply } from './load-reply.ts';
import type { LoadRequest } from './stream-load.ts';

/** The search is given up after this time, so that the job names its trouble within a minute. */
const SEARCH_MS = 35_000;

const NEWLINE = 0x0a;

/** A row that Doris refuses, or the smallest set of rows that is known to have one. */
export interface Poison {
  /** As it was sent: one JSON line without its end; with more than one suspect the first of them. */
  readonly row: string;
  readonly suspects: number;
  /** The refusal of the smallest set that was tried; undefined when no try came to an answer. */
  readonly reply: LoadReply | undefined;
}

/**
 * Finds a row that Doris refuses among those of `load` by halving. A half is sent as a probe, which Doris checks whole and then
 * forgets: nothing of it is ever in the table, so what a crash leaves behind says nothing about the load itself. When the
 * first half is sound the second one has the row, so the search sends little more than the load once more.
 *
 * @param probe sends rows that must not stay, under the label given.
 */
export async function findPoison(
  load: LoadRequest,
  probe: (request: LoadRequest) => Promise<LoadReply>,
  now: () => number = Date.now,
): Promise<Poison> {
  const whole = Buffer.concat(load.body);
  const ends = lineEnds(whole);
  const startOf = (row: number): number => (row === 0 ? 0 : ends[row - 1]!);
  const giveUpAt = now() + SEARCH_MS;
  let [from, to] = [0, ends.length];
  let reply: LoadReply | undefined;
  /** The row alone is sent as well: the words of a refusal are about some row of the set that was sent. */
  for (let n = 1, alone = false; !alone && now() < giveUpAt; n++) {
    alone = to - from === 1;
    const middle = alone ? to : from + ((to - from) >> 1);
    const body = whole.subarray(startOf(from), startOf(middle));
    const answer = await probe({
      ...load,
      label: `${load.label}_b${n}`,
      body: [body],
      bytes: body.length,
      rows: middle - from,
      maxFilterRatio: 0,
      probe: true,
    });
    if (answer.verdict === 'data') [to, reply] = [middle, answer];
    else if (answer.verdict === 'precommitted' && !alone) from = middle;
    else break;
  }
  const row = whole.toString('utf8', startOf(from), startOf(from + 1)).trimEnd();
  return { row, suspects: to - from, reply };
}

/** Offsets behind each newline. */
function lineEnds(whole: Buffer): readonly number[] {
  const ends: number[] = [];
  for (let at = whole.indexOf(NEWLINE); at !== -1; at = whole.indexOf(NEWLINE, at + 1)) {
    ends.push(at + 1);
  }
  return ends;
}

/**
 * `id = 7, name = "x"`: the key of a row as it was sent, values of more than `valueMax` characters cut. Undefined for a
 * text that is not such a row, or has lost a part of its key.
 */
export function keyText(row: string, key: readonly string[], valueMax: number): string | undefined {
  const fields = parseRow(row);
  if (fields === undefined || key.length === 0) return undefined;
  const parts: string[] = [];
  for (const name of key) {
    if (!Object.hasOwn(fields, name)) return undefined;
    const value = fields[name];
    const text = value instanceof Digits ? value.text : JSON.stringify(value);
    parts.push(`${name} = ${shorten(text, valueMax)}`);
  }
  return parts.join(', ');
}

/** A number as it is written: a double would round the larger keys. */
class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

function parseRow(row: string): Readonly<Record<string, unknown>> | undefined {
  // Numbers become objects that no row can hold otherwise: `{"": "123"}`.
  const marked = row.replaceAll(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) =>
    token.startsWith('"') ? token : `{"":"${token}"}`,
  );
  try {
    const value: unknown = JSON.parse(marked, (_, inner: unknown) => {
      const isMark = typeof inner === 'object' && inner !== null && '' in inner;
      return isMark ? new Digits(String(inner[''])) : inner;
    });
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
