import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE_FOLDER, pythonWith } from './programs.ts';
import {
  type Command,
  findProgram,
  isExecutable,
  removeFolder,
  run,
  runChecked,
} from './server-process.ts';

const FOLDER = join(import.meta.dirname, 'clients');
const JARS = join(CACHE_FOLDER, 'jars');
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy';

/** JDBC drivers that the tests log in with, as Maven Central knows them. */
export const DRIVERS = {
  'Connector/J 8': 'com.mysql:mysql-connector-j:8.4.0',
  'Connector/J 9': 'com.mysql:mysql-connector-j:9.5.0',
  'MariaDB Connector/J': 'org.mariadb.jdbc:mariadb-java-client:3.5.6',
} as const;

/** One script over one client with one set of options. */
export interface ClientRun {
  /** What its results are found by. */
  readonly name: string;
  readonly script: 'job' | 'relay';
  /** A driver, in words of the program that has it. */
  readonly client: string;
  readonly at: { readonly host: string; readonly port: number };
  /** In the driver's own form. */
  readonly options: string;
  readonly user: string;
  readonly password: string;
  /** What the script takes. */
  readonly argument: string;
}

/** What each case of a run saw; of a case that came several times, the last. */
export type Seen = Readonly<Record<string, readonly string[]>>;

/** Prints why something is not run here. */
function skipped(reason: string): undefined {
  console.error(`SKIPPED: ${reason}`);
  return undefined;
}

/** As {@link skipped}, for what every machine of CI's has or fetches: there it is an error. */
function missing(reason: string): undefined {
  if (process.env['CI']) throw new Error(reason);
  return skipped(reason);
}

/** What the programs of a language need and this machine does not have. */
class NotHere extends Error {}

/**
 * Fetches and compiles what takes longest, beside the installation of servers. What is not to be had is said by whoever
 * runs the clients.
 */
export async function prepareClients(): Promise<void> {
  await Promise.allSettled([javaProgram(), goProgram()]);
}

/** Results by the name of the run. @throws when the program fails, with its error output. */
async function runAll(
  command: Command,
  runs: readonly ClientRun[],
): Promise<ReadonlyMap<string, Seen>> {
  const lines = runs.map(({ name, script, client, at, options, user, password, argument }) =>
    [name, script, client, at.host, at.port, options, user, password, argument].join('\t'),
  );
  const input = `${lines.join('\n')}\n`;
  const result = await run(command, { input, timeoutMs: 200_000 });
  if (result.code !== 0) throw new Error(`${result.stdout.slice(-1000)}\n${result.stderr}`);
  const seen = new Map<string, Record<string, readonly string[]>>();
  for (const { name } of runs) seen.set(name, {});
  for (const line of result.stdout.trimEnd().split('\n')) {
    const [name = '', what = '', json = ''] = line.split('\t');
    const cases = seen.get(name);
    if (cases === undefined) throw new Error(`not a line of a client's: ${line}`);
    cases[what] = JSON.parse(json) as string[];
  }
  return seen;
}

/** The driver's file, fetched from Maven Central once. */
async function driverFile(driver: string, artifact: string): Promise<string> {
  const [, name, version] = artifact.split(':');
  const file = join(JARS, `${name}-${version}.jar`);
  if (existsSync(file)) return file;
  const maven = findProgram('mvn');
  if (maven === undefined) throw new NotHere(`${driver}: neither ${file} nor mvn is here`);
  mkdirSync(JARS, { recursive: true });
  const args = ['-q', '-B', COPY, `-Dartifact=${artifact}`, `-DoutputDirectory=${JARS}`];
  const fetched = await run({ program: maven, args }, { timeoutMs: 180_000 });
  if (existsSync(file)) return file;
  throw new NotHere(`${driver} could not be fetched: ${fetched.stdout.slice(-500)}`);
}

async function javaProgram(): Promise<Command & { readonly files: ReadonlyMap<string, string> }> {
  const [java, javac] = [findProgram('java'), findProgram('javac')];
  if (java === undefined || javac === undefined) {
    throw new NotHere('JDBC: no java and javac (17 or later) here');
  }
  const files = new Map<string, string>();
  for (const [driver, artifact] of Object.entries(DRIVERS)) {
    files.set(driver, await driverFile(driver, artifact));
  }
  const classes = await prepared('java', /\.java$/, 'classes', async (sources, to) => {
    await runChecked({ program: javac, args: ['-encoding', 'UTF-8', '-d', to, ...sources] });
  });
  // The quick compiler only: these programs end before the other one has paid for itself.
  const args = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', classes, 'Clients'];
  return { program: java, args, files };
}

/** Runs scripts over JDBC; undefined when this machine cannot. A run's `client` is one of {@link DRIVERS}. */
export function runJava(
  runs: readonly ClientRun[],
): Promise<ReadonlyMap<string, Seen> | undefined> {
  return orMissing(missing, async () => {
    const { files, ...command } = await javaProgram();
    const named = runs.map((each) => ({ ...each, client: files.get(each.client) ?? '' }));
    return await runAll(command, named);
  });
}

async function pythonProgram(): Promise<Command> {
  const python = pythonWith('MySQLdb', 'pip');
  if (python === undefined) {
    throw new NotHere(
      'Python: none with mysqlclient and pip here (apt install python3-mysqldb python3-pip)',
    );
  }
  const version = await runChecked({ program: python, args: ['--version'] });
  const packages = await prepared('python', /^requirements\.txt$/, version, async (sources, to) => {
    const how = ['-q', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'];
    const lists = sources.flatMap((path) => ['-r', path]);
    const args = ['-m', 'pip', 'install', ...how, '--target', to, ...lists];
    await runChecked({ program: python, args });
  });
  const env = { PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: '1', PYTHONIOENCODING: 'utf-8' };
  return { program: python, args: [join(FOLDER, 'python', 'clients.py')], env };
}

/**
 * Runs scripts over Python's drivers; undefined when this machine cannot. A run's `client` is a DB-API module (`pymysql`,
 * `MySQLdb`) or a dialect of SQLAlchemy.
 */
export function runPython(
  runs: readonly ClientRun[],
): Promise<ReadonlyMap<string, Seen> | undefined> {
  return orMissing(missing, async () => await runAll(await pythonProgram(), runs));
}

/** Go 1.21 is the oldest that the driver builds with. */
const GO_MINOR_MIN = 21;
/** Where Go's own archive is unpacked, in PATH or not. */
const GO_USUAL = ['/usr/local/go/bin/go'];

async function goProgram(): Promise<Command> {
  const go = findProgram('go') ?? GO_USUAL.find(isExecutable);
  const version = go === undefined ? '' : await runChecked({ program: go, args: ['version'] });
  const minor = Number(/go1\.(\d+)/.exec(version)?.[1] ?? 0);
  if (go === undefined || minor < GO_MINOR_MIN) {
    throw new NotHere(`go-sql-driver: no Go 1.${GO_MINOR_MIN} or later here (${version.trim()})`);
  }
  const folder = await prepared('go', /\.(?:go|mod|sum)$/, version, async (_sources, to) => {
    const args = ['build', '-C', join(FOLDER, 'go'), '-o', join(to, 'clients'), '.'];
    await runChecked({ program: go, args }, 200_000);
  });
  return { program: join(folder, 'clients'), args: [] };
}

/** Runs scripts over go-sql-driver; undefined where no Go is at hand, which is said and never an error. A run's `client` is not used. */
export function runGo(runs: readonly ClientRun[]): Promise<ReadonlyMap<string, Seen> | undefined> {
  return orMissing(skipped, async () => await runAll(await goProgram(), runs));
}

async function orMissing<T>(
  say: (reason: string) => undefined,
  use: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await use();
  } catch (error) {
    if (error instanceof NotHere) return say(error.message);
    throw error;
  }
}

/** What is made of files of a folder of `clients/`, once for each of their states and of the `tool`'s; a folder in the cache. */
async function prepared(
  name: string,
  files: RegExp,
  tool: string,
  make: (sources: readonly string[], to: string) => Promise<void>,
): Promise<string> {
  const folder = join(FOLDER, name);
  const sources = readdirSync(folder)
    .filter((file) => files.test(file))
    .toSorted()
    .map((file) => join(folder, file));
  const hash = createHash('sha256').update(tool);
  for (const source of sources) hash.update(readFileSync(source)).update('\0');
  const to = join(CACHE_FOLDER, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(to)) return to;
  mkdirSync(CACHE_FOLDER, { recursive: true });
  const work = mkdtempSync(join(CACHE_FOLDER, `new-${name}-`));
  try {
    await make(sources, work);
    // Another test run may have been quicker.
    if (!existsSync(to)) renameSync(work, to);
  } finally {
    removeFolder(work);
  }
  return to;
}
