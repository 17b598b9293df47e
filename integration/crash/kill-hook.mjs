// Plain JavaScript, because it runs inside the product (`node --import`), which has no TypeScript at run time.
import { createHash } from 'node:crypto';
import diagnostics from 'node:diagnostics_channel';
import { appendFileSync, readFileSync } from 'node:fs';

/**
 * Kills the process it is loaded into at a named transition of the state machine (`transitions.ts`), so that nothing in src/
 * has to know of it: it wraps the methods through which state changes and effects go, in the main thread and in every worker, which
 * inherits `--import`.
 *
 * CRASH_DIST: folder of the compiled product. CRASH_ORDER: a file with `{ id, point, nth }`, looked at whenever a
 * transition is passed; no file, no kill. CRASH_TRACE: a file that gets one line for each transition that was passed and for
 * each body that was sent.
 */
const { CRASH_DIST, CRASH_ORDER, CRASH_TRACE } = process.env;

const at = (file) => import(new URL(file, CRASH_DIST).href);
const trace = (line) => appendFileSync(CRASH_TRACE, `${line}\n`);

let orderId;
let passed = 0;

function pass(point) {
  trace(`pass ${point}`);
  let order;
  try {
    order = JSON.parse(readFileSync(CRASH_ORDER, 'utf8'));
  } catch {
    return;
  }
  if (order.point !== point) return;
  if (order.id !== orderId) [orderId, passed] = [order.id, 0];
  passed += 1;
  if (passed < order.nth) return;
  trace(`kill ${order.id} ${point}`);
  process.kill(process.pid, 'SIGKILL');
  // The signal ends the other threads within microseconds; this one must not take another step.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

async function around(point, run) {
  pass(`before ${point}`);
  const result = await run();
  pass(`after ${point}`);
  return result;
}

/** Labels and tasks that began in this process: the others are an earlier one's. */
const roadOfLabel = new Map();
const roadOfTask = new Map();
const roadOf = (map, key) => map.get(key) ?? 'recovery';
let truncated = false;

const isTruncate = ({ partitions }) => partitions !== undefined;
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** The name of a change of a job's record; a change that has none is a hole in the list of transitions. */
function nameOf(before, after, along) {
  const [task] = along.tasks ?? [];
  if (along.intents?.some(({ loads }) => loads.some(isTruncate))) {
    for (const { id } of along.intents) roadOfTask.set(id, 'truncate');
    return 'truncate intent';
  }
  if (along.settled?.some((id) => roadOfTask.get(id) === 'truncate')) return 'truncate outcome';
  if (along.intents?.length > 0 && task !== undefined) {
    const road = task.range.kind === 'snapshot' ? 'copy' : 'stream';
    roadOfTask.set(task.id, road);
    for (const { label } of task.loads) roadOfLabel.set(label, road);
    return `${road} intent`;
  }
  if (along.settled?.length > 0) {
    if (task?.status !== 'SUCCESS') return 'recovery cancel';
    return `${roadOf(roadOfTask, task.id)} outcome`;
  }
  if (task?.status === 'FAILED') return 'task failed';
  if (task?.status === 'PENDING') return 'waiting';
  if (along.progress?.length > 0) return 'copy progress';
  if (before.snapshotPending && !after.snapshotPending) return 'copy finished';
  if (before.status !== after.status) {
    if (after.status === 'PENDING') {
      return { PAUSED: 'resume', STOPPED: 'create' }[before.status] ?? 'restart';
    }
    return { RUNNING: 'start', PAUSED: 'pause', STOPPED: 'stop', FINISHED: 'finish' }[after.status];
  }
  if (before.epoch !== after.epoch) return 'alter';
  if (!same(before.position, after.position)) {
    if (!truncated) return 'position';
    truncated = false;
    return 'barrier';
  }
  if (!same(before.failure, after.failure)) return 'reason';
  return same({ ...before, endPosition: 0 }, { ...after, endPosition: 0 }) ? 'start' : 'unknown';
}

const { Catalog } = await at('catalog/catalog.js');
const { changeJob, createJob, removeJob } = Catalog.prototype;
Catalog.prototype.changeJob = async function (jobId, change, along = {}) {
  let name;
  const changed = await changeJob.call(
    this,
    jobId,
    (job) => {
      const next = change(job);
      name = nameOf(job, next, along);
      pass(`before ${name}`);
      return next;
    },
    along,
  );
  pass(`after ${name}`);
  return changed;
};
Catalog.prototype.createJob = function (...args) {
  return around('reserve', () => createJob.apply(this, args));
};
Catalog.prototype.removeJob = function (...args) {
  return around('remove', () => removeJob.apply(this, args));
};

const { DorisSink } = await at('sink/doris-sink.js');
const { fence, load, settle } = DorisSink.prototype;
DorisSink.prototype.load = async function (database, body, label, ...rest) {
  const digest = createHash('sha256');
  for (const piece of [body.body].flat()) digest.update(piece);
  trace(`send ${database} ${label} ${digest.digest('hex')}`);
  return await around(`${roadOf(roadOfLabel, label)} load`, () =>
    load.call(this, database, body, label, ...rest),
  );
};
DorisSink.prototype.settle = function (...args) {
  return around('settle', () => settle.apply(this, args));
};
DorisSink.prototype.fence = function (...args) {
  return around('fence', () => fence.apply(this, args));
};

// Between a load's beginning and its end: the whole body is with the kernel; Doris has begun to answer.
const loading = ({ path }) => path.endsWith('/_stream_load');
const labelOf = ({ headers }) => {
  const flat = Array.isArray(headers) ? headers.map(String).join('\n') : String(headers);
  return /label(?:: |\n)([-\w:]+)/i.exec(flat)?.[1];
};
diagnostics.subscribe('undici:request:bodySent', ({ request }) => {
  if (loading(request)) pass(`after ${roadOf(roadOfLabel, labelOf(request))} body`);
});
diagnostics.subscribe('undici:request:headers', ({ request }) => {
  if (loading(request)) pass(`after ${roadOf(roadOfLabel, labelOf(request))} answer`);
});

const { FrontendClient } = await at('sink/frontend-client.js');
const { execute, truncate } = FrontendClient.prototype;
FrontendClient.prototype.execute = async function (ddl, ...rest) {
  const word = /^\s*(\w+)/.exec(ddl)?.[1]?.toLowerCase() ?? '';
  const name = { create: 'create table', drop: 'drop table' }[word];
  await around(name ?? `unknown statement ${word}`, () => execute.call(this, ddl, ...rest));
};
FrontendClient.prototype.truncate = async function (...args) {
  await around('truncate', () => truncate.apply(this, args));
  truncated = true;
};

const sources = [
  (await at('source/mysql/mysql-source.js')).MysqlSource,
  (await at('source/postgres/postgres-source.js')).PostgresSource,
];
const streams = [
  (await at('source/mysql/mysql-stream.js')).MysqlStream,
  (await at('source/postgres/wal-stream.js')).PostgresChangeStream,
];
for (const { prototype } of sources) {
  const { safePosition, openStream, release } = prototype;
  prototype.safePosition = function () {
    return around('safe position', () => safePosition.call(this));
  };
  prototype.openStream = function (...args) {
    return around('open stream', () => openStream.apply(this, args));
  };
  prototype.release = function () {
    return around('release', () => release.call(this));
  };
}
for (const { prototype } of streams) {
  const { acknowledge } = prototype;
  prototype.acknowledge = function (position) {
    pass('before acknowledge');
    acknowledge.call(this, position);
    pass('after acknowledge');
  };
}
