import type { RootDatabase } from 'lmdb';
import { mkdirSync } from 'node:fs';
import { ProxyError } from '../model/error.ts';
import type { DroppedLoad, Job, SnapshotProgress, Task } from '../model/job.ts';
import type { SettingName } from '../model/setting.ts';
import type { Violation } from '../model/violation.ts';
import { openFile, writeError } from './lmdb-file.ts';
import { checkFormat, FORMAT, type Stored } from './record.ts';
import { decrypt, encrypt, readOrCreateKey } from './secret.ts';

/** LMDB takes keys up to 1978 bytes; ids and table names stay far below. */
const ID_DIGITS = 16;
/** Ids are taken from the catalog in blocks, so that a task costs no transaction of its own. */
const ID_BLOCK = 100;

/** No load lives longer than `max_stream_load_timeout_second` (doris-target.md §1.11), in milliseconds. */
const DROPPED_MS = 259_200_000;

type Put = readonly [key: string, value: unknown];

/** One change of state: applied whole, or, when a compared revision has moved on, not at all. */
interface Change {
  readonly compare: ReadonlyMap<string, number>;
  readonly put: readonly Put[];
  readonly remove: readonly string[];
}

/** What belongs into the same transaction as a change of a job. */
export interface Along {
  readonly tasks?: readonly Task[];
  /** Tasks whose labels must be found again after a crash. */
  readonly intents?: readonly Task[];
  /** Ids of tasks that are no longer in doubt. */
  readonly settled?: readonly number[];
  readonly progress?: readonly SnapshotProgress[];
  readonly password?: string;
}

export interface CatalogOptions {
  readonly directory: string;
  /** Absolute path; it must not be backed up together with the catalog. */
  readonly keyFile: string;
  /** Records kept of each job's tasks, newest first, unless `max_streaming_task_show_count` was set; below 1: none. */
  readonly taskHistoryMax: number;
}

const id = (value: number): string => String(value).padStart(ID_DIGITS, '0');
const jobKey = (jobId: number): string => `job/${id(jobId)}`;
const taskPrefix = (jobId: number): string => `task/${id(jobId)}/`;
const intentPrefix = (jobId: number): string => `intent/${id(jobId)}/`;
const progressPrefix = (jobId: number): string => `progress/${id(jobId)}/`;
const droppedKey = (label: string): string => `dropped/${label}`;
const secretKey = (jobId: number): string => `secret/${id(jobId)}`;

/**
 * The only state of the program: jobs, tasks, positions, passwords, in LMDB. Every thread that needs it opens it.
 *
 * A change resolves when it is on disk. Reads see every change that has resolved, whichever thread made it.
 * Changes are compare-and-set batches over one key space, so that a store like etcd can take LMDB's place.
 */
export class Catalog implements AsyncDisposable {
  readonly #root: RootDatabase<Stored<unknown>, string>;
  readonly #directory: string;
  readonly #key: Buffer;
  readonly #taskHistoryMax: number;
  #freeIds: { next: number; end: number } = { next: 0, end: 0 };

  private constructor(
    root: RootDatabase<Stored<unknown>, string>,
    key: Buffer,
    options: CatalogOptions,
  ) {
    this.#root = root;
    this.#key = key;
    this.#directory = options.directory;
    this.#taskHistoryMax = options.taskHistoryMax;
  }

  /** @throws ProxyError STATEMENT when the directory holds something unreadable or newer, or the key file is unusable. */
  static async open(options: CatalogOptions): Promise<Catalog> {
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    const key = readOrCreateKey(options.keyFile);
    const catalog = new Catalog(openFile(options.directory), key, options);
    const format = catalog.#read<number>('meta/format');
    checkFormat(format?.value, options.directory);
    if (format === undefined) {
      await catalog.#commit({
        compare: new Map([['meta/format', 0]]),
        put: [['meta/format', FORMAT]],
        remove: [],
      });
    }
    return catalog;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.flushed;
    await this.#root.close();
  }

  /**
   * A number never given before, for jobs and tasks: one counter for both, at the clock in milliseconds as Doris' ids are, and
   * never going back. It follows the clock, because a catalog restored from a copy must not give out again what was given after the
   * copy was made: Doris would take the new rows for those that it has under the same label.
   */
  async nextId(): Promise<number> {
    while (this.#freeIds.next === this.#freeIds.end) {
      const found = this.#read<number>('meta/id');
      const next = Math.max(found?.value ?? 0, Date.now());
      const taken = await this.#commit({
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
    return this.#list<Job>('job/');
  }

  job(jobId: number): Job | undefined {
    return this.#read<Job>(jobKey(jobId))?.value;
  }

  /** Names are compared exactly; they are unique over all databases. */
  jobByName(name: string): Job | undefined {
    return this.jobs().find((job) => job.name === name);
  }

  /** @throws ProxyError STATEMENT when the key file is not the one the password was stored with. */
  password(jobId: number): string {
    const sealed = this.#read<string>(secretKey(jobId));
    return sealed === undefined ? '' : decrypt(this.#key, `job ${jobId}`, sealed.value);
  }

  /** @throws ProxyError STATEMENT when the name was taken meanwhile. */
  async createJob(job: Job, password: string): Promise<void> {
    // The list of names is one record: comparing it makes the check and the insertion one step.
    const names = this.#read<readonly string[]>('names');
    if (this.jobByName(job.name) !== undefined) {
      throw new ProxyError('STATEMENT', `job name exist, jobName:${job.name}`);
    }
    const created = await this.#commit({
      compare: new Map([
        ['names', names?.revision ?? 0],
        [jobKey(job.id), 0],
      ]),
      put: [
        ['names', [...(names?.value ?? []), job.name]],
        [jobKey(job.id), job],
        [secretKey(job.id), encrypt(this.#key, `job ${job.id}`, password)],
      ],
      remove: [],
    });
    if (!created) await this.createJob(job, password);
  }

  /**
   * Replaces a job by `change(job)`, together with what goes along, in one durable step. `change` may run
   * several times and may throw to refuse.
   *
   * @throws ProxyError JOB_FENCED when the job is gone.
   */
  async changeJob(jobId: number, change: (job: Job) => Job, along: Along = {}): Promise<Job> {
    for (;;) {
      const found = this.#read<Job>(jobKey(jobId));
      if (found === undefined) throw new ProxyError('JOB_FENCED', `job ${jobId} was dropped`);
      const changed = change(found.value);
      const applied = await this.#commit({
        compare: new Map([[jobKey(jobId), found.revision]]),
        put: [[jobKey(jobId), changed], ...this.#puts(jobId, along)],
        remove: [
          ...(along.settled ?? []).map((taskId) => intentPrefix(jobId) + id(taskId)),
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
      const found = this.#read<Job>(jobKey(jobId));
      if (found === undefined) return;
      const names = this.#read<readonly string[]>('names');
      const { name: job, targetDatabase: database } = found.value;
      const dropTimeMs = Date.now();
      const dropped = this.intents(jobId)
        .flatMap(({ loads }) => loads)
        .map((load): Put => [droppedKey(load.label), { ...load, database, job, dropTimeMs }]);
      const applied = await this.#commit({
        compare: new Map([
          [jobKey(jobId), found.revision],
          ['names', names?.revision ?? 0],
        ]),
        put: [['names', (names?.value ?? []).filter((name) => name !== job)], ...dropped],
        remove: [
          ...this.droppedLoads()
            .filter((load) => load.dropTimeMs < dropTimeMs - DROPPED_MS)
            .map(({ label }) => droppedKey(label)),
          jobKey(jobId),
          secretKey(jobId),
          ...this.#keys(taskPrefix(jobId)),
          ...this.#keys(intentPrefix(jobId)),
          ...this.#keys(progressPrefix(jobId)),
        ],
      });
      if (applied) return;
    }
  }

  /** The tasks of a job that are still remembered, newest first. */
  tasks(jobId: number): readonly Task[] {
    const newest = this.#list<Task>(taskPrefix(jobId)).toReversed();
    return newest.slice(0, Math.max(0, this.#historyMax()));
  }

  /** What a statement has set, for every thread and every start from then on; undefined: nothing. */
  setting(name: SettingName): number | undefined {
    return this.#read<number>(`setting/${name}`)?.value;
  }

  async putSetting(name: SettingName, value: number): Promise<void> {
    await this.#commit({ compare: new Map(), put: [[`setting/${name}`, value]], remove: [] });
  }

  #historyMax(): number {
    return this.setting('max_streaming_task_show_count') ?? this.#taskHistoryMax;
  }

  /** Tasks whose outcome was not recorded, oldest first: after a crash, what may or may not be in Doris. */
  intents(jobId: number): readonly Task[] {
    return this.#list<Task>(intentPrefix(jobId));
  }

  /** Whether a crash now would find the task's labels again. */
  hasIntent(jobId: number, taskId: number): boolean {
    return this.#read(intentPrefix(jobId) + id(taskId)) !== undefined;
  }

  /** Loads of dropped jobs that may still be on the way. */
  droppedLoads(): readonly DroppedLoad[] {
    return this.#list<DroppedLoad>('dropped/');
  }

  /** The load under `label` can no longer come. */
  async forgetDropped(label: string): Promise<void> {
    await this.#commit({ compare: new Map(), put: [], remove: [droppedKey(label)] });
  }

  /** How often something happened that must never happen. */
  violations(kind: Violation): number {
    return this.#read<number>(`violation/${kind}`)?.value ?? 0;
  }

  async countViolation(kind: Violation): Promise<void> {
    const key = `violation/${kind}`;
    for (let counted = false; !counted;) {
      const found = this.#read<number>(key);
      counted = await this.#commit({
        compare: new Map([[key, found?.revision ?? 0]]),
        put: [[key, (found?.value ?? 0) + 1]],
        remove: [],
      });
    }
  }

  /** Snapshot progress by table id. */
  progress(jobId: number): ReadonlyMap<string, SnapshotProgress> {
    const all = this.#list<SnapshotProgress>(progressPrefix(jobId));
    return new Map(all.map((progress) => [progress.tableId, progress]));
  }

  #puts(jobId: number, along: Along): Put[] {
    const puts: Put[] = [];
    if (this.#historyMax() > 0) {
      for (const task of along.tasks ?? []) puts.push([taskPrefix(jobId) + id(task.id), task]);
    }
    for (const task of along.intents ?? []) puts.push([intentPrefix(jobId) + id(task.id), task]);
    for (const progress of along.progress ?? []) {
      puts.push([progressPrefix(jobId) + progress.tableId, progress]);
    }
    if (along.password !== undefined) {
      puts.push([secretKey(jobId), encrypt(this.#key, `job ${jobId}`, along.password)]);
    }
    return puts;
  }

  /** Keys of the oldest task records, as many as the history is too long with the new ones. */
  #forgotten(jobId: number, along: Along): string[] {
    const historyMax = this.#historyMax();
    if (along.tasks === undefined || historyMax < 1) return [];
    const keys = new Set(this.#keys(taskPrefix(jobId)));
    for (const task of along.tasks) keys.add(taskPrefix(jobId) + id(task.id));
    return [...keys].toSorted().slice(0, Math.max(0, keys.size - historyMax));
  }

  #read<T>(key: string): Stored<T> | undefined {
    return this.#root.get(key) as Stored<T> | undefined;
  }

  #list<T>(prefix: string): T[] {
    // '0' is the character after '/': the range ends with the prefix.
    const range = this.#root.getRange({ start: prefix, end: `${prefix.slice(0, -1)}0` });
    return [...range].map((entry) => (entry.value as Stored<T>).value);
  }

  #keys(prefix: string): string[] {
    return [...this.#root.getKeys({ start: prefix, end: `${prefix.slice(0, -1)}0` })];
  }

  /** @throws ProxyError CATALOG when the disk does not take it; nothing of the change is there then. */
  async #commit(change: Change): Promise<boolean> {
    try {
      return await this.#write(change);
    } catch (cause) {
      throw writeError(this.#directory, cause);
    }
  }

  async #write(change: Change): Promise<boolean> {
    const applied = await this.#root.transaction(() => {
      for (const [key, revision] of change.compare) {
        if ((this.#read(key)?.revision ?? 0) !== revision) return false;
      }
      for (const [key, value] of change.put) {
        const revision = (this.#read(key)?.revision ?? 0) + 1;
        // The transaction's own promise tells; this one must not be the unhandled twin of its rejection.
        this.#root.put(key, { revision, value }).catch(() => undefined);
      }
      for (const key of change.remove) this.#root.remove(key).catch(() => undefined);
      return true;
    });
    // `transaction` resolves when the change is visible; only `flushed` says that it is on disk.
    await this.#root.flushed;
    return applied;
  }
}
