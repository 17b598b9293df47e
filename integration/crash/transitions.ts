/** What the process was doing when it was killed. */
export type Phase =
  | 'create'
  | 'snapshot'
  | 'hand-over'
  | 'stream'
  | 'truncate'
  | 'alter'
  | 'drop'
  | 'recovery';

/** One place to die at. `kill-hook.mjs` names the points. */
export interface Cell {
  readonly phase: Phase;
  readonly point: string;
  /** Postgres alone has a slot, a flush position and something to release. */
  readonly only?: 'postgres';
}

const both = (...names: string[]): string[] =>
  names.flatMap((name) => [`before ${name}`, `after ${name}`]);

/** A task of the copy or of the stream, from its intent to its outcome. */
const task = (road: 'copy' | 'stream'): string[] => [
  ...both(`${road} intent`),
  `before ${road} load`,
  `after ${road} body`,
  `after ${road} answer`,
  `after ${road} load`,
  ...both(`${road} outcome`),
];

const POINTS: Readonly<Record<Phase, readonly string[]>> = {
  create: both('reserve', 'safe position', 'create table', 'create', 'start'),
  snapshot: task('copy'),
  'hand-over': [...both('copy finished', 'open stream'), ...task('stream')],
  stream: [...task('stream'), ...both('acknowledge', 'position')],
  truncate: [
    ...both('truncate intent', 'truncate', 'truncate outcome', 'barrier'),
    ...task('stream'),
  ],
  alter: both('pause', 'alter', 'resume', 'start'),
  drop: both('stop', 'release', 'remove'),
  recovery: [
    ...both('restart', 'settle', 'fence', 'recovery cancel', 'recovery outcome'),
    'before recovery load',
    'after recovery body',
    'after recovery answer',
    'after recovery load',
  ],
};

/** `acknowledge` and `release` are called for every source, but do something to Postgres only. */
const POSTGRES_ONLY = /(acknowledge|release)$/;

/**
 * The state machine's transitions, each before and after, in every phase in which it happens. The list is closed: the hook finds a
 * name for every change of a job's record, and a run fails when it meets one that is not in {@link KNOWN}.
 */
export const CELLS: readonly Cell[] = Object.entries(POINTS).flatMap(([phase, points]) =>
  points.map((point) => ({
    phase: phase as Phase,
    point,
    ...(POSTGRES_ONLY.test(point) ? { only: 'postgres' as const } : {}),
  })),
);

/** Transitions that come in a run but are no cells of their own. */
const PASSING: readonly string[] = [
  // An empty table: nothing was loaded, so this is `copy outcome` without its load.
  ...both('copy progress'),
  // DROP TABLE of a refused CREATE JOB.
  ...both('drop table'),
  // A stream begins with a task that waits for rows.
  ...both('waiting'),
  // A job that waits for loads of a dropped one says so.
  ...both('reason'),
];

/** Every name that the hook may give. */
export const KNOWN: ReadonlySet<string> = new Set([
  ...CELLS.map(({ point }) => point),
  ...both('copy load', 'stream load', 'recovery load'),
  ...PASSING,
]);
