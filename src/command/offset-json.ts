import { isDeepStrictEqual } from 'node:util';
import { ProxyError } from '../model/error.ts';
import type { SnapshotSplit, SourceType, Task } from '../model/job.ts';
import type { MysqlPosition, Position, PostgresPosition } from '../model/offset.ts';
import { javaMapOrder, type Entry } from './java-map.ts';

/** Doris' `splitId` of everything that comes after the snapshot. */
const STREAM_SPLIT: Entry<string> = ['splitId', 'binlog-split'];
/** How Debezium writes a time that it does not know: `Long.MIN_VALUE`. */
const UNKNOWN_TIME = '-9223372036854775808';

/**
 * `CurrentOffset` of a job that follows the log (job-sql.md §3.5).
 *
 * @param given the offset of a statement: where the job is still there, it is shown as it was given (job-sql.md §6).
 */
export function currentOffsetJson(position: Position, given?: string): string {
  const map = given === undefined ? undefined : parseFlatMap(given);
  const isGiven = map !== undefined && isDeepStrictEqual(position, positionOf(position.kind, map));
  // `splitId` and `row` share a bucket: here Doris has put the first one in first, in a startOffset the other.
  return javaMapJson([STREAM_SPLIT, ...(isGiven ? map : positionEntries(position))]);
}

/** `EndOffset`: what a query to the server says, so without a time and without the server that wrote the last event. */
export function endOffsetJson(position: Position): string {
  if (position.kind === 'postgres') {
    return javaMapJson(
      Object.entries({ lsn: position.lsn, txId: position.txId, ts_usec: UNKNOWN_TIME }),
    );
  }
  const { serverId: _none, tsSec: _unknown, ...rest } = position;
  return javaMapJson(mysqlEntries({ ...rest, serverId: '', tsSec: 0 }, true));
}

/**
 * A list of snapshot splits: `CurrentOffset` during the snapshot, and `RunningOffset` of its tasks. Their fields have a fixed
 * order; the watermark is shown once they are loaded.
 */
export function splitsJson(splits: readonly SnapshotSplit[], loaded = true): string {
  const entries = splits.map((split) => {
    const { tableId, splitKey, splitId, highWatermark } = split;
    const table = JSON.stringify({ tableId, splitKey }).slice(0, -1);
    const range = table + boundJson('splitStart', split) + boundJson('splitEnd', split);
    const mark =
      loaded && highWatermark !== undefined
        ? `,"highWatermark":${endOffsetJson(highWatermark)}`
        : '';
    return `${escapeHtml(range)}${mark},"splitId":${escapeHtml(JSON.stringify(splitId))}}`;
  });
  return `[${entries.join(',')}]`;
}

/** A bound of a range, of which there is none at the table's ends. */
function boundJson(bound: 'splitStart' | 'splitEnd', split: SnapshotSplit): string {
  const values = split[bound]?.map((value, i) => {
    const isNumber = split.numericKey?.[i] === true && JSON_NUMBER.test(value);
    // As it is: a JSON number of JavaScript's would lose digits.
    return isNumber ? value : JSON.stringify(value);
  });
  return values === undefined ? '' : `,"${bound}":[${values.join(',')}]`;
}

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;

/** `RunningOffset` of a task that has started (job-sql.md §3.6). The end is shown once it is reached. */
export function runningOffsetJson(task: Pick<Task, 'range' | 'status'>): string {
  const { range } = task;
  if (range.kind === 'snapshot') return splitsJson(range.splits, task.status === 'SUCCESS');
  const start = javaMapJson([...positionEntries(range.from), STREAM_SPLIT]);
  const entries: Entry<string>[] = [
    ['startOffset', start],
    [STREAM_SPLIT[0], JSON.stringify(STREAM_SPLIT[1])],
  ];
  if (range.to !== undefined && task.status === 'SUCCESS') {
    entries.push(['endOffset', javaMapJson(positionEntries(range.to))]);
  }
  return objectJson(javaMapOrder(entries));
}

function positionEntries(position: Position): readonly Entry<string>[] {
  return position.kind === 'mysql' ? mysqlEntries(position, false) : postgresEntries(position);
}

/**
 * `pos` is the start of a transaction, `event` counts its row events that were loaded, and `row` the rows of the event
 * after them: we never stop inside an event.
 */
function mysqlEntries(position: MysqlPosition, always: boolean): readonly Entry<string>[] {
  const entries: Entry<string>[] = [
    ['ts_sec', String(position.tsSec)],
    ['file', position.file],
    ['pos', String(position.pos)],
    ['kind', 'SPECIFIC'],
  ];
  if (always || position.gtids !== '') entries.push(['gtids', position.gtids]);
  entries.push(['row', '0'], ['event', String(position.event)]);
  if (position.serverId !== '') entries.push(['server_id', position.serverId]);
  return entries;
}

/** Our position is the end of a commit, so the last commit and the last change that was read end there too. */
function postgresEntries(position: PostgresPosition): readonly Entry<string>[] {
  return Object.entries({
    lsn_proc: position.lsn,
    lsn_commit: position.lsn,
    lsn: position.lsn,
    txId: position.txId,
    ts_usec: position.tsUsec === '0' ? UNKNOWN_TIME : position.tsUsec,
  });
}

function javaMapJson(entries: readonly Entry<string>[]): string {
  const written = entries.map(([key, value]) => [key, JSON.stringify(value)] as const);
  return escapeHtml(objectJson(javaMapOrder(written)));
}

/** Values are JSON already. */
function objectJson(entries: readonly Entry<string>[]): string {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`;
}

/** Gson, as Doris uses it for offsets, escapes what HTML could take for its own. */
function escapeHtml(json: string): string {
  return json.replaceAll(
    /[<>&='\u2028\u2029]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * The position that an offset names: `{"file":"binlog.000001","pos":"154"}`, `{"gtids":"<set>"}`, or `{"lsn":"12345678"}`.
 * Whether the server still has it shows when the job reads.
 *
 * @throws ProxyError STATEMENT (job-sql.md §6)
 */
export function parseOffsetJson(type: SourceType, text: string): Position {
  const map = parseFlatMap(text);
  const position = map && positionOf(type === 'POSTGRES' ? 'postgres' : 'mysql', map);
  if (position !== undefined) return position;
  throw new ProxyError('STATEMENT', `Invalid format for offset: ${text}`);
}

function positionOf(
  kind: Position['kind'],
  map: ReadonlyMap<string, string>,
): Position | undefined {
  if (kind === 'postgres') {
    const lsn = map.get('lsn') ?? '';
    if (!/^\d{1,20}$/.test(lsn)) return undefined;
    return { kind, lsn, event: 0, txId: map.get('txId') ?? '', tsUsec: '0' };
  }
  const file = map.get('file') ?? '';
  const gtids = map.get('gtids') ?? '';
  // 4 is the first event of every binlog file.
  const pos = Number(map.get('pos') ?? (file === '' ? 4 : Number.NaN));
  if ((file === '' && gtids === '') || !Number.isSafeInteger(pos) || pos < 4) return undefined;
  return {
    kind,
    file,
    pos,
    gtids,
    event: 0,
    serverId: '',
    serverUuid: '',
    tsSec: 0,
  };
}

/** A JSON object whose values are strings or numbers; undefined for anything else. */
function parseFlatMap(text: string): ReadonlyMap<string, string> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  const map = new Map<string, string>();
  for (const [key, value] of Object.entries(parsed)) {
    if (typeof value !== 'string' && typeof value !== 'number') return undefined;
    map.set(key, String(value));
  }
  return map;
}
