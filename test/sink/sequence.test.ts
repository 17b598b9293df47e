import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DorisSink } from '../../src/sink/doris-sink.ts';
import { FakeStreamLoad } from '../support/fake-stream-load.ts';
import { linesOf, OPTIONS } from '../support/load-lines.ts';

const never = new AbortController().signal;

let doris: FakeStreamLoad;
beforeEach(async () => {
  doris = await FakeStreamLoad.open();
});
afterEach(async () => {
  await doris[Symbol.asyncDispose]();
});

function open(): DorisSink {
  return new DorisSink({
    frontends: [{ host: '127.0.0.1', port: doris.port }],
    user: 'root',
    password: '',
    retryMs: 5_000,
    backoff: { firstMs: 1, maxMs: 8 },
  });
}

describe('a table with a sequence column', () => {
  test('gets the number of the load in every row, found out once', async () => {
    doris.sequenced = true;
    await using sink = open();
    const body = linesOf(3);
    await sink.load('db', body, 'a', OPTIONS, never);
    await sink.load('db', body, 'b', { ...OPTIONS, sequence: 78 }, never);
    expect(doris.received).toHaveLength(3);
    const rows = doris.received[2]!.body.toString().trimEnd().split('\n');
    expect(rows.map((row) => JSON.parse(row) as unknown)).toEqual(
      [0, 1, 2].map((id) => ({
        id,
        v: 'x'.repeat(10),
        __DORIS_DELETE_SIGN__: 0,
        __DORIS_SEQUENCE_COL__: 78,
      })),
    );
    expect(doris.received[2]!.headers['hidden_columns']).toBe(
      '__DORIS_DELETE_SIGN__,__DORIS_SEQUENCE_COL__',
    );
  });

  test('may be made anew without one, or get one', async () => {
    await using sink = open();
    for (const [i, sequenced] of [false, true, false, true].entries()) {
      doris.sequenced = sequenced;
      await sink.load('db', linesOf(2), `L${i}`, OPTIONS, never);
    }
    expect(doris.committed()).toHaveLength(4);
  });
});
