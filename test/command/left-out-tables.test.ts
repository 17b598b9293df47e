import { afterEach, beforeEach, expect, test } from 'vitest';
import { sourceTable } from './fake-parts.ts';
import { create, JobWorld } from './job-world.ts';

let world: JobWorld;

beforeEach(async () => {
  world = await JobWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

test('tables that Doris cannot have are refused all at once, or left out', async () => {
  const { source } = world.parts;
  source.tables = ['user_info', '1st', 'order_info', 'a.b'].map((name) => sourceTable(name));
  const all = { include_tables: 'user_info,1st,order_info,a.b' };
  await expect(world.run(create({ source: all }))).rejects.toThrow(
    /"table\.1st\.target_table"; .*"table\.a\.b\.target_table"$/,
  );
  expect(world.parts.catalog.jobs()).toEqual([]);
  await world.run(create({ source: { ...all, on_table_error: 'SKIP' } }));
  expect(source.selection?.include).toEqual(['user_info', 'order_info']);
  const [job] = world.parts.catalog.jobs();
  expect(world.parts.catalog.tables(job!.id).map(({ name }) => name)).toEqual([
    'order_info',
    'user_info',
  ]);
  expect(job?.sourceProperties['include_tables']).toBe('user_info,order_info');
  expect(job?.leftOut).toEqual([
    { table: '1st', reason: expect.stringContaining('Doris takes no table name') as string },
    { table: 'a.b', reason: expect.stringContaining('Doris takes no table name') as string },
  ]);
});

test('on_table_error does not start a job without tables', async () => {
  world.parts.source.tables = [sourceTable('1st')];
  const source = { include_tables: '1st', on_table_error: 'skip' };
  await expect(world.run(create({ source }))).rejects.toThrow('table.1st.target_table');
});
