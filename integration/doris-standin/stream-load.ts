import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { basicCredentials } from './http-auth.ts';
import { readLoadBody } from './load-body.ts';
import {
  checkFraming,
  failure,
  headerReader,
  LoadFailure,
  readLoadOptions,
} from './load-headers.ts';
import { SqlError } from './sql-error.ts';
import type { State } from './state.ts';
import { TableLoad } from './table-load.ts';
import { LabelUsedError, type Transaction } from './transactions.ts';
import { holds, identity } from './users.ts';

/** What the answer says (doris-target.md §1.6); fields that are missing are 0 or empty. */
interface Outcome {
  status: 'Success' | 'Publish Timeout' | 'Label Already Exists' | 'Fail';
  message: string;
  existingJobStatus?: string;
  totalRows?: number;
  loadedRows?: number;
  filteredRows?: number;
  errorUrl?: string;
  firstError?: string;
}

/** The socket is cut instead of an answer. */
class Cut extends Error {}

/** One `PUT /api/{db}/{table}/_stream_load` at the BE: header phase, body, commit, answer (§1.4). */
export class StreamLoad {
  private readonly state: State;
  private readonly request: IncomingMessage;
  private readonly socket: Socket;
  private readonly response: ServerResponse;
  private readonly database: string;
  private readonly table: string;
  private readonly label: string;
  /** Keeps the text of bad rows, returns its URL. */
  private readonly keepErrors: (text: string) => string;
  private readonly startedMs = performance.now();
  private transaction: Transaction | undefined;
  private bytes = 0;
  private twoPhase = false;

  constructor(
    state: State,
    request: IncomingMessage,
    response: ServerResponse,
    database: string,
    table: string,
    keepErrors: (text: string) => string,
  ) {
    this.state = state;
    this.request = request;
    // Node takes the socket from a request that is destroyed, before it has closed it.
    this.socket = request.socket;
    this.response = response;
    this.database = database;
    this.table = table;
    this.keepErrors = keepErrors;
    this.label = headerReader(request.headers)('label') ?? randomUUID();
  }

  /** `proceed` sends `100 Continue` when the client waits for it; it is called only if the headers are accepted. */
  async run(proceed: () => void): Promise<void> {
    try {
      const outcome = await this.attempt(proceed);
      if (outcome !== undefined) await this.reply(outcome);
    } catch (error) {
      if (this.transaction?.status === 'PREPARE' || this.transaction?.status === 'COMMITTED')
        this.state.transactions.finish(this.transaction, 'ABORTED');
      if (this.response.writableEnded) return;
      const gone = this.request.destroyed && !this.request.complete;
      if (!gone && !(error instanceof Cut)) return this.reply(failed(error));
      this.record({ status: 'Fail', message: 'the connection was cut' });
      this.socket.destroy();
    }
  }

  private async reply(outcome: Outcome): Promise<void> {
    this.record(outcome);
    await this.delay('slowBe');
    this.response.setHeader('content-type', 'application/json');
    this.response.end(`${JSON.stringify(this.answer(outcome), undefined, 4)}\n`);
  }

  private async delay(name: 'slowBe' | 'publishDelay'): Promise<void> {
    const fault = this.state.faults.take(name, this.table);
    if (fault !== undefined) await sleep(fault.ms ?? 1000);
  }

  private async attempt(proceed: () => void): Promise<Outcome | undefined> {
    const { request, state } = this;
    const credentials = basicCredentials(request.headers.authorization);
    if (credentials === undefined) throw failure('NOT_AUTHORIZED', 'no valid Basic authorization');
    const { gzip } = checkFraming(request.headers);
    const body = await this.arrived();
    const transaction = this.begin(credentials);
    const options = readLoadOptions(headerReader(request.headers), {
      stringBytesMax: state.settings.stringBytesMax,
      pick: state.pick,
    });
    this.twoPhase = options.twoPhase;
    if (this.twoPhase && state.faults.take('noTwoPhase', this.table))
      throw failure('NOT_IMPLEMENTED_ERROR', 'stream load 2pc is unsupported for mow table');
    const table = state.catalog.table(this.database, this.table);
    await using load = await TableLoad.open(state.store, table, options);
    proceed();
    await readLoadBody(body, gzip, load, (bytes) => {
      this.bytes += bytes;
      if (state.faults.take('resetDuringBody', this.table)) throw new Cut();
    });
    const total = load.loadedRows + load.filteredRows;
    if (total > 0 && load.filteredRows / total > options.filterRatioMax)
      return this.tooManyBad(load);
    if (state.faults.take('tooManyVersions', this.table))
      throw failure(
        'E-235',
        `TStatus: errCode = 2, detailMessage = failed to init rowset builder. tablet id: 10011, error: [E-235]version count 2001 exceeds limit 2000, -235`,
      );
    const refused = state.faults.take('failWith', this.table);
    if (refused !== undefined) throw new LoadFailure(refused.message ?? '[INTERNAL_ERROR]failWith');
    if (this.twoPhase) {
      // Held back until the second phase, of which only the abort is modelled: the rows may go at once.
      transaction.status = 'PRECOMMITTED';
      return {
        status: 'Success',
        message: 'OK',
        loadedRows: load.loadedRows,
        filteredRows: load.filteredRows,
      };
    }
    if (state.faults.take('lateCommit', this.table)) await state.faults.hold();
    const reset = state.faults.take('resetAfterBody', this.table);
    if (reset !== undefined && reset.commit !== true) throw new Cut();
    const outcome = await this.commit(load, transaction);
    if (reset !== undefined) throw new Cut();
    if (state.faults.take('failAfterCommit', this.table))
      throw failure(
        'THRIFT_RPC_ERROR',
        'failed to call frontend service, FE address=127.0.0.1:9020, reason=EAGAIN (timed out)',
      );
    return outcome;
  }

  /** The body as it comes; or, long after it came, from where it has been waiting. */
  private async arrived(): Promise<AsyncIterable<Buffer>> {
    const { faults } = this.state;
    if (faults.take('lateBegin', this.table) === undefined) return this.request;
    const held = await buffer(this.request);
    await faults.hold();
    return Readable.from([held], { objectMode: false });
  }

  /** What the master FE checks when a transaction begins: user, table, LOAD, label, limit. */
  private begin({ user, password }: { user: string; password: string }): Transaction {
    const { catalog, faults, transactions, users } = this.state;
    const address = this.socket.remoteAddress ?? '';
    const account = users.authenticatePlain(user, address, password);
    if (account === undefined)
      throw failure(
        'NOT_AUTHORIZED',
        `TStatus: errCode = 2, detailMessage = Access denied for user '${user}@${address}' (using password: ${password === '' ? 'NO' : 'YES'})`,
      );
    if (!catalog.databases.has(this.database))
      throw failure(
        'ANALYSIS_ERROR',
        `TStatus: errCode = 2, detailMessage = unknown database, database=${this.database}`,
      );
    if (!catalog.databases.get(this.database)!.tables.has(this.table))
      throw failure(
        'ANALYSIS_ERROR',
        `TStatus: errCode = 2, detailMessage = unknown table, tableName=${this.table}`,
      );
    if (!holds(account, 'Load_priv', this.database, this.table))
      throw failure(
        'NOT_AUTHORIZED',
        `TStatus: errCode = 2, detailMessage = LOAD command denied to user ${identity(account)} for table '${this.table}'`,
      );
    if (faults.take('tooManyTxns', this.table))
      throw failure(
        'INTERNAL_ERROR',
        `TStatus: errCode = 2, detailMessage = current running txns on db ${this.database} is 10000, larger than limit 10000`,
      );
    this.transaction = transactions.begin(this.database, this.label);
    return this.transaction;
  }

  private async commit(load: TableLoad, transaction: Transaction): Promise<Outcome | undefined> {
    const { faults, catalog } = this.state;
    const database = catalog.database(this.database);
    if (faults.take('dropTable', this.table)) database.tables.delete(this.table);
    const late = faults.take('publishTimeout', this.table);
    const counts = { loadedRows: load.loadedRows, filteredRows: load.filteredRows };
    const errors = this.errorLog(load);
    const published = this.state.inCommitOrder(load.table, async () => {
      if (database.tables.get(load.table.name) === load.table) transaction.status = 'COMMITTED';
      if (late !== undefined) await sleep(late.ms ?? 1000);
      await this.delay('publishDelay');
      await this.state.publish(database, load, transaction);
    });
    if (late === undefined) {
      await published;
      return { status: 'Success', message: 'OK', ...counts, ...errors };
    }
    // The load's connection must live until it is published, so the answer goes out ahead of this method's end.
    await this.reply({
      status: 'Publish Timeout',
      message: '[PUBLISH_TIMEOUT]transaction commit successfully, BUT data will be visible later',
      ...counts,
      ...errors,
    });
    await published;
    return undefined;
  }

  private tooManyBad(load: TableLoad): Outcome {
    this.state.transactions.finish(this.transaction!, 'ABORTED');
    return {
      status: 'Fail',
      message: '[DATA_QUALITY_ERROR]too many filtered rows',
      totalRows: load.loadedRows + load.filteredRows,
      filteredRows: load.filteredRows,
      ...this.errorLog(load),
    };
  }

  private errorLog(load: TableLoad): { errorUrl?: string; firstError?: string } {
    const [first] = load.badRows;
    if (first === undefined) return {};
    return { errorUrl: this.keepErrors(load.badRows.join('\n')), firstError: first };
  }

  private record(outcome: Outcome): void {
    const { existingJobStatus } = outcome;
    this.state.record({
      label: this.label,
      database: this.database,
      table: this.table,
      txnId: this.transaction?.id ?? -1,
      status: outcome.status,
      ...(existingJobStatus === undefined ? {} : { existingJobStatus }),
      message: outcome.message,
      rows: outcome.loadedRows ?? 0,
      filteredRows: outcome.filteredRows ?? 0,
      bytes: this.bytes,
    });
  }

  private answer(outcome: Outcome): Record<string, string | number> {
    const { loadedRows = 0, filteredRows = 0 } = outcome;
    const elapsedMs = Math.round(performance.now() - this.startedMs);
    return {
      TxnId: this.transaction?.id ?? -1,
      Label: this.label,
      Comment: headerReader(this.request.headers)('comment') ?? '',
      TwoPhaseCommit: String(this.twoPhase),
      Status: outcome.status,
      ...(outcome.existingJobStatus === undefined
        ? {}
        : { ExistingJobStatus: outcome.existingJobStatus }),
      Message: outcome.message,
      NumberTotalRows: outcome.totalRows ?? loadedRows + filteredRows,
      NumberLoadedRows: loadedRows,
      NumberFilteredRows: filteredRows,
      NumberUnselectedRows: 0,
      LoadBytes: this.bytes,
      LoadTimeMs: elapsedMs,
      BeginTxnTimeMs: 0,
      StreamLoadPutTimeMs: 0,
      ReadDataTimeMs: 0,
      WriteDataTimeMs: elapsedMs,
      ReceiveDataTimeMs: 0,
      CommitAndPublishTimeMs: 0,
      ...(outcome.errorUrl === undefined ? {} : { ErrorURL: outcome.errorUrl }),
      ...(outcome.status !== 'Fail' || outcome.firstError === undefined
        ? {}
        : { FirstErrorMsg: outcome.firstError }),
    };
  }
}

function failed(error: unknown): Outcome {
  if (error instanceof LabelUsedError) {
    const { status } = error.transaction;
    const existing = { PREPARE: 'RUNNING', PRECOMMITTED: 'PRECOMMITTED' } as Record<string, string>;
    return {
      status: 'Label Already Exists',
      existingJobStatus: existing[status] ?? 'FINISHED',
      message: `[LABEL_ALREADY_EXISTS]TStatus: ${error.message}`,
    };
  }
  if (error instanceof LoadFailure) return { status: 'Fail', message: error.message };
  if (error instanceof SqlError)
    return { status: 'Fail', message: `[ANALYSIS_ERROR]TStatus: ${error.message}` };
  throw error;
}
