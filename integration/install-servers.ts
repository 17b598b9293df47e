import { installServers } from './servers.ts';

/** Vitest's global set-up of the integration tests: every server is here before the first file runs. */
export async function setup(): Promise<void> {
  await installServers();
}

// `npm run servers`
if (process.argv[1] === import.meta.filename) await installServers();
