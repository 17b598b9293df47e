import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FrontendRows } from '../../src/command/commands.ts';
import { create, JobWorld, plain } from './job-world.ts';

let world: JobWorld;

beforeEach(async () => {
  world = await JobWorld.open();
});
afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

/** A cluster that decouples compute from storage, with one group. */
function inTheCloud(): void {
  const { caller } = world;
  const ask = caller.ask.bind(caller);
  const answers: Readonly<Record<string, string>> = {
    'SELECT @@version_comment': 'Doris version doris-4.1.0-abc (Cloud Mode)',
    'SHOW COMPUTE GROUPS': 'etl',
  };
  caller.ask = async (sql): Promise<FrontendRows> => {
    const answer = answers[sql];
    return answer === undefined ? await ask(sql) : { columns: ['Name'], rows: [[answer]] };
  };
}

const withGroup = (name: string): string =>
  create({ job: `PROPERTIES("compute_group"="${name}")` });

test('a group that the caller may use is kept with the job', async () => {
  inTheCloud();
  await world.run(withGroup('etl'));
  expect(world.job().jobProperties).toEqual({ compute_group: 'etl' });
  await world.run("PAUSE JOB WHERE jobName = 'j'");
  expect(await world.refusal(`ALTER JOB j PROPERTIES("compute_group"="bi")`)).toBe(
    plain(
      'compute_group bi is not among those that you may use (SHOW COMPUTE GROUPS); GRANT USAGE_PRIV ON COMPUTE GROUP gives the right',
    ),
  );
});

test('there is none elsewhere, and none without a name', async () => {
  world.caller.answer = { columns: ['@@version_comment'], rows: [['Doris version doris-4.1.0']] };
  expect(await world.refusal(withGroup('etl'))).toBe(
    plain('compute_group is only supported in cloud mode'),
  );
  expect(await world.refusal(withGroup(' '))).toBe(plain('compute_group cannot be empty'));
  expect(world.parts.catalog.jobs()).toEqual([]);
});
