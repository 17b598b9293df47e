import { expect, test } from 'vitest';
import type { Session } from '../../../src/source/postgres/connection.ts';
import { preflight } from '../../../src/source/postgres/preflight.ts';

test('a server of a version that is too old is refused by its name, before it is asked for what it does not know', async () => {
  const asked: string[] = [];
  const session = {
    rows: (sql: string) => {
      asked.push(sql);
      return Promise.resolve([{ version: 120_022, name: '12.22 (Debian 12.22-1.pgdg12+1)' }]);
    },
  } as unknown as Session;
  const names = {
    schema: 'public',
    slot: 's',
    ownSlot: true,
    publication: { name: 'p', own: true },
    zone: 'UTC',
  };
  const selection = { include: [], exclude: [], targets: {}, excludeColumns: {} };
  await expect(preflight(session, names, selection)).rejects.toMatchObject({
    code: 'SOURCE_SETTING',
    message: 'Postgres 12.22 (Debian 12.22-1.pgdg12+1) is not supported: 13 or later is needed',
  });
  expect(asked).toHaveLength(1);
});
