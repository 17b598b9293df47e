import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  classifyFailure,
  firstRefusal,
  parseFrontendRefusal,
  parseLabelState,
  parseLoadReply,
} from '../../src/sink/load-reply.ts';

/** An answer in the shape that a BE of Doris 4 prints it (doris-target.md §1.6). */
function answer(fields: Record<string, unknown>): string {
  const full = {
    TxnId: 18055,
    Label: 'job_1',
    Comment: '',
    TwoPhaseCommit: 'false',
    Status: 'Success',
    Message: 'OK',
    NumberTotalRows: 3,
    NumberLoadedRows: 2,
    NumberFilteredRows: 1,
    NumberUnselectedRows: 0,
    LoadBytes: 120,
    LoadTimeMs: 30,
    ...fields,
  };
  return `${JSON.stringify(full, undefined, 4)}\n`;
}

describe('a BE says', () => {
  test.each([
    [{}, 'visible'],
    [{ Status: 'Publish Timeout' }, 'committed'],
    [{ Status: 'Label Already Exists', ExistingJobStatus: 'FINISHED' }, 'exists-finished'],
    [{ Status: 'Label Already Exists', ExistingJobStatus: 'RUNNING' }, 'exists-running'],
    [{ Status: 'Label Already Exists', ExistingJobStatus: 'PRECOMMITTED' }, 'exists-precommitted'],
    [{ Status: 'Label Already Exists' }, 'exists-running'],
    [{ TwoPhaseCommit: 'true' }, 'precommitted'],
    [{ Status: 'Fail', Message: '[DATA_QUALITY_ERROR]too many filtered rows' }, 'data'],
    [{ Status: 'Fail', Message: '[INTERNAL_ERROR]tablet error: -235' }, 'busy'],
    [{ Status: 'Something New', Message: 'what' }, 'unknown'],
  ])('%j: %s', (fields, verdict) => {
    expect(parseLoadReply(200, answer(fields)).verdict).toBe(verdict);
  });

  test('how many rows there were, and where the refused ones are', () => {
    const reply = parseLoadReply(
      200,
      answer({ ErrorURL: 'http://be:8040/api/_load_error_log?file=x', FirstErrorMsg: 'why' }),
    );
    expect(reply.counts).toEqual({ totalRows: 3, loadedRows: 2, filteredRows: 1, loadBytes: 120 });
    expect(reply.errorUrl).toBe('http://be:8040/api/_load_error_log?file=x');
    expect(reply.firstError).toBe('why');
    expect(reply.txnId).toBe('18055');
  });

  test('a transaction id that a double would round', () => {
    const text = answer({}).replace('18055', '9007199254740993');
    expect(parseLoadReply(200, text).txnId).toBe('9007199254740993');
  });

  test('the id of the transaction that has the label, or none', () => {
    const exists = { Status: 'Label Already Exists', ExistingJobStatus: 'FINISHED', TxnId: -1 };
    const Message = '[LABEL_ALREADY_EXISTS]Label [a] has already been used, relate to txn [77]';
    expect(parseLoadReply(200, answer({ ...exists, Message })).txnId).toBe('77');
    expect(parseLoadReply(200, answer(exists)).txnId).toBeUndefined();
  });

  test('nothing readable: in doubt, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseLoadReply(502, text).verdict).toBe('unknown');
      }),
    );
    expect(parseLoadReply(404, 'Not Found').message).toBe('HTTP 404: Not Found');
    expect(parseLoadReply(200, 'null').verdict).toBe('unknown');
  });
});

describe('a failure is classified by its text', () => {
  test.each([
    ['[DATA_QUALITY_ERROR]too many filtered rows', 'data'],
    [
      '[CANCELLED]cancelled: [DATA_QUALITY_ERROR]Encountered unqualified data, stop processing',
      'data',
    ],
    ['[INTERNAL_ERROR]too many filtered rows', 'data'],
    ['[NOT_AUTHORIZED]no valid Basic authorization', 'access'],
    [
      "[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = Access denied for user 'u'@'h'",
      'access',
    ],
    ['[ANALYSIS_ERROR]TStatus: errCode = 7, detailMessage = unknown table, tableName=t', 'schema'],
    ['[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = Table t does not exist', 'schema'],
    ['[INVALID_ARGUMENT]strict_mode must be true or false', 'schema'],
    ['[INTERNAL_ERROR]Label format error. regex: ^x$, label: a.b', 'schema'],
    [
      '[ANALYSIS_ERROR]TStatus: errCode = 3, detailMessage = tablet 1 alive replica num 0 < quorum replica num 1',
      'busy',
    ],
    [
      '[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = current running txns on db 10 is 100, larger than limit 100',
      'busy',
    ],
    [
      "[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = table t's state(RESTORE) is not NORMAL",
      'busy',
    ],
    ['[E-235]failed to init rowset builder', 'busy'],
    ['[TOO_MANY_VERSION]tablet 3', 'busy'],
    ['[MEM_LIMIT_EXCEEDED]process memory exceeded', 'busy'],
    ['[EXCEEDED_LIMIT]wal space', 'busy'],
    ['[EXCEEDED_LIMIT]body exceed max size: 1, see streaming_load_max_mb', 'schema'],
    ['[THRIFT_RPC_ERROR]failed to call frontend service', 'unknown'],
    ['[ANALYSIS_ERROR]TStatus: timeout by txn manager: TIMEOUT', 'unknown'],
    ['Have not get FE Master heartbeat yet', 'unknown'],
    ['[LABEL_ALREADY_EXISTS]Label [a] has already been used', 'unknown'],
    ["[INTERNAL_ERROR]receive body don't equal with body bytes", 'unknown'],
    ['[INTERNAL_ERROR]something never seen', 'unknown'],
  ])('%s: %s', (message, verdict) => {
    expect(classifyFailure(message)).toBe(verdict);
  });
});

describe('an FE that does not redirect', () => {
  test.each([
    [
      '{"msg":"Unauthorized","code":401,"data":"Access denied for root@127.0.0.1","count":0}',
      'access',
    ],
    [
      '{"status":"FAILED","msg":"errCode = 2, detailMessage = Access denied; you need LOAD"}',
      'access',
    ],
    ['{"status":"FAILED","msg":"errCode = 2, detailMessage = No backend load available"}', 'busy'],
    ['{"status":"FAILED","msg":"insert table t is blocked on schema change"}', 'busy'],
    ['{"status":"FAILED","msg":"There is no 100-continue header"}', 'schema'],
    ['{"status":"FAILED","msg":"no master yet"}', 'unreachable'],
    ['<html>Bad Gateway</html>', 'unreachable'],
  ])('%s: %s', (text, verdict) => {
    expect(parseFrontendRefusal(200, text).verdict).toBe(verdict);
  });
});

describe('the state of a label', () => {
  test.each(['UNKNOWN', 'PREPARE', 'PRECOMMITTED', 'COMMITTED', 'VISIBLE', 'ABORTED'])(
    '%s',
    (state) => {
      expect(parseLabelState(200, `{"msg":"success","code":0,"data":"${state}","count":0}`)).toBe(
        state,
      );
    },
  );

  test('an envelope of failure is no state, even when its data looks like one', () => {
    const unknown = '{"msg":"Error","code":1,"data":"UNKNOWN","count":0}';
    expect(parseLabelState(200, unknown)).toMatchObject({ verdict: 'unreachable' });
    const missing = '{"msg":"Error","code":1,"data":"unknown database, database=x","count":0}';
    expect(parseLabelState(200, missing)).toMatchObject({ verdict: 'schema' });
    const denied = '{"msg":"Unauthorized","code":401,"data":"Access denied for u","count":0}';
    expect(parseLabelState(200, denied)).toMatchObject({ verdict: 'access' });
  });
});

describe('the first refused row', () => {
  test('is its reason and its row, long values cut', () => {
    const row = JSON.stringify({ id: 7, name: 'x'.repeat(100), n: null });
    const log = `Reason: column(n) values is null while columns is not nullable. src line [${row}]; \nReason: b. src line [c]; \n`;
    expect(firstRefusal(log, 10)).toEqual({
      text: 'column(n) values is null while columns is not nullable; row: {"id":7,"name":"xxxxxxxxxx…","n":null}',
      row,
    });
  });

  test('is a cut text when it is not JSON, or not a row', () => {
    expect(firstRefusal(`Reason: bad. src line [${'y'.repeat(500)}]; `, 5).text).toBe(
      `bad; row: ${'y'.repeat(40)}…`,
    );
    expect(firstRefusal('no such file', 40)).toEqual({ text: 'no such file', row: undefined });
    expect(firstRefusal('', 40).text).toBe('');
  });

  test('never makes a long message', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 3000 }),
        fc.dictionary(fc.string(), fc.string()),
        (reason, row) => {
          const log = `Reason: ${reason}. src line [${JSON.stringify(row)}]; `;
          expect(firstRefusal(log, 10).text.length).toBeLessThan(450);
        },
      ),
    );
  });
});
