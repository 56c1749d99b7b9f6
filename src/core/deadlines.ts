/**
 * When to wake: a set of keys, each with one instant, and the earliest of them in one number.
 *
 * An indexed binary heap: `set`, `delete` O(log n), `next` O(1). Keys are compared by identity.
 * Ties leave in the order of insertion, so that equal inputs give equal outputs.
 */
import type { Instant } from './machine.ts';

interface Entry<Key> {
  readonly key: Key;
  at: Instant;
  order: number;
  index: number;
}

export class Deadlines<Key> {
  readonly #entries = new Map<Key, Entry<Key>>();
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
    return this.#entries.get(key)?.at ?? Infinity;
  }

  /** Sets or moves the instant of `key`; `Infinity` removes it. */
  set(key: Key, at: Instant): void {
    if (at === Infinity) {
      this.delete(key);
      return;
    }
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const added = { key, at, order: this.#order++, index: this.#heap.length };
      this.#entries.set(key, added);
      this.#heap.push(added);
      this.#rise(added);
      return;
    }
    entry.at = at;
    entry.order = this.#order++;
    this.#rise(entry);
    this.#sink(entry);
  }

  delete(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#place(last, entry.index);
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

function isBefore<Key>(a: Entry<Key>, b: Entry<Key>): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
