/**
 * The Majordomo broker as a pure machine: 7/MDP, 18/MDP, 8/MMI and express.
 *
 * This is the protocol's side of it: who may say what, and what time brings. What the broker knows is
 * in `requests.ts`, `clients.ts`, `sessions.ts` and `idempotency.ts`; what it does about it in
 * `intake.ts`, `dispatcher.ts` and `request-ends.ts`; what its peers say of themselves is heard in
 * `client-desk.ts` and `worker-desk.ts`; what it is as one of several brokers is in `pair-desk.ts`.
 */
import type { Guard } from '../../core/election.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import type { HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import type { StandingCall } from '../../core/obey.ts';
import type { BrokerEvent, BrokerStatus, ServiceStatus } from './broker-events.ts';
import { ClientDesk } from './client-desk.ts';
import { ClientTable } from './clients.ts';
import type { BrokerInput, BrokerOutput, RequestCommand } from '../wire/commands.ts';
import { Dispatcher, type DispatcherSettings } from './dispatcher.ts';
import { KeyBook, type IdempotencyBounds } from './idempotency.ts';
import { Intake } from './intake.ts';
import { answerMmi, isReserved } from '../wire/mmi.ts';
import type { Pair } from './pair.ts';
import { PairDesk } from './pair-desk.ts';
import { Followers } from './followers.ts';
import { Replica } from './replica.ts';
import { RequestEnds } from './request-ends.ts';
import { Standing } from './standing.ts';
import { parkedLineOf, Takeover } from './takeover.ts';
import { clientOf, RequestBook, type RequestBounds, type Waiter } from './requests.ts';
import { SessionTable } from './sessions.ts';
import { Voice, type BrokerPort } from './voice.ts';
import { WorkerDesk } from './worker-desk.ts';

export type { BrokerPort } from './voice.ts';

/**
 * `drain`: take nothing new, fail what is queued, let what runs finish, then say goodbye.
 * `stop`: the same without waiting. The others are for one of several brokers.
 */
export type BrokerCall = { readonly type: 'drain' } | { readonly type: 'stop' } | StandingCall;

export interface BrokerSettings
  extends HeartbeatSettings, RequestBounds, DispatcherSettings, IdempotencyBounds {
  readonly workerLimit: number;
  readonly clientLimit: number;
  readonly noticeGrace: number;
  readonly clientGrace: number;
  readonly deadLetterService: string;
  /** Whom to ask whether to serve; absent: this broker is the only one. */
  readonly guard?: Guard | undefined;
}

/** Services in one answer to `mmi.services`; those with workers come first. */
const SERVICES_LISTED = 1000;

export class BrokerMachine implements Machine<BrokerPort, BrokerInput, BrokerCall> {
  readonly requests: RequestBook;
  readonly clients = new ClientTable();
  readonly sessions = new SessionTable();
  readonly keys: KeyBook;
  readonly pair: Pair | undefined;
  readonly #settings: BrokerSettings;
  readonly #voice: Voice;
  readonly #ends: RequestEnds;
  readonly #dispatcher: Dispatcher;
  readonly #intake: Intake;
  readonly #clientDesk: ClientDesk;
  readonly #workerDesk: WorkerDesk;
  readonly #pairDesk: PairDesk | undefined;
  #phase: 'serving' | 'draining' | 'drained' = 'serving';

  constructor(outbox: Outbox<BrokerPort, BrokerOutput, BrokerEvent>, settings: BrokerSettings) {
    this.#settings = settings;
    const { clients, sessions } = this;
    const voice = new Voice(outbox);
    const requests = new RequestBook(settings);
    const keys = new KeyBook(settings);
    const pair = pairOf(settings, sessions, keys, voice);
    const ends = new RequestEnds(requests, clients, keys, settings.deadLetterService, voice, pair);
    const dispatcher = new Dispatcher(requests, sessions, ends, settings, voice, pair);
    this.requests = requests;
    this.keys = keys;
    this.#voice = voice;
    this.#ends = ends;
    this.#dispatcher = dispatcher;
    this.#intake = new Intake(requests, sessions, keys, dispatcher, voice, pair);
    this.#clientDesk = new ClientDesk(clients, ends, settings, voice, pair);
    const workerDesk = new WorkerDesk(sessions, dispatcher, settings, voice, pair);
    this.#workerDesk = workerDesk;
    const tables = { requests, clients, sessions, keys };
    this.pair = pair;
    this.#pairDesk =
      pair && new PairDesk(pair, tables, ends, dispatcher, workerDesk, settings, voice);
  }

  get nextTimeout(): Instant {
    return Math.min(
      this.sessions.nextDue,
      this.requests.nextExpiry,
      this.clients.nextDue,
      this.keys.nextExpiry,
      this.#pairDesk === undefined ? Infinity : this.#pairDesk.nextDue,
    );
  }

  fingerprint(now: Instant): string {
    return fingerprintOf(
      [
        this.requests.state,
        this.sessions.state,
        this.clients.state,
        this.keys.state,
        this.#phase,
        this.#dispatcher.dispatches,
        this.#pairDesk?.state,
      ],
      now,
    );
  }

  status(): BrokerStatus {
    const { accepted, ended, queued, queuedBytes, inFlight } = this.requests.state;
    const { replies, bytes } = this.keys.state;
    return {
      services: this.#services(),
      workers: this.sessions.size,
      clients: this.clients.state.sessions.size,
      queued,
      queuedBytes,
      inFlight,
      requests: { accepted, ...ended },
      kept: { replies: replies.size, bytes },
      failover: this.#pairDesk?.status,
      events: { ...this.#voice.counts },
    };
  }

  handleCommand(now: Instant, port: BrokerPort, from: Address, command: BrokerInput): void {
    const pair = this.#pairDesk;
    if (pair === undefined) this.#take(now, from, command);
    else {
      if (pair.admits(now, port === 'active', from, command)) this.#take(now, from, command);
      pair.settle(now);
    }
    if (this.#phase === 'draining') this.#finishDraining(now);
  }

  #take(now: Instant, from: Address, command: BrokerInput): void {
    switch (command.type) {
      case 'request':
        this.#handleRequest(now, from, command);
        break;
      case 'hello':
        this.#clientDesk.handleHello(now, from, command, this.#phase !== 'serving');
        break;
      case 'ready':
        this.#workerDesk.handleReady(now, from, command, this.#phase !== 'serving');
        break;
      case 'result':
        this.#workerDesk.handleResult(now, from, command);
        break;
      case 'capacity':
        this.#workerDesk.handleCapacity(now, from, command);
        break;
      case 'handBack':
        this.#workerDesk.handleHandBack(now, from, command);
        break;
      case 'beacon':
        this.#workerDesk.handleBeacon(now, command);
        break;
      case 'cancel':
        this.#clientDesk.handleCancel(now, from, command);
        break;
      case 'credit':
        this.#clientDesk.handleCredit(now, from, command);
        break;
      case 'heartbeat':
        this.#deskOf(from, command).handleHeartbeat(now, from, command);
        break;
      case 'announce':
        this.#deskOf(from, command).handleAnnounce(now, from, command);
        break;
      case 'disconnect':
        this.#deskOf(from, command).handleDisconnect(now, from);
        break;
      default:
        // It is for one of several brokers.
        this.#voice.emit({ type: 'unexpectedCommand', from, command: command.type.toUpperCase() });
    }
  }

  /** What both sides say is for whichever this peer is. */
  #deskOf(from: Address, { dialect }: BrokerInput): ClientDesk | WorkerDesk {
    const isClient = dialect === 'express' && this.clients.express(from) !== undefined;
    return isClient ? this.#clientDesk : this.#workerDesk;
  }

  handleMalformed(_now: Instant, _port: BrokerPort, from: Address, reason: string): void {
    this.#voice.emit({ type: 'malformed', from, reason });
  }

  handleCall(now: Instant, call: BrokerCall): void {
    if (this.#phase === 'drained') return;
    this.#pairDesk?.check(now);
    if (call.type === 'drain' || call.type === 'stop') this.#drain(now, call.type === 'stop');
    // Whoever leaves takes no office.
    else if (call.type !== 'activate' || this.#phase === 'serving') {
      this.#pairDesk?.handleCall(now, call);
    }
    this.#finishDraining(now);
  }

  #drain(now: Instant, atOnce: boolean): void {
    this.#phase = 'draining';
    this.#dispatcher.close();
    for (const request of this.requests.state.open.values()) {
      const isRunning = request.state === 'inFlight';
      // One that waits again was begun, too: an attempt is spent by a real start.
      const begun = request.attempts > 0;
      if (atOnce || !isRunning) this.#ends.failAsClosing(now, request, begun);
    }
  }

  handlePeerGone(now: Instant, port: BrokerPort, from: Address): void {
    const { noticeGrace, clientGrace } = this.#settings;
    this.#pairDesk?.check(now);
    this.#pairDesk?.handleGone(now, port === 'active', from);
    if (port === 'active') return;
    this.#workerDesk.handlePeerGone(now, from);
    this.clients.noticed(now, from, { stock: noticeGrace, express: clientGrace });
    this.#finishDraining(now);
  }

  handleWritable(now: Instant, _port: BrokerPort, to: Address): void {
    this.#pairDesk?.check(now);
    this.#pairDesk?.handleWritable(now, to);
    const session = this.sessions.of(to);
    if (session === undefined) return;
    session.writable = true;
    this.#dispatcher.serve(now, session);
  }

  handleStored(): void {
    // A broker keeps its requests in memory; Titanic is the pattern that stores them.
  }

  handleTimeout(now: Instant): void {
    // Who was stopped itself (SIGSTOP, a blocked loop) has not heard the others: that is no evidence.
    if (now - this.nextTimeout > this.#settings.heartbeatInterval) {
      this.sessions.forgive(now);
      this.clients.forgive(now);
      this.#pairDesk?.forgive(now);
    }
    this.#pairDesk?.check(now);
    this.#expireRequests(now);
    this.keys.expire(now);
    this.#clientDesk.handleTimeout(now);
    this.#workerDesk.handleTimeout(now);
    this.#pairDesk?.handleTimeout(now);
    this.#pairDesk?.settle(now);
    this.#finishDraining(now);
  }

  #handleRequest(now: Instant, from: Address, command: RequestCommand): void {
    const { service, dialect, body } = command;
    const waiter = this.#waiterFor(now, from, command);
    if (waiter === undefined) return;
    if (isReserved(service)) {
      const view = {
        offers: (name: string) => this.sessions.offers(name),
        services: () => this.#services(SERVICES_LISTED),
      };
      this.#voice.reply(waiter, service, { body: answerMmi(service, body, view) });
    } else if (this.#phase !== 'serving') this.#intake.refuse(waiter, service, 'closing');
    else if (this.#pairDesk?.isActive !== false) this.#intake.take(now, waiter, command);
    else {
      this.#pairDesk.asked(now);
      this.#intake.refuse(waiter, service, 'notActive');
    }
    // Of a stock client whose request was answered at once nothing stays.
    if (dialect !== 'express' && waiter.client.awaited.size === 0) {
      this.clients.remove(waiter.client);
    }
  }

  #waiterFor(now: Instant, from: Address, command: RequestCommand): Waiter | undefined {
    const { dialect } = command;
    if (dialect === 'express') {
      const client = this.#clientDesk.clientOf(now, from, command);
      const number = command.number ?? -1;
      if (client === undefined || !this.#clientDesk.isNew(client, number)) return undefined;
      return { client, dialect, number };
    }
    const client = this.clients.stock(from);
    this.clients.heard(now, client);
    return { client, dialect, number: this.requests.state.accepted };
  }

  #expireRequests(now: Instant): void {
    for (;;) {
      const request = this.requests.nextExpired(now);
      if (request === undefined) return;
      const running = request.state === 'inFlight';
      const { service } = request;
      this.#voice.emit({ type: 'requestExpired', service, client: clientOf(request), running });
      const where = running ? 'while a worker held it' : 'before a worker was free';
      const message = `the request expired ${where}`;
      this.#ends.fail(now, request, 'expired', 'ERR_REQUEST_EXPIRED', message);
    }
  }

  #finishDraining(now: Instant): void {
    if (this.#phase !== 'draining' || this.requests.state.inFlight > 0) return;
    this.#phase = 'drained';
    this.#pairDesk?.close();
    for (const session of Array.from(this.sessions.all())) {
      this.#dispatcher.endSession(now, session, 'closing');
    }
    for (const client of Array.from(this.clients.state.sessions.values())) {
      this.#clientDesk.end(now, client, 'closing');
    }
    this.#voice.emit({ type: 'drained' });
  }

  /** @param limit names are the peers' choice: whoever asks over the wire gets so many at most */
  #services(limit = Infinity): ServiceStatus[] {
    const { queues } = this.requests.state;
    const { services } = this.sessions.state;
    const lines = Array.from(queues.keys(), serviceOf).filter((name) => name !== undefined);
    return [...new Set([...services.keys(), ...lines])]
      .slice(0, limit)
      .toSorted()
      .map((name) => {
        const sessions = [...this.sessions.ofService(name)];
        return {
          name,
          workers: sessions.length,
          waiting: services.get(name)?.idle.size ?? 0,
          stalled: sessions.filter(({ condition }) => condition === 'stalled').length,
          running: sessions.reduce((sum, { running }) => sum + running.size, 0),
          credit: sessions.reduce((sum, { credit }) => sum + credit, 0),
          queued: (queues.get(name)?.size ?? 0) + (queues.get(parkedLineOf(name))?.size ?? 0),
        };
      });
  }
}

/** Whose requests stand in this line; undefined for that of one worker. */
function serviceOf(line: string): string | undefined {
  if (line.startsWith('\ud800')) return undefined;
  return line.startsWith(parkedLineOf('')) ? line.slice(1) : line;
}

function pairOf(
  settings: BrokerSettings,
  sessions: SessionTable,
  keys: KeyBook,
  voice: Voice,
): Pair | undefined {
  const { guard } = settings;
  if (guard === undefined) return undefined;
  return {
    standing: new Standing(guard, settings),
    replica: new Replica(keys, settings, voice),
    followers: new Followers(keys, sessions, settings, voice),
    takeover: new Takeover(),
  };
}
