/** The ways to the server that the relay's bench compares, each a process, or several, of its own. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { startProxy } from '../support/proxy.ts';
import {
  freePort,
  removeFolder,
  ServerProcess,
  temporaryFolder,
} from '../support/server-process.ts';

const CLOCK_TICKS_PER_SECOND = 100;

/** A file of the proxy, as `npm run build` makes it. */
function compiled(file: string): string {
  return pathToFileURL(join(import.meta.dirname, '..', '..', 'dist', 'proxy', file)).href;
}

export interface Way extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  /** Undefined: nobody is between the client and the server. */
  readonly pid: number | undefined;
}

/** The processes of a way: those that it started serve its clients too. */
function processesOf({ pid }: Way): readonly number[] {
  if (pid === undefined) return [];
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
  return [pid, ...children.split(' ').filter(Boolean).map(Number)];
}

/** User and system time of a way's processes and their threads, in seconds. */
export function cpuSeconds(way: Way): number {
  let ticks = 0;
  for (const pid of processesOf(way)) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / CLOCK_TICKS_PER_SECOND;
}

/** Memory of a way's processes now, in KB. */
export function residentKb(way: Way): number {
  let kilobytes = 0;
  for (const pid of processesOf(way)) {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    kilobytes += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
  }
  return kilobytes;
}

const nothing = (): Promise<void> => Promise.resolve();

export function direct(server: number): Way {
  return { name: 'direct', port: server, pid: undefined, [Symbol.asyncDispose]: nothing };
}

/** HAProxy in TCP mode. @param threads 0: as many as it takes by itself, one for each core. */
export async function haproxy(program: string, server: number, threads: number): Promise<Way> {
  const folder = temporaryFolder('relay-bench');
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  maxconn 4000
  ${threads > 0 ? `nbthread ${threads}` : ''}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen fe
  bind 127.0.0.1:${port}
  server s 127.0.0.1:${server}
`,
  );
  const name = threads === 1 ? 'haproxy' : 'haproxy, its default';
  const process = new ServerProcess({ program, args: ['-db', '-f', file] });
  return await started(name, port, process, () => removeFolder(folder));
}

/**
 * What Node takes for passing bytes on and nothing else: two sockets, each piped into the other. Whatever a relay
 * in Node does better than this, it does by leaving out what streams do.
 */
const PIPE = `
const net = require('node:net');
const [port, server] = process.argv.slice(1).map(Number);
net.createServer({ noDelay: true }, (client) => {
  const frontend = net.connect({ host: '127.0.0.1', port: server, noDelay: true });
  client.on('error', () => frontend.destroy()).pipe(frontend);
  frontend.on('error', () => client.destroy()).pipe(client);
}).listen(port, '127.0.0.1');
`;

export async function barePipe(server: number): Promise<Way> {
  const port = await freePort();
  const args = ['-e', PIPE, String(port), String(server)];
  return await started(
    'bare Node pipe',
    port,
    new ServerProcess({ program: process.execPath, args }),
  );
}

/**
 * The same with the legs of our sessions (src/proxy/leg.ts), and nothing looked at: what the relay takes beyond it is what
 * it takes to know what goes by.
 */
const LEGS = `
import net from 'node:net';
import { FrontendConnection } from ${JSON.stringify(compiled('frontend.js'))};
import { Leg } from ${JSON.stringify(compiled('leg.js'))};
const [port, server] = process.argv.slice(1).map(Number);
const pass = (from, to) => {
  from.onBytes = (bytes) => {
    const more = to.write(bytes);
    if (!more) to.onceDrained(() => from.resume());
    else if (!to.flushed) from.giveBufferAway();
    return more;
  };
  from.socket.on('error', () => undefined).on('close', () => to.socket.destroy());
};
net.createServer({ noDelay: true }, (accepted) => {
  const frontend = new FrontendConnection({ host: '127.0.0.1', port: server });
  const { leg } = Leg.over(accepted);
  pass(leg, frontend);
  pass(frontend, leg);
}).listen(port, '127.0.0.1');
`;

export async function bareLegs(server: number): Promise<Way> {
  const port = await freePort();
  const args = ['--input-type=module', '-e', LEGS, String(port), String(server)];
  return await started(
    'our legs alone',
    port,
    new ServerProcess({ program: process.execPath, args }),
  );
}

/** The proxy as users start it. */
export async function relay(server: number, processes: number): Promise<Way> {
  const proxy = await startProxy({
    fe: `127.0.0.1:${server}`,
    feHttp: '127.0.0.1:1',
    args: ['--allow-passwordless-root=yes', `--processes=${processes}`, '--log-level=error'],
  });
  const name = processes === 1 ? 'relay' : `relay, ${processes} processes`;
  const { pid, port } = proxy;
  return { name, port, pid, [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() };
}

async function started(
  name: string,
  port: number,
  server: ServerProcess,
  onEnd?: () => void,
): Promise<Way> {
  await server.ready(() => answers(port));
  return {
    name,
    port,
    pid: server.child.pid,
    [Symbol.asyncDispose]: async () => {
      await server.kill();
      onEnd?.();
    },
  };
}

async function answers(port: number): Promise<void> {
  const socket = net.connect({ host: '127.0.0.1', port });
  try {
    const late = sleep(1000).then(() => Promise.reject(new Error('no greeting')));
    await Promise.race([once(socket, 'data'), late]);
  } finally {
    socket.destroy();
  }
}
