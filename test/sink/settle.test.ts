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

async function settle(options: Partial<DorisSinkOptions> = {}) {
  await using sink = new DorisSink({
    frontends: [{ host: '127.0.0.1', port: doris.port }],
    user: 'root',
    password: '',
    quietMs: 0,
    ...options,
  });
  return await sink.settle('db', 'job_1', new AbortController().signal);
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

  test('an unknown label is believed only after a while: its load may still be on the way', async () => {
    setTimeout(() => put('VISIBLE'), 80);
    await expect(settle({ quietMs: 250 })).resolves.toBe('loaded');
    doris.transactions.clear();
    const startedAt = Date.now();
    await expect(settle({ quietMs: 100 })).resolves.toBe('absent');
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(95);
  });

  test('of another thread, which died a moment ago, however long this one has been quiet', async () => {
    await using sink = new DorisSink({
      frontends: [{ host: '127.0.0.1', port: doris.port }],
      user: 'root',
      password: '',
      quietMs: 150,
    });
    await new Promise((resolve) => {
      setTimeout(resolve, 200);
    });
    setTimeout(() => put('VISIBLE'), 80);
    await expect(sink.settle('db', 'job_1', new AbortController().signal)).resolves.toBe('loaded');
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
