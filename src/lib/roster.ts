/** Knows its place in a {@link Roster}, which alone sets it. */
export interface Listed {
  place: number;
}

/**
 * Who is there, where thousands come and go in a second. Not a Set: V8 makes its table anew every few additions and lets the old
 * table point to the new one. Once one of them has lived to the old generation, all later ones and all that was in
 * them survive every collection of the young generation, which then takes as long as the rest of a login.
 */
export class Roster<T extends Listed> implements Iterable<T> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** @param member of no roster. */
  add(member: T): void {
    member.place = this.#members.push(member) - 1;
  }

  has(member: T): boolean {
    return this.#members[member.place] === member;
  }

  /** Does nothing for whoever is not there. */
  delete(member: T): void {
    const last = this.#members.at(-1);
    if (last === undefined || !this.has(member)) return;
    this.#members[member.place] = last;
    last.place = member.place;
    this.#members.pop();
  }

  /** Those who are there now, whatever happens meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    return [...this.#members].values();
  }
}
