/**
 * The express sessions of a worker: one with a broker that is alone, one with each broker of a pair.
 *
 * The first one goes wherever a broker answered. As soon as that shows an epoch there are others, each with
 * an endpoint of its own, and each comes back to it by itself: so whoever takes over knows the worker. All
 * share one room for handlers. Where no broker of the pair was seen for long, it is one session again.
 */
import type { Failure } from '../../core/errors.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import type { WorkerInput } from '../wire/commands.ts';
import { PATIENCE } from '../negotiation.ts';
import { ExpressWorkerSession, type ExpressHost } from './express-worker-session.ts';
import { SharedWork, type SharedHost } from './shared-work.ts';
import type {
  ExpressPort,
  HandlerToken,
  SessionHost,
  WorkerOutbox,
  WorkerSettings,
} from './worker-events.ts';

export class ExpressSessions implements ExpressHost, SharedHost {
  readonly #outbox: WorkerOutbox;
  readonly #host: SessionHost;
  readonly #settings: WorkerSettings;
  readonly #endpoints: readonly string[];
  readonly #shared: SharedWork;
  readonly #sessions: [ExpressWorkerSession, ...ExpressWorkerSession[]];
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly #state = {
    /** Each session has an endpoint of its own. */
    isSpread: false,
  };

  /** @param endpoints may grow, but not change */
  constructor(
    outbox: WorkerOutbox,
    host: SessionHost,
    settings: WorkerSettings,
    endpoints: readonly string[],
  ) {
    this.#outbox = outbox;
    this.#host = host;
    this.#settings = settings;
    this.#endpoints = endpoints;
    this.#shared = new SharedWork(this, settings.random);
    this.#sessions = [this.#create('express')];
  }

  get nextTimeout(): Instant {
    const sessions = this.#sessions;
    // Hot: asked before each input, and mostly there is one.
    let next = sessions[0].nextTimeout;
    for (let index = 1; index < sessions.length; index++) {
      next = Math.min(next, sessions[index]!.nextTimeout);
    }
    return next;
  }

  /** For the fingerprint of the machine that it is part of. */
  get states(): readonly object[] {
    const sessions = this.#sessions.flatMap((session) => session.states);
    return [this.#state, ...this.#shared.states, ...sessions];
  }

  /** True during a session. */
  get isOpen(): boolean {
    return this.#sessions.some((session) => session.isOpen);
  }

  /** Handlers that have not settled, or whose reply has not left. */
  get running(): number {
    return this.#sessions.reduce((sum, session) => sum + session.running, 0);
  }

  /** Handlers that have not settled. */
  get unsettled(): number {
    return this.#shared.state.unsettled;
  }

  /** Handlers whose request is lost, and which have not settled yet. */
  get orphans(): number {
    return this.#sessions.reduce((sum, session) => sum + session.orphans, 0);
  }

  /** Outcomes that are remembered, in bytes. */
  get rememberedBytes(): number {
    return this.#shared.outcomes.bytes;
  }

  // Inputs

  /** The session of a port. */
  of(port: ExpressPort): ExpressWorkerSession | undefined {
    return port === 'express' ? this.#sessions[0] : this.#sessions[Number(port.slice(PREFIX))];
  }

  handleCommand(now: Instant, port: ExpressPort, command: WorkerInput): void {
    this.of(port)?.handleCommand(now, command);
    this.#shareRoom();
  }

  /** What one session takes or gives back, the others have less or more of. */
  #shareRoom(): void {
    if (this.#sessions.length > 1) for (const session of this.#sessions) session.tellCredit();
  }

  handleTimeout(now: Instant): void {
    for (const session of this.#sessions) session.handleTimeout(now);
  }

  // Requests

  /** The session that this request came in, if it is in its hands. */
  with(token: HandlerToken): ExpressWorkerSession | undefined {
    const sessions = this.#sessions;
    if (sessions[0].has(token)) return sessions[0];
    return sessions.length === 1 ? undefined : sessions.find((session) => session.has(token));
  }

  /**
   * The handler of a request is done. True if that makes room for others.
   * @param session the one that it came in
   * @param failure instead of a reply
   */
  finish(
    now: Instant,
    session: ExpressWorkerSession,
    token: HandlerToken,
    body: Frames,
    failure: Failure | undefined,
  ): boolean {
    const wasOrphan = session.finish(now, token, body, failure);
    this.#shareRoom();
    return wasOrphan;
  }

  // What sessions ask of it

  nextToken(): HandlerToken {
    return this.#host.nextToken();
  }

  handleOutcome(key: string, told: ExpressPort | undefined): void {
    for (const session of this.#sessions) {
      if (session.isServed && session.port !== told) session.tell(key);
    }
  }

  runningKeys(): readonly string[] {
    return this.#sessions.flatMap((session) => [...session.runningKeys()]);
  }

  handlePair(now: Instant, from: ExpressWorkerSession, isHigher: boolean): void {
    this.#shared.state.pairSeenAt = now;
    if (isHigher) for (const session of this.#sessions) if (session !== from) session.warn();
    this.#state.isSpread = true;
    this.#spread(now);
  }

  handleLost(now: Instant, session: ExpressWorkerSession, wasWelcome: boolean): void {
    const { state } = this.#shared;
    if (wasWelcome) state.pairSeenAt = now;
    if (this.#state.isSpread && this.#sessions.length > 1) {
      // The others are there, or this pair was a moment ago: each waits for its own broker.
      if (this.#sessions.some(({ isWelcome }) => isWelcome)) return;
      if (now - state.pairSeenAt <= PATIENCE) return;
    }
    this.#state.isSpread = false;
    for (const each of this.#sessions) if (each !== session) each.abandon();
    this.#host.sessionLost(now, (session.state.endpoint + 1) % this.#endpoints.length);
  }

  // Which sessions there are

  /**
   * Brings the sessions in line with what is known.
   * @param room requests at a time
   * @param endpoint index of the one that a broker answered at
   */
  settle(now: Instant, room: number, endpoint: number): void {
    this.#shared.state.room = room;
    for (const session of this.#sessions) session.tellCredit();
    const { isSpread } = this.#state;
    const [first] = this.#sessions;
    if (!isSpread && first.isIdle) first.connect(now, endpoint);
    if (!isSpread) return;
    for (const session of this.#sessions) {
      if (session.isIdle) session.connect(now, session.state.endpoint);
    }
    this.#spread(now);
  }

  /** A session with each endpoint. */
  #spread(now: Instant): void {
    if (this.#shared.state.isDraining) return;
    const idle = this.#sessions.filter((session) => session.isIdle);
    const inUse = this.#sessions.filter((session) => !session.isIdle);
    const taken = new Set(inUse.map((session) => session.endpoint));
    for (const [index, endpoint] of this.#endpoints.entries()) {
      if (taken.has(endpoint)) continue;
      taken.add(endpoint);
      (idle.shift() ?? this.#add()).connect(now, index);
    }
  }

  #add(): ExpressWorkerSession {
    const session = this.#create(`express-${this.#sessions.length}`);
    this.#sessions.push(session);
    return session;
  }

  #create(port: ExpressPort): ExpressWorkerSession {
    const [settings, endpoints] = [this.#settings, this.#endpoints];
    return new ExpressWorkerSession(port, this.#outbox, this, this.#shared, settings, endpoints);
  }

  // The end

  /** Takes nothing new; call `retire` once nothing runs. */
  drain(): void {
    this.#shared.state.isDraining = true;
    for (const session of this.#sessions) session.tellCredit();
  }

  /** Says goodbye and begins no more, unless handlers run: then ask again later. */
  retire(now: Instant): void {
    if (this.running > 0) return;
    for (const session of this.#sessions) session.retire(now);
  }

  /** What runs is lost. */
  stop(now: Instant): void {
    for (const session of this.#sessions) session.stop(now);
  }
}

/** Characters of a port's name before its number. */
const PREFIX = 'express-'.length;
