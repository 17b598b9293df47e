import { crc32 } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { ProxyError } from '../../../src/model/error.ts';
import { type BinlogEvent, BinlogParser } from '../../../src/source/mysql/binlog-event.ts';
import { loadZstd } from '../../../src/source/mysql/compression.ts';
import { CODE, UNDECODED } from '../../../src/source/mysql/event-codes.ts';
import { capturedEvents } from './captured-log.ts';

beforeAll(loadZstd);

/** An event without checksum unless `summed`. */
function event(code: number, body: Buffer, { summed = false, flags = 0 } = {}): Buffer {
  const bytes = Buffer.alloc(19 + body.length + (summed ? 4 : 0));
  bytes.writeUInt8(code, 4);
  bytes.writeUInt32LE(7, 5);
  bytes.writeUInt32LE(bytes.length, 9);
  bytes.writeUInt32LE(1234, 13);
  bytes.writeUInt16LE(flags, 17);
  body.copy(bytes, 19);
  if (summed) bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4);
  return bytes;
}

function format(algorithm: number): Buffer {
  const body = Buffer.alloc(2 + 50 + 4 + 1 + 40 + 1);
  body.write('8.0.36', 2);
  body[body.length - 1] = algorithm;
  return event(CODE.FORMAT, body, { summed: true });
}

/** A parser for events without checksums. */
function plainParser(): BinlogParser {
  const parser = new BinlogParser();
  parser.parse(format(0));
  return parser;
}

/** The events of a file, compressed transactions opened; those that stop the stream as their message. */
function decodeAll(server: 'mysql-9.7' | 'mariadb-10.11'): (BinlogEvent | string)[] {
  const parser = new BinlogParser();
  const decoded: (BinlogEvent | string)[] = [];
  for (const bytes of capturedEvents(server)) {
    try {
      const one = parser.parse(bytes);
      decoded.push(...(one.kind === 'payload' ? parser.inner(one) : [one]));
    } catch (error) {
      expect(error).toBeInstanceOf(ProxyError);
      decoded.push((error as Error).message);
    }
  }
  return decoded;
}

/** An event in a word or two. */
function brief(decoded: BinlogEvent | string): string {
  if (typeof decoded === 'string') return decoded;
  if (decoded.kind === 'gtid') return `gtid ${decoded.gtid?.replace(/^[0-9a-f-]{36}/, 'uuid')}`;
  if (decoded.kind === 'query') return decoded.sql.slice(0, 12);
  if (decoded.kind === 'rows') return `${decoded.change}${decoded.full ? '' : ' partly'}`;
  if (decoded.kind === 'table-map') return `map ${decoded.map.table}`;
  if (decoded.kind !== 'mariadb-gtid') return decoded.kind;
  const { gtid, standalone, ddl, xa } = decoded;
  return ['gtid', gtid, standalone && 'alone', ddl && 'ddl', xa].filter(Boolean).join(' ');
}

const mysqlChange = (rows: string, name = 'orders'): string[] => [
  'BEGIN',
  `map ${name}`,
  rows,
  'xid',
];
const mariadbChange = (rows: string): string[] => ['ignored', 'map orders', rows, 'xid'];

test('a log of MySQL 9 is decoded event by event', () => {
  expect(decodeAll('mysql-9.7').map(brief)).toEqual(
    [
      'format',
      'ignored',
      ['gtid uuid:2', 'CREATE TABLE'],
      ['gtid uuid:3', ...mysqlChange('insert')],
      ['gtid uuid:4', ...mysqlChange('update')],
      ['gtid uuid:5', ...mysqlChange('update')],
      ['gtid uuid:6', ...mysqlChange('delete')],
      ['gtid uuid:7', 'CREATE TABLE'],
      ['gtid uuid:8', ...mysqlChange('insert', 'docs')],
      ['gtid uuid:9', ...mysqlChange('insert', 'docs')],
      ['gtid uuid:10', ...mysqlChange('insert')], // was compressed
      ['gtid uuid:tagged:1', ...mysqlChange('insert', 'docs')],
      ['gtid uuid:11', "XA START X'7", 'map docs', 'insert', "XA END X'783", 'xa-prepare'],
      ['gtid uuid:12', "XA COMMIT X'"],
      ['gtid uuid:13', 'CREATE TABLE'],
      ['gtid uuid:14', ...mysqlChange('update partly')],
      ['gtid uuid:15', 'BEGIN', 'map docs'],
      expect.stringMatching(/Partial_update_rows.*binlog_row_value_options/),
      ['xid', 'rotate'],
    ].flat(),
  );
});

test('a log of MariaDB is decoded event by event', () => {
  expect(decodeAll('mariadb-10.11').map(brief)).toEqual(
    [
      ['format', 'ignored', 'ignored', 'ignored'],
      ['gtid 0-1-2 alone ddl', 'CREATE TABLE'],
      ['gtid 0-1-3', ...mariadbChange('insert')],
      ['gtid 0-1-4', ...mariadbChange('update')],
      ['gtid 0-1-5', ...mariadbChange('update')],
      ['gtid 0-1-6', ...mariadbChange('delete')],
      ['gtid 0-1-7', ...mariadbChange('insert')], // rows are compressed from here on
      ['gtid 0-1-8 alone ddl', 'ALTER TABLE '], // so is the statement
      ['gtid 0-1-9 prepare', 'ignored', 'map orders', 'insert', "XA END X'783", 'xa-prepare'],
      ['gtid 0-1-10 alone complete', "XA COMMIT X'"],
      'rotate',
    ].flat(),
  );
});

test('a statement is read in its client’s character set and says how it is quoted', () => {
  const queries = decodeAll('mysql-9.7').filter((e) => typeof e !== 'string' && e.kind === 'query');
  expect(queries).toContainEqual(
    expect.objectContaining({
      sql: 'CREATE TABLE shop."grün" (id INT PRIMARY KEY)',
      ansiQuotes: true,
      noBackslashEscapes: true,
    }),
  );
  expect(queries[0]).toMatchObject({ ansiQuotes: false, noBackslashEscapes: false, errorCode: 0 });
});

test('a map that the server repeats is the same object, a changed one is another', () => {
  const maps = decodeAll('mysql-9.7').flatMap((e) =>
    typeof e !== 'string' && e.kind === 'table-map' ? [e.map] : [],
  );
  const orders = new Set(maps.filter((map) => map.table === 'orders'));
  expect(orders.size).toBe(1);
  expect(new Set(maps).size).toBe(2);
  expect([...orders][0]).toMatchObject({
    schema: 'shop',
    columns: [
      { name: 'id', type: 3, unsigned: true },
      { name: 'name', type: 15, meta: 80, unsigned: undefined },
      { name: 'price', type: 246, meta: (10 << 8) | 2, unsigned: false },
      { name: 'paid', type: 18, meta: 3 },
      { name: 'kind', type: 247, meta: 1 },
      { name: 'note', type: 252, meta: 2 },
    ],
  });
});

test.each(['mysql-9.7', 'mariadb-10.11'] as const)(
  'any changed byte in a log of %s fails the checksum or stops by name',
  (server) => {
    const events = capturedEvents(server);
    for (const [i, original] of events.entries()) {
      for (const at of [4, 17, 19, original.length >> 1, original.length - 1]) {
        const parser = new BinlogParser();
        parser.parse(events[0]!);
        const bytes = Buffer.from(original);
        bytes[at]! ^= 0x10;
        const artificialRotate = bytes[4] === CODE.ROTATE && (bytes[17]! & 0x20) !== 0;
        if (artificialRotate) continue; // its checksum is optional: one that fails is none
        expect(() => parser.parse(bytes), `event ${i}, byte ${at}`).toThrow(ProxyError);
      }
    }
  },
);

test('the Format description alone says whether events have checksums', () => {
  const parser = new BinlogParser();
  const rotate = Buffer.concat([
    Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from('binlog.000009'),
  ]);
  const expected = { kind: 'rotate', file: 'binlog.000009', position: 4 };
  // The made-up event in front of a file: with and without, whatever the file before had.
  for (const algorithm of [undefined, 0, 1]) {
    if (algorithm !== undefined) {
      expect(parser.parse(format(algorithm))).toMatchObject({
        kind: 'format',
        serverVersion: '8.0.36',
        checksum: algorithm === 1,
      });
    }
    for (const summed of [false, true]) {
      const bytes = event(CODE.ROTATE, rotate, { summed, flags: 0x20 });
      expect(parser.parse(bytes)).toMatchObject(expected);
    }
  }
  expect(() => parser.parse(event(CODE.XID, Buffer.alloc(8)))).toThrow(/checksum/);
  parser.parse(format(0));
  expect(parser.parse(event(CODE.XID, Buffer.alloc(8)))).toMatchObject({ kind: 'xid' });
  expect(() => parser.parse(format(2))).toThrow(/checksum algorithm 2/);
});

test('an event that does not have the length of its header stops the stream', () => {
  const bytes = event(CODE.XID, Buffer.alloc(8));
  for (const cut of [0, 5, 18, bytes.length - 1]) {
    expect(() => plainParser().parse(bytes.subarray(0, cut))).toThrow(ProxyError);
  }
  expect(() => plainParser().parse(event(CODE.TABLE_MAP, Buffer.alloc(7)))).toThrow(ProxyError);
});

describe('the closed world', () => {
  const decoded = new Set<number>(Object.values(CODE));

  test('every code is decoded, ignored for a reason, or a stop with a reason', () => {
    const mysql = Array.from({ length: 43 }, (_, code) => code);
    const mariadb = Array.from({ length: 12 }, (_, i) => 160 + i);
    const twiceOrNever = [...mysql, ...mariadb].filter(
      (code) => decoded.has(code) === code in UNDECODED,
    );
    expect(twiceOrNever).toEqual([]);
  });

  test.each(Object.entries(UNDECODED))('code %s', (code, { name, handling, why }) => {
    const parse = () => plainParser().parse(event(Number(code), Buffer.alloc(16)));
    if (handling === 'ignore') expect(parse()).toMatchObject({ kind: 'ignored', name });
    else expect(parse).toThrow(`${name} event, and ${why}`);
  });

  test('an unknown code stops the stream unless the server calls it ignorable', () => {
    expect(() => plainParser().parse(event(99, Buffer.alloc(4)))).toThrow(/unknown code 99/);
    const ignorable = event(99, Buffer.alloc(4), { flags: 0x80 });
    expect(plainParser().parse(ignorable)).toMatchObject({ kind: 'ignored' });
  });
});

test('heartbeats tell file and position, also beyond four gigabytes', () => {
  const old = event(CODE.HEARTBEAT, Buffer.from('binlog.000001'));
  expect(plainParser().parse(old)).toMatchObject({
    kind: 'heartbeat',
    file: 'binlog.000001',
    position: 1234,
  });
  const position = Buffer.from([0xfe, 0, 0, 0, 0, 2, 0, 0, 0]);
  const body = Buffer.concat([
    Buffer.from([1, 13]),
    Buffer.from('binlog.000001'),
    Buffer.from([2, position.length]),
    position,
    Buffer.from([0]),
  ]);
  expect(plainParser().parse(event(CODE.HEARTBEAT_V2, body))).toMatchObject({
    kind: 'heartbeat',
    file: 'binlog.000001',
    position: 2 * 2 ** 32,
  });
});

test('a compressed transaction that is damaged or of another kind stops the stream', () => {
  const parser = new BinlogParser();
  const events = capturedEvents('mysql-9.7');
  parser.parse(events[0]!);
  const payload = parser.parse(events.find((bytes) => bytes[4] === CODE.TRANSACTION_PAYLOAD)!);
  if (payload.kind !== 'payload') throw new Error('no payload');
  const compressed = Buffer.from(payload.compressed);
  compressed[20]! ^= 0xff;
  expect(() => [...parser.inner({ ...payload, compressed })]).toThrow(ProxyError);
  expect(() => [...parser.inner({ ...payload, inflatedBytes: 10 })]).toThrow(ProxyError);
  expect(() => [...parser.inner({ ...payload, inflatedBytes: 2 ** 31 })]).toThrow(/at most/);
  const unknown = event(CODE.TRANSACTION_PAYLOAD, Buffer.from([2, 1, 7, 3, 1, 9, 0]));
  expect(() => plainParser().parse(unknown)).toThrow(/algorithm 7/);
});

test('a payload that is not compressed is opened as well', () => {
  const xid = event(CODE.XID, Buffer.alloc(8));
  const body = Buffer.concat([Buffer.from([2, 3, 0xfc, 0xff, 0, 0]), xid, xid]);
  const parser = plainParser();
  const payload = parser.parse(event(CODE.TRANSACTION_PAYLOAD, body));
  if (payload.kind !== 'payload') throw new Error('no payload');
  expect([...parser.inner(payload)].map((e) => e.kind)).toEqual(['xid', 'xid']);
});
