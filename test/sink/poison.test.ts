import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bareReply, type LoadReply } from '../../src/sink/load-reply.ts';
import { findPoison, keyText } from '../../src/sink/poison.ts';
import type { LoadRequest } from '../../src/sink/stream-load.ts';

const requestOf = (rows: number, perBuffer = 3): LoadRequest => {
  const lines = Array.from({ length: rows }, (_, id) => `{"id":${id}}\n`);
  const body: Buffer[] = [];
  for (let i = 0; i < rows; i += perBuffer)
    body.push(Buffer.from(lines.slice(i, i + perBuffer).join('')));
  const bytes = body.reduce((sum, { length }) => sum + length, 0);
  const rules = { strictMode: true, maxFilterRatio: 0.5, timeoutS: 1 };
  return { database: 'd', table: 't', label: 'L', body, bytes, rows, ...rules };
};

const idsOf = ({ body }: LoadRequest): number[] =>
  Buffer.concat(body)
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { id: number }).id);

test('a refused row is found among any others, with few probes that say what they hold', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 200 }),
      fc.array(fc.nat(199), { minLength: 1, maxLength: 4 }),
      async (rows, wanted) => {
        const bad = new Set(wanted.map((id) => id % rows));
        const labels: string[] = [];
        const probe = (request: LoadRequest): Promise<LoadReply> => {
          labels.push(request.label);
          expect(request).toMatchObject({ probe: true, maxFilterRatio: 0 });
          const ids = idsOf(request);
          expect(request.rows).toBe(ids.length);
          expect(request.bytes).toBe(Buffer.concat(request.body).length);
          const refused = ids.find((id) => bad.has(id));
          return Promise.resolve(
            refused === undefined
              ? bareReply('precommitted', 'OK')
              : bareReply('data', `row ${refused}`),
          );
        };
        const { row, suspects, reply } = await findPoison(requestOf(rows), probe);
        const { id } = JSON.parse(row) as { id: number };
        expect(bad).toContain(id);
        expect(suspects).toBe(1);
        expect(reply?.message).toBe(`row ${id}`);
        expect(labels).toEqual(labels.map((_, i) => `L_b${i + 1}`));
        expect(labels.length).toBeLessThanOrEqual(Math.ceil(Math.log2(rows)) + 1);
      },
    ),
  );
});

test('the search ends where an answer is missing or the time is over, with what is known by then', async () => {
  const answers: LoadReply[] = [bareReply('data', 'no'), bareReply('unreachable', 'gone')];
  const cut = await findPoison(requestOf(8), () => Promise.resolve(answers.shift()!));
  expect(cut).toMatchObject({ row: '{"id":0}', suspects: 4, reply: { message: 'no' } });
  let now = 0;
  const late = await findPoison(
    requestOf(8),
    () => {
      now += 20_000;
      return Promise.resolve(bareReply('data', 'no'));
    },
    () => now,
  );
  expect(late.suspects).toBe(2);
});

test('a key is told as it was sent, digits included, long values cut', () => {
  const row = '{"id":12345678901234567890,"s":"a \\"1\\" 2","v":{"x":3},"t":"long text"}';
  expect(keyText(row, ['id'], 40)).toBe('id = 12345678901234567890');
  expect(keyText(row, ['s', 'id'], 40)).toBe('s = "a \\"1\\" 2", id = 12345678901234567890');
  expect(keyText(row, ['t'], 5)).toBe('t = "long…');
  expect(keyText(row, ['id', 'gone'], 40)).toBeUndefined();
  expect(keyText('1, a, NULL', ['id'], 40)).toBeUndefined();
  expect(keyText(row, [], 40)).toBeUndefined();
});
