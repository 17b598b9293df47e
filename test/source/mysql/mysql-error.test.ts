import { expect, test } from 'vitest';
import { COPY_ANEW } from '../../../src/source/copy-anew.ts';
import { ProxyError } from '../../../src/model/error.ts';
import { sourceError } from '../../../src/source/mysql/mysql-error.ts';

/** An error as mysql2 throws it for the server's. */
const server = (errno: number, sqlMessage: string): Error =>
  Object.assign(new Error(sqlMessage), { errno, sqlMessage });
const network = (code: string, message = code, errno?: number): Error =>
  Object.assign(new Error(message), { code, ...(errno === undefined ? {} : { errno }) });

test.each([
  [network('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:3306', -111), 'SOURCE_UNREACHABLE'],
  [network('ENOTFOUND', 'getaddrinfo ENOTFOUND db', -3008), 'SOURCE_UNREACHABLE'],
  [network('ETIMEDOUT', 'connect ETIMEDOUT'), 'SOURCE_UNREACHABLE'],
  [network('PROTOCOL_CONNECTION_LOST', 'Connection lost'), 'SOURCE_UNREACHABLE'],
  [
    network('HANDSHAKE_NO_SSL_SUPPORT', 'Server does not support secure connection'),
    'SOURCE_SETTING',
  ],
  [network('AUTH_SWITCH_PLUGIN_ERROR', 'auth plugin client_ed25519'), 'SOURCE_ACCESS'],
  [network('SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate'), 'SOURCE_ACCESS'],
  [server(1040, 'Too many connections'), 'SOURCE_UNREACHABLE'],
  [server(1317, 'Query execution was interrupted'), 'SOURCE_UNREACHABLE'],
  [server(1045, "Access denied for user 'x'@'h' (using password: YES)"), 'SOURCE_ACCESS'],
  [server(1142, "SELECT command denied to user 'x'@'h' for table 't'"), 'SOURCE_ACCESS'],
  [server(1146, "Table 'shop.t' doesn't exist"), 'SOURCE_TABLE'],
  [server(1054, "Unknown column 'c' in 'field list'"), 'SOURCE_TABLE'],
  [server(1236, 'binary log is not open'), 'SOURCE_SETTING'],
  [
    server(1236, 'The replica is connecting … but the source has purged binary logs'),
    'POSITION_LOST',
  ],
  [server(9999, 'something new'), 'SOURCE_SETTING'],
])('%s is %s, in its own words', (cause, code) => {
  const error = sourceError(cause, 'MySQL db:3306');
  const cure = code === 'POSITION_LOST' ? `. ${COPY_ANEW}` : '';
  expect(error).toMatchObject({ code, message: `MySQL db:3306: ${cause.message}${cure}`, cause });
});

test('what is translated already stays as it is', () => {
  const error = new ProxyError('POSITION_LOST', 'x');
  expect(sourceError(error, 'MySQL db:3306')).toBe(error);
});
