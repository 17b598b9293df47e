import { ProxyError } from '../model/error.ts';

/** Format of everything in the catalog. Raised with every change that an older program would misread. */
export const FORMAT = 1;

/** A value as it lies in the catalog: `revision` grows with every write and is what compare-and-set compares. */
export interface Stored<T> {
  readonly revision: number;
  readonly value: T;
}

/**
 * Checks that the catalog was written by this format.
 *
 * @throws ProxyError STATEMENT when it was written by a newer program.
 */
export function checkFormat(found: unknown, directory: string): void {
  if (found === undefined || found === FORMAT) return;
  throw new ProxyError(
    'STATEMENT',
    `The catalog in ${directory} has format ${JSON.stringify(found)}, this program writes format ${FORMAT}. ` +
      'Start the newer program that wrote it, or give another --data-dir.',
  );
}
