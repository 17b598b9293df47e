import { openBackend } from './be-http.ts';
import { Catalog } from './catalog.ts';
import { Faults } from './faults.ts';
import { openFrontend } from './fe-http.ts';
import { MysqlListener } from './mysql-listener.ts';
import type { NativeJob } from './native-jobs.ts';
import { type LoadRecord, type Settings, State } from './state.ts';
import { Store } from './store.ts';
import { type LabelLimits, Transactions } from './transactions.ts';
import { Users } from './users.ts';

export interface StandinOptions extends Partial<Settings>, Partial<LabelLimits> {
  /** Ports on 127.0.0.1; 0 or absent: any free one. */
  readonly queryPort?: number;
  readonly httpPort?: number;
  readonly bePort?: number;
  /** Where data survives a restart; absent: in memory. */
  readonly dataDir?: string;
  /** Users with all rights besides `root`; one that exists gets the password. */
  readonly users?: readonly { readonly name: string; readonly password: string }[];
}

/** A running stand-in for Doris. Addresses are `host:port`. */
export interface Standin extends AsyncDisposable {
  readonly query: string;
  readonly http: string;
  readonly be: string;
  readonly faults: Faults;
  /** The latest attempts to load, oldest first. */
  readonly loads: readonly LoadRecord[];
  close(): Promise<void>;
}

/**
 * Starts one FE and one BE in this process (doris-target.md §7). It is strict: what it does not model is an error.
 * It is a test instrument; the fidelity of query results is that of DuckDB.
 */
export async function startStandin(options: StandinOptions = {}): Promise<Standin> {
  const store = await Store.open(options.dataDir);
  const state = await openState(store, options);
  for (const { name, password } of options.users ?? []) {
    if (!state.users.exists(name, '%')) await state.users.create(name, '%', password);
    const account = state.users.find(name, '%');
    await state.users.setPassword(account, password);
    await state.users.grant(account, {}, ['Admin_priv', 'Node_priv']);
  }
  const opened: AsyncDisposable[] = [];
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= (async (): Promise<void> => {
      for (const part of opened) await part[Symbol.asyncDispose]();
      await store.close();
    })());
  try {
    const mysql = await MysqlListener.open(state, options.queryPort ?? 0);
    opened.push(mysql);
    const frontend = await openFrontend(state, options.httpPort ?? 0);
    opened.push(frontend);
    const backend = await openBackend(state, options.bePort ?? 0);
    opened.push(backend);
    Object.assign(state.ports, { query: mysql.port, http: frontend.port, be: backend.port });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    query: `127.0.0.1:${state.ports.query}`,
    http: `127.0.0.1:${state.ports.http}`,
    be: `127.0.0.1:${state.ports.be}`,
    faults: state.faults,
    loads: state.loads,
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function openState(store: Store, options: StandinOptions): Promise<State> {
  const limits: LabelLimits = {
    labelsMax: options.labelsMax ?? 2000,
    labelKeepMs: options.labelKeepMs ?? 43_200_000,
    runningMax: options.runningMax ?? 10_000,
  };
  const catalog = new Catalog(await store.readMeta('catalog'));
  for (const { tables } of catalog.databases.values())
    for (const table of tables.values()) table.version = await store.readVersion(table);
  return new State({
    settings: {
      versionComment: options.versionComment ?? 'Doris version doris-4.0.2-standin',
      backends: options.backends ?? 1,
      heavyAlterMs: options.heavyAlterMs ?? 200,
      stringBytesMax: options.stringBytesMax ?? 1_048_576,
      duplicateKeys: options.duplicateKeys ?? 'random',
      seed: options.seed ?? 1,
      connectionsMax: options.connectionsMax ?? 100,
    },
    store,
    catalog,
    users: new Users(await store.readMeta('users'), (stored) => store.writeMeta('users', stored)),
    transactions: new Transactions(limits, await store.readLabels(Date.now() - limits.labelKeepMs)),
    faults: new Faults(),
    nativeJobs: JSON.parse((await store.readMeta('jobs')) ?? '[]') as NativeJob[],
  });
}
