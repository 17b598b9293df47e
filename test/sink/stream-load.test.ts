import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StreamLoadClient, type LoadRequest } from '../../src/sink/stream-load.ts';
import { FakeStreamLoad } from '../support/fake-stream-load.ts';

const never = new AbortController().signal;
const body = [Buffer.from('{"id":1}\n'), Buffer.from('{"id":2}\n')];
const LOAD: LoadRequest = {
  database: 'db',
  table: 't',
  label: 'L',
  body,
  bytes: 18,
  rows: 2,
  strictMode: true,
  maxFilterRatio: 0,
  timeoutS: 30,
};

let doris: FakeStreamLoad;
const opened: (() => Promise<void>)[] = [];
beforeEach(async () => {
  doris = await FakeStreamLoad.open(1);
});
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
  await doris[Symbol.asyncDispose]();
});

function clientOf(...ports: number[]): StreamLoadClient {
  const client = new StreamLoadClient({
    frontends: ports.map((port) => ({ host: '127.0.0.1', port })),
    user: 'svc',
    password: 'p@ss/word:%41',
  });
  opened.push(() => client[Symbol.asyncDispose]());
  return client;
}

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push(async () => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

describe('the redirect to a BE', () => {
  const path = '/api/db/t/_stream_load';
  test.each([
    ['without credentials', ''],
    ['with credentials in Java’s encoding', 'svc:p%40ss%2Fword:%25@'],
    ['with credentials that no URL parser takes', 'a@b:[;,&=+$!%%@'],
  ])('%s', async (_, userInfo) => {
    const location = `http://${userInfo}127.0.0.1:${doris.backendPort(0)}${path}?`;
    doris.frontend.push({ raw: '', httpStatus: 307, location });
    const reply = await clientOf(doris.port).load(LOAD, never);
    expect(reply.verdict).toBe('visible');
    expect(doris.received[0]!.path).toBe(path);
    expect(doris.received[0]!.headers.authorization).toBe(
      `Basic ${Buffer.from('svc:p@ss/word:%41').toString('base64')}`,
    );
  });

  test('keeps a query that the FE asks for', async () => {
    const location = `http://127.0.0.1:${doris.backendPort(0)}${path}?cluster=a`;
    doris.frontend.push({ raw: '', httpStatus: 307, location });
    await clientOf(doris.port).load(LOAD, never);
    expect(doris.received[0]!.path).toBe(`${path}?cluster=a`);
  });

  test.each([
    '',
    '/api/db/t',
    'ftp://u:secret@be/x',
    'http://u:secret@[::1/x',
    'http://u:secret@/x',
  ])('to %j is refused without a word of what it says', async (location) => {
    doris.frontend.push({ raw: '', httpStatus: 307, location });
    const reply = await clientOf(doris.port).load(LOAD, never);
    expect(reply.verdict).toBe('unreachable');
    expect(reply.message).not.toContain('secret');
  });

  test('a 200 of the FE is never success', async () => {
    doris.frontend.push({ raw: '{"status":"Success","msg":"OK"}' });
    const reply = await clientOf(doris.port).load(LOAD, never);
    expect(reply.verdict).toBe('unreachable');
    expect(doris.received).toHaveLength(0);
  });
});

describe('connections', () => {
  test('to a BE are kept', async () => {
    const sockets = new Set<unknown>();
    const backend = await serve((request, response) => {
      sockets.add(request.socket);
      request.resume();
      request.once('end', () => response.end('{"Status":"Success"}'));
    });
    const client = clientOf(doris.port);
    for (let i = 0; i < 3; i++) {
      const location = `http://127.0.0.1:${backend}/api/db/t/_stream_load?`;
      doris.frontend.push({ raw: '', httpStatus: 307, location });
      await client.load(LOAD, never);
    }
    expect(sockets.size).toBe(1);
  });

  test('that break leave a doubt once they stood, and none before', async () => {
    const client = clientOf(doris.port);
    doris.backend.push('reset-before-body');
    await expect(client.load(LOAD, never)).resolves.toMatchObject({ verdict: 'unknown' });
    await doris.kill(0);
    await expect(client.load(LOAD, never)).resolves.toMatchObject({ verdict: 'unreachable' });
  });

  test('an answer without end is cut off', async () => {
    const backend = await serve((request, response) => {
      request.resume();
      const more = () => void response.write(Buffer.alloc(1 << 18, 0x20), more);
      more();
    });
    const location = `http://127.0.0.1:${backend}/api/db/t/_stream_load?`;
    doris.frontend.push({ raw: '', httpStatus: 307, location });
    const reply = await clientOf(doris.port).load(LOAD, never);
    expect(reply.verdict).toBe('unknown');
  });
});

describe('the state of a label', () => {
  test('comes from the master, with our credentials', async () => {
    const authorizations: (string | undefined)[] = [];
    const master = await serve((request, response) => {
      authorizations.push(request.headers.authorization);
      response.end(JSON.stringify({ msg: 'success', code: 0, data: 'COMMITTED', count: 0 }));
    });
    const follower = await serve((request, response) => {
      response.writeHead(307, { location: `http://x:y@127.0.0.1:${master}${request.url}` });
      response.end();
    });
    await expect(clientOf(follower).labelState('db', 'L', never)).resolves.toBe('COMMITTED');
    expect(authorizations).toEqual([
      `Basic ${Buffer.from('svc:p@ss/word:%41').toString('base64')}`,
    ]);
  });

  test('is not looked for in a circle', async () => {
    const circle = await serve((request, response) => {
      response.writeHead(307, { location: `http://127.0.0.1:${request.socket.localPort}/` });
      response.end();
    });
    await expect(clientOf(circle).labelState('db', 'L', never)).resolves.toMatchObject({
      verdict: 'unreachable',
    });
  });

  test('comes from another FE when one is away', async () => {
    await expect(clientOf(1, doris.port).labelState('db', 'L', never)).resolves.toBe('UNKNOWN');
  });
});

describe('the error log', () => {
  test('is read from its beginning, up to a limit', async () => {
    doris.errorLog = 'é'.repeat(1 << 19);
    const url = `http://127.0.0.1:${doris.backendPort(0)}/api/_load_error_log?file=a`;
    const log = await clientOf(doris.port).errorLog(url, never);
    expect(log).toBe('é'.repeat(1 << 16));
  });

  test('that is gone is no error', async () => {
    const client = clientOf(doris.port);
    const gone = await serve((_, response) => {
      response.writeHead(404);
      response.end('Not Found');
    });
    await expect(client.errorLog(`http://127.0.0.1:${gone}/x`, never)).resolves.toBeUndefined();
    await expect(client.errorLog('http://127.0.0.1:1/x', never)).resolves.toBeUndefined();
    await expect(client.errorLog('not a URL', never)).resolves.toBeUndefined();
  });
});
