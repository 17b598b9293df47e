import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { typeText } from './column-type.ts';
import { basicCredentials } from './http-auth.ts';
import { HttpListener, sendJson, sendNotFound, splitUrl } from './http-listener.ts';
import { readDorisVersion } from './session-variables.ts';
import type { Fault } from './faults.ts';
import type { State } from './state.ts';
import { type Account, holds, identity } from './users.ts';

/** Envelope of the REST calls: always HTTP 200, `code` tells (doris-target.md §1.1). */
function envelope(response: ServerResponse, code: number, msg: string, data: unknown): void {
  sendJson(response, { msg, code, data, count: 0 });
}

/** Envelope of a refused load. */
function loadFailed(response: ServerResponse, msg: string): void {
  sendJson(response, { status: 'FAILED', msg });
}

/** The FE's HTTP port: the redirect of loads, look-ups, and the switches of the stand-in. */
export function openFrontend(state: State, port: number): Promise<HttpListener> {
  return HttpListener.open(port, async (request, response) => {
    const { parts, query } = splitUrl(request);
    if (parts[0] === '_standin') return control(state, request, response, parts[1]);
    if (state.faults.take('feDown') !== undefined) {
      request.socket.destroy();
      return;
    }
    if (parts[0] !== 'api') return sendNotFound(response);
    if (parts.length === 2 && parts[1] === 'health')
      return envelope(response, 0, 'success', { online_backend_num: 1, total_backend_num: 1 });
    if (parts.length === 2 && parts[1] === 'bootstrap')
      return envelope(response, 0, 'success', {
        replayedJournalId: 0,
        queryPort: state.ports.query,
        rpcPort: 0,
        version: readDorisVersion(state.settings.versionComment),
      });
    const account = authenticate(state, request);
    if (account === undefined)
      return envelope(response, 401, 'Unauthorized', 'Access denied: wrong user or password');
    const isLoad = request.method === 'PUT' && parts.length === 4 && parts[3] === '_stream_load';
    if (isLoad) return redirect(state, request, response, account, parts);
    const isSecondPhase =
      request.method === 'PUT' && parts.length === 3 && parts[2] === '_stream_load_2pc';
    if (isSecondPhase) return toBackend(state, request, response);
    if (request.method !== 'GET') return sendNotFound(response);
    return lookUp(state, response, account, parts, query);
  });
}

function authenticate(state: State, request: IncomingMessage): Account | undefined {
  const credentials = basicCredentials(request.headers.authorization);
  if (credentials === undefined) return undefined;
  const address = request.socket.remoteAddress ?? '';
  return state.users.authenticatePlain(credentials.user, address, credentials.password);
}

/** The FE's part of a load, checks in Doris' order (§1.2). The body is never read and `100 Continue` never sent. */
function redirect(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
  account: Account,
  [, database = '', table = '']: readonly string[],
): void {
  const groupCommit = request.headers['group_commit'];
  if (
    groupCommit !== undefined &&
    !/^(?:async_mode|sync_mode|off_mode)$/i.test(String(groupCommit))
  )
    return loadFailed(
      response,
      'Header `group_commit` only supports `sync_mode`, `async_mode` or `off_mode`.',
    );
  if (request.headers.expect === undefined)
    return loadFailed(response, 'There is no 100-continue header');
  if (database === '') return loadFailed(response, 'No database selected.');
  if (table === '') return loadFailed(response, 'No table selected.');
  if (!holds(account, 'Load_priv', database, table))
    return loadFailed(
      response,
      `errCode = 2, detailMessage = LOAD command denied to user ${identity(account)} for table '${database}: ${table}'`,
    );
  toBackend(state, request, response);
}

/** 307 to the BE, which is the only one. */
function toBackend(state: State, request: IncomingMessage, response: ServerResponse): void {
  if (state.faults.isArmed('beDown')) {
    state.faults.take('beDown');
    return loadFailed(
      response,
      'errCode = 2, detailMessage = No backend load available, policy: load available',
    );
  }
  const { user, password } = basicCredentials(request.headers.authorization)!;
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  response.statusCode = 307;
  response.setHeader(
    'location',
    `http://${uriEncode(user)}:${uriEncode(password)}@127.0.0.1:${state.ports.be}${path}?${query}`,
  );
  response.setHeader('content-type', 'text/html;charset=utf-8');
  // The client may be sending a body that nobody reads.
  response.setHeader('connection', 'close');
  response.end();
}

/** Java's rules for user info: these characters stay (§1.2). */
function uriEncode(text: string): string {
  return encodeURIComponent(text).replaceAll(/%(?:3A|3B|2C|26|3D|2B|24)/g, decodeURIComponent);
}

function lookUp(
  state: State,
  response: ServerResponse,
  account: Account,
  parts: readonly string[],
  query: URLSearchParams,
): void {
  const [, first = '', second = '', third] = parts;
  if (parts.length === 2 && first === 'backends') {
    if (!holds(account, 'Admin_priv'))
      return envelope(response, 401, 'Unauthorized', 'Access denied');
    const backend = { ip: '127.0.0.1', http_port: state.ports.be, is_alive: true };
    const down = state.faults.isArmed('beDown');
    return envelope(response, 0, 'success', { backends: down ? [] : [backend] });
  }
  if (parts.length === 3 && second === 'get_load_state') {
    const label = query.get('label');
    if (label === null) return envelope(response, 1, 'Error', 'No label selected.');
    if (!state.catalog.databases.has(first))
      return envelope(response, 1, 'Error', `unknown database, database=${first}`);
    return envelope(response, 0, 'success', state.transactions.state(first, label));
  }
  if (parts.length === 4 && third === '_schema')
    return schema(state, response, account, first, second);
  sendNotFound(response);
}

function schema(
  state: State,
  response: ServerResponse,
  account: Account,
  database: string,
  name: string,
): void {
  if (!holds(account, 'Select_priv', database, name))
    return envelope(response, 401, 'Unauthorized', `SELECT command denied for table '${name}'`);
  const table = state.catalog.databases.get(database)?.tables.get(name);
  if (table === undefined)
    return envelope(
      response,
      1,
      'Error',
      `Table [${name}] does not exist in database [${database}].`,
    );
  const properties = table.columns.map(({ name: column, type, comment, isKey }) => ({
    name: column,
    type: typeText(type).replace(/\(.*/, '').toUpperCase(),
    comment,
    aggregation_type: isKey || table.model === 'DUPLICATE' ? '' : 'REPLACE',
    ...(type.name === 'DECIMAL'
      ? { precision: String(type.precision), scale: String(type.scale) }
      : {}),
  }));
  const keysType = table.model === 'UNIQUE' ? 'UNIQUE_KEYS' : 'DUP_KEYS';
  envelope(response, 0, 'success', { keysType, properties, status: 200 });
}

/** `PUT /_standin/faults` arms, `DELETE` disarms all; `PUT /_standin/release` lets go what they hold; `GET /_standin/loads` shows the attempts to load. */
async function control(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
  what: string | undefined,
): Promise<void> {
  if (what === 'faults' && request.method === 'PUT') {
    try {
      state.faults.set((await json(request)) as Record<string, Partial<Fault>>);
    } catch (error) {
      response.statusCode = 400;
      return sendJson(response, { error: String(error) });
    }
  } else if (what === 'faults' && request.method === 'DELETE') {
    state.faults.clear();
  } else if (what === 'release' && request.method === 'PUT') {
    state.faults.release();
  } else if (what === 'loads' && request.method === 'GET') {
    return sendJson(response, state.loads);
  } else if (what !== 'faults' || request.method !== 'GET') {
    return sendNotFound(response);
  }
  sendJson(response, state.faults.list());
}
