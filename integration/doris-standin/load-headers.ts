import type { IncomingHttpHeaders } from 'node:http';
import { offsetMinutes } from './date-text.ts';
import type { LoadOptions } from './table-load.ts';

/** A load that ends with `Status: Fail`; the message is `[CODE]text` (doris-target.md §1.7). */
export class LoadFailure extends Error {
  override readonly name = 'LoadFailure';
}

export function failure(code: string, text: string): LoadFailure {
  return new LoadFailure(`[${code}]${text}`);
}

/** Headers that have nothing to do with the load. */
const TRANSPORT = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'transfer-encoding',
  'user-agent',
  'accept',
  'accept-encoding',
  'accept-language',
  'sec-fetch-mode',
  'authorization',
  'expect',
  'keep-alive',
]);

/** Headers that are read, or that have no effect on what the stand-in does. */
const MODELLED = new Set([
  'label',
  'format',
  'columns',
  'hidden_columns',
  'read_json_by_line',
  'strip_outer_array',
  'num_as_string',
  'fuzzy_parse',
  'max_filter_ratio',
  'strict_mode',
  'timezone',
  'time_zone',
  'timeout',
  'exec_mem_limit',
  'merge_type',
  'delete',
  'function_column.sequence_col',
  'partial_columns',
  'unique_key_update_mode',
  'partial_update_new_key_behavior',
  'two_phase_commit',
  'group_commit',
  'compress_type',
  'send_batch_parallelism',
  'comment',
  'enable_profile',
  'line_delimiter',
]);

export type Headers = (name: string) => string | undefined;

export function headerReader(headers: IncomingHttpHeaders): Headers {
  return (name) => {
    const value = headers[name];
    return Array.isArray(value) ? value.join(',') : value;
  };
}

const isTrue = (value: string | undefined): boolean => value?.toLowerCase() === 'true';

function refuseUnknown(headers: IncomingHttpHeaders): void {
  const unknown = Object.keys(headers).find((name) => !TRANSPORT.has(name) && !MODELLED.has(name));
  if (unknown !== undefined)
    throw failure('NOT_IMPLEMENTED_ERROR', `doris-standin does not model the header ${unknown}`);
}

/** Checks before the transaction begins: format, compression, framing, time-out (§1.4). @throws LoadFailure */
export function checkFraming(headers: IncomingHttpHeaders): { readonly gzip: boolean } {
  refuseUnknown(headers);
  const header = headerReader(headers);
  const groupCommit = header('group_commit');
  if (groupCommit !== undefined && groupCommit.toLowerCase() !== 'off_mode')
    throw failure('NOT_IMPLEMENTED_ERROR', 'doris-standin does not model group commit');
  const format = header('format') ?? 'csv';
  if (format.toLowerCase() !== 'json')
    throw failure('NOT_IMPLEMENTED_ERROR', `doris-standin does not model format=${format}`);
  const compression = header('compress_type');
  if (compression !== undefined && compression.toLowerCase() !== 'gz')
    throw failure(
      'NOT_IMPLEMENTED_ERROR',
      `doris-standin does not model compress_type=${compression}`,
    );
  const chunked = header('transfer-encoding')?.toLowerCase() === 'chunked';
  const length = header('content-length');
  if (length === undefined && !chunked)
    throw failure(
      'INVALID_ARGUMENT',
      'content_length is empty and transfer-encoding!=chunked, please set content_length or transfer-encoding=chunked',
    );
  if (length !== undefined && chunked)
    throw failure(
      'INVALID_ARGUMENT',
      'please do not set both content_length and transfer-encoding',
    );
  if (Number(length ?? 0) > 10_240 * 1024 * 1024)
    throw failure('EXCEEDED_LIMIT', 'body exceed max size: 10737418240, streaming_load_max_mb');
  checkTimeout(header('timeout'));
  return { gzip: compression !== undefined };
}

function checkTimeout(timeout: string | undefined): void {
  if (timeout === undefined) return;
  if (!/^-?\d+$/.test(timeout))
    throw failure('INVALID_ARGUMENT', `invalid timeout format, ${timeout}`);
  const seconds = Number(timeout);
  if (seconds < 1 || seconds > 259_200)
    throw failure(
      'ANALYSIS_ERROR',
      `TStatus: errCode = 2, detailMessage = Invalid timeout: ${seconds}. Timeout should between 1 and 259200 seconds`,
    );
}

/** The rest of the headers, looked at after the transaction began. @throws LoadFailure */
export function readLoadOptions(
  header: Headers,
  context: { readonly stringBytesMax: number; readonly pick: () => number },
): LoadOptions & { readonly filterRatioMax: number; readonly twoPhase: boolean } {
  checkUnmodelled(header);
  checkMerge(header);
  const strict = header('strict_mode');
  if (strict !== undefined && !/^(?:true|false)$/i.test(strict))
    throw failure('INVALID_ARGUMENT', 'Invalid strict mode format. Must be bool type');
  const columns = header('columns');
  const sequenceSource = header('function_column.sequence_col');
  return {
    strict: isTrue(strict),
    filterRatioMax: readRatio(header('max_filter_ratio')),
    // Lower case only (§1.10).
    twoPhase: header('two_phase_commit') === 'true',
    zoneMinutes: readZone(header('timezone') ?? header('time_zone')),
    stringBytesMax: context.stringBytesMax,
    pick: context.pick,
    ...(columns === undefined ? {} : { columns: names(columns) }),
    // `columns` wins: hidden columns are then named in it (§1.5).
    hiddenColumns: columns === undefined ? names(header('hidden_columns') ?? '') : [],
    ...(sequenceSource === undefined ? {} : { sequenceSource }),
    partial: readUpdateMode(header),
    newKeys: readNewKeys(header('partial_update_new_key_behavior')),
  };
}

function names(list: string): string[] {
  const parts = list
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  return parts.map((part) => {
    const name = /^(?:`([^`]+)`|([\w@$./ -]+))$/.exec(part);
    if (name === null)
      throw failure(
        'NOT_IMPLEMENTED_ERROR',
        `doris-standin does not model the column mapping ${part}`,
      );
    return name[1] ?? name[2]!;
  });
}

function readRatio(text: string | undefined): number {
  const ratio = Number(text ?? '0');
  if (!(ratio >= 0 && ratio <= 1))
    throw failure('INVALID_ARGUMENT', `max_filter_ratio must be between 0 and 1: ${text}`);
  return ratio;
}

function readZone(zone: string | undefined): number | undefined {
  if (zone === undefined) return undefined;
  const minutes = offsetMinutes(zone);
  if (minutes === undefined)
    throw failure(
      'NOT_IMPLEMENTED_ERROR',
      `doris-standin knows only offsets and UTC as timezone: ${zone}`,
    );
  return minutes;
}

function readUpdateMode(header: Headers): boolean {
  const mode = header('unique_key_update_mode')?.toUpperCase();
  if (mode === undefined && !isTrue(header('partial_columns'))) return false;
  if (mode === 'UPSERT') return false;
  if (mode !== undefined && mode !== 'UPDATE_FIXED_COLUMNS')
    throw failure(
      mode === 'UPDATE_FLEXIBLE_COLUMNS' ? 'NOT_IMPLEMENTED_ERROR' : 'INVALID_ARGUMENT',
      `Invalid unique_key_update_mode ${mode}, must be one of 'UPSERT', 'UPDATE_FIXED_COLUMNS' or 'UPDATE_FLEXIBLE_COLUMNS' (the last is not modelled)`,
    );
  if (header('columns') === undefined)
    throw failure(
      'NOT_IMPLEMENTED_ERROR',
      'doris-standin models a partial update only with the header columns',
    );
  return true;
}

function readNewKeys(text: string | undefined): 'APPEND' | 'ERROR' {
  const word = (text ?? 'APPEND').toUpperCase();
  if (word !== 'APPEND' && word !== 'ERROR')
    throw failure(
      'INVALID_ARGUMENT',
      `Invalid partial_update_new_key_behavior ${text}, must be one of 'APPEND' or 'ERROR'`,
    );
  return word;
}

function checkMerge(header: Headers): void {
  const type = (header('merge_type') ?? 'APPEND').toUpperCase();
  if (!['APPEND', 'DELETE', 'MERGE'].includes(type))
    throw failure('INVALID_ARGUMENT', `Invalid merge type ${type}`);
  if (type === 'MERGE' && header('delete') === undefined)
    throw failure('INVALID_ARGUMENT', 'Excepted DELETE ON clause when merge type is MERGE.');
  if (type !== 'MERGE' && header('delete') !== undefined)
    throw failure('INVALID_ARGUMENT', 'not support DELETE ON clause when merge type is not MERGE.');
  if (type !== 'APPEND')
    throw failure('NOT_IMPLEMENTED_ERROR', `doris-standin does not model merge_type=${type}`);
}

function checkUnmodelled(header: Headers): void {
  if (isTrue(header('strip_outer_array')) || !isTrue(header('read_json_by_line') ?? 'true'))
    throw failure('NOT_IMPLEMENTED_ERROR', 'doris-standin models only read_json_by_line=true');
  if (isTrue(header('num_as_string')))
    throw failure('NOT_IMPLEMENTED_ERROR', 'doris-standin does not model num_as_string');
  if (!['\n', '\\n', undefined].includes(header('line_delimiter')))
    throw failure('NOT_IMPLEMENTED_ERROR', 'doris-standin models only the line delimiter \\n');
}
