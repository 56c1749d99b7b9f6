/**
 * The queue of one service: first what came back from a lost worker, then by priority, and within a
 * priority one request of each client in turn, so that a client with ten thousand requests does not
 * starve one with a single request.
 *
 * Priorities age: each step is worth a fixed time of waiting. A request of priority 3 goes before one
 * of priority 0 that came up to three such times earlier, and after one that has waited longer.
 *
 * Plain data with functions, because it is part of a machine's state.
 */
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
type Lines<Item extends Queued> = Map<unknown, Set<Item>>;

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
  if (lines === undefined) queue.levels.set(item.priority, (lines = new Map()));
  const line = lines.get(item.owner);
  if (line === undefined) lines.set(item.owner, new Set([item]));
  else line.add(item);
}

/** Back to the head, in the order of acceptance among those that came back. */
export function putBack<Item extends Queued>(queue: FairQueue<Item>, item: Item): void {
  queue.size++;
  const later = queue.returned.findIndex((other) => other.id > item.id);
  queue.returned.splice(later === -1 ? queue.returned.length : later, 0, item);
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
  const next = firstOfLevels(queue, ageing);
  if (next === undefined) return undefined;
  const lines = queue.levels.get(next.priority)!;
  const line = lines.get(next.owner)!;
  line.delete(next);
  // The owner goes to the end of the round.
  lines.delete(next.owner);
  if (line.size > 0) lines.set(next.owner, line);
  else if (lines.size === 0) queue.levels.delete(next.priority);
  return next;
}

/** Removes one from wherever it stands; false if it is not there. */
export function remove<Item extends Queued>(queue: FairQueue<Item>, item: Item): boolean {
  const index = queue.returned.indexOf(item);
  if (index >= 0) {
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

/** Of the first of each level the one that came earliest, each step of priority counted as waiting. */
function firstOfLevels<Item extends Queued>(
  queue: FairQueue<Item>,
  ageing: number,
): Item | undefined {
  let best: Item | undefined;
  let bestAt = Infinity;
  for (const [priority, lines] of queue.levels) {
    const [line] = lines.values();
    const [first] = line!;
    const cameAt = first!.acceptedAt - priority * ageing;
    if (best !== undefined && cameAt >= bestAt) continue;
    best = first;
    bestAt = cameAt;
  }
  return best;
}
