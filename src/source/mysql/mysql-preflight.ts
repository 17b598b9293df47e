import { repeatsClock, type TimeZone } from '../../lib/time-zone.ts';
import { ProxyError } from '../../model/error.ts';
import type { TableSpec } from '../../model/table.ts';
import { repeatedKeyText } from '../job-zone.ts';
import type { LeaveOut, TableSelection } from '../source.ts';
import { BinlogReader } from './binlog-reader.ts';
import type { MysqlConnection, MysqlEndpoint } from './mysql-connection.ts';
import { latestPosition, LOG_START } from './mysql-position.ts';
import { cascadeFindings, type Finding, readSchema } from './mysql-schema.ts';
import { binlogStatus, readVariables, type ServerFacts } from './mysql-server.ts';

/** Where a preflight looks. */
interface Place {
  readonly connection: MysqlConnection;
  readonly endpoint: MysqlEndpoint;
  readonly server: ServerFacts;
  readonly database: string;
  readonly zone: TimeZone;
}

/**
 * Checks settings and rights, and describes the selected tables.
 *
 * @throws ProxyError with all findings in one message: the tables' first, because their texts are Doris' own.
 */
export async function preflight(
  { connection, endpoint, server, database, zone }: Place,
  selection: TableSelection,
  leaveOut?: LeaveOut,
): Promise<readonly TableSpec[]> {
  const { tables, findings } = await readSchema(connection, server, database, selection);
  const ofTables = [
    ...findings,
    ...(await zoneFindings(tables, zone)),
    ...(await cascadeFindings(connection, server, tables)),
  ];
  const sound = withoutFindings(tables, ofTables);
  const skips = leaveOut !== undefined && sound.length > 0;
  const all = [...(skips ? [] : ofTables), ...(await settingFindings(connection, server))];
  if (!all.some((finding) => finding.code === 'SOURCE_SETTING')) {
    all.push(...(await logFindings(connection, endpoint, server, database)));
  }
  const [first] = all;
  if (first !== undefined) {
    throw new ProxyError(first.code, all.map((finding) => finding.text).join('; '));
  }
  if (!skips) return tables;
  for (const { name } of tables.filter((table) => !sound.includes(table))) {
    const about = ofTables.filter((finding) => finding.tables?.includes(name));
    leaveOut(name, about.map((finding) => finding.reason ?? finding.text).join('; '));
  }
  return sound;
}

/** MariaDB 11.5 and later have TIMESTAMPs until then (MariaDB manual, TIMESTAMP). */
const TIMESTAMP_MAX_SEC = 0xffff_ffff;

async function zoneFindings(tables: readonly TableSpec[], zone: TimeZone): Promise<Finding[]> {
  const moments = tables.flatMap(({ name, columns, key }) =>
    columns
      .filter((column) => key.includes(column.name) && /^timestamp\b/i.test(column.sourceType))
      .map((column) => [name, column.name] as const),
  );
  if (moments.length === 0 || !(await repeatsClock(zone, 0, TIMESTAMP_MAX_SEC))) return [];
  return moments.map(([table, column]) => {
    const reason = repeatedKeyText(column, zone.name);
    return { code: 'SOURCE_TABLE', text: `table ${table}: ${reason}`, tables: [table], reason };
  });
}

function withoutFindings(
  tables: readonly TableSpec[],
  findings: readonly Finding[],
): readonly TableSpec[] {
  return tables.filter(({ name }) => !findings.some((f) => f.tables?.includes(name)));
}

/** A variable that the server does not have is as we need it: each of these was once made or will be dropped with one fixed value. */
const SETTINGS: readonly (readonly [name: string, wanted: string, why: string])[] = [
  ['log_bin', 'ON', 'there is no log to read'],
  ['binlog_format', 'ROW', 'changes are logged as statements'],
  ['binlog_row_image', 'FULL', 'columns that a statement does not touch are missing from the log'],
  ['binlog_row_value_options', '', 'JSON columns are logged as differences'],
];

async function settingFindings(
  connection: MysqlConnection,
  server: ServerFacts,
): Promise<readonly Finding[]> {
  const names = SETTINGS.map(([name]) => name);
  const variables = await readVariables(connection, names);
  return SETTINGS.flatMap(([name, wanted, why]): Finding[] => {
    const found = variables.get(name);
    if (found === undefined || found.toUpperCase() === wanted) return [];
    const product = server.mariadb ? 'MariaDB' : 'MySQL';
    const text = `${product} variable ${name} must be '${wanted}' but is '${found}': ${why}`;
    return [{ code: 'SOURCE_SETTING', text }];
  });
}

/** Rights are tried, not read from SHOW GRANTS: roles, wildcards and partial revokes decide on the server only. */
async function logFindings(
  connection: MysqlConnection,
  endpoint: MysqlEndpoint,
  server: ServerFacts,
  database: string,
): Promise<readonly Finding[]> {
  try {
    const status = await binlogStatus(connection, server);
    const logged =
      status === undefined ||
      (status.doDatabases.length > 0
        ? status.doDatabases.includes(database)
        : !status.ignoredDatabases.includes(database));
    if (!logged) {
      const text = `the server does not log database ${database} (binlog-do-db, binlog-ignore-db)`;
      return [{ code: 'SOURCE_SETTING', text }];
    }
    await tryDump(connection, endpoint, server);
    return [];
  } catch (error) {
    if (!(error instanceof ProxyError) || error.code !== 'SOURCE_ACCESS') throw error;
    const needed = 'the user needs REPLICATION SLAVE and REPLICATION CLIENT';
    return [{ code: 'SOURCE_ACCESS', text: `${error.message}; ${needed}` }];
  }
}

/** Opens the stream at the newest file. A server id by chance: the job's own may be streaming. */
async function tryDump(
  connection: MysqlConnection,
  endpoint: MysqlEndpoint,
  server: ServerFacts,
): Promise<void> {
  const { file } = await latestPosition(connection, server);
  const serverId = 0x7000_0000 + Math.floor(Math.random() * 0x0fff_ffff);
  const start = { kind: 'file', file, position: LOG_START } as const;
  await using _reader = await BinlogReader.open(endpoint, serverId, start);
}
