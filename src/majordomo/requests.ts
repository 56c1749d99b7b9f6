/**
 * The requests of a broker, and the law of their conservation: every accepted request is at each
 * instant in exactly one state, and leaves it through `end` once.
 *
 *   accept ──► queued ──► in flight ──► replied | failed | expired | cancelled
 *                ▲            │
 *                └─ requeue ──┘
 */
import { Deadlines } from '../core/deadlines.ts';
import { sizeOf, keepFrames } from '../core/frames.ts';
import type { Address, Frames, Instant } from '../core/machine.ts';
import type { Dialect, RequestCommand } from './commands.ts';
import {
  append,
  createFairQueue,
  isEmpty,
  putBack,
  remove,
  take,
  type FairQueue,
} from './fair-queue.ts';

/** How a request can leave the broker. */
export type RequestEnd = 'replied' | 'failed' | 'expired' | 'cancelled';

export interface PendingRequest {
  /** Ascending in the order of acceptance. */
  readonly id: number;
  readonly client: Address;
  readonly dialect: Dialect;
  readonly service: string;
  /** Given up when the request ends. */
  body: Frames;
  readonly bytes: number;
  readonly expiresAt: Instant;
  state: 'queued' | 'inFlight' | RequestEnd;
  /** How many workers it was given to. */
  attempts: number;
  /** A partial reply has gone to the client: it may not be done a second time. */
  partialSent: boolean;
  /** Its client has gone: it is not given to another worker. */
  orphaned: boolean;
  /** Partial replies kept for a client whose dialect has none. */
  readonly partials: Uint8Array[];
  partialBytes: number;
}

export interface RequestBounds {
  readonly queueLimit: number;
  readonly queueBytes: number;
  readonly requestTtl: number;
}

/** What a queued request costs beside its body. */
const REQUEST_OVERHEAD = 256;

export class RequestBook {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    accepted: 0,
    queued: 0,
    queuedBytes: 0,
    inFlight: 0,
    ended: { replied: 0, failed: 0, expired: 0, cancelled: 0 } as Record<RequestEnd, number>,
    queues: new Map<string, FairQueue<PendingRequest>>(),
    /** All requests that have not ended, by client. */
    clients: new Map<Address, Set<PendingRequest>>(),
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

  /**
   * Takes a request in, copying what it keeps; undefined if the queue's bounds forbid it.
   * @param passes a worker is there for it at once: it does not stay in the queue
   */
  accept(
    now: Instant,
    client: Address,
    command: RequestCommand,
    passes = false,
  ): PendingRequest | undefined {
    const { state } = this;
    const bytes = sizeOf(command.body) + REQUEST_OVERHEAD;
    const isFull =
      state.queued >= this.#bounds.queueLimit ||
      state.queuedBytes + bytes > this.#bounds.queueBytes;
    if (isFull && !passes) return undefined;
    const request: PendingRequest = {
      id: state.accepted++,
      client,
      dialect: command.dialect,
      service: command.service,
      body: keepFrames(command.body),
      bytes,
      expiresAt: now + this.#bounds.requestTtl,
      state: 'queued',
      attempts: 0,
      partialSent: false,
      orphaned: false,
      partials: [],
      partialBytes: 0,
    };
    const ofClient = state.clients.get(client);
    if (ofClient === undefined) state.clients.set(client, new Set([request]));
    else ofClient.add(request);
    this.#expiries.set(request, request.expiresAt);
    append(this.#queueOf(request.service), request);
    this.#enterQueue(request);
    return request;
  }

  /** The next request for a service, which is in flight from now on; it costs an attempt. */
  takeNext(service: string): PendingRequest | undefined {
    const queue = this.state.queues.get(service);
    if (queue === undefined) return undefined;
    const request = take(queue);
    if (request === undefined) return undefined;
    this.#leaveQueue(request);
    request.state = 'inFlight';
    request.attempts++;
    this.state.inFlight++;
    return request;
  }

  hasQueued(service: string): boolean {
    return this.state.queues.has(service);
  }

  /** Its worker is lost: back to the head of the queue. `unstarted`: the attempt does not count. */
  requeue(request: PendingRequest, unstarted: boolean): void {
    if (request.state !== 'inFlight') return;
    this.state.inFlight--;
    request.state = 'queued';
    if (unstarted) request.attempts--;
    request.partials.length = 0;
    request.partialBytes = 0;
    putBack(this.#queueOf(request.service), request);
    this.#enterQueue(request);
  }

  /** The request leaves the broker, once. */
  end(request: PendingRequest, how: RequestEnd): void {
    const { state } = this;
    if (request.state === 'queued') {
      const queue = state.queues.get(request.service);
      if (queue !== undefined) remove(queue, request);
      this.#leaveQueue(request);
    } else if (request.state === 'inFlight') state.inFlight--;
    else return;
    request.state = how;
    request.body = [];
    request.partials.length = 0;
    state.ended[how]++;
    this.#expiries.delete(request);
    const ofClient = state.clients.get(request.client);
    ofClient?.delete(request);
    if (ofClient?.size === 0) state.clients.delete(request.client);
  }

  /** The next request that has expired by now, or undefined. It stays until `end`. */
  nextExpired(now: Instant): PendingRequest | undefined {
    return this.#expiries.takeDue(now);
  }

  ofClient(client: Address): Iterable<PendingRequest> {
    return [...(this.state.clients.get(client) ?? [])];
  }

  *queued(): Generator<PendingRequest> {
    for (const requests of this.state.clients.values()) {
      for (const request of requests) if (request.state === 'queued') yield request;
    }
  }

  #queueOf(service: string): FairQueue<PendingRequest> {
    let queue = this.state.queues.get(service);
    if (queue === undefined) {
      queue = createFairQueue();
      this.state.queues.set(service, queue);
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
    const queue = this.state.queues.get(request.service);
    // A service nobody waits for leaves nothing behind: names are the peers' choice.
    if (queue !== undefined && isEmpty(queue)) this.state.queues.delete(request.service);
  }
}
