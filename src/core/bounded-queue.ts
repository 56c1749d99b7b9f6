/**
 * A first-in first-out queue bounded in count and in bytes. It never drops: `push` refuses.
 *
 * Removal from the middle (a cancelled or expired item) is O(1) too.
 */
import { Fifo } from './fifo.ts';

export interface QueueBounds {
  /** How many items it holds at most. */
  readonly limit: number;
  /** How many bytes its items may have together. */
  readonly bytes: number;
}

export class BoundedQueue<Item> {
  readonly #bounds: QueueBounds;
  readonly #items = new Fifo<Item, number>();
  #bytes = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#items.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** False, and nothing changed, if the item does not fit. */
  push(item: Item, bytes: number): boolean {
    if (this.#items.size >= this.#bounds.limit || this.#bytes + bytes > this.#bounds.bytes) {
      return false;
    }
    this.#items.push(item, bytes);
    this.#bytes += bytes;
    return true;
  }

  /** The oldest item, which stays. */
  peek(): Item | undefined {
    return this.#items.first;
  }

  /** Removes and returns the oldest item. */
  shift(): Item | undefined {
    const item = this.peek();
    if (item !== undefined) this.delete(item);
    return item;
  }

  /** Removes `item` wherever it stands; false if it is not there. */
  delete(item: Item): boolean {
    const bytes = this.#items.get(item);
    if (bytes === undefined) return false;
    this.#items.delete(item);
    this.#bytes -= bytes;
    return true;
  }

  [Symbol.iterator](): IterableIterator<Item> {
    return this.#items[Symbol.iterator]();
  }
}
