import type { Session } from './connection.ts';
import { quoteLiteral } from './sql-text.ts';

const BEGIN = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';

/**
 * How long splits share one snapshot. While it is open the server may not vacuum rows that it can see,
 * in any table; a copy of hours must not hold that for hours.
 */
const AGE_MS_MAX = 600_000;

/**
 * One exported snapshot for all readers of a copy: tables and splits read within its life show one moment of the database.
 * It is a courtesy to whoever looks at Doris during the copy, not what makes the copy right: every snapshot taken after
 * the slot will do, so a new one is taken when it is old, or was lost, and a reader that gets none reads without.
 */
export class SharedSnapshot implements AsyncDisposable {
  readonly #open: () => Promise<Session>;
  #expiry: NodeJS.Timeout | undefined;
  #current:
    | Promise<{ readonly session: Session; readonly id: string; readonly at: number }>
    | undefined;

  constructor(open: () => Promise<Session>) {
    this.#open = open;
  }

  /** Begins a transaction in `session` that sees the shared snapshot. */
  async enter(session: Session): Promise<void> {
    try {
      const id = await this.#id();
      await session.run(`${BEGIN}; SET TRANSACTION SNAPSHOT ${quoteLiteral(id)}`);
    } catch (error) {
      if (session.dead) throw error;
      // Not on a standby, no free connection, or the exporter was killed.
      await session.run('ROLLBACK');
      await session.run(BEGIN);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#expiry);
    const current = await this.#current?.catch(() => undefined);
    this.#current = undefined;
    await current?.session[Symbol.asyncDispose]();
  }

  async #id(): Promise<string> {
    const current = await this.#current?.catch(() => undefined);
    if (current !== undefined && !current.session.dead && Date.now() - current.at < AGE_MS_MAX) {
      return current.id;
    }
    await this[Symbol.asyncDispose]();
    this.#current = this.#export();
    // Also when no split asks for another one: a copy that waits for Doris must not hold the server up.
    this.#expiry = setTimeout(() => void this[Symbol.asyncDispose](), AGE_MS_MAX);
    return (await this.#current).id;
  }

  async #export(): Promise<{
    readonly session: Session;
    readonly id: string;
    readonly at: number;
  }> {
    const session = await this.#open();
    try {
      await session.run(BEGIN);
      const [row] = await session.rows<{ readonly id: string }>(
        'SELECT pg_export_snapshot() AS id',
      );
      return { session, id: row?.id ?? '', at: Date.now() };
    } catch (error) {
      session.destroy();
      throw error;
    }
  }
}
