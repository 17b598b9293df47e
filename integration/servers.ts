import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  givenMysql,
  type MysqlServer,
  startOwnMariadb,
  startOwnMysql,
} from './support/mysql-server.ts';
import { givenPostgres, type PostgresServer, startOwnPostgres } from './support/postgres-server.ts';
import {
  mariadbPrograms,
  MYSQL_FOLDER,
  MYSQL_PLUGINS,
  mysqlInstalled,
  mysqlProgram,
  postgresPrograms,
  pythonWith,
} from './support/programs.ts';
import { findProgram, isRoot, run, runChecked } from './support/server-process.ts';

export type { MysqlServer } from './support/mysql-server.ts';
export type { PostgresServer } from './support/postgres-server.ts';

export type ServerKind = 'mysql' | 'mariadb' | 'postgres18' | 'postgres15';
/** What the tests need of a machine: the servers, a driver that is stricter than ours, and what Python's other drivers need. */
type Part = ServerKind | 'pymysql' | 'mysqlclient';

const URL_VARIABLE: Readonly<Partial<Record<Part, string>>> = {
  mysql: 'TEST_MYSQL_URL',
  mariadb: 'TEST_MARIADB_URL',
  postgres18: 'TEST_POSTGRES_URL',
  postgres15: 'TEST_POSTGRES_URL',
};

const PRESENT: Readonly<Record<Part, () => boolean>> = {
  mysql: mysqlInstalled,
  mariadb: () => mariadbPrograms() !== undefined,
  postgres18: () => postgresPrograms(18) !== undefined,
  postgres15: () => postgresPrograms(15) !== undefined,
  pymysql: () => pythonWith('pymysql') !== undefined,
  mysqlclient: () => pythonWith('MySQLdb', 'pip') !== undefined,
};

/**
 * A real MySQL 9 with binlog, or the one that TEST_MYSQL_URL names when no options are asked for.
 * `options` are mysqld's (`--gtid-mode=OFF`) and come after ours, so they win.
 */
export async function startMysql(options: readonly string[] = []): Promise<MysqlServer> {
  const url = givenUrl('mysql', options);
  if (url !== undefined) return givenMysql('mysql', url);
  if (!mysqlInstalled()) await INSTALL.mysql();
  return startOwnMysql(options);
}

/** A real MariaDB with binlog, or the one that TEST_MARIADB_URL names when no options are asked for. */
export async function startMariadb(options: readonly string[] = []): Promise<MysqlServer> {
  const url = givenUrl('mariadb', options);
  if (url !== undefined) return givenMysql('mariadb', url);
  if (mariadbPrograms() === undefined) await INSTALL.mariadb();
  return startOwnMariadb(options);
}

/**
 * A real Postgres with `wal_level=logical`, or the one that TEST_POSTGRES_URL names when neither a version
 * nor options are asked for. `options` are the server's (`--wal_sender_timeout=3000`).
 */
export async function startPostgres(
  wanted: { readonly version?: number; readonly options?: readonly string[] } = {},
): Promise<PostgresServer> {
  const options = wanted.options ?? [];
  const url = wanted.version === undefined ? givenUrl('postgres18', options) : undefined;
  if (url !== undefined) return givenPostgres(url);
  return startOwnPostgres(wanted.version ?? 18, options);
}

/**
 * For `describe.runIf(available('mysql'))`. A server that cannot be had is never passed over in silence:
 * the reason is printed, and under CI it is an error.
 */
export function available(part: Part): boolean {
  if (isGiven(part) || PRESENT[part]()) return true;
  const reason = `${part} is not here: run "npm run servers"${orSet(part)}`;
  if (process.env['CI']) throw new Error(reason);
  console.error(`SKIPPED: ${reason}`);
  return false;
}

/** Runs MySQL 9's own client, which logs in with `mysql_native_password` only by a plugin. `\G` is one of the commands that it has to be allowed. */
export function mysqlCli(args: readonly string[], input = ''): ReturnType<typeof run> {
  return run(
    mysqlProgram('usr/bin/mysql', ['--no-defaults', MYSQL_PLUGINS, '--commands', ...args]),
    { input },
  );
}

/** Runs MySQL 9's `mysqlbinlog`. */
export function mysqlbinlog(args: readonly string[]): ReturnType<typeof run> {
  return run(mysqlProgram('usr/bin/mysqlbinlog', ['--no-defaults', ...args]));
}

/** Runs MariaDB's client. */
export function mariadbCli(args: readonly string[], input = ''): ReturnType<typeof run> {
  const client = mariadbPrograms()?.client;
  if (client === undefined) throw new Error('MariaDB is not installed');
  return run({ program: client, args: ['--no-defaults', ...args] }, { input });
}

/** Fetches the servers that are not here yet; what cannot be had is said on stderr, and is an error under CI. */
export async function installServers(): Promise<void> {
  // apt locks its state: Debian's packages in turn, MySQL's own apt state beside them.
  const debian = async (): Promise<void> => {
    await ensure('mariadb');
    await ensure('postgres15');
    await ensure('pymysql');
    await ensure('mysqlclient');
  };
  await Promise.all([ensure('mysql'), debian()]);
  available('postgres18');
}

async function ensure(kind: keyof typeof INSTALL): Promise<void> {
  if (isGiven(kind) || PRESENT[kind]()) return;
  const startMs = Date.now();
  try {
    await INSTALL[kind]();
    console.error(`${kind}: installed in ${Date.now() - startMs} ms`);
  } catch (error) {
    if (process.env['CI']) throw error;
    console.error(error instanceof Error ? error.message : error);
  }
}

const INSTALL = {
  async mysql(): Promise<void> {
    mkdirSync(MYSQL_FOLDER, { recursive: true });
    const script = join(import.meta.dirname, 'support', 'fetch-mysql.sh');
    const flock = findProgram('flock');
    if (flock === undefined)
      throw new Error('MySQL is fetched on Debian only (flock is not here); set TEST_MYSQL_URL');
    // Two test runs that start together: the second one waits, and finds the folder made.
    const args = [join(MYSQL_FOLDER, 'lock'), 'bash', script, MYSQL_FOLDER];
    try {
      await runChecked({ program: flock, args }, 300_000);
    } catch (cause) {
      throw new Error(
        `MySQL could not be fetched from Debian (network?). Set TEST_MYSQL_URL to use another one.\n${message(cause)}`,
        { cause },
      );
    }
  },
  mariadb: () => aptInstall('mariadb', ['mariadb-server-core', 'mariadb-client-core']),
  postgres15: () => aptInstall('postgres15', ['postgresql-15']),
  pymysql: () => aptInstall('pymysql', ['python3-pymysql']),
  mysqlclient: () => aptInstall('mysqlclient', ['python3-mysqldb', 'python3-pip']),
};

async function aptInstall(part: Part, packages: readonly string[]): Promise<void> {
  const apt = findProgram('apt-get');
  if (apt === undefined || !isRoot) {
    throw new Error(`${part} is not here: install ${packages.join(' and ')}${orSet(part)}`);
  }
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const options = ['-y', '-qq', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120'];
  const install = { program: apt, args: ['install', ...options, ...packages], env };
  const first = await run(install, { timeoutMs: 300_000 });
  if (first.code === 0) return;
  // A machine that was just made has no package lists; old ones name files that the mirror has dropped.
  await runChecked({ program: apt, args: ['update', '-qq'], env }, 180_000);
  await runChecked(install, 300_000);
}

const isGiven = (part: Part): boolean => Boolean(process.env[URL_VARIABLE[part] ?? '']);

function orSet(part: Part): string {
  const variable = URL_VARIABLE[part];
  return variable === undefined ? '' : `, or set ${variable}`;
}

function givenUrl(kind: ServerKind, options: readonly string[]): string | undefined {
  return options.length === 0 ? process.env[URL_VARIABLE[kind] ?? ''] || undefined : undefined;
}

const message = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
