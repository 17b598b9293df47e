import { HttpListener, sendJson, sendNotFound, splitUrl } from './http-listener.ts';
import type { State } from './state.ts';
import { StreamLoad } from './stream-load.ts';
import { endTwoPhase } from './two-phase.ts';

const ERROR_LOGS_MAX = 1000;

/** The BE's HTTP port: Stream Load, the logs of bad rows, health (doris-target.md §1.1). */
export async function openBackend(state: State, port: number): Promise<HttpListener> {
  const errorLogs = new Map<string, string>();
  const keepErrors = (text: string): string => {
    const file = `__shard_0/error_log_insert_stmt_${errorLogs.size}-${Date.now().toString(16)}`;
    errorLogs.set(file, text);
    const [eldest] = errorLogs.keys();
    if (errorLogs.size > ERROR_LOGS_MAX && eldest !== undefined) errorLogs.delete(eldest);
    return `http://127.0.0.1:${state.ports.be}/api/_load_error_log?file=${file}`;
  };
  return HttpListener.open(port, async (request, response, proceed) => {
    if (state.faults.take('beDown') !== undefined) {
      request.socket.destroy();
      return;
    }
    const { parts, query } = splitUrl(request);
    const [api, database = '', table = '', action] = parts;
    if (api !== 'api') return sendNotFound(response);
    if (request.method === 'PUT' && parts.length === 4 && action === '_stream_load') {
      await new StreamLoad(state, request, response, database, table, keepErrors).run(proceed);
    } else if (request.method === 'PUT' && parts.length === 3 && table === '_stream_load_2pc') {
      endTwoPhase(state, request, response, database);
    } else if (request.method === 'GET' && parts.length === 2 && database === 'health') {
      sendJson(response, { status: 'OK', msg: 'To Be Added' });
    } else if (request.method === 'GET' && parts.length === 2 && database === '_load_error_log') {
      const log = errorLogs.get(query.get('file') ?? '');
      if (log === undefined) return sendNotFound(response);
      response.setHeader('content-type', 'text/plain; charset=utf-8');
      response.end(`${log}\n`);
    } else {
      sendNotFound(response);
    }
  });
}
