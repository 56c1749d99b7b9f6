/**
 * A queue of requests: first what came back from a lost worker, then by priority, and within a
 * priority one request of each client in turn, so that a client with ten thousand requests does not
 * starve one with a single request.
 *
 * Priorities age: each step is worth a fixed time of waiting. A request of priority 3 goes before one
 * of priority 0 that came up to three such times earlier, and after one that has waited longer.
 *
 * Plain data with functions, because it is part of a machine's state.
 */
import { Fifo } from './fifo.ts';
import type { Instant } from './machine.ts';

/** What a queued thing must say of itself. A smaller id was accepted earlier. */
export interface Queued {
  readonly id: number;
  /** Who is treated fairly: one line for each. */
  readonly owner: unknown;
  /** Higher goes first. */
  readonly priority: number;
  readonly acceptedAt: Instant;
}

/** A line an owner, in the order in which the owners are served next. */
type Lines<Item extends Queued> = Fifo<unknown, Fifo<Item>>;

export interface FairQueue<Item extends Queued> {
  /** Put back, oldest first; these go before all others. */
  readonly returned: Item[];
  readonly levels: Map<number, Lines<Item>>;
  size: number;
}

export function createFairQueue<Item extends Queued>(): FairQueue<Item> {
  return { returned: [], levels: new Map(), size: 0 };
}

export function isEmpty(queue: FairQueue<Queued>): boolean {
  return queue.size === 0;
}

export function append<Item extends Queued>(queue: FairQueue<Item>, item: Item): void {
  queue.size++;
  let lines = queue.levels.get(item.priority);
  if (lines === undefined) queue.levels.set(item.priority, (lines = new Fifo()));
  let line = lines.get(item.owner);
  if (line === undefined) lines.push(item.owner, (line = new Fifo()));
  line.push(item);
}

/** Back to the head, in the order of acceptance among those that came back. */
export function putBack<Item extends Queued>(queue: FairQueue<Item>, item: Item): void {
  queue.size++;
  queue.returned.splice(placeIn(queue.returned, item), 0, item);
}

/**
 * Removes and returns the next one to serve.
 * @param ageing milliseconds of waiting that one step of priority is worth
 */
export function take<Item extends Queued>(
  queue: FairQueue<Item>,
  ageing: number,
): Item | undefined {
  if (queue.size > 0) queue.size--;
  const returned = queue.returned.shift();
  if (returned !== undefined) return returned;
  const lines = nextLevel(queue, ageing);
  if (lines === undefined) return undefined;
  const line = lines.get(lines.first)!;
  const next = line.first!;
  line.delete(next);
  // The owner goes to the end of the round.
  if (line.size === 0 || lines.size > 1) lines.delete(next.owner);
  if (line.size > 0) lines.push(next.owner, line);
  else if (lines.size === 0) queue.levels.delete(next.priority);
  return next;
}

/** Removes one from wherever it stands; false if it is not there. */
export function remove<Item extends Queued>(queue: FairQueue<Item>, item: Item): boolean {
  const index = placeIn(queue.returned, item);
  if (queue.returned[index] === item) {
    queue.returned.splice(index, 1);
    queue.size--;
    return true;
  }
  const lines = queue.levels.get(item.priority);
  const line = lines?.get(item.owner);
  if (lines === undefined || line === undefined || !line.delete(item)) return false;
  if (line.size === 0) lines.delete(item.owner);
  if (lines.size === 0) queue.levels.delete(item.priority);
  queue.size--;
  return true;
}

export function* itemsOf<Item extends Queued>(queue: FairQueue<Item>): Generator<Item> {
  yield* queue.returned;
  for (const lines of queue.levels.values()) for (const line of lines.values()) yield* line;
}

/** The level whose first came earliest, each step of priority counted as waiting. */
function nextLevel<Item extends Queued>(
  { levels }: FairQueue<Item>,
  ageing: number,
): Lines<Item> | undefined {
  let best: Lines<Item> | undefined;
  let bestAt = Infinity;
  for (const lines of levels.values()) {
    const { acceptedAt, priority } = lines.get(lines.first)!.first!;
    const cameAt = acceptedAt - priority * ageing;
    if (best !== undefined && cameAt >= bestAt) continue;
    best = lines;
    bestAt = cameAt;
  }
  return best;
}

/** Where an item stands in the order of acceptance, or would stand. */
function placeIn<Item extends Queued>(items: readonly Item[], { id }: Item): number {
  let from = 0;
  let to = items.length;
  // Most come back in order.
  if (to > 0 && items[to - 1]!.id < id) return to;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (items[middle]!.id < id) from = middle + 1;
    else to = middle;
  }
  return from;
}
