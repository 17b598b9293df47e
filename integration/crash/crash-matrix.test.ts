import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available, startMariadb, startMysql, startPostgres } from '../servers.ts';
import { type DorisHandle, startDoris } from '../support/doris.ts';
import { CrashWorld } from './crash-world.ts';
import { cellsOf, killAt } from './matrix.ts';

const SOURCES = [
  ['mysql', () => startMysql()],
  ['mariadb', () => startMariadb()],
  ['postgres18', () => startPostgres()],
] as const;

/**
 * Every transition of the state machine once, each source taking every third one: a subset of `npm run crash`, which has them all on
 * every source, and again with other seeds.
 */
describe('killed at every transition', () => {
  let doris: DorisHandle;
  beforeAll(async () => {
    doris = await startDoris();
  });
  afterAll(async () => {
    await doris?.[Symbol.asyncDispose]();
  });

  describe.concurrent.each(SOURCES)('%s', (kind, start) => {
    test.runIf(available(kind))(
      'the rows are equal and nothing is in doubt',
      async () => {
        await using source = await start();
        await using world = await CrashWorld.open({ source, doris, seed: 11 });
        const third = SOURCES.findIndex(([name]) => name === kind);
        const cells = cellsOf(world).filter((_, index) => index % SOURCES.length === third);
        let kills = 0;
        for (const cell of cells) {
          const kill = await killAt(world, cell, 1);
          kills += kill.kills;
          expect(kill, `${cell.phase}: ${cell.point}\n${kill.message ?? ''}`).toMatchObject({
            outcome: 'equal',
          });
        }
        expect(kills).toBeGreaterThanOrEqual(20);
      },
      600_000,
    );
  });
});
