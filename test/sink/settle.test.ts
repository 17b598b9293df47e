import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DorisSink, type DorisSinkOptions } from '../../src/sink/doris-sink.ts';
import { FakeStreamLoad } from '../support/fake-stream-load.ts';

let doris: FakeStreamLoad;
beforeEach(async () => {
  doris = await FakeStreamLoad.open();
});
afterEach(async () => {
  await doris[Symbol.asyncDispose]();
});

function open(options: Partial<DorisSinkOptions> = {}): DorisSink {
  return new DorisSink({
    frontends: [{ host: '127.0.0.1', port: doris.port }],
    user: 'root',
    password: '',
    backoff: { firstMs: 1, maxMs: 8 },
    ...options,
  });
}

async function settle(options: Partial<DorisSinkOptions> = {}) {
  await using sink = open(options);
  return await sink.settle('db', 'job_1', new AbortController().signal);
}

async function fence(options: Partial<DorisSinkOptions> = {}): Promise<void> {
  await using sink = open(options);
  await sink.fence('db', 't', 'job_1', new AbortController().signal);
}

function put(state: 'PREPARE' | 'COMMITTED' | 'VISIBLE' | 'ABORTED' | 'PRECOMMITTED'): void {
  doris.transactions.set('job_1', { state, id: 7, body: Buffer.alloc(0) });
}

describe('settling a label after a crash', () => {
  test.each([
    ['VISIBLE', 'loaded'],
    ['COMMITTED', 'loaded'],
    ['ABORTED', 'absent'],
  ] as const)('%s: %s', async (state, settled) => {
    put(state);
    await expect(settle()).resolves.toBe(settled);
  });

  test('a load that still runs is waited for', async () => {
    put('PREPARE');
    setTimeout(() => put('VISIBLE'), 80);
    await expect(settle()).resolves.toBe('loaded');
  });

  test('a label that nobody knows is absent at once', async () => {
    await expect(settle()).resolves.toBe('absent');
  });

  test('what the FE does not say is an error, not a guess', async () => {
    put('PRECOMMITTED');
    await expect(settle()).rejects.toMatchObject({ code: 'TARGET_TABLE' });
    doris.states.push({
      raw: '{"msg":"Unauthorized","code":401,"data":"Access denied","count":0}',
    });
    await expect(settle()).rejects.toMatchObject({ code: 'TARGET_ACCESS' });
    await expect(
      settle({ frontends: [{ host: '127.0.0.1', port: 1 }], retryMs: 20 }),
    ).rejects.toMatchObject({ code: 'TARGET_UNREACHABLE' });
  });
});

describe('fencing a label', () => {
  test('takes it with a load of no bytes, so that a late one is refused', async () => {
    await fence();
    expect(doris.received).toHaveLength(1);
    expect(doris.received[0]).toMatchObject({
      path: expect.stringMatching(/^\/api\/db\/t\/_stream_load/) as string,
      headers: { label: 'job_1', 'content-length': '0' },
      body: Buffer.alloc(0),
    });
    await using late = open();
    const table = { schema: 's', name: 't', target: 't', columns: [], key: ['id'] };
    const body = { table, body: [Buffer.from('{"id":1}\n')], bytes: 9, rows: 1 };
    const options = { strictMode: true, maxFilterRatio: 0, sequence: 1 };
    const outcome = await late.load('db', body, 'job_1', options, new AbortController().signal);
    expect(outcome.alreadyThere).toBe(true);
    expect(doris.committed()).toEqual([Buffer.alloc(0)]);
  });

  test('of a table with a sequence column too', async () => {
    doris.sequenced = true;
    await fence();
    expect(doris.transactions.get('job_1')).toMatchObject({ state: 'VISIBLE' });
  });

  test('waits for a load that runs, and takes the label again when it comes to nothing', async () => {
    put('PREPARE');
    setTimeout(() => put('VISIBLE'), 60);
    await fence();
    expect(doris.received).toEqual([]);
    put('PREPARE');
    setTimeout(() => put('ABORTED'), 60);
    await fence();
    expect(doris.received).toHaveLength(1);
  });

  test('says what it waits for when Doris does not end the load, and does not believe an FE that is away', async () => {
    put('PREPARE');
    const error = await fence({ runningMs: 60 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'TARGET_BUSY',
      message: expect.stringContaining('earlier load of db.t (label job_1)') as string,
    });
    await expect(
      fence({ frontends: [{ host: '127.0.0.1', port: 1 }], retryMs: 20 }),
    ).rejects.toMatchObject({ code: 'TARGET_UNREACHABLE' });
  });
});
