import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import mysql, { type Connection, type ConnectionOptions, type RowDataPacket } from 'mysql2/promise';
import { DatabaseServer, type Login, OwnServer, type Recipe } from './database-server.ts';
import {
  CACHE_FOLDER,
  type MariadbPrograms,
  mariadbPrograms,
  MYSQLD_PATHS,
  mysqlProgram,
} from './programs.ts';
import {
  type Command,
  freePort,
  isRoot,
  runChecked,
  ServerProcess,
  temporaryFolder,
} from './server-process.ts';

/** The password of `root` on servers that we start: the one of the manual's first example. */
const ROOT_PASSWORD = '123456';

const COMMON_OPTIONS = [
  '--bind-address=127.0.0.1',
  '--server-id=1',
  '--log-bin=mysql-bin',
  '--binlog-format=ROW',
  '--skip-name-resolve',
  '--innodb-buffer-pool-size=64M',
  // Tests kill servers, not machines: what the kernel has is safe.
  '--sync-binlog=0',
  '--innodb-flush-log-at-trx-commit=2',
  '--performance-schema=OFF',
  '--max-connections=400',
] as const;

/** Options that a data directory is made with and cannot change later. */
const INIT_OPTION =
  /^--(lower[-_]case[-_]table[-_]names|innodb[-_]page[-_]size|innodb[-_]data[-_]file[-_]path)/;

export async function startOwnMysql(options: readonly string[]): Promise<MysqlServer> {
  const folder = temporaryFolder('mysql');
  const dataDir = join(folder, 'data');
  const initOptions = options.filter((option) => INIT_OPTION.test(option));
  if (initOptions.length > 0) await initialize(dataDir, initOptions);
  else await copyOfEmpty(dataDir);
  const socket = join(folder, 'sock');
  const recipe = mysqlRecipe(folder, socket, (port, extra) =>
    mysqlProgram('usr/sbin/mysqld', [
      '--no-defaults',
      ...MYSQLD_PATHS,
      ...asRoot(),
      `--datadir=${dataDir}`,
      `--port=${port}`,
      `--socket=${socket}`,
      `--pid-file=${folder}/pid`,
      '--mysqlx=OFF',
      '--innodb-redo-log-capacity=64M',
      ...COMMON_OPTIONS,
      ...extra,
    ]),
  );
  return openOwn('mysql', recipe, socket, dataDir, options);
}

export async function startOwnMariadb(options: readonly string[]): Promise<MysqlServer> {
  const programs = mariadbPrograms();
  if (programs === undefined) throw new Error('MariaDB is not installed');
  const folder = temporaryFolder('mariadb');
  const dataDir = join(folder, 'data');
  await installMariadb(programs, dataDir, options);
  const socket = join(folder, 'sock');
  const recipe = mysqlRecipe(folder, socket, (port, extra) => ({
    program: programs.server,
    args: [
      '--no-defaults',
      ...asRoot(),
      `--datadir=${dataDir}`,
      `--port=${port}`,
      `--socket=${socket}`,
      `--pid-file=${folder}/pid`,
      '--innodb-log-file-size=16M',
      ...COMMON_OPTIONS,
      ...extra,
    ],
  }));
  return openOwn('mariadb', recipe, socket, dataDir, options);
}

/** A server that somebody else runs: `mysql://user:password@host:port`. Its binlog settings are its owner's. */
export async function givenMysql(kind: 'mysql' | 'mariadb', url: string): Promise<MysqlServer> {
  const parsed = new URL(url);
  const login = {
    host: parsed.hostname,
    port: Number(parsed.port || 3306),
    user: decodeURIComponent(parsed.username || 'root'),
    password: decodeURIComponent(parsed.password),
  };
  return MysqlServer.attach(kind, login);
}

const asRoot = (): string[] => (isRoot ? ['--user=root'] : []);

async function initialize(dataDir: string, options: readonly string[]): Promise<void> {
  await runChecked(
    mysqlProgram('usr/sbin/mysqld', [
      '--no-defaults',
      ...MYSQLD_PATHS,
      ...asRoot(),
      `--datadir=${dataDir}`,
      '--innodb-redo-log-capacity=16M',
      ...options,
      '--initialize-insecure',
    ]),
  );
}

/** Initialising takes mysqld seconds, copying what it made does not. */
async function copyOfEmpty(dataDir: string): Promise<void> {
  const template = join(CACHE_FOLDER, 'mysql', 'empty-data');
  if (!existsSync(template)) {
    const fresh = `${template}.${process.pid}`;
    await initialize(fresh, []);
    // Each copy is a server of its own: it makes its own server_uuid.
    rmSync(join(fresh, 'auto.cnf'), { force: true });
    try {
      renameSync(fresh, template);
    } catch (error) {
      rmSync(fresh, { recursive: true });
      if (!existsSync(template)) throw error;
    }
  }
  mkdirSync(dataDir);
  cpSync(template, dataDir, { recursive: true });
}

async function installMariadb(
  programs: MariadbPrograms,
  dataDir: string,
  options: readonly string[],
): Promise<void> {
  // Of its own: two servers that are made at the same moment have met in the common one.
  const tmpDir = `${dataDir}.tmp`;
  mkdirSync(tmpDir);
  await runChecked({
    program: programs.installDb,
    args: [
      '--no-defaults',
      ...asRoot(),
      `--datadir=${dataDir}`,
      `--tmpdir=${tmpDir}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--innodb-log-file-size=16M',
      ...options.filter((option) => INIT_OPTION.test(option)),
    ],
  });
}

function mysqlRecipe(
  folder: string,
  socketPath: string,
  command: (port: number, options: readonly string[]) => Command,
): Recipe {
  return {
    folder,
    stopSignal: 'SIGTERM',
    launch: (port, options) => new ServerProcess(command(port, options)),
    // Through the socket file, which is this server's for certain. The first probe that gets through sets the password.
    async probe() {
      const base = { user: 'root', socketPath, connectTimeout: 5000 };
      try {
        const connection = await mysql.createConnection({ ...base, password: ROOT_PASSWORD });
        connection.destroy();
      } catch {
        await setRootPassword(await mysql.createConnection(base));
      }
    },
  };
}

async function setRootPassword(connection: Connection): Promise<void> {
  try {
    await connection.query('SET sql_log_bin = 0');
    await connection.query(`CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '${ROOT_PASSWORD}'`);
    await connection.query("GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION");
    // mariadb-install-db makes more users without a password, and the most specific host would win.
    const [others] = await connection.query<RowDataPacket[]>(
      "SELECT User, Host FROM mysql.user WHERE User = '' OR (User = 'root' AND Host NOT IN ('%', 'localhost'))",
    );
    for (const { User: user, Host: host } of others) {
      await connection.query('DROP USER ?@?', [user, host]);
    }
    await connection.query(`ALTER USER 'root'@'localhost' IDENTIFIED BY '${ROOT_PASSWORD}'`);
  } finally {
    connection.destroy();
  }
}

async function openOwn(
  kind: 'mysql' | 'mariadb',
  recipe: Recipe,
  socket: string,
  dataDir: string,
  options: readonly string[],
): Promise<MysqlServer> {
  const server = await OwnServer.open(recipe, freePort, options);
  const login = { host: '127.0.0.1', port: server.port, user: 'root', password: ROOT_PASSWORD };
  return MysqlServer.attach(kind, login, { server, dataDir, socket });
}

export class MysqlServer extends DatabaseServer {
  readonly kind: 'mysql' | 'mariadb';
  /** Path of the Unix socket; undefined for a server given by URL. */
  readonly socket: string | undefined;
  #connection: Promise<Connection> | undefined;

  private constructor(
    kind: 'mysql' | 'mariadb',
    at: Login,
    own?: { readonly server: OwnServer; readonly dataDir: string; readonly socket: string },
  ) {
    super(at, own?.dataDir, own?.server);
    this.kind = kind;
    this.socket = own?.socket;
  }

  /** The handle of a server that answers already. */
  static async attach(
    kind: 'mysql' | 'mariadb',
    at: Login,
    own?: { readonly server: OwnServer; readonly dataDir: string; readonly socket: string },
  ): Promise<MysqlServer> {
    const handle = new MysqlServer(kind, at, own);
    const [row] = await handle.query<{ version: string }>('SELECT VERSION() AS version');
    handle.version = row?.version ?? '';
    return handle;
  }

  get url(): string {
    return `mysql://${encodeURIComponent(this.user)}:${encodeURIComponent(this.password)}@${this.host}:${this.port}`;
  }

  /** A connection of the caller's own, as the server's root unless `options` says otherwise. */
  connect(options: ConnectionOptions = {}): Promise<Connection> {
    return mysql.createConnection({
      host: this.host,
      port: this.port,
      user: this.user,
      password: this.password,
      charset: 'utf8mb4',
      dateStrings: true,
      supportBigNumbers: true,
      multipleStatements: true,
      ...options,
    });
  }

  /**
   * Runs one or several statements on the handle's connection, and returns the rows of the last one that has rows.
   * Numbers that a double cannot hold, decimals and dates come as text.
   */
  async query<Row = Record<string, unknown>>(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    this.#connection ??= this.connect();
    const connection = await this.#connection;
    const [result] = await connection.query<RowDataPacket[] | RowDataPacket[][]>(sql, [...values]);
    if (!Array.isArray(result)) return [];
    const sets = result.filter((part): part is RowDataPacket[] => Array.isArray(part));
    return (sets.length > 0 ? (sets.at(-1) ?? []) : result) as Row[];
  }

  async exec(script: string): Promise<void> {
    await this.query(script);
  }

  protected async disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    // A connection that never came up has nothing to close; its user has seen the error.
    await connection?.then(
      (open) => open.destroy(),
      () => {},
    );
  }
}
