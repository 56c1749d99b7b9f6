/**
 * When to wake: a set of keys, each with one instant, and the earliest of them in one number.
 *
 * An indexed binary heap: `set`, `delete` O(log n), `next` O(1). Keys are objects, and each remembers
 * its own place, so that nothing has to be looked up: a key may be in one set at a time.
 * Ties leave in the order of insertion, so that equal inputs give equal outputs.
 */
import type { Instant } from './machine.ts';

interface Entry<Key> {
  readonly key: Key;
  at: Instant;
  order: number;
  /** Where it stands in the heap; -1 while it does not. */
  index: number;
}

/** Where a key keeps its entry. A symbol: no part of its plain data. */
const ENTRY = Symbol('deadline');

/** What can have a deadline. */
export interface Due {
  [ENTRY]?: Entry<unknown>;
}

export class Deadlines<Key extends object> {
  readonly #heap: Entry<Key>[] = [];
  #order = 0;

  /** The earliest instant, or `Infinity`. */
  get next(): Instant {
    return this.#heap[0]?.at ?? Infinity;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** When `key` is due, or `Infinity` if it is not set. */
  at(key: Key): Instant {
    const entry = entryOf(key);
    return entry === undefined || entry.index < 0 ? Infinity : entry.at;
  }

  /** Sets or moves the instant of `key`; `Infinity` removes it. */
  set(key: Key, at: Instant): void {
    if (at === Infinity) {
      this.delete(key);
      return;
    }
    let entry = entryOf(key);
    if (entry === undefined) {
      entry = { key, at, order: 0, index: -1 };
      (key as Due)[ENTRY] = entry;
    }
    entry.at = at;
    entry.order = this.#order++;
    if (entry.index < 0) {
      entry.index = this.#heap.length;
      this.#heap.push(entry);
    }
    this.#rise(entry);
    this.#sink(entry);
  }

  delete(key: Key): void {
    const entry = entryOf(key);
    if (entry === undefined || entry.index < 0) return;
    const { index } = entry;
    entry.index = -1;
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#place(last, index);
    this.#rise(last);
    this.#sink(last);
  }

  /** Removes and returns the first key that is due at `now`, or undefined. */
  takeDue(now: Instant): Key | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.delete(first.key);
    return first.key;
  }

  #place(entry: Entry<Key>, index: number): void {
    entry.index = index;
    this.#heap[index] = entry;
  }

  #rise(entry: Entry<Key>): void {
    let index = entry.index;
    while (index > 0) {
      const parent = this.#heap[(index - 1) >> 1]!;
      if (!isBefore(entry, parent)) break;
      const above = parent.index;
      this.#place(parent, index);
      index = above;
    }
    this.#place(entry, index);
  }

  #sink(entry: Entry<Key>): void {
    let index = entry.index;
    for (;;) {
      const left = this.#heap[2 * index + 1];
      if (left === undefined) break;
      const right = this.#heap[2 * index + 2];
      const child = right !== undefined && isBefore(right, left) ? right : left;
      if (!isBefore(child, entry)) break;
      const below = child.index;
      this.#place(child, index);
      index = below;
    }
    this.#place(entry, index);
  }
}

function entryOf<Key extends object>(key: Key): Entry<Key> | undefined {
  return (key as Due)[ENTRY] as Entry<Key> | undefined;
}

function isBefore<Key>(a: Entry<Key>, b: Entry<Key>): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
