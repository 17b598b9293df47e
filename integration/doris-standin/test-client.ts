import { once } from 'node:events';
import { type IncomingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type Connection, type ConnectionOptions, createConnection } from 'mysql2/promise';
import type { Standin } from './standin.ts';

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpRequest {
  readonly method?: string;
  /** `undefined` takes a header away. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string | Buffer;
}

export function basic(user: string, password = ''): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** One request through `node:http`, which can send `Expect` and follows no redirect. */
export async function http(
  address: string,
  path: string,
  { body, headers = {}, method = 'GET' }: HttpRequest = {},
): Promise<HttpAnswer> {
  const given = Object.entries({ authorization: basic('root'), ...headers });
  const sent = given.filter((entry): entry is [string, string] => entry[1] !== undefined);
  const outgoing = request(`http://${address}${path}`, {
    method,
    headers: Object.fromEntries(sent),
  });
  const answered = once(outgoing, 'response');
  const refused = once(outgoing, 'error').then(([error]) => Promise.reject(error as Error));
  outgoing.end(body);
  const [response] = await Promise.race([answered, refused]);
  refused.catch(() => undefined);
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** The JSON answer of a load, as a client sees it. */
export type LoadAnswer = Readonly<Record<string, string | number>>;

/** Loads rows as JSON lines straight at the BE, strict, under a label if one is given. */
export async function load(
  standin: Standin,
  path: string,
  rows: readonly unknown[] | string | Buffer,
  headers: HttpRequest['headers'] = {},
): Promise<LoadAnswer> {
  const raw = typeof rows === 'string' || Buffer.isBuffer(rows);
  const body = raw ? rows : rows.map((row) => JSON.stringify(row)).join('\n');
  const answer = await http(standin.be, `/api/${path}/_stream_load`, {
    method: 'PUT',
    body,
    headers: {
      format: 'json',
      read_json_by_line: 'true',
      strict_mode: 'true',
      'content-length': String(Buffer.byteLength(body)),
      ...headers,
    },
  });
  return JSON.parse(answer.body) as LoadAnswer;
}

export function connect(standin: Standin, options: ConnectionOptions = {}): Promise<Connection> {
  const [host, port] = standin.query.split(':');
  return createConnection({ host: host!, port: Number(port), user: 'root', ...options });
}

/** Rows as arrays of texts: what the server sent, not what the driver makes of it. */
export async function rowsOf(connection: Connection, sql: string): Promise<(string | null)[][]> {
  const [rows] = await connection.query({
    sql,
    rowsAsArray: true,
    typeCast: (field) => field.buffer()?.toString() ?? null,
  });
  return rows as (string | null)[][];
}

/** The number and text of the error that a statement ends with. */
export async function errorOf(
  connection: Connection,
  sql: string,
): Promise<{ errno: number; message: string }> {
  try {
    await connection.query(sql);
  } catch (error) {
    const { errno = 0, message } = error as NodeJS.ErrnoException;
    return { errno, message };
  }
  throw new Error(`no error from: ${sql}`);
}
