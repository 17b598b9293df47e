/**
 * The relay beside HAProxy in TCP mode, same run, same server: queries per second on 8 connections, a large result, and
 * the CPU each of them takes for it. Run with `npx tsx integration/bench/relay.ts [rounds]`.
 */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import mysql from 'mysql2';
import { pino } from 'pino';
import { Listener } from '../../src/proxy/listener.ts';
import { available, startMariadb } from '../servers.ts';
import {
  findProgram,
  freePort,
  removeFolder,
  ServerProcess,
  temporaryFolder,
} from '../support/server-process.ts';

const CONNECTIONS = 8;
const QUERY_MS = 3000;
const POINT_SQL = 'select c from bench.point where id = 5042';
const LARGE_ROWS = 500_000;
const LARGE_SQL = `select repeat('x', 1000) from mysql.seq_1_to_${LARGE_ROWS}`;
const CLOCK_TICKS_PER_SECOND = 100;

interface Login {
  readonly user: string;
  readonly password: string;
}

interface Way {
  readonly name: string;
  readonly port: number;
  readonly pid: number | undefined;
}

/** User and system time of a process and its threads, in seconds. */
function cpuSeconds(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

/** Logs in with mysql2 and takes its socket: from here on bytes are counted, not parsed. */
async function rawConnection(port: number, login: Login): Promise<net.Socket> {
  const { user, password } = login;
  const connection = mysql.createConnection({ host: '127.0.0.1', port, user, password });
  await new Promise<void>((resolve, reject) => {
    connection.connect((error) => (error ? reject(error) : resolve()));
  });
  const { stream } = connection as unknown as { stream: net.Socket };
  stream.removeAllListeners();
  stream.setNoDelay(true);
  return stream;
}

function queryPacket(sql: string): Buffer {
  const packet = Buffer.concat([Buffer.alloc(4), Buffer.of(3), Buffer.from(sql)]);
  packet.writeUIntLE(packet.length - 4, 0, 3);
  return packet;
}

/** Sends a query and waits until `bytes` have come; without `bytes`: until nothing comes for a while. */
async function answerBytes(socket: net.Socket, sql: string, bytes?: number): Promise<number> {
  let received = 0;
  await new Promise<void>((resolve) => {
    let timer = setTimeout(resolve, 3000);
    const onData = (chunk: Buffer): void => {
      received += chunk.length;
      if (bytes === undefined) {
        clearTimeout(timer);
        timer = setTimeout(finish, 500);
      } else if (received >= bytes) finish();
    };
    const finish = (): void => {
      clearTimeout(timer);
      socket.off('data', onData);
      resolve();
    };
    if (bytes !== undefined) clearTimeout(timer);
    socket.on('data', onData);
    socket.write(queryPacket(sql));
  });
  return received;
}

interface QueryResult {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

/** Point selects in a closed loop on 8 connections. */
async function measureQueries(way: Way, login: Login): Promise<QueryResult> {
  const sockets = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => rawConnection(way.port, login)),
  );
  const [first] = sockets;
  const bytes = first ? await answerBytes(first, POINT_SQL) : 0;
  const packet = queryPacket(POINT_SQL);
  let count = 0;
  const stopAt = performance.now() + QUERY_MS;
  const cpu = cpuSeconds(way.pid);
  const start = performance.now();
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise<void>((resolve) => {
          let received = 0;
          socket.on('data', (chunk: Buffer) => {
            received += chunk.length;
            if (received < bytes) return;
            received = 0;
            count += 1;
            if (performance.now() > stopAt) resolve();
            else socket.write(packet);
          });
          socket.write(packet);
        }),
    ),
  );
  const seconds = (performance.now() - start) / 1000;
  const cpuMicros = ((cpuSeconds(way.pid) - cpu) / count) * 1e6;
  for (const socket of sockets) socket.destroy();
  return { perSecond: count / seconds, cpuMicros };
}

interface TransferResult {
  readonly megabytesPerSecond: number;
  readonly cpuMillisPer100MB: number;
}

/** Length of the large answer: it differs by a byte between ways, with the capabilities that they let through. */
async function largeBytes(way: Way, login: Login): Promise<number> {
  const socket = await rawConnection(way.port, login);
  const bytes = await answerBytes(socket, LARGE_SQL);
  socket.destroy();
  return bytes;
}

async function measureTransfer(way: Way, login: Login, bytes: number): Promise<TransferResult> {
  const socket = await rawConnection(way.port, login);
  const cpu = cpuSeconds(way.pid);
  const start = performance.now();
  await answerBytes(socket, LARGE_SQL, bytes);
  const seconds = (performance.now() - start) / 1000;
  const used = cpuSeconds(way.pid) - cpu;
  socket.destroy();
  const megabytes = bytes / 1e6;
  return {
    megabytesPerSecond: megabytes / seconds,
    cpuMillisPer100MB: (used * 1e5) / megabytes,
  };
}

function startHaproxy(
  program: string,
  folder: string,
  port: number,
  server: number,
): ServerProcess {
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  nbthread 1
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
  return new ServerProcess({ program, args: ['-db', '-f', file] });
}

/** The relay in a process of its own; resolves with its port. */
async function startRelay(server: number): Promise<{ process: ServerProcess; port: number }> {
  const self = fileURLToPath(import.meta.url);
  const args = ['--import', 'tsx', self, '--serve', String(server)];
  const relay = new ServerProcess({ program: process.execPath, args });
  const [line] = (await once(relay.child.stdout ?? relay.child, 'data')) as [Buffer];
  return { process: relay, port: Number(line.toString()) };
}

async function serve(server: number): Promise<void> {
  const listener = await Listener.open({
    host: '127.0.0.1',
    port: 0,
    frontends: [{ host: '127.0.0.1', port: server }],
    commands: { recognize: () => undefined },
    log: pino({ level: 'warn' }, pino.destination(2)),
  });
  console.log(listener.address.port);
}

async function answering(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = net.connect({ host: '127.0.0.1', port });
    try {
      await once(socket, 'data');
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    } finally {
      socket.destroy();
    }
  }
  throw new Error(`nobody answers on port ${port}`);
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

async function compare(rounds: number): Promise<void> {
  const haproxy = findProgram('haproxy');
  if (haproxy === undefined) {
    console.log('SKIPPED: haproxy is not installed (apt install haproxy), nothing to compare with');
    return;
  }
  if (!available('mariadb')) return;
  const folder = temporaryFolder('relay-bench');
  await using server = await startMariadb();
  await server.query('create database bench');
  await server.query(
    'create table bench.point (id int primary key, k int, c char(120), pad char(60))',
  );
  await server.query(
    "insert into bench.point select seq, seq, repeat('c', 119), repeat('p', 59) from mysql.seq_1_to_10000",
  );
  const haproxyPort = await freePort();
  const haproxyProcess = startHaproxy(haproxy, folder, haproxyPort, server.port);
  const relay = await startRelay(server.port);
  try {
    await answering(haproxyPort);
    const direct = { name: 'direct', port: server.port, pid: undefined };
    const ways: readonly Way[] = [
      direct,
      { name: 'haproxy', port: haproxyPort, pid: haproxyProcess.child.pid },
      { name: 'relay', port: relay.port, pid: relay.process.child.pid },
    ];
    const bytes = new Map<string, number>();
    for (const way of ways) bytes.set(way.name, await largeBytes(way, server));
    const queries = new Map(ways.map(({ name }) => [name, [] as QueryResult[]]));
    const transfers = new Map(ways.map(({ name }) => [name, [] as TransferResult[]]));
    for (let round = 0; round < rounds; round++) {
      for (const way of ways) queries.get(way.name)?.push(await measureQueries(way, server));
      for (const way of ways) {
        transfers.get(way.name)?.push(await measureTransfer(way, server, bytes.get(way.name) ?? 0));
      }
    }
    report(rounds, bytes.get('direct') ?? 0, queries, transfers);
  } finally {
    await haproxyProcess.kill();
    await relay.process.kill();
    removeFolder(folder);
  }
}

function report(
  rounds: number,
  bytes: number,
  queries: ReadonlyMap<string, readonly QueryResult[]>,
  transfers: ReadonlyMap<string, readonly TransferResult[]>,
): void {
  const perSecond = (name: string): number =>
    median((queries.get(name) ?? []).map((one) => one.perSecond));
  const speed = (name: string): number =>
    median((transfers.get(name) ?? []).map((one) => one.megabytesPerSecond));
  console.log(
    `medians of ${rounds} rounds, ${CONNECTIONS} connections, ${Math.round(bytes / 1e6)} MB result`,
  );
  for (const name of queries.keys()) {
    const micros = median((queries.get(name) ?? []).map((one) => one.cpuMicros));
    const millis = median((transfers.get(name) ?? []).map((one) => one.cpuMillisPer100MB));
    console.log(
      `${name.padEnd(8)} ${Math.round(perSecond(name))} queries/s, ${micros.toFixed(1)} µs CPU each; ` +
        `${Math.round(speed(name))} MB/s, ${millis.toFixed(0)} ms CPU for 100 MB`,
    );
  }
  const [queryRatio, speedRatio] = [perSecond, speed].map((of) => of('relay') / of('haproxy'));
  console.log(
    `relay / haproxy: ${queryRatio?.toFixed(2)} queries/s, ${speedRatio?.toFixed(2)} MB/s`,
  );
}

const [command, argument] = process.argv.slice(2);
if (command === '--serve') await serve(Number(argument));
else await compare(Number(command ?? 3));
