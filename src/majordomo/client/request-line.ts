/**
 * The requests of a client that wait to be sent: those that are tried again before all others, each
 * group in its order. Those that need express are passed over while the broker speaks plain MDP.
 */
import { BoundedQueue, type QueueBounds } from '../../core/bounded-queue.ts';

interface Waiting {
  readonly needsExpress: boolean;
}

export class RequestLine<Item extends Waiting> {
  /** Plain data, for the fingerprint. */
  readonly state: {
    readonly again: Set<Item>;
    readonly waiting: BoundedQueue<Item>;
    /** Of both, those that any broker can be asked. */
    readonly plainAgain: Set<Item>;
    readonly plainWaiting: Set<Item>;
  };

  readonly #bytes: number;

  constructor(bounds: QueueBounds) {
    this.#bytes = bounds.bytes;
    this.state = {
      again: new Set(),
      waiting: new BoundedQueue(bounds),
      plainAgain: new Set(),
      plainWaiting: new Set(),
    };
  }

  /** How many wait for their first try. */
  get waiting(): number {
    return this.state.waiting.size;
  }

  get isEmpty(): boolean {
    return this.state.waiting.size === 0 && this.state.again.size === 0;
  }

  /** False, and nothing changed, if it does not fit. One that is larger than the bound waits alone. */
  push(item: Item, bytes: number): boolean {
    if (!this.state.waiting.push(item, Math.min(bytes, this.#bytes))) return false;
    if (!item.needsExpress) this.state.plainWaiting.add(item);
    return true;
  }

  /** It was taken in before, and is not refused now. */
  pushAgain(item: Item): void {
    this.state.again.add(item);
    if (!item.needsExpress) this.state.plainAgain.add(item);
  }

  /** Removes and returns who is next; in plain MDP only those that it can carry. */
  take(express: boolean): Item | undefined {
    const { again, waiting, plainAgain, plainWaiting } = this.state;
    const next = first(express ? again : plainAgain) ?? first(express ? waiting : plainWaiting);
    if (next !== undefined) this.delete(next);
    return next;
  }

  delete(item: Item): void {
    const { again, waiting, plainAgain, plainWaiting } = this.state;
    if (!again.delete(item)) waiting.delete(item);
    if (item.needsExpress) return;
    if (!plainAgain.delete(item)) plainWaiting.delete(item);
  }

  /** Removes and returns those that plain MDP cannot carry. */
  takeNeedingExpress(): readonly Item[] {
    const { again, waiting, plainAgain, plainWaiting } = this.state;
    if (again.size === plainAgain.size && waiting.size === plainWaiting.size) return NONE;
    const needing = [...again, ...waiting].filter((item) => item.needsExpress);
    for (const item of needing) this.delete(item);
    return needing;
  }
}

const NONE: readonly never[] = [];

function first<Item>(items: Iterable<Item>): Item | undefined {
  for (const item of items) return item;
  return undefined;
}
