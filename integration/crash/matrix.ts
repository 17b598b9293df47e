import type { CrashWorld } from './crash-world.ts';
import { type Cell, CELLS, type Phase } from './transitions.ts';

export interface Kill {
  readonly cell: Cell;
  /** Which passing of the point it was, from the moment when the phase began. */
  readonly nth: number;
  readonly outcome: 'equal' | 'not reached' | 'failed';
  /** Processes that were killed for it. */
  readonly kills: number;
  readonly message?: string;
}

/** Rounds of writes that are tried until the point is passed often enough. */
const ROUNDS = 12;
const ROUND_MS = 1_000;
/** A copy of small tables and its hand-over; generous, for a busy machine. */
const COPY_MS = 40_000;

/** The cells that a source has. */
export function cellsOf(world: CrashWorld): readonly Cell[] {
  return CELLS.filter(({ only }) => only === undefined || only === world.source.kind);
}

/**
 * Dies at one place and comes back: brings the job into the phase, kills the process at the point while somebody writes, starts it again,
 * and expects the source's rows in Doris and nothing in doubt.
 */
export async function killAt(world: CrashWorld, cell: Cell, nth: number): Promise<Kill> {
  let kills = 0;
  try {
    if (!world.proxy.running) await world.start();
    await PREPARE[cell.phase](world);
    if (cell.phase === 'recovery') {
      await dieWithIntent(world, cell.point);
      kills += 1;
    }
    world.arm(cell.point, nth);
    const reached = await PROVOKE[cell.phase](world, cell.point);
    if (reached) kills += 1;
    world.disarm();
    if (!world.proxy.running) await world.start();
    await CURE[cell.phase](world);
    await world.settled();
    return { cell, nth, kills, outcome: reached ? 'equal' : 'not reached' };
  } catch (error) {
    world.disarm();
    const message = `${String(error)}\nlast steps:\n${world.lastSteps()}`;
    return { cell, nth, kills, outcome: 'failed', message };
  }
}

type Step = (world: CrashWorld) => Promise<void>;
/** @returns whether the process has died. */
type Provoke = (world: CrashWorld, point: string) => Promise<boolean>;

/** No job, and no tables of it in Doris. */
const absent: Step = async (world) => {
  await world.query(`DROP JOB IF EXISTS WHERE jobName = '${world.job}'`);
  await world.dropTargets();
};

/** The job follows the source. */
const following: Step = async (world) => {
  await cure(world);
  await world.settled();
};

const cure: Step = async (world) => {
  const status = (await world.row())?.['Status'];
  const name = `jobName = '${world.job}'`;
  if (status === 'PAUSED') await world.query(`RESUME JOB WHERE ${name}`);
  // A CREATE or a DROP that was cut off: the job says so, and can be dropped.
  if (status === 'STOPPED') await absent(world);
  if (status === 'STOPPED' || status === undefined) await world.query(world.createSql());
};

/** The statement may be given again. */
const dropAgain: Step = async (world) => {
  await absent(world);
  if ((await world.row()) !== undefined) throw new Error('the dropped job is still there');
  await cure(world);
};

const PREPARE: Readonly<Record<Phase, Step>> = {
  create: absent,
  snapshot: absent,
  'hand-over': absent,
  stream: following,
  truncate: following,
  alter: following,
  drop: following,
  recovery: following,
};

const CURE: Readonly<Record<Phase, Step>> = {
  create: cure,
  snapshot: cure,
  'hand-over': cure,
  stream: cure,
  truncate: cure,
  alter: cure,
  drop: dropAgain,
  recovery: cure,
};

const createUnderWrites: Provoke = async (world) => {
  const writing = world.write(25);
  await world.try(world.createSql());
  await writing;
  for (let round = 0; round < 3 && world.proxy.running; round++) {
    await world.write(5);
    if (await world.died(ROUND_MS)) return true;
  }
  return await world.died(COPY_MS);
};

/** A job without work notes its position; one with work loads. */
const writeUntilDead: Provoke = async (world, point) => {
  const isIdle = point.endsWith(' position');
  for (let round = 0; round < ROUNDS; round++) {
    await (isIdle ? world.writeElsewhere() : world.write(8));
    if (await world.died(ROUND_MS)) return true;
  }
  return false;
};

const PROVOKE: Readonly<Record<Phase, Provoke>> = {
  create: createUnderWrites,
  snapshot: createUnderWrites,
  'hand-over': createUnderWrites,
  stream: writeUntilDead,

  async truncate(world) {
    for (let round = 0; round < ROUNDS; round++) {
      await world.write(6);
      await world.truncateSource();
      await world.write(6);
      if (await world.died(ROUND_MS)) return true;
    }
    return false;
  },

  async alter(world) {
    const writing = world.write(20);
    const name = `jobName = '${world.job}'`;
    for (const statement of [
      `PAUSE JOB WHERE ${name}`,
      `ALTER JOB ${world.job} PROPERTIES("__altered" = "${Date.now()}")`,
      `RESUME JOB WHERE ${name}`,
    ]) {
      if (world.proxy.running) await world.try(statement);
    }
    await writing;
    return await world.died(ROUNDS * ROUND_MS);
  },

  async drop(world) {
    const writing = world.write(20);
    await world.try(`DROP JOB WHERE jobName = '${world.job}'`);
    await writing;
    return await world.died(ROUNDS * ROUND_MS);
  },

  async recovery(world) {
    const served = await world.start();
    await world.write(10);
    return !served || (await world.died(COPY_MS));
  },
};

/** The first of two deaths: it leaves the intent that the recovery of `point` deals with. */
async function dieWithIntent(world: CrashWorld, point: string): Promise<void> {
  const isCancel = point.endsWith('cancel') || point.endsWith('fence');
  const isLoaded = point.endsWith('outcome') || point.endsWith('settle');
  if (isCancel) await absent(world);
  world.arm(
    isCancel ? 'after copy intent' : isLoaded ? 'after stream load' : 'after stream intent',
  );
  const died = isCancel
    ? await createUnderWrites(world, point)
    : await writeUntilDead(world, point);
  if (!died) throw new Error('the first of two deaths did not come');
}
