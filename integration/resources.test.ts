import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available } from './servers.ts';
import { EndToEnd, type Place } from './support/end-to-end.ts';

/** Heap that the proxy's threads may use, in MB: far less than what is sent through it. */
const HEAP_MB = 128;
/** Resident memory of the whole process at its peak, in MB, buffers outside the heap included. */
const RESIDENT_MB_MAX = 512;

describe.runIf(available('mariadb'))('memory is bounded, whatever the source sends', () => {
  let world: EndToEnd;
  let place: Place;
  const before = process.env['NODE_OPTIONS'];
  beforeAll(async () => {
    process.env['NODE_OPTIONS'] = `--max-old-space-size=${HEAP_MB}`;
    world = await EndToEnd.open('mariadb');
    place = await world.place('resources');
  });
  afterAll(async () => {
    if (before === undefined) delete process.env['NODE_OPTIONS'];
    else process.env['NODE_OPTIONS'] = before;
    await world?.[Symbol.asyncDispose]();
  });

  function peakMb(): number {
    const status = readFileSync(`/proc/${world.proxy.pid}/status`, 'latin1');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }

  test('rows of 15 MB, one transaction of 300 MB', async () => {
    // Doris takes 1 MB of text in a column.
    const columns = Array.from({ length: 15 }, (_, i) => `c${i}`);
    await place.sql(
      `CREATE TABLE wide (id INT PRIMARY KEY, ${columns.map((c) => `${c} MEDIUMTEXT`).join(', ')})`,
    );
    await place.createJob('wide', 'wide');
    const values = columns.map((_, i) => `REPEAT(CHAR(97 + ${i}), 1000000)`).join(', ');
    await place.sql(`INSERT INTO wide SELECT seq, ${values} FROM seq_1_to_20`);
    await place.same('wide', { columns: 'id', timeoutMs: 90_000 });
    const peak = peakMb();
    expect(peak).toBeGreaterThan(50);
    expect(peak).toBeLessThan(RESIDENT_MB_MAX);
    await place.dropJob('wide');
  });
});
