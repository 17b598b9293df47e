import { refusal, SqlError } from './sql-error.ts';

export type TransactionStatus = 'PREPARE' | 'PRECOMMITTED' | 'COMMITTED' | 'VISIBLE' | 'ABORTED';

export interface Transaction {
  readonly id: number;
  readonly database: string;
  readonly label: string;
  status: TransactionStatus;
  /** When the transaction reached its end; labels are forgotten by age (doris-target.md §1.9). */
  finishTimeMs?: number;
}

/** A label that is taken; `status` tells the client what its first attempt came to (§1.7). */
export class LabelUsedError extends SqlError {
  readonly transaction: Transaction;

  constructor(transaction: Transaction) {
    super(
      1105,
      `errCode = 2, detailMessage = Label [${transaction.label}] has already been used, relate to txn [${transaction.id}]`,
    );
    this.transaction = transaction;
  }
}

export interface LabelLimits {
  /** Finished labels kept per database (`label_num_threshold`). */
  readonly labelsMax: number;
  /** Age at which a finished label is forgotten (`streaming_label_keep_max_second`). */
  readonly labelKeepMs: number;
  readonly runningMax: number;
}

const LABEL = /^[-_A-Za-z0-9:]{1,128}$/;

/** The label table of every database and the ids of transactions (§1.9, §2.6). */
export class Transactions {
  private readonly byDatabase = new Map<string, Map<string, Transaction>>();
  private readonly limits: LabelLimits;
  private readonly now: () => number;
  private lastId: number;

  /** `kept`: the visible transactions of earlier runs, oldest first; a restart aborts those that ran. */
  constructor(
    limits: LabelLimits,
    kept: readonly Transaction[] = [],
    now: () => number = Date.now,
  ) {
    this.limits = limits;
    this.now = now;
    this.lastId = kept.reduce((max, { id }) => Math.max(max, id), 1000);
    for (const transaction of kept)
      this.labels(transaction.database).set(transaction.label, transaction);
    for (const labels of this.byDatabase.values()) this.forget(labels);
  }

  private labels(database: string): Map<string, Transaction> {
    let labels = this.byDatabase.get(database);
    if (labels === undefined) this.byDatabase.set(database, (labels = new Map()));
    return labels;
  }

  /** @throws LabelUsedError, SqlError for a bad label or too many running transactions. */
  begin(database: string, label: string): Transaction {
    if (!LABEL.test(label))
      throw refusal(`Label format error. regex: ${LABEL.source}, label: ${label}`);
    const labels = this.labels(database);
    this.forget(labels);
    const earlier = labels.get(label);
    if (earlier !== undefined && earlier.status !== 'ABORTED') throw new LabelUsedError(earlier);
    const running = [...labels.values()].filter(({ status }) => status === 'PREPARE').length;
    if (running >= this.limits.runningMax)
      throw refusal(
        `current running txns on db ${database} is ${running}, larger than limit ${this.limits.runningMax}`,
      );
    const transaction: Transaction = { id: ++this.lastId, database, label, status: 'PREPARE' };
    labels.delete(label);
    labels.set(label, transaction);
    return transaction;
  }

  finish(transaction: Transaction, status: 'VISIBLE' | 'ABORTED'): void {
    transaction.status = status;
    transaction.finishTimeMs = this.now();
    this.forget(this.labels(transaction.database));
  }

  /** The transaction of a label, for the second phase of a two-phase load. */
  find(database: string, label: string): Transaction | undefined {
    return this.labels(database).get(label);
  }

  /** Answer of `get_load_state`. */
  state(database: string, label: string): TransactionStatus | 'UNKNOWN' {
    const labels = this.labels(database);
    this.forget(labels);
    return labels.get(label)?.status ?? 'UNKNOWN';
  }

  dropDatabase(database: string): void {
    this.byDatabase.delete(database);
  }

  private forget(labels: Map<string, Transaction>): void {
    const finished = [...labels.values()].filter(({ finishTimeMs }) => finishTimeMs !== undefined);
    const surplus = finished.length - this.limits.labelsMax;
    const eldest = this.now() - this.limits.labelKeepMs;
    finished.forEach((transaction, i) => {
      if (i < surplus || transaction.finishTimeMs! < eldest) labels.delete(transaction.label);
    });
  }
}
