import { join } from 'node:path';
import mysql, { type Connection } from 'mysql2/promise';
import { removeFolder, ServerProcess, temporaryFolder } from './server-process.ts';

const STANDIN = join(import.meta.dirname, '..', 'doris-standin', 'main.ts');

/** A Doris to test against: what `startProxy` needs of it, and a connection past the proxy. */
export interface DorisHandle extends AsyncDisposable {
  /** `host:port` of the FE's query port and of its HTTP port. */
  readonly fe: string;
  readonly feHttp: string;
  readonly dorisUser: string;
  readonly dorisPassword: string;
  /** Straight to the FE. */
  connect(): Promise<Connection>;
}

/**
 * The stand-in as a process of its own with empty data; or the cluster that TEST_DORIS_URL names
 * (`mysql://root:password@host:9030?http=8030`), where the tests make and drop databases.
 */
export async function startDoris(): Promise<DorisHandle> {
  const given = process.env['TEST_DORIS_URL'];
  if (given) return givenDoris(new URL(given));
  const folder = temporaryFolder('doris');
  const standin = new ServerProcess({
    program: process.execPath,
    args: [
      '--import=tsx',
      STANDIN,
      '--query-port=0',
      '--http-port=0',
      '--be-port=0',
      `--data-dir=${folder}`,
    ],
  });
  let stdout = '';
  standin.child.stdout?.on('data', (text: string) => (stdout += text));
  const ready = { query: '', http: '' };
  try {
    await standin.ready(() => {
      const line = /^ready (\{.*\})$/m.exec(stdout)?.[1];
      if (line === undefined) throw new Error('no ready line');
      Object.assign(ready, JSON.parse(line));
    });
  } catch (error) {
    await standin.kill();
    removeFolder(folder);
    throw error;
  }
  return handle(
    { fe: ready.query, feHttp: ready.http, dorisUser: 'root', dorisPassword: '' },
    async () => {
      await standin.kill();
      removeFolder(folder);
    },
  );
}

function givenDoris(url: URL): DorisHandle {
  const at = {
    fe: `${url.hostname}:${url.port || '9030'}`,
    feHttp: `${url.hostname}:${url.searchParams.get('http') ?? '8030'}`,
    dorisUser: decodeURIComponent(url.username || 'root'),
    dorisPassword: decodeURIComponent(url.password),
  };
  return handle(at, async () => {});
}

function handle(
  at: Omit<DorisHandle, 'connect' | keyof AsyncDisposable>,
  dispose: () => Promise<void>,
): DorisHandle {
  const [host = '', port] = at.fe.split(':');
  return {
    ...at,
    connect: () =>
      mysql.createConnection({
        host,
        port: Number(port),
        user: at.dorisUser,
        password: at.dorisPassword,
      }),
    [Symbol.asyncDispose]: dispose,
  };
}
