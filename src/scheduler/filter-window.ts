/** The window moves in so many steps: one of hours may have a million loads. */
const STEPS = 100;

/** Loads that began within one step. */
interface Step {
  readonly beganMs: number;
  rows: number;
  /** Of a load that runs, what it may drop; then what was dropped. */
  filtered: number;
}

/** How many of its rows Doris may drop of one load. */
export interface Allowance {
  /** Share of the load's rows, 0..1. */
  readonly ratio: number;
  /** The load is in; so many rows were dropped. */
  done(filteredRows: number): void;
  /** Nothing of the load is in. */
  failed(): void;
}

/**
 * Rows that Doris may drop (`load.max_filter_ratio`): a share of all that were loaded in a window of time, not of each load (job-sql.md
 * §5.4), for a load of a stream may have one row. Doris itself drops first and then pauses the job; here a load that would go beyond the
 * share fails before a row of it is lost.
 */
export class FilterWindow {
  readonly #ratio: number;
  readonly #windowMs: number;
  readonly #now: () => number;
  /** Oldest first. */
  readonly #steps: Step[] = [];

  /** @param ratio 0..1. */
  constructor(ratio: number, windowMs: number, now: () => number) {
    this.#ratio = ratio;
    this.#windowMs = windowMs;
    this.#now = now;
  }

  begin(rows: number): Allowance {
    const step = this.#step();
    let [scanned, filtered] = [rows, 0];
    for (const each of this.#steps) {
      scanned += each.rows;
      filtered += each.filtered;
    }
    const allowed = Math.min(rows, Math.max(0, Math.floor(this.#ratio * scanned) - filtered));
    step.rows += rows;
    step.filtered += allowed;
    return {
      // Doris divides too: half a row keeps both sides of the comparison apart.
      ratio: allowed === 0 ? 0 : Math.min(1, (allowed + 0.5) / rows),
      done: (filteredRows) => {
        step.filtered += filteredRows - allowed;
      },
      failed: () => {
        step.rows -= rows;
        step.filtered -= allowed;
      },
    };
  }

  /** That of now; those before the window are forgotten. */
  #step(): Step {
    const now = this.#now();
    const old = this.#steps.findIndex(({ beganMs }) => beganMs > now - this.#windowMs);
    this.#steps.splice(0, old < 0 ? this.#steps.length : old);
    const last = this.#steps.at(-1);
    if (last !== undefined && now - last.beganMs < this.#windowMs / STEPS) return last;
    const step = { beganMs: now, rows: 0, filtered: 0 };
    this.#steps.push(step);
    return step;
  }
}
