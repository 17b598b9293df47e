interface Load {
  readonly beganMs: number;
  readonly rows: number;
  /** While it runs, what it may drop; then what was dropped. */
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
  #loads: Load[] = [];

  /** @param ratio 0..1. */
  constructor(ratio: number, windowMs: number, now: () => number) {
    this.#ratio = ratio;
    this.#windowMs = windowMs;
    this.#now = now;
  }

  begin(rows: number): Allowance {
    const beganMs = this.#now();
    this.#loads = this.#loads.filter((load) => load.beganMs > beganMs - this.#windowMs);
    let [scanned, filtered] = [rows, 0];
    for (const load of this.#loads) {
      scanned += load.rows;
      filtered += load.filtered;
    }
    const allowed = Math.min(rows, Math.max(0, Math.floor(this.#ratio * scanned) - filtered));
    const load: Load = { beganMs, rows, filtered: allowed };
    // Nothing is kept of jobs that may not lose a row.
    if (this.#ratio > 0) this.#loads.push(load);
    return {
      // Doris divides too: half a row keeps both sides of the comparison apart.
      ratio: allowed === 0 ? 0 : Math.min(1, (allowed + 0.5) / rows),
      done: (filteredRows) => {
        load.filtered = filteredRows;
      },
      failed: () => {
        this.#loads = this.#loads.filter((other) => other !== load);
      },
    };
  }
}
