/**
 * The proxy beside HAProxy in TCP mode and beside a bare pipe of Node, in front of the same server, in turn: point selects, a
 * large result, logins, idle connections, and the CPU that each of them takes.
 *
 *     npm run bench -- relay, or npx tsx integration/bench/relay.ts [rounds]
 *
 * Clients, server and what is measured share the machine's cores. On two of them queries per second say as much about the others as
 * about the relay, and nothing when somebody else works there; the CPU for a query is what the relay itself takes.
 */
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { mayBeOurs } from '../../src/wire/request.ts';
import { available, startMariadb } from '../servers.ts';
import { findProgram } from '../support/server-process.ts';
import { BenchClient, logins, pointQueries, queryPacket, USER } from './relay-client.ts';
import {
  bareLegs,
  barePipe,
  cpuSeconds,
  direct,
  haproxy,
  relay,
  residentKb,
  type Way,
} from './relay-ways.ts';

const ROUNDS = 7;
/** On few connections; then as many on each that its login, which is measured apart, counts for nothing. */
const QUERIES = 24_000;
const QUERIES_EACH = 1000;
const LOGIN_MS = 1000;
const LOGIN_LANES = 8;
const POINT_SQL = 'select c from bench.point where id = 5042';
const LARGE_ROWS = 500_000;
const LARGE_SQL = `select repeat('x', 1000) from mysql.seq_1_to_${LARGE_ROWS}`;
const [IDLE_FIRST, IDLE_CONNECTIONS] = [500, 2000];

interface Measured {
  /** Of whatever is counted, in a second. */
  readonly rate: number;
  /** CPU seconds of the way for one of them. */
  readonly cpu: number;
}

type Measure = (way: Way) => Promise<Measured>;

interface Table {
  readonly title: string;
  readonly unit: string;
  /** How the CPU of one is told. */
  readonly cpuOf: (seconds: number) => string;
  readonly measure: Measure;
  readonly ways: readonly Way[];
  /** What is held against what, by name. */
  readonly ratios: readonly (readonly [string, string])[];
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

/** Measures every way in every round, prints medians and their ratios. Two rounds that are not counted warm everybody up. */
async function compare(table: Table, rounds: number): Promise<void> {
  for (const way of [...table.ways, ...table.ways]) await table.measure(way);
  const results = new Map(table.ways.map(({ name }) => [name, [] as Measured[]]));
  for (let round = 0; round < rounds; round++) {
    for (const way of table.ways) results.get(way.name)?.push(await table.measure(way));
  }
  console.log(`\n${table.title}, medians of ${rounds} rounds`);
  for (const [name, of] of results) {
    const rate = Math.round(median(of.map((one) => one.rate)));
    const cpu = table.cpuOf(median(of.map((one) => one.cpu)));
    console.log(`  ${name.padEnd(22)} ${String(rate).padStart(6)} ${table.unit}${cpu}`);
  }
  for (const [ours, theirs] of table.ratios) {
    const of = (name: string, what: keyof Measured): number =>
      median((results.get(name) ?? []).map((one) => one[what]));
    const ratio = (what: keyof Measured): string => (of(ours, what) / of(theirs, what)).toFixed(2);
    console.log(
      `  ${ours} / ${theirs}: ${ratio('rate')} ${table.unit}, ${ratio('cpu')} of its CPU`,
    );
  }
}

/** CPU and rate of what `work` does `count` times. */
async function measured(
  way: Way,
  work: () => Promise<{ readonly count: number; readonly seconds: number }>,
): Promise<Measured> {
  const before = cpuSeconds(way);
  const { count, seconds } = await work();
  return { rate: count / seconds, cpu: (cpuSeconds(way) - before) / count };
}

const queries =
  (slap: string, connections: number): Measure =>
  (way) =>
    measured(way, () => {
      const count = Math.max(QUERIES, connections * QUERIES_EACH);
      return pointQueries(slap, way.port, connections, POINT_SQL, count);
    });

const setUps: Measure = (way) => measured(way, () => logins(way.port, LOGIN_LANES, LOGIN_MS));

/** Lengths of the large answer: it differs by a byte between ways, with the capabilities that they let through. */
const largeBytes = new Map<string, number>();

const transfer: Measure = async (way) => {
  const client = await BenchClient.login(way.port);
  const packet = queryPacket(LARGE_SQL);
  const bytes = largeBytes.get(way.name) ?? (await client.answerBytes(packet));
  largeBytes.set(way.name, bytes);
  const result = await measured(way, async () => {
    const start = performance.now();
    await client.receive(packet, bytes);
    return { count: bytes / 1e6, seconds: (performance.now() - start) / 1000 };
  });
  await client.quit();
  return result;
};

/** The second thousands of logged-in connections that have asked something: what a process takes at all is not counted. */
async function idleBytes(way: Way): Promise<number> {
  const clients: BenchClient[] = [];
  const packet = queryPacket(POINT_SQL);
  const open = async (count: number): Promise<number> => {
    for (let i = 0; i < count; i++) {
      const client = await BenchClient.login(way.port);
      await client.receive(packet, 1);
      clients.push(client);
    }
    await sleep(1000);
    return residentKb(way);
  };
  const before = await open(IDLE_FIRST);
  const after = await open(IDLE_CONNECTIONS);
  for (const client of clients) client.destroy();
  await sleep(500);
  return ((after - before) * 1024) / IDLE_CONNECTIONS;
}

function prefilter(): void {
  const texts = [
    POINT_SQL,
    `select ${Array.from({ length: 60 }, (_, i) => `t.column_${i}`).join(', ')} from db.t`,
    `insert into db.t values ${Array.from({ length: 1000 }, (_, i) => `(${i}, 'job ${i}')`).join(',')}`,
  ];
  console.log('\nlooking whether a statement may be ours');
  for (const text of texts) {
    const bytes = Buffer.from(text);
    const times = 3e7 / (bytes.length + 100);
    let ours = 0;
    const start = performance.now();
    for (let i = 0; i < times; i++) ours += mayBeOurs(bytes, 0, bytes.length) ? 1 : 0;
    const micros = ((performance.now() - start) / times) * 1000;
    console.log(`  ${bytes.length} bytes: ${micros.toFixed(2)} µs${ours > 0 ? ', asks on' : ''}`);
  }
}

interface Programs {
  readonly haproxy: string;
  /** MariaDB's mysqlslap. */
  readonly slap: string;
}

const micros = (seconds: number): string =>
  seconds > 0 ? `, ${(seconds * 1e6).toFixed(1)} µs CPU each` : '';

const millis = (seconds: number): string =>
  seconds > 0 ? `, ${(seconds * 1e5).toFixed(0)} ms CPU for 100 MB` : '';

async function tables(programs: Programs, server: number, rounds: number): Promise<void> {
  await using nobody = direct(server);
  await using single = await haproxy(programs.haproxy, server, 1);
  await using threads = await haproxy(programs.haproxy, server, 0);
  await using pipe = await barePipe(server);
  await using legs = await bareLegs(server);
  await using ours = await relay(server, 1);
  await using two = await relay(server, 2);
  const few = [nobody, single, pipe, legs, ours];
  const all = [nobody, single, threads, pipe, legs, ours, two];
  const sides = [
    [ours.name, single.name],
    [legs.name, single.name],
    [pipe.name, single.name],
  ] as const;
  const point = { unit: 'queries/s', cpuOf: micros };
  for (const [connections, ways] of [
    [8, [nobody, single, threads, pipe, legs, ours]],
    [64, all],
  ] as const) {
    const title = `Point selects on ${connections} connections`;
    const more = [
      [ours.name, threads.name],
      [two.name, single.name],
      [two.name, threads.name],
    ] as const;
    const ratios = [...sides, ...more].filter(([name]) => ways.some((way) => way.name === name));
    const measure = queries(programs.slap, connections);
    await compare({ ...point, title, ways, ratios, measure }, rounds);
  }
  const large = { title: 'A result of 500 MB', unit: 'MB/s', cpuOf: millis };
  await compare({ ...large, ways: few, ratios: sides, measure: transfer }, rounds);
  const logIn = { title: `Logins, ${LOGIN_LANES} at a time`, unit: 'logins/s', cpuOf: micros };
  const both = [...sides, [two.name, single.name] as const];
  await compare({ ...logIn, ways: [...few, two], ratios: both, measure: setUps }, rounds);
  console.log(`\nAn idle connection, ${IDLE_CONNECTIONS} of them`);
  for (const way of [single, pipe, legs, ours]) {
    console.log(`  ${way.name.padEnd(22)} ${((await idleBytes(way)) / 1024).toFixed(1)} KB`);
  }
}

async function main(rounds: number): Promise<void> {
  prefilter();
  if (!available('mariadb')) return;
  const proxy = findProgram('haproxy');
  const slap = findProgram('mariadb-slap') ?? findProgram('mysqlslap');
  if (proxy === undefined || slap === undefined) {
    console.log('SKIPPED: it takes haproxy and mysqlslap (apt install haproxy mariadb-client)');
    return;
  }
  await using server = await startMariadb([
    `--max-connections=${IDLE_FIRST + IDLE_CONNECTIONS + 100}`,
  ]);
  await server.query('create database bench');
  await server.query(
    'create table bench.point (id int primary key, k int, c char(120), pad char(60))',
  );
  await server.query(
    "insert into bench.point select seq, seq, repeat('c', 119), repeat('p', 59) from mysql.seq_1_to_10000",
  );
  await server.query(`create user '${USER}'@'%' identified by ''`);
  await server.query(`grant all on *.* to '${USER}'@'%'`);
  console.log(`${cpus().length} cores`);
  await tables({ haproxy: proxy, slap }, server.port, rounds);
}

await main(Number(process.argv[2] ?? ROUNDS));
