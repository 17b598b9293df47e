#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { pino } from 'pino';
import { ConfigError, helpText, readConfig, type Config } from './config.ts';
import { ProxyError } from './model/error.ts';
import { servesClients } from './proxy/processes.ts';
import { serve, serveClients } from './server.ts';

// V8 allocates in the old generation what it has seen to live long at the same place before, such as all that a session is made
// of when many clients have come at once. From then on every session survives until the next full collection, with all
// that it refers to, and a login takes a tenth more. What really lives long is copied there in time all the same.
setFlagsFromString('--no-allocation-site-pretenuring');

/** Exit codes: 0 stopped by a signal, 1 failed, 2 wrong configuration. */
async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  if (command === undefined || command === 'help' || args.includes('--help')) {
    process.stdout.write(`${helpText()}\n`);
    return command === undefined ? 2 : 0;
  }
  let config: Config;
  try {
    if (command !== 'start') throw new ConfigError(`unknown command "${command}". See --help`);
    config = readConfig(rest, process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`doris-job-proxy: ${error.message}\n`);
    return 2;
  }
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => stop.abort());
  }
  const log = pino({ level: config.logLevel, base: { pid: process.pid } }, pino.destination(2));
  try {
    if (servesClients) {
      await serveClients(config, log, stop.signal, () => stop.abort());
      process.disconnect();
      return 0;
    }
    await serve(config, log, stop.signal, (ready) => {
      process.stdout.write(`ready ${JSON.stringify(ready)}\n`);
    });
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) {
      process.stderr.write(`doris-job-proxy: ${error.message}\n`);
      return 2;
    }
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof ProxyError || code === 'EADDRINUSE' || code === 'EACCES') {
      process.stderr.write(`doris-job-proxy: ${(error as Error).message}\n`);
    } else {
      log.fatal({ err: error }, 'failed');
    }
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
