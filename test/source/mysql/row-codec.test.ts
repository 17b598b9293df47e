import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { Batch } from '../../../src/encode/batch.ts';
import { ProxyError } from '../../../src/model/error.ts';
import type { ColumnSpec, TableSpec } from '../../../src/model/table.ts';
import { BinlogParser } from '../../../src/source/mysql/binlog-event.ts';
import { loadZstd } from '../../../src/source/mysql/compression.ts';
import { UTC } from '../../../src/lib/time-zone.ts';
import { createRowCodec } from '../../../src/source/mysql/row-codec.ts';
import type { RowChange, RowsEvent } from '../../../src/source/mysql/rows-event.ts';
import { type MapColumn, type TableMap, TYPE } from '../../../src/source/mysql/table-map.ts';
import { capturedEvents, DOCS, ORDERS, table } from './captured-log.ts';

beforeAll(loadZstd);

const FORMS = ['generated', 'interpreted'] as const;

function linesOf(batch: Batch): string[] {
  return batch
    .bodies()
    .flatMap(({ body }) => Buffer.concat(body).toString().split('\n').slice(0, -1));
}

/** Every row of a table in a captured file, each event as a load of its own. */
function loads(
  server: 'mysql-9.7' | 'mariadb-10.11',
  spec: TableSpec,
  form: (typeof FORMS)[number],
): string[][] {
  const parser = new BinlogParser();
  let map: TableMap | undefined;
  const result: string[][] = [];
  for (const bytes of capturedEvents(server)) {
    if (bytes[4] === 39) continue; // stops the stream, see binlog-event.test.ts
    const decoded = parser.parse(bytes);
    for (const event of decoded.kind === 'payload' ? parser.inner(decoded) : [decoded]) {
      if (event.kind === 'table-map') map = event.map;
      if (event.kind !== 'rows' || map?.table !== spec.name || !event.full) continue;
      const batch = new Batch();
      createRowCodec(spec, map, UTC, form).write(event, batch.table(spec));
      result.push(linesOf(batch));
    }
  }
  return result;
}

const order = (id: number, name: string, rest: string, deleted: 0 | 1): string =>
  `{"id":${id},"name":"${name}",${rest},"__DORIS_DELETE_SIGN__":${deleted}}`;
const first = (price: string, deleted: 0 | 1): string =>
  order(
    1,
    'Grüße',
    `"price":"${price}","paid":"2024-02-29 12:34:56.789","kind":"b,c","note":"first"`,
    deleted,
  );
const second = (id: number, deleted: 0 | 1): string =>
  order(id, 'b', '"price":null,"paid":null,"kind":null,"note":null', deleted);

describe.each(FORMS)('the %s form', (form) => {
  test.each(['mysql-9.7', 'mariadb-10.11'] as const)('writes the rows of a log of %s', (server) => {
    const all = loads(server, ORDERS, form);
    expect(all.slice(0, 4)).toEqual([
      [first('12.50', 0), second(2, 0)],
      [first('13.00', 0)], // the key stayed: no deletion
      [second(2, 1), second(3, 0)], // it changed: both, the deletion with the whole row
      [first('13.00', 1)],
    ]);
    expect(JSON.parse(all[4]![0]!)).toMatchObject({ id: 4, name: 'packed', price: '1.00' });
  });

  test('writes documents and shapes as text', () => {
    expect(loads('mysql-9.7', DOCS, form).flat()).toEqual([
      String.raw`{"id":1,"j":"{\"a\": {\"text\": \"quote \\\" ü\"}, \"bb\": [1, -2.5, true, null, 18446744073709551615]}","g":"SRID=3857;POLYGON((0 0,10 0,10 10,0 0))","__DORIS_DELETE_SIGN__":0}`,
      String.raw`{"id":2,"j":"[1.50, \"2024-02-29 01:02:03.000000\", \"base64:type15:AP8=\"]","g":"GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))","__DORIS_DELETE_SIGN__":0}`,
      '{"id":3,"j":"1","g":null,"__DORIS_DELETE_SIGN__":0}',
      '{"id":5,"j":"2","g":null,"__DORIS_DELETE_SIGN__":0}',
    ]);
  });
});

function logged(type: number, meta = 0, more: Partial<MapColumn> = {}): MapColumn {
  return { type, meta, unsigned: undefined, name: undefined, ...more };
}

/** A type with how the log describes and stores it. */
interface Stored {
  readonly type: string;
  readonly map: Pick<MapColumn, 'type' | 'meta'>;
  readonly bytes: fc.Arbitrary<Buffer>;
}

const fixed = (type: string, code: number, meta: number, size: number): Stored => ({
  type,
  map: { type: code, meta },
  bytes: fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Buffer.from(bytes)),
});

function prefixed(
  type: string,
  code: number,
  meta: number,
  lengthBytes: number,
  maxLength: number,
): Stored {
  const bytes = fc
    .oneof(
      fc.uint8Array({ maxLength }),
      fc.string({ maxLength: maxLength >> 2 }).map((text) => Buffer.from(text)),
      fc.constant(Buffer.alloc(Math.min(maxLength, 6000), 'long "text"\n ')),
    )
    .map((value) => {
      const head = Buffer.alloc(lengthBytes);
      head.writeUIntLE(value.length, 0, lengthBytes);
      return Buffer.concat([head, value]);
    });
  return { type, map: { type: code, meta }, bytes };
}

const STORED: readonly Stored[] = [
  fixed('tinyint', TYPE.TINY, 0, 1),
  fixed('smallint unsigned', TYPE.SHORT, 0, 2),
  fixed('mediumint', TYPE.INT24, 0, 3),
  fixed('int', TYPE.LONG, 0, 4),
  fixed('bigint', TYPE.LONGLONG, 0, 8),
  fixed('bigint unsigned', TYPE.LONGLONG, 0, 8),
  fixed('year', TYPE.YEAR, 0, 1),
  fixed('bit(9)', TYPE.BIT, 9, 2),
  fixed('date', TYPE.DATE, 0, 3),
  fixed('datetime(3)', TYPE.DATETIME2, 3, 7),
  fixed('timestamp(6)', TYPE.TIMESTAMP2, 6, 7),
  fixed('time', TYPE.TIME2, 0, 3),
  fixed("set('a','b','c','d','e','f','g','h')", TYPE.SET, 1, 1),
  prefixed('varchar(200)', TYPE.VARCHAR, 800, 2, 200),
  prefixed('char(10)', TYPE.STRING, 40, 1, 40),
  prefixed('varbinary(50)', TYPE.VARCHAR, 50, 1, 50),
  prefixed('binary(9)', TYPE.STRING, 9, 1, 9),
  prefixed('mediumtext', TYPE.BLOB, 3, 3, 10_000),
  prefixed('longblob', TYPE.BLOB, 4, 4, 300),
];

const column = fc.record({
  stored: fc.constantFrom(...STORED),
  excluded: fc.boolean(),
  // Long and odd names: those are the ones that a generated store could get wrong.
  name: fc.constantFrom('c', 'a"b', 'x'.repeat(60), 'größe', '中文'),
});

const tables = fc.array(column, { minLength: 1, maxLength: 70 }).chain((columns) => {
  const image = fc.tuple(
    ...columns.map(({ stored }) => fc.option(stored.bytes, { freq: 5, nil: null })),
  );
  const keyCount = Math.min(2, columns.length);
  return fc.record({
    columns: fc.constant(columns),
    keys: fc.uniqueArray(fc.nat(columns.length - 1), { minLength: 1, maxLength: keyCount }),
    images: fc.array(image, { maxLength: 6 }),
  });
});

function encodeImage(values: readonly (Buffer | null)[]): Buffer {
  const nulls = Buffer.alloc((values.length + 7) >> 3);
  values.forEach((value, i) => {
    if (value === null) nulls[i >> 3]! |= 1 << (i & 7);
  });
  return Buffer.concat([nulls, ...values.filter((value) => value !== null)]);
}

function rows(change: RowChange, columnCount: number, bytes: Buffer): RowsEvent {
  const common = { kind: 'rows', tableId: 1, endsStatement: true, full: true, start: 0 } as const;
  return { ...common, change, columnCount, bytes, end: bytes.length };
}

function outcome(run: () => string[]): string[] | string {
  try {
    return run();
  } catch (error) {
    expect(error).toBeInstanceOf(ProxyError);
    return (error as Error).message;
  }
}

test('generated and interpreted code write the same bytes, whatever the table', () => {
  fc.assert(
    fc.property(
      tables,
      fc.constantFrom('insert', 'delete', 'update'),
      ({ columns, keys, images }, change) => {
        const spec: TableSpec = {
          ...table('t', [], {}),
          columns: columns.map(({ stored, excluded, name }, i) => ({
            ...table('t', [], { [`${name}${i}`]: stored.type }).columns[0]!,
            excluded: excluded && !keys.includes(i),
          })),
          key: keys.map((i) => `${columns[i]!.name}${i}`),
        };
        const map: TableMap = {
          tableId: 1,
          schema: 'shop',
          table: 't',
          columns: columns.map(({ stored }) => ({
            ...stored.map,
            unsigned: undefined,
            name: undefined,
          })),
        };
        const even = change === 'update' ? images.length & ~1 : images.length;
        const bytes = Buffer.concat(images.slice(0, even).map(encodeImage));
        const event = rows(change, columns.length, bytes);
        const [generated, interpreted] = FORMS.map((form) =>
          outcome(() => {
            const batch = new Batch();
            const codec = createRowCodec(spec, map, UTC, form);
            codec.write(event, batch.table(spec));
            return [...linesOf(batch), batch.table(spec).unheld.join()];
          }),
        );
        expect(generated).toEqual(interpreted);
        if (typeof generated !== 'string')
          generated!.slice(0, -1).forEach((line) => void JSON.parse(line));
      },
    ),
    { numRuns: 300 },
  );
});

describe('an image that is cut short', () => {
  const spec = table('t', ['id'], { id: 'int', text: 'varchar(20)', n: 'bigint' });
  const map: TableMap = {
    tableId: 1,
    schema: 'shop',
    table: 't',
    columns: [logged(TYPE.LONG, 0), logged(TYPE.VARCHAR, 80), logged(TYPE.LONGLONG, 0)],
  };
  const image = Buffer.from([0, 1, 0, 0, 0, 3, 97, 98, 99, 9, 0, 0, 0, 0, 0, 0, 0]);

  test.each(FORMS)('is never read past its end by %s code', (form) => {
    for (const change of ['insert', 'update'] as const) {
      for (let cut = 1; cut < image.length; cut++) {
        const bytes = Buffer.concat([image, Buffer.alloc(40, 0xff)]);
        const event = { ...rows(change, 3, bytes), end: cut };
        const write = () =>
          createRowCodec(spec, map, UTC, form).write(event, new Batch().table(spec));
        expect(write, `${change} cut at ${cut}`).toThrow(/shop.t: A row in the log ends/);
      }
    }
  });

  test('and one without all columns names the setting', () => {
    const event = { ...rows('update', 3, image), full: false };
    const write = () => createRowCodec(spec, map, UTC).write(event, new Batch().table(spec));
    expect(write).toThrow(/shop.t: .*binlog_row_image=FULL/);
    expect(write).toThrow(expect.objectContaining({ code: 'UNDECODABLE' }));
  });
});

describe('a table map that disagrees with the job', () => {
  const codec = (sourceType: string, ...columns: MapColumn[]) => {
    const spec = table('t', ['id'], { id: 'int', v: sourceType });
    const map = {
      tableId: 1,
      schema: 'shop',
      table: 't',
      columns: [logged(TYPE.LONG), ...columns],
    };
    return () => createRowCodec(spec, map, UTC);
  };

  test.each([
    ['int', logged(TYPE.LONGLONG)],
    ['int unsigned', logged(TYPE.LONG, 0, { unsigned: false })],
    ['int', logged(TYPE.LONG, 0, { unsigned: true })],
    ['varchar(20)', logged(TYPE.VARCHAR, 100)],
    ['varchar(20)', logged(TYPE.STRING, 80)],
    ['char(20)', logged(TYPE.STRING, 76)],
    ['decimal(10,2)', logged(TYPE.NEWDECIMAL, (10 << 8) | 3)],
    ['datetime(3)', logged(TYPE.DATETIME2, 6)],
    ['bit(9)', logged(TYPE.BIT, 10)],
    ['text', logged(TYPE.BLOB, 3)],
    ["enum('a')", logged(TYPE.SET, 1)],
    ['binary(4)', logged(TYPE.STRING, 5)],
    ['json', logged(TYPE.BLOB, 4)],
  ])('%s', (type, column_) => {
    expect(codec(type, column_)).toThrow(expect.objectContaining({ code: 'SOURCE_DDL' }));
    expect(codec(type, column_)).toThrow(/shop.t has column v in the log as type code/);
  });

  test('in the number or the names of columns is refused by name', () => {
    expect(codec('int')).toThrow(/shop.t has 1 columns in the log and 2 in the job/);
    const renamed = logged(TYPE.LONG, 0, { name: 'w' });
    expect(codec('int', renamed)).toThrow(/a column w in the log where the job knows v/);
  });
});

function day(year: number, month: number, date: number): Buffer {
  const bytes = Buffer.alloc(3);
  bytes.writeUIntLE((year << 9) | (month << 5) | date, 0, 3);
  return bytes;
}

describe('dates that Doris cannot hold', () => {
  const columns = [logged(TYPE.LONG), logged(TYPE.DATE)];
  const map: TableMap = { tableId: 1, schema: 'shop', table: 't', columns };
  const dates = [
    day(2024, 2, 29),
    day(2023, 2, 29),
    day(0, 0, 0),
    day(2024, 4, 31),
    day(1900, 2, 29),
  ];
  const event = rows(
    'insert',
    2,
    Buffer.concat(dates.map((date, i) => encodeImage([Buffer.from([i, 0, 0, 0]), date]))),
  );

  test.each(FORMS)('become NULL and are counted by %s code', (form) => {
    const spec = table('t', ['id'], { id: 'int', d: 'date' });
    const batch = new Batch();
    const codec = createRowCodec(spec, map, UTC, form);
    expect(codec.write(event, batch.table(spec))).toBe(5);
    const values = linesOf(batch).map((line) => (JSON.parse(line) as { d: string | null }).d);
    expect(values).toEqual(['2024-02-29', null, null, null, null]);
    expect(batch.unheld()).toEqual({ 't.d': 4 });
    batch.reset();
    expect(batch.unheld()).toEqual({});
  });

  test('stop the table when they are in the key, where NULL would make one row of many', () => {
    const spec = table('t', ['d'], { id: 'int', d: 'date' });
    const write = () => createRowCodec(spec, map, UTC).write(event, new Batch().table(spec));
    expect(write).toThrow(/shop.t: key column d holds a date/);
  });
});

test('a column may be excluded because nobody knows its type or its character set', () => {
  const spec = table('t', ['id'], { id: 'int', v: 'int' });
  const [id, v] = spec.columns as [ColumnSpec, ColumnSpec];
  const columns = [
    ['hologram(3)', logged(TYPE.BLOB, 2), Buffer.from([3, 0, 1, 2, 3])],
    ['varchar(300)', logged(TYPE.VARCHAR, 300), Buffer.from([2, 0, 1, 2])],
    ['char(3)', logged(TYPE.STRING, 3), Buffer.from([1, 9])],
    ['decimal(10,2)', logged(TYPE.NEWDECIMAL, (10 << 8) | 2), Buffer.alloc(5)],
    ['bit(9)', logged(TYPE.BIT, 9), Buffer.alloc(2)],
    ["enum('a')", logged(TYPE.ENUM, 1), Buffer.alloc(1)],
    ['datetime(6)', logged(TYPE.DATETIME2, 6), Buffer.alloc(8)],
    ['timestamp(1)', logged(TYPE.TIMESTAMP2, 1), Buffer.alloc(5)],
    ['time(3)', logged(TYPE.TIME2, 3), Buffer.alloc(5)],
    ['datetime(6)', logged(TYPE.DATETIME), Buffer.alloc(8)],
    ['timestamp(2)', logged(TYPE.TIMESTAMP), Buffer.alloc(5)],
    ['time', logged(TYPE.TIME), Buffer.alloc(3)],
    ['year', logged(TYPE.YEAR), Buffer.alloc(1)],
    ['json', logged(TYPE.JSON, 4), Buffer.from([1, 0, 0, 0, 4])],
  ] as const;
  const skipped = columns.map(([sourceType], i) =>
    Object.assign({}, v, { name: `c${i}`, sourceType, charset: 'unheard-of', excluded: true }),
  );
  const wide: TableSpec = { ...spec, columns: [id, ...skipped, v] };
  const map: TableMap = {
    tableId: 1,
    schema: 'shop',
    table: 't',
    columns: [logged(TYPE.LONG), ...columns.map(([, one]) => one), logged(TYPE.LONG)],
  };
  const values = [
    Buffer.from([7, 0, 0, 0]),
    ...columns.map(([, , bytes]) => bytes),
    Buffer.from([8, 0, 0, 0]),
  ];
  const event = rows('insert', values.length, encodeImage(values));
  for (const form of FORMS) {
    const batch = new Batch();
    createRowCodec(wide, map, UTC, form).write(event, batch.table(wide));
    expect(linesOf(batch)).toEqual(['{"id":7,"v":8,"__DORIS_DELETE_SIGN__":0}']);
  }
});
