import { once } from 'node:events';
import net from 'node:net';
import { Client } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { expect, test } from 'vitest';
import { clientConfig, rawConnection, Session } from '../../../src/source/postgres/connection.ts';
import { lsnText, parseLsn } from '../../../src/source/postgres/lsn.ts';
import { postgresError } from '../../../src/source/postgres/postgres-error.ts';

const TARGET = {
  host: '127.0.0.1',
  port: 1,
  user: 'u',
  password: 'secret',
  database: 'd',
  applicationName: 'doris_job_1',
};

test('the internals of the pinned drivers that we stand on are where they were', () => {
  const connection = rawConnection(new Client(clientConfig(TARGET)));
  expect(connection.stream).toBeInstanceOf(net.Socket);
  expect([typeof connection.query, typeof connection.sendCopyFromChunk]).toEqual([
    'function',
    'function',
  ]);
  const service = new LogicalReplicationService(
    {},
    { acknowledge: { auto: false, timeoutSeconds: 0 } },
  );
  expect(service.config.acknowledge).toEqual({ auto: false, timeoutSeconds: 0 });
  expect(service.subscribe.length).toBe(3);
});

test('a server that is not there, and one that hangs up', async () => {
  const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  await expect(Session.open({ ...TARGET, port })).rejects.toMatchObject({
    code: 'SOURCE_UNREACHABLE',
  });
  server.close();
  await once(server, 'close');
  const refused = Session.open({ ...TARGET, port });
  await expect(refused).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' });
  await expect(refused).rejects.not.toThrow(/secret/);
});

test.each([
  ['28P01', 'SOURCE_ACCESS'],
  ['42501', 'SOURCE_ACCESS'],
  ['3D000', 'SOURCE_SETTING'],
  ['42703', 'SOURCE_DDL'],
  ['57P01', 'SOURCE_UNREACHABLE'],
  ['53300', 'SOURCE_UNREACHABLE'],
  ['ECONNRESET', 'SOURCE_UNREACHABLE'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'SOURCE_SETTING'],
])('error %s is %s', (code, ours) => {
  const cause = Object.assign(new Error('text'), { code });
  expect(postgresError('where', cause)).toMatchObject({
    code: ours,
    message: expect.stringMatching(/^where: text/) as string,
    cause,
  });
});

test('LSNs as the server prints and takes them', () => {
  expect(parseLsn('16/B374D848')).toBe(0x16_b374_d848n);
  expect(lsnText(0x16_b374_d848n)).toBe('16/B374D848');
  expect(lsnText(parseLsn('FFFFFFFF/FFFFFFFF'))).toBe('FFFFFFFF/FFFFFFFF');
  expect(lsnText(0n)).toBe('0/0');
});
