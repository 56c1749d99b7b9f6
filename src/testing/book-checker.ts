/**
 * What must hold of whoever keeps requests for others: each is in exactly one place; what came back goes
 * first, priorities age, no client waits while another is served twice, and no queue outgrows its bound.
 */
import { itemsOf, type FairQueue } from '../core/fair-queue.ts';
import type { BookBounds, BookedRequest, RequestBook } from '../core/request-book.ts';
import { requireThat } from './violation.ts';

/** Every accepted request is in exactly one place. @param held those in the hands of workers */
export function checkConservation<Request extends BookedRequest>(
  { state }: RequestBook<Request>,
  held: () => Iterable<Request>,
): void {
  const { replied, failed, expired, cancelled } = state.ended;
  const ended = replied + failed + expired + cancelled;
  // Most steps are heartbeats of nobody at work.
  if (state.open.size + state.queues.size === 0 && state.accepted === ended) return;
  const seen = new Set<Request>();
  const see = (request: Request, expected: 'queued' | 'inFlight'): void => {
    requireThat(!seen.has(request), 'conservation', () => {
      return `request ${request.id} is in two places`;
    });
    requireThat(request.state === expected, 'conservation', () => {
      return `request ${request.id} stands where ${expected} ones do, but is ${request.state}`;
    });
    seen.add(request);
  };
  for (const queue of state.queues.values()) {
    for (const request of itemsOf(queue)) see(request, 'queued');
  }
  const queued = seen.size;
  for (const request of held()) {
    if (request.state === 'inFlight' || request.state === 'queued') see(request, 'inFlight');
  }
  requireThat(state.accepted === seen.size + ended, 'conservation', () => {
    const ends = `${replied} replied, ${failed} failed, ${expired} expired, ${cancelled} cancelled`;
    return `${state.accepted} accepted, but ${queued} queued, ${seen.size - queued} in flight, ${ends}`;
  });
  const inFlight = seen.size - queued;
  const agree = state.queued === queued && state.inFlight === inFlight;
  requireThat(agree && state.open.size === seen.size, 'conservation', () => {
    return `counted ${state.queued} and ${state.inFlight}, found ${queued} and ${inFlight}`;
  });
}

export class OrderChecker<Request extends BookedRequest> {
  readonly #bounds: BookBounds;
  readonly #book: () => RequestBook<Request>;
  /** Requests that have been given away, or put back: they go before all others. */
  readonly #returned = new WeakSet<Request>();
  /** How many requests had been served when this one was first seen in a queue. */
  readonly #entered = new WeakMap<Request, number>();
  /** How many had been served when this client was, by the level that it was served at. */
  readonly #served = new Map<string, Map<unknown, number>>();
  #count = 0;

  constructor(bounds: BookBounds, book: () => RequestBook<Request>) {
    this.#bounds = bounds;
    this.#book = book;
  }

  /** It has just left its queue, or never was in one. */
  taken(request: Request): void {
    const { line } = request;
    const queue = this.#book().state.queues.get(line);
    const isFresh = !this.#returned.has(request);
    this.#returned.add(request);
    if (isFresh && queue !== undefined) {
      this.#checkHead(queue, request);
      this.#checkLevels(queue, request);
      this.#checkClients(queue, request);
    }
    if (!isFresh) return;
    this.#count++;
    const level = levelOf(request);
    const served = this.#served.get(level) ?? new Map<unknown, number>();
    this.#served.set(level, served.set(request.owner, this.#count));
  }

  #checkHead(queue: FairQueue<Request>, request: Request): void {
    const waiting = [...freshOf(queue)].filter((other) => this.#returned.has(other));
    const [first] = [...queue.returned, ...waiting];
    requireThat(first === undefined, 'requeue at the head', () => {
      return `request ${request.id} is dispatched while ${first?.id}, which came back, waits`;
    });
  }

  /** At no other level everybody came earlier, each step of priority counted as waiting. */
  #checkLevels(queue: FairQueue<Request>, request: Request): void {
    const { priorityAgeing = 0 } = this.#bounds;
    const cameAt = (it: Request): number => it.acceptedAt - it.priority * priorityAgeing;
    const byLevel = new Map<number, Request[]>();
    for (const other of freshOf(queue)) {
      if (other.priority === request.priority) continue;
      byLevel.set(other.priority, [...(byLevel.get(other.priority) ?? []), other]);
    }
    for (const others of byLevel.values()) {
      const isLate = others.every((other) => cameAt(other) < cameAt(request));
      requireThat(!isLate, 'priorities age', () => {
        return `request ${request.id} of priority ${request.priority} goes before ${others[0]!.id} of ${others[0]!.priority}`;
      });
    }
  }

  /** Nobody of the same level has waited since before its client was served the last time. */
  #checkClients(queue: FairQueue<Request>, request: Request): void {
    const served = this.#served.get(levelOf(request));
    const lastServed = served?.get(request.owner);
    if (served === undefined || lastServed === undefined) return;
    for (const other of freshOf(queue)) {
      if (other.priority !== request.priority || other.owner === request.owner) continue;
      const waitsSince = this.#entered.get(other) ?? Infinity;
      const isFair = waitsSince >= lastServed || (served.get(other.owner) ?? -1) > lastServed;
      requireThat(isFair, 'fair to every client', () => {
        return `request ${request.id} goes before ${other.id}, whose client waits for longer`;
      });
    }
  }

  /** After each step. */
  end(): void {
    let fresh = 0;
    let bytes = 0;
    for (const queue of this.#book().state.queues.values()) {
      for (const request of queue.returned) this.#returned.add(request);
      for (const request of freshOf(queue)) {
        fresh++;
        bytes += request.bytes;
        if (!this.#entered.has(request)) this.#entered.set(request, this.#count);
      }
    }
    const { queueLimit, queueBytes } = this.#bounds;
    requireThat(fresh <= queueLimit && bytes <= queueBytes, 'bounded queue', () => {
      return `${fresh} requests of ${bytes} bytes are queued; ${queueLimit} of ${queueBytes} are allowed`;
    });
  }
}

/** Those that wait for their first worker, or stand where those do. */
function* freshOf<Request extends BookedRequest>({
  levels,
}: FairQueue<Request>): Generator<Request> {
  for (const lines of levels.values()) for (const line of lines.values()) yield* line;
}

function levelOf({ line, priority }: BookedRequest): string {
  return `${priority} ${line}`;
}
