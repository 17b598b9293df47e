import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { available } from './servers.ts';
import { EndToEnd } from './support/end-to-end.ts';
import { waitForJob } from './support/jobs.ts';
import { RandomWriter, WRITER_TABLES, writerConnection } from './support/random-writer.ts';

/** Interruptions of one run. */
const BLOWS = 6;

/**
 * The proxy, Doris and the source die, and the job is paused, in an order and at moments that the seed chooses, while
 * somebody writes. Afterwards both sides hold the same rows. CRASH_SEED=n runs another history.
 */
describe.each(['mysql', 'mariadb', 'postgres18'] as const)(
  'blows to a job that copies %s',
  (kind) => {
    let world: EndToEnd;
    beforeAll(async () => {
      if (available(kind)) world = await EndToEnd.open(kind);
    });
    afterAll(async () => {
      await world?.[Symbol.asyncDispose]();
    });

    const seeds =
      process.env['CRASH_SEED'] === undefined ? [4, 8] : [Number(process.env['CRASH_SEED'])];

    test.runIf(available(kind)).each(seeds)('seed %i', async (seed) => {
      const place = await world.place(`blows_${seed}`);
      const dialect = kind === 'postgres18' ? 'postgres' : 'mysql';
      const writer = new RandomWriter(seed, dialect, 1500);
      const dice = new Dice(seed);
      const job = `blows_${seed}`;
      let connection = await writerConnection(world.source, place.database);
      for (const statement of writer.schema()) await connection.execute(statement);
      await writer.write(100, connection.execute);
      await place.createJob(job, Object.keys(WRITER_TABLES).join(), {
        snapshot_split_size: String(20 + dice.below(100)),
      });

      /** What happens while `writing` goes on. The source itself dies between two transactions of the writer. */
      const blow = {
        async proxy(writing: Promise<void>) {
          await world.proxy.kill();
          await writing;
          await world.proxy.start();
          await world.reconnect();
        },
        async doris(writing: Promise<void>) {
          await world.doris.kill();
          await writing;
          await world.doris.start();
          await world.reconnect();
        },
        async source(writing: Promise<void>) {
          await writing;
          await connection[Symbol.asyncDispose]();
          await world.source.kill();
          await world.source.start();
          connection = await writerConnection(world.source, place.database);
        },
        async pause(writing: Promise<void>) {
          await world.client.query(`PAUSE JOB WHERE jobName = '${job}'`);
          await writing;
          await world.client.query(`RESUME JOB WHERE jobName = '${job}'`);
        },
      };
      const kinds = ['proxy', 'pause', ...ownParts(world)] as const;
      for (let i = 0; i < BLOWS; i++) {
        const writing = writer.write(40 + dice.below(80), connection.execute);
        await sleep(dice.below(400));
        await blow[kinds[dice.below(kinds.length)] ?? 'proxy'](writing);
      }
      await writer.write(20, connection.execute);
      await place.sameWritten(100_000);
      const row = await waitForJob(world.client, job, ({ Status }) => Status === 'RUNNING');
      expect(row['ErrorMsg']).toBe('\\N');
      await place.dropJob(job);
      await connection[Symbol.asyncDispose]();
    });
  },
);

/** The servers that are ours to kill. */
function ownParts(world: EndToEnd): ('doris' | 'source')[] {
  return [
    ...(world.doris.isOurs ? (['doris'] as const) : []),
    ...(world.source.dataDir === undefined ? [] : (['source'] as const)),
  ];
}

/** A linear congruential generator (the C standard's example): the same blows for the same seed. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed * 7919;
  }

  below(bound: number): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (this.#state >>> 8) % bound;
  }
}
