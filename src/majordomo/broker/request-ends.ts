/**
 * How requests end, and who is told: one place for all the ways out of a broker.
 *
 * Each end is told once to everyone who waits, in each one's dialect; what a worker still does for an
 * ended request is cancelled, where its dialect has a word for that.
 */
import type { RequestErrorCode } from '../../core/errors.ts';
import { encodeText, sizeOf } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { isBroadcast, type Broadcast } from './broadcast.ts';
import type { Client, ClientTable } from './clients.ts';
import { hasPartials } from '../wire/commands.ts';
import type { Followers } from './followers.ts';
import type { KeyBook } from './idempotency.ts';
import type { Pair } from './pair.ts';
import { clientOf, type PendingRequest, type RequestBook, type RequestEnd } from './requests.ts';
import { NO_FRAMES, NOT_ACTIVE, TOO_LARGE, type Outcome, type Voice } from './voice.ts';

export class RequestEnds {
  readonly #requests: RequestBook;
  readonly #clients: ClientTable;
  readonly #keys: KeyBook;
  readonly #deadLetterService: string;
  readonly #voice: Voice;
  readonly #pair: Pair | undefined;

  constructor(
    requests: RequestBook,
    clients: ClientTable,
    keys: KeyBook,
    deadLetterService: string,
    voice: Voice,
    pair?: Pair,
  ) {
    this.#requests = requests;
    this.#clients = clients;
    this.#keys = keys;
    this.#deadLetterService = deadLetterService;
    this.#voice = voice;
    this.#pair = pair;
  }

  /** A worker answered, be it with a failure. In a pair, what has a key may be told later. */
  reply(now: Instant, request: PendingRequest, outcome: Outcome): void {
    if (this.#pair !== undefined && this.#isWithheld(now, this.#pair.followers, request, outcome)) {
      return;
    }
    this.#leave(request, 'replied');
    this.#requests.replied(now);
    const kept = this.#keys.ended(now, request, outcome);
    if (kept !== undefined) this.#pair?.followers.record(now, request.service, request.key!, kept);
    this.#tell(request, outcome);
  }

  #isWithheld(
    now: Instant,
    followers: Followers,
    request: PendingRequest,
    outcome: Outcome,
  ): boolean {
    const { service, key } = request;
    if (key === undefined || !followers.mustWait) return false;
    const kept = this.#keys.keep(now, service, key, outcome);
    if (kept === undefined) return false;
    followers.withhold(now, service, key, kept, request);
    this.#requests.holdBack(request);
    return true;
  }

  /** What was withheld is told. */
  conclude(now: Instant, request: PendingRequest, outcome: Outcome): void {
    this.#leave(request, 'replied');
    this.#requests.replied(now);
    this.#keys.ended(now, request);
    this.#tell(request, outcome);
  }

  /** It ends without a worker's answer. */
  fail(
    now: Instant,
    request: PendingRequest,
    how: 'failed' | 'expired',
    code: RequestErrorCode,
    message: string,
  ): void {
    this.stopWork(request);
    this.#leave(request, how);
    this.#keys.ended(now, request);
    const { attempts } = request;
    this.#tell(request, { body: NO_FRAMES, failure: { code, message, attempts } });
  }

  /**
   * The broker goes before a worker replied. A client of express that is told so knows that nothing was
   * done; of what a worker has begun the end of the session tells, and that it may have been done.
   */
  failAsClosing(now: Instant, request: PendingRequest, begun: boolean): void {
    if (begun) {
      for (const { client, dialect, number } of Array.from(request.waiters)) {
        if (dialect === 'express') this.#requests.leave(request, client, number);
      }
    }
    // In a pair it goes on: the other broker is told how it ends.
    if (this.#pair !== undefined && request.key !== undefined) request.dispatch = undefined;
    const message = 'the broker closed before a worker replied';
    this.fail(now, request, 'failed', 'ERR_BROKER_CLOSING', message);
  }

  /** Nobody wants the reply any more. */
  cancel(now: Instant, request: PendingRequest): void {
    const { service, broadcast } = request;
    this.#voice.emit({ type: 'requestCancelled', service, client: clientOf(request) });
    this.stopWork(request);
    this.#leave(request, 'cancelled');
    this.#keys.ended(now, request);
    broadcast?.copies.delete(request);
  }

  /** The broker serves no more: the end of their sessions tells those of express, stock clients have none. */
  drop(now: Instant, request: PendingRequest): void {
    const waiters = request.waiters.filter(({ dialect }) => dialect !== 'express');
    this.#leave(request, 'failed');
    this.#keys.ended(now, request);
    request.broadcast?.copies.delete(request);
    const [code, message] = NOT_ACTIVE;
    for (const waiter of waiters) {
      this.#voice.reply(waiter, request.service, { body: NO_FRAMES, failure: { code, message } });
    }
  }

  /**
   * It has cost too many workers. Returns the service at which its letter now waits, if any: what
   * cannot be buried there is told by the event alone.
   */
  bury(now: Instant, request: PendingRequest): string | undefined {
    const { service, attempts, body } = request;
    const client = clientOf(request);
    this.#voice.emit({ type: 'deadLetter', service, client, attempts, body });
    const message = `the request cost ${attempts} workers and is given up`;
    this.fail(now, request, 'failed', 'ERR_ATTEMPTS_EXHAUSTED', message);
    const graveyard = this.#deadLetterService;
    if (graveyard === '' || service === graveyard) return undefined;
    const headers = encodeText(JSON.stringify({ service, attempts: String(attempts) }));
    if (!this.#requests.hasRoom({ body, headers })) return undefined;
    this.#requests.accept(now, { waiter: undefined, service: graveyard, body, headers });
    return graveyard;
  }

  /** One of those who wait does so no more; without any left there is no use in going on. */
  abandon(now: Instant, client: Client, number: number): void {
    const awaited = client.awaited.get(number);
    if (awaited === undefined) return;
    if (isBroadcast(awaited)) {
      client.awaited.delete(number);
      for (const copy of awaited.copies) this.cancel(now, copy);
      return;
    }
    if (awaited.waiters.length > 1) this.#requests.leave(awaited, client, number);
    else this.cancel(now, awaited);
  }

  /**
   * A client has gone without a word about its requests. What is queued is dropped, and what runs is
   * stopped, unless somebody else waits; under a key it goes on: the client may come back for it. A
   * stock client cannot say that it is back, so what runs for it may still reply to its address.
   */
  clientGone(now: Instant, client: Client): void {
    for (const [number, awaited] of Array.from(client.awaited)) {
      const isRequest = !isBroadcast(awaited);
      if (isRequest && awaited.key !== undefined) this.#requests.leave(awaited, client, number);
      else if (isRequest && client.session === undefined && awaited.state === 'inFlight') {
        awaited.orphaned = true;
      } else this.abandon(now, client, number);
    }
    if (client.session !== undefined || client.awaited.size === 0) this.#clients.remove(client);
  }

  // Replies in parts

  /** A part of the reply goes to the client, after which the request is not done a second time. */
  passPart(now: Instant, request: PendingRequest, body: Frames): void {
    const [waiter] = request.waiters;
    if (waiter === undefined) return;
    if (this.#voice.reply(waiter, request.service, { body }, false, request.partialsSent)) {
      request.partialsSent++;
      request.partialsSentBytes += sizeOf(body);
      return;
    }
    // A reply with a hole in it must not look whole.
    const worker = request.dispatch?.session.address ?? '';
    this.#voice.emit({ type: 'replyRefused', worker, reason: 'clientQueueFull' });
    this.fail(now, request, 'failed', 'ERR_STREAM_OVERFLOW', 'the client reads too slowly');
  }

  /** So many bytes have been read: the worker may send on. False: more than were sent. */
  credit(client: Client, number: number, bytes: number): boolean {
    const awaited = client.awaited.get(number);
    // It may have ended while the credit was on its way.
    if (awaited === undefined || isBroadcast(awaited)) return true;
    const { dispatch, partialsSentBytes } = awaited;
    const taken = Math.min(bytes, partialsSentBytes);
    if (taken > 0 && dispatch?.session.express !== undefined) {
      const { number: ofDispatch, session } = dispatch;
      const command = { type: 'credit', dialect: 'express', number: ofDispatch } as const;
      this.#voice.send(session.address, { ...command, bytes: taken });
    }
    return bytes <= partialsSentBytes;
  }

  // Telling

  #leave(request: PendingRequest, how: RequestEnd): void {
    this.#requests.end(request, how);
    for (const { client } of request.waiters) {
      if (client.session === undefined && client.awaited.size === 0) this.#clients.remove(client);
    }
  }

  #tell(request: PendingRequest, outcome: Outcome): void {
    const { waiters, service, broadcast, partialsSent } = request;
    if (broadcast !== undefined) return this.#tellOfCopy(request, broadcast, outcome);
    for (const waiter of waiters) {
      if (this.#voice.reply(waiter, service, outcome, true, partialsSent)) continue;
      // What the broker itself says is no worker's reply.
      if (request.state !== 'replied') continue;
      const worker = request.dispatch?.session.address ?? '';
      this.#voice.emit({ type: 'replyRefused', worker, reason: 'clientQueueFull' });
    }
  }

  #tellOfCopy(copy: PendingRequest, broadcast: Broadcast, outcome: Outcome): void {
    const { waiter, copies } = broadcast;
    const { service } = copy;
    const tell = (part: Outcome): boolean =>
      this.#voice.reply(waiter, service, part, false, broadcast.parts);
    copies.delete(copy);
    if (tell(outcome) || tell(TOO_LARGE)) broadcast.parts++;
    else broadcast.isShort = true;
    if (copies.size > 0) return;
    waiter.client.awaited.delete(waiter.number);
    const end = broadcast.isShort ? TOO_LARGE : { body: NO_FRAMES };
    this.#voice.reply(waiter, service, end, true, broadcast.parts);
  }

  /** Whoever has it in hand is told that nobody waits for it. */
  stopWork({ state, dispatch }: PendingRequest): void {
    if (state !== 'inFlight' || dispatch?.session.express === undefined) return;
    const { session, number } = dispatch;
    this.#voice.send(session.address, { type: 'cancel', dialect: 'express', number });
  }
}

/** True if the client gets the parts of the reply one by one. */
export function isStreamed({ waiters, window, key }: PendingRequest): boolean {
  const [waiter] = waiters;
  if (waiter === undefined || key !== undefined) return false;
  return waiter.dialect === 'express' ? window !== undefined : hasPartials(waiter.dialect);
}
