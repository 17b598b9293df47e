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

async function load(body = linesOf(3)) {
  await using sink = open();
  return await sink.load('db', body, 'job_1', OPTIONS, never);
}

describe('a refusal of rows names one of them by its key', () => {
  const Message = '[DATA_QUALITY_ERROR]too many filtered rows';

  test('out of the log of the BE, values cut', async () => {
    doris.errorLog = `Reason: column(v) is too long. src line [${JSON.stringify({ id: 1, v: 'x'.repeat(90) })}]; \n`;
    const ErrorURL = `http://127.0.0.1:${doris.backendPort(0)}/api/_load_error_log?file=a`;
    doris.backend.push({ status: 'Fail', fields: { Message, ErrorURL } });
    await expect(load()).rejects.toMatchObject({
      code: 'TARGET_DATA',
      message: `Doris refuses the row with key id = 1 in table db.t (label job_1): column(v) is too long; row: {"id":1,"v":"${'x'.repeat(40)}…"}`,
    });
    expect(doris.asked).toHaveLength(1);
  });

  test('by halving when the log does not show it, and loads none of the others', async () => {
    doris.refuses = (line) => line.includes('"id":613,');
    const lines = linesOf(1000);
    await expect(load(lines)).rejects.toMatchObject({
      code: 'TARGET_DATA',
      message: `Doris refuses the row with key id = 613 in table db.t (label job_1): ${Message}`,
    });
    expect(doris.committed()).toEqual([]);
    const sent = doris.received.slice(1).reduce((sum, { body }) => sum + body.length, 0);
    expect(sent).toBeLessThan(1.2 * lines.bytes);
    expect(doris.received.length).toBeLessThan(14);
  });

  test('of a table with a sequence column, and where other loads may lose rows', async () => {
    doris.sequenced = true;
    doris.refuses = (line) => line.includes('"id":2,');
    await using sink = open();
    const lenient = { ...OPTIONS, maxFilterRatio: 0.1 };
    await expect(sink.load('db', linesOf(5), 'job_1', lenient, never)).rejects.toThrow(
      'the row with key id = 2 in',
    );
    for (const probe of doris.received.slice(2)) {
      expect(probe.headers).toMatchObject({ max_filter_ratio: '0', two_phase_commit: 'true' });
    }
  });

  test('again after the search was cut off: its probes are in nobody’s way', async () => {
    doris.refuses = (line) => line.includes('"id":2,');
    doris.transactions.set('job_1_b1', { state: 'PRECOMMITTED', id: 7, body: Buffer.alloc(0) });
    await expect(load(linesOf(5))).rejects.toThrow('the row with key id = 2 in');
    const states = [...doris.transactions.values()].map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(['ABORTED']));
  });

  test('or the rows among which it is, when Doris takes no probes', async () => {
    doris.backend.push(
      { status: 'Fail', fields: { Message } },
      { status: 'Fail', fields: { Message: '[NOT_IMPLEMENTED_ERROR]2pc is unsupported' } },
    );
    await expect(load(linesOf(5))).rejects.toThrow(
      `Doris refuses one of 5 rows from key id = 0 on in table db.t (label job_1): ${Message}`,
    );
  });
});
