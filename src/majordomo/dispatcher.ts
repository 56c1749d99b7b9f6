/**
 * Where requests meet sessions: who gets what to do, and what becomes of it.
 *
 * One rule carries the reliability: a dispatched request stays the broker's until the reply for
 * exactly that dispatch arrives; whatever else ends the dispatch puts the request back at the head of
 * its queue, or fails it by name.
 */
import type { RequestErrorCode } from '../core/errors.ts';
import { sizeOf, fromAddress, keepFrames, toAddress } from '../core/frames.ts';
import type { Address, Frames, Instant } from '../core/machine.ts';
import type { Random } from '../core/retry.ts';
import type { BrokerEvent, WorkerLossReason } from './broker-events.ts';
import {
  hasPartials,
  type BrokerOutput,
  type DispatchTag,
  type ResultCommand,
} from './commands.ts';
import { decodeFailure, encodeFailure } from './error-body.ts';
import type { PendingRequest, RequestBook } from './requests.ts';
import type { Session, SessionTable } from './sessions.ts';

export interface DispatcherSettings {
  readonly maxAttempts: number;
  readonly attemptTimeout: number;
  readonly replyBufferBytes: number;
  readonly random: Random;
}

/** How the dispatcher speaks: to peers, false if their queue is full, and to the user. */
export interface Voice {
  send(to: Address, command: BrokerOutput): boolean;
  emit(event: BrokerEvent): void;
}

export class Dispatcher {
  readonly #requests: RequestBook;
  readonly #sessions: SessionTable;
  readonly #settings: DispatcherSettings;
  readonly #voice: Voice;
  /** Tells the dispatch tags of this broker's life from those of an earlier one. */
  readonly #incarnation: string;
  #dispatches = 0;
  #isClosing = false;

  constructor(
    requests: RequestBook,
    sessions: SessionTable,
    settings: DispatcherSettings,
    voice: Voice,
  ) {
    this.#requests = requests;
    this.#sessions = sessions;
    this.#settings = settings;
    this.#voice = voice;
    this.#incarnation = Array.from({ length: 6 }, () =>
      String.fromCharCode(1 + Math.floor(settings.random() * 255)),
    ).join('');
  }

  /** How many dispatches there were: part of the broker's state. */
  get dispatches(): number {
    return this.#dispatches;
  }

  /** From now on nothing is given to workers, and what they lose fails. */
  close(): void {
    this.#isClosing = true;
  }

  /** Gives queued requests of a service to its idle workers, as far as both go. */
  dispatchAll(now: Instant, service: string): void {
    if (this.#isClosing) return;
    while (this.#requests.hasQueued(service)) {
      const session = this.#sessions.nextWaiting(service);
      if (session === undefined) return;
      this.#dispatch(now, session, this.#requests.takeNext(service)!);
    }
  }

  #dispatch(now: Instant, session: Session, request: PendingRequest): void {
    const tag = this.#nextTag();
    this.#sessions.leaveWaiting(session);
    const envelope = [fromAddress(tag)];
    const { address, dialect } = session;
    if (!this.#voice.send(address, { type: 'dispatch', dialect, envelope, body: request.body })) {
      session.writable = false;
      this.#requests.requeue(request, true);
      return;
    }
    session.dispatch = {
      tag,
      request,
      startedAt: now,
      timeoutAt: now + this.#settings.attemptTimeout,
    };
    this.#sessions.reschedule(session);
  }

  #nextTag(): DispatchTag {
    const number = this.#dispatches++;
    return this.#incarnation + number.toString(36);
  }

  /** A result came in `session`: it counts only for what the session was last given. */
  settle(now: Instant, session: Session, command: ResultCommand): void {
    const { dispatch } = session;
    if (dispatch === undefined || !isFor(dispatch.tag, command.envelope)) {
      this.#voice.emit({ type: 'replyRefused', worker: session.address, reason: 'stale' });
      return;
    }
    const request = heldBy(session);
    if (!command.final && isWithoutReader(request)) {
      // It may go on for ever. Disconnected, a worker stops what it does and comes back.
      return this.endSession(now, session, 'requestEnded');
    }
    if (command.final) {
      session.dispatch = undefined;
      this.#sessions.await(session);
    } else dispatch.timeoutAt = now + this.#settings.attemptTimeout;
    this.#sessions.reschedule(session);
    if (request === undefined)
      this.#voice.emit({ type: 'replyRefused', worker: session.address, reason: 'requestEnded' });
    else if (command.final) this.#finish(session, request, command.body);
    else this.#passPartial(session, request, command.body);
    if (command.final) this.dispatchAll(now, session.service);
  }

  #finish(session: Session, request: PendingRequest, body: Frames): void {
    const { client, dialect, service, partials } = request;
    // A failure stands for the whole: joined to the parts it would look like an ordinary reply.
    const stands = partials.length === 0 || decodeFailure(body) !== undefined;
    const whole = stands ? body : [...partials, ...body];
    this.#requests.end(request, 'replied');
    if (this.#voice.send(client, { type: 'reply', dialect, service, body: whole, final: true }))
      return;
    this.#voice.emit({ type: 'replyRefused', worker: session.address, reason: 'clientQueueFull' });
  }

  #passPartial(session: Session, request: PendingRequest, body: Frames): void {
    const { client, dialect, service } = request;
    if (!hasPartials(dialect)) {
      request.partialBytes += sizeOf(body);
      if (request.partialBytes <= this.#settings.replyBufferBytes) {
        request.partials.push(...keepFrames(body));
        return;
      }
      const limit = this.#settings.replyBufferBytes;
      const message = `the partial replies exceed ${limit} bytes; a client of MDP 0.2 gets them one by one`;
      this.fail(request, 'failed', 'ERR_REPLY_TOO_LARGE', message);
      return;
    }
    request.partialSent = true;
    if (this.#voice.send(client, { type: 'reply', dialect, service, body, final: false })) return;
    // A reply with a hole in it must not look whole.
    this.#voice.emit({ type: 'replyRefused', worker: session.address, reason: 'clientQueueFull' });
    this.fail(request, 'failed', 'ERR_STREAM_OVERFLOW', 'the client reads too slowly');
  }

  /** Ends a session, tells the worker unless it knows, and settles what it held. */
  endSession(now: Instant, session: Session, reason: WorkerLossReason): void {
    const { address, service, dialect, dispatch } = session;
    const request = heldBy(session);
    this.#sessions.remove(session);
    session.dispatch = undefined;
    this.#voice.emit({
      type: 'workerLost',
      worker: address,
      service,
      reason,
      held: request !== undefined,
    });
    if (reason !== 'disconnected' && reason !== 'gone') {
      this.#voice.send(address, { type: 'disconnect', dialect });
    }
    // In the very turn of the dispatch nothing has left yet: the worker cannot have started.
    const unstarted = reason === 'disconnected' && dispatch?.startedAt === now;
    if (request !== undefined) this.#recover(now, request, unstarted);
  }

  /** The worker of `request` is lost. */
  #recover(now: Instant, request: PendingRequest, unstarted: boolean): void {
    const { service, client, attempts, body } = request;
    if (request.partialSent) {
      const message = 'the worker was lost after a part of the reply had been sent';
      return this.fail(request, 'failed', 'ERR_WORKER_LOST', message);
    }
    if (this.#isClosing) return this.failAsClosing(request);
    if (request.orphaned) return this.cancel(request);
    if (attempts >= this.#settings.maxAttempts && !unstarted) {
      this.#voice.emit({ type: 'deadLetter', service, client, attempts, body });
      const message = `the request cost ${attempts} workers and is given up`;
      return this.fail(request, 'failed', 'ERR_ATTEMPTS_EXHAUSTED', message);
    }
    this.#requests.requeue(request, unstarted);
    this.#voice.emit({ type: 'requestRequeued', service, client, attempts });
    this.dispatchAll(now, service);
  }

  /** The broker goes before a worker replied. */
  failAsClosing(request: PendingRequest): void {
    this.fail(request, 'failed', 'ERR_BROKER_CLOSING', 'the broker closed before a worker replied');
  }

  /** Nobody wants the reply any more. */
  cancel(request: PendingRequest): void {
    this.#voice.emit({
      type: 'requestCancelled',
      service: request.service,
      client: request.client,
    });
    this.#requests.end(request, 'cancelled');
  }

  /** Ends a request with an error body. A worker that still holds it is waited for, but not heard. */
  fail(
    request: PendingRequest,
    how: 'failed' | 'expired',
    code: RequestErrorCode,
    message: string,
  ): void {
    this.#requests.end(request, how);
    const { client, dialect, service } = request;
    const body = encodeFailure({ code, message });
    this.#voice.send(client, { type: 'reply', dialect, service, body, final: true });
  }
}

/** The request a worker has, unless it ended without the worker's reply. */
export function heldBy(session: Session): PendingRequest | undefined {
  const request = session.dispatch?.request;
  return request?.state === 'inFlight' ? request : undefined;
}

function isFor(tag: DispatchTag, envelope: Frames): boolean {
  return envelope.length === 1 && toAddress(envelope[0]!) === tag;
}

/** True if nobody reads the parts of this reply: it has ended, or its client left in mid-stream. */
function isWithoutReader(request: PendingRequest | undefined): boolean {
  return request === undefined || (request.orphaned && hasPartials(request.dialect));
}
