import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE_FOLDER } from './programs.ts';
import { type Command, findProgram, run } from './server-process.ts';

const FOLDER = join(import.meta.dirname, 'clients');
const JARS = join(CACHE_FOLDER, 'jars');
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy';

/** JDBC drivers that the tests log in with, as Maven Central knows them. */
export const DRIVERS = {
  'Connector/J 8': { artifact: 'com.mysql:mysql-connector-j:8.4.0', scheme: 'mysql' },
  'Connector/J 9': { artifact: 'com.mysql:mysql-connector-j:9.5.0', scheme: 'mysql' },
  'MariaDB Connector/J': {
    artifact: 'org.mariadb.jdbc:mariadb-java-client:3.5.6',
    scheme: 'mariadb',
  },
} as const;

export type Driver = keyof typeof DRIVERS;

/** Prints why something is not run here; under CI that is an error. */
function missing(reason: string): undefined {
  if (process.env['CI']) throw new Error(reason);
  console.error(`SKIPPED: ${reason}`);
  return undefined;
}

/** The driver's file, fetched from Maven Central once; undefined when this machine cannot. */
async function driverFile(driver: Driver): Promise<string | undefined> {
  const { artifact } = DRIVERS[driver];
  const [, name, version] = artifact.split(':');
  const file = join(JARS, `${name}-${version}.jar`);
  if (existsSync(file)) return file;
  const maven = findProgram('mvn');
  if (maven === undefined) return missing(`${driver}: neither ${file} nor mvn is here`);
  mkdirSync(JARS, { recursive: true });
  const args = ['-q', '-B', COPY, `-Dartifact=${artifact}`, `-DoutputDirectory=${JARS}`];
  const fetched = await run({ program: maven, args }, { timeoutMs: 180_000 });
  if (existsSync(file)) return file;
  return missing(`${driver} could not be fetched: ${fetched.stdout.slice(-500)}`);
}

/** A program of `clients/` over a JDBC driver, compiled when it starts; undefined when this machine cannot run it. */
export async function javaClient(
  name: string,
  driver: Driver,
  args: readonly string[],
): Promise<Command | undefined> {
  const java = findProgram('java');
  if (java === undefined || findProgram('javac') === undefined) {
    return missing(`${driver}: no java and javac (17 or later) here`);
  }
  const file = await driverFile(driver);
  if (file === undefined) return undefined;
  return { program: java, args: ['-cp', file, join(FOLDER, `${name}.java`), ...args] };
}

/** A program of `clients/` for PyMySQL; undefined when no Python here has it. */
export async function pythonClient(
  name: string,
  args: readonly string[],
): Promise<Command | undefined> {
  for (const program of [findProgram('python3'), '/usr/bin/python3']) {
    if (program === undefined || !existsSync(program)) continue;
    const probe = await run({ program, args: ['-c', 'import pymysql'] });
    if (probe.code === 0) return { program, args: [join(FOLDER, `${name}.py`), ...args] };
  }
  return missing('PyMySQL: no python3 with pymysql here (apt install python3-pymysql)');
}
