/**
 * The future of a simulated world: callbacks ordered by instant, and by insertion among equals.
 *
 * A binary heap over two typed arrays, so that comparing two events follows no pointer: this is the
 * innermost loop of every simulation. Cancelling is O(1): the event stays where it is, empty.
 */
import type { Instant } from '../core/machine.ts';

/** One callback in the future. */
export class ScheduledEvent {
  #callback: (() => void) | undefined;

  constructor(callback: () => void) {
    this.#callback = callback;
  }

  /** True once it has run or was cancelled. */
  get isOver(): boolean {
    return this.#callback === undefined;
  }

  /** Takes the event back; nothing happens if it is over. */
  cancel(): void {
    this.#callback = undefined;
  }

  /** Runs the callback, once. */
  run(): void {
    const callback = this.#callback;
    this.#callback = undefined;
    callback?.();
  }
}

/** The events of one world that are still to come. */
export class EventHeap {
  #at = new Float64Array(256);
  #order = new Float64Array(256);
  readonly #events: ScheduledEvent[] = [];
  #inserted = 0;

  /** How many events are held, cancelled ones included. */
  get size(): number {
    return this.#events.length;
  }

  /** When the next event is due, or `Infinity`. */
  get next(): Instant {
    while (this.#events.length > 0) {
      if (!this.#events[0]!.isOver) return this.#at[0]!;
      this.#removeFirst();
    }
    return Infinity;
  }

  push(at: Instant, event: ScheduledEvent): void {
    const events = this.#events;
    if (events.length === this.#at.length) this.#grow();
    const order = this.#inserted++;
    let index = events.length;
    events.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      // Equal instants keep their place: what was inserted before has the smaller order.
      if (this.#at[parent]! <= at) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#place(index, at, order, event);
  }

  /** Removes and returns the next event, or undefined if none is left. */
  pop(): ScheduledEvent | undefined {
    if (this.next === Infinity) return undefined;
    return this.#removeFirst();
  }

  #removeFirst(): ScheduledEvent {
    const events = this.#events;
    const first = events[0]!;
    const last = events.pop()!;
    const size = events.length;
    if (size === 0) return first;
    const at = this.#at[size]!;
    const order = this.#order[size]!;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isBefore(child + 1, this.#at[child]!, this.#order[child]!)) {
        child++;
      }
      if (!this.#isBefore(child, at, order)) break;
      this.#move(child, index);
      index = child;
    }
    this.#place(index, at, order, last);
    return first;
  }

  #isBefore(index: number, at: Instant, order: number): boolean {
    const own = this.#at[index]!;
    return own < at || (own === at && this.#order[index]! < order);
  }

  #move(from: number, to: number): void {
    this.#place(to, this.#at[from]!, this.#order[from]!, this.#events[from]!);
  }

  #place(index: number, at: Instant, order: number, event: ScheduledEvent): void {
    this.#at[index] = at;
    this.#order[index] = order;
    this.#events[index] = event;
  }

  #grow(): void {
    const at = new Float64Array(this.#at.length * 2);
    const order = new Float64Array(this.#at.length * 2);
    at.set(this.#at);
    order.set(this.#order);
    this.#at = at;
    this.#order = order;
  }
}
