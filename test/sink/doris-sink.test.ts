import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { DorisSink, type DorisSinkOptions, type LoadRetry } from '../../src/sink/doris-sink.ts';
import { FakeStreamLoad, type BackendAct, type FrontendAct } from '../support/fake-stream-load.ts';
import { linesOf, OPTIONS } from '../support/load-lines.ts';

const never = new AbortController().signal;
const PASSWORD = 'p@ss/word';

let doris: FakeStreamLoad;
let retries: LoadRetry[];
beforeEach(async () => {
  doris = await FakeStreamLoad.open();
  retries = [];
});
afterEach(async () => {
  await doris[Symbol.asyncDispose]();
});

function open(options: Partial<DorisSinkOptions> = {}): DorisSink {
  return new DorisSink({
    frontends: [{ host: '127.0.0.1', port: doris.port }],
    user: 'root',
    password: PASSWORD,
    retryMs: 5_000,
    backoff: { firstMs: 1, maxMs: 8 },
    onRetry: (retry) => retries.push(retry),
    ...options,
  });
}

async function load(options: Partial<DorisSinkOptions> = {}, body = linesOf(3)) {
  await using sink = open(options);
  return await sink.load('db', body, 'job_1', OPTIONS, never);
}

describe('a load', () => {
  test('reaches a BE whole, with what Doris needs to know, and tells what Doris loaded', async () => {
    const body = linesOf(3);
    const outcome = await load({}, body);
    expect(outcome).toEqual({
      label: 'job_1',
      loadedRows: 3,
      filteredRows: 0,
      loadBytes: body.bytes,
      txnId: '1000',
      alreadyThere: false,
    });
    expect(doris.asked).toHaveLength(1);
    expect(doris.asked[0]!.headers).toMatchObject({
      expect: '100-continue',
      'content-length': '0',
    });
    const [received] = doris.received;
    expect(received!.body.equals(Buffer.concat(body.body))).toBe(true);
    expect(received!.path).toBe('/api/db/t/_stream_load');
    expect(received!.headers).toMatchObject({
      authorization: `Basic ${Buffer.from(`root:${PASSWORD}`).toString('base64')}`,
      'content-length': String(body.bytes),
      label: 'job_1',
      format: 'json',
      read_json_by_line: 'true',
      strict_mode: 'true',
      max_filter_ratio: '0',
      hidden_columns: '__DORIS_DELETE_SIGN__',
      timeout: '300',
      timezone: '+00:00',
      group_commit: 'off_mode',
    });
    expect(received!.headers['transfer-encoding']).toBeUndefined();
    expect(received!.headers.expect).toBeUndefined();
  });

  test('of many megabytes is the same bytes', async () => {
    const body = linesOf(40, 1 << 18);
    await load({}, body);
    expect(doris.received[0]!.body.equals(Buffer.concat(body.body))).toBe(true);
  });

  test('names are encoded in the path', async () => {
    const body = linesOf(1);
    const table = { ...body.table, target: 'a b/ü' };
    await using sink = open();
    await sink.load('d?b', { ...body, table }, 'L', OPTIONS, never);
    expect(doris.received[0]!.path).toBe('/api/d%3Fb/a%20b%2F%C3%BC/_stream_load');
  });

  test('runs in the compute group that it is given, and so does a fence', async () => {
    await using sink = open();
    await sink.load('db', linesOf(1), 'in', { ...OPTIONS, computeGroup: 'etl' }, never);
    await sink.fence('db', 't', 'out', never, 'etl');
    const group = { compute_group: 'etl', cloud_cluster: 'etl' };
    for (const { headers } of [...doris.asked, ...doris.received]) {
      expect(headers).toMatchObject(group);
    }
    expect(doris.received).toHaveLength(2);
  });

  test('of the same table waits for the one before it', async () => {
    await using sink = open();
    const [one, two] = [linesOf(2, 1 << 20), linesOf(1)];
    await Promise.all([
      sink.load('db', one, 'a', OPTIONS, never),
      sink.load('db', two, 'b', OPTIONS, never),
    ]);
    expect(doris.received.map(({ body }) => body.length)).toEqual([one.bytes, two.bytes]);
  });

  test('whose row count Doris sees otherwise is an error', async () => {
    doris.backend.push({
      status: 'Success',
      fields: { TwoPhaseCommit: 'false', NumberTotalRows: 2 },
    });
    await expect(load()).rejects.toMatchObject({
      code: 'TARGET_DATA',
      message: 'Doris found 2 rows in a load of 3 rows into db.t (label job_1)',
    });
  });
});

describe('in doubt the same bytes go out under the same label', () => {
  const faults: [string, BackendAct, { received: number; alreadyThere: boolean }][] = [
    [
      'the BE cuts the line before the body',
      'reset-before-body',
      { received: 1, alreadyThere: false },
    ],
    [
      'the BE cuts the line after the body',
      'reset-after-body',
      { received: 2, alreadyThere: false },
    ],
    ['the BE commits and cuts the line', 'commit-then-reset', { received: 1, alreadyThere: true }],
    ['the BE commits a little later', 'commit-late', { received: 1, alreadyThere: true }],
    ['the BE gives up a little later', 'abort-late', { received: 2, alreadyThere: false }],
    ['the BE has too many versions', 'refuse-early', { received: 1, alreadyThere: false }],
    [
      'the BE cannot reach the FE',
      { status: 'Fail', fields: { Message: '[THRIFT_RPC_ERROR]failed to call frontend service' } },
      { received: 2, alreadyThere: false },
    ],
    ['a proxy answers', { raw: '<html>', httpStatus: 504 }, { received: 2, alreadyThere: false }],
  ];
  test.each(faults)('%s', async (_, fault, expected) => {
    doris.backend.push(fault);
    const body = linesOf(5);
    const outcome = await load({}, body);
    expect(outcome.alreadyThere).toBe(expected.alreadyThere);
    expect(outcome.loadedRows).toBe(5);
    expect(doris.received).toHaveLength(expected.received);
    expect(doris.committed()).toEqual([Buffer.concat(body.body)]);
  });

  test.each(faults)('%s, and the label was never sent before', async (_, fault, expected) => {
    doris.backend.push(fault);
    await using sink = open();
    const outcome = await sink.load('db', linesOf(5), 'job_1', { ...OPTIONS, fresh: true }, never);
    expect(outcome.alreadyThere).toBe(expected.alreadyThere);
    expect(doris.committed()).toHaveLength(1);
  });

  test.each(['VISIBLE', 'PREPARE'] as const)(
    "a label that was never sent and is %s is somebody else's",
    async (state) => {
      doris.transactions.set('job_1', { state, id: 7, body: Buffer.from('theirs') });
      await using sink = open();
      const sending = sink.load('db', linesOf(5), 'job_1', { ...OPTIONS, fresh: true }, never);
      await expect(sending).rejects.toMatchObject({
        code: 'LABEL_TAKEN',
        message: expect.stringContaining('job_1') as string,
      });
    },
  );

  test('a BE that is never heard refusing the used label does not hide that the load is in', async () => {
    doris.backend.push('commit-then-reset');
    doris.backend.push(...Array.from({ length: 200 }, () => 'reset-before-body' as const));
    await expect(load({ retryMs: 300 })).resolves.toMatchObject({ alreadyThere: true });
    expect(doris.committed()).toHaveLength(1);
  });

  test('a label in use is waited for, not doubled', async () => {
    doris.transactions.set('job_1', { state: 'PREPARE', id: 7, body: Buffer.from('theirs') });
    setTimeout(() => {
      doris.transactions.get('job_1')!.state = 'VISIBLE';
    }, 80);
    await expect(load()).resolves.toMatchObject({ alreadyThere: true, txnId: '7' });
    expect(doris.received).toHaveLength(0);
  });

  test('a label that is finished is success, once it is visible', async () => {
    doris.transactions.set('job_1', { state: 'COMMITTED', id: 7, body: Buffer.from('ours') });
    setTimeout(() => {
      doris.transactions.get('job_1')!.state = 'VISIBLE';
    }, 80);
    await expect(load()).resolves.toMatchObject({ alreadyThere: true, loadedRows: 3 });
    expect(doris.transactions.get('job_1')!.state).toBe('VISIBLE');
  });

  test('a publish timeout is waited out, then it is success', async () => {
    doris.backend.push('publish-timeout');
    await expect(load()).resolves.toMatchObject({ alreadyThere: false, txnId: '1000' });
    expect(doris.transactions.get('job_1')!.state).toBe('VISIBLE');
    expect(doris.received).toHaveLength(1);
  });

  test('a load that never becomes visible is success all the same: it is durable', async () => {
    doris.transactions.set('job_1', { state: 'COMMITTED', id: 7, body: Buffer.from('ours') });
    await expect(load({ visibleMs: 100 })).resolves.toMatchObject({ alreadyThere: true });
  });

  test('the label protects when the FE does not say what became of it', async () => {
    doris.backend.push('commit-then-reset');
    doris.states.push({ raw: '{"msg":"Error","code":1,"data":"not allowed here","count":0}' });
    await expect(load({ retryMs: 300 })).resolves.toMatchObject({ alreadyThere: true });
    expect(doris.committed()).toHaveLength(1);
  });

  test('any run of faults leaves one copy, and every attempt had the same bytes', async () => {
    const acts = fc.constantFrom<BackendAct>(
      'load',
      'reset-before-body',
      'reset-after-body',
      'commit-then-reset',
      'publish-timeout',
      'refuse-early',
      { raw: '', httpStatus: 503 },
      { status: 'Fail', fields: { Message: '[INTERNAL_ERROR]cancelled' } },
    );
    const hops = fc.constantFrom<FrontendAct>('redirect', 'reset', 'to-dead-backend', {
      raw: '{"status":"FAILED","msg":"No backend load available"}',
    });
    await using sink = open();
    let label = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(acts, { maxLength: 6 }),
        fc.array(hops, { maxLength: 6 }),
        fc.array(fc.nat(300), { minLength: 1, maxLength: 5 }),
        async (backend, frontend, sizes) => {
          doris.backend.splice(0, Infinity, ...backend);
          doris.frontend.splice(0, Infinity, ...frontend);
          doris.received.length = 0;
          doris.transactions.clear();
          const chunks = sizes.map((size, i) => Buffer.from(`${String(i).repeat(size)}\n`));
          const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
          const body = { ...linesOf(0), body: chunks, bytes, rows: chunks.length };
          await sink.load('db', body, `L${label++}`, OPTIONS, never);
          const whole = Buffer.concat(chunks);
          expect(doris.committed()).toEqual([whole]);
          for (const received of doris.received) expect(received.body).toEqual(whole);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('progress', () => {
  test('a BE that died after the redirect is passed over', async () => {
    await doris.kill(0);
    await using sink = open();
    for (let i = 0; i < 4; i++) await sink.load('db', linesOf(2), `L${i}`, OPTIONS, never);
    expect(doris.received.map(({ backend }) => backend)).toEqual([1, 1, 1, 1]);
    // Once bitten, the FE is asked again instead of the dead BE.
    expect(retries).toHaveLength(1);
    expect(retries[0]).toMatchObject({ label: 'L0', verdict: 'unreachable' });
  });

  test('an FE that is away is passed over, and the one that answered is asked first from then on', async () => {
    const away = { host: '127.0.0.1', port: 1 };
    await using sink = open({ frontends: [away, { host: '127.0.0.1', port: doris.port }] });
    await sink.load('db', linesOf(1), 'L1', OPTIONS, never);
    await sink.load('db', linesOf(1), 'L2', OPTIONS, never);
    expect(retries).toEqual([]);
    expect(doris.committed()).toHaveLength(2);
  });

  test('a Doris that stays away is an error to try again, without the password', async () => {
    const error = await load({ frontends: [{ host: '127.0.0.1', port: 1 }], retryMs: 20 }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'TARGET_UNREACHABLE', failure: { cure: 'retry' } });
    expect(String(error)).toContain('ECONNREFUSED');
    expect(String(error)).not.toContain('p%40ss');
  });

  test('a Doris that stays busy is an error to try again', async () => {
    doris.backend.push(...Array.from({ length: 50 }, () => 'refuse-early' as const));
    await expect(load({ retryMs: 20 })).rejects.toMatchObject({ code: 'TARGET_BUSY' });
  });

  test('an abort ends a load that hangs', async () => {
    doris.backend.push('hang');
    const stop = new AbortController();
    await using sink = open();
    const loading = sink.load('db', linesOf(1), 'L', OPTIONS, stop.signal);
    setTimeout(() => stop.abort(new Error('paused')), 50);
    await expect(loading).rejects.toThrow('paused');
  });

  test.each([
    ['VISIBLE', true],
    ['ABORTED', false],
  ] as const)('an answer that was lost is not waited for: %s', async (state, alreadyThere) => {
    doris.backend.push('hang');
    await using sink = open({ answerCheckMs: 20 });
    const loading = sink.load('db', linesOf(3), 'L', OPTIONS, never);
    await expect.poll(() => doris.transactions.has('L')).toBe(true);
    doris.transactions.get('L')!.state = state;
    await expect(loading).resolves.toMatchObject({ alreadyThere, loadedRows: 3 });
    expect(doris.committed()).toHaveLength(1);
  });

  test('a load that takes long is left alone', async () => {
    doris.backend.push('commit-slowly');
    await expect(load({ answerCheckMs: 5 })).resolves.toMatchObject({ alreadyThere: false });
    expect(retries).toEqual([]);
  });

  test('a BE that never answers is given up at the end of the load timeout', async () => {
    doris.backend.push('hang');
    // The margin for the way there and back is 30 s: here the whole deadline is 300 ms.
    await using sink = open({ loadTimeoutS: -29.7 });
    const loading = sink.load('db', linesOf(1), 'L', OPTIONS, never);
    await expect.poll(() => doris.transactions.has('L')).toBe(true);
    doris.transactions.get('L')!.state = 'VISIBLE';
    await expect(loading).resolves.toMatchObject({ alreadyThere: true });
  });
});

describe('a refusal that no repetition cures', () => {
  test.each([
    [{ Status: 'Fail', Message: '[ANALYSIS_ERROR]unknown table t' }, 'TARGET_TABLE'],
    [{ Status: 'Fail', Message: '[NOT_AUTHORIZED]no valid Basic authorization' }, 'TARGET_ACCESS'],
    [{ Status: 'Label Already Exists', ExistingJobStatus: 'PRECOMMITTED' }, 'TARGET_TABLE'],
  ])('%j: %s', async (fields, code) => {
    doris.backend.push({ status: fields.Status, fields });
    await expect(load()).rejects.toMatchObject({ code });
    expect(doris.asked).toHaveLength(1);
  });

  test('by the FE: wrong password', async () => {
    doris.frontend.push({
      raw: '{"msg":"Unauthorized","code":401,"data":"Access denied for root","count":0}',
    });
    await expect(load()).rejects.toMatchObject({ code: 'TARGET_ACCESS' });
    expect(doris.asked).toHaveLength(1);
  });

  test('by an FE that wants HTTPS', async () => {
    doris.frontend.push({
      raw: '',
      httpStatus: 307,
      location: 'https://u:secret@fe:8050/api/db/t/_stream_load?',
    });
    const error = await load().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'TARGET_ACCESS' });
    expect(String(error)).not.toContain('secret');
  });
});

describe('trouble is named within a minute', () => {
  test('a BE that takes the body and goes quiet is asked about, not waited for', async () => {
    doris.backend.push('hang');
    await using sink = open({ silenceMs: 60, runningMs: 150 });
    const startedAt = Date.now();
    await expect(sink.load('db', linesOf(1), 'L', OPTIONS, never)).rejects.toMatchObject({
      code: 'TARGET_BUSY',
      message: expect.stringContaining('has not ended an earlier attempt') as string,
    });
    expect(Date.now() - startedAt).toBeLessThan(2_000);
    // The caller comes back: by then it is in.
    doris.transactions.get('L')!.state = 'VISIBLE';
    await expect(sink.settle('db', 'L', never)).resolves.toBe('loaded');
  });

  test('an earlier attempt that does not end is named by settle too', async () => {
    doris.transactions.set('L', { state: 'PREPARE', id: 7, body: Buffer.alloc(0) });
    await using sink = open({ runningMs: 60 });
    await expect(sink.settle('db', 'L', never)).rejects.toMatchObject({ code: 'TARGET_BUSY' });
  });

  test('a line that is slow, but moves, is not silent', async () => {
    doris.backend.push('commit-slowly');
    await using sink = open({ silenceMs: 500 });
    await expect(sink.load('db', linesOf(20, 1 << 20), 'L', OPTIONS, never)).resolves.toMatchObject(
      { loadedRows: 20 },
    );
  });
});
