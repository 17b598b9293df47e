import { randomInt } from 'node:crypto';
import { FrontendError, type FrontendRows } from '../command/commands.ts';
import { ProxyError } from '../model/error.ts';
import { Command } from '../wire/request.ts';
import { readAnswer } from '../wire/resultset.ts';

/** The FE's answer to a question of ours; SHOW GRANTS and lists of jobs are far smaller. */
const ANSWER_BYTES_MAX = 16_777_216;

/** Limits of an exchange other than the usual ones. */
export interface ExchangeLimits {
  /** Undefined: as long as it takes, for a statement of the client's own. */
  readonly timeoutMs: number | undefined;
  readonly bytesMax: number;
}

interface Question {
  readonly bytesMax: number;
  readonly pieces: Buffer[];
  bytes: number;
  readonly resolve: (answer: Buffer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout | undefined;
}

/** What the dialogue needs from the session. */
export interface DialoguePartner {
  /** Sends a command. @throws ProxyError when the FE is gone. */
  send(payload: Buffer): void;
  /** An answer is late. It may still come and could not be told from the client's: the connection is spent. */
  late(): void;
}

/**
 * Commands of ours on the client's own FE connection, whose answers the client does not see (wire.md §2.5).
 * One at a time, and only while no answer to the client is outstanding.
 */
export class SideDialogue {
  readonly #partner: DialoguePartner;
  readonly #timeoutMs: number;
  #question: Question | undefined;
  /** Questions wait for each other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(partner: DialoguePartner, timeoutMs: number) {
    this.#partner = partner;
    this.#timeoutMs = timeoutMs;
  }

  /** The FE's bytes are for {@link take}, not for the client. */
  get open(): boolean {
    return this.#question !== undefined;
  }

  /**
   * Sends one command and returns the bytes of its whole answer.
   * @throws ProxyError when the FE is lost, late (time limit of the session) or answers with more than 16 MiB, unless `limits` says otherwise.
   */
  exchange(payload: Buffer, limits?: ExchangeLimits): Promise<Buffer> {
    const { timeoutMs, bytesMax } = limits ?? {
      timeoutMs: this.#timeoutMs,
      bytesMax: ANSWER_BYTES_MAX,
    };
    const answer = this.#turn.then(() => this.#ask(payload, timeoutMs, bytesMax));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  /**
   * Runs a statement and returns its text rows.
   * @throws FrontendError when the FE answers ERR, ProxyError as {@link exchange} does.
   */
  async ask(sql: string): Promise<FrontendRows> {
    await this.#expectInStep();
    return await this.#rows(sql);
  }

  /**
   * Answers carry no name, and an FE may send one too many (Doris answers COM_STMT_SEND_LONG_DATA, doris-target.md §4.2). Then a
   * client that sends ahead could let the rows of a query of its own be taken for the FE's word on its rights. So the FE first has to
   * repeat a number that the client cannot know.
   */
  async #expectInStep(): Promise<void> {
    const number = String(randomInt(2 ** 47));
    const { rows } = await this.#rows(`SELECT ${number}`);
    if (rows.length === 1 && rows[0]?.[0] === number) return;
    this.#partner.late();
    throw new ProxyError(
      'STATEMENT',
      'the answers of the FE do not belong to what was asked; connect again',
    );
  }

  async #rows(sql: string): Promise<FrontendRows> {
    const query = Buffer.concat([Buffer.of(Command.QUERY), Buffer.from(sql)]);
    const answer = readAnswer(await this.exchange(query));
    if (answer.kind === 'error') {
      throw new FrontendError(answer.errno, answer.sqlState, answer.message);
    }
    return answer.kind === 'table' ? answer.table : { columns: [], rows: [] };
  }

  /** Takes bytes of the FE; `complete`: the answer ends with them. */
  take(bytes: Buffer, complete: boolean): void {
    const question = this.#question;
    if (!question) return;
    question.bytes += bytes.length;
    if (question.bytes <= question.bytesMax) question.pieces.push(Buffer.from(bytes));
    if (!complete) return;
    if (question.bytes > question.bytesMax) {
      const mebibytes = question.bytesMax >> 20;
      this.fail(new ProxyError('STATEMENT', `the FE answered with more than ${mebibytes} MiB`));
      return;
    }
    this.#question = undefined;
    clearTimeout(question.timer);
    question.resolve(Buffer.concat(question.pieces));
  }

  /** There will be no answer. */
  fail(error: Error): void {
    const question = this.#question;
    if (!question) return;
    this.#question = undefined;
    clearTimeout(question.timer);
    question.reject(error);
  }

  #ask(payload: Buffer, timeoutMs: number | undefined, bytesMax: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#partner.send(payload);
      const late = (): void => {
        const seconds = Math.round((timeoutMs ?? 0) / 1000);
        this.fail(new ProxyError('STATEMENT', `the FE did not answer within ${seconds} s`));
        this.#partner.late();
      };
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
      this.#question = { pieces: [], bytes: 0, bytesMax, resolve, reject, timer };
    });
  }
}
