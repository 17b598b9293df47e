import { expect, test } from 'vitest';
import { ensurePublication } from '../../../src/source/postgres/publication.ts';
import type { Session } from '../../../src/source/postgres/connection.ts';

/** A server whose publication holds `looks[n]` when it is looked at for the n-th time. */
function server(looks: readonly (readonly number[])[]): Session {
  let look = 0;
  const rows = (sql: string): Promise<unknown[]> => {
    if (!sql.includes('FROM pg_publication p')) return Promise.resolve([]);
    const entries = Object.fromEntries((looks[look++] ?? []).map((oid) => [oid, String(oid)]));
    const row = { pubviaroot: false, version: '1', entries };
    const verbs = { pubinsert: true, pubupdate: true, pubdelete: true, pubtruncate: true };
    return Promise.resolve([{ ...row, ...verbs }]);
  };
  return { rows } as unknown as Session;
}

test.each([
  [[1, 2], [1, 2, 3], false],
  [[1, 2], [2, 1], false],
  [[1, 2], [1], true],
  [[1, 2], [1, 3], true],
])('a publication of %j that is %j then has shrunk: %j', async (before, after, shrank) => {
  const session = server([before, before, after]);
  const publication = { name: 'doris_pub_1', own: true };
  expect(await ensurePublication(session, publication, [])).toBe(shrank);
});
