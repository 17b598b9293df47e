import { closeSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { ProxyError } from '../model/error.ts';
import type { Stored } from './record.ts';

/** `MDB_MAGIC` in the header of a meta page, behind the page's own 16 (64-bit) bytes (lmdb.h, "struct MDB_meta"). */
const MAGIC = 0xbeefc0de;
const MAGIC_AT = [16, 24];

/**
 * Opens the catalog's file. What is no catalog is recognised by its first bytes: LMDB maps a file before it looks at it closely, and a
 * damaged one may end the process.
 *
 * Only one process may have it open, whatever LMDB's manual says of several: when a second one opens and closes the file again and
 * again, be it to read only, lmdb 3.5.6 on Linux loses changes of the first that were committed, and the tree with them (seen within
 * seconds with three writing threads; never with one process, whatever its threads do). `owner-lock.ts` sees to that.
 *
 * @throws ProxyError STATEMENT when the file is something else or cannot be read.
 */
export function openFile(directory: string): RootDatabase<Stored<unknown>, string> {
  const file = path.join(directory, 'catalog.mdb');
  if (!process.listeners('unhandledRejection').includes(dropTwin)) {
    process.on('unhandledRejection', dropTwin);
  }
  try {
    expectCatalog(file);
    return open<Stored<unknown>, string>({ path: file, noSubdir: true, encoding: 'json' });
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new ProxyError(
      'STATEMENT',
      `The catalog ${file} cannot be read: ${words}. Restore it from a copy, or give another --data-dir.`,
      { cause },
    );
  }
}

function expectCatalog(file: string): void {
  const head = Buffer.alloc(32);
  let read: number;
  try {
    const handle = openSync(file, 'r');
    try {
      read = readSync(handle, head);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  // An empty file is what a kill right after its creation leaves.
  if (read === 0 || MAGIC_AT.some((at) => head.readUInt32LE(at) === MAGIC)) return;
  throw new Error('it is not an LMDB file');
}

/**
 * lmdb 3.5 rejects one promise more than it hands out when a commit fails. Our own promise has told whoever wrote; this twin would end
 * the process, relay and all, because a disk was full. Any other rejection that nobody handles stays what it is: a bug.
 */
function dropTwin(reason: unknown): void {
  if (reason instanceof Error && 'commitError' in reason) return;
  throw reason;
}

/** What a failed transaction means. LMDB's own reason is a second promise that nobody else waits for. */
export function writeError(directory: string, cause: unknown): unknown {
  if (cause instanceof ProxyError || !(cause instanceof Error)) return cause;
  if ('commitError' in cause && cause.commitError instanceof Promise) {
    cause.commitError.catch(() => undefined);
  }
  return new ProxyError(
    'CATALOG',
    `The catalog in ${directory} cannot be written (${cause.message}): is its disk full? Jobs wait until it can.`,
    { cause },
  );
}
