import { once } from 'node:events';
import type { Logger } from 'pino';
import { AdminServer } from './admin/http-server.ts';
import { makeMetrics } from './admin/metrics.ts';
import { Catalog, type CatalogOptions } from './catalog/catalog.ts';
import { OwnerLock } from './catalog/owner-lock.ts';
import type { Commands } from './command/commands.ts';
import type { Settings } from './command/frontend-config.ts';
import { JobCommands } from './command/job-command.ts';
import { ConfigError, type Config } from './config.ts';
import type { WorkerData } from './job-worker.ts';
import { endpointText } from './model/endpoint.ts';
import { Listener, routeOf } from './proxy/listener.ts';
import { OwnerCommands } from './proxy/owner-link.ts';
import { ClientProcesses, ownerOf } from './proxy/processes.ts';
import { RootGuard, UnsafeFrontendError } from './proxy/root-guard.ts';
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
 * @throws ConfigError when an FE would let everybody in as root; ProxyError when the data directory is in use or unreadable; an Error with code EADDRINUSE or EACCES for a port.
 */
export async function serve(
  config: Config,
  log: Logger,
  signal: AbortSignal,
  onReady: (ready: Ready) => void,
): Promise<void> {
  const guard = await guardOf(config, log);
  using _owner = OwnerLock.acquire(config.dataDir);
  const options = catalogOptions(config);
  await using catalog = await Catalog.open(options);
  await using frontend = new FrontendClient(config.doris);
  const workerData: WorkerData = {
    catalog: options,
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
  let serving = false;
  await using admin =
    config.admin === undefined
      ? undefined
      : await AdminServer.open({
          ...config.admin,
          metrics: makeMetrics(catalog),
          ready: () => serving,
        });
  const commands = new JobCommands({
    catalog,
    scheduler,
    target: frontend,
    openSource: (job, password) =>
      openJobSource(job, password, config.certificateDir, (kind) => catalog.countViolation(kind)),
    settings,
    log,
    now: Date.now,
  });
  await using clients =
    config.processes > 1
      ? await ClientProcesses.open(config.processes, commands, log)
      : await openListener(config, commands, log, guard);
  await scheduler.start();
  serving = true;
  onReady({ listen: endpointText(clients.address), admin: admin?.address, pid: process.pid });
  if (!signal.aborted) await once(signal, 'abort');
  serving = false;
  log.info('stopping');
}

/** Serves clients until `signal` aborts, on behalf of the process that has started this one and runs the jobs. */
export async function serveClients(
  config: Config,
  log: Logger,
  signal: AbortSignal,
  onOrphaned: () => void,
): Promise<void> {
  const guard = config.clients.allowPasswordlessRoot
    ? undefined
    : new RootGuard(routeOf(route(config)));
  await using _listener = await openListener(
    config,
    new OwnerCommands(ownerOf(onOrphaned)),
    log,
    guard,
  );
  if (!signal.aborted) await once(signal, 'abort');
}

/**
 * Tries every FE before anything is opened. One that cannot be reached is tried when a client is to use it.
 * @throws ConfigError naming the hole and how to close it.
 */
async function guardOf(config: Config, log: Logger): Promise<RootGuard | undefined> {
  if (config.clients.allowPasswordlessRoot) return undefined;
  const guard = new RootGuard(routeOf(route(config)));
  const trials = config.doris.frontends.map((address) => guard.expectClosed(address));
  for (const trial of await Promise.allSettled(trials)) {
    if (trial.status === 'fulfilled') continue;
    const { message } = trial.reason as Error;
    if (trial.reason instanceof UnsafeFrontendError) throw new ConfigError(message);
    log.warn({ reason: message }, 'an FE could not be tried');
  }
  return guard;
}

function route(config: Config): Parameters<typeof routeOf>[0] {
  return {
    frontends: config.doris.frontends,
    proxyProtocol: config.clients.proxyProtocol,
  };
}

function openListener(
  config: Config,
  commands: Commands,
  log: Logger,
  guard: RootGuard | undefined,
): Promise<Listener> {
  return Listener.open({
    ...config.listen,
    ...route(config),
    tls: config.clients.tls,
    trusted: config.clients.trusted,
    commands,
    guard,
    log,
  });
}

function catalogOptions(config: Config): CatalogOptions {
  return {
    directory: config.dataDir,
    keyFile: config.keyFile,
    taskHistoryMax: config.settings.max_streaming_task_show_count,
  };
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
