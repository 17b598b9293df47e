import { type Connection, type ConnectionOptions, createConnection } from 'mysql2';
import { once } from 'node:events';
import { ProxyError } from '../../model/error.ts';
import { sourceError } from './mysql-error.ts';
import { openPacketSocket } from './packet-memory.ts';

/** The property `ssl_mode` (job-sql.md §5.3). */
export type TlsMode =
  | { readonly mode: 'disable' }
  | { readonly mode: 'require' }
  /** `ca`: PEM. `identity`: the certificate must also name the host (JDBC's `VERIFY_IDENTITY`). */
  | { readonly mode: 'verify-ca'; readonly ca: string; readonly identity: boolean };

/** Where and as whom to connect. */
export interface MysqlEndpoint {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly tls: TlsMode;
}

/** What mysql2 gives to its option `typeCast`. */
interface TextField {
  string(encoding: string): string | null;
}

/** One row of a control query: every value as the server's text. */
export type TextRow = readonly (string | null)[];

const CONNECT_MS = 10_000;
const KEEP_ALIVE_MS = 10_000;
/** Control queries read a few rows of metadata. */
const QUERY_MS = 30_000;
/**
 * How long the server waits for us while a load delays reading, in seconds: it closes the connection otherwise
 * (`net_write_timeout`, 60 s by default).
 */
export const NET_WRITE_SECONDS = 86_400;

/**
 * UTC, so that TIMESTAMP is the same text in snapshot and binlog. An empty SQL mode, so that zero dates compare, CHAR is
 * not padded and `"` and `\` mean what they do by default. No statement is cut off by a server-wide limit.
 */
const SESSION = [
  `SET NAMES utf8mb4`,
  `SET SESSION time_zone = '+00:00', sql_mode = '', sql_select_limit = DEFAULT, sql_big_selects = 1, ` +
    `net_write_timeout = ${NET_WRITE_SECONDS}, net_read_timeout = 600, wait_timeout = 28800`,
] as const;
const STATEMENT_LIMIT = {
  mysql: 'SET SESSION max_execution_time = 0',
  mariadb: 'SET SESSION max_statement_time = 0',
} as const;

/** `MySQL host:port`, the start of every message about a server. */
export function serverName(endpoint: Pick<MysqlEndpoint, 'host' | 'port'>): string {
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `MySQL ${host}:${endpoint.port}`;
}

/** mysql2's options for `endpoint`; zongji takes the same. */
export function driverOptions(endpoint: MysqlEndpoint): ConnectionOptions {
  const { tls } = endpoint;
  return {
    host: endpoint.host,
    port: endpoint.port,
    user: endpoint.user,
    password: endpoint.password,
    charset: 'utf8mb4_general_ci',
    connectTimeout: CONNECT_MS,
    enableKeepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    // A server must not be able to ask for our files.
    flags: ['-LOCAL_FILES'],
    ...(tls.mode === 'disable'
      ? { stream: () => openPacketSocket(endpoint.host, endpoint.port, KEEP_ALIVE_MS) }
      : {}),
    ...(tls.mode === 'require' ? { ssl: { rejectUnauthorized: false } } : {}),
    ...(tls.mode === 'verify-ca'
      ? { ssl: { ca: tls.ca, rejectUnauthorized: true, verifyIdentity: tls.identity } }
      : {}),
  };
}

/** `name` as a quoted identifier. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** `text` as a string literal that no SQL mode and no character set of the session can change. */
export function textLiteral(text: string): string {
  return `_utf8mb4 X'${Buffer.from(text).toString('hex')}'`;
}

/**
 * One connection for control queries and snapshot reads. The session is in UTC with an empty SQL mode.
 * After an error it may be unusable: {@link broken}.
 */
export class MysqlConnection implements AsyncDisposable {
  /** For the snapshot's own command. */
  readonly driver: Connection;
  readonly #where: string;
  #broken = false;

  private constructor(driver: Connection, where: string) {
    this.driver = driver;
    this.#where = where;
    // mysql2 reports a lost idle connection here, and throws when nobody listens.
    driver.on('error', () => {
      this.#broken = true;
    });
    driver.on('end', () => {
      this.#broken = true;
    });
  }

  /** @throws ProxyError SOURCE_UNREACHABLE, SOURCE_ACCESS, SOURCE_SETTING. */
  static async open(endpoint: MysqlEndpoint): Promise<MysqlConnection> {
    const where = serverName(endpoint);
    const driver = createConnection(driverOptions(endpoint));
    try {
      await once(driver, 'connect');
    } catch (cause) {
      driver.on('error', () => undefined);
      driver.destroy();
      throw sourceError(cause, where);
    }
    const connection = new MysqlConnection(driver, where);
    try {
      for (const statement of SESSION) await connection.query(statement);
      await connection.query(STATEMENT_LIMIT[(await connection.isMariadb()) ? 'mariadb' : 'mysql']);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  /** Lost, or in a state that nobody knows: to be closed, not used again. */
  get broken(): boolean {
    return this.#broken;
  }

  async isMariadb(): Promise<boolean> {
    const [row] = await this.query('SELECT VERSION()');
    return /mariadb/i.test(row?.[0] ?? '');
  }

  /**
   * Runs one statement and returns its rows as text; `timeoutMs` is its deadline.
   *
   * @throws ProxyError with the server's own text; the connection is closed when the deadline passed.
   */
  async query(sql: string, timeoutMs: number = QUERY_MS): Promise<readonly TextRow[]> {
    return await new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.destroy();
        const seconds = Math.round(timeoutMs / 1000);
        const message = `${this.#where}: no answer within ${seconds} s to: ${sql.slice(0, 200)}`;
        reject(new ProxyError('SOURCE_UNREACHABLE', message));
      }, timeoutMs);
      this.driver.query(
        {
          sql,
          rowsAsArray: true,
          typeCast: (field: TextField) => field.string('utf8'),
        },
        (cause, rows) => {
          clearTimeout(late);
          if (cause === null) {
            resolve(Array.isArray(rows) ? (rows as unknown as readonly TextRow[]) : []);
            return;
          }
          if (cause.fatal) this.#broken = true;
          reject(sourceError(cause, this.#where));
        },
      );
    });
  }

  /** Closes the socket now, whatever is under way. */
  destroy(): void {
    this.#broken = true;
    this.driver.destroy();
    // `destroy` only half-closes: a server that fell silent would keep the socket for ever.
    (this.driver as unknown as { stream: { destroy(): void } }).stream.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#broken) {
      this.destroy();
      return;
    }
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, 1_000);
      this.driver.end(() => {
        clearTimeout(late);
        resolve();
      });
    });
    this.destroy();
  }
}
