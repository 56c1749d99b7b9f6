/**
 * The queue of one service: first what came back from a lost worker, then one request of each client
 * in turn, so that a client with ten thousand requests does not starve one with a single request.
 *
 * Plain data with functions, because it is part of a machine's state.
 */
import type { Address } from '../core/machine.ts';

/** What a queued thing must say of itself. A smaller id was accepted earlier. */
export interface Queued {
  readonly id: number;
  readonly client: Address;
}

export interface FairQueue<Item extends Queued> {
  /** Put back, oldest first; these go before all others. */
  readonly returned: Item[];
  /** A line a client, in the order in which the clients are served next. */
  readonly lines: Map<Address, Set<Item>>;
  size: number;
}

export function createFairQueue<Item extends Queued>(): FairQueue<Item> {
  return { returned: [], lines: new Map(), size: 0 };
}

export function isEmpty(queue: FairQueue<Queued>): boolean {
  return queue.size === 0;
}

export function append<Item extends Queued>(queue: FairQueue<Item>, item: Item): void {
  queue.size++;
  const line = queue.lines.get(item.client);
  if (line === undefined) queue.lines.set(item.client, new Set([item]));
  else line.add(item);
}

/** Back to the head, in the order of acceptance among those that came back. */
export function putBack<Item extends Queued>(queue: FairQueue<Item>, item: Item): void {
  queue.size++;
  const later = queue.returned.findIndex((other) => other.id > item.id);
  queue.returned.splice(later === -1 ? queue.returned.length : later, 0, item);
}

/** Removes and returns the next one to serve. */
export function take<Item extends Queued>(queue: FairQueue<Item>): Item | undefined {
  if (queue.size > 0) queue.size--;
  const returned = queue.returned.shift();
  if (returned !== undefined) return returned;
  for (const [client, line] of queue.lines) {
    const [first] = line;
    line.delete(first!);
    // The client goes to the end of the round.
    queue.lines.delete(client);
    if (line.size > 0) queue.lines.set(client, line);
    return first;
  }
  return undefined;
}

/** Removes one from wherever it stands; false if it is not there. */
export function remove<Item extends Queued>(queue: FairQueue<Item>, item: Item): boolean {
  const index = queue.returned.indexOf(item);
  if (index >= 0) {
    queue.returned.splice(index, 1);
    queue.size--;
    return true;
  }
  const line = queue.lines.get(item.client);
  if (line === undefined || !line.delete(item)) return false;
  if (line.size === 0) queue.lines.delete(item.client);
  queue.size--;
  return true;
}

export function* itemsOf<Item extends Queued>(queue: FairQueue<Item>): Generator<Item> {
  yield* queue.returned;
  for (const line of queue.lines.values()) yield* line;
}
