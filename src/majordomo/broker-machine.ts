/**
 * The Majordomo broker as a pure machine: 7/MDP, 18/MDP and 8/MMI.
 *
 * Requests (`requests.ts`) meet sessions (`sessions.ts`) here. One rule carries the reliability: a
 * dispatched request stays the broker's until the reply for exactly that dispatch arrives; whatever
 * else ends the dispatch puts the request back at the head of its queue, or fails it by name.
 */
import type { RequestErrorCode } from '../core/errors.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { byteLength, fromAddress, keepFrames, toAddress } from '../core/frames.ts';
import type { HeartbeatSettings } from '../core/heartbeat.ts';
import { Deadlines } from '../core/deadlines.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import type { Random } from '../core/retry.ts';
import type {
  BrokerEvent,
  BrokerStatus,
  ServiceStatus,
  WorkerLossReason,
} from './broker-events.ts';
import {
  hasPartials,
  type BrokerInput,
  type BrokerOutput,
  type Dialect,
  type DispatchTag,
  type ReadyCommand,
  type RequestCommand,
  type ResultCommand,
} from './commands.ts';
import { encodeFailure } from './error-body.ts';
import { answerMmi, isReserved } from './mmi.ts';
import { RequestBook, type PendingRequest, type RequestBounds } from './requests.ts';
import { SessionTable, type Session } from './sessions.ts';

/** The broker has one socket, bound to any number of endpoints. */
export type BrokerPort = 'peers';

/**
 * `drain`: take nothing new, fail what is queued, let what runs finish, then say goodbye.
 * `stop`: the same without waiting.
 */
export type BrokerCall = { readonly type: 'drain' } | { readonly type: 'stop' };

export interface BrokerSettings extends HeartbeatSettings, RequestBounds {
  readonly maxAttempts: number;
  readonly attemptTimeout: number;
  readonly workerLimit: number;
  readonly replyBufferBytes: number;
  readonly noticeGrace: number;
  readonly random: Random;
}

const EVENT_TYPES = [
  'workerReady',
  'workerLost',
  'requestRequeued',
  'requestRefused',
  'requestExpired',
  'requestCancelled',
  'deadLetter',
  'replyRefused',
  'workerRefused',
  'unexpectedCommand',
  'malformed',
  'drained',
] as const satisfies readonly BrokerEvent['type'][];

type EventCounts = Record<BrokerEvent['type'], number>;

export class BrokerMachine implements Machine<BrokerPort, BrokerInput, BrokerCall> {
  readonly requests: RequestBook;
  readonly sessions: SessionTable;
  readonly #outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>;
  readonly #settings: BrokerSettings;
  /** Clients whose link broke, and when their queued requests are dropped. */
  readonly #departed = new Deadlines<Address>();
  readonly #events: EventCounts;
  /** Tells the dispatch tags of this broker's life from those of an earlier one. */
  readonly #incarnation: string;
  #dispatches = 0;
  #phase: 'serving' | 'draining' | 'drained' = 'serving';

  constructor(outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>, settings: BrokerSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.requests = new RequestBook(settings);
    this.sessions = new SessionTable(settings);
    this.#events = Object.fromEntries(EVENT_TYPES.map((type) => [type, 0])) as EventCounts;
    this.#incarnation = Array.from({ length: 6 }, () =>
      String.fromCharCode(1 + Math.floor(settings.random() * 255)),
    ).join('');
  }

  get nextTimeout(): Instant {
    return Math.min(this.sessions.nextDue, this.requests.nextExpiry, this.#departed.next);
  }

  fingerprint(now: Instant): string {
    const departed = [...this.requests.state.clients.keys()].map((client) => ({
      departedAt: this.#departed.at(client),
    }));
    return fingerprintOf(
      [this.requests.state, this.sessions.state, departed, this.#phase, this.#dispatches],
      now,
    );
  }

  status(): BrokerStatus {
    const { accepted, ended, queued, queuedBytes, inFlight } = this.requests.state;
    return {
      services: this.#services(),
      workers: this.sessions.size,
      queued,
      queuedBytes,
      inFlight,
      requests: { accepted, ...ended },
      events: { ...this.#events },
    };
  }

  handleCommand(now: Instant, _port: BrokerPort, from: Address, command: BrokerInput): void {
    switch (command.type) {
      case 'request':
        return this.#handleRequest(now, from, command);
      case 'ready':
        return this.#handleReady(now, from, command);
      case 'result':
        return this.#handleResult(now, from, command);
      case 'heartbeat':
        this.#sessionOf(now, from, command.dialect, 'HEARTBEAT');
        return;
      case 'disconnect': {
        const session = this.sessions.of(from);
        if (session !== undefined) this.#endSession(now, session, 'disconnected');
      }
    }
  }

  handleMalformed(_now: Instant, _port: BrokerPort, from: Address, reason: string): void {
    this.#emit({ type: 'malformed', from, reason });
  }

  handleCall(now: Instant, call: BrokerCall): void {
    if (this.#phase === 'drained') return;
    this.#phase = 'draining';
    for (const request of this.requests.queued()) this.#refuseAsClosing(request);
    if (call.type === 'stop') {
      for (const session of this.sessions.all()) {
        const request = heldBy(session);
        if (request !== undefined) this.#refuseAsClosing(request);
      }
    }
    this.#finishDraining(now);
  }

  handlePeerGone(now: Instant, _port: BrokerPort, from: Address): void {
    const session = this.sessions.of(from);
    const request = session === undefined ? undefined : heldBy(session);
    // Parts may be lost with the link, and nothing numbers them: such a reply cannot go on.
    const inParts = request !== undefined && (request.partialSent || request.partialBytes > 0);
    if (session !== undefined && inParts) this.#endSession(now, session, 'gone');
    else if (session !== undefined) this.sessions.noticed(now, session, this.#settings.noticeGrace);
    if (!this.requests.state.clients.has(from)) return;
    this.#departed.set(from, Math.min(this.#departed.at(from), now + this.#settings.noticeGrace));
  }

  handleWritable(now: Instant, _port: BrokerPort, to: Address): void {
    const session = this.sessions.of(to);
    if (session === undefined) return;
    session.writable = true;
    this.sessions.await(session);
    this.#dispatchAll(now, session.service);
  }

  handleStored(): void {
    // A broker keeps its requests in memory; Titanic is the pattern that stores them.
  }

  handleTimeout(now: Instant): void {
    // Who was stopped itself (SIGSTOP, a blocked loop) has not heard the others: that is no evidence.
    if (now - this.nextTimeout > this.#settings.heartbeatInterval) this.sessions.forgive(now);
    this.#expireRequests(now);
    this.#dropDeparted(now);
    for (;;) {
      const taken = this.sessions.takeDue(now);
      if (taken === undefined) break;
      const { session, due } = taken;
      if (due === 'beat')
        this.#send(session.address, { type: 'heartbeat', dialect: session.dialect });
      else this.#endSession(now, session, due);
    }
  }

  // Clients

  #handleRequest(now: Instant, from: Address, command: RequestCommand): void {
    this.#departed.delete(from);
    const { service, dialect } = command;
    if (isReserved(service)) {
      const view = {
        offers: (name: string) => this.sessions.offers(name),
        services: () => this.#services(),
      };
      return this.#reply(from, dialect, service, answerMmi(service, command.body, view));
    }
    const closing = this.#phase !== 'serving';
    const request = closing ? undefined : this.requests.accept(now, from, command);
    if (request === undefined) {
      this.#emit({
        type: 'requestRefused',
        service,
        client: from,
        reason: closing ? 'closing' : 'queueFull',
      });
      const code = closing ? 'ERR_BROKER_CLOSING' : 'ERR_QUEUE_FULL';
      const message = closing
        ? 'the broker is closing: try again at another, or later'
        : `the broker's queue is full (${this.#settings.queueLimit} requests): try again later`;
      return this.#reply(from, dialect, service, encodeFailure({ code, message }));
    }
    this.#dispatchAll(now, service);
  }

  #refuseAsClosing(request: PendingRequest): void {
    this.#fail(
      request,
      'failed',
      'ERR_BROKER_CLOSING',
      'the broker closed before a worker replied',
    );
  }

  #expireRequests(now: Instant): void {
    for (;;) {
      const request = this.requests.nextExpired(now);
      if (request === undefined) return;
      const running = request.state === 'inFlight';
      const { service, client } = request;
      this.#emit({ type: 'requestExpired', service, client, running });
      const where = running ? 'while a worker held it' : 'before a worker was free';
      this.#fail(request, 'expired', 'ERR_REQUEST_EXPIRED', `the request expired ${where}`);
    }
  }

  /**
   * What a client that has gone still has queued is dropped, and what runs is not run again. A reply
   * to what runs is still sent: after a mere reset our own clients come back under their address.
   */
  #dropDeparted(now: Instant): void {
    for (;;) {
      const client = this.#departed.takeDue(now);
      if (client === undefined) return;
      for (const request of this.requests.ofClient(client)) {
        if (request.state === 'queued') this.#cancel(request);
        else request.orphaned = true;
      }
    }
  }

  #cancel(request: PendingRequest): void {
    this.#emit({ type: 'requestCancelled', service: request.service, client: request.client });
    this.requests.end(request, 'cancelled');
  }

  // Workers

  #handleReady(now: Instant, from: Address, command: ReadyCommand): void {
    const { service, dialect } = command;
    const present = this.sessions.of(from);
    if (present !== undefined) {
      this.#emit({ type: 'unexpectedCommand', from, command: 'READY' });
      this.#endSession(now, present, 'unexpectedCommand');
      return;
    }
    const refusal = isReserved(service)
      ? 'reservedName'
      : this.#phase !== 'serving'
        ? 'closing'
        : this.sessions.size >= this.#settings.workerLimit
          ? 'workerLimit'
          : undefined;
    if (refusal !== undefined) {
      this.#emit({ type: 'workerRefused', worker: from, reason: refusal });
      this.#send(from, { type: 'disconnect', dialect });
      return;
    }
    this.sessions.register(now, from, command);
    this.#emit({ type: 'workerReady', worker: from, service, dialect });
    // Neither RFC acknowledges READY; the first heartbeat at once tells the worker that it is known.
    this.#send(from, { type: 'heartbeat', dialect });
    this.#dispatchAll(now, service);
  }

  /** The sender's session, heard of now. Who has none, or speaks another dialect, is disconnected. */
  #sessionOf(now: Instant, from: Address, dialect: Dialect, command: string): Session | undefined {
    const session = this.sessions.of(from);
    if (session?.dialect === dialect) {
      this.sessions.heard(now, session);
      return session;
    }
    this.#emit({ type: 'unexpectedCommand', from, command });
    if (session === undefined) this.#send(from, { type: 'disconnect', dialect });
    else this.#endSession(now, session, 'unexpectedCommand');
    return undefined;
  }

  #handleResult(now: Instant, from: Address, command: ResultCommand): void {
    const session = this.#sessionOf(
      now,
      from,
      command.dialect,
      command.final ? 'REPLY' : 'PARTIAL',
    );
    if (session === undefined) {
      this.#emit({ type: 'replyRefused', worker: from, reason: 'unknownWorker' });
      return;
    }
    const { dispatch } = session;
    if (dispatch === undefined || !isFor(dispatch.tag, command.envelope)) {
      this.#emit({ type: 'replyRefused', worker: from, reason: 'stale' });
      return;
    }
    const request = heldBy(session);
    if (command.final) {
      session.dispatch = undefined;
      this.sessions.await(session);
    } else dispatch.timeoutAt = now + this.#settings.attemptTimeout;
    this.sessions.reschedule(session);
    if (request === undefined)
      this.#emit({ type: 'replyRefused', worker: from, reason: 'requestEnded' });
    else if (command.final) this.#finish(session, request, command.body);
    else this.#passPartial(session, request, command.body);
    if (!command.final) return;
    this.#dispatchAll(now, session.service);
    this.#finishDraining(now);
  }

  #finish(session: Session, request: PendingRequest, body: Frames): void {
    const { client, dialect, service, partials } = request;
    const whole = partials.length === 0 ? body : [...partials, ...body];
    this.requests.end(request, 'replied');
    if (this.#send(client, { type: 'reply', dialect, service, body: whole, final: true })) return;
    this.#emit({ type: 'replyRefused', worker: session.address, reason: 'clientQueueFull' });
  }

  #passPartial(session: Session, request: PendingRequest, body: Frames): void {
    const { client, dialect, service } = request;
    if (!hasPartials(dialect)) {
      request.partialBytes += byteLength(body);
      if (request.partialBytes <= this.#settings.replyBufferBytes) {
        request.partials.push(...keepFrames(body));
        return;
      }
      const limit = this.#settings.replyBufferBytes;
      const message = `the partial replies exceed ${limit} bytes; a client of MDP 0.2 gets them one by one`;
      this.#fail(request, 'failed', 'ERR_REPLY_TOO_LARGE', message);
      return;
    }
    request.partialSent = true;
    if (this.#send(client, { type: 'reply', dialect, service, body, final: false })) return;
    // A reply with a hole in it must not look whole.
    this.#emit({ type: 'replyRefused', worker: session.address, reason: 'clientQueueFull' });
    this.#fail(request, 'failed', 'ERR_STREAM_OVERFLOW', 'the client reads too slowly');
  }

  /** Ends a session, tells the worker unless it knows, and settles what it held. */
  #endSession(now: Instant, session: Session, reason: WorkerLossReason): void {
    const { address, service, dialect, dispatch } = session;
    const request = heldBy(session);
    this.sessions.remove(session);
    session.dispatch = undefined;
    this.#emit({
      type: 'workerLost',
      worker: address,
      service,
      reason,
      held: request !== undefined,
    });
    if (reason !== 'disconnected' && reason !== 'gone') {
      this.#send(address, { type: 'disconnect', dialect });
    }
    // In the very turn of the dispatch nothing has left yet: the worker cannot have started.
    const unstarted = reason === 'disconnected' && dispatch?.startedAt === now;
    if (request !== undefined) this.#recover(now, request, unstarted);
    this.#finishDraining(now);
  }

  /** The worker of `request` is lost. */
  #recover(now: Instant, request: PendingRequest, unstarted: boolean): void {
    const { service, client, attempts, body } = request;
    if (request.partialSent) {
      const message = 'the worker was lost after a part of the reply had been sent';
      return this.#fail(request, 'failed', 'ERR_WORKER_LOST', message);
    }
    if (this.#phase !== 'serving') return this.#refuseAsClosing(request);
    if (request.orphaned) return this.#cancel(request);
    if (attempts >= this.#settings.maxAttempts && !unstarted) {
      this.#emit({ type: 'deadLetter', service, client, attempts, body });
      const message = `the request cost ${attempts} workers and is given up`;
      return this.#fail(request, 'failed', 'ERR_ATTEMPTS_EXHAUSTED', message);
    }
    this.requests.requeue(request, unstarted);
    this.#emit({ type: 'requestRequeued', service, client, attempts });
    this.#dispatchAll(now, service);
  }

  /** Ends a request with an error body. A worker that still holds it is waited for, but not heard. */
  #fail(
    request: PendingRequest,
    how: 'failed' | 'expired',
    code: RequestErrorCode,
    message: string,
  ): void {
    this.requests.end(request, how);
    this.#reply(request.client, request.dialect, request.service, encodeFailure({ code, message }));
  }

  // Dispatch

  #dispatchAll(now: Instant, service: string): void {
    if (this.#phase !== 'serving') return;
    while (this.requests.hasQueued(service)) {
      const session = this.sessions.nextWaiting(service);
      if (session === undefined) return;
      this.#dispatch(now, session, this.requests.takeNext(service)!);
    }
  }

  #dispatch(now: Instant, session: Session, request: PendingRequest): void {
    const tag = this.#nextTag();
    this.sessions.leaveWaiting(session);
    const envelope = [fromAddress(tag)];
    const { address, dialect } = session;
    if (!this.#send(address, { type: 'dispatch', dialect, envelope, body: request.body })) {
      session.writable = false;
      this.requests.requeue(request, true);
      return;
    }
    session.dispatch = {
      tag,
      request,
      startedAt: now,
      timeoutAt: now + this.#settings.attemptTimeout,
    };
    this.sessions.reschedule(session);
  }

  #nextTag(): DispatchTag {
    const number = this.#dispatches++;
    return this.#incarnation + number.toString(36);
  }

  // Closing

  #finishDraining(now: Instant): void {
    if (this.#phase !== 'draining' || this.requests.state.inFlight > 0) return;
    this.#phase = 'drained';
    for (const session of this.sessions.all()) this.#endSession(now, session, 'closing');
    this.#emit({ type: 'drained' });
  }

  // Small things

  #services(): ServiceStatus[] {
    const { queues } = this.requests.state;
    const { services } = this.sessions.state;
    const names = new Set([...services.keys(), ...queues.keys()]);
    const queued = new Map<string, number>();
    for (const { service } of this.requests.queued())
      queued.set(service, (queued.get(service) ?? 0) + 1);
    return [...names].toSorted().map((name) => ({
      name,
      workers: services.get(name)?.sessions.size ?? 0,
      waiting: services.get(name)?.waiting.size ?? 0,
      queued: queued.get(name) ?? 0,
    }));
  }

  #reply(to: Address, dialect: Dialect, service: string, body: Frames): void {
    this.#send(to, { type: 'reply', dialect, service, body, final: true });
  }

  #send(to: Address, command: BrokerOutput): boolean {
    return this.#outbox.send('peers', to, command);
  }

  #emit(event: BrokerEvent): void {
    this.#events[event.type]++;
    this.#outbox.emit(event);
  }
}

/** The request a worker has, unless it ended without the worker's reply. */
function heldBy(session: Session): PendingRequest | undefined {
  const request = session.dispatch?.request;
  return request?.state === 'inFlight' ? request : undefined;
}

function isFor(tag: DispatchTag, envelope: Frames): boolean {
  return envelope.length === 1 && toAddress(envelope[0]!) === tag;
}
