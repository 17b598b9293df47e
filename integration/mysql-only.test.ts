import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Batch } from '../src/encode/batch.ts';
import { ProxyError } from '../src/model/error.ts';
import type { MysqlPosition } from '../src/model/offset.ts';
import { available, type MysqlServer, startMysql } from './servers.ts';
import { ALL, openMysql } from './support/mysql-job.ts';
import { follow, LIMIT, never, Replica, sourceRows } from './support/replica.ts';

const mysqlPosition = (position: unknown): MysqlPosition => position as MysqlPosition;

describe.runIf(available('mysql'))('MySQL in particular', () => {
  let server: MysqlServer;
  beforeAll(async () => {
    server = await startMysql(['--gtid-mode=OFF', '--enforce-gtid-consistency=OFF']);
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });

  test('without GTIDs positions are files and offsets, of one server only', async () => {
    await server.query(
      'CREATE DATABASE plain; USE plain; CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))',
    );
    await using source = await openMysql(server, 'plain');
    const specs = await source.preflight(ALL);
    const safe = mysqlPosition(await source.safePosition());
    expect(safe.gtids).toBe('');
    await server.query(
      "INSERT INTO t VALUES (1, 'a'); FLUSH BINARY LOGS; INSERT INTO t VALUES (2, 'b')",
    );
    const replica = new Replica();
    let fills;
    {
      await using stream = await source.openStream(specs, safe);
      fills = await follow(stream, replica, { ...LIMIT, rowsMax: 1 });
    }
    expect(replica.sorted('plain.t')).toEqual(await sourceRows(server, 'plain.t'));
    const half = new Replica();
    await using rest = await source.openStream(specs, fills[0]!.to);
    await follow(rest, half);
    expect(half.rows).toBe(1);
    const foreign = { ...safe, serverUuid: '00000000-0000-0000-0000-000000000000' };
    await expect(source.openStream(specs, foreign)).rejects.toMatchObject({
      code: 'POSITION_LOST',
    });
    await expect(
      source.openStream(specs, {
        ...safe,
        file: '',
        gtids: '3e11fa47-71ca-11e1-9e33-c80aa9429562:1',
      }),
    ).rejects.toBeInstanceOf(ProxyError);
  });

  test('compressed transactions are decoded, cut and resumed like others', async () => {
    await server.query(
      'CREATE DATABASE packed; USE packed; CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(400)); SET SESSION binlog_transaction_compression = ON',
    );
    await using source = await openMysql(server, 'packed');
    const specs = await source.preflight(ALL);
    const from = await source.latestPosition();
    await server.query(`INSERT INTO t VALUES (1, 'a');
      BEGIN; INSERT INTO t SELECT id + 100, REPEAT('z', 300) FROM (
        WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 500) SELECT * FROM n) x;
      UPDATE t SET v = 'u' WHERE id % 3 = 0; COMMIT; DELETE FROM t WHERE id = 101`);
    const cut = { ...LIMIT, rowsMax: 1 };
    const replica = new Replica();
    const batch = new Batch();
    let [position, inside] = [from, 0];
    for (;;) {
      await using stream = await source.openStream(specs, position);
      const fill = await stream.fill(batch, cut, never);
      if (batch.empty) break;
      replica.apply(batch);
      position = fill.to;
      if (mysqlPosition(position).event > 0) inside++;
    }
    expect(inside).toBeGreaterThan(5);
    expect(replica.sorted('packed.t')).toEqual(await sourceRows(server, 'packed.t'));
  });
});
