import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BIGINT, TEXT } from '../../src/wire/column-type.ts';
import { encodePacket, PacketReader } from '../../src/wire/packet.ts';
import {
  encodeError,
  encodeOk,
  encodePrepared,
  encodeLongTable,
  encodeTable,
  readAnswer,
} from '../../src/wire/resultset.ts';

const NEW = { deprecateEof: true, status: 2 };
const OLD = { deprecateEof: false, status: 2 };

function packetsOf(bytes: Buffer): { sequence: number; payload: Buffer }[] {
  const reader = new PacketReader(bytes.length);
  reader.push(bytes);
  const packets = [];
  for (let packet = reader.next(); packet; packet = reader.next()) packets.push(packet);
  return packets;
}

const tables = fc.integer({ min: 1, max: 5 }).chain((width) =>
  fc.record({
    columns: fc.array(fc.string(), { minLength: width, maxLength: width }),
    rows: fc.array(
      fc.array(fc.option(fc.string({ unit: 'binary', maxLength: 400 })), {
        minLength: width,
        maxLength: width,
      }),
      { maxLength: 6 },
    ),
  }),
);

test('a text result is read back as it was, whichever end the connection agreed on', () => {
  fc.assert(
    fc.property(tables, fc.boolean(), (table, deprecateEof) => {
      const bytes = encodeTable(0, { deprecateEof, status: 0 }, table, 'text');
      const types = table.columns.map((name) => ({ ...TEXT, name }));
      expect(readAnswer(bytes)).toEqual({ kind: 'table', table: { ...table, types } });
    }),
  );
});

test('sequence ids go on from the request and wrap', () => {
  const table = { columns: ['a'], rows: Array.from({ length: 300 }, () => ['x']) };
  const ids = packetsOf(encodeTable(250, NEW, table, 'text')).map((packet) => packet.sequence);
  expect(ids).toEqual(Array.from({ length: 303 }, (_, i) => (251 + i) & 0xff));
});

describe('the end of a result set', () => {
  const table = { columns: ['a'], rows: [] };

  test('with DEPRECATE_EOF: no EOF after the definitions, an OK of 8 bytes with an info text', () => {
    const payloads = packetsOf(encodeTable(0, NEW, table, 'text')).map((p) => p.payload);
    expect(payloads).toHaveLength(3);
    expect([...(payloads[2] ?? [])]).toEqual([0xfe, 0, 0, 2, 0, 0, 0, 0]);
  });

  test('without it: EOF twice', () => {
    const payloads = packetsOf(encodeTable(0, OLD, table, 'text')).map((p) => p.payload);
    expect(payloads).toHaveLength(4);
    expect([...(payloads[2] ?? [])]).toEqual([0xfe, 0, 0, 2, 0]);
    expect([...(payloads[3] ?? [])]).toEqual([0xfe, 0, 0, 2, 0]);
  });
});

test('of the status flags only those of the session are repeated', () => {
  const all = packetsOf(encodeOk(0, { deprecateEof: false, status: 0xff_ff }));
  expect(all[0]?.payload.readUInt16LE(3)).toBe(0x22_03);
});

test('binary rows mark NULLs from bit 2 on', () => {
  const row = Array.from({ length: 8 }, (_, i) => (i % 3 === 0 ? null : 'v'));
  const columns = row.map((_, i) => `c${i}`);
  const payloads = packetsOf(encodeTable(0, NEW, { columns, rows: [row] }, 'binary'));
  const payload = payloads[9]?.payload ?? Buffer.alloc(0);
  // Columns 0, 3 and 6: bits 2 and 5 of the first byte, bit 0 of the second.
  expect([...payload.subarray(0, 3)]).toEqual([0, 0b0010_0100, 0b0000_0001]);
  expect(payload.toString('latin1', 3)).toBe('\x01v'.repeat(5));
});

test('a prepared statement announces its columns and parameters', () => {
  const statement = { id: 0x40_00_00_01, columns: ['a', 'b'], parameterCount: 1 };
  const [first, ...definitions] = packetsOf(encodePrepared(0, OLD, statement));
  expect([...(first?.payload ?? [])]).toEqual([0, 1, 0, 0, 0x40, 2, 0, 1, 0, 0, 0, 0]);
  expect(definitions).toHaveLength(1 + 1 + 2 + 1);
  expect(packetsOf(encodePrepared(0, NEW, statement))).toHaveLength(1 + 1 + 2);
});

describe('an ERR', () => {
  test('carries number, state and text', () => {
    expect(readAnswer(encodeError(0, 1227, '42000', 'Zugriff verweigert: ü'))).toEqual({
      kind: 'error',
      errno: 1227,
      sqlState: '42000',
      message: 'Zugriff verweigert: ü',
    });
  });

  test('is cut rather than grow over one packet', () => {
    expect(encodeError(0, 1105, 'HY000', 'x'.repeat(20_000_000)).length).toBeLessThan(66_000);
  });

  test('may come in place of a row', () => {
    const table = { columns: ['a'], rows: [['1']] };
    const result = packetsOf(encodeTable(0, NEW, table, 'text')).slice(0, 3);
    const failed = Buffer.concat([
      ...result.map((packet) => encodePacket(packet.sequence, packet.payload)),
      encodeError(3, 1317, '70100', 'interrupted'),
    ]);
    expect(readAnswer(failed)).toMatchObject({ kind: 'error', errno: 1317 });
  });
});

const column = (type: number, more: object = {}): typeof TEXT => ({ ...BIGINT, type, ...more });

describe('columns that are no texts', () => {
  const types = [column(1), column(2), column(3), column(8), column(4), column(5), column(246)];
  const row = ['-1', '-2', '70000', '-9223372036854775808', '1.5', '-0.1', '12.50'];
  const columns = row.map((_, i) => `c${i}`);

  test('keep their type in the text protocol', () => {
    const times = { columns: ['t'], types: [column(12, { decimals: 6 })], rows: [['now']] };
    expect(readAnswer(encodeTable(0, NEW, times, 'text'))).toMatchObject({
      table: { types: [{ type: 12, decimals: 6, charset: 63 }] },
    });
  });

  test('have their binary values, and times are told as texts', () => {
    const table = {
      columns: [...columns, 't'],
      types: [...types, column(12)],
      rows: [[...row, 'now']],
    };
    const payloads = packetsOf(encodeTable(0, NEW, table, 'binary')).map((p) => p.payload);
    const definitions = encodePrepared(0, NEW, { id: 1, parameterCount: 0, ...table });
    expect(
      packetsOf(definitions)
        .slice(1)
        .map((p) => p.payload),
    ).toEqual(payloads.slice(1, 9));
    expect(payloads.slice(1, 9).map((payload) => payload.at(-6))).toEqual([
      1, 2, 3, 8, 4, 5, 246, 254,
    ]);
    const values = payloads[9]!.subarray(3);
    expect(values.readInt8(0)).toBe(-1);
    expect(values.readInt16LE(1)).toBe(-2);
    expect(values.readInt32LE(3)).toBe(70_000);
    expect(values.readBigInt64LE(7)).toBe(-(2n ** 63n));
    expect(values.readFloatLE(15)).toBe(1.5);
    expect(values.readDoubleLE(19)).toBe(-0.1);
    expect(values.toString('latin1', 27)).toBe('\u000512.50\u0003now');
  });

  test('a number beyond the signed ones keeps its bits', () => {
    const table = { columns: ['n'], types: [BIGINT], rows: [['18446744073709551615']] };
    const [, , payload] = packetsOf(encodeTable(0, NEW, table, 'binary')).map((p) => p.payload);
    expect(payload?.readBigUInt64LE(2)).toBe(2n ** 64n - 1n);
  });
});

test('a long table is encoded in pieces, to the same bytes', async () => {
  const rows = Array.from({ length: 2_100 }, (_, i) => [String(i), null]);
  const table = { columns: ['a', 'b'], rows };
  for (const form of ['text', 'binary'] as const) {
    let pauses = 0;
    const pause = (): Promise<void> => {
      pauses += 1;
      return Promise.resolve();
    };
    const bytes = await encodeLongTable(pause, 0, NEW, table, form);
    expect(bytes.equals(encodeTable(0, NEW, table, form))).toBe(true);
    expect(pauses).toBe(4);
  }
});
