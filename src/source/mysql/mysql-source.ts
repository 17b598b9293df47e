import assert from 'node:assert/strict';
import type { TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { SnapshotSplit } from '../../model/job.ts';
import type { Position } from '../../model/offset.ts';
import { tableId, type TableSpec } from '../../model/table.ts';
import type { ChangeStream, LeaveOut, Source, SplitReader, TableSelection } from '../source.ts';
import { MysqlConnection, serverName } from './mysql-connection.ts';
import type { MysqlOptions } from './mysql-options.ts';
import {
  earliestPosition,
  expectExecuted,
  lagBytes,
  latestPosition,
  safePosition,
  withGtids,
} from './mysql-position.ts';
import { preflight } from './mysql-preflight.ts';
import { cascadeFindings, readCollations } from './mysql-schema.ts';
import { readServerFacts, type ServerFacts } from './mysql-server.ts';
import { MysqlSplitReader } from './mysql-snapshot.ts';
import { nextSplit, splitSource } from './mysql-splits.ts';
import { MysqlStream } from './mysql-stream.ts';
import { serverZone } from './server-zone.ts';

/** Connections kept open between uses: control queries and snapshot reads run side by side. */
const IDLE_MAX = 4;

/** A MySQL or MariaDB server as a source of one database. */
export class MysqlSource implements Source {
  readonly #options: MysqlOptions;
  readonly #server: ServerFacts;
  readonly #idle: MysqlConnection[];
  /** Of the tables that are split: the columns' collations do not change while a job follows them. */
  readonly #collations = new Map<string, Promise<ReadonlyMap<string, string>>>();
  #zone: TimeZone | undefined;
  #closed = false;

  private constructor(options: MysqlOptions, server: ServerFacts, connection: MysqlConnection) {
    this.#options = options;
    this.#server = server;
    this.#idle = [connection];
    this.#zone = options.zone;
  }

  /** @throws ProxyError SOURCE_UNREACHABLE, SOURCE_ACCESS, SOURCE_SETTING. */
  static async open(options: MysqlOptions): Promise<MysqlSource> {
    const connection = await MysqlConnection.open(options.endpoint);
    try {
      const address = serverName(options.endpoint).replace('MySQL ', '');
      const server = await readServerFacts(connection, address);
      return new MysqlSource(options, server, connection);
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  async findTimeZone(): Promise<string> {
    const where = serverName(this.#options.endpoint);
    this.#zone =
      this.#options.askedZone() ??
      (await this.#with((connection) => serverZone(connection, where)));
    return this.#zone.name;
  }

  async preflight(selection: TableSelection, leaveOut?: LeaveOut): Promise<readonly TableSpec[]> {
    const { endpoint, database } = this.#options;
    const server = this.#server;
    const zone = this.#jobZone();
    return await this.#with((connection) =>
      preflight({ connection, endpoint, server, database, zone }, selection, leaveOut),
    );
  }

  async safePosition(): Promise<Position> {
    return await this.#with((connection) => safePosition(connection, this.#server));
  }

  async latestPosition(): Promise<Position> {
    return await this.#with((connection) => latestPosition(connection, this.#server));
  }

  async earliestPosition(): Promise<Position> {
    return await this.#with((connection) => earliestPosition(connection, this.#server));
  }

  async lagBytes(from: Position): Promise<number> {
    if (from.kind !== 'mysql') return -1;
    return await this.#with((connection) => lagBytes(connection, this.#server, from));
  }

  async nextSplit(
    table: TableSpec,
    rows: number,
    previous: SnapshotSplit | undefined,
  ): Promise<SnapshotSplit | undefined> {
    return await this.#with(async (connection) =>
      nextSplit(connection, table, await this.#collationsOf(table, connection), rows, previous),
    );
  }

  async readSplit(table: TableSpec, split: SnapshotSplit): Promise<SplitReader> {
    const connection = await this.#take();
    try {
      const source = splitSource(table, await this.#collationsOf(table, connection), split);
      return new MysqlSplitReader(
        connection,
        table,
        this.#jobZone(),
        source,
        serverName(this.#options.endpoint),
        (used) => this.#giveBack(used),
      );
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  async openStream(tables: readonly TableSpec[], from: Position): Promise<ChangeStream> {
    if (from.kind !== 'mysql') {
      throw new ProxyError('POSITION_LOST', 'the recorded position is not one of MySQL');
    }
    const { endpoint, serverId } = this.#options;
    const server = this.#server;
    const zone = this.#jobZone();
    const start = await this.#with(async (connection) => {
      // A server that was replaced or restarted with other settings may not log what it logged at CREATE JOB.
      const [finding] = await cascadeFindings(connection, server, tables);
      if (finding !== undefined) throw new ProxyError(finding.code, finding.text);
      await expectExecuted(connection, server, from);
      return await withGtids(connection, server, from);
    });
    return await MysqlStream.open({ endpoint, server, serverId, tables, zone, from: start });
  }

  /** A job leaves nothing at a MySQL server. */
  async release(): Promise<void> {
    // Nothing to remove.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#idle.splice(0).map((connection) => connection[Symbol.asyncDispose]()));
  }

  #jobZone(): TimeZone {
    assert(this.#zone !== undefined, 'the zone of a new job is found before anything else');
    return this.#zone;
  }

  #collationsOf(
    table: TableSpec,
    connection: MysqlConnection,
  ): Promise<ReadonlyMap<string, string>> {
    const id = tableId(table);
    let collations = this.#collations.get(id);
    if (collations === undefined) {
      collations = readCollations(connection, table);
      this.#collations.set(id, collations);
      collations.catch(() => this.#collations.delete(id));
    }
    return collations;
  }

  async #with<T>(use: (connection: MysqlConnection) => Promise<T>): Promise<T> {
    const connection = await this.#take();
    try {
      return await use(connection);
    } finally {
      this.#giveBack(connection);
    }
  }

  async #take(): Promise<MysqlConnection> {
    for (let found = this.#idle.pop(); found !== undefined; found = this.#idle.pop()) {
      if (!found.broken) return found;
      found.destroy();
    }
    return await MysqlConnection.open(this.#options.endpoint);
  }

  #giveBack(connection: MysqlConnection): void {
    if (connection.broken || this.#closed || this.#idle.length >= IDLE_MAX) connection.destroy();
    else this.#idle.push(connection);
  }
}
