import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OwnStatements } from '../src/proxy/own-statements.ts';
import { RequestRouter } from '../src/proxy/request-router.ts';
import { recognize, type Recognized } from '../src/sql/recognize.ts';
import { tokenize } from '../src/sql/tokenizer.ts';
import { placeAnswer } from '../src/wire/answer-part.ts';
import {
  Capability,
  maskGreeting,
  maskResponse,
  readAuthSwitch,
  readChallenge,
  readGreeting,
} from '../src/wire/handshake.ts';
import { encodePacket, PacketReader, ProtocolError } from '../src/wire/packet.ts';
import { readExecute } from '../src/wire/prepared.ts';
import { readProxyHeader } from '../src/wire/proxy-header.ts';
import { mayBeOurs } from '../src/wire/request.ts';
import { ResponseWalker } from '../src/wire/response-walker.ts';
import { readAnswer } from '../src/wire/resultset.ts';
import { cutAt } from './support/bytes.ts';
import { greetingPayload, loginPayload } from './support/relay-ends.ts';

/**
 * Bad input, in bulk: what comes from strangers must not crash, hang, be taken for ours by mistake, or stay in the memory.
 * 100,000 cases; `FUZZ_CASES=1000000` for a million.
 */
const CASES = Number(process.env['FUZZ_CASES'] ?? 100_000);
const LIMIT_MS = Math.max(20_000, CASES);

/** A share of all cases; shares add up to a little more than 100 %. */
const share = (percent: number): { numRuns: number } => ({
  numRuns: Math.ceil((CASES * percent) / 100),
});

const execute = (): Promise<never> => Promise.reject(new TypeError('not called'));

/** Runs what may refuse: it returns, or throws ProtocolError. */
function refusable(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
}

const bytes = fc.uint8Array({ maxLength: 120 }).map((array) => Buffer.from(array));
const cuts = fc.array(fc.nat(400), { maxLength: 5 });

/** A valid payload with some bytes changed and perhaps its end missing. */
const damaged = (valid: Buffer): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 4 }),
      fc.nat(valid.length * 2),
    )
    .map(([changes, end]) => {
      const copy = Buffer.from(valid);
      for (const [at, value] of changes) copy[at] = value;
      return copy.subarray(0, Math.min(end, copy.length));
    });

test(
  'packets: any bytes in any pieces are packets, or refused; nothing is kept beyond the limit',
  () => {
    fc.assert(
      fc.property(bytes, cuts, (stream, at) => {
        const reader = new PacketReader(64);
        let taken = 0;
        refusable(() => {
          for (const piece of cutAt(stream, at)) {
            reader.push(piece);
            for (let packet = reader.next(); packet; packet = reader.next()) {
              expect(packet.payload.length).toBeLessThanOrEqual(64);
              taken += packet.payload.length + 4;
            }
          }
          expect(taken + reader.rest().length).toBe(stream.length);
        });
      }),
      share(15),
    );
  },
  LIMIT_MS,
);

test(
  'handshakes: greeting, login, switch of the plugin, PROXY header, EXECUTE, answers',
  () => {
    const greeting = greetingPayload({ capabilities: 0xff_ff_ff_ff, connectionId: 7 });
    const login = encodePacket(1, loginPayload(0xff_ff_ff_ff));
    const header = Buffer.from('PROXY TCP4 10.0.0.7 10.0.0.1 12345 9030\r\n');
    const any = fc.oneof(bytes, damaged(greeting), damaged(login), damaged(header));
    fc.assert(
      fc.property(any, fc.boolean(), (payload, tls) => {
        refusable(() => void readGreeting(payload));
        refusable(() => void readChallenge(payload));
        refusable(() => {
          const copy = Buffer.from(payload);
          maskGreeting(copy, tls);
          const { capabilities } = readGreeting(copy);
          expect(capabilities & (Capability.COMPRESS | Capability.QUERY_ATTRIBUTES)).toBe(0);
          expect((capabilities & Capability.SSL) !== 0).toBe(tls);
        });
        readAuthSwitch(payload);
        refusable(() => {
          const source = readProxyHeader(payload);
          if (source) expect(source.length).toBeLessThanOrEqual(payload.length);
        });
        refusable(() => void readExecute(payload, payload.length % 9, undefined, new Map()));
        refusable(() => void readAnswer(payload));
        refusable(() => void placeAnswer(Buffer.from(payload), 1, tls, true));
        if (payload.length < 36) return;
        refusable(() => {
          const head = Buffer.from(payload);
          const { sent } = maskResponse(head, tls);
          expect(sent & Capability.QUERY_ATTRIBUTES).toBe(0);
          expect(head.subarray(13, 36).every((byte) => byte === 0)).toBe(true);
        });
      }),
      share(20),
    );
  },
  LIMIT_MS,
);

test(
  'answers: the walker takes any bytes, cut anywhere, alike',
  () => {
    const kinds = fc.array(fc.constantFrom('result', 'single', 'prepare', 'rows', 'auth'), {
      maxLength: 4,
    });
    const packets = fc
      .array(fc.tuple(fc.nat(6), fc.uint8Array({ maxLength: 20 })), { maxLength: 8 })
      .map((list) => Buffer.concat(list.map(([id, payload]) => encodePacket(id, payload))));
    fc.assert(
      fc.property(kinds, fc.oneof(packets, bytes), cuts, (expected, stream, at) => {
        const states = [[stream], cutAt(stream, at)].map((pieces) => {
          const walker = new ResponseWalker();
          for (const kind of expected) walker.expect(kind, 0);
          for (const piece of pieces) walker.feed(piece);
          return [walker.pending, walker.lost, walker.status, walker.infile, walker.idle];
        });
        expect(states[1]).toEqual(states[0]);
      }),
      share(15),
    );
  },
  LIMIT_MS,
);

const WORDS = [
  'create',
  'ALTER',
  'pause',
  'resume',
  'drop',
  'cancel',
  'job',
  'task',
  'jobs',
  'tasks',
  '(',
  ')',
  '"type"',
  '=',
  '"insert"',
  '"mv"',
  'select',
  '*',
  'from',
  'where',
  'jobname',
  'on',
  'streaming',
  'mysql',
  'to',
  'database',
  'with',
  'insert',
  'into',
  'admin',
  'set',
  'frontend',
  'config',
  'show',
  'like',
  "'max_streaming_job_num'",
  ';',
  ',',
  '?',
  "'",
  '"',
  '`',
  '/*',
  '*/',
  '--',
  '#',
  '\\',
  '\n',
  '\0',
  '\uFEFF',
  '1',
  'ü',
  "'x'",
  '`y`',
  '.',
  '@@a',
  'if',
  'exists',
  'explain',
];
const sqls = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(fc.constantFrom(...WORDS), { maxLength: 25 })
      .map((words) => words.join(' ')),
  },
  {
    weight: 3,
    arbitrary: fc
      .array(fc.constantFrom(...WORDS), { maxLength: 25 })
      .map((words) => words.join('')),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }) },
);

/** Words outside quotes and comments that make a statement ours; without them it never is. */
function mayBe(sql: string): boolean {
  const words = tokenize(sql).map(({ kind, text }) =>
    kind === 'word' ? text.toLowerCase() : text,
  );
  return words.some((word) => /^(?:jobs?|tasks?|admin|show)$/.test(word));
}

function partsOf(found: Recognized | undefined): readonly string[] | undefined {
  return found?.kind === 'batch' ? found.parts.map(({ sql }) => sql) : undefined;
}

test(
  'statements: tokens cover the text in order; nothing is ours without a word of ours; nothing of ours is overlooked',
  () => {
    fc.assert(
      fc.property(sqls, (sql) => {
        let end = 0;
        for (const token of tokenize(sql)) {
          expect(token.start).toBeGreaterThanOrEqual(end);
          expect(token.end).toBeGreaterThan(token.start);
          ({ end } = token);
        }
        expect(end).toBeLessThanOrEqual(sql.length);
        const found = recognize(sql);
        if (!found) return;
        expect(mayBe(sql)).toBe(true);
        const text = Buffer.from(sql);
        expect(mayBeOurs(text, 0, text.length)).toBe(true);
        // A part of a batch is recognised alone as it is in the batch, and no part is lost.
        for (const part of partsOf(found) ?? []) expect(sql).toContain(part);
      }),
      share(40),
    );
  },
  LIMIT_MS,
);

test(
  'requests: any bytes in any pieces reach the FE as they came, but for what is ours',
  () => {
    const command = fc
      .tuple(fc.nat(40), sqls)
      .map(([code, sql]) => encodePacket(0, Buffer.concat([Buffer.of(code), Buffer.from(sql)])));
    const streams = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.array(command, { maxLength: 5 }).map((list) => Buffer.concat(list)),
      },
      { weight: 1, arbitrary: bytes },
    );
    const login = encodePacket(1, loginPayload(Capability.PROTOCOL_41));
    fc.assert(
      fc.property(streams, cuts, (stream, at) => {
        const forwarded: Buffer[] = [];
        const own: Buffer[] = [];
        const walker = new ResponseWalker();
        const statements = new OwnStatements();
        const router = new RequestRouter(
          {
            recognize: (sql) =>
              recognize(sql) ? { parameterCount: 0, columns: [], execute } : undefined,
          },
          statements,
          walker,
          {
            forward: (part) => void forwarded.push(Buffer.from(part)),
            negotiated: () => undefined,
            own: ({ packet }) => {
              own.push(Buffer.from(packet));
              return true;
            },
          },
        );
        router.push(Buffer.from(login));
        refusable(() => {
          for (const piece of cutAt(stream, at)) router.push(Buffer.from(piece));
          router.giveUp();
          const sent = Buffer.concat(forwarded).subarray(login.length);
          const ours = own.reduce((sum, packet) => sum + packet.length, 0);
          expect(sent.length + ours).toBe(stream.length);
          if (own.length === 0) expect(sent.equals(stream)).toBe(true);
          for (const packet of own) {
            // Ours is ours by its text, or by an id that only we give away.
            const text = packet.toString('utf8', 5);
            const byId = [0x17, 0x18, 0x19, 0x1a, 0x1c].includes(packet[4] ?? 0);
            expect(byId || recognize(text) !== undefined).toBe(true);
          }
          expect(router.queuedBytes).toBe(0);
        });
      }),
      share(12),
    );
  },
  LIMIT_MS,
);
