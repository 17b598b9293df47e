import mysql, {
  type Connection,
  type ConnectionOptions,
  type ResultSetHeader,
  type RowDataPacket,
} from 'mysql2/promise';
import type { Seen } from '../client-programs.ts';

const TEXT = 'ü€😀 \'quoted\' \\ "too" ?';
const JOBS = 'jobs("type"="insert")';
const TASKS = 'tasks("type"="insert")';

/** Says what cases see, as the programs of other languages do. */
class Script {
  readonly seen: Record<string, string[]> = {};
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  say(what: string, ...seen: readonly unknown[]): void {
    this.seen[what] = seen.map((each) => (typeof each === 'string' ? each : JSON.stringify(each)));
  }

  async attempt(what: string, run: () => Promise<unknown>): Promise<void> {
    try {
      await run();
    } catch (error) {
      const { errno, sqlState, message } = error as {
        errno?: number;
        sqlState?: string;
        message: string;
      };
      this.say(what, 'ERROR', errno, sqlState, message);
    }
  }

  async rows(sql: string, values: readonly unknown[] = []): Promise<RowDataPacket[]> {
    const [rows] = await this.connection.query<RowDataPacket[]>(sql, [...values]);
    return rows;
  }

  /** By the binary protocol: the rows, and each column with its type. */
  async prepared(sql: string, values: readonly unknown[]): Promise<[RowDataPacket[], string]> {
    const [rows, fields] = await this.connection.execute<RowDataPacket[]>(sql, values as string[]);
    return [rows, fields.map(({ name, columnType }) => `${name} ${columnType}`).join()];
  }
}

/** What an application does, for a comparison of two ways to one server; in the database `mysql2`. */
export async function relayScript(login: ConnectionOptions, kind: string): Promise<Seen> {
  const doris = kind === 'doris';
  const connection = await mysql.createConnection({
    ...login,
    multipleStatements: true,
    supportBigNumbers: true,
  });
  const script = new Script(connection);
  await script.attempt('wrong password', async () => {
    await mysql.createConnection({ ...login, password: 'wrong' });
  });
  try {
    await connection.query('drop database if exists mysql2');
    await connection.query('create database mysql2');
    await connection.query('use mysql2');
    script.say('session', await script.rows('select current_user() as u, database() as d'));
    await script.attempt('types', () => manyTypes(script, doris));
    await script.attempt('several statements', () => several(script, doris));
    await script.attempt('error of a text', () => connection.query('selec 1'));
    await script.attempt('error of a prepared statement', () =>
      connection.execute('select * from nowhere where id = ?', [1]),
    );
    if (!doris) await script.attempt('transaction', () => transaction(script));
    // Doris lets nobody become root.
    if (!doris) await connection.changeUser({ database: 'mysql2' });
    script.say('end', await script.rows('select database() as d'));
  } finally {
    connection.destroy();
  }
  return script.seen;
}

async function manyTypes(script: Script, doris: boolean): Promise<void> {
  const end = doris
    ? "t string) unique key(id) distributed by hash(id) buckets 1 properties ('replication_num' = '1')"
    : 'b longblob, primary key (id)) charset utf8mb4';
  await script.connection.query(
    `create table kinds (id int not null, i bigint, d decimal(20,5), f double, s varchar(200), dt datetime(6), ${end}`,
  );
  const insert = 'insert into kinds (id, i, d, f, s, dt) values (?, ?, ?, ?, ?, ?)';
  const first = [
    1,
    '-9223372036854775808',
    '-12345.67891',
    0.1,
    TEXT,
    '2026-01-02 03:04:05.678901',
  ];
  const [done] = await script.connection.execute<ResultSetHeader>(insert, first);
  script.say('inserted', done.affectedRows, done.insertId, done.warningStatus);
  await script.connection.query(insert, [2, null, null, null, null, null]);
  script.say('text', await script.rows('select * from kinds where s = ? or i is null', [TEXT]));
  const select = 'select * from kinds where id in (?, ?) and (f < ? or s is null) order by id';
  for (const round of ['first', 'again']) {
    script.say(`prepared ${round}`, ...(await script.prepared(select, [1, '2', 0.5])));
  }
  script.say('no rows', ...(await script.prepared('select s from kinds where id = ?', [3])));
  const [big] = await script.rows("select repeat('ü', 200000) as big");
  script.say('large', String(big?.['big']).length);
}

async function several(script: Script, doris: boolean): Promise<void> {
  const change = doris ? 'set query_timeout = ' : 'set @x = ';
  const all = await script.rows(`select 1 as a; ${change}1; select 2 as b, 3 as c`);
  script.say('several statements', all);
  await script.attempt('several with an error', () => script.rows(`select 1; selec; select 2`));
}

async function transaction(script: Script): Promise<void> {
  const { connection } = script;
  const bytes = Buffer.alloc(100_000, "\u0000'\\\u00FF", 'latin1');
  await connection.beginTransaction();
  await connection.execute('insert into kinds (id, b) values (?, ?)', [10, bytes]);
  await connection.commit();
  await connection.beginTransaction();
  await connection.query('delete from kinds');
  await connection.rollback();
  const [row] = await script.rows('select b from kinds where id = 10');
  script.say('transaction', bytes.equals(row?.['b'] as Buffer));
  await script.attempt('error of a duplicate', () =>
    connection.execute('insert into kinds (id) values (?)', [10]),
  );
}

/** The life of a job that is called `by_client`. */
export async function jobScript(
  login: ConnectionOptions,
  create: string,
  alter: string,
): Promise<Seen> {
  const connection = await mysql.createConnection({ ...login, multipleStatements: true });
  const script = new Script(connection);
  const status = async (): Promise<string> => {
    const sql = `select Name, Status from ${JOBS} where Name = ? and ExecuteType = ?`;
    const [rows, columns] = await script.prepared(sql, ['by_client', 'STREAMING']);
    script.say('columns', columns.replaceAll(/ \d+/g, ''));
    return String(rows[0]?.['Status']);
  };
  const awaited = async (what: string, wanted: string, look: () => Promise<string>) => {
    let found = await look();
    for (const end = Date.now() + 30_000; found !== wanted && Date.now() < end;) {
      found = await look();
    }
    script.say(what, found);
  };
  try {
    await connection.query(create);
    await script.attempt('refused', () => connection.execute(create));
    await script.attempt('unknown job', () =>
      connection.query("PAUSE JOB WHERE jobName = 'nobody'"),
    );
    await awaited('status', 'RUNNING', status);
    await script.attempt('alter refused', () => connection.query(alter));
    await connection.execute("PAUSE JOB WHERE jobName = 'by_client'");
    script.say('paused', await status());
    await connection.execute(alter);
    await connection.query("RESUME JOB WHERE jobName = 'by_client'");
    await awaited('status', 'RUNNING', status);
    await awaited('task', 'SUCCESS', async () => {
      const sql = `select TaskId, Status from ${TASKS} where JobName = ? and Status = 'SUCCESS' order by TaskId limit ?`;
      return String((await script.prepared(sql, ['by_client', 1]))[0][0]?.['Status']);
    });
    await rowsOfJob(script);
    await connection.query("DROP JOB WHERE jobName = 'by_client'");
    script.say('left', String((await script.rows(`select count(*) as n from ${JOBS}`))[0]?.['n']));
  } finally {
    connection.destroy();
  }
  return script.seen;
}

async function rowsOfJob(script: Script): Promise<void> {
  const [all, columns] = await script.prepared(`select * from ${JOBS}`, []);
  script.say('all', `${all.length} ${columns.replaceAll(/ \d+/g, '')}`);
  const sql = `select Name from ${JOBS} where Name in (?, ?) and Id > ? and Comment = ? and FailedTaskCount < ? limit ?`;
  const [named] = await script.prepared(sql, ['by_client', null, 1, '', 1000.5, 10]);
  script.say('parameters', named.map((row) => String(row['Name'])).join());
  const [[row], types] = await script.prepared(
    `select j.Name as n, count(*) as c from ${JOBS} j join ${TASKS} k on j.Id = k.JobId where j.Name = ? and k.Status = ? group by j.Name limit ?`,
    ['by_client', 'SUCCESS', 5],
  );
  script.say('joined', `${types.replaceAll(/ \d+/g, '')} ${row?.['n']} ${Number(row?.['c']) > 0}`);
  script.say(
    'tasks',
    (await script.prepared(`select * from ${TASKS} where JobName = ?`, ['x']))[1],
  );
  const pause = "PAUSE JOB WHERE jobName = 'by_client'; RESUME JOB WHERE jobName = 'by_client'";
  const batch = await script.rows(`${pause}; select Name from ${JOBS}; select 1 as one`);
  script.say('several', batch.length, batch.at(-2), batch.at(-1));
}
