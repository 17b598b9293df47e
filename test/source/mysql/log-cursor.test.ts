import { expect, test } from 'vitest';
import type { MysqlPosition } from '../../../src/model/offset.ts';
import type { EventHeader } from '../../../src/source/mysql/binlog-event.ts';
import { CODE } from '../../../src/source/mysql/event-codes.ts';
import { MariadbGtids, MysqlGtids } from '../../../src/source/mysql/gtid-set.ts';
import { LogCursor } from '../../../src/source/mysql/log-cursor.ts';

const UUID = '3e11fa47-71ca-11e1-9e33-c80aa9429562';

function at(file: string, pos: number, change: Partial<MysqlPosition> = {}): MysqlPosition {
  return {
    kind: 'mysql',
    file,
    pos,
    gtids: '',
    event: 0,
    serverId: '1',
    serverUuid: 'one',
    tsSec: 0,
    ...change,
  };
}

function header(nextPosition: number, change: Partial<EventHeader> = {}): EventHeader {
  return {
    timestampSec: 1_700_000_000,
    code: CODE.QUERY,
    serverId: 7,
    size: 100,
    nextPosition,
    artificial: false,
    ...change,
  };
}

function cursor(from: MysqlPosition, serverUuid = 'one'): LogCursor {
  const gtids = from.gtids.includes(':') ? MysqlGtids.parse(from.gtids) : undefined;
  return new LogCursor({ from, serverUuid, gtids });
}

test('inside of a group the position is its start and what is done of it', () => {
  const log = cursor(at('b.000001', 1_000));
  log.pass(header(1_100, { code: CODE.GTID }));
  log.beginGroup(100, undefined);
  log.countRowEvent();
  log.pass(header(1_200));
  expect(log.position()).toMatchObject({
    pos: 1_000,
    event: 1,
    serverId: '7',
    tsSec: 1_700_000_000,
  });
  log.pass(header(1_300, { code: CODE.XID }));
  log.endGroup();
  expect(log.position()).toMatchObject({ file: 'b.000001', pos: 1_300, event: 0 });
});

test('offsets of 32 bits are carried over 4 GiB, and what the server made up has none', () => {
  const log = cursor(at('b.000001', 2 ** 32 - 50));
  log.pass(header(0, { code: CODE.FORMAT }));
  log.pass(header(4, { artificial: true, code: CODE.ROTATE }));
  expect(log.end).toBe(2 ** 32 - 50);
  log.pass(header(50));
  expect(log.end).toBe(2 ** 32 + 50);
  log.pass(header(50, { code: CODE.HEARTBEAT }));
  expect(log.end).toBe(2 ** 32 + 50);
  log.rotate('b.000002', 4);
  log.pass(header(104));
  expect(log.position()).toMatchObject({ file: 'b.000002', pos: 104 });
});

test('offsets that a server leaves out inside of a transaction are counted', () => {
  const log = cursor(at('b.000001', 1_000));
  log.pass(header(1_100));
  log.beginGroup(100, undefined);
  log.pass(header(0));
  log.pass(header(0, { code: CODE.HEARTBEAT_V2 }));
  log.pass(header(0));
  expect(log.end).toBe(1_300);
});

test('a dump by GTIDs that begins in an older file does not take the position back', () => {
  const log = cursor(at('b.000009', 500, { gtids: `${UUID}:1-5` }));
  log.rotate('b.000007', 4);
  log.pass(header(104));
  expect(log.position()).toMatchObject({ file: 'b.000009', pos: 500, gtids: `${UUID}:1-5` });
  // 10 is after 9, and a file number may grow a digit.
  log.rotate('b.0000010', 4);
  log.pass(header(104));
  log.beginGroup(100, `${UUID}:6`);
  log.endGroup();
  expect(log.position()).toMatchObject({ file: 'b.0000010', pos: 104, gtids: `${UUID}:1-6` });
});

test('a recorded place is met by its GTIDs, on another server as a whole transaction', () => {
  const until = at('b.000001', 700, { gtids: `${UUID}:1-6`, event: 2 });
  const here = cursor(at('b.000001', 500, { gtids: `${UUID}:1-6` }));
  expect(here.isAt(until)).toBe(false);
  here.beginGroup(0, `${UUID}:7`);
  here.countRowEvent();
  expect(here.isAt(until)).toBe(false);
  here.countRowEvent();
  expect(here.isAt(until)).toBe(true);
  const elsewhere = cursor(at('b.000001', 500, { gtids: `${UUID}:1-6` }), 'two');
  expect(elsewhere.isAt(until)).toBe(true);
  elsewhere.beginGroup(0, `${UUID}:7`);
  elsewhere.endGroup();
  expect([elsewhere.isAt(until), elsewhere.isPast(until)]).toEqual([false, true]);
});

test('only a MySQL set can leave a transaction out', () => {
  const log = cursor(at('b.000001', 500, { gtids: `${UUID}:1-5` }));
  log.beginGroup(100, `${UUID}:6`);
  expect(log.leaveGroup()).toBe(`${UUID}:6`);
  log.endGroup();
  log.beginGroup(100, `${UUID}:7`);
  log.endGroup();
  expect(log.position().gtids).toBe(`${UUID}:1-5:7`);
  log.addLeftOut(`${UUID}:6`);
  expect(log.position().gtids).toBe(`${UUID}:1-7`);
  const from = at('b.000001', 4, { gtids: '0-1-5' });
  const maria = new LogCursor({ from, serverUuid: 'one', gtids: MariadbGtids.parse('0-1-5') });
  maria.beginGroup(100, '0-1-6');
  expect(maria.leaveGroup()).toBeUndefined();
});

test('a file of the known name that was begun at another time is another file', () => {
  const known = at('b.000001', 1_000, { fileSec: 1_700_000_000 });
  const same = cursor(known);
  same.describeFile(1_700_000_000);
  expect(same.position()).toMatchObject({ file: 'b.000001', fileSec: 1_700_000_000 });
  expect(() => cursor(known).describeFile(1_700_000_001)).toThrow(
    /begun its log anew: b\.000001 is not the file .*Drop the job/,
  );
  // Another server numbers its files on its own, and a position of a user says nothing of the file.
  expect(() => cursor(known, 'two').describeFile(1_700_000_001)).not.toThrow();
  expect(() => cursor(at('b.000001', 1_000)).describeFile(1_700_000_001)).not.toThrow();
  const gtids = MariadbGtids.parse('0-1-7');
  const mariadb = new LogCursor({ from: known, serverUuid: 'one', gtids });
  expect(() => mariadb.describeFile(1_700_000_001)).not.toThrow();
});

test('each file has its own time, and one whose description has not come has none', () => {
  const log = cursor(at('b.000001', 1_000, { fileSec: 1_700_000_000 }));
  log.rotate('b.000001', 1_000);
  expect(log.position()).not.toHaveProperty('fileSec');
  log.describeFile(1_700_000_000);
  log.rotate('b.000002', 4);
  log.describeFile(1_700_000_500);
  log.pass(header(1_100));
  expect(log.position()).toMatchObject({ file: 'b.000002', fileSec: 1_700_000_500 });
});
