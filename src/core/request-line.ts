/**
 * The requests of a client that wait to be sent: those that are tried again before all others, each
 * group in its order.
 */
import { BoundedQueue, type QueueBounds } from './bounded-queue.ts';
import { Fifo } from './fifo.ts';

export class RequestLine<Item> {
  /** Plain data, for the fingerprint. */
  readonly state: { readonly again: Fifo<Item>; readonly waiting: BoundedQueue<Item> };
  readonly #bytes: number;

  /** @param bounds for those that wait for their first try */
  constructor(bounds: QueueBounds) {
    this.#bytes = bounds.bytes;
    this.state = { again: new Fifo(), waiting: new BoundedQueue(bounds) };
  }

  /** How many wait for their first try. */
  get waiting(): number {
    return this.state.waiting.size;
  }

  get size(): number {
    return this.state.waiting.size + this.state.again.size;
  }

  /** False, and nothing changed, if it does not fit. One that is larger than the bound waits alone. */
  push(item: Item, bytes: number): boolean {
    return this.state.waiting.push(item, Math.min(bytes, this.#bytes));
  }

  /** It was taken in before, and is not refused now. */
  pushAgain(item: Item): void {
    this.state.again.push(item);
  }

  /** Removes and returns who is next. */
  take(): Item | undefined {
    const next = this.#first;
    if (next !== undefined) this.delete(next);
    return next;
  }

  delete(item: Item): void {
    if (!this.state.again.delete(item)) this.state.waiting.delete(item);
  }

  /** In the order in which they are sent. */
  *[Symbol.iterator](): Generator<Item> {
    yield* this.state.again;
    yield* this.state.waiting;
  }

  get #first(): Item | undefined {
    return this.state.again.first ?? this.state.waiting.peek();
  }
}
