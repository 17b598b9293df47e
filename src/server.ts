import { once } from 'node:events';
import type { Logger } from 'pino';
import { AdminServer } from './admin/http-server.ts';
import { makeMetrics } from './admin/metrics.ts';
import { Catalog, type CatalogOptions } from './catalog/catalog.ts';
import { OwnerLock } from './catalog/owner-lock.ts';
import type { Settings } from './command/frontend-config.ts';
import { JobCommands } from './command/job-command.ts';
import type { Config } from './config.ts';
import type { WorkerData } from './job-worker.ts';
import { endpointText } from './model/endpoint.ts';
import { Listener } from './proxy/listener.ts';
import { Scheduler } from './scheduler/scheduler.ts';
import { WorkerPool } from './scheduler/worker-pool.ts';
import { FrontendClient } from './sink/frontend-client.ts';
import { openJobSource } from './source/open-source.ts';

/** What the first line on stdout says. */
export interface Ready {
  readonly listen: string;
  readonly admin: string | undefined;
  readonly pid: number;
}

/**
 * Runs the process until `signal` aborts. These lines are the order of start-up, and backwards of shut-down, a failed
 * start included: no new clients, then no new loads, then the catalog closes.
 *
 * @throws ProxyError when the data directory is in use or unreadable; an Error with code EADDRINUSE or EACCES for a port.
 */
export async function serve(
  config: Config,
  log: Logger,
  signal: AbortSignal,
  onReady: (ready: Ready) => void,
): Promise<void> {
  using _owner = OwnerLock.acquire(config.dataDir);
  const catalogOptions: CatalogOptions = {
    directory: config.dataDir,
    keyFile: config.keyFile,
    taskHistoryMax: config.settings.max_streaming_task_show_count,
  };
  await using catalog = await Catalog.open(catalogOptions);
  await using frontend = new FrontendClient(config.doris);
  const workerData: WorkerData = {
    catalog: catalogOptions,
    doris: config.doris,
    logLevel: config.logLevel,
    certificateDir: config.certificateDir,
  };
  const settings = settingsOf(config, catalog);
  const threadsMax = (): number =>
    Math.min(config.jobThreads, settings.get('job_streaming_task_exec_thread_num'));
  await using scheduler = new Scheduler(
    catalog,
    log,
    (events) => new WorkerPool({ entry: workerEntry(), data: workerData, threadsMax, log }, events),
  );
  const commands = new JobCommands({
    catalog,
    scheduler,
    target: frontend,
    openSource: (job, password) => openJobSource(job, password, config.certificateDir),
    settings,
    log,
    now: Date.now,
  });
  let serving = false;
  await using admin =
    config.admin === undefined
      ? undefined
      : await AdminServer.open({
          ...config.admin,
          metrics: makeMetrics(catalog),
          ready: () => serving,
        });
  await using listener = await Listener.open({
    ...config.listen,
    frontends: config.doris.frontends,
    commands,
    log,
  });
  await scheduler.start();
  serving = true;
  onReady({ listen: endpointText(listener.address), admin: admin?.address, pid: process.pid });
  if (!signal.aborted) await once(signal, 'abort');
  serving = false;
  log.info('stopping');
}

/** What a statement has set wins over the configuration. */
function settingsOf(config: Config, catalog: Catalog): Settings {
  return {
    get: (name) => catalog.setting(name) ?? config.settings[name],
    set: (name, value) => catalog.putSetting(name, value),
  };
}

/** The worker's module beside this one, in `dist/` and in the sources alike. */
function workerEntry(): URL {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./job-worker.${extension}`, import.meta.url);
}
