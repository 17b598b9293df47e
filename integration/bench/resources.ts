/**
 * What the proxy's process needs at most, with a heap of 512 MB: a transaction of 2 GB in rows of 16 MB, 1,000 tables in one job, and a
 * day's worth of reconnects. Run with `npx tsx integration/bench/resources.ts [mariadb|mysql|postgres18] [part …]`; fails when something
 * grows that should not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerKind } from '../servers.ts';
import { EndToEnd } from '../support/end-to-end.ts';
import { jobRow } from '../support/jobs.ts';
import { followManyTables } from '../support/many-tables.ts';
import { processFacts, type ProcessFacts } from '../support/process-facts.ts';
import { Reconnects } from '../support/reconnects.ts';

const HEAP_MB = 512;
/** Of the whole process, buffers outside of the heap included. */
const PEAK_MB_MAX = 768;
const COLUMNS = 16;
const COLUMN_BYTES = 1_048_576;
const ROWS = 8;
const TURNS = 8;
const TABLES = 1_000;
const ROUNDS = 5;
const SOURCE_KILLS = 50;
const CLIENTS = 1_000;
/** By which a process that has warmed up may grow. */
const GROWTH_MB_MAX = 60;

const failures: string[] = [];

function expectAtMost(what: string, found: number, most: number): void {
  if (found > most)
    failures.push(`${what}: ${found.toFixed(0)}, at most ${most.toFixed(0)} expected`);
}

function report(what: string, startMs: number, facts: ProcessFacts): void {
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  const { files, threads, residentMb, peakMb } = facts;
  console.log(
    `${what.padEnd(52)} ${seconds.padStart(5)} s  resident ${residentMb.toFixed(0).padStart(4)} MB, peak ${peakMb.toFixed(0).padStart(4)} MB, ${files} files, ${threads} threads`,
  );
}

async function largeTransaction(world: EndToEnd): Promise<void> {
  const place = await world.place('large');
  const columns = Array.from({ length: COLUMNS }, (_, i) => `c${i}`);
  const postgres = world.source.kind === 'postgres';
  const type = postgres ? 'text' : 'MEDIUMTEXT';
  await place.sql(
    `CREATE TABLE wide (id INT PRIMARY KEY, ${columns.map((name) => `${name} ${type}`).join(', ')})`,
  );
  const filled = (turn: number): string[] =>
    columns.map(
      (_, i) => `REPEAT('${String.fromCharCode(97 + ((i + turn) % 26))}', ${COLUMN_BYTES})`,
    );
  for (let id = 1; id <= ROWS; id++) {
    await place.sql(`INSERT INTO wide VALUES (${id}, ${filled(0).join(', ')})`);
  }
  await place.createJob('large', 'wide', { offset: 'latest' });
  const startMs = performance.now();
  // The same rows again and again: the stand-in has no room for 2 GB. The log has each as it was and as it is.
  const turns = Array.from({ length: TURNS }, (_, turn) => {
    const values = filled(turn + 1);
    return `UPDATE wide SET ${columns.map((name, i) => `${name} = ${values[i]}`).join(', ')}`;
  });
  await place.sql(`BEGIN; ${turns.join('; ')}; COMMIT`);
  for (let reason = ''; ;) {
    const row = await jobRow(world.client, 'large');
    // A stand-in that is slower than a job is silent: it goes on by itself.
    if (row?.['Status'] === 'PAUSED' && row['ErrorMsg'] !== reason) {
      reason = row['ErrorMsg'] ?? '';
      console.log(`paused: ${reason}`);
    }
    const { scannedRows } = JSON.parse(row?.['LoadStatistic'] ?? '{}') as { scannedRows: number };
    if (scannedRows >= ROWS * TURNS) break;
    await sleep(500);
  }
  await place.same('wide', { columns: 'id', timeoutMs: 300_000 });
  const facts = processFacts(world.proxy.pid);
  const gigabytes = ((postgres ? 1 : 2) * COLUMNS * COLUMN_BYTES * ROWS * TURNS) / 2 ** 30;
  report(`a transaction of ${gigabytes.toFixed(0)} GB, rows of 16 MB`, startMs, facts);
  expectAtMost('peak of the large transaction', facts.peakMb, PEAK_MB_MAX);
  await place.dropJob('large');
}

async function manyTables(world: EndToEnd): Promise<void> {
  const startMs = performance.now();
  await followManyTables(world, TABLES);
  const facts = processFacts(world.proxy.pid);
  report(`${TABLES} tables in one job`, startMs, facts);
  expectAtMost('peak of many tables', facts.peakMb, PEAK_MB_MAX);
}

async function reconnects(world: EndToEnd): Promise<void> {
  const lines = await Reconnects.open(world);
  let warm: ProcessFacts | undefined;
  for (let round = 0; round <= ROUNDS; round++) {
    const startMs = performance.now();
    await lines.ofSource(SOURCE_KILLS);
    await lines.ofClients(CLIENTS);
    await sleep(1_000);
    const facts = processFacts(world.proxy.pid);
    report(`${SOURCE_KILLS} lines to the source and ${CLIENTS} of clients cut`, startMs, facts);
    // The first round has filled what is kept for reuse.
    warm ??= facts;
    expectAtMost('open files', facts.files, warm.files + 2);
    expectAtMost('threads', facts.threads, warm.threads);
    if (round === ROUNDS) {
      expectAtMost('resident memory', facts.residentMb, warm.residentMb + GROWTH_MB_MAX);
    }
  }
  await lines.close();
}

const PARTS: Readonly<Record<string, (world: EndToEnd) => Promise<void>>> = {
  transaction: largeTransaction,
  tables: manyTables,
  reconnects,
};

const [kind = 'mariadb', ...asked] = process.argv.slice(2);
process.env['NODE_OPTIONS'] = `--max-old-space-size=${HEAP_MB}`;
{
  await using world = await EndToEnd.open(kind as ServerKind);
  report(`${kind}, at rest`, performance.now(), processFacts(world.proxy.pid));
  for (const [name, part] of Object.entries(PARTS)) {
    if (asked.length === 0 || asked.includes(name)) await part(world);
  }
}
for (const failure of failures) console.error(`FAILED: ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;
