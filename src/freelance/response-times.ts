/**
 * How long replies take of late: the last hundred times in their order, and a smoothed average.
 *
 * The order is kept at all times: a new time takes the place of the oldest one and moves from there, so
 * that a percentile is one look.
 */
const WINDOW = 100;

/** Fewer times than this say nothing about the slowest of twenty. */
const ENOUGH = 20;

export class ResponseTimes {
  /** As they came, in a ring. */
  readonly #recent = new Float64Array(WINDOW);
  /** The same ones, the shortest first. */
  readonly #sorted = new Float64Array(WINDOW);
  #count = 0;
  #next = 0;

  /** What 95 of 100 did not exceed, in milliseconds; undefined until there are twenty. */
  get p95(): number | undefined {
    if (this.#count < ENOUGH) return undefined;
    return this.#sorted[Math.ceil(this.#count * 0.95) - 1];
  }

  /** @param milliseconds 0 or more */
  add(milliseconds: number): void {
    const sorted = this.#sorted;
    let at = this.#count;
    if (at < WINDOW) this.#count++;
    else at = sorted.indexOf(this.#recent[this.#next]!);
    this.#recent[this.#next] = milliseconds;
    this.#next = (this.#next + 1) % WINDOW;
    const last = this.#count - 1;
    for (; at > 0 && sorted[at - 1]! > milliseconds; at--) sorted[at] = sorted[at - 1]!;
    for (; at < last && sorted[at + 1]! < milliseconds; at++) sorted[at] = sorted[at + 1]!;
    sorted[at] = milliseconds;
  }

  /** The times, the oldest first. */
  *[Symbol.iterator](): Generator<number> {
    const oldest = this.#count < WINDOW ? 0 : this.#next;
    for (let index = 0; index < this.#count; index++) {
      yield this.#recent[(oldest + index) % WINDOW]!;
    }
  }
}

/** What a new time weighs in the average: it is forgotten by half after five more. */
const WEIGHT = 1 / 8;

/** The average with one time more; the first time is the average. */
export function smoothed(average: number | undefined, milliseconds: number): number {
  return average === undefined ? milliseconds : average + (milliseconds - average) * WEIGHT;
}
