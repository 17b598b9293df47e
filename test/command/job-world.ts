import { JobCommands } from '../../src/command/job-command.ts';
import type { Parameter, Reply } from '../../src/command/commands.ts';
import { ProxyError } from '../../src/model/error.ts';
import type { Job, Task } from '../../src/model/job.ts';
import { FakeCaller, FakeParts } from './fake-parts.ts';

export const SECRET = 's3cr3t!';

/** Source properties of a MySQL job as a user writes them. */
export const SOURCE = {
  jdbc_url: 'jdbc:mysql://127.0.0.1:3306',
  driver_url: 'mysql-connector-j-8.0.31.jar',
  driver_class: 'com.mysql.cj.jdbc.Driver',
  user: 'root',
  password: SECRET,
  database: 'test',
};

export interface Written {
  readonly name?: string;
  readonly type?: string;
  /** `undefined` leaves a key out. */
  readonly source?: Record<string, string | undefined>;
  readonly target?: string;
  readonly targetProperties?: string;
  readonly job?: string;
}

export const list = (properties: Record<string, string | undefined>): string =>
  Object.entries(properties)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `"${key}" = '${value}'`)
    .join(', ');

/** A CREATE JOB statement. */
export const create = (written: Written = {}): string =>
  `CREATE JOB ${written.name ?? 'j'} ON STREAMING ${written.job ?? ''} COMMENT "my job"
  FROM ${written.type ?? 'MYSQL'} (${list({ ...SOURCE, ...written.source })})
  TO DATABASE ${written.target ?? 'db'} (${written.targetProperties ?? '"table.create.properties.replication_num" = "1"'})`;

/** What a client reads of a refusal without a number of its own. */
export const plain = (text: string): string => `1105 HY000 errCode = 2, detailMessage = ${text}`;

/** One user in front of the statements, with everything behind them. */
export class JobWorld implements AsyncDisposable {
  readonly parts: FakeParts;
  readonly caller = new FakeCaller();
  readonly commands: JobCommands;

  private constructor(parts: FakeParts) {
    this.parts = parts;
    this.commands = new JobCommands(parts);
  }

  static async open(): Promise<JobWorld> {
    return new JobWorld(await FakeParts.open());
  }

  async run(sql: string, parameters: Parameter[] = []): Promise<Reply | 'relay'> {
    const statement = this.commands.recognize(sql);
    if (statement === undefined) throw new Error(`not ours: ${sql}`);
    return await statement.execute(parameters, this.caller);
  }

  /** The error's number, state and text as a client gets them. */
  async refusal(sql: string): Promise<string> {
    try {
      await this.run(sql);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      const { errno, sqlState } = error.failure;
      return `${errno} ${sqlState} ${error.message}`;
    }
    throw new Error(`not refused: ${sql}`);
  }

  /** The only job. */
  job(): Job {
    const [job] = this.parts.catalog.jobs();
    if (job === undefined) throw new Error('no job');
    return job;
  }

  runningTask(id: number): Task {
    return {
      id,
      jobId: this.job().id,
      status: 'RUNNING',
      createTimeMs: 1,
      statistic: { scannedRows: 0, loadBytes: 0 },
      range: { kind: 'snapshot', splits: [] },
      loads: [],
    };
  }

  async setStatus(status: Job['status']): Promise<void> {
    await this.parts.catalog.changeJob(this.job().id, (job) => ({ ...job, status }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.parts[Symbol.asyncDispose]();
  }
}
