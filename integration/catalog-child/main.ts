import { Catalog } from '../../src/catalog/catalog.ts';
import { OwnerLock } from '../../src/catalog/owner-lock.ts';
import type { Task } from '../../src/model/job.ts';
import { sampleJob, sampleTask } from '../../test/support/sample-job.ts';

/** A process of its own for the tests that kill one: `main.ts <what> <directory>`. */
const [what, directory = ''] = process.argv.slice(2);

const job = sampleJob({ status: 'RUNNING', snapshotPending: false });

const task = (id: number, status: Task['status']): Task =>
  sampleTask({
    id,
    status,
    errorMessage: 'x'.repeat(id % 5000),
    statistic: { scannedRows: id, loadBytes: 0 },
    loads: [{ target: 't', label: `1_${id}` }],
  });

/** Every task as the runner writes it: intent, then outcome; what is on disk is said on stdout. */
async function write(catalog: Catalog): Promise<void> {
  if (catalog.job(1) === undefined) await catalog.createJob(job, 'p');
  for (;;) {
    const n = (catalog.job(1)?.succeedTaskCount ?? 0) + 1;
    const running = task(n, 'RUNNING');
    try {
      await catalog.changeJob(1, (found) => found, { tasks: [running], intents: [running] });
      await catalog.changeJob(1, (found) => ({ ...found, succeedTaskCount: n }), {
        tasks: [task(n, 'SUCCESS')],
        settled: [n],
        progress: [{ tableId: 'd.t', done: false, rows: n }],
      });
      process.stdout.write(`${n}\n`);
    } catch (error) {
      process.stdout.write(`${(error as Error).message}\n`);
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
  }
}

if (what === 'own') {
  OwnerLock.acquire(directory);
  process.stdout.write(`${process.pid}\n`);
  setInterval(() => undefined, 1000);
} else {
  await write(
    await Catalog.open({ directory, keyFile: `${directory}/key`, taskHistoryMax: 1_000_000 }),
  );
}
