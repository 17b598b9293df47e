import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  available,
  mariadbCli,
  mysqlbinlog,
  mysqlCli,
  startMariadb,
  startMysql,
  startPostgres,
} from './servers.ts';

// The instruments themselves: what other tests take for granted.

test.runIf(available('mysql'))(
  'MySQL starts with a binlog, restarts with other options and keeps its data',
  async () => {
    await using server = await startMysql(['--gtid-mode=OFF']);
    expect(server.version).toMatch(/^9\./);
    await server.query(
      'CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY); INSERT INTO d.t VALUES (1)',
    );
    expect(await server.query('SELECT @@gtid_mode AS g, @@log_bin AS b')).toEqual([
      { g: 'OFF', b: 1 },
    ]);
    await server.restart(['--gtid-mode=ON', '--enforce-gtid-consistency=ON']);
    expect(await server.query('SELECT @@gtid_mode AS g, (SELECT COUNT(*) FROM d.t) AS n')).toEqual([
      { g: 'ON', n: 1 },
    ]);
    await server.query('INSERT INTO d.t VALUES (2)');
    await server.kill();
    await server.start();
    expect(await server.query('SELECT COUNT(*) AS n FROM d.t')).toEqual([{ n: 2 }]);
  },
);

test.runIf(available('mysql'))("MySQL's own clients run", async () => {
  await using server = await startMysql();
  const login = ['-h127.0.0.1', `-P${server.port}`, `-u${server.user}`, `-p${server.password}`];
  const cli = await mysqlCli([...login, '-N', '-e', 'SELECT 1+1']);
  expect(cli).toMatchObject({ code: 0, stdout: '2\n' });
  const log = await mysqlbinlog([...login, '--read-from-remote-server', 'mysql-bin.000001']);
  expect(log).toMatchObject({ code: 0 });
  expect(log.stdout).toContain('Start: binlog v 4');
});

test.runIf(available('mariadb'))(
  'MariaDB starts with a binlog and its data go when it is disposed',
  async () => {
    let folder: string | undefined;
    {
      await using server = await startMariadb();
      folder = server.dataDir;
      expect(server.version).toContain('MariaDB');
      expect(await server.query('SELECT @@log_bin AS b, @@binlog_format AS f')).toEqual([
        { b: 1, f: 'ROW' },
      ]);
      const login = ['-h127.0.0.1', `-P${server.port}`, `-u${server.user}`, `-p${server.password}`];
      expect(await mariadbCli([...login, '-N', '-e', 'SELECT 1+1'])).toMatchObject({
        stdout: '2\n',
      });
    }
    expect(folder !== undefined && existsSync(folder)).toBe(false);
  },
);

test.for([15, 18] as const)(
  'Postgres %i starts with logical WAL and survives a kill',
  async (version, { skip }) => {
    skip(!available(`postgres${version}`));
    await using server = await startPostgres({ version, options: ['--wal_sender_timeout=3000'] });
    expect(server.version).toMatch(new RegExp(`^${version}\\.`));
    await server.query('CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)');
    await server.kill();
    await server.start();
    expect(
      await server.query(
        "SELECT current_setting('wal_sender_timeout') AS w, (SELECT COUNT(*) FROM t) AS n",
      ),
    ).toEqual([{ w: '3s', n: '1' }]);
    expect(await server.query('SHOW wal_level')).toEqual([{ wal_level: 'logical' }]);
  },
);
