import { ProxyError } from '../model/error.ts';

/** Format of everything in the catalog. Raised with every change that an older program would misread. */
export const FORMAT = 2;

/** The oldest format that opening makes into this one. 1: a job with its tables was one record. */
const OLDEST = 1;

/** A record to write. */
export type Put = readonly [key: string, value: unknown];

/** A value as it lies in the catalog: `revision` grows with every write and is what compare-and-set compares. */
export interface Stored<T> {
  readonly revision: number;
  readonly value: T;
}

/**
 * Checks that the catalog was written in this format, or in one that can be made into it.
 *
 * @throws ProxyError STATEMENT when it was written by a newer program.
 */
export function checkFormat(found: unknown, directory: string): void {
  if (found === undefined) return;
  if (typeof found === 'number' && found >= OLDEST && found <= FORMAT) return;
  throw new ProxyError(
    'STATEMENT',
    `The catalog in ${directory} has format ${JSON.stringify(found)}, this program writes format ${FORMAT}. ` +
      'Start the newer program that wrote it, or give another --data-dir.',
  );
}
