import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What a BE does with the next load. `commit` in a name: the rows are in; otherwise the transaction is aborted and
 * the label free again (doris-target.md §1.4, §1.7).
 */
export type BackendAct =
  | 'load'
  | BeforeBody
  | 'reset-after-body'
  | 'commit-then-reset'
  | 'commit-late'
  | 'abort-late'
  | 'commit-slowly'
  | 'publish-timeout'
  | 'hang'
  | { readonly status: string; readonly fields: Readonly<Record<string, unknown>> }
  | { readonly raw: string; readonly httpStatus: number };

/** What an FE does with the next load request. */
export type FrontendAct =
  | 'redirect'
  | 'reset'
  | 'to-dead-backend'
  | { readonly raw: string; readonly httpStatus?: number; readonly location?: string };

type BeforeBody = 'reset-before-body' | 'refuse-early';

export interface ReceivedLoad {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly backend: number;
}

interface Transaction {
  state: 'PREPARE' | 'COMMITTED' | 'VISIBLE' | 'ABORTED' | 'PRECOMMITTED';
  readonly id: number;
  readonly body: Buffer;
}

/** How long the `-late` and `-slowly` acts take, in milliseconds. */
const LATE_MS = 60;

/**
 * An FE and its BEs as far as Stream Load goes: redirects, labels and their transactions, and any fault at the next step,
 * scripted by {@link backend} and {@link frontend}. Once the script is empty everything works.
 */
export class FakeStreamLoad implements AsyncDisposable {
  readonly backend: BackendAct[] = [];
  readonly frontend: FrontendAct[] = [];
  /** Answers to `get_load_state` that come before the true ones: a state, or the text of an envelope. */
  readonly states: (string | { readonly raw: string })[] = [];
  /** Requests at the FE's load URL; none of them may have a body. */
  readonly asked: ReceivedLoad[] = [];
  /** Whole bodies that arrived at a BE. */
  readonly received: ReceivedLoad[] = [];
  readonly transactions = new Map<string, Transaction>();
  errorLog = '';
  /** Lines that Doris does not take: a load with one of them fails, whatever was scripted. */
  refuses: (line: string) => boolean = () => false;
  /** Whether the table has a sequence column, which a load must name (doris-target.md §2.3). */
  sequenced = false;
  #nextTxn = 1000;
  #nextBackend = 0;
  readonly #frontendServer: Server;
  readonly #backendServers: Server[];
  readonly #late = new Set<NodeJS.Timeout>();
  /** Of all BEs, those that were killed included. */
  #ports: readonly number[] = [];

  static async open(backends = 2): Promise<FakeStreamLoad> {
    const fake = new FakeStreamLoad(backends);
    for (const server of fake.#servers()) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    fake.#ports = fake.#backendServers.map(portOf);
    return fake;
  }

  private constructor(backends: number) {
    this.#frontendServer = createServer((request, response) => {
      this.#atFrontend(request, response);
    });
    // Without a listener node would answer the FE's expectation with 100, which Doris never does.
    this.#frontendServer.on(
      'checkContinue',
      (request: IncomingMessage, response: ServerResponse) => {
        this.#atFrontend(request, response);
      },
    );
    this.#backendServers = Array.from({ length: backends }, (_, index) =>
      createServer((request, response) => {
        void this.#atBackend(index, request, response);
      }),
    );
  }

  get port(): number {
    return portOf(this.#frontendServer);
  }

  backendPort(index: number): number {
    return this.#ports[index]!;
  }

  /** The BE's process dies; the FE has not noticed. */
  async kill(index: number): Promise<void> {
    await close(this.#backendServers[index]!);
  }

  /** Bodies that are in the table, in the order of their transactions. */
  committed(): Buffer[] {
    return [...this.transactions.values()]
      .filter(({ state }) => state === 'VISIBLE' || state === 'COMMITTED')
      .map(({ body }) => body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#late) clearTimeout(timer);
    await Promise.all(this.#servers().map(close));
  }

  #servers(): Server[] {
    return [this.#frontendServer, ...this.#backendServers];
  }

  #atFrontend(request: IncomingMessage, response: ServerResponse): void {
    const { url = '', headers } = request;
    if (request.method === 'GET') {
      this.#labelState(new URL(url, 'http://fe').searchParams.get('label') ?? '', response);
      return;
    }
    const isLoad = !url.endsWith('_2pc');
    if (isLoad) this.asked.push({ path: url, headers, body: Buffer.alloc(0), backend: -1 });
    const act = (isLoad ? this.frontend.shift() : undefined) ?? 'redirect';
    if (act === 'reset') {
      request.socket.destroy();
    } else if (typeof act === 'object') {
      response.writeHead(
        act.httpStatus ?? 200,
        act.location === undefined ? {} : { location: act.location },
      );
      response.end(act.raw);
    } else if (headers.expect === undefined) {
      response.end('{"status":"FAILED","msg":"There is no 100-continue header"}');
    } else {
      const port = act === 'redirect' ? this.#pickBackend() : 1;
      // As Doris does: the credentials in clear, and always a question mark.
      response.writeHead(307, {
        location: `http://root:p%40ss%2Fword@127.0.0.1:${port}${url}?`,
        connection: 'close',
      });
      response.end();
    }
  }

  #pickBackend(): number {
    return this.#ports[this.#nextBackend++ % this.#ports.length]!;
  }

  #labelState(label: string, response: ServerResponse): void {
    const scripted = this.states.shift();
    if (typeof scripted === 'object') {
      response.end(scripted.raw);
      return;
    }
    const state = scripted ?? this.transactions.get(label)?.state ?? 'UNKNOWN';
    response.end(JSON.stringify({ msg: 'success', code: 0, data: state, count: 0 }));
  }

  async #atBackend(
    index: number,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (request.method === 'GET') {
      response.end(this.errorLog);
      return;
    }
    const label = String(request.headers['label']);
    if (request.url?.endsWith('_2pc') === true) {
      const held = this.transactions.get(label);
      if (request.headers['txn_operation'] !== 'abort' || held?.state !== 'PRECOMMITTED') {
        answer(response, { status: 'ANALYSIS_ERROR', msg: 'nothing to end' });
        return;
      }
      held.state = 'ABORTED';
      answer(response, { status: 'Success', msg: 'abort successfully' });
      return;
    }
    const act = this.backend.shift() ?? 'load';
    if (act === 'reset-before-body') {
      request.socket.destroy();
      return;
    }
    const existing = this.transactions.get(label);
    if (existing !== undefined && existing.state !== 'ABORTED') {
      answer(response, alreadyExists(label, existing));
      // Doris answers in the header phase and drops the body.
      response.once('finish', () => request.socket.destroySoon());
      return;
    }
    if (act === 'refuse-early') {
      answer(response, { Status: 'Fail', TxnId: -1, Message: '[TOO_MANY_VERSION]failed, -235' });
      response.once('finish', () => request.socket.destroySoon());
      return;
    }
    const body = await readBody(request);
    if (body === undefined) return;
    this.received.push({ path: request.url ?? '', headers: request.headers, body, backend: index });
    const reason = this.#refusal(request.headers, body);
    if (reason !== undefined) {
      this.transactions.set(label, { state: 'ABORTED', id: this.#nextTxn++, body });
      answer(response, { Status: 'Fail', TxnId: -1, Message: reason });
      return;
    }
    if (request.headers['two_phase_commit'] === 'true' && act === 'load') {
      this.transactions.set(label, { state: 'PRECOMMITTED', id: this.#nextTxn++, body });
      answer(response, { ...counted(body), TwoPhaseCommit: 'true', Status: 'Success' });
      return;
    }
    this.#perform(act, label, body, request, response);
  }

  #refusal(headers: IncomingMessage['headers'], body: Buffer): string | undefined {
    const names = String(headers['hidden_columns']).includes('__DORIS_SEQUENCE_COL__');
    if (names && !this.sequenced) {
      return "[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = Unknown column '__DORIS_SEQUENCE_COL__' in 'table list'";
    }
    if (!names && this.sequenced) {
      return '[ANALYSIS_ERROR]TStatus: errCode = 2, detailMessage = Table t has sequence column, need to specify the sequence column';
    }
    const bad = body
      .toString()
      .split('\n')
      .some((line) => line !== '' && this.refuses(line));
    return bad ? '[DATA_QUALITY_ERROR]too many filtered rows' : undefined;
  }

  #perform(
    act: Exclude<BackendAct, BeforeBody>,
    label: string,
    body: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
  ): void {
    const transaction: Transaction = { state: 'PREPARE', id: this.#nextTxn++, body };
    this.transactions.set(label, transaction);
    if (typeof act === 'object' && 'raw' in act) {
      transaction.state = 'ABORTED';
      response.statusCode = act.httpStatus;
      response.end(act.raw);
      return;
    }
    if (typeof act === 'object') {
      transaction.state = 'ABORTED';
      answer(response, { TxnId: transaction.id, Label: label, Status: act.status, ...act.fields });
      return;
    }
    switch (act) {
      case 'reset-after-body':
        transaction.state = 'ABORTED';
        request.socket.destroy();
        return;
      case 'commit-then-reset':
        transaction.state = 'VISIBLE';
        request.socket.destroy();
        return;
      case 'commit-late':
      case 'abort-late':
        request.socket.destroy();
        this.#later(() => {
          transaction.state = act === 'commit-late' ? 'VISIBLE' : 'ABORTED';
        });
        return;
      case 'hang':
        return;
      case 'commit-slowly':
        this.#later(() => {
          transaction.state = 'VISIBLE';
          answer(response, { ...counted(body), TxnId: transaction.id, Status: 'Success' });
        });
        return;
      case 'publish-timeout':
        transaction.state = 'COMMITTED';
        this.#later(() => {
          transaction.state = 'VISIBLE';
        });
        answer(response, { ...counted(body), TxnId: transaction.id, Status: 'Publish Timeout' });
        return;
      case 'load':
        transaction.state = 'VISIBLE';
        answer(response, {
          ...counted(body),
          TxnId: transaction.id,
          Label: label,
          Status: 'Success',
        });
    }
  }

  #later(run: () => void): void {
    const timer = setTimeout(() => {
      this.#late.delete(timer);
      run();
    }, LATE_MS);
    this.#late.add(timer);
  }
}

function alreadyExists(label: string, { state, id }: Transaction): Record<string, unknown> {
  const job = { PREPARE: 'RUNNING', PRECOMMITTED: 'PRECOMMITTED' } as Record<string, string>;
  return {
    TxnId: -1,
    Label: label,
    Status: 'Label Already Exists',
    ExistingJobStatus: job[state] ?? 'FINISHED',
    Message: `[LABEL_ALREADY_EXISTS]Label [${label}] has already been used, relate to txn [${id}]`,
  };
}

function counted(body: Buffer): Record<string, unknown> {
  const rows = body.filter((byte) => byte === 0x0a).length;
  return {
    TwoPhaseCommit: 'false',
    Message: 'OK',
    NumberTotalRows: rows,
    NumberLoadedRows: rows,
    NumberFilteredRows: 0,
    NumberUnselectedRows: 0,
    LoadBytes: body.length,
  };
}

function answer(response: ServerResponse, fields: Record<string, unknown>): void {
  response.end(`${JSON.stringify(fields, undefined, 4)}\n`);
}

/** Undefined when the sender went away. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  } catch {
    return undefined;
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
