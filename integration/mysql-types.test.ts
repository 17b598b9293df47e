import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import { timeZone, UTC } from '../src/lib/time-zone.ts';
import type { TableSpec } from '../src/model/table.ts';
import { BinlogParser } from '../src/source/mysql/binlog-event.ts';
import { loadZstd } from '../src/source/mysql/compression.ts';
import { MysqlConnection } from '../src/source/mysql/mysql-connection.ts';
import { createRowCodec } from '../src/source/mysql/row-codec.ts';
import type { RowChange } from '../src/source/mysql/rows-event.ts';
import { serverZone } from '../src/source/mysql/server-zone.ts';
import { createSnapshotCodec } from '../src/source/mysql/snapshot-codec.ts';
import type { TableMap } from '../src/source/mysql/table-map.ts';
import { mysqlToDoris } from '../src/typemap/mysql-to-doris.ts';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { typeCases } from './support/mysql-type-cases.ts';

/** The JSON of each row's value by the row's id. */
type Values = ReadonlyMap<number, string>;

/** Its log is read from its files, so it must be a server of our own, whatever TEST_MYSQL_URL says: options make it one. */
const OWN_SERVER = ['--binlog-row-metadata=MINIMAL'];

const FORMS = ['generated', 'interpreted'] as const;

/** The zone of the servers' machine. */
const MACHINE_ZONE = 'America/New_York';

/** Moments in UTC, around changes of clocks, and what clocks show then. */
const MOMENTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'America/New_York': {
    '1970-01-01 00:00:01.000': '1969-12-31 19:00:01.000',
    '2024-03-10 06:59:59.999': '2024-03-10 01:59:59.999',
    '2024-03-10 07:00:00.000': '2024-03-10 03:00:00.000',
    '2024-11-03 05:30:00.500': '2024-11-03 01:30:00.500',
    '2024-11-03 06:30:00.500': '2024-11-03 01:30:00.500',
    '2038-01-19 03:14:07.999': '2038-01-18 22:14:07.999',
  },
  'Europe/Berlin': {
    '1970-01-01 00:00:01.000': '1970-01-01 01:00:01.000',
    '2024-03-31 00:59:59.000': '2024-03-31 01:59:59.000',
    '2024-03-31 01:00:00.000': '2024-03-31 03:00:00.000',
    '2024-10-27 00:59:59.001': '2024-10-27 02:59:59.001',
    '2024-10-27 01:00:00.001': '2024-10-27 02:00:00.001',
  },
  'Asia/Shanghai': {
    '1991-09-14 16:59:59.999': '1991-09-15 01:59:59.999',
    '1991-09-14 17:00:00.000': '1991-09-15 01:00:00.000',
    '2024-02-29 16:00:00.000': '2024-03-01 00:00:00.000',
  },
  '-03:30': { '2024-01-01 03:29:59.999': '2023-12-31 23:59:59.999' },
  UTC: { '2024-02-29 23:59:59.123': '2024-02-29 23:59:59.123' },
};

/**
 * Every type, with the values at its edges, goes both roads: the text of a SELECT, and the log as an insert, an update and
 * a deletion. All must be the same bytes, and the ones that are written here.
 */
describe.each(['mysql', 'mariadb'] as const)('values of %s', (kind) => {
  const cases = typeCases(kind);
  let server: MysqlServer;
  let connection: Connection;
  const specs: TableSpec[] = [];
  const snapshots = new Map<string, Values>();

  beforeAll(async () => {
    if (!available(kind)) return;
    await loadZstd();
    vi.stubEnv('TZ', MACHINE_ZONE);
    server = await (kind === 'mysql' ? startMysql : startMariadb)(OWN_SERVER);
    vi.unstubAllEnvs();
    connection = await server.connect({ charset: 'utf8mb4', rowsAsArray: true });
    await connection.query("SET time_zone = '+00:00', sql_mode = ''");
    await connection.query('CREATE DATABASE types');
    for (const [i, one] of cases.entries()) {
      for (const sql of one.before ?? []) await connection.query(sql);
      await connection.query(
        `CREATE TABLE types.t${i} (id INT PRIMARY KEY, v ${one.type}, w INT NOT NULL) CHARACTER SET utf8mb4`,
      );
      specs.push(await describeTable(connection, `t${i}`));
      // Changed between the statements, so that both forms of table maps are met.
      await connection.query('SET GLOBAL binlog_row_metadata = FULL');
      for (const [id, [literal]] of one.values.entries()) {
        await connection.query(`INSERT INTO types.t${i} VALUES (${id}, ${literal}, 0)`);
      }
      await connection.query('SET GLOBAL binlog_row_metadata = MINIMAL');
      await connection.query(`UPDATE types.t${i} SET w = 1`);
      for (const form of FORMS) {
        snapshots.set(`t${i} ${form}`, await readSnapshot(connection, specs.at(-1)!, form));
      }
      await connection.query(`DELETE FROM types.t${i}`);
      for (const sql of one.after ?? []) await connection.query(sql);
    }
    await connection.query(
      'CREATE TABLE types.moments (id INT PRIMARY KEY, v TIMESTAMP(3) NULL, w INT)',
    );
    const moments = Object.values(MOMENTS).flatMap((zone) => Object.keys(zone));
    const rows = [...moments, '0000-00-00 00:00:00'].map((text, id) => `(${id}, '${text}', 0)`);
    await connection.query(`INSERT INTO types.moments VALUES ${rows.join()}, (99, NULL, 0)`);
    await connection.query('FLUSH BINARY LOGS');
  });

  afterAll(async () => {
    await connection?.end();
    await server?.[Symbol.asyncDispose]();
  });

  test.runIf(available(kind)).each(cases.map((one, i) => [one.type, i] as const))(
    '%s is one value on every road: case %i',
    (_type, i) => {
      const { values } = cases[i]!;
      const expected = new Map(values.map(([, json], id) => [id, json]));
      for (const form of FORMS) {
        expect(snapshots.get(`t${i} ${form}`), `SELECT, ${form}`).toEqual(expected);
        for (const change of ['insert', 'update', 'delete'] as const) {
          expect(readLog(server, specs[i]!, change, form), `${change}, ${form}`).toEqual(expected);
        }
      }
    },
  );

  test.runIf(available(kind)).each(Object.keys(MOMENTS))(
    'moments by the clocks of %s are one text on both roads, the hour that comes twice too',
    async (name) => {
      const spec = await describeTable(connection, 'moments');
      const zone = timeZone(name)!;
      const all = Object.values(MOMENTS).flatMap((moments) => Object.keys(moments));
      for (const form of FORMS) {
        const snapshot = await readSnapshot(connection, spec, form, zone);
        expect(readLog(server, spec, 'insert', form, zone)).toEqual(snapshot);
        for (const [utc, local] of Object.entries(MOMENTS[name]!)) {
          expect(snapshot.get(all.indexOf(utc)), utc).toBe(`"${local}"`);
        }
        expect([snapshot.get(all.length), snapshot.get(99)]).toEqual(['null', 'null']);
        if (name !== MACHINE_ZONE) continue;
        await connection.query("SET time_zone = 'SYSTEM'");
        const [rows] = await connection.query('SELECT id, v FROM types.moments WHERE v > 0');
        await connection.query("SET time_zone = '+00:00'");
        for (const [id, text] of rows as [number, string][]) {
          expect(snapshot.get(id)).toBe(`"${text}"`);
        }
      }
    },
  );

  test.runIf(available(kind))("the server's own zone is the one that its clocks show", async () => {
    const { host, port, user, password } = server;
    await using asking = await MysqlConnection.open({
      host,
      port,
      user,
      password,
      tls: { mode: 'disable' },
    });
    expect((await serverZone(asking, 'MySQL')).name).toBe(MACHINE_ZONE);
    try {
      await connection.query("SET GLOBAL time_zone = '+05:30'");
      expect((await serverZone(asking, 'MySQL')).name).toBe('+05:30');
    } finally {
      await connection.query("SET GLOBAL time_zone = 'SYSTEM'");
    }
  });
});

/** Numbers whose text the servers and we lay out each in our own way: any bits at all must come out the same. */
describe.each(['mysql', 'mariadb'] as const)('random numbers of %s', (kind) => {
  test.runIf(available(kind))('are one text on both roads', async () => {
    await using server = await (kind === 'mysql' ? startMysql : startMariadb)(OWN_SERVER);
    const connection = await server.connect({ charset: 'utf8mb4', rowsAsArray: true });
    await connection.query("SET time_zone = '+00:00', sql_mode = ''");
    await connection.query('CREATE DATABASE types');
    await connection.query(
      'CREATE TABLE types.random (id INT PRIMARY KEY, v DOUBLE, w INT NOT NULL DEFAULT 0, f FLOAT, d DECIMAL(40,20), j JSON)',
    );
    const rows = Array.from({ length: 4000 }, (_, id) => {
      const [double, float] = [randomDouble(), randomFloat()];
      return `(${id}, ${double}, ${float}, ${double}, JSON_ARRAY(${double}, ${float}))`;
    });
    await connection.query(`INSERT INTO types.random (id, v, f, d, j) VALUES ${rows.join()}`);
    await connection.query('FLUSH BINARY LOGS');
    const spec = await describeTable(connection, 'random');
    const snapshot = new Batch();
    await fillFromSelect(connection, spec, 'generated', snapshot);
    const log = new Batch();
    fillFromLog(server, spec, 'insert', 'generated', log);
    const lines = linesOf(snapshot);
    expect(lines.length).toBe(rows.length);
    expect(linesOf(log)).toEqual(lines);
    await connection.end();
  });
});

/** Finite, of any size. */
function randomDouble(): number {
  const bytes = randomBytes(8);
  const x =
    Math.random() < 0.5 ? bytes.readDoubleLE() : bytes.readInt32LE() / 10 ** (bytes[4]! % 12);
  return Number.isFinite(x) ? x : 1e308;
}

function randomFloat(): number {
  const bytes = randomBytes(4);
  const x = Math.random() < 0.5 ? bytes.readFloatLE() : Math.fround(bytes.readInt16LE() / 100);
  return Number.isFinite(x) ? x : 1e38;
}

/** What a schema reader would say of the table. */
async function describeTable(connection: Connection, name: string): Promise<TableSpec> {
  const [rows] = await connection.query(
    `SELECT column_name, column_type, character_set_name FROM information_schema.columns
     WHERE table_schema = 'types' AND table_name = '${name}' ORDER BY ordinal_position`,
  );
  return {
    schema: 'types',
    name,
    target: name,
    key: ['id'],
    columns: (rows as [string, string, string | null][]).map(([column, type, charset]) => ({
      name: column,
      sourceType: type,
      charset: charset ?? 'none',
      dorisType: mysqlToDoris(type),
      nullable: true,
      comment: '',
    })),
  };
}

async function readSnapshot(
  connection: Connection,
  spec: TableSpec,
  form: (typeof FORMS)[number],
  zone = UTC,
): Promise<Values> {
  const batch = new Batch();
  await fillFromSelect(connection, spec, form, batch, zone);
  return valuesOf(batch);
}

async function fillFromSelect(
  connection: Connection,
  spec: TableSpec,
  form: (typeof FORMS)[number],
  batch: Batch,
  zone = UTC,
): Promise<void> {
  const codec = createSnapshotCodec(spec, zone, form);
  const [rows] = await connection.query({
    sql: `SELECT ${codec.select} FROM types.${spec.name} ORDER BY id`,
    typeCast: (field) => field.buffer(),
  });
  for (const row of rows as (Buffer | null)[][]) {
    const packet = Buffer.concat(row.map(encodeField));
    codec.writeRow(packet, 0, packet.length, batch.table(spec));
  }
}

/** As it stood in the packet: mysql2 takes the length off. */
function encodeField(value: Buffer | null): Buffer {
  if (value === null) return Buffer.from([0xfb]);
  if (value.length < 0xfb) return Buffer.concat([Buffer.from([value.length]), value]);
  const long = value.length > 0xffff;
  const head = Buffer.alloc(long ? 4 : 3, long ? 0xfd : 0xfc);
  head.writeUIntLE(value.length, 1, long ? 3 : 2);
  return Buffer.concat([head, value]);
}

function readLog(
  server: MysqlServer,
  spec: TableSpec,
  change: RowChange,
  form: (typeof FORMS)[number],
  zone = UTC,
): Values {
  const batch = new Batch();
  fillFromLog(server, spec, change, form, batch, zone);
  return valuesOf(batch);
}

/** Reads the server's files. */
function fillFromLog(
  server: MysqlServer,
  spec: TableSpec,
  change: RowChange,
  form: (typeof FORMS)[number],
  batch: Batch,
  zone = UTC,
): void {
  const maps = new Map<number, TableMap>();
  for (const event of logEvents(server.dataDir!)) {
    if (event.kind === 'table-map') maps.set(event.map.tableId, event.map);
    if (event.kind !== 'rows' || event.change !== change) continue;
    const map = maps.get(event.tableId)!;
    if (map.table !== spec.name) continue;
    createRowCodec(spec, map, zone, form).write(event, batch.table(spec));
  }
}

const logs = new Map<string, ReturnType<typeof parseLog>>();

function logEvents(dataDir: string): ReturnType<typeof parseLog> {
  let events = logs.get(dataDir);
  if (events === undefined) {
    events = parseLog(dataDir);
    logs.set(dataDir, events);
  }
  return events;
}

function parseLog(dataDir: string) {
  const parser = new BinlogParser();
  const files = readdirSync(dataDir).filter((file) => /^mysql-bin\.\d+$/.test(file));
  return files.toSorted().flatMap((file) => {
    const bytes = readFileSync(join(dataDir, file));
    const events = [];
    for (let at = 4; at < bytes.length;) {
      const end = at + bytes.readUInt32LE(at + 9);
      const event = parser.parse(bytes, at, end);
      if (event.kind === 'payload') events.push(...parser.inner(event));
      else events.push(event);
      at = end;
    }
    return events;
  });
}

function linesOf(batch: Batch): string[] {
  return batch
    .bodies()
    .flatMap(({ body }) => Buffer.concat(body).toString().split('\n').slice(0, -1));
}

/** Each line must also be valid JSON. */
function valuesOf(batch: Batch): Values {
  const row = /^\{"id":\d+,"v":(.*),"w":[01],"__DORIS_DELETE_SIGN__":[01]\}$/su;
  return new Map(
    linesOf(batch).map((line) => {
      const { id } = JSON.parse(line) as { id: number };
      return [id, row.exec(line)![1]!];
    }),
  );
}
