/**
 * The sessions of a broker's workers: who is registered, who may be given work, who has gone silent.
 *
 * A session begins with READY and ends once: by DISCONNECT, by expiry, by the notice that its link
 * broke, or because it broke the protocol. Busy sessions expire and are beaten to like waiting ones.
 * A stock session takes one request at a time; one of express as many as it says, and it may come back
 * under another address.
 */
import { Deadlines } from '../../core/deadlines.ts';
import {
  beaten,
  forgive,
  heard,
  nextDue,
  startHeartbeat,
  type Heartbeat,
  type HeartbeatSettings,
} from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import { startBeats, type Beats, type UnderWay } from '../../core/reconciliation.ts';
import type { Dialect, DispatchNumber, SessionId } from '../wire/commands.ts';
import { IdleLine } from '../../core/idle-line.ts';
import type { PendingRequest } from './requests.ts';

/** One request in the hands of one worker. */
export interface Dispatch extends UnderWay {
  readonly session: Session;
  readonly number: DispatchNumber;
  /** May have ended meanwhile; the worker is then still busy with it. */
  readonly request: PendingRequest;
  readonly startedAt: Instant;
  /** When the worker must have said something about it; `Infinity` where heartbeats tell. */
  timeoutAt: Instant;
  /** Parts of the result that came: the next one must have this number. */
  parts: number;
}

/** What only a session of express has. */
export interface ExpressSession {
  readonly id: SessionId;
  /** In a pair: which worker it is, in all of its sessions; undefined for one that knows no pairs. */
  readonly worker: SessionId | undefined;
  /** In a pair: it was asked what it runs and has finished, and has not said so yet. */
  isAsked: boolean;
  readonly beats: Beats;
  /** What it said last that it works on. */
  named: readonly DispatchNumber[];
  /** A heartbeat is owed at once: it has just come (back), and may have lost something on the way. */
  isNew: boolean;
}

/** Alive and working · alive, but its event loop does not turn: it gets no new work. */
export type Condition = 'healthy' | 'stalled';

export interface Session {
  /** Ascending in the order of registration. */
  readonly id: number;
  address: Address;
  readonly dialect: Dialect;
  readonly service: string;
  /** Where requests wait that are for this worker alone. */
  readonly line: string;
  readonly express: ExpressSession | undefined;
  readonly settings: HeartbeatSettings;
  readonly heartbeat: Heartbeat;
  /** How many requests it takes at a time; 0 while it drains. */
  credit: number;
  /** What it is working on, in ascending order: one dispatch at most in stock MDP. */
  readonly running: NumberMap<Dispatch>;
  condition: Condition;
  /** When the notice that its link broke becomes its end; `Infinity` without a notice. */
  goneAt: Instant;
  /** False while its outgoing queue is full. */
  writable: boolean;
  /** It gave something back: it gets nothing until it has said how it stands. */
  hasHandedBack: boolean;
  /** In a pair: it gets nothing until the other broker knows of it. */
  isUnrecorded: boolean;
}

/** What became due for a session. */
export type SessionDue = 'expired' | 'gone' | 'attemptTimeout' | 'beat';

/** What READY says of a worker, completed. */
export interface NewSession {
  readonly dialect: Dialect;
  readonly service: string;
  readonly id: SessionId | undefined;
  readonly worker: SessionId | undefined;
  readonly credit: number;
  readonly settings: HeartbeatSettings;
}

interface ServiceWorkers {
  readonly sessions: Set<Session>;
  readonly idle: IdleLine<Session>;
}

export class SessionTable {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    registered: 0,
    sessions: new Map<Address, Session>(),
    express: new Map<SessionId, Session>(),
    services: new Map<string, ServiceWorkers>(),
  };
  readonly #due = new Deadlines<Session>();

  get size(): number {
    return this.state.sessions.size;
  }

  get nextDue(): Instant {
    return this.#due.next;
  }

  of(address: Address): Session | undefined {
    return this.state.sessions.get(address);
  }

  ofExpress(id: SessionId): Session | undefined {
    return this.state.express.get(id);
  }

  all(): Iterable<Session> {
    return this.state.sessions.values();
  }

  ofService(service: string): Iterable<Session> {
    return this.state.services.get(service)?.sessions ?? [];
  }

  /** True if a worker takes requests for the service, now or when it has done others. */
  accepts(service: string): boolean {
    for (const { credit } of this.ofService(service)) if (credit > 0) return true;
    return false;
  }

  /** True if a worker offers the service, idle or busy. */
  offers(service: string): boolean {
    return this.state.services.has(service);
  }

  register(now: Instant, address: Address, ready: NewSession): Session {
    const { dialect, service, credit, settings } = ready;
    const id = this.state.registered++;
    const session: Session = {
      id,
      address,
      dialect,
      service,
      // A lone surrogate: no text on the wire decodes to it, so no service has this name.
      line: `\ud800${id}`,
      express:
        ready.id === undefined
          ? undefined
          : {
              id: ready.id,
              worker: ready.worker,
              isAsked: false,
              beats: startBeats(),
              named: [],
              isNew: true,
            },
      settings,
      heartbeat: startHeartbeat(now, settings),
      credit,
      running: new NumberMap(),
      condition: 'healthy',
      goneAt: Infinity,
      writable: true,
      hasHandedBack: false,
      isUnrecorded: false,
    };
    this.state.sessions.set(address, session);
    if (ready.id !== undefined) this.state.express.set(ready.id, session);
    let workers = this.state.services.get(service);
    if (workers === undefined) {
      workers = { sessions: new Set(), idle: new IdleLine() };
      this.state.services.set(service, workers);
    }
    workers.sessions.add(session);
    this.place(session);
    this.reschedule(session);
    return session;
  }

  /** The session goes on under this address. */
  reattach(now: Instant, session: Session, address: Address): void {
    this.state.sessions.delete(session.address);
    session.address = address;
    session.writable = true;
    this.state.sessions.set(address, session);
    if (session.express !== undefined) session.express.isNew = true;
    this.heard(now, session);
  }

  remove(session: Session): void {
    const { sessions, express, services } = this.state;
    if (sessions.get(session.address) === session) sessions.delete(session.address);
    if (session.express !== undefined) express.delete(session.express.id);
    this.#due.delete(session);
    const workers = services.get(session.service);
    workers?.sessions.delete(session);
    workers?.idle.leave(session);
    if (workers?.sessions.size === 0) services.delete(session.service);
  }

  /** A sign of life. When it expires is looked at when its next heartbeat is due, not before. */
  heard(now: Instant, session: Session): void {
    heard(session.heartbeat, now, session.settings);
    if (session.goneAt === Infinity) return;
    session.goneAt = Infinity;
    this.reschedule(session);
    this.place(session);
  }

  /** Nobody expires, and no attempt, before one more interval: this side did not listen for a while. */
  forgive(now: Instant): void {
    for (const session of this.all()) {
      forgive(session.heartbeat, now, session.settings);
      const atLeast = now + session.settings.heartbeatInterval;
      session.goneAt = Math.max(session.goneAt, atLeast);
      for (const dispatch of session.running.values()) {
        dispatch.timeoutAt = Math.max(dispatch.timeoutAt, atLeast);
      }
      this.reschedule(session);
    }
  }

  /** The link to the worker broke: unless it is heard within `grace`, it is gone. */
  noticed(now: Instant, session: Session, grace: number): void {
    session.goneAt = Math.min(session.goneAt, now + grace);
    this.reschedule(session);
    this.place(session);
  }

  /** In line if it may be given work, out of it if not: call when anything about that changed. */
  place(session: Session): void {
    const idle = this.state.services.get(session.service)?.idle;
    if (mayWork(session)) idle?.enter(session, session.running.size);
    else idle?.leave(session);
  }

  /** The worker of this service to be given work next, if any. It stays in line. */
  nextIdle(service: string): Session | undefined {
    return this.state.services.get(service)?.idle.first;
  }

  /** Call after the timeout of a dispatch changed: it is one of the session's deadlines. */
  reschedule(session: Session): void {
    this.#due.set(
      session,
      Math.min(nextDue(session.heartbeat), session.goneAt, attemptTimeoutOf(session)),
    );
  }

  /** All for which something is due, and what: those that are to be removed get nothing more. */
  takeAllDue(now: Instant): readonly { readonly session: Session; readonly due: SessionDue }[] {
    const all = [];
    for (;;) {
      const taken = this.takeDue(now);
      if (taken === undefined) return all;
      const { session, due } = taken;
      if (due !== 'beat') this.state.services.get(session.service)?.idle.leave(session);
      all.push(taken);
    }
  }

  /**
   * The next session for which something is due, and what. After `beat` the next heartbeat is
   * scheduled; after the others the caller removes the session.
   */
  takeDue(now: Instant): { session: Session; due: SessionDue } | undefined {
    for (;;) {
      const session = this.#due.takeDue(now);
      if (session === undefined) return undefined;
      const { heartbeat } = session;
      if (heartbeat.expiresAt <= now) return { session, due: 'expired' };
      if (session.goneAt <= now) return { session, due: 'gone' };
      if (attemptTimeoutOf(session) <= now) return { session, due: 'attemptTimeout' };
      const isDue = heartbeat.beatAt <= now;
      if (isDue) beaten(heartbeat, now, session.settings);
      this.reschedule(session);
      if (isDue) return { session, due: 'beat' };
    }
  }
}

/** True if a worker may be given a request now. */
export function mayWork(session: Session): boolean {
  return (
    session.running.size < session.credit &&
    session.writable &&
    !session.hasHandedBack &&
    !session.isUnrecorded &&
    session.condition === 'healthy' &&
    session.goneAt === Infinity
  );
}

/** Only in stock MDP, where a session has one dispatch at most. */
function attemptTimeoutOf(session: Session): Instant {
  if (session.express !== undefined) return Infinity;
  for (const { timeoutAt } of session.running.values()) return timeoutAt;
  return Infinity;
}
