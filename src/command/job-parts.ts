import type { Logger } from 'pino';
import type { Catalog } from '../catalog/catalog.ts';
import type { Job } from '../model/job.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import type { FrontendClient } from '../sink/frontend-client.ts';
import type { Source } from '../source/source.ts';
import type { Settings } from './frontend-config.ts';

/** Where jobs are kept. */
export type JobStore = Pick<
  Catalog,
  | 'nextId'
  | 'jobs'
  | 'jobByName'
  | 'password'
  | 'createJob'
  | 'changeJob'
  | 'removeJob'
  | 'tasks'
  | 'intents'
>;

/** What makes the running follow the catalog. */
export type JobScheduler = Pick<Scheduler, 'wake' | 'stopped'>;

/** Tables of Doris, seen and made by the service account. */
export type TargetTables = Pick<
  FrontendClient,
  'databaseExists' | 'describeTable' | 'execute' | 'jobNames'
>;

/** What the statements work with. */
export interface JobParts {
  readonly catalog: JobStore;
  readonly scheduler: JobScheduler;
  readonly target: TargetTables;
  /** Opens the job's source; its errors are ProxyErrors. */
  openSource(job: Job, password: string): Promise<Source>;
  readonly settings: Settings;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  now(): number;
}
