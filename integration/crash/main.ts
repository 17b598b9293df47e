import { parseArgs } from 'node:util';
import {
  type MysqlServer,
  type PostgresServer,
  startMariadb,
  startMysql,
  startPostgres,
} from '../servers.ts';
import { type DorisHandle, startDoris } from '../support/doris.ts';
import { buildProxy } from '../support/proxy.ts';
import { CrashWorld } from './crash-world.ts';
import { cellsOf, type Kill, killAt } from './matrix.ts';

/**
 * `npm run crash`: the whole matrix, every transition in every phase on every source, and again with other seeds until there were
 * enough kills. `--kills 1000`, `--seed 1`, `--source mysql` (repeatable), `--only 'stream:after stream load'`.
 */
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    source: { type: 'string', multiple: true, default: ['mysql', 'mariadb', 'postgres18'] },
    only: { type: 'string' },
  },
});

const START: Readonly<Record<string, () => Promise<MysqlServer | PostgresServer>>> = {
  mysql: () => startMysql(),
  mariadb: () => startMariadb(),
  postgres18: () => startPostgres(),
};

/** A passing of one point on one source, over all its rounds. */
interface Line {
  readonly name: string;
  kills: number;
  equal: number;
  missed: number;
  failed: number;
}

const lines = new Map<string, Line>();
const failures: string[] = [];
let killed = 0;

function count(source: string, seed: number, kill: Kill): void {
  const { phase, point } = kill.cell;
  const name = `${phase.padEnd(10)} ${point.padEnd(24)} ${source}`;
  const line = lines.get(name) ?? { name, kills: 0, equal: 0, missed: 0, failed: 0 };
  lines.set(name, line);
  killed += kill.kills;
  line.kills += kill.kills;
  if (kill.outcome === 'equal') line.equal += 1;
  else if (kill.outcome === 'not reached') line.missed += 1;
  else line.failed += 1;
  if (kill.outcome === 'equal') return;
  const repeat = `npm run crash -- --source ${source} --seed ${seed} --kills 1 --only '${phase}:${point}'`;
  failures.push(
    `${name}, passing ${kill.nth}, seed ${seed}: ${kill.outcome}\n  again: ${repeat}\n${kill.message ?? ''}`,
  );
  console.error(failures.at(-1));
}

/** Rounds over all cells of one source until enough was killed, each round in a world of its own. */
async function runSource(name: string, doris: DorisHandle): Promise<void> {
  const start = START[name];
  if (start === undefined) throw new Error(`no such source: ${name}`);
  const killsMax = Number(values.kills);
  await using source = await start();
  for (let round = 0; killed < killsMax; round++) {
    const seed = Number(values.seed) + round;
    await using world = await CrashWorld.open({ source, doris, seed });
    for (const cell of cellsOf(world)) {
      if (killed >= killsMax) return;
      if (values.only !== undefined && values.only !== `${cell.phase}:${cell.point}`) continue;
      const kill = await killAt(world, cell, nthOf(round, cell.point));
      count(name, seed, kill);
      // What is left behind would spoil the next cells: a new world.
      if (kill.outcome === 'failed') break;
    }
  }
}

/** A task has one load for each of three tables, and comes again; a statement's changes come once. */
function nthOf(round: number, point: string): number {
  return /load|body|answer/.test(point) && !point.includes('recovery') ? 1 + (round % 3) : 1;
}

await buildProxy();
await using doris = await startDoris();
const startMs = Date.now();
await Promise.all(values.source.map((name) => runSource(name, doris)));
console.log(
  `${'phase'.padEnd(10)} ${'transition'.padEnd(24)} ${'source'.padEnd(12)} kills equal missed failed`,
);
for (const line of lines.values()) {
  const numbers = [line.kills, line.equal, line.missed, line.failed];
  console.log(`${line.name.padEnd(48)} ${numbers.map((n) => String(n).padStart(5)).join(' ')}`);
}
console.log(
  `${killed} kills in ${Math.round((Date.now() - startMs) / 1000)} s, ${failures.length} failures`,
);
if (failures.length > 0) {
  console.log(failures.join('\n\n'));
  process.exitCode = 1;
}
