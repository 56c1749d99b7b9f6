/**
 * The requests of a broker, and the law of their conservation: every accepted request is at each
 * instant in exactly one state, and leaves it through `end` once.
 *
 *   accept ──► queued ──► in flight ──► replied | failed | expired | cancelled
 *                ▲            │
 *                └─ requeue ──┘
 */
import { Deadlines } from '../../core/deadlines.ts';
import { sizeOf } from '../../core/frames.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import type { Broadcast } from './broadcast.ts';
import type { Client } from './clients.ts';
import type { Dialect, RequestCommand } from '../wire/commands.ts';
import {
  append,
  createFairQueue,
  isEmpty,
  putBack,
  remove,
  take,
  type FairQueue,
} from '../../core/fair-queue.ts';
import type { Dispatch } from './sessions.ts';

/** How a request can leave the broker. */
export type RequestEnd = 'replied' | 'failed' | 'expired' | 'cancelled';

/** Who is to be told how a request ends. */
export interface Waiter {
  readonly client: Client;
  readonly dialect: Dialect;
  /** Its name in `client.awaited`: in express also on the wire. */
  readonly number: number;
}

export interface PendingRequest {
  /** Ascending in the order of acceptance. */
  readonly id: number;
  /** Who first asked, for fairness; undefined for what the broker asks itself. */
  readonly owner: Client | undefined;
  /** Who waits: several under one idempotency key, nobody for what goes on unattended. */
  readonly waiters: Waiter[];
  readonly service: string;
  /** The queue it waits in: its service's, or that of the one worker it is for. */
  readonly line: string;
  /** Given up when the request ends. */
  body: Frames;
  readonly bytes: number;
  readonly headers: Uint8Array | undefined;
  readonly key: string | undefined;
  readonly priority: number;
  readonly acceptedAt: Instant;
  /** Later of all who wait. */
  expiresAt: Instant;
  /** Bytes of partial replies that may be under way; undefined if they are not sent one by one. */
  readonly window: number | undefined;
  /** It is one worker's copy of this. */
  readonly broadcast: Broadcast | undefined;
  state: 'queued' | 'inFlight' | RequestEnd;
  /** While it is in flight: in whose hands. */
  dispatch: Dispatch | undefined;
  /** How many workers it was given to. */
  attempts: number;
  /** Partial replies that have gone to the client; after the first it may not be done again. */
  partialsSent: number;
  /** Bytes of those, of which its reader has taken some: more than were sent cannot be. */
  partialsSentBytes: number;
  /** Its client has gone: it is not given to another worker. */
  orphaned: boolean;
  /** Partial replies kept for a client that takes a whole one. */
  partials: Uint8Array[] | undefined;
  partialBytes: number;
}

export interface RequestBounds {
  readonly queueLimit: number;
  readonly queueBytes: number;
  readonly requestTtl: number;
  /** Milliseconds of waiting that one step of priority is worth. */
  readonly priorityAgeing: number;
}

/** What becomes a request. */
export type NewRequest = Pick<
  RequestCommand,
  'service' | 'body' | 'headers' | 'key' | 'priority' | 'timeLeft' | 'window'
> & {
  /** Who waits for it, or for the broadcast that it belongs to. */
  readonly waiter: Waiter | undefined;
  readonly line?: string;
  readonly broadcast?: Broadcast;
};

/** What a queued request costs beside its body. */
const REQUEST_OVERHEAD = 256;

/** How much the last reply counts in the mean time between two. */
const PACE_WEIGHT = 0.1;

/** The share of a full queue that should have left before another try, and the bounds of such a wait. */
const RETRY_SHARE = 0.1;
const SHORTEST_RETRY = 10;
const LONGEST_RETRY = 10_000;

export class RequestBook {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    accepted: 0,
    queued: 0,
    queuedBytes: 0,
    inFlight: 0,
    ended: { replied: 0, failed: 0, expired: 0, cancelled: 0 } as Record<RequestEnd, number>,
    queues: new Map<string, FairQueue<PendingRequest>>(),
    /** All requests that have not ended. */
    open: new NumberMap<PendingRequest>(),
    /** Mean milliseconds between two replies, and when the last one was. */
    pace: 0,
    repliedAt: -Infinity,
  };
  readonly #bounds: RequestBounds;
  readonly #expiries = new Deadlines<PendingRequest>();

  constructor(bounds: RequestBounds) {
    this.#bounds = bounds;
  }

  /** When the next request expires. */
  get nextExpiry(): Instant {
    return this.#expiries.next;
  }

  /** True if such a request, and `copies` more that share what it keeps, may wait. */
  hasRoom(asked: Pick<NewRequest, 'body' | 'headers'>, copies = 0): boolean {
    const { queued, queuedBytes } = this.state;
    const { queueLimit, queueBytes } = this.#bounds;
    const bytes = costOf(asked) + REQUEST_OVERHEAD * (1 + copies);
    return queued + copies < queueLimit && queuedBytes + bytes <= queueBytes;
  }

  /** When a refused request may be tried again, in milliseconds: some of the queue has left by then. */
  get retryAfter(): number {
    const { pace, repliedAt } = this.state;
    if (repliedAt === -Infinity) return LONGEST_RETRY;
    const wait = pace * this.#bounds.queueLimit * RETRY_SHARE;
    return Math.round(Math.min(LONGEST_RETRY, Math.max(SHORTEST_RETRY, wait)));
  }

  /**
   * Takes a request in, with what it keeps: copy before what is borrowed. The caller has seen that
   * there is room, or `starts` it: gives it to a worker at once, so that it never waits.
   */
  accept(now: Instant, asked: NewRequest, starts = false): PendingRequest {
    const { state } = this;
    const { waiter, timeLeft, broadcast } = asked;
    // All copies of a broadcast share what the first one kept.
    const shares = broadcast !== undefined && broadcast.copies.size > 0;
    const request: PendingRequest = {
      id: state.accepted++,
      owner: waiter?.client,
      waiters: waiter === undefined || broadcast !== undefined ? [] : [waiter],
      service: asked.service,
      line: asked.line ?? asked.service,
      body: asked.body,
      bytes: (shares ? 0 : costOf(asked)) + REQUEST_OVERHEAD,
      headers: asked.headers,
      key: asked.key,
      priority: asked.priority ?? 0,
      acceptedAt: now,
      expiresAt: now + this.#lifeOf(timeLeft),
      window: asked.window,
      broadcast,
      state: starts ? 'inFlight' : 'queued',
      dispatch: undefined,
      attempts: starts ? 1 : 0,
      partialsSent: 0,
      partialsSentBytes: 0,
      orphaned: false,
      partials: undefined,
      partialBytes: 0,
    };
    state.open.set(request.id, request);
    if (request.waiters.length > 0) waiter?.client.awaited.set(waiter.number, request);
    this.#expiries.set(request, request.expiresAt);
    if (starts) state.inFlight++;
    else {
      append(this.#queueOf(request.line), request);
      this.#enterQueue(request);
    }
    return request;
  }

  /** The next request of a line, which is in flight from now on; it costs an attempt. */
  takeNext(line: string): PendingRequest | undefined {
    const queue = this.state.queues.get(line);
    if (queue === undefined) return undefined;
    const request = take(queue, this.#bounds.priorityAgeing);
    if (request === undefined) return undefined;
    this.#leaveQueue(request);
    request.state = 'inFlight';
    request.attempts++;
    this.state.inFlight++;
    return request;
  }

  hasQueued(line: string): boolean {
    return this.state.queues.has(line);
  }

  /** Its worker is lost: back to the head of the queue. `unstarted`: the attempt does not count. */
  requeue(request: PendingRequest, unstarted: boolean): void {
    if (request.state !== 'inFlight') return;
    this.state.inFlight--;
    request.state = 'queued';
    request.dispatch = undefined;
    if (unstarted) request.attempts--;
    request.partials = undefined;
    request.partialBytes = 0;
    putBack(this.#queueOf(request.line), request);
    this.#enterQueue(request);
  }

  /** The request leaves the broker, once. Its waiters are the caller's to tell, and forgotten here. */
  end(request: PendingRequest, how: RequestEnd): void {
    const { state } = this;
    if (request.state === 'queued') {
      const queue = state.queues.get(request.line);
      if (queue !== undefined) remove(queue, request);
      this.#leaveQueue(request);
    } else if (request.state === 'inFlight') state.inFlight--;
    else return;
    request.state = how;
    request.body = [];
    request.partials = undefined;
    state.ended[how]++;
    state.open.delete(request.id);
    this.#expiries.delete(request);
    for (const { client, number } of request.waiters) client.awaited.delete(number);
  }

  /** A reply has left: how long the replies before it took is what a refused client is told. */
  replied(now: Instant): void {
    const { state } = this;
    const gap = state.repliedAt === -Infinity ? 0 : now - state.repliedAt;
    state.pace += (Math.min(gap, LONGEST_RETRY) - state.pace) * PACE_WEIGHT;
    state.repliedAt = now;
  }

  /** One more waits for it, and perhaps for longer than the others. */
  join(now: Instant, request: PendingRequest, waiter: Waiter, timeLeft: number | undefined): void {
    request.waiters.push(waiter);
    waiter.client.awaited.set(waiter.number, request);
    const longest = request.acceptedAt + this.#bounds.requestTtl;
    const wanted = Math.min(longest, now + this.#lifeOf(timeLeft));
    request.expiresAt = Math.max(request.expiresAt, wanted);
    this.#expiries.set(request, request.expiresAt);
  }

  /** @param timeLeft until nobody waits any more */
  #lifeOf(timeLeft = Infinity): number {
    return Math.min(this.#bounds.requestTtl, timeLeft);
  }

  /** One does not wait for it any more. */
  leave(request: PendingRequest, client: Client, number: number): void {
    client.awaited.delete(number);
    const at = request.waiters.findIndex(
      (waiter) => waiter.client === client && waiter.number === number,
    );
    if (at >= 0) request.waiters.splice(at, 1);
  }

  /** The next request that has expired by now, or undefined. It stays until `end`. */
  nextExpired(now: Instant): PendingRequest | undefined {
    return this.#expiries.takeDue(now);
  }

  *queued(): Generator<PendingRequest> {
    for (const request of this.state.open.values()) if (request.state === 'queued') yield request;
  }

  #queueOf(line: string): FairQueue<PendingRequest> {
    let queue = this.state.queues.get(line);
    if (queue === undefined) {
      queue = createFairQueue();
      this.state.queues.set(line, queue);
    }
    return queue;
  }

  #enterQueue(request: PendingRequest): void {
    this.state.queued++;
    this.state.queuedBytes += request.bytes;
  }

  #leaveQueue(request: PendingRequest): void {
    this.state.queued--;
    this.state.queuedBytes -= request.bytes;
    const queue = this.state.queues.get(request.line);
    // A service nobody waits for leaves nothing behind: names are the peers' choice.
    if (queue !== undefined && isEmpty(queue)) this.state.queues.delete(request.line);
  }
}

/** Where the first of those who wait is, for events; empty if nobody does. */
export function clientOf(request: PendingRequest): Address {
  const waiter = request.waiters[0] ?? request.broadcast?.waiter;
  return waiter?.client.address ?? '';
}

/** What a request keeps of what it was asked with, in bytes. */
function costOf({ body, headers }: Pick<NewRequest, 'body' | 'headers'>): number {
  return sizeOf(body) + (headers?.byteLength ?? 0);
}
