import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { DatabaseServer, type Login, OwnServer, type Recipe } from './database-server.ts';
import { postgresPrograms } from './programs.ts';
import { freePort, run, runChecked, ServerProcess, temporaryFolder } from './server-process.ts';

const PASSWORD = 'postgres';

export async function startOwnPostgres(
  version: number,
  options: readonly string[],
): Promise<PostgresServer> {
  const found = postgresPrograms(version);
  if (found === undefined) throw new Error(`Postgres ${version} is not installed`);
  const folder = temporaryFolder('postgres', true);
  const bin = await readable(found, folder);
  const dataDir = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, PASSWORD);
  await runChecked({
    program: join(bin, 'initdb'),
    args: [
      `--pgdata=${dataDir}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-sync',
    ],
    unprivileged: true,
  });
  const recipe: Recipe = {
    folder,
    // Fast shutdown: does not wait for sessions.
    stopSignal: 'SIGINT',
    launch: (port, extra) =>
      new ServerProcess({
        program: join(bin, 'postgres'),
        args: ['-D', dataDir, `--port=${port}`, '-k', folder, ...SERVER_OPTIONS, ...extra],
        unprivileged: true,
        killSignal: 'SIGQUIT', // without a checkpoint, and its children go too
      }),
    probe: async (port) => {
      const client = new pg.Client({ ...login(port), connectionTimeoutMillis: 5000 });
      try {
        await client.connect();
      } finally {
        await client.end();
      }
    },
  };
  const own = await OwnServer.open(recipe, freePort, options);
  return PostgresServer.attach(login(own.port), dataDir, own);
}

/** A server that somebody else runs: `postgresql://user:password@host:port/database`. */
export function givenPostgres(url: string): Promise<PostgresServer> {
  const parsed = new URL(url);
  return PostgresServer.attach(
    {
      host: parsed.hostname,
      port: Number(parsed.port || 5432),
      user: decodeURIComponent(parsed.username || 'postgres'),
      password: decodeURIComponent(parsed.password),
      database: parsed.pathname.slice(1) || 'postgres',
    },
    undefined,
    undefined,
  );
}

interface DatabaseLogin extends Login {
  readonly database: string;
}

const login = (port: number): DatabaseLogin => ({
  host: '127.0.0.1',
  port,
  user: 'postgres',
  password: PASSWORD,
  database: 'postgres',
});

const SERVER_OPTIONS = [
  '--listen_addresses=127.0.0.1',
  '--wal_level=logical',
  '--max_wal_senders=30',
  '--max_replication_slots=30',
  '--max_connections=200',
  '--shared_buffers=64MB',
  // Tests kill servers, not machines: what the kernel has is safe.
  '--fsync=off',
  '--TimeZone=UTC',
];

/** `bin`, or a copy that the unprivileged user can run: npm may have put it under a folder that only root can enter. */
async function readable(bin: string, folder: string): Promise<string> {
  const probe = { program: join(bin, 'postgres'), args: ['--version'], unprivileged: true };
  if ((await run(probe)).code === 0) return bin;
  const copy = join(folder, 'programs');
  mkdirSync(copy);
  cpSync(dirname(bin), copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, 'bin');
}

export class PostgresServer extends DatabaseServer {
  readonly kind = 'postgres';
  /** Database of {@link query}. */
  readonly database: string;
  #client: Promise<pg.Client> | undefined;

  private constructor(at: DatabaseLogin, dataDir?: string, own?: OwnServer) {
    super(at, dataDir, own);
    this.database = at.database;
  }

  /** The handle of a server that answers already. */
  static async attach(
    at: DatabaseLogin,
    dataDir?: string,
    own?: OwnServer,
  ): Promise<PostgresServer> {
    const handle = new PostgresServer(at, dataDir, own);
    const [row] = await handle.query<{ server_version: string }>('SHOW server_version');
    handle.version = row?.server_version ?? '';
    return handle;
  }

  get url(): string {
    return `postgresql://${encodeURIComponent(this.user)}:${encodeURIComponent(this.password)}@${this.host}:${this.port}/${this.database}`;
  }

  /** A connection of the caller's own, as the superuser unless `config` says otherwise. */
  async connect(config: pg.ClientConfig = {}): Promise<pg.Client> {
    const { host, port, user, password, database } = this;
    const client = new pg.Client({ host, port, user, password, database, ...config });
    // Without a listener a server that goes away would end the test process.
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** Runs one or several statements on the handle's connection, and returns the rows of the last one as `pg` decodes them. */
  async query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    sql: string,
    values?: readonly unknown[],
  ): Promise<Row[]> {
    this.#client ??= this.connect();
    const client = await this.#client;
    const result: pg.QueryResult<Row> | pg.QueryResult<Row>[] =
      values === undefined
        ? await client.query<Row>(sql)
        : await client.query<Row>(sql, [...values]);
    return Array.isArray(result) ? (result.at(-1)?.rows ?? []) : result.rows;
  }

  async exec(script: string): Promise<void> {
    await this.query(script);
  }

  protected async disconnect(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    // A connection that never came up has nothing to close; its user has seen the error.
    await client?.then(
      (open) => open.end(),
      () => {},
    );
  }
}
