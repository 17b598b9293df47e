import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { startStandin } from './doris-standin/standin.ts';
import { startMariadb, startMysql, startPostgres } from './servers.ts';
import { buildProxy, startProxy } from './support/proxy.ts';
import {
  mysqlShop,
  postgresShop,
  SHOP_TABLES,
  SHOP_TARGET,
  type Shop,
  type ShopTable,
} from './support/shop.ts';

/**
 * The main job on one machine, with nothing but Node: a source database with two tables that somebody keeps
 * writing to, the Doris stand-in, and the proxy between a client and them. Shows the copy, then the changes arriving.
 */
const USAGE = `Usage: npm run demo -- [--source postgres|mysql|mariadb] [--seconds N]

  --source    where the rows come from (default postgres)
  --seconds   stop after this time; without it the demo runs until Ctrl-C`;

const TICK_MS = 1_000;
/** Between two transactions of the shop. */
const TRADE_MS = 100;

const { values } = parseArgs({
  options: {
    source: { type: 'string', default: 'postgres' },
    seconds: { type: 'string' },
    help: { type: 'boolean' },
  },
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Ends early, and quietly, when the demo is stopped. */
const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { signal }).catch(() => undefined);

async function main(signal: AbortSignal): Promise<void> {
  say(`Starting ${values.source} with sample tables, the Doris stand-in and the proxy …`);
  await using shop = await openShop(values.source);
  await using standin = await startStandin({});
  await buildProxy();
  await using proxy = await startProxy({ fe: standin.query, feHttp: standin.http });
  const client = await proxy.connect();

  say(`\n${shop.source} on the one side; this on the other, through port ${proxy.port}:\n`);
  await run(client, `CREATE DATABASE ${SHOP_TARGET}`);
  await run(client, shop.createJob);
  await showSnapshot(client, shop, signal);
  say('\nThe tables are copied. The shop goes on trading, ten transactions a second:\n');
  await showStream(client, shop, signal, () => {
    say('\nLook around with any MySQL client, while this goes on:\n');
    say(`    mysql -h 127.0.0.1 -P ${proxy.port} -u root ${SHOP_TARGET}\n`);
    say('    select * from jobs("type"="insert")\\G');
    say(`    select max(placed_at), count(*) from ${SHOP_TARGET}.orders;`);
    say("    PAUSE JOB WHERE jobname = 'shop';\n");
    say('Ctrl-C stops everything.\n');
  });
  say('\nStopping …');
  await client.end();
}

/** The shop closes its database, too. */
async function openShop(source: string): Promise<Shop> {
  switch (source) {
    case 'postgres':
      return await withServer(await startPostgres({ version: 18 }), postgresShop);
    case 'mysql':
      return await withServer(await startMysql(), mysqlShop);
    case 'mariadb':
      return await withServer(await startMariadb(), mysqlShop);
    default:
      throw new Error(USAGE);
  }
}

async function withServer<Server extends AsyncDisposable>(
  server: Server,
  open: (server: Server) => Promise<Shop>,
): Promise<Shop> {
  try {
    const shop = await open(server);
    return {
      ...shop,
      async [Symbol.asyncDispose]() {
        await shop[Symbol.asyncDispose]();
        await server[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

async function run(client: Connection, sql: string): Promise<void> {
  say(`mysql> ${sql.replaceAll(/("password" = )"[^"]*"/g, '$1"******"')};`);
  await client.query(sql);
  say('Query OK\n');
}

type Counts = Readonly<Record<ShopTable, number>>;

async function copied(client: Connection): Promise<Counts> {
  const counts: Record<ShopTable, number> = { customers: 0, orders: 0 };
  for (const table of SHOP_TABLES) {
    const sql = `SELECT COUNT(*) AS n FROM ${SHOP_TARGET}.${table}`;
    const [rows] = await client.query<RowDataPacket[]>(sql);
    counts[table] = Number(rows[0]!['n']);
  }
  return counts;
}

async function job(client: Connection): Promise<RowDataPacket> {
  const [rows] = await client.query<RowDataPacket[]>(
    `select * from jobs("type"="insert") where Name = 'shop'`,
  );
  return rows[0]!;
}

async function showSnapshot(client: Connection, shop: Shop, signal: AbortSignal): Promise<void> {
  const startedMs = Date.now();
  const wanted = await shop.counts();
  while (!signal.aborted) {
    const counts = await copied(client);
    const bars = SHOP_TABLES.map((table) => bar(table, counts[table], wanted[table])).join('   ');
    const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
    const status = String((await job(client))['Status']);
    say(`${seconds.padStart(5)} s   ${bars}   ${status}`);
    if (SHOP_TABLES.every((table) => counts[table] >= wanted[table])) return;
    if (status === 'PAUSED') throw new Error(String((await job(client))['ErrorMsg']));
    await sleep(TICK_MS / 2, signal);
  }
}

function bar(table: string, done: number, all: number): string {
  const part = all === 0 ? 1 : Math.min(1, done / all);
  const filled = '#'.repeat(Math.round(part * 20)).padEnd(20, '.');
  return `${table} [${filled}] ${String(done).padStart(7)} of ${all}`;
}

/** Every order's way into Doris is timed by asking for it until it is there. */
async function showStream(
  client: Connection,
  shop: Shop,
  signal: AbortSignal,
  hint: () => void,
): Promise<void> {
  let newest = { id: 0, atMs: Date.now() };
  const trading = (async () => {
    while (!signal.aborted) {
      newest = { id: await shop.trade(), atMs: Date.now() };
      await sleep(TRADE_MS, signal);
    }
  })();
  for (let tick = 1; !signal.aborted; tick++) {
    await sleep(TICK_MS, signal);
    const lagMs = await arrival(client, newest, signal);
    const [there, here, { Status: status, SucceedTaskCount: tasks }] = [
      await copied(client),
      await shop.counts(),
      await job(client),
    ];
    say(
      `orders at the source ${here.orders}, in Doris ${there.orders}; ` +
        `the newest one took ${lagMs} ms   ${status}, ${tasks} tasks`,
    );
    if (tick === 3) hint();
  }
  await trading;
}

async function arrival(
  client: Connection,
  order: { id: number; atMs: number },
  signal: AbortSignal,
): Promise<number> {
  const sql = `SELECT id FROM ${SHOP_TARGET}.orders WHERE id = ${order.id}`;
  while (!signal.aborted) {
    const [rows] = await client.query<RowDataPacket[]>(sql);
    if (rows.length > 0) break;
    await sleep(10, signal);
  }
  return Date.now() - order.atMs;
}

if (values.help === true) {
  say(USAGE);
} else {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  if (values.seconds !== undefined) {
    void sleep(Number(values.seconds) * 1000, stop.signal).then(() => stop.abort());
  }
  await main(stop.signal);
}
