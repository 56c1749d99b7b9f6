/**
 * The workers that may be given work, in the order in which they get it: the least
 * loaded first, and of those that are equally loaded the one that has waited longest.
 *
 * One queue for each load, so that a worker moves in constant time. One that is alone in line does not
 * move at all: however its load changes, it is next.
 */
import { Fifo } from './fifo.ts';

export class IdleLine<Worker> {
  readonly #byLoad: Fifo<Worker>[] = [];
  /** Under which load each of them stands. */
  readonly #loads = new Map<Worker, number>();
  /** No queue below this one has anybody. */
  #lowest = 0;
  #alone: Worker | undefined;
  #loadOfAlone = 0;

  get size(): number {
    return this.#alone === undefined ? this.#loads.size : 1;
  }

  /**
   * Puts a worker behind those with the same load; one whose load is what it was keeps its place.
   * @param load how much it has in its hands
   */
  enter(worker: Worker, load: number): void {
    if (this.size === 0 || this.#alone === worker) {
      this.#alone = worker;
      this.#loadOfAlone = load;
      return;
    }
    if (this.#alone !== undefined) this.#put(this.#alone, this.#loadOfAlone);
    this.#alone = undefined;
    this.#put(worker, load);
  }

  leave(worker: Worker): void {
    if (this.#alone === worker) this.#alone = undefined;
    else if (this.#remove(worker) && this.#loads.size === 1) {
      for (const [last, load] of this.#loads) {
        this.#remove(last);
        this.enter(last, load);
      }
    }
  }

  /** Who is next; it stays in line. */
  get first(): Worker | undefined {
    if (this.#alone !== undefined) return this.#alone;
    if (this.#loads.size === 0) return undefined;
    while (this.#byLoad[this.#lowest]!.size === 0) this.#lowest++;
    return this.#byLoad[this.#lowest]!.first;
  }

  /** In the order of service: for the fingerprint. */
  *[Symbol.iterator](): Generator<Worker> {
    if (this.#alone !== undefined) yield this.#alone;
    for (const workers of this.#byLoad) yield* workers;
  }

  #put(worker: Worker, load: number): void {
    if (this.#loads.get(worker) === load) return;
    this.#remove(worker);
    while (this.#byLoad.length <= load) this.#byLoad.push(new Fifo());
    this.#byLoad[load]!.push(worker);
    this.#loads.set(worker, load);
    if (load < this.#lowest) this.#lowest = load;
  }

  #remove(worker: Worker): boolean {
    const load = this.#loads.get(worker);
    if (load === undefined) return false;
    this.#loads.delete(worker);
    this.#byLoad[load]!.delete(worker);
    return true;
  }
}
