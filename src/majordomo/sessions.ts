/**
 * The sessions of a broker's workers: who is registered, who waits for work, who has gone silent.
 *
 * A session begins with READY and ends once: by DISCONNECT, by expiry, by the notice that its link
 * broke, or because it broke the protocol. Busy sessions expire and are beaten to like waiting ones.
 */
import { Deadlines } from '../core/deadlines.ts';
import {
  beaten,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from '../core/heartbeat.ts';
import type { Address, Instant } from '../core/machine.ts';
import type { Dialect, DispatchTag, ReadyCommand } from './commands.ts';
import type { PendingRequest } from './requests.ts';

/** One request in the hands of one worker. */
export interface Dispatch {
  readonly tag: DispatchTag;
  /** May have ended meanwhile; the worker is then still busy with it. */
  readonly request: PendingRequest;
  readonly startedAt: Instant;
  /** When the worker must have said something about it. */
  timeoutAt: Instant;
}

export interface Session {
  /** Ascending in the order of registration. */
  readonly id: number;
  readonly address: Address;
  readonly dialect: Dialect;
  readonly service: string;
  readonly heartbeat: Heartbeat;
  /** What it is working on: stock MDP has a credit of one. */
  dispatch: Dispatch | undefined;
  /** When the notice that its link broke becomes its end; `Infinity` without a notice. */
  goneAt: Instant;
  /** False while its outgoing queue is full. */
  writable: boolean;
}

/** What became due for a session. */
export type SessionDue = 'expired' | 'gone' | 'attemptTimeout' | 'beat';

interface ServiceWorkers {
  readonly sessions: Set<Session>;
  /** Idle sessions, least recently used first. */
  readonly waiting: Set<Session>;
}

export class SessionTable {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    registered: 0,
    sessions: new Map<Address, Session>(),
    services: new Map<string, ServiceWorkers>(),
  };
  readonly #settings: HeartbeatSettings;
  readonly #due = new Deadlines<Session>();

  constructor(settings: HeartbeatSettings) {
    this.#settings = settings;
  }

  get size(): number {
    return this.state.sessions.size;
  }

  get nextDue(): Instant {
    return this.#due.next;
  }

  of(address: Address): Session | undefined {
    return this.state.sessions.get(address);
  }

  all(): Iterable<Session> {
    return this.state.sessions.values();
  }

  /** True if a worker offers the service, idle or busy. */
  offers(service: string): boolean {
    return this.state.services.has(service);
  }

  register(now: Instant, address: Address, command: ReadyCommand): Session {
    const session: Session = {
      id: this.state.registered++,
      address,
      dialect: command.dialect,
      service: command.service,
      heartbeat: startHeartbeat(now, this.#settings),
      dispatch: undefined,
      goneAt: Infinity,
      writable: true,
    };
    this.state.sessions.set(address, session);
    let workers = this.state.services.get(session.service);
    if (workers === undefined) {
      workers = { sessions: new Set(), waiting: new Set() };
      this.state.services.set(session.service, workers);
    }
    workers.sessions.add(session);
    this.await(session);
    this.reschedule(session);
    return session;
  }

  /** The session is over. What it held stays in `session.dispatch` for the caller to settle. */
  remove(session: Session): void {
    if (this.state.sessions.get(session.address) !== session) return;
    this.state.sessions.delete(session.address);
    this.#due.delete(session);
    const workers = this.state.services.get(session.service)!;
    workers.sessions.delete(session);
    workers.waiting.delete(session);
    if (workers.sessions.size === 0) this.state.services.delete(session.service);
  }

  /** Any command of the worker is a sign of life, and takes a notice back. */
  heard(now: Instant, session: Session): void {
    heard(session.heartbeat, now, this.#settings);
    session.goneAt = Infinity;
    this.reschedule(session);
  }

  /** Nobody expires, and no attempt, before one more interval: this side did not listen for a while. */
  forgive(now: Instant): void {
    for (const session of this.all()) {
      forgive(session.heartbeat, now, this.#settings);
      const { dispatch } = session;
      const atLeast = now + this.#settings.heartbeatInterval;
      if (dispatch !== undefined) dispatch.timeoutAt = Math.max(dispatch.timeoutAt, atLeast);
      this.reschedule(session);
    }
  }

  /** The link to the worker broke: unless it is heard within `grace`, it is gone. */
  noticed(now: Instant, session: Session, grace: number): void {
    session.goneAt = Math.min(session.goneAt, now + grace);
    this.reschedule(session);
  }

  /** Puts an idle session at the end of its service's waiting line. */
  await(session: Session): void {
    if (session.dispatch !== undefined || !session.writable) return;
    this.state.services.get(session.service)?.waiting.add(session);
  }

  /** The worker of this service that has waited longest, if any. It stays in line. */
  nextWaiting(service: string): Session | undefined {
    const waiting = this.state.services.get(service)?.waiting;
    if (waiting === undefined) return undefined;
    for (const session of waiting) return session;
    return undefined;
  }

  /** Takes a session out of the waiting line: it has work, or its queue is full. */
  leaveWaiting(session: Session): void {
    this.state.services.get(session.service)?.waiting.delete(session);
  }

  /** Call after `dispatch` changed: its timeout is one of the session's deadlines. */
  reschedule(session: Session): void {
    const attemptAt = session.dispatch?.timeoutAt ?? Infinity;
    this.#due.set(session, Math.min(nextDue(session.heartbeat), session.goneAt, attemptAt));
  }

  /**
   * The next session for which something is due, and what. After `beat` the next heartbeat is
   * scheduled; after the others the caller removes the session.
   */
  takeDue(now: Instant): { session: Session; due: SessionDue } | undefined {
    const session = this.#due.takeDue(now);
    if (session === undefined) return undefined;
    if (session.heartbeat.expiresAt <= now) return { session, due: 'expired' };
    if (session.goneAt <= now) return { session, due: 'gone' };
    if (session.dispatch !== undefined && session.dispatch.timeoutAt <= now) {
      return { session, due: 'attemptTimeout' };
    }
    beaten(session.heartbeat, now, this.#settings);
    this.reschedule(session);
    return { session, due: 'beat' };
  }
}
