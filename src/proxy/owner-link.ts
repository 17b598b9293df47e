import {
  FrontendError,
  type Caller,
  type Commands,
  type FrontendRows,
  type OwnStatement,
  type Parameter,
  type Reply,
} from '../command/commands.ts';
import { ownStatement, type RunOwn } from '../command/own-statement.ts';
import { ProxyError, type FailureCode } from '../model/error.ts';

/**
 * How the processes for clients have their job statements run by the process that owns the jobs. Only that one opens the catalog: LMDB, as
 * lmdb 3.5 has it, loses committed changes when other processes open and close its file.
 *
 * A statement goes to the owner as text; what it asks the FE on its client's behalf comes back, because only the client's
 * own session may ask it (wire.md §2.5).
 */
export type ToOwner =
  | {
      readonly kind: 'run';
      readonly statement: number;
      readonly sql: string;
      readonly parameters: readonly Parameter[];
      readonly address: string;
    }
  | {
      readonly kind: 'asked';
      readonly question: number;
      readonly outcome: Outcome<FrontendRows>;
    };

export type ToClients =
  | {
      readonly kind: 'ask';
      readonly statement: number;
      readonly question: number;
      readonly sql: string;
    }
  | {
      readonly kind: 'ran';
      readonly statement: number;
      readonly outcome: Outcome<Reply | 'relay'>;
    };

/** What came of it; an error crosses as what makes it anew on the other side. */
type Outcome<T> = { readonly value: T } | { readonly failure: RemoteFailure };

type RemoteFailure =
  | { readonly kind: 'proxy'; readonly code: FailureCode; readonly message: string }
  | {
      readonly kind: 'frontend';
      readonly errno: number;
      readonly sqlState: string;
      readonly message: string;
    }
  /** A bug there is a bug here. */
  | { readonly kind: 'other'; readonly message: string };

/** The other process. Messages are cloned (structured clone); one that has ended hears nothing. */
export interface Peer<Out, In> {
  send(message: Out): void;
  listen(hear: (message: In) => void): void;
}

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Statements of one process for clients, run where the jobs are. */
export class StatementServer implements Disposable {
  readonly #clients: Peer<ToClients, ToOwner>;
  readonly #commands: Commands;
  readonly #questions = new Map<number, Waiting<FrontendRows>>();
  #asked = 0;
  #ended = false;

  constructor(clients: Peer<ToClients, ToOwner>, commands: Commands) {
    this.#clients = clients;
    this.#commands = commands;
    clients.listen((message) => {
      if (message.kind === 'asked') settle(this.#questions, message.question, message.outcome);
      else void this.#run(message);
    });
  }

  /** The process has ended: statements that wait for its clients' FE fail, as when a client has gone. */
  [Symbol.dispose](): void {
    this.#ended = true;
    for (const question of this.#questions.values()) question.reject(gone());
    this.#questions.clear();
  }

  async #run({ statement, sql, parameters, address }: ToOwner & { kind: 'run' }): Promise<void> {
    const caller: Caller = { address, ask: (question) => this.#ask(statement, question) };
    const outcome = await outcomeOf(async () => {
      const own = this.#commands.recognize(sql);
      // The same program has recognised it in the other process.
      if (own === undefined) throw new TypeError('a statement that is not ours');
      return await own.execute(parameters, caller);
    });
    this.#clients.send({ kind: 'ran', statement, outcome });
  }

  #ask(statement: number, sql: string): Promise<FrontendRows> {
    if (this.#ended) return Promise.reject(gone());
    const question = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#questions.set(question, { resolve, reject });
      this.#clients.send({ kind: 'ask', statement, question, sql });
    });
  }
}

function gone(): ProxyError {
  return new ProxyError('STATEMENT', 'The process that served the client has ended');
}

interface Running extends Waiting<Reply | 'relay'> {
  readonly caller: Caller;
}

/** The owner's commands, seen from a process for clients. */
export class OwnerCommands implements Commands {
  readonly #owner: Peer<ToOwner, ToClients>;
  readonly #running = new Map<number, Running>();
  #statements = 0;

  constructor(owner: Peer<ToOwner, ToClients>) {
    this.#owner = owner;
    owner.listen((message) => {
      if (message.kind === 'ran') settle(this.#running, message.statement, message.outcome);
      else void this.#answer(message);
    });
  }

  recognize(sql: string): OwnStatement | undefined {
    return ownStatement(sql, this.#run);
  }

  readonly #run: RunOwn = ({ sql }, parameters, caller) => {
    const statement = ++this.#statements;
    return new Promise((resolve, reject) => {
      this.#running.set(statement, { caller, resolve, reject });
      const { address } = caller;
      this.#owner.send({ kind: 'run', statement, sql, parameters, address });
    });
  };

  async #answer({ statement, question, sql }: ToClients & { kind: 'ask' }): Promise<void> {
    const caller = this.#running.get(statement)?.caller;
    if (caller === undefined) return;
    const outcome = await outcomeOf(() => caller.ask(sql));
    this.#owner.send({ kind: 'asked', question, outcome });
  }
}

function settle<T>(waiting: Map<number, Waiting<T>>, id: number, outcome: Outcome<T>): void {
  const found = waiting.get(id);
  waiting.delete(id);
  if ('value' in outcome) found?.resolve(outcome.value);
  else found?.reject(errorOf(outcome.failure));
}

async function outcomeOf<T>(run: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await run() };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

function failureOf(error: unknown): RemoteFailure {
  if (error instanceof ProxyError) {
    return { kind: 'proxy', code: error.code, message: error.message };
  }
  if (error instanceof FrontendError) {
    const { errno, sqlState, message } = error;
    return { kind: 'frontend', errno, sqlState, message };
  }
  return { kind: 'other', message: error instanceof Error ? error.message : String(error) };
}

function errorOf(failure: RemoteFailure): Error {
  if (failure.kind === 'proxy') return new ProxyError(failure.code, failure.message);
  if (failure.kind === 'other') return new Error(failure.message);
  return new FrontendError(failure.errno, failure.sqlState, failure.message);
}
