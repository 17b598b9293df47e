import type { RootDatabase } from 'lmdb';
import { openFile, writeError } from './lmdb-file.ts';
import type { Put, Stored } from './record.ts';

/** One change of state: applied whole, or, when a compared revision has moved on, not at all. */
export interface Change {
  /** Revisions by key, 0: the record must not be there. */
  readonly compare: ReadonlyMap<string, number>;
  readonly put: readonly Put[];
  readonly remove: readonly string[];
}

/**
 * One space of keys and records, in LMDB. Changes are compare-and-set batches, so that a store like etcd can take its place.
 * A change resolves when it is on disk. Reads see every change of their own thread that has resolved; one of another thread is seen when a
 * timer of the event loop has had its turn, or after {@link renew}.
 */
export class Store implements AsyncDisposable {
  readonly directory: string;
  readonly #root: RootDatabase<Stored<unknown>, string>;

  /** @throws ProxyError STATEMENT when the directory holds something unreadable. */
  constructor(directory: string) {
    this.directory = directory;
    this.#root = openFile(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#root.flushed;
    await this.#root.close();
  }

  read<T>(key: string): Stored<T> | undefined {
    return this.#root.get(key) as Stored<T> | undefined;
  }

  /** Records by the beginning of their keys, which ends with a slash, in the order of the keys. */
  list<T>(prefix: string): T[] {
    const range = this.#root.getRange(rangeOf(prefix));
    return [...range].map((entry) => (entry.value as Stored<T>).value);
  }

  keys(prefix: string): string[] {
    return [...this.#root.getKeys(rangeOf(prefix))];
  }

  /** What is read from now on is of now. Reads of one turn of the event loop are of one moment otherwise. */
  renew(): void {
    this.#root.resetReadTxn();
  }

  /** @throws ProxyError CATALOG when the disk does not take it; nothing of the change is there then. */
  async commit(change: Change): Promise<boolean> {
    try {
      return await this.#write(change);
    } catch (cause) {
      throw writeError(this.directory, cause);
    }
  }

  async #write(change: Change): Promise<boolean> {
    const applied = await this.#root.transaction(() => {
      for (const [key, revision] of change.compare) {
        if ((this.read(key)?.revision ?? 0) !== revision) return false;
      }
      for (const [key, value] of change.put) {
        const revision = (this.read(key)?.revision ?? 0) + 1;
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

function rangeOf(prefix: string): { readonly start: string; readonly end: string } {
  // '0' is the character after '/': the range ends with the prefix.
  return { start: prefix, end: `${prefix.slice(0, -1)}0` };
}
