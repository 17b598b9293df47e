import type { MysqlServer, PostgresServer } from '../servers.ts';

/** A small shop with customers and orders, that somebody keeps working in. */
export interface Shop extends AsyncDisposable {
  readonly source: string;
  /** `CREATE JOB shop …`, as one would write it for this source. */
  readonly createJob: string;
  /** Rows of each table now. */
  counts(): Promise<Readonly<Record<ShopTable, number>>>;
  /** One transaction: a new order, a change of an older one, now and then a cancelled one. Returns the new order's id. */
  trade(): Promise<number>;
}

export const SHOP_TABLES = ['customers', 'orders'] as const;
export type ShopTable = (typeof SHOP_TABLES)[number];

const CUSTOMERS = 20_000;
const ORDERS = 200_000;
const TARGET = 'shop_copy';

/** The shop in a MySQL or MariaDB. */
export async function mysqlShop(server: MysqlServer): Promise<Shop> {
  const depth = server.kind === 'mysql' ? 'cte_max_recursion_depth' : 'max_recursive_iterations';
  await server.query(`
    CREATE DATABASE shop; USE shop;
    CREATE TABLE customers (
      id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL,
      city ENUM('Berlin','Paris','東京') NOT NULL, since DATE);
    CREATE TABLE orders (
      id BIGINT AUTO_INCREMENT PRIMARY KEY, customer_id INT UNSIGNED NOT NULL, amount DECIMAL(12,2) NOT NULL,
      note JSON, placed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6));
    SET SESSION ${depth} = 1000000;
    INSERT INTO customers (name, city, since)
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${CUSTOMERS})
      SELECT CONCAT('customer ', i), 1 + i % 3, DATE '2020-01-01' + INTERVAL i % 2000 DAY FROM n;
    INSERT INTO orders (customer_id, amount, note)
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ORDERS})
      SELECT 1 + i % ${CUSTOMERS}, i % 10000 / 100, JSON_OBJECT('line', i) FROM n;`);
  const connection = await server.connect({ database: 'shop', multipleStatements: true });
  return {
    source: `${server.kind} ${server.version}`,
    createJob: createJob('MYSQL', {
      jdbc_url: `jdbc:mysql://${server.host}:${server.port}`,
      driver_url: 'mysql-connector-j-8.0.31.jar',
      driver_class: 'com.mysql.cj.jdbc.Driver',
      user: server.user,
      password: server.password,
      database: 'shop',
    }),
    async counts() {
      const [rows] = await connection.query(countSql(''));
      return (rows as Record<ShopTable, number>[])[0]!;
    },
    async trade() {
      const [results] = await connection.query(`
        BEGIN;
        INSERT INTO orders (customer_id, amount) VALUES (1 + FLOOR(RAND() * ${CUSTOMERS}), ROUND(RAND() * 900, 2));
        SELECT LAST_INSERT_ID() AS id;
        UPDATE orders SET amount = amount + 1 WHERE id = LAST_INSERT_ID() - 7;
        DELETE FROM orders WHERE id = LAST_INSERT_ID() - 50 AND id % 5 = 0;
        COMMIT`);
      return (results as unknown as { id: number }[][])[2]![0]!.id;
    },
    [Symbol.asyncDispose]: () => connection.end(),
  };
}

/** The shop in a Postgres. */
export async function postgresShop(server: PostgresServer): Promise<Shop> {
  await server.query(`
    CREATE SCHEMA shop;
    CREATE TABLE shop.customers (
      id serial PRIMARY KEY, name text NOT NULL, city text NOT NULL, since date, tags text[]);
    CREATE TABLE shop.orders (
      id bigserial PRIMARY KEY, customer_id int NOT NULL, amount numeric(12,2) NOT NULL,
      note jsonb, placed_at timestamptz NOT NULL DEFAULT clock_timestamp());
    INSERT INTO shop.customers (name, city, since, tags)
      SELECT 'customer ' || i, (ARRAY['Berlin','Paris','東京'])[1 + i % 3], date '2020-01-01' + i % 2000, ARRAY['a','b']
      FROM generate_series(1, ${CUSTOMERS}) AS i;
    INSERT INTO shop.orders (customer_id, amount, note)
      SELECT 1 + i % ${CUSTOMERS}, i % 10000 / 100.0, jsonb_build_object('line', i) FROM generate_series(1, ${ORDERS}) AS i;`);
  const client = await server.connect();
  return {
    source: `postgres ${server.version}`,
    createJob: createJob('POSTGRES', {
      jdbc_url: `jdbc:postgresql://${server.host}:${server.port}/${server.database}`,
      driver_url: 'postgresql-42.5.0.jar',
      driver_class: 'org.postgresql.Driver',
      user: server.user,
      password: server.password,
      database: server.database,
      schema: 'shop',
    }),
    async counts() {
      const { rows } = await client.query<Record<ShopTable, string>>(countSql('shop.'));
      return { customers: Number(rows[0]!.customers), orders: Number(rows[0]!.orders) };
    },
    async trade() {
      await client.query('BEGIN');
      const { rows } = await client.query<{ id: string }>(
        `INSERT INTO shop.orders (customer_id, amount)
         VALUES (1 + floor(random() * ${CUSTOMERS}), round((random() * 900)::numeric, 2)) RETURNING id`,
      );
      const id = Number(rows[0]!.id);
      await client.query('UPDATE shop.orders SET amount = amount + 1 WHERE id = $1', [id - 7]);
      await client.query('DELETE FROM shop.orders WHERE id = $1 AND id % 5 = 0', [id - 50]);
      await client.query('COMMIT');
      return id;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}

/** Where the job puts the copy. */
export const SHOP_TARGET = TARGET;

function countSql(prefix: string): string {
  return `SELECT ${SHOP_TABLES.map((table) => `(SELECT COUNT(*) FROM ${prefix}${table}) AS ${table}`).join(', ')}`;
}

function createJob(type: string, source: Readonly<Record<string, string>>): string {
  const list = Object.entries({
    ...source,
    include_tables: SHOP_TABLES.join(','),
    offset: 'initial',
  });
  const properties = list.map(([key, value]) => `    "${key}" = "${value}"`).join(',\n');
  return `CREATE JOB shop
ON STREAMING
FROM ${type} (
${properties}
)
TO DATABASE ${TARGET} (
    "table.create.properties.replication_num" = "1"
)`;
}
