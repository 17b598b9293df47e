import { installServers } from './servers.ts';
import { prepareClients } from './support/client-programs.ts';
import { buildProxy } from './support/proxy.ts';

/** Vitest's global set-up of the integration tests: the servers are here and the proxy is built before the first file runs. */
export async function setup(): Promise<void> {
  await Promise.all([installServers(), prepareClients(), buildProxy()]);
}

// `npm run servers`
if (process.argv[1] === import.meta.filename) await installServers();
