import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import type { TableSpec } from '../src/model/table.ts';
import { BinlogParser } from '../src/source/mysql/binlog-event.ts';
import { loadZstd } from '../src/source/mysql/compression.ts';
import { createRowCodec } from '../src/source/mysql/row-codec.ts';
import type { RowChange } from '../src/source/mysql/rows-event.ts';
import { createSnapshotCodec } from '../src/source/mysql/snapshot-codec.ts';
import type { TableMap } from '../src/source/mysql/table-map.ts';
import { mysqlToDoris } from '../src/typemap/mysql-to-doris.ts';
import { available, type MysqlServer, startMariadb, startMysql } from './servers.ts';
import { typeCases } from './support/mysql-type-cases.ts';

/** The JSON of each row's value by the row's id. */
type Values = ReadonlyMap<number, string>;

const FORMS = ['generated', 'interpreted'] as const;

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
    server = await (kind === 'mysql' ? startMysql : startMariadb)();
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
});

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
): Promise<Values> {
  const codec = createSnapshotCodec(spec, form);
  const batch = new Batch();
  const [rows] = await connection.query({
    sql: `SELECT ${codec.select} FROM types.${spec.name}`,
    typeCast: (field) => field.buffer(),
  });
  for (const row of rows as (Buffer | null)[][]) {
    const packet = Buffer.concat(row.map(encodeField));
    codec.writeRow(packet, 0, packet.length, batch.table(spec));
  }
  return valuesOf(batch);
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

/** Reads the server's files. Undefined data directory: a server given by URL, whose files are elsewhere. */
function readLog(
  server: MysqlServer,
  spec: TableSpec,
  change: RowChange,
  form: (typeof FORMS)[number],
): Values {
  const batch = new Batch();
  const maps = new Map<number, TableMap>();
  for (const event of logEvents(server.dataDir!)) {
    if (event.kind === 'table-map') maps.set(event.map.tableId, event.map);
    if (event.kind !== 'rows' || event.change !== change) continue;
    const map = maps.get(event.tableId)!;
    if (map.table !== spec.name) continue;
    createRowCodec(spec, map, form).write(event, batch.table(spec));
  }
  return valuesOf(batch);
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

/** Each line must also be valid JSON. */
function valuesOf(batch: Batch): Values {
  const lines = batch
    .bodies()
    .flatMap(({ body }) => Buffer.concat(body).toString().split('\n').slice(0, -1));
  return new Map(
    lines.map((line) => {
      const { id } = JSON.parse(line) as { id: number };
      return [
        id,
        /^\{"id":\d+,"v":(.*),"w":[01],"__DORIS_DELETE_SIGN__":[01]\}$/su.exec(line)![1]!,
      ];
    }),
  );
}
