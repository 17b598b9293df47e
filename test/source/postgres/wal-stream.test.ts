import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch } from '../../../src/encode/batch.ts';
import { ProxyError } from '../../../src/model/error.ts';
import type { Position, PostgresPosition } from '../../../src/model/offset.ts';
import type { FillLimit } from '../../../src/source/source.ts';
import {
  COLUMNS,
  fakeReader,
  fakeStream,
  QUIET_WATCH,
  serverMessages,
  TABLE,
  TABLE_OID,
  transactions,
  type Row,
  type TestTransaction,
} from '../../support/fake-wal.ts';
import * as message from '../../support/pgoutput-messages.ts';

const START: PostgresPosition = { kind: 'postgres', lsn: '1000', event: 0, txId: '', tsUsec: '0' };
const LIMIT: FillLimit = { rowsMax: 1000, bytesMax: 1 << 20, ageMs: 0, idleMs: 1 };
const signal = new AbortController().signal;

/** What the source holds after the log. */
function truth(log: readonly TestTransaction[]): Map<string, string> {
  const rows = new Map<string, string>();
  for (const row of log.flatMap((tx) => tx.rows)) {
    if (row.op === 'truncate') rows.clear();
    if (row.op === 'remove') rows.delete(row.id);
    if (row.op === 'move') rows.delete(row.from);
    if (row.op === 'put' || row.op === 'move') rows.set(row.id, row.v);
  }
  return rows;
}

function bytesOf(batch: Batch): string {
  return Buffer.concat(batch.bodies().flatMap((body) => body.body)).toString();
}

function apply(rows: Map<string, string>, text: string): void {
  for (const line of text.split('\n').slice(0, -1)) {
    const row = JSON.parse(line) as { id: string; v: string; __DORIS_DELETE_SIGN__: number };
    if (row.__DORIS_DELETE_SIGN__ === 1) rows.delete(row.id);
    else rows.set(row.id, row.v);
  }
}

const id = fc.constantFrom('a', 'b', 'c', 'd');
const row: fc.Arbitrary<Row> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('put' as const), id, v: fc.string() }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), id }) },
  {
    weight: 2,
    arbitrary: fc
      .record({ op: fc.constant('move' as const), id, from: id, v: fc.string() })
      .filter((r) => r.id !== r.from),
  },
  { weight: 1, arbitrary: fc.constant({ op: 'truncate' as const }) },
  { weight: 1, arbitrary: fc.constant({ op: 'other' as const }) },
);
const log = fc
  .tuple(
    fc.array(fc.array(row, { maxLength: 6 }), { minLength: 1, maxLength: 6 }),
    fc.array(fc.constantFrom(0, 0, 17)),
  )
  .map(([rows, gaps]) => transactions(rows, gaps));

test('killed after any load and started again where it was, the replica ends equal, and each range is read again exactly', async () => {
  await fc.assert(
    fc.asyncProperty(
      log,
      fc.integer({ min: 1, max: 5 }),
      fc.infiniteStream(fc.boolean()),
      async (txs, rowsMax, kill) => {
        const end = txs.at(-1)!.endLsn;
        const replica = new Map<string, string>();
        let at: PostgresPosition = START;
        let { stream } = fakeStream(serverMessages(txs, BigInt(at.lsn)), at);
        for (let steps = 0; BigInt(at.lsn) < end; steps++) {
          expect(steps).toBeLessThan(200);
          const batch = new Batch();
          const { to, barrier } = await stream.fill(batch, { ...LIMIT, rowsMax }, signal);
          const text = bytesOf(batch);
          if (text !== '') {
            const again = fakeStream(serverMessages(txs, BigInt(at.lsn)), at).stream;
            const same = new Batch();
            const limit = { rowsMax: Infinity, bytesMax: Infinity, ageMs: 0, idleMs: 1, until: to };
            expect((await again.fill(same, limit, signal)).to).toEqual(to);
            expect(bytesOf(same)).toBe(text);
          }
          apply(replica, text);
          if (barrier !== undefined) replica.clear();
          at = (barrier?.after ?? to) as PostgresPosition;
          if (kill.next().value) ({ stream } = fakeStream(serverMessages(txs, BigInt(at.lsn)), at));
        }
        expect(replica).toEqual(truth(txs));
      },
    ),
    { numRuns: 100 },
  );
});

test('what is acknowledged is a commit end or a keep-alive between transactions, never a byte inside one', async () => {
  await fc.assert(
    fc.asyncProperty(log, fc.integer({ min: 1, max: 3 }), async (txs, rowsMax) => {
      const { stream, confirmed } = fakeStream(serverMessages(txs, 1000n), START);
      for (let at: Position = START; BigInt((at as PostgresPosition).lsn) < txs.at(-1)!.endLsn;) {
        const { to, barrier } = await stream.fill(new Batch(), { ...LIMIT, rowsMax }, signal);
        at = barrier?.after ?? to;
        stream.acknowledge(at);
        const told = confirmed.at(-1)!;
        // Restarted at the confirmed place, the server still sends every transaction that is not wholly loaded.
        const loaded = txs.filter((tx) => tx.endLsn <= told);
        const skipped = txs.filter((tx) => tx.commitLsn < told);
        expect(skipped).toEqual(loaded);
      }
    }),
    { numRuns: 100 },
  );
});

function put(n: number): Row {
  return { op: 'put', id: `k${n}`, v: '' };
}

test('a batch ends with a transaction, unless that one alone exceeds the limit', async () => {
  const txs = transactions(
    [[put(1), put(2)], [put(3), put(4)], Array.from({ length: 7 }, (_, i) => put(10 + i))],
    [],
  );
  const { stream } = fakeStream(serverMessages(txs, 1000n), START);
  const ends: unknown[] = [];
  for (let i = 0; i < 4; i++) {
    const batch = new Batch();
    const { to } = await stream.fill(batch, { ...LIMIT, rowsMax: 3 }, signal);
    ends.push([batch.rows, (to as PostgresPosition).lsn, (to as PostgresPosition).event]);
  }
  expect(ends).toEqual([
    [4, '1080', 0],
    [3, '1080', 3],
    [3, '1080', 6],
    [1, '1620', 0],
  ]);
});

test('a position inside a transaction that the log does not hold stops the stream', async () => {
  const txs = transactions([[put(1), put(1)]], []);
  for (const from of [
    { ...START, event: 1, txId: '1' },
    { ...START, event: 3, txId: '700' },
  ]) {
    const { stream } = fakeStream(serverMessages(txs, 1000n), from);
    await expect(stream.fill(new Batch(), LIMIT, signal)).rejects.toMatchObject({
      code: 'POSITION_LOST',
    });
  }
});

const BEGIN = message.begin(1000n, 7);
const RELATION = message.relation(TABLE_OID, 'public', 't', COLUMNS);

test.each([
  [
    'a stream of an open transaction',
    [Buffer.from('S\0\0\0\x01\x01')],
    'UNDECODABLE',
    `message 'S'`,
  ],
  ['a prepared transaction', [Buffer.from('P')], 'UNDECODABLE', `message 'P'`],
  [
    'a row before its relation',
    [BEGIN, message.insert(TABLE_OID, ['1', 'x'])],
    'UNDECODABLE',
    'before describing it',
  ],
  [
    'a row outside of a transaction',
    [RELATION, message.insert(TABLE_OID, ['1', 'x'])],
    'UNDECODABLE',
    'outside of a transaction',
  ],
  [
    'too few values',
    [BEGIN, RELATION, message.insert(TABLE_OID, ['1'])],
    'UNDECODABLE',
    '1 values for 2 columns',
  ],
  [
    'a delete without its key',
    [BEGIN, RELATION, message.remove(TABLE_OID, 'K', [null, 'x'])],
    'SOURCE_SETTING',
    'without the key',
  ],
  [
    'a delete with a new row',
    [
      BEGIN,
      RELATION,
      Buffer.concat([Buffer.from('D'), message.insert(TABLE_OID, ['1', 'x']).subarray(1)]),
    ],
    'UNDECODABLE',
    'tuple kind',
  ],
  [
    'a column more',
    [BEGIN, message.relation(TABLE_OID, 'public', 't', [...COLUMNS, { name: 'new', oid: 23 }])],
    'SOURCE_DDL',
    'column new was added',
  ],
  [
    'a column of another type',
    [BEGIN, message.relation(TABLE_OID, 'public', 't', [COLUMNS[0]!, { name: 'v', oid: 23 }])],
    'SOURCE_DDL',
    'column v changed from text to type 23',
  ],
  [
    'a column less',
    [BEGIN, message.relation(TABLE_OID, 'public', 't', [COLUMNS[0]!])],
    'SOURCE_DDL',
    'column v was dropped',
  ],
  [
    'a table renamed',
    [BEGIN, message.relation(TABLE_OID, 'public', 't2', COLUMNS)],
    'SOURCE_DDL',
    'public.t was renamed to public.t2',
  ],
  [
    'a table made again',
    [BEGIN, message.relation(TABLE_OID + 1, 'public', 't', COLUMNS)],
    'SOURCE_DDL',
    'was dropped and created again',
  ],
  [
    'a replica identity without the key',
    [
      BEGIN,
      message.relation(
        TABLE_OID,
        'public',
        't',
        [
          { name: 'id', oid: 25 },
          { name: 'v', oid: 25, identity: true },
        ],
        'i',
      ),
      message.insert(TABLE_OID, ['1', 'x']),
      message.update(TABLE_OID, ['2', 'x']),
    ],
    'SOURCE_SETTING',
    'without the key',
  ],
] as const)('%s is a named stop', async (_, messages, code, text) => {
  const { stream } = fakeStream(messages, START);
  const error: unknown = await stream
    .fill(new Batch(), LIMIT, signal)
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ProxyError);
  expect((error as ProxyError).code).toBe(code);
  expect((error as ProxyError).message).toContain(text);
});

test('behind the log of when a partition was found another connection goes on, which tells of nothing twice', async () => {
  const txs = transactions(
    [
      [{ op: 'put', id: 'a', v: '1' }],
      [{ op: 'put', id: 'b', v: '2' }],
      [{ op: 'put', id: 'c', v: '3' }],
    ],
    [],
  );
  const [first, second] = txs as [TestTransaction, TestTransaction];
  const opened: bigint[] = [];
  let unheard = true;
  const { stream, confirmed } = fakeStream(
    serverMessages(txs.slice(0, 2), 1000n).slice(0, -1),
    START,
    {
      watch: {
        ...QUIET_WATCH,
        isUnheard: (lsn) => unheard && lsn >= second.endLsn,
        heard: () => void (unheard = false),
      },
      reopen: (old, at) => {
        opened.push(old.confirmed, at);
        return Promise.resolve(fakeReader(serverMessages(txs, at), at, confirmed));
      },
    },
  );
  const rows = new Map<string, string>();
  for (let at: Position = START; BigInt((at as PostgresPosition).lsn) < txs.at(-1)!.endLsn;) {
    const batch = new Batch();
    ({ to: at } = await stream.fill(batch, { ...LIMIT, rowsMax: 1 }, signal));
    for (const line of bytesOf(batch).split('\n').slice(0, -1)) {
      const { id: key } = JSON.parse(line) as { id: string };
      expect(rows.has(key)).toBe(false);
      rows.set(key, line);
    }
    if ((at as PostgresPosition).lsn === String(first.endLsn)) stream.acknowledge(at);
  }
  expect([...rows.keys()]).toEqual(['a', 'b', 'c']);
  // What is durable is what the server was told before, not where the new connection begins.
  expect(opened).toEqual([first.endLsn, second.endLsn]);
});

test('origins, types and logical messages change nothing', async () => {
  const messages = [
    BEGIN,
    Buffer.from('O12345678origin\0'),
    Buffer.from('Y1234public\0mood\0'),
    Buffer.from('M\x01...'),
    RELATION,
  ];
  const { stream } = fakeStream(
    [...messages, message.insert(TABLE_OID, ['1', 'x']), message.commit(1000n, 1040n)],
    START,
  );
  const batch = new Batch();
  const { to } = await stream.fill(batch, LIMIT, signal);
  expect([batch.rows, (to as PostgresPosition).lsn]).toEqual([1, '1040']);
});

test('DDL behind changes: they are handed over first, then the error', async () => {
  const other = message.relation(TABLE_OID, 'public', 't', [COLUMNS[0]!]);
  const first = [
    BEGIN,
    RELATION,
    message.insert(TABLE_OID, ['1', 'x']),
    message.commit(1000n, 1040n),
  ];
  const { stream } = fakeStream([...first, message.begin(1040n, 8), other], START);
  const batch = new Batch();
  const { to } = await stream.fill(batch, LIMIT, signal);
  expect([batch.rows, (to as PostgresPosition).lsn]).toEqual([1, '1040']);
  await expect(stream.fill(batch, LIMIT, signal)).rejects.toMatchObject({ code: 'SOURCE_DDL' });
});

test('any bytes are decoded or refused by name', async () => {
  const noise = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes));
  const known = fc
    .constantFrom('B', 'C', 'O', 'R', 'Y', 'I', 'U', 'D', 'T', 'M')
    .chain((tag) => noise.map((b) => Buffer.concat([Buffer.from(tag), b])));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(noise, known), { maxLength: 5 }), async (messages) => {
      const { stream } = fakeStream([BEGIN, RELATION, ...messages], START);
      const stop = AbortSignal.timeout(3);
      const error: unknown = await stream
        .fill(new Batch(), LIMIT, stop)
        .catch((thrown: unknown) => thrown);
      if (error instanceof ProxyError)
        expect(['UNDECODABLE', 'SOURCE_DDL', 'SOURCE_SETTING']).toContain(error.code);
      else
        expect(error).toMatchObject({
          message: expect.stringMatching(/abort|timeout/i) as unknown,
        });
    }),
    { numRuns: 300 },
  );
});

test('an aborted fill ends', async () => {
  const { stream } = fakeStream([BEGIN], START);
  await expect(stream.fill(new Batch(), LIMIT, AbortSignal.timeout(5))).rejects.toThrow(/abort/);
  expect(TABLE.key).toEqual(['id']);
});
