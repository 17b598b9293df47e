import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available } from './servers.ts';
import { EndToEnd } from './support/end-to-end.ts';
import { followManyTables } from './support/many-tables.ts';
import { processFacts } from './support/process-facts.ts';
import { Reconnects } from './support/reconnects.ts';

/** Heap that the proxy's threads may use, in MB: far less than what is sent through it. */
const HEAP_MB = 128;
/** Resident memory of the whole process at its peak, in MB, buffers outside the heap included. */
const RESIDENT_MB_MAX = 512;

/** Of it, by which a process that has warmed up may grow: what a leak of a connection's buffers passes within a hundred. */
const GROWTH_MB_MAX = 40;

/** The large sizes are `npm run bench -- resources`. */
describe.runIf(available('mariadb'))('resources are bounded, whatever the source sends', () => {
  let world: EndToEnd;
  const before = process.env['NODE_OPTIONS'];
  beforeAll(async () => {
    process.env['NODE_OPTIONS'] = `--max-old-space-size=${HEAP_MB}`;
    world = await EndToEnd.open('mariadb');
  });
  afterAll(async () => {
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
    await world?.[Symbol.asyncDispose]();
  });

  test('rows of 16 MB, one transaction of 200 MB', async () => {
    const place = await world.place('resources');
    // Doris takes 1 MB of text in a column.
    const columns = Array.from({ length: 16 }, (_, i) => `c${i}`);
    await place.sql(
      `CREATE TABLE wide (id INT PRIMARY KEY, ${columns.map((c) => `${c} MEDIUMTEXT`).join(', ')})`,
    );
    await place.createJob('wide', 'wide');
    const values = columns.map((_, i) => `REPEAT(CHAR(97 + ${i}), 1048576)`).join(', ');
    await place.sql(`INSERT INTO wide SELECT seq, ${values} FROM seq_1_to_12`);
    await place.same('wide', { columns: 'id', timeoutMs: 90_000 });
    const { peakMb } = processFacts(world.proxy.pid);
    expect(peakMb).toBeGreaterThan(50);
    expect(peakMb).toBeLessThan(RESIDENT_MB_MAX);
    await place.dropJob('wide');
  });

  test('200 tables in one job', async () => {
    await followManyTables(world, 200);
    expect(processFacts(world.proxy.pid).peakMb).toBeLessThan(RESIDENT_MB_MAX);
  });

  test('connections that break leave nothing open', async () => {
    const reconnects = await Reconnects.open(world);
    await reconnects.ofSource(5);
    await reconnects.ofClients(50);
    const warm = processFacts(world.proxy.pid);
    await reconnects.ofSource(20);
    await reconnects.ofClients(200);
    // What is closed is gone a little later.
    await expect
      .poll(() => processFacts(world.proxy.pid).files)
      .toBeLessThanOrEqual(warm.files + 2);
    const after = processFacts(world.proxy.pid);
    expect(after.threads).toBeLessThanOrEqual(warm.threads);
    expect(after.residentMb).toBeLessThan(warm.residentMb + GROWTH_MB_MAX);
    await reconnects.close();
  });
});
