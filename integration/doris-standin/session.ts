import { type Account, identity, seesDatabase } from './users.ts';
import { ddlError } from './sql-error.ts';
import type { SessionVariables } from './session-variables.ts';
import type { State } from './state.ts';

/** One logged-in MySQL connection. */
export interface Session {
  readonly state: State;
  readonly connectionId: number;
  readonly address: string;
  readonly loginTime: Date;
  account: Account;
  database: string | undefined;
  readonly variables: SessionVariables;
  /** Other sessions of the FE, for KILL and the process list. */
  readonly sessions: ReadonlyMap<number, Session>;
  /** The running statement, undefined when idle. */
  running: string | undefined;
  /** Aborted when the running statement is killed; a new one for each statement. */
  interrupt: AbortController;
  /** Ends the running statement or the whole connection. */
  kill(connection: boolean): void;
}

/** `[database, table]` of a table path. @throws SqlError 1046 without a database, 1105 for a foreign catalog. */
export function resolvePath(session: Session, path: readonly string[]): [string, string] {
  const [table = '', database = session.database, catalog = 'internal'] = path.toReversed();
  if (path.length > 3 || catalog !== 'internal')
    throw ddlError(1105, `Unknown catalog '${catalog}'`);
  if (database === undefined) throw ddlError(1046, 'No database selected');
  return [database, table];
}

/** `db` or `catalog.db` becomes the session's database. @throws SqlError 1049, 1044 */
export function useDatabase(session: Session, name: string): void {
  const parts = name.split('.');
  if (parts.length > 2) throw ddlError(1049, `Only one dot can be in the name: ${name}`);
  const [database = '', catalog = 'internal'] = parts.toReversed();
  if (catalog !== 'internal') throw ddlError(1049, `No catalog found with name: ${catalog}`);
  if (!session.state.catalog.has(database)) throw ddlError(1049, `Unknown database '${database}'`);
  if (!seesDatabase(session.account, database))
    throw ddlError(
      1044,
      `Access denied for user ${identity(session.account)} to database '${database}'`,
    );
  session.database = database;
}
