import type { IncomingMessage, ServerResponse } from 'node:http';
import { basicCredentials } from './http-auth.ts';
import { sendJson } from './http-listener.ts';
import { headerReader } from './load-headers.ts';
import type { State } from './state.ts';
import { holds } from './users.ts';

/** `PUT /api/{db}/_stream_load_2pc` at the BE: the second phase of a two-phase load, abort only (doris-target.md §1.10). */
export function endTwoPhase(
  state: State,
  request: IncomingMessage,
  response: ServerResponse,
  database: string,
): void {
  const header = headerReader(request.headers);
  const answer = (status: string, msg: string): void => sendJson(response, { status, msg });
  const credentials = basicCredentials(request.headers.authorization);
  const account =
    credentials === undefined
      ? undefined
      : state.users.authenticatePlain(
          credentials.user,
          request.socket.remoteAddress ?? '',
          credentials.password,
        );
  if (account === undefined || !holds(account, 'Load_priv', database))
    return answer('NOT_AUTHORIZED', 'Access denied');
  const [label, operation] = [header('label'), header('txn_operation')];
  if (operation !== 'commit' && operation !== 'abort')
    return answer('ANALYSIS_ERROR', "transaction operation should be 'commit' or 'abort'");
  if (operation === 'commit' || label === undefined || header('txn_id') !== undefined)
    return answer('NOT_IMPLEMENTED_ERROR', 'doris-standin models only an abort by label');
  const transaction = state.transactions.find(database, label);
  if (transaction?.status !== 'PRECOMMITTED')
    return answer('ANALYSIS_ERROR', `running transaction not found, label=${label}`);
  state.transactions.finish(transaction, 'ABORTED');
  answer('Success', `label [${label}] transaction [${transaction.id}] abort successfully.`);
}
