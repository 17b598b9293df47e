import { expect, test } from 'vitest';
import type { Relation } from '../../../src/source/postgres/pgoutput.ts';
import { RowEncoder } from '../../../src/source/postgres/row-encoder.ts';
import {
  WalRelations,
  type KnownTable,
  type Parts,
} from '../../../src/source/postgres/wal-relations.ts';
import { QUIET_WATCH, SOURCE, TABLE } from '../../support/fake-wal.ts';

const known = (name: string, oid: number): KnownTable => ({
  encoder: new RowEncoder({ ...TABLE, name, target: name }, false),
  source: { ...SOURCE, name, oid },
});
const PLAIN = known('plain', 1);
const PARTED = known('parted', 2);
const PARTS = new Set([21, 22]);

const relation = (oid: number, name: string): Relation => ({
  oid,
  schema: 'public',
  name,
  identity: 'd',
  columns: [
    { name: 'id', typeOid: 25, modifier: -1, identity: true },
    { name: 'v', typeOid: 25, modifier: -1, identity: false },
  ],
});

/** Relations of two tables, one of which has the partitions 21 and 22, all of them described. */
async function described(parts: Partial<Parts> = {}): Promise<WalRelations> {
  const relations = new WalRelations(
    [PLAIN, PARTED],
    {
      ...QUIET_WATCH,
      ownerOf: (oid) => (PARTS.has(oid) ? PARTED : undefined),
      isWhole: (_, oids) => [...PARTS].every((oid) => oids.has(oid)),
      ...parts,
    },
    () => Promise.resolve('text'),
  );
  await relations.learn(relation(1, 'plain'));
  await relations.learn(relation(21, 'parted_1'));
  await relations.learn(relation(22, 'parted_2'));
  await relations.learn(relation(9, 'strange'));
  return relations;
}

test.each([
  [[1], ['plain'], undefined],
  [[9], [], undefined],
  [[21, 22], ['parted'], undefined],
  [[9, 22, 1, 21], ['parted', 'plain'], undefined],
  [[21], [], 'of table public.parted only a part was truncated (public.parted_1)'],
  [[1, 22], ['plain'], 'of table public.parted only a part was truncated (public.parted_2)'],
])('TRUNCATE of relations %j empties %j, and stops: %s', async (oids, names, reason) => {
  const { tables, stop } = (await described()).truncated(oids);
  expect(tables.map(({ name }) => name).toSorted()).toEqual(names);
  if (reason === undefined) expect(stop).toBeUndefined();
  else expect(stop?.message).toContain(reason);
});

test('a partition that nobody knew is looked up once it is described, and one that is none is passed over', async () => {
  const looked: number[] = [];
  let seen = false;
  const relations = await described({
    isPart: (oid) => {
      looked.push(oid);
      return Promise.resolve(oid === 23);
    },
    verify: () => Promise.resolve(void (seen = true)),
    ownerOf: (oid) => (PARTS.has(oid) || (oid === 23 && seen) ? PARTED : undefined),
  });
  await relations.learn(relation(23, 'parted_3'));
  expect(looked).toEqual([9, 23]);
  expect(relations.get(23)?.encoder).toBe(PARTED.encoder);
  expect(relations.get(9)).toBeUndefined();
});
