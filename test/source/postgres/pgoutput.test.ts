import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ProxyError } from '../../../src/model/error.ts';
import {
  readBegin,
  readCommit,
  readRelation,
  readTruncate,
  TupleCursor,
  VALUE,
} from '../../../src/source/postgres/pgoutput.ts';
import * as message from '../../support/pgoutput-messages.ts';

test('begin, commit and truncate', () => {
  const begin = message.begin(0x16_b374_d848n, 0xffff_fffe);
  expect(readBegin(begin, 0, begin.length)).toEqual({
    commitLsn: 0x16_b374_d848n,
    xid: 0xffff_fffe,
  });
  const commit = message.commit(10n, 20n, 1_000_000n);
  expect(readCommit(commit, 0, commit.length)).toEqual({ endLsn: 20n, usec: 946_684_801_000_000n });
  const truncate = message.truncate([1, 0xffff_ffff]);
  expect(readTruncate(truncate, 0, truncate.length)).toEqual([1, 0xffff_ffff]);
});

test('a relation with odd names; pg_catalog is the empty schema', () => {
  const columns = [
    { name: 'Ü "x"', oid: 1043, modifier: 14, identity: true },
    { name: '', oid: 25 },
  ];
  const bytes = message.relation(7, '', 'tä', columns, 'f');
  expect(readRelation(bytes, 0, bytes.length)).toEqual({
    oid: 7,
    schema: 'pg_catalog',
    name: 'tä',
    identity: 'f',
    columns: [
      { name: 'Ü "x"', typeOid: 1043, modifier: 14, identity: true },
      { name: '', typeOid: 25, modifier: -1, identity: false },
    ],
  });
});

test('tuples are read back as they were written', () => {
  const value = fc.option(fc.oneof(fc.string(), fc.constant(undefined)), { nil: null });
  fc.assert(
    fc.property(fc.array(value), (values) => {
      const bytes = message.insert(9, values);
      const cursor = new TupleCursor();
      expect(cursor.open(bytes, 0, bytes.length, 6)).toBe(values.length);
      const read = values.map(() => {
        cursor.next();
        if (cursor.kind === VALUE.NULL) return null;
        if (cursor.kind === VALUE.UNCHANGED) return undefined;
        return bytes.toString('utf8', cursor.from, cursor.to);
      });
      cursor.finish();
      expect(read).toEqual(
        values.map((v) => (typeof v === 'string' ? Buffer.from(v).toString() : v)),
      );
    }),
  );
});

test('a message that is cut, lengthened or altered is refused by name, or read within its bounds', () => {
  const whole = [
    message.begin(1n, 2),
    message.commit(1n, 2n),
    message.relation(1, 's', 't', [{ name: 'a', oid: 23 }]),
    message.truncate([1, 2]),
  ];
  const read = [readBegin, readCommit, readRelation, readTruncate];
  fc.assert(
    fc.property(fc.nat(3), fc.nat(200), fc.nat(200), fc.nat(255), (kind, cut, at, byte) => {
      // Other messages lie behind it in the same buffer: none of their bytes may be taken for its own.
      const bytes = Buffer.concat([whole[kind]!, Buffer.alloc(64, 0x41)]);
      const end = Math.min(cut, bytes.length);
      if (at < end && at > 0) bytes[at] = byte;
      try {
        read[kind]!(bytes, 0, end);
      } catch (error) {
        expect(error).toBeInstanceOf(ProxyError);
        expect((error as ProxyError).code).toBe('UNDECODABLE');
      }
    }),
    { numRuns: 2000 },
  );
  for (const [kind, bytes] of whole.entries()) {
    expect(() => read[kind]!(bytes, 0, bytes.length - 1)).toThrow(ProxyError);
    const longer = Buffer.concat([bytes, Buffer.alloc(1)]);
    expect(() => read[kind]!(longer, 0, longer.length)).toThrow(ProxyError);
  }
});

test('a tuple never reaches beyond its message', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
      const bytes = Buffer.concat([Buffer.from('I'), Buffer.alloc(5), noise]);
      const cursor = new TupleCursor();
      try {
        const count = cursor.open(bytes, 0, bytes.length, 6);
        for (let i = 0; i < count; i++) {
          cursor.next();
          expect(cursor.to).toBeLessThanOrEqual(bytes.length);
          expect(cursor.from).toBeLessThanOrEqual(cursor.to);
        }
        cursor.finish();
      } catch (error) {
        expect((error as ProxyError).code).toBe('UNDECODABLE');
      }
    }),
    { numRuns: 2000 },
  );
});
