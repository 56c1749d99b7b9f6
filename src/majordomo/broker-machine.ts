/**
 * The Majordomo broker as a pure machine: 7/MDP, 18/MDP and 8/MMI.
 *
 * This is the protocol's side of it: who may say what, and what time brings. What the broker knows is
 * in `requests.ts` and `sessions.ts`; where the two meet is `dispatcher.ts`.
 */
import { Deadlines } from '../core/deadlines.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import type { HeartbeatSettings } from '../core/heartbeat.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import type { BrokerEvent, BrokerStatus, ServiceStatus } from './broker-events.ts';
import type {
  BrokerInput,
  BrokerOutput,
  Dialect,
  ReadyCommand,
  RequestCommand,
  ResultCommand,
} from './commands.ts';
import { Dispatcher, heldBy, type DispatcherSettings } from './dispatcher.ts';
import { encodeFailure } from './error-body.ts';
import { answerMmi, isReserved } from './mmi.ts';
import { RequestBook, type RequestBounds } from './requests.ts';
import { SessionTable, type Session } from './sessions.ts';

/** The broker has one socket, bound to any number of endpoints. */
export type BrokerPort = 'peers';

/**
 * `drain`: take nothing new, fail what is queued, let what runs finish, then say goodbye.
 * `stop`: the same without waiting.
 */
export type BrokerCall = { readonly type: 'drain' } | { readonly type: 'stop' };

export interface BrokerSettings extends HeartbeatSettings, RequestBounds, DispatcherSettings {
  readonly workerLimit: number;
  readonly noticeGrace: number;
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

/** Services in one answer to `mmi.services`; those with workers come first. */
const SERVICES_LISTED = 1000;

type EventCounts = Record<BrokerEvent['type'], number>;

export class BrokerMachine implements Machine<BrokerPort, BrokerInput, BrokerCall> {
  readonly requests: RequestBook;
  readonly sessions: SessionTable;
  readonly #outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>;
  readonly #settings: BrokerSettings;
  /** Clients whose link broke, and when their queued requests are dropped. */
  readonly #departed = new Deadlines<Address>();
  readonly #events: EventCounts;
  readonly #dispatcher: Dispatcher;
  #phase: 'serving' | 'draining' | 'drained' = 'serving';

  constructor(outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>, settings: BrokerSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.requests = new RequestBook(settings);
    this.sessions = new SessionTable(settings);
    this.#events = Object.fromEntries(EVENT_TYPES.map((type) => [type, 0])) as EventCounts;
    this.#dispatcher = new Dispatcher(this.requests, this.sessions, settings, {
      send: (to, command) => this.#send(to, command),
      emit: (event) => this.#emit(event),
    });
  }

  get nextTimeout(): Instant {
    return Math.min(this.sessions.nextDue, this.requests.nextExpiry, this.#departed.next);
  }

  fingerprint(now: Instant): string {
    const departed = [...this.requests.state.clients.keys()].map((client) => ({
      departedAt: this.#departed.at(client),
    }));
    return fingerprintOf(
      [
        this.requests.state,
        this.sessions.state,
        departed,
        this.#phase,
        this.#dispatcher.dispatches,
      ],
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
        this.#handleRequest(now, from, command);
        break;
      case 'ready':
        this.#handleReady(now, from, command);
        break;
      case 'result':
        this.#handleResult(now, from, command);
        break;
      case 'heartbeat':
        this.#sessionOf(now, from, command.dialect, 'HEARTBEAT');
        break;
      case 'disconnect': {
        const session = this.sessions.of(from);
        if (session !== undefined) this.#dispatcher.endSession(now, session, 'disconnected');
      }
    }
    this.#finishDraining(now);
  }

  handleMalformed(_now: Instant, _port: BrokerPort, from: Address, reason: string): void {
    this.#emit({ type: 'malformed', from, reason });
  }

  handleCall(now: Instant, call: BrokerCall): void {
    if (this.#phase === 'drained') return;
    this.#phase = 'draining';
    this.#dispatcher.close();
    for (const request of this.requests.queued()) this.#dispatcher.failAsClosing(request);
    if (call.type === 'stop') {
      for (const session of this.sessions.all()) {
        const request = heldBy(session);
        if (request !== undefined) this.#dispatcher.failAsClosing(request);
      }
    }
    this.#finishDraining(now);
  }

  handlePeerGone(now: Instant, _port: BrokerPort, from: Address): void {
    const session = this.sessions.of(from);
    const request = session === undefined ? undefined : heldBy(session);
    // Parts may be lost with the link, and nothing numbers them: such a reply cannot go on.
    const inParts = request !== undefined && (request.partialSent || request.partialBytes > 0);
    if (session !== undefined && inParts) this.#dispatcher.endSession(now, session, 'gone');
    else if (session !== undefined) this.sessions.noticed(now, session, this.#settings.noticeGrace);
    if (this.requests.state.clients.has(from)) {
      const goneAt = now + this.#settings.noticeGrace;
      this.#departed.set(from, Math.min(this.#departed.at(from), goneAt));
    }
    this.#finishDraining(now);
  }

  handleWritable(now: Instant, _port: BrokerPort, to: Address): void {
    const session = this.sessions.of(to);
    if (session === undefined) return;
    session.writable = true;
    this.sessions.await(session);
    this.#dispatcher.dispatchAll(now, session.service);
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
      const { address, dialect } = session;
      if (due === 'beat') this.#send(address, { type: 'heartbeat', dialect });
      else this.#dispatcher.endSession(now, session, due);
    }
    this.#finishDraining(now);
  }

  // Clients

  #handleRequest(now: Instant, from: Address, command: RequestCommand): void {
    this.#departed.delete(from);
    const { service, dialect } = command;
    if (isReserved(service)) {
      const view = {
        offers: (name: string) => this.sessions.offers(name),
        services: () => this.#services(SERVICES_LISTED),
      };
      return this.#reply(from, dialect, service, answerMmi(service, command.body, view));
    }
    const closing = this.#phase !== 'serving';
    const passes = this.sessions.nextWaiting(service) !== undefined;
    const request = closing ? undefined : this.requests.accept(now, from, command, passes);
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
    this.#dispatcher.dispatchAll(now, service);
  }

  #expireRequests(now: Instant): void {
    for (;;) {
      const request = this.requests.nextExpired(now);
      if (request === undefined) return;
      const running = request.state === 'inFlight';
      const { service, client } = request;
      this.#emit({ type: 'requestExpired', service, client, running });
      const where = running ? 'while a worker held it' : 'before a worker was free';
      this.#dispatcher.fail(
        request,
        'expired',
        'ERR_REQUEST_EXPIRED',
        `the request expired ${where}`,
      );
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
        if (request.state === 'queued') this.#dispatcher.cancel(request);
        else request.orphaned = true;
      }
    }
  }

  // Workers

  #handleReady(now: Instant, from: Address, command: ReadyCommand): void {
    const { service, dialect } = command;
    const present = this.sessions.of(from);
    if (present !== undefined) {
      this.#emit({ type: 'unexpectedCommand', from, command: 'READY' });
      this.#dispatcher.endSession(now, present, 'unexpectedCommand');
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
    this.#dispatcher.dispatchAll(now, service);
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
    else this.#dispatcher.endSession(now, session, 'unexpectedCommand');
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
    this.#dispatcher.settle(now, session, command);
  }

  // Closing

  #finishDraining(now: Instant): void {
    if (this.#phase !== 'draining' || this.requests.state.inFlight > 0) return;
    this.#phase = 'drained';
    for (const session of this.sessions.all()) this.#dispatcher.endSession(now, session, 'closing');
    this.#emit({ type: 'drained' });
  }

  // Small things

  /** @param limit names are the peers' choice: whoever asks over the wire gets so many at most */
  #services(limit = Infinity): ServiceStatus[] {
    const { queues } = this.requests.state;
    const { services } = this.sessions.state;
    const names = new Set([...services.keys(), ...queues.keys()]);
    return [...names]
      .slice(0, limit)
      .toSorted()
      .map((name) => ({
        name,
        workers: services.get(name)?.sessions.size ?? 0,
        waiting: services.get(name)?.waiting.size ?? 0,
        queued: queues.get(name)?.size ?? 0,
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
