import { afterAll, beforeAll, expect } from 'vitest';
import { ProxyError } from '../../src/model/error.ts';
import type { Position } from '../../src/model/offset.ts';
import type { TableSpec } from '../../src/model/table.ts';
import { PostgresSource } from '../../src/source/postgres/postgres-source.ts';
import type { TableSelection } from '../../src/source/source.ts';
import { available, type PostgresServer, startPostgres } from '../servers.ts';
import { postgresPrograms } from './programs.ts';
import { Replica } from './postgres-replica.ts';

export const ALL: TableSelection = { include: [], exclude: [], targets: {}, excludeColumns: {} };

/**
 * What the tests run on: the oldest version that Debian has and the newest. TEST_POSTGRES_VERSIONS=13,14,16,17 asks for others, which
 * must be where Debian's packages put them.
 */
export const POSTGRES_VERSIONS: readonly number[] = process.env['TEST_POSTGRES_VERSIONS']
  ?.split(',')
  .map(Number) ?? [15, 18];

interface OpenOptions {
  readonly jobId?: number;
  readonly user?: string;
  readonly password?: string;
  readonly slotName?: string;
  readonly publicationName?: string;
}

/** A server for all tests of a `describe`; call it there. */
export class PostgresFixture {
  readonly here: boolean;
  /** The id that the last source opened without one got. */
  job = 0;
  #server: PostgresServer | undefined;

  constructor(version: number) {
    const usual = version === 15 || version === 18;
    this.here = usual ? available(`postgres${version}`) : postgresPrograms(version) !== undefined;
    if (!usual && !this.here) {
      throw new Error(
        `Postgres ${version} was asked for and is not in /usr/lib/postgresql/${version}/bin`,
      );
    }
    beforeAll(async () => {
      const options = ['--wal_sender_timeout=3000'];
      if (this.here) this.#server = await startPostgres({ version, options });
    });
    afterAll(async () => {
      await this.#server?.[Symbol.asyncDispose]();
    });
  }

  get server(): PostgresServer {
    if (this.#server === undefined) throw new Error('the server is not started');
    return this.#server;
  }

  /** Makes a schema of the test's own, and runs `sql` in it. `name` is already escaped for quotes. */
  async schema(name: string, sql: string): Promise<void> {
    await this.server.query(`CREATE SCHEMA "${name}"; SET search_path = "${name}"; ${sql}`);
    await this.server.query('SET search_path = public');
  }

  async open(schema: string, more: OpenOptions = {}): Promise<PostgresSource> {
    const { jobId, user, password, ...names } = more;
    const { server } = this;
    return await PostgresSource.open({
      jobId: jobId ?? ++this.job,
      schema,
      target: {
        host: server.host,
        port: server.port,
        user: user ?? server.user,
        password: password ?? server.password,
        database: server.database,
      },
      ...names,
    });
  }

  /** What the slot of the last job is confirmed up to. */
  async slotLsn(): Promise<bigint> {
    const [row] = await this.server.query<{ lsn: string }>(
      `SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::text AS lsn FROM pg_replication_slots
       WHERE slot_name = 'doris_cdc_${this.job}'`,
    );
    return BigInt(row?.lsn ?? '-1');
  }
}

export function lsnOf(position: Position): bigint {
  if (position.kind !== 'postgres') throw new Error('not a position of Postgres');
  return BigInt(position.lsn);
}

/** A job from `initial`, copied: its tables, its replica, and where its stream starts. */
export async function copied(
  source: PostgresSource,
  selection: TableSelection = ALL,
): Promise<{
  readonly tables: readonly TableSpec[];
  readonly replica: Replica;
  readonly from: Position;
}> {
  const selected = await source.preflight(selection);
  const from = await source.safePosition();
  const tables = await source.mark(selected);
  const replica = new Replica();
  await replica.copy(source, tables);
  return { tables, replica, from };
}

/** What a copy of now holds. */
export async function copyOf(
  source: PostgresSource,
  tables: readonly TableSpec[],
): Promise<Replica> {
  const replica = new Replica();
  await replica.copy(source, tables, 7);
  return replica;
}

/** The ProxyError that `run` must end with. */
export async function failure(run: Promise<unknown>): Promise<ProxyError> {
  const error: unknown = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ProxyError);
  return error as ProxyError;
}
