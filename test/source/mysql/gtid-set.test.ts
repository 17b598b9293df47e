import { GtidSet, MariadbGtidPosition } from '@vlasky/zongji';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MariadbGtids, MysqlGtids } from '../../../src/source/mysql/gtid-set.ts';

const A = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const B = '2c256447-3f0d-431b-9a25-bddf1f1f6ef6';

test.each([
  ['', ''],
  [`${A}:1-5`, `${A}:1-5`],
  [`${A}:1-5:7,\n${B}:1-3`, `${B}:1-3,${A}:1-5:7`],
  [`${A.toUpperCase()}:5:1-4`, `${A}:1-5`],
  [`${A}:1-3:tag_a:1:tag_b:2-4`, `${A}:1-3:tag_a:1:tag_b:2-4`],
  [`${A}:tag:1`, `${A}:tag:1`],
])('%j reads as %j', (text, canonical) => {
  expect(MysqlGtids.parse(text).toString()).toBe(canonical);
});

test.each([
  'x',
  A,
  `${A}:`,
  `${A}:0`,
  `${A}:5-3`,
  `${A}:1,abc:1`,
  `${A}:tag`,
  `${A}:1-2-3`,
  '0-1-2',
])('%j is no GTID set', (text) => {
  expect(() => MysqlGtids.parse(text)).toThrow('Invalid GTID set');
});

test('sets agree with those of zongji, in whatever order transactions are added', () => {
  const gtid = fc.tuple(fc.constantFrom(A, B, `${A}:t`, `${B}:a`), fc.integer({ min: 1, max: 30 }));
  fc.assert(
    fc.property(fc.array(gtid, { maxLength: 60 }), (gtids) => {
      const ours = new MysqlGtids();
      const theirs = new GtidSet();
      for (const [source, number] of gtids) {
        ours.add(`${source}:${number}`);
        theirs.add(`${source}:${number}`);
      }
      expect(ours.toString()).toBe(theirs.toString());
      expect(MysqlGtids.parse(ours.toString()).toString()).toBe(ours.toString());
      for (const [source, number] of gtids) {
        expect(ours.reached(`${source}:${number}`)).toBe(true);
      }
      expect(ours.reached(`${A}:31`)).toBe(false);
      expect(ours.reached(ours.toString())).toBe(true);
    }),
  );
});

test('a MariaDB position keeps the last transaction of each domain, as zongji does', () => {
  const ours = MariadbGtids.parse('5-2-13, 0-1-270');
  const theirs = MariadbGtidPosition.parse('0-1-270,5-2-13');
  expect(ours.toString()).toBe(theirs.toString());
  // After a failover a lower number can be the newer one.
  expect(ours.reached('0-1-270')).toBe(true);
  expect(ours.reached('0-1-271,5-2-13')).toBe(false);
  expect(ours.reached('7-1-1')).toBe(false);
  ours.add('0-2-100');
  theirs.add({ domainId: 0, serverId: 2, seqNo: 100 });
  expect(ours.toString()).toBe('0-2-100,5-2-13');
  expect(ours.toString()).toBe(theirs.toString());
  expect(MariadbGtids.parse('').toString()).toBe('');
  expect(() => MariadbGtids.parse(`${A}:1`)).toThrow('Invalid GTID set');
});
