import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batch } from '../../../src/encode/batch.ts';
import { ProxyError } from '../../../src/model/error.ts';
import type { TableSpec } from '../../../src/model/table.ts';
import { UTC } from '../../../src/lib/time-zone.ts';
import { createSnapshotCodec } from '../../../src/source/mysql/snapshot-codec.ts';
import { table } from './captured-log.ts';

const FORMS = ['generated', 'interpreted'] as const;

function linesOf(batch: Batch): string[] {
  return batch
    .bodies()
    .flatMap(({ body }) => Buffer.concat(body).toString().split('\n').slice(0, -1));
}

function packet(values: readonly (Buffer | string | null)[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      if (value === null) return [Buffer.from([0xfb])];
      const bytes = Buffer.from(value);
      if (bytes.length < 0xfb) return [Buffer.from([bytes.length]), bytes];
      const head = Buffer.alloc(4, 0xfd);
      head.writeUIntLE(bytes.length, 1, 3);
      return [head, bytes];
    }),
  );
}

function write(
  spec: TableSpec,
  form: (typeof FORMS)[number],
  packets: readonly Buffer[],
): string[] {
  const batch = new Batch();
  const codec = createSnapshotCodec(spec, UTC, form);
  for (const one of packets) {
    // Inside a larger buffer, as in mysql2's packets.
    const framed = Buffer.concat([Buffer.alloc(4, 0xee), one, Buffer.alloc(9, 0xee)]);
    codec.writeRow(framed, 4, 4 + one.length, batch.table(spec));
  }
  return [...linesOf(batch), batch.table(spec).unheld.join()];
}

test('the SELECT names the columns that are copied, numbers with all their digits, text as stored', () => {
  const base = table('t', ['id'], {
    id: 'int',
    'odd`name': 'varchar(5)',
    f: 'float',
    d: 'double',
    fixed: 'double(10,2)',
    old: 'text',
    gone: 'blob',
  });
  const spec: TableSpec = {
    ...base,
    columns: base.columns.map((column) =>
      Object.assign({}, column, {
        charset: column.name === 'old' ? 'latin1' : 'utf8mb4',
        excluded: column.name === 'gone',
      }),
    ),
  };
  const { select } = createSnapshotCodec(spec, UTC);
  expect(select).toBe('`id`, `odd``name`, `f` + 0e0, `d`, `fixed` + 0e0, CAST(`old` AS BINARY)');
  for (const form of FORMS) {
    expect(
      write(spec, form, [
        packet(['1', 'x', '1.100000023841858', '1e15', '1.5', Buffer.from([0xe9])]),
      ]),
    ).toEqual([
      '{"id":1,"odd`name":"x","f":1.1,"d":1e15,"fixed":1.5,"old":"é","__DORIS_DELETE_SIGN__":0}',
      '0,0,0,0,0,0,0',
    ]);
  }
});

test('numbers that are keys are text, as their Doris columns are', () => {
  const spec = table('t', ['f', 'd'], { f: 'float', d: 'double' });
  for (const form of FORMS) {
    expect(write(spec, form, [packet(['0.5', '1e300'])])[0]).toBe(
      '{"f":"0.5","d":"1e300","__DORIS_DELETE_SIGN__":0}',
    );
  }
});

const integer = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }).map(String);
const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.constant('long "text"\n'.repeat(900)),
);
const day = fc.constantFrom('2024-02-29', '2023-02-29', '0000-00-00', '2024-00-10', '9999-12-31');

/** Types, with texts that a server may send for them. */
const TYPES: Readonly<Record<string, fc.Arbitrary<Buffer | string>>> = {
  bigint: integer,
  'bigint unsigned': fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(String),
  'int(5) unsigned zerofill': fc.nat(99_999).map((n) => String(n).padStart(5, '0')),
  'decimal(30,2)': fc.integer().map((n) => (n / 100).toFixed(2)),
  float: fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
  date: day,
  'datetime(6)': day.map((date) => `${date} 12:34:56.789000`),
  'varchar(300)': anyText,
  longtext: anyText,
  json: anyText,
  blob: anyBytes,
  'bit(16)': fc.uint8Array({ minLength: 2, maxLength: 2 }).map((bytes) => Buffer.from(bytes)),
  'vector(3)': fc.uint8Array({ minLength: 12, maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
};

const columnTypes = fc.array(fc.constantFrom(...Object.keys(TYPES)), {
  minLength: 1,
  maxLength: 80,
});

test('generated and interpreted code write the same bytes, whatever the table', () => {
  const tables = columnTypes.chain((types) =>
    fc.record({
      types: fc.constant(types),
      rows: fc.array(fc.tuple(...types.map((type) => fc.option(TYPES[type]!, { nil: null }))), {
        maxLength: 5,
      }),
    }),
  );
  fc.assert(
    fc.property(tables, ({ types, rows }) => {
      const named = Object.fromEntries(
        types.map((type, i) => [`${'column'.repeat(i % 12)}${i}`, type]),
      );
      const spec = table('t', ['id'], { ...named, id: 'int' });
      // Numbers as names come first in an object: the order of the columns is the spec's.
      const order = spec.columns.map(({ name }) => name);
      const values = rows.map((row, id) =>
        order.map((name) => (name === 'id' ? String(id) : row[Object.keys(named).indexOf(name)]!)),
      );
      const [generated, interpreted] = FORMS.map((form) =>
        write(
          spec,
          form,
          values.map((row) => packet(row)),
        ),
      );
      expect(generated).toEqual(interpreted);
      generated!.slice(0, -1).forEach((line) => void JSON.parse(line));
      expect(generated!.length).toBe(rows.length + 1);
    }),
    { numRuns: 200 },
  );
});

test('a packet that is no row of the SELECT is refused and names the table', () => {
  const spec = table('t', ['id'], { id: 'int', v: 'text' });
  const whole = packet(['1', 'value']);
  for (const form of FORMS) {
    for (let cut = 0; cut < whole.length; cut++) {
      const run = () => write(spec, form, [whole.subarray(0, cut)]);
      expect(run, `${form}, cut at ${cut}`).toThrow(ProxyError);
      expect(run).toThrow(/shop.t/);
    }
    expect(() => write(spec, form, [packet(['1', 'value', 'more'])])).toThrow(ProxyError);
  }
});
