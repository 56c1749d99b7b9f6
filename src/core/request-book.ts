/**
 * The requests that somebody answers for, and the law of their conservation: every accepted request is at
 * each instant in exactly one state, and leaves it through `end` once.
 *
 *   admit ──► queued ──► in flight ──► replied | failed | expired | cancelled
 *               ▲            │
 *               └─ requeue ──┘
 */
import { Deadlines } from './deadlines.ts';
import {
  append,
  createFairQueue,
  isEmpty,
  putBack,
  remove,
  take,
  type FairQueue,
  type Queued,
} from './fair-queue.ts';
import type { Frames, Instant } from './machine.ts';
import { NumberMap } from './number-map.ts';

/** How a request can leave. */
export type RequestEnd = 'replied' | 'failed' | 'expired' | 'cancelled';

/** What the book must know of a request; a pattern adds what else it needs, in one object. */
export interface BookedRequest extends Queued {
  /** The queue it waits in; the empty one where there are no others. */
  readonly line: string;
  /** Given up when the request ends. */
  body: Frames;
  /** What it costs while it waits. */
  readonly bytes: number;
  expiresAt: Instant;
  state: 'queued' | 'inFlight' | RequestEnd;
  /** How many workers it was given to. */
  attempts: number;
}

export interface BookBounds {
  /** Requests that wait, and their bytes. */
  readonly queueLimit: number;
  readonly queueBytes: number;
  /** Milliseconds that a request may live, waiting and running. */
  readonly requestTtl: number;
  /** Milliseconds of waiting that one step of priority is worth, where there are priorities. */
  readonly priorityAgeing?: number | undefined;
}

/** What a queued request costs beside what it keeps. */
export const REQUEST_OVERHEAD = 256;

/** How much the last reply counts in the mean time between two. */
const PACE_WEIGHT = 0.1;

/** The share of a full queue that should have left before another try, and the bounds of such a wait. */
const RETRY_SHARE = 0.1;
const SHORTEST_RETRY = 10;
const LONGEST_RETRY = 10_000;

export class RequestBook<Request extends BookedRequest> {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    /** Also the id of the next request. */
    accepted: 0,
    queued: 0,
    queuedBytes: 0,
    inFlight: 0,
    ended: { replied: 0, failed: 0, expired: 0, cancelled: 0 } as Record<RequestEnd, number>,
    queues: new Map<string, FairQueue<Request>>(),
    /** All requests that have not ended. */
    open: new NumberMap<Request>(),
    /** Mean milliseconds between two replies, and when the last one was. */
    pace: 0,
    repliedAt: -Infinity,
  };
  readonly #bounds: BookBounds;
  readonly #ageing: number;
  readonly #expiries = new Deadlines<Request>();

  constructor(bounds: BookBounds) {
    this.#bounds = bounds;
    this.#ageing = bounds.priorityAgeing ?? 0;
  }

  /** When the next request expires. */
  get nextExpiry(): Instant {
    return this.#expiries.next;
  }

  /** True if so many requests, which cost so much together, may wait. */
  fits(bytes: number, count = 1): boolean {
    const { queued, queuedBytes } = this.state;
    const { queueLimit, queueBytes } = this.#bounds;
    return queued + count <= queueLimit && queuedBytes + bytes <= queueBytes;
  }

  /** When a refused request may be tried again, in milliseconds: some of the queue has left by then. */
  get retryAfter(): number {
    const { pace, repliedAt } = this.state;
    if (repliedAt === -Infinity) return LONGEST_RETRY;
    const wait = pace * this.#bounds.queueLimit * RETRY_SHARE;
    return Math.round(Math.min(LONGEST_RETRY, Math.max(SHORTEST_RETRY, wait)));
  }

  /**
   * When a request expires.
   * @param timeLeft milliseconds until nobody waits any more
   */
  expiryOf(now: Instant, timeLeft = Infinity): Instant {
    return now + Math.min(this.#bounds.requestTtl, timeLeft);
  }

  /**
   * Takes in a request that has `state.accepted` as its id: one that is queued, and fits, or one that is
   * in flight, which is given to a worker at once and never waits.
   */
  admit(request: Request): void {
    const { state } = this;
    state.accepted++;
    state.open.set(request.id, request);
    this.#expiries.set(request, request.expiresAt);
    if (request.state === 'inFlight') state.inFlight++;
    else {
      append(this.#queueOf(request.line), request);
      this.#enterQueue(request);
    }
  }

  /** The next request of a line, which is in flight from now on; it costs an attempt. */
  takeNext(line = ''): Request | undefined {
    const queue = this.state.queues.get(line);
    if (queue === undefined) return undefined;
    const request = take(queue, this.#ageing);
    if (request === undefined) return undefined;
    this.#leaveQueue(request);
    request.state = 'inFlight';
    request.attempts++;
    this.state.inFlight++;
    return request;
  }

  hasQueued(line = ''): boolean {
    return this.state.queues.has(line);
  }

  /**
   * Its worker is lost: back to the head of the queue. False if it was not in flight.
   * @param unstarted the attempt does not count
   */
  requeue(request: Request, unstarted: boolean): boolean {
    if (request.state !== 'inFlight') return false;
    this.state.inFlight--;
    request.state = 'queued';
    if (unstarted) request.attempts--;
    putBack(this.#queueOf(request.line), request);
    this.#enterQueue(request);
    return true;
  }

  /** It leaves its queue, and is in flight without a worker: somebody else has done it. */
  holdBack(request: Request): void {
    const queue = this.state.queues.get(request.line);
    if (request.state !== 'queued' || queue === undefined) return;
    remove(queue, request);
    this.#leaveQueue(request);
    request.state = 'inFlight';
    this.state.inFlight++;
  }

  /** The request leaves, once: false if it had. */
  end(request: Request, how: RequestEnd): boolean {
    const { state } = this;
    if (request.state === 'queued') {
      const queue = state.queues.get(request.line);
      if (queue !== undefined) remove(queue, request);
      this.#leaveQueue(request);
    } else if (request.state === 'inFlight') state.inFlight--;
    else return false;
    request.state = how;
    request.body = [];
    state.ended[how]++;
    state.open.delete(request.id);
    this.#expiries.delete(request);
    return true;
  }

  /** A reply has left: how long the replies before it took is what a refused client is told. */
  replied(now: Instant): void {
    const { state } = this;
    const gap = state.repliedAt === -Infinity ? 0 : now - state.repliedAt;
    state.pace += (Math.min(gap, LONGEST_RETRY) - state.pace) * PACE_WEIGHT;
    state.repliedAt = now;
  }

  /** It is waited for until then, if that is later than before. */
  prolong(request: Request, until: Instant): void {
    request.expiresAt = Math.max(request.expiresAt, until);
    this.#expiries.set(request, request.expiresAt);
  }

  /** The next request that has expired by now, or undefined. It stays until `end`. */
  nextExpired(now: Instant): Request | undefined {
    return this.#expiries.takeDue(now);
  }

  *queued(): Generator<Request> {
    for (const request of this.state.open.values()) if (request.state === 'queued') yield request;
  }

  #queueOf(line: string): FairQueue<Request> {
    let queue = this.state.queues.get(line);
    if (queue === undefined) {
      queue = createFairQueue();
      this.state.queues.set(line, queue);
    }
    return queue;
  }

  #enterQueue(request: Request): void {
    this.state.queued++;
    this.state.queuedBytes += request.bytes;
  }

  #leaveQueue(request: Request): void {
    this.state.queued--;
    this.state.queuedBytes -= request.bytes;
    const queue = this.state.queues.get(request.line);
    // A line nobody stands in leaves nothing behind: its name may be a peer's choice.
    if (queue !== undefined && isEmpty(queue)) this.state.queues.delete(request.line);
  }
}
