import { setTimeout as delay } from 'node:timers/promises';
import { ProxyError } from '../../model/error.ts';
import type { MysqlPosition } from '../../model/offset.ts';
import type { MysqlConnection } from './mysql-connection.ts';
import { COPY_ANEW } from '../copy-anew.ts';
import { MysqlGtids } from './gtid-set.ts';
import { binlogStatus, type ServerFacts } from './mysql-server.ts';

/**
 * A position before everything that a SELECT begun after this call may not see.
 *
 * The end of the log runs ahead of what is visible: a transaction is written to the binlog first and committed in the storage engine
 * afterwards (cdc-semantics.md §3.5: a delayed group commit was in SHOW BINARY LOG STATUS and not in any
 * SELECT for a second). What can be trusted instead:
 *
 * - MySQL with GTIDs: `@@gtid_executed` gets a transaction when it is committed in the engine, so a set that is read before the SELECT
 *   holds visible transactions only. It is read before file and position, which are for display.
 * - MySQL without GTIDs: `performance_schema.log_status` waits for commits under way and then blocks new ones
 *   (MySQL 8.4 manual, "The log_status Table"); it needs BACKUP_ADMIN.
 * - MariaDB: START TRANSACTION WITH CONSISTENT SNAPSHOT takes InnoDB's read view and the binlog position at the same point
 *   (MariaDB manual, "Enhancements for START TRANSACTION WITH CONSISTENT SNAPSHOT").
 * - Else: a position is read and then time passes until every commit before it is through. What lies between log and visibility is a
 *   sync of the disk, and with semi-synchronous replication the wait for a replica, 10 s by default. This is the one way without
 *   proof; it is taken only where BACKUP_ADMIN is missing. An earlier position (the start of the file) would be provable, but
 *   DDL statements between there and now would stop the job.
 */
export async function safePosition(
  connection: MysqlConnection,
  server: ServerFacts,
): Promise<MysqlPosition> {
  if (server.mariadb) return await mariadbSnapshotPosition(connection, server);
  if (server.gtids) return await latestPosition(connection, server);
  const known = await logStatus(connection, server);
  if (known !== undefined) return known;
  const sampled = await latestPosition(connection, server);
  await delay(SETTLE_MS);
  return sampled;
}

/** The newest position of the log. With GTIDs the set is read first and may be behind file and position, never ahead. */
export async function latestPosition(
  connection: MysqlConnection,
  server: ServerFacts,
): Promise<MysqlPosition> {
  const gtids = server.gtids ? await executedGtids(connection, server) : '';
  const status = await binlogStatus(connection, server);
  if (status === undefined) throw notLogging();
  return position(server, status.file, status.position, gtids);
}

/** The oldest position of the log. */
export async function earliestPosition(
  connection: MysqlConnection,
  server: ServerFacts,
): Promise<MysqlPosition> {
  const [file] = await binaryLogs(connection);
  if (file === undefined) throw notLogging();
  const gtids =
    server.gtids && !server.mariadb ? await value(connection, 'SELECT @@GLOBAL.gtid_purged') : '';
  return position(server, file.name, LOG_START, gtids);
}

/**
 * `from` with the GTIDs that were executed before its file and offset, where the server can tell them: a position that a user gave,
 * or the oldest one. Without them the job could not move to another server.
 */
export async function withGtids(
  connection: MysqlConnection,
  server: ServerFacts,
  from: MysqlPosition,
): Promise<MysqlPosition> {
  const sameServer = from.serverUuid === '' || from.serverUuid === server.uuid;
  if (!server.gtids || !sameServer || from.gtids !== '' || from.file === '') return from;
  const gtids = server.mariadb ? await mariadbGtidsAt(connection, from.file, from.pos) : '';
  if (gtids !== '') return { ...from, gtids };
  // A log that was never purged begins with nothing executed, and a dump by an empty set begins with the log.
  const [first] = await binaryLogs(connection);
  const isStart = from.pos === LOG_START && from.file === first?.name;
  const purged = server.mariadb ? '' : await value(connection, 'SELECT @@GLOBAL.gtid_purged');
  return isStart && purged === '' ? { ...from, file: '', pos: 0 } : from;
}

/** A transaction of this server is in its set when a replica that confirms it has answered, or did not within 10 s by default. */
const OWN_COMMIT_S = 12;
/** What another server has not applied by then may come later, or never. */
const OTHERS_COMMIT_S = 3;
const GTIDS_CHARS_MAX = 200;

/**
 * MySQL: makes sure that the server has every transaction that was read before. One that lost the newest ones in a crash, whose log was
 * reset, or that took over without them, would go on as if nothing were missing, and their rows would stay in Doris.
 * A dump shows a transaction before the server counts it as executed (cdc-semantics.md §3.5), so it is given the time for that.
 *
 * @throws ProxyError POSITION_LOST for the server that was read before, SOURCE_UNREACHABLE for another one: a replica may catch up.
 */
export async function expectExecuted(
  connection: MysqlConnection,
  server: ServerFacts,
  from: MysqlPosition,
): Promise<void> {
  if (server.mariadb || !server.gtids || from.gtids === '') return;
  const read = `'${MysqlGtids.parse(from.gtids).toString()}'`;
  const own = from.serverUuid === server.uuid;
  const seconds = own ? OWN_COMMIT_S : OTHERS_COMMIT_S;
  const late = await value(connection, `SELECT WAIT_FOR_EXECUTED_GTID_SET(${read}, ${seconds})`);
  if (late === '0') return;
  const missing = await value(connection, `SELECT GTID_SUBTRACT(${read}, @@GLOBAL.gtid_executed)`);
  const text = missing.replace(/\s/g, '').slice(0, GTIDS_CHARS_MAX);
  if (own) {
    throw new ProxyError(
      'POSITION_LOST',
      `the server no longer has transactions that were read from it: ${text}. Its log was reset, or lost its end in a crash. ${COPY_ANEW}`,
    );
  }
  throw new ProxyError(
    'SOURCE_UNREACHABLE',
    `server ${server.uuid} lacks transactions that were read from another one: ${text}. If it is a replica that still catches up, the ` +
      `job goes on by itself. If they were lost when it took over: ${COPY_ANEW}`,
  );
}

/** Bytes of log from `from` to the end, -1 when they cannot be told: a purged file, another server. */
export async function lagBytes(
  connection: MysqlConnection,
  server: ServerFacts,
  from: MysqlPosition,
): Promise<number> {
  if (from.serverUuid !== '' && from.serverUuid !== server.uuid) return -1;
  const logs = await binaryLogs(connection);
  const at = logs.findIndex((log) => log.name === from.file);
  if (at === -1) return -1;
  const bytes = logs.slice(at).reduce((sum, log) => sum + log.bytes, 0);
  return Math.max(0, bytes - from.pos);
}

/** Longer than `rpl_semi_sync_source_timeout` by default. */
const SETTLE_MS = 12_000;

/** Offset of a file's first event: behind the magic number. */
export const LOG_START = 4;

async function executedGtids(connection: MysqlConnection, server: ServerFacts): Promise<string> {
  return await value(
    connection,
    server.mariadb ? 'SELECT @@GLOBAL.gtid_binlog_pos' : 'SELECT @@GLOBAL.gtid_executed',
  );
}

async function logStatus(
  connection: MysqlConnection,
  server: ServerFacts,
): Promise<MysqlPosition | undefined> {
  try {
    const text = await value(connection, 'SELECT LOCAL FROM performance_schema.log_status');
    const local = JSON.parse(text) as Record<string, unknown>;
    const [file, at] = [local['binary_log_file'], local['binary_log_position']];
    return typeof file === 'string' && typeof at === 'number'
      ? position(server, file, at, '')
      : undefined;
  } catch (error) {
    // No right to it, or no such table before 8.0.11: there is another way.
    if (connection.broken) throw error;
    return undefined;
  }
}

async function mariadbSnapshotPosition(
  connection: MysqlConnection,
  server: ServerFacts,
): Promise<MysqlPosition> {
  await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
  try {
    const rows = await connection.query(`SHOW STATUS LIKE 'binlog_snapshot_%'`);
    const status = new Map(rows.map(([name, text]) => [name?.toLowerCase(), text ?? '']));
    const file = status.get('binlog_snapshot_file') ?? '';
    const at = Number(status.get('binlog_snapshot_position') ?? 0);
    if (file === '' || !(at >= LOG_START)) throw notLogging();
    return position(server, file, at, await mariadbGtidsAt(connection, file, at));
  } finally {
    if (!connection.broken) await connection.query('ROLLBACK');
  }
}

/** The GTIDs before an offset of a file, which the server reads for it; `''` when there are none. */
async function mariadbGtidsAt(
  connection: MysqlConnection,
  file: string,
  pos: number,
): Promise<string> {
  const name = `X'${Buffer.from(file).toString('hex')}'`;
  return await value(connection, `SELECT BINLOG_GTID_POS(${name}, ${pos})`);
}

interface BinaryLog {
  readonly name: string;
  readonly bytes: number;
}

async function binaryLogs(connection: MysqlConnection): Promise<readonly BinaryLog[]> {
  const rows = await connection.query('SHOW BINARY LOGS');
  return rows.map(([name, bytes]) => ({ name: name ?? '', bytes: Number(bytes) }));
}

async function value(connection: MysqlConnection, sql: string): Promise<string> {
  const [row] = await connection.query(sql);
  return row?.[0] ?? '';
}

function position(server: ServerFacts, file: string, pos: number, gtids: string): MysqlPosition {
  // MySQL breaks its sets into lines.
  return {
    kind: 'mysql',
    file,
    pos,
    gtids: gtids.replace(/\s/g, ''),
    event: 0,
    serverId: server.serverId,
    serverUuid: server.uuid,
    tsSec: 0,
  };
}

function notLogging(): ProxyError {
  return new ProxyError('SOURCE_SETTING', 'the binary log is off: start the server with log_bin');
}
