import { createRequire } from 'node:module';
import { expect, test, vi } from 'vitest';
import { BinlogReader, type DumpStart } from '../../../src/source/mysql/binlog-reader.ts';
import { type Dump, EOF_PACKET, errorPacket, FakeServer } from './fake-server.ts';

const never = new AbortController().signal;
const START: DumpStart = { kind: 'file', file: 'binlog.000007', position: 1234 };
const MIB = 1024 * 1024;

const endpoint = (server: FakeServer) => ({
  host: '127.0.0.1',
  port: server.port,
  user: 'cdc',
  password: 'secret',
  tls: { mode: 'disable' } as const,
});

/** An event as the network carries it: a mark and the event. */
const network = (event: Buffer): Buffer => Buffer.concat([Buffer.from([0]), event]);

test('the packages whose internals are used are the pinned ones', () => {
  const require = createRequire(import.meta.url);
  const project = require('../../../package.json') as { dependencies: Record<string, string> };
  // A new version may work as well: read what binlog-reader.ts and mysql-snapshot.ts say of it, run the integration tests, and pin it here.
  expect(project.dependencies).toMatchObject({ mysql2: '3.24.6', '@vlasky/zongji': '0.9.0' });
  const installed = require('mysql2/package.json') as { version: string };
  expect(installed.version).toBe('3.24.6');
});

test('events arrive raw and in order, after the session was prepared', async () => {
  const events = [1, 2, 3].map((fill) => Buffer.alloc(19 + fill, fill));
  let dump: Dump | undefined;
  await using server = await FakeServer.open((asked) => {
    dump = asked;
    for (const event of events) asked.send(network(event));
  });
  await using reader = await BinlogReader.open(endpoint(server), 4711, START);
  for (const event of events) {
    await reader.wait(1_000, never);
    expect(reader.next()).toEqual(event);
  }
  expect(reader.next()).toBeUndefined();
  // COM_BINLOG_DUMP: offset, flags, server id, file.
  expect(dump!.command[0]).toBe(0x12);
  expect(dump!.command.readUInt32LE(1)).toBe(1234);
  expect(dump!.command.readUInt32LE(7)).toBe(4711);
  expect(dump!.command.subarray(11).toString()).toBe('binlog.000007\0');
  const session = dump!.session.join('\n');
  expect(session).toContain('@master_heartbeat_period = 10000000000');
  expect(session).toContain('@source_heartbeat_period = 10000000000');
  expect(session).toContain(`@source_binlog_checksum = 'CRC32'`);
  expect(session).toContain(`@slave_uuid = 'd0415b1e-0000-4000-8000-000000001267'`);
  expect(session).toContain('net_write_timeout = 86400');
});

test('a start by GTIDs asks for what is missing in the set', async () => {
  let dump: Dump | undefined;
  await using server = await FakeServer.open((asked) => {
    dump = asked;
    asked.send(network(Buffer.alloc(20)));
  });
  const gtids = '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5';
  await using _reader = await BinlogReader.open(endpoint(server), 1, { kind: 'gtids', gtids });
  expect(dump!.command[0]).toBe(0x1e);
  expect(dump!.command.toString('hex')).toContain('3e11fa4771ca11e19e33c80aa9429562');
});

test('an event beyond 16 MiB arrives whole', async () => {
  const event = Buffer.alloc(17 * MIB, 0x5a);
  await using server = await FakeServer.open((dump) => {
    const payload = network(event);
    dump.send(payload.subarray(0, 0xff_ffff));
    dump.send(payload.subarray(0xff_ffff));
  });
  await using reader = await BinlogReader.open(endpoint(server), 1, START);
  expect(reader.next()?.equals(event)).toBe(true);
});

/** Small ones, and one that no piece of the reader's memory holds. */
function mixedEvent(i: number): Buffer {
  return Buffer.alloc(i === 150 ? 2_500_000 : 19 + ((i * 37) % 9_000), i);
}

test('events that wait over many reads stay what they were', async () => {
  const count = 300;
  let sent = 0;
  await using server = await FakeServer.open((dump) => {
    const timer = setInterval(() => {
      for (let k = 0; k < 10 && sent < count; k++) dump.send(network(mixedEvent(sent++)));
      if (sent === count) clearInterval(timer);
    }, 1);
  });
  await using reader = await BinlogReader.open(endpoint(server), 1, START);
  for (let i = 0; i < count; i++) {
    // Takes nothing for a while, now and then.
    if (i % 100 === 0) await vi.waitFor(() => expect(sent).toBeGreaterThanOrEqual(i + 100));
    await reader.wait(1_000, never);
    expect(reader.next()!.equals(mixedEvent(i))).toBe(true);
  }
});

test('while nobody takes events the socket waits, and goes on when they are taken', async () => {
  const count = 200;
  let dump: Dump | undefined;
  await using server = await FakeServer.open((asked) => {
    dump = asked;
    for (let i = 0; i < count; i++) asked.send(network(Buffer.alloc(MIB, i)));
  });
  await using reader = await BinlogReader.open(endpoint(server), 1, START, 50);
  // What is not read stays in the server: the kernel's buffers hold a few MiB, the queue 32. Longer than two heartbeats: a
  // paused socket is not a silent server.
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(dump!.socket.writableLength).toBeGreaterThan(100 * MIB);
  for (let i = 0; i < count; i++) {
    await reader.wait(5_000, never);
    const event = reader.next();
    expect([event?.length, event?.[0]]).toEqual([MIB, i & 0xff]);
  }
});

test('a server that falls silent is given up after two heartbeat periods', async () => {
  await using server = await FakeServer.open((dump) => dump.send(network(Buffer.alloc(20))));
  await using reader = await BinlogReader.open(endpoint(server), 1, START, 20);
  reader.next();
  await expect(reader.wait(5_000, never)).rejects.toMatchObject({
    code: 'SOURCE_UNREACHABLE',
    message: expect.stringContaining('neither a binlog event nor a heartbeat') as string,
  });
});

test.each([
  [1236, 'Could not find first log file name in binary log index file', 'POSITION_LOST'],
  [1236, 'Client requested source to start replication from position > file size', 'POSITION_LOST'],
  [1236, 'Cannot replicate because the source purged required binary logs.', 'POSITION_LOST'],
  [
    1236,
    'A replica with the same server_uuid/server_id as this replica has connected',
    'SOURCE_UNREACHABLE',
  ],
  [
    1236,
    'log event entry exceeded max_allowed_packet; Increase max_allowed_packet',
    'SOURCE_SETTING',
  ],
  [
    1227,
    'Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s)',
    'SOURCE_ACCESS',
  ],
  [1053, 'Server shutdown in progress', 'SOURCE_UNREACHABLE'],
])('error %i "%s" is %s', async (errno, text, code) => {
  await using server = await FakeServer.open((dump) => dump.send(errorPacket(errno, text)));
  await expect(BinlogReader.open(endpoint(server), 1, START)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(
      `MySQL 127.0.0.1:${server.port}: ${text.replace(/\.$/, '')}`,
    ) as string,
  });
});

test('events that came before the end are delivered before it', async () => {
  await using server = await FakeServer.open((dump) => {
    dump.send(network(Buffer.alloc(20, 1)));
    dump.send(network(Buffer.alloc(20, 2)));
    dump.send(EOF_PACKET);
  });
  await using reader = await BinlogReader.open(endpoint(server), 1, START);
  expect(reader.next()?.[0]).toBe(1);
  await vi.waitFor(() => expect(reader.next()?.[0]).toBe(2));
  await expect(reader.wait(1_000, never)).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' });
});

test('a lost connection ends the stream', async () => {
  await using server = await FakeServer.open((dump) => {
    dump.send(network(Buffer.alloc(20)));
    setTimeout(() => dump.socket.destroy(), 20);
  });
  await using reader = await BinlogReader.open(endpoint(server), 1, START);
  reader.next();
  await expect(reader.wait(5_000, never)).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' });
});

test('an abort ends the wait', async () => {
  await using server = await FakeServer.open((dump) => dump.send(network(Buffer.alloc(20))));
  await using reader = await BinlogReader.open(endpoint(server), 1, START);
  reader.next();
  const abort = new AbortController();
  setTimeout(() => abort.abort(new Error('job paused')), 10);
  await expect(reader.wait(5_000, abort.signal)).rejects.toThrow('job paused');
});
