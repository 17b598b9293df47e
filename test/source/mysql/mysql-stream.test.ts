import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch } from '../../../src/encode/batch.ts';
import { UTC } from '../../../src/lib/time-zone.ts';
import type { MysqlPosition } from '../../../src/model/offset.ts';
import type { TableSpec } from '../../../src/model/table.ts';
import { MysqlStream } from '../../../src/source/mysql/mysql-stream.ts';
import type { FillLimit } from '../../../src/source/source.ts';
import { FakeLog } from './fake-log.ts';
import { type Dump, FakeServer } from './fake-server.ts';

const never = new AbortController().signal;
const LIMIT: FillLimit = { rowsMax: 1_000, bytesMax: 1_000_000, ageMs: 0, idleMs: 100 };

const TABLE: TableSpec = {
  schema: 'shop',
  name: 't',
  target: 't',
  key: ['id'],
  columns: [
    { name: 'id', sourceType: 'int', dorisType: 'INT', nullable: false, comment: '' },
    {
      name: 'v',
      sourceType: 'varchar(40)',
      charset: 'utf8mb4',
      dorisType: 'VARCHAR(160)',
      nullable: true,
      comment: '',
    },
  ],
};

function position(pos: number, event = 0): MysqlPosition {
  return {
    kind: 'mysql',
    file: 'binlog.000001',
    pos,
    gtids: '',
    event,
    serverId: '1',
    serverUuid: 'one',
    tsSec: 0,
  };
}

/** Serves `log` to every dump, whatever it asks for. */
async function serve(log: FakeLog, seen?: (dump: Dump) => void): Promise<FakeServer> {
  return await FakeServer.open((dump) => {
    seen?.(dump);
    for (const event of log.events) dump.send(Buffer.concat([Buffer.from([0]), event]));
  });
}

function open(server: FakeServer, from: MysqlPosition, foldsNames = false): Promise<MysqlStream> {
  const facts = { version: '9.7.0', mariadb: false, uuid: 'one', serverId: '1', gtids: false };
  return MysqlStream.open({
    endpoint: {
      host: '127.0.0.1',
      port: server.port,
      user: 'cdc',
      password: 'x',
      tls: { mode: 'disable' },
    },
    server: { ...facts, foldsNames, logsCascades: true },
    serverId: 4711,
    tables: [TABLE],
    zone: UTC,
    from,
  });
}

/** The ids in a batch, in the order of the log. */
function ids(batch: Batch): readonly number[] {
  const text = batch
    .bodies()
    .map(({ body }) => Buffer.concat(body).toString())
    .join('');
  batch.reset();
  return [...text.matchAll(/"id":(\d+)/g)].map((match) => Number(match[1]));
}

test('a file is followed beyond 4 GiB, where a dump can only begin at its start', async () => {
  const gib4 = 2 ** 32;
  const log = new FakeLog('binlog.000001', 4);
  log.at = gib4 - 300;
  log.insert([[1, 'before']]);
  const boundary = log.at;
  const start = log.insert([[2, 'a']], [[3, 'b']]);
  expect([boundary, start]).toEqual([start, boundary]);
  const end = log.at;
  expect(end).toBeGreaterThan(gib4);
  let asked = -1;
  await using server = await serve(log, (dump) => {
    asked = dump.command.readUInt32LE(1);
  });
  const from = position(gib4 + 8);
  // A position behind everything: nothing is delivered again.
  {
    await using stream = await open(server, { ...from, pos: end });
    const batch = new Batch();
    const { to } = await stream.fill(batch, LIMIT, never);
    expect(asked).toBe(4);
    expect([ids(batch), to]).toEqual([[], expect.objectContaining({ pos: end })]);
  }
  log.insert([[4, 'c']]);
  await using stream = await open(server, { ...from, pos: end });
  const batch = new Batch();
  const { to } = await stream.fill(batch, LIMIT, never);
  expect([ids(batch), to]).toEqual([[4], expect.objectContaining({ pos: log.at, event: 0 })]);
});

test('a stream that is cut anywhere and opened again at the place delivers every row once, in order', async () => {
  const rows = fc.array(fc.constant(1), { minLength: 1, maxLength: 4 });
  const transactions = fc.array(fc.array(rows, { minLength: 1, maxLength: 5 }), {
    minLength: 1,
    maxLength: 8,
  });
  const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 6 }));
  await fc.assert(
    fc.asyncProperty(transactions, cuts, async (shape, limits) => {
      let id = 0;
      const log = new FakeLog('binlog.000001');
      const starts = new Map<number, number>();
      for (const events of shape) {
        const before = log.events.length;
        const start = log.insert(
          ...events.map((event) => event.map(() => [++id, `v${id}`] as const)),
        );
        starts.set(start, before);
      }
      let from = position(4);
      const delivered: number[] = [];
      for (let streams = 0; delivered.length < id; streams++) {
        expect(streams).toBeLessThan(50);
        const rest = new FakeLog('binlog.000001', from.pos);
        rest.events.push(...log.events.slice(starts.get(from.pos) ?? 2));
        await using server = await serve(rest);
        await using stream = await open(server, from);
        const batch = new Batch();
        const limit = { ...LIMIT, rowsMax: limits.next().value, idleMs: 100 };
        from = (await stream.fill(batch, limit, never)).to as MysqlPosition;
        // A transaction is cut when it alone has the rows; batches of whole ones end at once, as ageMs is 0.
        expect(batch.rows).toBeLessThan(limit.rowsMax + 4);
        delivered.push(...ids(batch));
      }
      expect(delivered).toEqual(Array.from({ length: id }, (_, i) => i + 1));
    }),
    { numRuns: 8 },
  );
}, 30_000);

test('rows events that were loaded are passed over on the same server only', async () => {
  const log = new FakeLog('binlog.000001');
  const start = log.insert([[1, 'a']], [[2, 'b']], [[3, 'c']]);
  await using server = await serve(log);
  const batch = new Batch();
  {
    await using stream = await open(server, position(start, 2));
    await stream.fill(batch, LIMIT, never);
    expect(ids(batch)).toEqual([3]);
  }
  {
    await using stream = await open(server, position(start, 4));
    await expect(stream.fill(batch, LIMIT, never)).rejects.toMatchObject({ code: 'UNDECODABLE' });
  }
  batch.reset();
  const elsewhere = { ...position(start, 2), serverUuid: '' };
  await using stream = await open(server, elsewhere);
  await stream.fill(batch, LIMIT, never);
  expect(ids(batch)).toEqual([1, 2, 3]);
});

test('names are compared as the server compares them', async () => {
  const log = new FakeLog('binlog.000001');
  log.query('ALTER TABLE T ADD COLUMN c INT');
  log.insert([[1, 'a']]);
  await using server = await serve(log);
  const batch = new Batch();
  {
    await using stream = await open(server, position(4));
    await stream.fill(batch, LIMIT, never);
    expect(ids(batch)).toEqual([1]);
  }
  await using stream = await open(server, position(4), true);
  await expect(stream.fill(batch, LIMIT, never)).rejects.toMatchObject({ code: 'SOURCE_DDL' });
});

test.each([
  ['an event that nobody knows', 200, 0, 'UNDECODABLE'],
  ['an incident', 26, 0, 'UNDECODABLE'],
])(
  '%s stops the stream where it stands, and what came before is not lost',
  async (_name, code, flags, failure) => {
    const log = new FakeLog('binlog.000001');
    log.insert([[1, 'a']]);
    const end = log.at;
    log.raw(code, Buffer.alloc(8), flags);
    await using server = await serve(log);
    await using stream = await open(server, position(4));
    const batch = new Batch();
    const { to } = await stream.fill(batch, LIMIT, never);
    expect([ids(batch), to]).toEqual([[1], expect.objectContaining({ pos: end })]);
    await expect(stream.fill(batch, LIMIT, never)).rejects.toMatchObject({ code: failure });
  },
);

test('what a batch holds in front of a DDL statement is handed over, before the error is thrown', async () => {
  const log = new FakeLog('binlog.000001');
  log.insert([[1, 'a']]);
  const end = log.at;
  log.query('ALTER TABLE t ADD COLUMN c INT');
  await using server = await serve(log);
  await using stream = await open(server, position(4));
  const batch = new Batch();
  // A caller whose load before is under way comes again with the same batch.
  for (let call = 0; call < 3; call++) {
    const { to } = await stream.fill(batch, { ...LIMIT, ageMs: 10_000 }, never);
    expect([to, batch.rows]).toEqual([expect.objectContaining({ pos: end, event: 0 }), 1]);
  }
  expect(ids(batch)).toEqual([1]);
  for (let call = 0; call < 2; call++) {
    await expect(stream.fill(batch, LIMIT, never)).rejects.toMatchObject({ code: 'SOURCE_DDL' });
  }
});

test('an unknown event that the server calls ignorable is passed over', async () => {
  const log = new FakeLog('binlog.000001');
  log.raw(200, Buffer.alloc(8), 0x80);
  log.insert([[1, 'a']]);
  await using server = await serve(log);
  await using stream = await open(server, position(4));
  const batch = new Batch();
  await stream.fill(batch, { ...LIMIT, ageMs: 20 }, never);
  expect(ids(batch)).toEqual([1]);
});

test('a damaged event stops the stream', async () => {
  const log = new FakeLog('binlog.000001');
  log.insert([[1, 'a']]);
  const rows = log.events.at(-2)!;
  rows[30] = rows[30]! ^ 1;
  await using server = await serve(log);
  await using stream = await open(server, position(4));
  await expect(stream.fill(new Batch(), LIMIT, never)).rejects.toMatchObject({
    code: 'UNDECODABLE',
    message: expect.stringContaining('checksum') as string,
  });
});

test('a transaction that a crash cut off before its rows did not happen', async () => {
  const log = new FakeLog('binlog.000001');
  log.query('BEGIN');
  log.events.push(...new FakeLog('binlog.000002').events);
  log.at = 4;
  log.insert([[1, 'a']]);
  await using server = await serve(log);
  await using stream = await open(server, position(4));
  const batch = new Batch();
  const { to } = await stream.fill(batch, { ...LIMIT, ageMs: 20 }, never);
  expect([ids(batch), to]).toEqual([[1], expect.objectContaining({ file: 'binlog.000002' })]);
});

test('rows of a transaction that a crash cut off stop the stream', async () => {
  const log = new FakeLog('binlog.000001');
  log.insert([[1, 'a']]);
  log.events.pop();
  log.events.push(...new FakeLog('binlog.000002').events);
  await using server = await serve(log);
  await using stream = await open(server, position(4));
  await expect(stream.fill(new Batch(), LIMIT, never)).rejects.toMatchObject({
    code: 'UNDECODABLE',
    message: expect.stringContaining('a transaction without its end') as string,
  });
});
