/**
 * The requests of a broker: what `core/request-book.ts` keeps of any request, and who waits for it, under
 * which key, how much of its reply has gone.
 */
import { sizeOf } from '../../core/frames.ts';
import type { Address, Instant } from '../../core/machine.ts';
import {
  REQUEST_OVERHEAD,
  RequestBook as BookOfRequests,
  type BookBounds,
  type BookedRequest,
  type RequestEnd,
} from '../../core/request-book.ts';
import type { Broadcast } from './broadcast.ts';
import type { Client } from './clients.ts';
import type { StoredReply } from './idempotency.ts';
import type { Dialect, RequestCommand } from '../wire/commands.ts';
import type { Dispatch } from './sessions.ts';

export type { RequestEnd } from '../../core/request-book.ts';

/** Who is to be told how a request ends. */
export interface Waiter {
  readonly client: Client;
  readonly dialect: Dialect;
  /** Its name in `client.awaited`: in express also on the wire. */
  readonly number: number;
}

export interface PendingRequest extends BookedRequest {
  /** Who first asked, for fairness; undefined for what the broker asks itself. */
  readonly owner: Client | undefined;
  /** Who waits: several under one idempotency key, nobody for what goes on unattended. */
  readonly waiters: Waiter[];
  readonly service: string;
  /** Its service's, that of the one worker it is for, or where its service's requests are parked. */
  line: string;
  readonly headers: Uint8Array | undefined;
  readonly key: string | undefined;
  /** Later of all who wait. */
  expiresAt: Instant;
  /** Bytes of partial replies that may be under way; undefined if they are not sent one by one. */
  readonly window: number | undefined;
  /** It is one worker's copy of this. */
  readonly broadcast: Broadcast | undefined;
  /** While it is in flight: in whose hands. */
  dispatch: Dispatch | undefined;
  /** In a pair: what a worker answered, told once the other broker knows it. It is still in flight. */
  answer: StoredReply | undefined;
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

export interface RequestBounds extends BookBounds {
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

export class RequestBook extends BookOfRequests<PendingRequest> {
  /** True if such a request, and `copies` more that share what it keeps, may wait. */
  hasRoom(asked: Pick<NewRequest, 'body' | 'headers'>, copies = 0): boolean {
    return this.fits(costOf(asked) + REQUEST_OVERHEAD * (1 + copies), 1 + copies);
  }

  /**
   * Takes a request in, with what it keeps: copy before what is borrowed. The caller has seen that
   * there is room, or `starts` it: gives it to a worker at once, so that it never waits.
   */
  accept(now: Instant, asked: NewRequest, starts = false): PendingRequest {
    const { waiter, timeLeft, broadcast } = asked;
    // All copies of a broadcast share what the first one kept.
    const shares = broadcast !== undefined && broadcast.copies.size > 0;
    const request: PendingRequest = {
      id: this.state.accepted,
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
      expiresAt: this.expiryOf(now, timeLeft),
      window: asked.window,
      broadcast,
      state: starts ? 'inFlight' : 'queued',
      dispatch: undefined,
      answer: undefined,
      attempts: starts ? 1 : 0,
      partialsSent: 0,
      partialsSentBytes: 0,
      orphaned: false,
      partials: undefined,
      partialBytes: 0,
    };
    this.admit(request);
    if (request.waiters.length > 0) waiter?.client.awaited.set(waiter.number, request);
    return request;
  }

  /** What the lost worker had said of the reply is lost with it. */
  override requeue(request: PendingRequest, unstarted: boolean): boolean {
    if (!super.requeue(request, unstarted)) return false;
    request.dispatch = undefined;
    request.partials = undefined;
    request.partialBytes = 0;
    return true;
  }

  /** Its waiters are the caller's to tell, and forgotten here. */
  override end(request: PendingRequest, how: RequestEnd): boolean {
    if (!super.end(request, how)) return false;
    request.partials = undefined;
    request.answer = undefined;
    for (const { client, number } of request.waiters) client.awaited.delete(number);
    return true;
  }

  /** One more waits for it, and perhaps for longer than the others. */
  join(now: Instant, request: PendingRequest, waiter: Waiter, timeLeft: number | undefined): void {
    request.waiters.push(waiter);
    waiter.client.awaited.set(waiter.number, request);
    const longest = this.expiryOf(request.acceptedAt);
    this.prolong(request, Math.min(longest, this.expiryOf(now, timeLeft)));
  }

  /** One does not wait for it any more. */
  leave(request: PendingRequest, client: Client, number: number): void {
    client.awaited.delete(number);
    const at = request.waiters.findIndex(
      (waiter) => waiter.client === client && waiter.number === number,
    );
    if (at >= 0) request.waiters.splice(at, 1);
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
