import { setTimeout as sleep } from 'node:timers/promises';
import type { RowDataPacket } from 'mysql2/promise';
import type { EndToEnd } from './end-to-end.ts';

const WITHIN_MS = 300_000;
/** An expression has a largest depth. */
const COUNTED_AT_ONCE = 100;

/**
 * One job over many tables: copies them, each with a row, then one transaction with a row more for each of them. Waits until all of it is
 * in Doris.
 */
export async function followManyTables(world: EndToEnd, tables: number): Promise<void> {
  const place = await world.place('many');
  const names = Array.from({ length: tables }, (_, i) => `t${i}`);
  const script = (statement: (name: string) => string): string => names.map(statement).join('; ');
  await place.sql(script((name) => `CREATE TABLE ${name} (id INT PRIMARY KEY, v VARCHAR(20))`));
  await place.sql(`BEGIN; ${script((name) => `INSERT INTO ${name} VALUES (1, 'copied')`)}; COMMIT`);
  await place.createJob('many', names.join(), { snapshot_parallelism: '8' });
  await place.sql(`BEGIN; ${script((name) => `INSERT INTO ${name} VALUES (2, 'new')`)}; COMMIT`);
  const count = async (): Promise<number> => {
    let found = 0;
    for (let at = 0; at < tables; at += COUNTED_AT_ONCE) {
      const some = names.slice(at, at + COUNTED_AT_ONCE);
      const counted = some.map((name) => `(SELECT COUNT(*) FROM ${place.target}.${name})`);
      const [rows] = await world.client.query<RowDataPacket[]>(
        `SELECT ${counted.join(' + ')} AS n`,
      );
      found += Number(rows[0]?.['n']);
    }
    return found;
  };
  const deadline = Date.now() + WITHIN_MS;
  for (let found = 0; found < 2 * tables; found = await count()) {
    if (Date.now() > deadline) throw new Error(`${found} of ${2 * tables} rows have arrived`);
    await sleep(200);
  }
  await place.dropJob('many');
}
