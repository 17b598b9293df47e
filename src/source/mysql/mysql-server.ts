import type { MysqlConnection } from './mysql-connection.ts';

/** What a server says of itself; asked at every opening, because it may be another server by now. */
export interface ServerFacts {
  readonly version: string;
  readonly mariadb: boolean;
  /** `@@server_uuid`; MariaDB has none: `host:port`, as offset.ts wants it. */
  readonly uuid: string;
  readonly serverId: string;
  /**
   * Every transaction has a GTID, so positions are sets of them. MySQL: `gtid_mode=ON`. MariaDB: always.
   */
  readonly gtids: boolean;
  /** `lower_case_table_names` is not 0: table names in statements may be written in any case. */
  readonly foldsNames: boolean;
  /**
   * Rows that a foreign key changes by CASCADE or SET NULL are in the log. MySQL does so since it handles foreign keys above InnoDB: from 9.6
   * on, unless `innodb_native_foreign_keys` brings the old way back (MySQL 9.7 manual, "Replication and Foreign Keys": "cascading
   * updates and deletes generate row events for affected child tables"). Before, and in every MariaDB, InnoDB changes them unseen.
   */
  readonly logsCascades: boolean;
}

export async function readServerFacts(
  connection: MysqlConnection,
  address: string,
): Promise<ServerFacts> {
  const variables = await readVariables(connection, [
    'version',
    'server_uuid',
    'server_id',
    'gtid_mode',
    'lower_case_table_names',
    'innodb_native_foreign_keys',
  ]);
  const version = variables.get('version') ?? '';
  const mariadb = /mariadb/i.test(version);
  return {
    version,
    mariadb,
    uuid: mariadb ? address : (variables.get('server_uuid') ?? ''),
    serverId: variables.get('server_id') ?? '',
    gtids: mariadb || variables.get('gtid_mode') === 'ON',
    foldsNames: (variables.get('lower_case_table_names') ?? '0') !== '0',
    // A server that has the variable knows the new way.
    logsCascades: !mariadb && variables.get('innodb_native_foreign_keys') === 'OFF',
  };
}

/** Global variables by name; one that the server does not know is absent. Names are ours: no quoting. */
export async function readVariables(
  connection: MysqlConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const quoted = names.map((name) => `'${name}'`).join(', ');
  const rows = await connection.query(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${quoted})`);
  return new Map(rows.map(([name, value]) => [name ?? '', value ?? '']));
}

/** `SHOW MASTER STATUS` was renamed in MySQL 8.2 and removed in 8.4; MariaDB keeps it. */
export async function binlogStatus(
  connection: MysqlConnection,
  server: ServerFacts,
): Promise<BinlogStatus | undefined> {
  const [major = 0, minor = 0] = server.version.split('.').map(Number);
  const renamed = !server.mariadb && (major > 8 || (major === 8 && minor >= 2));
  const [row] = await connection.query(renamed ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS');
  if (row === undefined) return undefined;
  const [file, position, doDatabases, ignoredDatabases, gtids] = row;
  return {
    file: file ?? '',
    position: Number(position),
    doDatabases: list(doDatabases),
    ignoredDatabases: list(ignoredDatabases),
    gtids: (gtids ?? '').replace(/\s/g, ''),
  };
}

interface BinlogStatus {
  readonly file: string;
  readonly position: number;
  /** `--binlog-do-db`: when not empty, only changes of these databases are logged. */
  readonly doDatabases: readonly string[];
  readonly ignoredDatabases: readonly string[];
  /** MySQL: `Executed_Gtid_Set`. */
  readonly gtids: string;
}

function list(text: string | null | undefined): readonly string[] {
  return (text ?? '').split(',').filter((name) => name !== '');
}
