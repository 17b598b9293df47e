import type { ColumnType } from '../wire/column-type.ts';

/** A reply of our own to a client: encoded by `wire/resultset.ts` in the form its connection negotiated. */
export type Reply =
  | { readonly kind: 'ok' }
  | {
      readonly kind: 'rows';
      readonly columns: readonly string[];
      /** Absent: all are strings, as in Doris (job-sql.md §3.2). */
      readonly types?: readonly ColumnType[];
      readonly rows: readonly (readonly (string | null)[])[];
    }
  /** What Doris answers to `sql`, with its own types: less than 16 MiB of text, without parameters. */
  | { readonly kind: 'rewritten'; readonly sql: string };

/** A value bound to `?` of a prepared statement, already decoded from the binary protocol. */
export type Parameter = string | number | bigint | null;

/** Rows of a text result of the FE. */
export interface FrontendRows {
  readonly columns: readonly string[];
  readonly types?: readonly ColumnType[];
  readonly rows: readonly (readonly (string | null)[])[];
}

/** The client behind a statement. Everything is asked over its own FE connection, never remembered (wire.md §2.5). */
export interface Caller {
  /** Remote address of the client, for the audit line. */
  readonly address: string;
  /**
   * Runs a statement as the caller and returns its text rows.
   * @throws FrontendError when the FE answers ERR.
   */
  ask(sql: string): Promise<FrontendRows>;
}

/** The FE refused a statement that we asked on the caller's behalf; passed on to the client as it is. */
export class FrontendError extends Error {
  override readonly name = 'FrontendError';
  readonly errno: number;
  readonly sqlState: string;

  constructor(errno: number, sqlState: string, message: string) {
    super(message);
    this.errno = errno;
    this.sqlState = sqlState;
  }
}

/** A statement that is ours, parsed. */
export interface OwnStatement {
  /** Number of `?` in it. */
  readonly parameterCount: number;
  /** Result columns when it is a query, for the answer to COM_STMT_PREPARE; empty otherwise. */
  readonly columns: readonly string[];
  /**
   * Set when the text is a batch `a; b; c` with at least one statement of ours: these run in their order, each as if it had come
   * alone, and {@link execute} is not called (wire.md §2.7). A batch cannot be prepared.
   */
  readonly batch?: readonly BatchPart[];
  /** Absent: all are strings. */
  readonly types?: readonly ColumnType[];
  /**
   * Instead of {@link columns} and {@link types}, where only Doris knows them; no columns when it does not tell. `'relay'`: it is Doris'
   * to prepare.
   */
  describe?(caller: Caller): Promise<Pick<FrontendRows, 'columns' | 'types'> | 'relay'>;
  /**
   * Runs it. `'relay'`: the statement turned out to be Doris' own (a job that only Doris has);
   * the caller sends it on unchanged.
   * @throws ProxyError or FrontendError, to be answered as ERR.
   */
  execute(parameters: readonly Parameter[], caller: Caller): Promise<Reply | 'relay'>;
}

/** One statement of a batch. */
export interface BatchPart {
  readonly sql: string;
  /** Undefined: Doris' own. */
  readonly own: OwnStatement | undefined;
}

/** What the proxy needs from the job side. */
export interface Commands {
  /**
   * Decides whether `sql` (one COM_QUERY or COM_STMT_PREPARE text) is ours. Undefined: send it to Doris byte for byte.
   * Never throws: a statement of ours with a mistake is an OwnStatement that fails when executed.
   */
  recognize(sql: string): OwnStatement | undefined;
}
