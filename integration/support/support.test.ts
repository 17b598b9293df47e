import { expect, test } from 'vitest';
import { available, startMariadb, startMysql, startPostgres } from '../servers.ts';
import type { MysqlServer } from './mysql-server.ts';
import type { PostgresServer } from './postgres-server.ts';
import { RandomWriter, WRITER_TABLES, writerConnection } from './random-writer.ts';
import { differences } from './same-rows.ts';

// The instruments themselves. Two servers that were written to with the same seed must hold the same rows.

async function writeTo(
  server: MysqlServer | PostgresServer,
  database: string,
  seed: number,
): Promise<void> {
  await using writer = await writerConnection(server, database);
  const random = new RandomWriter(seed, server.kind === 'postgres' ? 'postgres' : 'mysql');
  for (const statement of random.schema()) await writer.execute(statement);
  await random.write(150, writer.execute);
}

test.runIf(available('mysql') && available('mariadb'))(
  'the same seed writes the same rows, and a changed row is found',
  async () => {
    await using one = await startMysql();
    await using other = await startMariadb();
    for (const server of [one, other]) {
      await server.query('CREATE DATABASE d');
      await writeTo(server, 'd', 7);
    }
    const connection = await other.connect();
    for (const [table, { key }] of Object.entries(WRITER_TABLES)) {
      const comparison = { source: `d.${table}`, target: `d.${table}`, key };
      expect(await differences(one, connection, comparison)).toEqual([]);
      const [rows] = await one
        .query<{ n: number }>(`SELECT COUNT(*) AS n FROM d.${table}`)
        .then((r) => [r[0]]);
      expect(rows?.n).toBeGreaterThan(50);
    }
    await other.query("UPDATE d.w_number SET v = 'other' WHERE id < 100 ORDER BY id LIMIT 1");
    await other.query('DELETE FROM d.w_number WHERE id > 200 ORDER BY id LIMIT 1');
    const found = await differences(one, connection, {
      source: 'd.w_number',
      target: 'd.w_number',
      key: ['id'],
    });
    expect(found).toHaveLength(2);
    expect(found.join('\n')).toMatch(/differs in v: source .*, Doris "other"/);
    expect(found.join('\n')).toMatch(/is missing in Doris/);
    connection.destroy();
  },
);

test.runIf(available('postgres18'))(
  'every statement of the writer is right for Postgres too',
  async () => {
    await using server = await startPostgres();
    await writeTo(server, 'public', 7);
    const [row] = await server.query<{ n: string }>('SELECT COUNT(*) AS n FROM w_pair');
    expect(Number(row?.n)).toBeGreaterThan(50);
  },
);
