import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { Catalog } from '../../src/catalog/catalog.ts';
import { FrontendError, type Caller, type FrontendRows } from '../../src/command/commands.ts';
import type { Settings } from '../../src/command/frontend-config.ts';
import type { JobParts, JobScheduler, TargetTables } from '../../src/command/job-parts.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { Job } from '../../src/model/job.ts';
import type { MysqlPosition, Position } from '../../src/model/offset.ts';
import { SETTINGS } from '../../src/model/setting.ts';
import type { TableSpec } from '../../src/model/table.ts';
import type { TargetTable } from '../../src/sink/table-ddl.ts';
import type { ChangeStream, Source, TableSelection } from '../../src/source/source.ts';
import { selectNames } from '../../src/source/table-selection.ts';

export const sourceTable = (name: string, target = name): TableSpec => ({
  schema: 'test',
  name,
  target,
  columns: [{ name: 'id', sourceType: 'int', dorisType: 'INT', nullable: false, comment: '' }],
  key: ['id'],
});

/** The table in Doris that a copy of {@link sourceTable} is. */
const COPY: TargetTable = {
  keyModel: 'UNIQUE',
  key: ['id'],
  columns: [{ name: 'id', type: 'int', nullable: false, defaultValue: undefined, comment: '' }],
};

/** Databases and tables of Doris; understands the two statements that CREATE JOB sends. */
class FakeTarget implements TargetTables {
  readonly databases = new Set(['db']);
  readonly tables = new Map<string, TargetTable>();
  readonly statements: string[] = [];
  /** Jobs of Doris that the service account sees. */
  readonly jobs: string[] = [];
  /** A table whose CREATE fails. */
  broken = '';

  databaseExists(database: string): Promise<boolean> {
    return Promise.resolve(this.databases.has(database));
  }

  jobNames(): Promise<readonly string[]> {
    return Promise.resolve(this.jobs);
  }

  describeTable(database: string, table: string): Promise<TargetTable | undefined> {
    return Promise.resolve(this.tables.get(`${database}.${table}`));
  }

  execute(ddl: string): Promise<void> {
    this.statements.push(ddl);
    const [, verb, database, table] =
      /^(CREATE|DROP) TABLE (?:IF EXISTS )?`(\w+)`\.`(\w+)`/.exec(ddl) ?? [];
    const name = `${database}.${table}`;
    if (verb === 'DROP') this.tables.delete(name);
    else if (this.tables.has(name))
      return Promise.reject(new ProxyError('TARGET_TABLE', `${name} exists`));
    else if (verb === 'CREATE' && table !== this.broken) this.tables.set(name, COPY);
    else return Promise.reject(new ProxyError('TARGET_TABLE', `no luck with ${name}`));
    return Promise.resolve();
  }
}

const unused = (): never => {
  throw new Error('not used by statements');
};

/** A source that knows tables and positions; nobody reads from it here. */
class FakeSource implements Source {
  tables: readonly TableSpec[] = [sourceTable('user_info'), sourceTable('order_info')];
  /** What goes wrong, by method. */
  failures: Partial<Record<'open' | 'preflight' | 'position' | 'stream' | 'release', ProxyError>> =
    {};
  opened = 0;
  closed = 0;
  released = 0;
  readonly streams: Position[] = [];
  streamsClosed = 0;
  selection: TableSelection | undefined;
  password = '';

  zone = 'UTC';

  findTimeZone(): Promise<string> {
    return Promise.resolve(this.zone);
  }

  preflight(selection: TableSelection): Promise<readonly TableSpec[]> {
    this.selection = selection;
    if (this.failures.preflight) return Promise.reject(this.failures.preflight);
    const names = selectNames(
      this.tables.map(({ name }) => name),
      selection,
    );
    return Promise.resolve(this.tables.filter(({ name }) => names.includes(name)));
  }

  safePosition(): Promise<Position> {
    return this.#position(1000);
  }

  latestPosition(): Promise<Position> {
    return this.#position(2000);
  }

  earliestPosition(): Promise<Position> {
    return this.#position(4);
  }

  openStream(_tables: readonly TableSpec[], from: Position): Promise<ChangeStream> {
    this.streams.push(from);
    if (this.failures.stream) return Promise.reject(this.failures.stream);
    return Promise.resolve({
      fill: unused,
      acknowledge: unused,
      [Symbol.asyncDispose]: () => Promise.resolve(void (this.streamsClosed += 1)),
    });
  }

  release(): Promise<void> {
    this.released += 1;
    return this.failures.release ? Promise.reject(this.failures.release) : Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }

  lagBytes(): never {
    throw new Error('not used by statements');
  }
  nextSplit(): never {
    throw new Error('not used by statements');
  }
  readSplit(): never {
    throw new Error('not used by statements');
  }

  #position(pos: number): Promise<MysqlPosition> {
    if (this.failures.position) return Promise.reject(this.failures.position);
    return Promise.resolve({
      kind: 'mysql',
      file: 'binlog.000002',
      pos,
      gtids: '',
      event: 0,
      serverId: '1',
      serverUuid: 'u',
      tsSec: 0,
    });
  }
}

/** Privileges of a session, in the shape of SHOW GRANTS (doris-target.md §5). */
export const grants = (
  user: string,
  level: 'GlobalPrivs' | 'DatabasePrivs' | 'TablePrivs',
  cell: string | null,
): FrontendRows => ({
  columns: ['UserIdentity', 'Comment', 'Password', 'Roles', level],
  rows: [[`'${user}'@'%'`, '', 'Yes', '', cell]],
});

/** A client whose FE has no jobs of its own unless told so. */
export class FakeCaller implements Caller {
  readonly address = '10.0.0.7:4711';
  readonly asked: string[] = [];
  grants = grants('root', 'GlobalPrivs', 'Node_priv,Admin_priv');
  native: FrontendRows | undefined;
  /** Answer to anything else. */
  answer: FrontendRows = { columns: [], rows: [] };

  ask(sql: string): Promise<FrontendRows> {
    this.asked.push(sql);
    if (sql === 'SHOW GRANTS') return Promise.resolve(this.grants);
    if (!/^select (?:\*|Name) from (?:jobs|tasks)\("type"="insert"\)$/.test(sql)) {
      return Promise.resolve(this.answer);
    }
    const unknown = new FrontendError(
      1105,
      'HY000',
      'errCode = 2, detailMessage = no such function',
    );
    if (this.native === undefined) return Promise.reject(unknown);
    if (!sql.startsWith('select Name')) return Promise.resolve(this.native);
    const name = this.native.columns.indexOf('Name');
    return Promise.resolve({
      columns: ['Name'],
      rows: this.native.rows.map((row) => [row[name] ?? null]),
    });
  }
}

/** Everything that job statements work with: the catalog is the real one. */
export class FakeParts implements JobParts, AsyncDisposable {
  readonly catalog: Catalog;
  readonly target = new FakeTarget();
  readonly source = new FakeSource();
  readonly settings: Settings = {
    get: (name) => this.catalog.setting(name) ?? SETTINGS[name].default,
    set: (name, value) => this.catalog.putSetting(name, value),
  };
  readonly woken: number[] = [];
  readonly logged: string[] = [];
  readonly scheduler: JobScheduler = {
    wake: (jobId) => void this.woken.push(jobId),
    stopped: () => Promise.resolve(),
  };
  readonly log = pino({ base: null }, { write: (line: string) => void this.logged.push(line) });
  readonly #directory: string;

  private constructor(catalog: Catalog, directory: string) {
    this.catalog = catalog;
    this.#directory = directory;
  }

  static async open(): Promise<FakeParts> {
    const directory = mkdtempSync(path.join(tmpdir(), 'djp-command-'));
    const keyFile = path.join(directory, 'key');
    const catalog = await Catalog.open({ directory, keyFile, taskHistoryMax: 100 });
    return new FakeParts(catalog, directory);
  }

  openSource(_job: Job, password: string): Promise<Source> {
    this.source.opened += 1;
    this.source.password = password;
    const { open } = this.source.failures;
    return open ? Promise.reject(open) : Promise.resolve(this.source);
  }

  now(): number {
    return Date.UTC(2026, 0, 2, 3, 4, 5);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.catalog[Symbol.asyncDispose]();
    rmSync(this.#directory, { recursive: true });
  }
}
