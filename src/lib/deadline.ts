import { Roster, type Listed } from './roster.ts';

/** How late a deadline may be, in milliseconds. */
const STEP_MS = 50;

const running = new Roster<Deadline>();
let clock: NodeJS.Timeout | undefined;

/** Calls those whose time has come; without any left the clock stops. */
function tick(): void {
  const now = performance.now();
  for (const deadline of running) if (deadline.at <= now) deadline.expire();
  if (running.size > 0) return;
  clearInterval(clock);
  clock = undefined;
}

/**
 * A time limit that is nearly never reached, such as that of a login: one timer is enough for all of them. Three timers of Node's
 * own took as much CPU as 5 of 100 parts of a login.
 */
export class Deadline implements Listed {
  place = 0;
  /** By `performance.now`. */
  readonly at: number;
  readonly #then: () => void;

  /** @param then called after `ms` milliseconds or up to 50 more, unless {@link clear} was. */
  constructor(ms: number, then: () => void) {
    this.at = performance.now() + ms;
    this.#then = then;
    running.add(this);
    clock ??= setInterval(tick, STEP_MS);
  }

  clear(): void {
    running.delete(this);
  }

  /** For the clock: its time has come. Does nothing if it was cleared, by another one for example. */
  expire(): void {
    if (running.has(this)) {
      running.delete(this);
      this.#then();
    }
  }
}
