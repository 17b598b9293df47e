import type { Connection, RowDataPacket } from 'mysql2/promise';
import { Batch, type LoadBody } from '../../src/encode/batch.ts';
import type { ColumnSpec, TableSpec } from '../../src/model/table.ts';
import { DorisSink, type DorisSinkOptions } from '../../src/sink/doris-sink.ts';
import { FrontendClient } from '../../src/sink/frontend-client.ts';
import type { HostPort } from '../../src/sink/http-target.ts';
import { createTable } from '../../src/sink/table-ddl.ts';
import { startDoris, type DorisHandle } from './doris.ts';

export const PROPERTIES = { 'table.create.properties.replication_num': '1' };
export const STRICT = { strictMode: true, maxFilterRatio: 0, sequence: 1 };

export function column(name: string, dorisType: string, comment = ''): ColumnSpec {
  return { name, sourceType: 'x', dorisType, nullable: true, comment };
}

export function spec(target: string, columns: readonly ColumnSpec[], key = ['id']): TableSpec {
  return { schema: 'src', name: target, target, columns, key };
}

export const ID_AND_NAME = [column('id', 'INT'), column('name', 'VARCHAR(20)')];

/** JSON lines of `[id, name]` rows; a row without a name is a delete that knows only the key. */
export function bodyOf(table: TableSpec, rows: readonly (readonly [number, string?])[]): LoadBody {
  const batch = new Batch();
  const out = batch.table(table);
  for (const [id, name] of rows) {
    out.startRow();
    out.startColumn(0);
    out.integer(id);
    out.startColumn(1);
    if (name === undefined) out.null();
    else out.quotedText(name);
    out.endRow(name === undefined);
  }
  return batch.bodies()[0]!;
}

let fresh = 0;
export const newLabel = (): string => `it_${Date.now()}_${fresh++}`;

function hostPort(text: string): HostPort {
  const [host = '', port] = text.split(':');
  return { host, port: Number(port) };
}

/** A Doris with a database of its own, and the sink's parts in front of it. */
export class SinkWorld implements AsyncDisposable {
  readonly database: string;
  readonly client: Connection;
  readonly frontend: FrontendClient;
  readonly #doris: DorisHandle;

  private constructor(doris: DorisHandle, client: Connection, database: string) {
    this.#doris = doris;
    this.client = client;
    this.database = database;
    this.frontend = new FrontendClient({ frontends: [hostPort(doris.fe)], ...this.#account });
  }

  static async open(database: string): Promise<SinkWorld> {
    const doris = await startDoris();
    const client = await doris.connect();
    await client.query(`DROP DATABASE IF EXISTS ${database} FORCE`);
    await client.query(`CREATE DATABASE ${database}`);
    return new SinkWorld(doris, client, database);
  }

  get #account(): { readonly user: string; readonly password: string } {
    return { user: this.#doris.dorisUser, password: this.#doris.dorisPassword };
  }

  sink(options: Partial<DorisSinkOptions> = {}): DorisSink {
    return new DorisSink({
      frontends: [hostPort(this.#doris.feHttp)],
      ...this.#account,
      retryMs: 20_000,
      backoff: { firstMs: 20, maxMs: 500 },
      ...options,
    });
  }

  async makeTable(
    name: string,
    columns: readonly ColumnSpec[] = ID_AND_NAME,
    properties: Readonly<Record<string, string>> = {},
  ): Promise<TableSpec> {
    const table = spec(name, columns);
    const all = { ...PROPERTIES, ...properties };
    await this.frontend.execute(createTable(this.database, table, all));
    return table;
  }

  async rowsOf(table: TableSpec): Promise<unknown[][]> {
    const [rows] = await this.client.query<RowDataPacket[][]>({
      sql: `SELECT id, name FROM ${this.database}.${table.target} ORDER BY id`,
      rowsAsArray: true,
    });
    return rows;
  }

  /** Arms the stand-in's switches. */
  async fault(faults: Record<string, unknown>): Promise<void> {
    const response = await fetch(`http://${this.#doris.feHttp}/_standin/faults`, {
      method: 'PUT',
      body: JSON.stringify(faults),
    });
    if (response.status !== 200) throw new Error(await response.text());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.frontend[Symbol.asyncDispose]();
    await this.client.query(`DROP DATABASE IF EXISTS ${this.database} FORCE`);
    await this.client.end();
    await this.#doris[Symbol.asyncDispose]();
  }
}
