/**
 * A first-in first-out queue of keys, each with a value if one is wanted. A key can leave from anywhere;
 * all is O(1), amortised.
 *
 * It is a Map, whose order is that of insertion, with one iterator that stays at its head: a new one for
 * each look would step over all who have left (10,000 waiting would cost microseconds each).
 */

/** In place of a key. */
const UNKNOWN = Symbol('unknown');

/** Like a Map, with its first key at hand. */
export class Fifo<Key, Value = void> implements Iterable<Key> {
  readonly #entries = new Map<Key, Value>();
  #first: Key | typeof UNKNOWN = UNKNOWN;
  /** Those behind the first, or all while that is not known. It is not asked when nobody is there. */
  #rest: MapIterator<Key> | undefined;
  /** How many left since `#rest` began, other than the first. */
  #left = 0;

  get size(): number {
    return this.#entries.size;
  }

  has(key: Key): boolean {
    return this.#entries.has(key);
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  /** The oldest key, which stays; undefined if there is none. */
  get first(): Key | undefined {
    if (this.#first !== UNKNOWN) return this.#first;
    if (this.#entries.size === 0) return undefined;
    this.#rest ??= this.#entries.keys();
    this.#first = this.#rest.next().value as Key;
    return this.#first;
  }

  /** Puts a key behind all others; one that is there keeps its place. */
  push(key: Key, value: Value): void {
    this.#entries.set(key, value);
  }

  /** Removes `key` wherever it stands; false if it is not there. */
  delete(key: Key): boolean {
    if (!this.#entries.delete(key)) return false;
    if (this.#first === key) this.#first = UNKNOWN;
    else if (++this.#left > 2 * this.#entries.size) {
      // An iterator that does not move keeps in memory what left since.
      this.#rest = undefined;
      this.#left = 0;
    }
    return true;
  }

  /** The keys in order. */
  [Symbol.iterator](): IterableIterator<Key> {
    return this.#entries.keys();
  }

  entries(): IterableIterator<[Key, Value]> {
    return this.#entries.entries();
  }

  /** The values in the order of their keys. */
  values(): IterableIterator<Value> {
    return this.#entries.values();
  }
}
