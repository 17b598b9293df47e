import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RowEncoder } from '../../../src/source/postgres/row-encoder.ts';
import { stampReader, whatHappened } from '../../../src/source/postgres/part-stamp.ts';
import type { Session } from '../../../src/source/postgres/connection.ts';
import type { TablePart } from '../../../src/source/postgres/table-parts.ts';
import { SOURCE, TABLE } from '../../support/fake-wal.ts';

const KNOWN = { encoder: new RowEncoder(TABLE, false), source: SOURCE };
const PART: TablePart = {
  oid: 21,
  schema: 'public',
  name: 't_1',
  logged: true,
  path: [21, 1000],
  attached: '.745',
  file: '16390',
};

/** The mark of `part` by a publication that shows partitions under their root's name, or their own. */
async function stamp(
  part: Partial<TablePart>,
  publication: { readonly version?: string; readonly entry?: string; readonly viaRoot?: boolean },
): Promise<string> {
  const { version = '16400.746', entry = '16401', viaRoot = false } = publication;
  const row = { version, entries: { '1000': entry }, pubviaroot: viaRoot };
  const session = { rows: () => Promise.resolve([row]) } as unknown as Session;
  const stampOf = await stampReader(session, 'pub');
  return stampOf!({ ...PART, ...part });
}

test.each([
  ['nothing', {}, {}, undefined],
  ['a rename', { name: 'a/b:1 c', schema: '.' }, {}, undefined],
  ['another file, of which the log tells', { file: '16999' }, {}, undefined],
  ['another file', { file: '16999' }, { viaRoot: true }, 'was truncated, or rewritten'],
  ['attached anew', { attached: '.799' }, {}, 'was detached and attached again'],
  ['other options', {}, { version: '16400.800' }, 'publication pub was altered'],
  ['put back', {}, { entry: '16999' }, 'publication pub was altered'],
] as const)('%s between two looks', async (_, part, publication, text) => {
  const viaRoot = 'viaRoot' in publication && publication.viaRoot;
  const [before, now] = [await stamp({}, { viaRoot }), await stamp(part, publication)];
  const found = whatHappened(KNOWN, 'pub', before, now);
  if (text === undefined) expect(found).toBeUndefined();
  else expect(found?.text).toContain(text);
});

test('a part that went is called by the name that it had, whatever that was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string(), fc.string(), fc.boolean(), async (schema, name, viaRoot) => {
      const before = await stamp({ schema, name }, { viaRoot });
      expect(whatHappened(KNOWN, 'pub', before, before)).toBeUndefined();
      expect(whatHappened(KNOWN, 'pub', before, undefined)?.text).toContain(
        `partition ${schema}.${name} of public.t was detached or dropped`,
      );
    }),
  );
});
