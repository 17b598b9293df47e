import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/**
 * Where each line of the relay's checklist (wire.md §6) is tested: the behaviour, and beginnings of the tests' titles by their files.
 * Tests of `integration/` say and hear the same directly and through the proxy, unless the behaviour is the proxy's own; those of `test/`
 * have both ends in their hands.
 */
const CHECKLIST: Readonly<Record<string, readonly [string, Readonly<Record<string, string>>]>> = {
  1: [
    'passwords right, wrong, empty, unknown user',
    { 'integration/proxy-relay': '1: a password' },
  ],
  2: [
    "host rules and lists show the client's address",
    { 'integration/proxy-network': '2: a user of' },
  ],
  3: [
    'MySQL 9 CLI without TLS, full and fast login',
    { 'integration/proxy-relay-mysql9': '3: caching' },
  ],
  4: ['MySQL 9 CLI over TLS, FE plain', { 'integration/proxy-tls': '3, 4, 5: caching' }],
  5: [
    'MySQL 9 CLI over TLS, FE TLS, its certificate',
    { 'integration/proxy-tls': '5: an FE whose' },
  ],
  6: ['TLS clients that are strict about ids', { 'integration/proxy-tls': '6: clients' }],
  7: [
    'ClientHello in the segment of the SSLRequest',
    { 'integration/proxy-tls': '7: the ClientHello', 'test/proxy/tls': '7: a client' },
  ],
  8: ['TLS not configured', { 'integration/proxy-tls': '8: TLS that neither' }],
  9: ['LDAP', { 'integration/proxy-relay-mysql9': '9: LDAP' }],
  10: [
    'compression asked',
    {
      'integration/proxy-relay': '10: a client',
      'integration/proxy-relay-mysql9': '10: asked for',
    },
  ],
  11: [
    'query attributes',
    { 'integration/proxy-relay': '11: query', 'integration/proxy-relay-mysql9': '11: query' },
  ],
  12: ['long connect attributes', { 'integration/proxy-relay': '12: connect' }],
  13: ['database in the login', { 'integration/proxy-relay': '13: a database' }],
  14: [
    'USE, COM_INIT_DB, SWITCH, CHANGE_USER, then job statements',
    { 'integration/job-sessions': '14: names without' },
  ],
  15: ['results identical in every byte', { 'integration/proxy-relay': '15: statements' }],
  '15a': [
    'parallel results to slow readers',
    { 'integration/proxy-relay-large': '15a: eight', 'test/proxy/flow': 'eight results at once' },
  ],
  16: ['500 MB to a slow reader', { 'integration/proxy-relay-large': '16: a result' }],
  17: [
    'statements and a row of 20 and 40 MB',
    { 'integration/proxy-relay-large': '17: statements' },
  ],
  18: [
    '16 MB boundaries, both ways',
    { 'integration/proxy-own-answers': '18: a statement and a row' },
  ],
  19: ['LOAD DATA LOCAL that reads like DROP JOB', { 'integration/proxy-relay-large': '19: LOAD' }],
  20: ['LOAD DATA LOCAL refused, empty, cut', { 'integration/proxy-relay': '20: LOAD' }],
  21: [
    'several statements in one packet',
    { 'integration/proxy-relay': '21: several', 'integration/proxy-relay-large': '17, 21 with' },
  ],
  22: [
    'batches with a job statement',
    {
      'integration/proxy-own-answers': '22: a batch',
      'integration/job-sessions': '22: without several',
    },
  ],
  23: [
    'every way of writing a statement of ours',
    { 'test/sql/recognize': 'statements of ours', 'integration/job-sessions': '23: however' },
  ],
  24: [
    'look-alikes',
    { 'test/sql/recognize': 'statements of Doris', 'integration/proxy-relay': '24: what only' },
  ],
  25: [
    "prepared statements of the FE's",
    { 'integration/proxy-relay': '25: prepared', 'integration/relay-clients': 'relayed' },
  ],
  26: [
    'prepared jobs()',
    {
      'integration/proxy-own-answers': '26, 28: prepared',
      'integration/job-clients': 'a job by %s',
    },
  ],
  27: [
    "ours and the FE's mixed; 10,000 prepares",
    {
      'integration/proxy-own-answers': '27: ours and those',
      'test/proxy/own-statements': '10,000 of them',
    },
  ],
  28: [
    'SEND_LONG_DATA, RESET, FETCH, unknown ids',
    {
      'integration/proxy-own-answers': '26, 28: prepared',
      'test/proxy/own-statements': 'FETCH, unknown ids',
    },
  ],
  29: [
    'cursors of all JDBC drivers, with and without rows',
    {
      'test/proxy/own-statements': '29: Connector/J',
      'integration/job-clients': 'useCursorFetch=true&defaultFetchSize=1',
    },
  ],
  30: [
    'CHANGE_USER, RESET_CONNECTION, with job statements and prepared ones',
    {
      'integration/proxy-relay': '30: CHANGE_USER',
      'integration/proxy-tls': '30: CHANGE_USER',
      'integration/proxy-own-answers': '30: a pool',
      'integration/job-sessions': '30: after CHANGE_USER',
    },
  ],
  31: ['pipelining', { 'integration/proxy-own-answers': '31, 32: ours among' }],
  32: ['ours behind a slow one', { 'integration/proxy-own-answers': '31, 32: ours among' }],
  33: [
    'Ctrl-C and KILL',
    {
      'integration/proxy-relay': '33: KILL',
      'integration/proxy-relay-mysql9': '33: Ctrl-C',
      'test/proxy/listener': 'the first FE is always preferred',
    },
  ],
  34: ['transaction flag', { 'integration/proxy-own-answers': '34, 35, 37: rows' }],
  35: [
    'DEPRECATE_EOF on and off',
    {
      'integration/proxy-own-answers': '34, 35, 37: rows',
      'integration/job-clients': 'the command line of %s',
    },
  ],
  36: ['beyond ASCII', { 'integration/job-sessions': '36: names' }],
  37: [
    'forms of errors',
    {
      'integration/proxy-own-answers': '34, 35, 37: rows',
      'integration/job-sessions': '37: errors look',
      'integration/job-clients': 'a job by %s',
    },
  ],
  38: ['too many connections, FE down', { 'integration/proxy-network': '38: an FE' }],
  39: ['FE killed', { 'integration/proxy-network': '39: a server' }],
  40: ['client killed', { 'integration/proxy-network': '40: a client' }],
  41: [
    'strangers',
    { 'integration/proxy-network': '41: %s leaves', 'test/proxy/listener': 'strangers' },
  ],
  42: [
    'PROXY protocol in',
    {
      'integration/proxy-network': '42: a header',
      'test/proxy/proxy-protocol': 'from a trusted address',
    },
  ],
  43: [
    'PROXY protocol out, wrong pairing, loopback',
    {
      'integration/proxy-relay-mysql9': '43: an FE',
      'test/proxy/proxy-protocol': '43: an FE',
      'integration/proxy-processes': 'is refused at the start',
    },
  ],
  44: [
    'idle connections',
    {
      'integration/proxy-relay-large': '44: a thousand',
      'test/proxy/listener': '44: whoever is logged in',
    },
  ],
  45: [
    'graceful drain',
    { 'integration/proxy-network': '45: told to stop', 'test/proxy/listener': 'idle sessions go' },
  ],
  46: [
    'any cutting of both directions',
    {
      'integration/proxy-relay': '46: a session',
      'test/wire/response-walker': 'an answer is complete with its last byte',
    },
  ],
};

/** Line 47 is a number and no behaviour: `npm run bench` prints it (integration/bench/relay.ts). */
const LINES = [...Array.from({ length: 46 }, (_, i) => `${i + 1}`), '15a'];

test('every line of the checklist has its tests', () => {
  expect(Object.keys(CHECKLIST).toSorted()).toEqual(LINES.toSorted());
  const missing = Object.entries(CHECKLIST).flatMap(([line, [behaviour, tests]]) =>
    Object.entries(tests)
      .filter(([file, title]) => {
        const text = readFileSync(join(import.meta.dirname, '..', `${file}.test.ts`), 'utf8');
        return !text.includes(title);
      })
      .map(([file, title]) => `${line} (${behaviour}): "${title}" is not in ${file}.test.ts`),
  );
  expect(missing).toEqual([]);
});
