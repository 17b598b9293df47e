/** What can be made to go wrong (doris-target.md §7 row 15). */
export interface Fault {
  /** How often it still strikes. */
  count: number;
  /** Only loads of this table; absent: all. */
  readonly table?: string;
  /** `resetAfterBody`: whether the load commits before the socket is cut. */
  readonly commit?: boolean;
  /** Delay of `slowBe`, `publishDelay`, and until a `publishTimeout` load is visible, in milliseconds. */
  readonly ms?: number;
  /** Text of `failWith`, its `[CODE]` included. */
  readonly message?: string;
}

const NAMES = [
  /** BE: the socket is cut when the first bytes of the body are in; the transaction aborts. */
  'resetDuringBody',
  /** BE: the socket is cut after the body, before any answer. */
  'resetAfterBody',
  /** BE: committed, visible after `ms`, answered at once with `Publish Timeout`. */
  'publishTimeout',
  /** BE: committed, visible and answered after `ms`. */
  'publishDelay',
  /** BE: committed and visible, answered with `Fail` and an RPC error. */
  'failAfterCommit',
  /** BE: the whole body lies in its socket before the transaction begins, until it is released. */
  'lateBegin',
  /** BE: the transaction runs until it is released, and then commits, whether the client is there or not. */
  'lateCommit',
  /** BE: the answer comes `ms` late. */
  'slowBe',
  /** BE: `-235`; the transaction aborts. */
  'tooManyVersions',
  /** BE: too many running transactions; none begins. */
  'tooManyTxns',
  /** BE: `Fail` with the text of `message`; the transaction aborts. */
  'failWith',
  /** BE: two-phase loads are refused, as a cloud cluster does for merge-on-write tables (§1.10). */
  'noTwoPhase',
  /** BE: the table is dropped just before the load commits. */
  'dropTable',
  /** FE: a TRUNCATE is cut off, and runs when it is released. */
  'lateTruncate',
  /** The BE cuts every connection and the FE finds no live BE. */
  'beDown',
  /** The FE cuts HTTP requests and refuses MySQL connections. */
  'feDown',
] as const;

export type FaultName = (typeof NAMES)[number];

/** The switches. Each strikes `count` times, then it is off. */
export class Faults {
  private readonly armed = new Map<FaultName, Fault>();
  private readonly held: (() => void)[] = [];

  /**
   * Arms `{name: {count, ...}}`; a count of 0 disarms. Names that are left out stay as they are.
   * @throws TypeError for a name or field that does not exist.
   */
  set(faults: Readonly<Record<string, Partial<Fault>>>): void {
    for (const [name, { count = 1, ...rest }] of Object.entries(faults)) {
      const known = NAMES.find((candidate) => candidate === name);
      const field = Object.keys(rest).find(
        (key) => !['table', 'commit', 'ms', 'message'].includes(key),
      );
      if (known === undefined) throw new TypeError(`no fault is called ${name}`);
      if (field !== undefined) throw new TypeError(`fault ${name} has no field ${field}`);
      if (count > 0) this.armed.set(known, { ...rest, count });
      else this.armed.delete(known);
    }
  }

  clear(): void {
    this.armed.clear();
  }

  list(): Record<string, Fault> {
    return Object.fromEntries(this.armed);
  }

  /** Whether the fault strikes now; it is used up by one. */
  take(name: FaultName, table?: string): Fault | undefined {
    const fault = this.armed.get(name);
    if (fault === undefined) return undefined;
    if (fault.table !== undefined && fault.table !== table) return undefined;
    if (--fault.count === 0) this.armed.delete(name);
    return fault;
  }

  /** Resolves when {@link release} is called. */
  hold(): Promise<void> {
    return new Promise((resolve) => {
      this.held.push(resolve);
    });
  }

  /** Lets everything go on that a fault has held back. */
  release(): void {
    for (const resume of this.held.splice(0)) resume();
  }

  /** Whether the fault is armed, without using it up. */
  isArmed(name: FaultName): boolean {
    return this.armed.has(name);
  }
}
