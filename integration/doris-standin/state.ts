import type { Catalog, Database, Table } from './catalog.ts';
import type { Faults } from './faults.ts';
import type { NativeJob } from './native-jobs.ts';
import { Mutex, putLabel, type Store } from './store.ts';
import type { Transaction, Transactions } from './transactions.ts';
import { mergeLoad } from './merge.ts';
import type { TableLoad } from './table-load.ts';
import type { Users } from './users.ts';
import { refusal } from './sql-error.ts';

/** One attempt to load, as `GET /_standin/loads` shows it. */
export interface LoadRecord {
  readonly time: string;
  readonly label: string;
  readonly database: string;
  readonly table: string;
  readonly txnId: number;
  readonly status: string;
  readonly existingJobStatus?: string;
  readonly message: string;
  readonly rows: number;
  readonly filteredRows: number;
  readonly bytes: number;
}

export interface Settings {
  readonly versionComment: string;
  readonly backends: number;
  /** Duration of a heavy ALTER, in milliseconds. */
  readonly heavyAlterMs: number;
  readonly stringBytesMax: number;
  /** `random`: which of two rows of a key in one load is kept is left to chance; `last`: the later one. */
  readonly duplicateKeys: 'random' | 'last';
  readonly seed: number;
  readonly connectionsMax: number;
}

const LOADS_MAX = 10_000;

/** Everything that the endpoints share. */
export class State {
  readonly settings: Settings;
  readonly store: Store;
  readonly catalog: Catalog;
  readonly users: Users;
  readonly transactions: Transactions;
  readonly faults: Faults;
  readonly nativeJobs: NativeJob[];
  readonly loads: LoadRecord[] = [];
  /** Filled by the endpoints once they listen. */
  readonly ports = { query: 0, http: 0, be: 0 };
  /** CREATE and DROP run one after another. */
  readonly definitions = new Mutex();
  private readonly commitOrder = new Map<number, Mutex>();
  private random: number;
  private lastJobId = 0;

  constructor(
    parts: Pick<
      State,
      'settings' | 'store' | 'catalog' | 'users' | 'transactions' | 'faults' | 'nativeJobs'
    >,
  ) {
    this.settings = parts.settings;
    this.store = parts.store;
    this.catalog = parts.catalog;
    this.users = parts.users;
    this.transactions = parts.transactions;
    this.faults = parts.faults;
    this.nativeJobs = parts.nativeJobs;
    this.random = parts.settings.seed;
  }

  /** Runs a change of a table's rows or shape after all that were asked for before it: Doris' version order. */
  inCommitOrder<T>(table: Table, task: () => Promise<T>): Promise<T> {
    let mutex = this.commitOrder.get(table.id);
    if (mutex === undefined) this.commitOrder.set(table.id, (mutex = new Mutex()));
    return mutex.run(task);
  }

  /** Makes a finished load visible. The caller holds the table's place in the commit order. */
  async publish(database: Database, load: TableLoad, transaction: Transaction): Promise<void> {
    const { table } = load;
    if (database.tables.get(table.name) !== table)
      throw refusal(`unknown table, tableName=${table.name}`);
    load.finish();
    await this.store.write(async (connection) => {
      await mergeLoad(load);
      this.transactions.finish(transaction, 'VISIBLE');
      await putLabel(connection, transaction);
    }, load.connection);
  }

  saveCatalog(): Promise<void> {
    return this.store.writeMeta('catalog', this.catalog.stored());
  }

  saveNativeJobs(): Promise<void> {
    return this.store.writeMeta('jobs', JSON.stringify(this.nativeJobs));
  }

  /** Jobs and tasks have one counter, which begins at the time in milliseconds (job-sql.md §3.4). */
  nextJobId(): number {
    this.lastJobId = Math.max(this.lastJobId + 1, Date.now());
    return this.lastJobId;
  }

  record(load: Omit<LoadRecord, 'time'>): void {
    this.loads.push({ time: new Date().toISOString(), ...load });
    if (this.loads.length > LOADS_MAX) this.loads.shift();
  }

  /** Seeded numbers in [0, 1): mulberry32. */
  pick = (): number => {
    if (this.settings.duplicateKeys === 'last') return 0;
    this.random = (this.random + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.random ^ (this.random >>> 15), 1 | this.random);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
