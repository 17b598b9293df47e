import { parseArgs } from 'node:util';
import { startStandin } from './standin.ts';

/**
 * `npm run standin -- --query-port P --http-port H --be-port B [--data-dir D] [--user NAME:PASSWORD ...]`
 *
 * Prints `ready {...}` once it serves; SIGTERM and SIGINT stop it.
 */
const { values } = parseArgs({
  options: {
    'query-port': { type: 'string', default: '0' },
    'http-port': { type: 'string', default: '0' },
    'be-port': { type: 'string', default: '0' },
    'data-dir': { type: 'string' },
    user: { type: 'string', multiple: true, default: [] },
  },
});

function port(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65_535) throw new TypeError(`not a port: ${text}`);
  return value;
}

const standin = await startStandin({
  queryPort: port(values['query-port']),
  httpPort: port(values['http-port']),
  bePort: port(values['be-port']),
  ...(values['data-dir'] === undefined ? {} : { dataDir: values['data-dir'] }),
  users: values.user.map((text) => {
    const [name = '', ...password] = text.split(':');
    return { name, password: password.join(':') };
  }),
});

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => {
    standin.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });

const { be, http, query } = standin;
console.log(`ready ${JSON.stringify({ query, http, be, pid: process.pid })}`);
