/** An entry of a map that Doris would hold in a `java.util.HashMap`. */
export type Entry<T> = readonly [key: string, value: T];

/**
 * `entries`, inserted in their order, as a Java `HashMap` that is filled one by one lists them. Doris prints its property
 * and offset maps in this order, and people compare the texts (job-sql.md §3.9).
 */
export function javaMapOrder<T>(entries: readonly Entry<T>[]): readonly Entry<T>[] {
  let capacity = 16;
  while (entries.length > capacity * 0.75) capacity *= 2;
  const bucket = ([key]: Entry<T>): number => spread(javaHash(key)) & (capacity - 1);
  // The sort is stable: inside a bucket the order of insertion stays.
  return entries.toSorted((a, b) => bucket(a) - bucket(b));
}

/** `String.hashCode`: 31-polynomial over UTF-16 units in 32 bits. */
function javaHash(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i += 1) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}

function spread(hash: number): number {
  return hash ^ (hash >>> 16);
}
