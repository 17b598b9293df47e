import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { ProxyError } from '../model/error.ts';
import type { DroppedLoad, Job, SnapshotProgress, Task } from '../model/job.ts';
import type { SettingName } from '../model/setting.ts';
import type { TableSpec } from '../model/table.ts';
import type { Violation } from '../model/violation.ts';
import {
  idText,
  type JobDefinition,
  type JobState,
  joinJob,
  KEY,
  newJobPuts,
  sameDefinition,
  splitJob,
  tablePuts,
  upgradedJobPuts,
} from './job-record.ts';
import { checkFormat, FORMAT, type Put, type Stored } from './record.ts';
import { decrypt, encrypt, readOrCreateKey } from './secret.ts';
import { Store } from './store.ts';

/** Ids are taken from the catalog in blocks, so that a task costs no transaction of its own. */
const ID_BLOCK = 100;

/** No load lives longer than `max_stream_load_timeout_second` (doris-target.md §1.11), in milliseconds. */
const DROPPED_MS = 259_200_000;

/** Definitions that are kept of jobs that were dropped. */
const DEFINITIONS_SPARE = 100;

/** A job as it was read, and the revision of its state. */
interface FoundJob {
  readonly revision: number;
  readonly state: JobState;
  readonly job: Job;
}

/** A change of the state alone leaves the definition where it is. The state tells its revision, so to compare the state is enough. */
function changedPuts({ job, state }: FoundJob, changed: Job): Put[] {
  const same = sameDefinition(job, changed);
  const parts = splitJob(changed, state.definition + (same ? 0 : 1));
  const puts: Put[] = [[KEY.state(job.id), parts.state]];
  if (!same) puts.push([KEY.definition(job.id), parts.definition]);
  return puts;
}

/** What belongs into the same transaction as a change of a job. */
export interface Along {
  readonly tasks?: readonly Task[];
  /** Tasks whose labels must be found again after a crash. */
  readonly intents?: readonly Task[];
  /** Ids of tasks that are no longer in doubt. */
  readonly settled?: readonly number[];
  /** Ids of tasks that are not to be shown any more. */
  readonly withdrawn?: readonly number[];
  readonly progress?: readonly SnapshotProgress[];
  readonly password?: string;
  /** Tables of the job that are new, or are not what they were. */
  readonly tables?: readonly TableSpec[];
}

export interface CatalogOptions {
  readonly directory: string;
  /** Absolute path; it must not be backed up together with the catalog. */
  readonly keyFile: string;
  /** Records kept of each job's tasks, newest first, unless `max_streaming_task_show_count` was set; below 1: none. */
  readonly taskHistoryMax: number;
}

/**
 * The only state of the program: jobs, tasks, positions, passwords, in LMDB. Every thread that needs it opens it; another
 * process must not, not even to read, see `lmdb-file.ts`.
 *
 * A change resolves when it is on disk. What another thread has changed is seen a turn of the event loop later, see {@link Store}; who writes
 * compares, so that a change made of an older state is not applied.
 */
export class Catalog implements AsyncDisposable {
  readonly #store: Store;
  readonly #key: Buffer;
  readonly #taskHistoryMax: number;
  readonly #definitions = new Map<number, Stored<JobDefinition>>();
  #freeIds: { next: number; end: number } = { next: 0, end: 0 };

  private constructor(store: Store, key: Buffer, options: CatalogOptions) {
    this.#store = store;
    this.#key = key;
    this.#taskHistoryMax = options.taskHistoryMax;
  }

  /** @throws ProxyError STATEMENT when the directory holds something unreadable or newer, or the key file is unusable. */
  static async open(options: CatalogOptions): Promise<Catalog> {
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    const key = readOrCreateKey(options.keyFile);
    const catalog = new Catalog(new Store(options.directory), key, options);
    await catalog.#ensureFormat();
    return catalog;
  }

  /** In one step with the mark that says so: whatever cuts it off, the catalog is in one format or the other. */
  async #ensureFormat(): Promise<void> {
    for (;;) {
      const format = this.#store.read<number>('meta/format');
      checkFormat(format?.value, this.#store.directory);
      if (format?.value === FORMAT) return;
      const jobs = this.#store.list<Parameters<typeof upgradedJobPuts>[0]>('job/');
      await this.#store.commit({
        compare: new Map([['meta/format', format?.revision ?? 0]]),
        put: [['meta/format', FORMAT], ...jobs.flatMap(upgradedJobPuts)],
        remove: [],
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  /**
   * A number never given before, for jobs and tasks: one counter for both, at the clock in milliseconds as Doris' ids are, and
   * never going back. It follows the clock, because a catalog restored from a copy must not give out again what was given after the
   * copy was made: Doris would take the new rows for those that it has under the same label.
   */
  async nextId(): Promise<number> {
    while (this.#freeIds.next === this.#freeIds.end) {
      const found = this.#store.read<number>('meta/id');
      const next = Math.max(found?.value ?? 0, Date.now());
      const taken = await this.#store.commit({
        compare: new Map([['meta/id', found?.revision ?? 0]]),
        put: [['meta/id', next + ID_BLOCK]],
        remove: [],
      });
      // Another call may have refilled while this one waited.
      if (taken && this.#freeIds.next === this.#freeIds.end && next >= this.#freeIds.end) {
        this.#freeIds = { next, end: next + ID_BLOCK };
      }
    }
    return this.#freeIds.next++;
  }

  /**
   * Gives back the ids that were taken in advance: the next one is larger than any that another thread was given before. A job that comes
   * from another thread needs that, for its tasks' numbers decide which of two rows is the newer one.
   */
  renewIds(): void {
    this.#freeIds.next = this.#freeIds.end;
  }

  /** All jobs, oldest first. */
  jobs(): readonly Job[] {
    const states = this.#store.list<JobState>('job/');
    if (this.#definitions.size > 2 * states.length + DEFINITIONS_SPARE) this.#definitions.clear();
    return states.flatMap((state) => this.#joined(state) ?? this.job(state.id) ?? []);
  }

  job(jobId: number): Job | undefined {
    return this.#job(jobId)?.job;
  }

  /** A job's tables in the order of their names. There may be thousands: to be kept by whoever works with them. */
  tables(jobId: number): readonly TableSpec[] {
    return this.#store.list<TableSpec>(KEY.tables(jobId));
  }

  /** Names are compared exactly; they are unique over all databases. */
  jobByName(name: string): Job | undefined {
    return this.jobs().find((job) => job.name === name);
  }

  /** @throws ProxyError STATEMENT when the key file is not the one the password was stored with. */
  password(jobId: number): string {
    const sealed = this.#store.read<string>(KEY.secret(jobId));
    return sealed === undefined ? '' : decrypt(this.#key, `job ${jobId}`, sealed.value);
  }

  /** @throws ProxyError STATEMENT when the name was taken meanwhile. */
  async createJob(job: Job, password: string, tables: readonly TableSpec[] = []): Promise<void> {
    // The list of names is one record: comparing it makes the check and the insertion one step.
    const names = this.#store.read<readonly string[]>('names');
    if (this.jobByName(job.name) !== undefined) {
      throw new ProxyError('STATEMENT', `job name exist, jobName:${job.name}`);
    }
    const created = await this.#store.commit({
      compare: new Map([
        ['names', names?.revision ?? 0],
        [KEY.state(job.id), 0],
      ]),
      put: [
        ['names', [...(names?.value ?? []), job.name]],
        ...newJobPuts(job, tables),
        [KEY.secret(job.id), encrypt(this.#key, `job ${job.id}`, password)],
      ],
      remove: [],
    });
    if (!created) await this.createJob(job, password, tables);
  }

  /**
   * Replaces a job by `change(job)`, together with what goes along, in one durable step. `change` may run
   * several times and may throw to refuse.
   *
   * @throws ProxyError JOB_FENCED when the job is gone.
   */
  async changeJob(jobId: number, change: (job: Job) => Job, along: Along = {}): Promise<Job> {
    for (;;) {
      const found = this.#job(jobId);
      if (found === undefined) throw new ProxyError('JOB_FENCED', `job ${jobId} was dropped`);
      const changed = change(found.job);
      const applied = await this.#store.commit({
        compare: new Map([[KEY.state(jobId), found.revision]]),
        put: [...changedPuts(found, changed), ...this.#puts(jobId, along)],
        remove: [
          ...(along.settled ?? []).map((taskId) => KEY.intents(jobId) + idText(taskId)),
          ...(along.withdrawn ?? []).map((taskId) => KEY.tasks(jobId) + idText(taskId)),
          ...this.#forgotten(jobId, along),
        ],
      });
      if (applied) return changed;
    }
  }

  /**
   * Removes a job with all that belongs to it. Loads whose outcome is in doubt are kept apart, as {@link droppedLoads}: Doris may have
   * them on the way, whoever loads into their tables next.
   */
  async removeJob(jobId: number): Promise<void> {
    for (;;) {
      const found = this.#job(jobId);
      if (found === undefined) return;
      const names = this.#store.read<readonly string[]>('names');
      const { name: job, targetDatabase: database } = found.job;
      const dropTimeMs = Date.now();
      const dropped = this.intents(jobId)
        .flatMap(({ loads }) => loads)
        .map((load): Put => [KEY.dropped(load.label), { ...load, database, job, dropTimeMs }]);
      const applied = await this.#store.commit({
        compare: new Map([
          [KEY.state(jobId), found.revision],
          ['names', names?.revision ?? 0],
        ]),
        put: [['names', (names?.value ?? []).filter((name) => name !== job)], ...dropped],
        remove: [
          ...this.droppedLoads()
            .filter((load) => load.dropTimeMs < dropTimeMs - DROPPED_MS)
            .map(({ label }) => KEY.dropped(label)),
          KEY.state(jobId),
          KEY.definition(jobId),
          KEY.secret(jobId),
          ...this.#store.keys(KEY.tables(jobId)),
          ...this.#store.keys(KEY.tasks(jobId)),
          ...this.#store.keys(KEY.intents(jobId)),
          ...this.#store.keys(KEY.progress(jobId)),
        ],
      });
      if (applied) return;
    }
  }

  /** The tasks of a job that are still remembered, newest first. */
  tasks(jobId: number): readonly Task[] {
    const newest = this.#store.list<Task>(KEY.tasks(jobId)).toReversed();
    return newest.slice(0, Math.max(0, this.#historyMax()));
  }

  /** What a statement has set, for every thread and every start from then on; undefined: nothing. */
  setting(name: SettingName): number | undefined {
    return this.#store.read<number>(`setting/${name}`)?.value;
  }

  async putSetting(name: SettingName, value: number): Promise<void> {
    await this.#store.commit({ compare: new Map(), put: [[`setting/${name}`, value]], remove: [] });
  }

  #historyMax(): number {
    return this.setting('max_streaming_task_show_count') ?? this.#taskHistoryMax;
  }

  /** Tasks whose outcome was not recorded, oldest first: after a crash, what may or may not be in Doris. */
  intents(jobId: number): readonly Task[] {
    return this.#store.list<Task>(KEY.intents(jobId));
  }

  /** Whether a crash now would find the task's labels again. */
  hasIntent(jobId: number, taskId: number): boolean {
    return this.#store.read(KEY.intents(jobId) + idText(taskId)) !== undefined;
  }

  /** Loads of dropped jobs that may still be on the way. */
  droppedLoads(): readonly DroppedLoad[] {
    return this.#store.list<DroppedLoad>('dropped/');
  }

  /** The load under `label` can no longer come. */
  async forgetDropped(label: string): Promise<void> {
    await this.#store.commit({ compare: new Map(), put: [], remove: [KEY.dropped(label)] });
  }

  /** How often something happened that must never happen. */
  violations(kind: Violation): number {
    return this.#store.read<number>(`violation/${kind}`)?.value ?? 0;
  }

  async countViolation(kind: Violation): Promise<void> {
    const key = `violation/${kind}`;
    for (let counted = false; !counted;) {
      const found = this.#store.read<number>(key);
      counted = await this.#store.commit({
        compare: new Map([[key, found?.revision ?? 0]]),
        put: [[key, (found?.value ?? 0) + 1]],
        remove: [],
      });
    }
  }

  /** Snapshot progress by table id. */
  progress(jobId: number): ReadonlyMap<string, SnapshotProgress> {
    const all = this.#store.list<SnapshotProgress>(KEY.progress(jobId));
    return new Map(all.map((progress) => [progress.tableId, progress]));
  }

  #puts(jobId: number, along: Along): Put[] {
    const puts: Put[] = [];
    if (this.#historyMax() > 0) {
      for (const task of along.tasks ?? []) puts.push([KEY.tasks(jobId) + idText(task.id), task]);
    }
    for (const task of along.intents ?? []) puts.push([KEY.intents(jobId) + idText(task.id), task]);
    for (const progress of along.progress ?? []) {
      puts.push([KEY.progress(jobId) + progress.tableId, progress]);
    }
    puts.push(...tablePuts(jobId, along.tables ?? []));
    if (along.password !== undefined) {
      puts.push([KEY.secret(jobId), encrypt(this.#key, `job ${jobId}`, along.password)]);
    }
    return puts;
  }

  /** Keys of the oldest task records, as many as the history is too long with the new ones. */
  #forgotten(jobId: number, along: Along): string[] {
    const historyMax = this.#historyMax();
    if (along.tasks === undefined || historyMax < 1) return [];
    const keys = new Set(this.#store.keys(KEY.tasks(jobId)));
    for (const task of along.tasks) keys.add(KEY.tasks(jobId) + idText(task.id));
    return [...keys].toSorted().slice(0, Math.max(0, keys.size - historyMax));
  }

  #job(jobId: number): FoundJob | undefined {
    for (let again = 0; ; again++) {
      const state = this.#store.read<JobState>(KEY.state(jobId));
      if (state === undefined) return undefined;
      const job = this.#joined(state.value);
      if (job !== undefined) return { revision: state.revision, state: state.value, job };
      // Another thread has changed it between the two reads: both of them must be of one moment.
      assert(again < 100, `job ${jobId} has a definition`);
      this.#store.renew();
    }
  }

  /** Undefined when the definition is not the one that the state belongs to. It is parsed once: it seldom changes. */
  #joined(state: JobState): Job | undefined {
    let definition = this.#definitions.get(state.id);
    if (definition?.revision !== state.definition) {
      definition = this.#store.read<JobDefinition>(KEY.definition(state.id));
      if (definition?.revision !== state.definition) return undefined;
      this.#definitions.set(state.id, definition);
    }
    return joinJob(definition.value, state);
  }
}
