import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodePacket, PAYLOAD_MAX } from '../../src/wire/packet.ts';
import { ResponseWalker, type AnswerKind } from '../../src/wire/response-walker.ts';
import { encodeError, encodeOk, encodePrepared, encodeTable } from '../../src/wire/resultset.ts';
import { anyCuts, cutAt } from '../support/bytes.ts';

/** One answer of a server, written independently of the walker: packets with running ids. */
function packets(payloads: readonly Buffer[], first = 1): Buffer {
  let sequence = first;
  return Buffer.concat(
    payloads.map((payload) => {
      const framed = encodePacket(sequence, payload);
      sequence += Math.floor(payload.length / PAYLOAD_MAX) + 1;
      return framed;
    }),
  );
}

const eof = (status: number): Buffer => Buffer.from([0xfe, 0, 0, status & 0xff, status >> 8]);
const okEnd = (status: number, info = ''): Buffer =>
  Buffer.concat([
    Buffer.from([0xfe, 0, 0, status & 0xff, status >> 8, 0, 0, info.length]),
    Buffer.from(info),
  ]);
const ok = (status: number): Buffer =>
  Buffer.from([0, 0xfc, 1, 1, 0, status & 0xff, status >> 8, 0, 0]);
const definition = (n: number): Buffer => Buffer.from(`\x03def${'x'.repeat(n % 90)}`);

interface Model {
  readonly kind: AnswerKind;
  readonly bytes: Buffer;
}

/** Result sets of every shape a server may send, one after the other with MORE_RESULTS. */
function results(deprecateEof: boolean): fc.Arbitrary<Model> {
  const part = fc.oneof(
    fc.constant('ok' as const),
    fc.record({
      columns: fc.integer({ min: 1, max: 260 }),
      rows: fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 5 }),
    }),
  );
  return fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => {
    const payloads = parts.flatMap((one, i) => {
      const status = i < parts.length - 1 ? 0x08 : 0x02;
      if (one === 'ok') return [ok(status)];
      const count =
        one.columns < 0xfb
          ? Buffer.of(one.columns)
          : Buffer.from([0xfc, one.columns & 0xff, one.columns >> 8]);
      // A row begins with a length or NULL: never with 0xFE or 0xFF unless it is 16 MiB long.
      const rows = one.rows.map((row) => Buffer.from(row).fill((row[0] ?? 0) % 0xfc, 0, 1));
      return [
        count,
        ...Array.from({ length: one.columns }, (_, n) => definition(n)),
        ...(deprecateEof ? [] : [eof(0)]),
        ...rows,
        deprecateEof ? okEnd(status, 'x'.repeat(i * 100)) : eof(status),
      ];
    });
    return { kind: 'result', bytes: packets(payloads) };
  });
}

function answers(deprecateEof: boolean): fc.Arbitrary<Model> {
  const dialect = { deprecateEof, status: 2 };
  return fc.oneof(
    results(deprecateEof),
    fc.record({ columns: fc.nat(3), parameters: fc.nat(3) }).map(({ columns, parameters }) => ({
      kind: 'prepare' as const,
      bytes: encodePrepared(0, dialect, {
        id: 5,
        columns: Array.from({ length: columns }, (_, i) => `c${i}`),
        parameterCount: parameters,
      }),
    })),
    fc.constantFrom<AnswerKind>('result', 'single', 'prepare', 'rows').map((kind) => ({
      kind,
      bytes: encodeError(0, 1064, '42000', 'no'),
    })),
    fc.string({ maxLength: 40 }).map((text) => ({
      kind: 'single' as const,
      bytes: packets([Buffer.from(`Uptime ${text}`)]),
    })),
    fc.array(fc.nat(200), { maxLength: 4 }).map((sizes) => ({
      kind: 'rows' as const,
      bytes: packets([...sizes.map(definition), deprecateEof ? okEnd(2) : eof(2)]),
    })),
    fc.constant({
      kind: 'auth' as const,
      bytes: packets([Buffer.from('\xfemysql_native_password\0', 'latin1'), ok(2)], 1),
    }),
  );
}

const conversations = fc
  .boolean()
  .chain((deprecateEof) =>
    fc.tuple(fc.constant(deprecateEof), fc.array(answers(deprecateEof), { maxLength: 6 })),
  );

test('an answer is complete with its last byte and never before, in any cutting', () => {
  fc.assert(
    fc.property(conversations, anyCuts, ([deprecateEof, models], cuts) => {
      const walker = new ResponseWalker();
      walker.deprecateEof = deprecateEof;
      for (const { kind, bytes } of models) {
        walker.expect(kind, 0);
        for (const piece of cutAt(bytes.subarray(0, -1), cuts)) walker.feed(piece);
        expect(walker.idle).toBe(false);
        walker.feed(bytes.subarray(-1));
        expect(walker.lost).toBeUndefined();
        expect(walker.idle).toBe(true);
      }
    }),
  );
});

test('answers to commands that were sent ahead are told apart, in any cutting', () => {
  fc.assert(
    fc.property(conversations, anyCuts, ([deprecateEof, models], cuts) => {
      const walker = new ResponseWalker();
      walker.deprecateEof = deprecateEof;
      for (const { kind } of models) walker.expect(kind, 0);
      for (const [i, { bytes }] of models.entries()) {
        for (const piece of cutAt(bytes, cuts)) walker.feed(piece);
        expect(walker.pending).toBe(models.length - i - 1);
      }
      expect(walker.lost).toBeUndefined();
      expect(walker.idle).toBe(true);
    }),
  );
});

test("our own answers are read like a server's", () => {
  for (const deprecateEof of [true, false]) {
    const walker = new ResponseWalker();
    walker.deprecateEof = deprecateEof;
    const dialect = { deprecateEof, status: 1 };
    const table = { columns: ['a', 'b'], rows: [['x', null]] };
    for (const bytes of [
      encodeTable(0, dialect, table, 'text'),
      encodeTable(0, dialect, table, 'binary'),
      encodeOk(0, dialect),
    ]) {
      walker.expect('result', 0);
      walker.feed(bytes);
      expect(walker.idle).toBe(true);
      expect(walker.status).toBe(1);
    }
  }
});

describe('rows of 16 MiB', () => {
  test.each([PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 5])(
    'of %i bytes: a continuation that looks like an end is none',
    (length) => {
      const walker = new ResponseWalker();
      walker.deprecateEof = true;
      walker.expect('result', 0);
      // The row's continuation begins with 0xFE, and is short.
      const row = Buffer.alloc(length, 0xfe);
      row[0] = 0xfd;
      const head = packets([Buffer.of(1), definition(1), row]);
      walker.feed(head);
      expect(walker.pending).toBe(1);
      walker.feed(packets([okEnd(2)], length >= PAYLOAD_MAX ? 5 : 4));
      expect(walker.idle).toBe(true);
      expect(walker.lost).toBeUndefined();
    },
  );

  test('a row that begins with a 0xFE length is no end', () => {
    const walker = new ResponseWalker();
    walker.deprecateEof = true;
    walker.expect('result', 0);
    const row = Buffer.alloc(PAYLOAD_MAX + 9, 0);
    row[0] = 0xfe;
    walker.feed(packets([Buffer.of(1), definition(1), row]));
    expect(walker.pending).toBe(1);
  });
});

describe('special answers', () => {
  test('a cursor: the answer ends with the EOF of the definitions', () => {
    const walker = new ResponseWalker();
    walker.expect('result', 0);
    walker.feed(packets([Buffer.of(1), definition(1), eof(0x42)]));
    expect(walker.idle).toBe(true);
  });

  test("Doris' additional OK after the metadata: the rows after it still belong to the answer", () => {
    const walker = new ResponseWalker();
    walker.deprecateEof = true;
    walker.expect('result', 0);
    walker.feed(packets([Buffer.of(1), definition(1), okEnd(0)]));
    walker.feed(packets([Buffer.from('\x01a'), Buffer.from('\x01b')], 4));
    expect(walker.pending).toBe(1);
    walker.feed(packets([okEnd(0)], 6));
    expect(walker.idle).toBe(true);
    expect(walker.lost).toBeUndefined();
  });

  test("LOCAL INFILE: the OK follows the client's last packet", () => {
    const walker = new ResponseWalker();
    walker.expect('result', 0);
    walker.feed(packets([Buffer.from('\xfbfile.csv', 'latin1')]));
    expect(walker.infile).toBe(true);
    expect(walker.pending).toBe(1);
    walker.replied(2);
    walker.replied(3);
    walker.feed(packets([ok(2)], 4));
    expect(walker.idle).toBe(true);
  });

  test('the answer to a request of several packets begins with the id after its last', () => {
    const walker = new ResponseWalker();
    walker.expect('result', 0);
    walker.continued(1);
    walker.continued(2);
    walker.feed(packets([ok(2)], 3));
    expect(walker.idle).toBe(true);
    expect(walker.lost).toBeUndefined();
  });

  test('an EOF after prepared definitions that had been agreed away', () => {
    const walker = new ResponseWalker();
    walker.deprecateEof = true;
    walker.expect('prepare', 0);
    walker.feed(
      encodePrepared(
        0,
        { deprecateEof: false, status: 0 },
        {
          id: 1,
          columns: ['a'],
          parameterCount: 0,
        },
      ),
    );
    expect(walker.lost).toBeUndefined();
    expect(walker.idle).toBe(true);
  });

  test('an ERR that nobody asked for', () => {
    const walker = new ResponseWalker();
    walker.feed(encodeError(-1, 1927, '70100', 'Connection was killed'));
    expect(walker.lost).toBeUndefined();
    expect(walker.idle).toBe(true);
  });
});

test('bytes that cannot be an answer are noticed', () => {
  const walker = new ResponseWalker();
  walker.expect('result', 0);
  walker.feed(packets([ok(2)], 9));
  expect(walker.lost).toContain('sequence id 9');
});

test('the walker only looks: no input makes it throw', () => {
  const kinds = fc.array(
    fc.constantFrom<AnswerKind>('result', 'single', 'prepare', 'rows', 'auth'),
  );
  fc.assert(
    fc.property(kinds, fc.uint8Array({ maxLength: 200 }), anyCuts, (expected, noise, cuts) => {
      const walker = new ResponseWalker();
      for (const kind of expected) walker.expect(kind, 0);
      for (const piece of cutAt(Buffer.from(noise), cuts)) walker.feed(piece);
    }),
  );
  // Noise with valid framing gets further.
  const framed = fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 12 });
  fc.assert(
    fc.property(kinds, framed, fc.boolean(), (expected, payloads, deprecateEof) => {
      const walker = new ResponseWalker();
      walker.deprecateEof = deprecateEof;
      for (const kind of expected) walker.expect(kind, 0);
      walker.feed(packets(payloads.map((payload) => Buffer.from(payload))));
    }),
  );
});
