/**
 * The workers of a queue: who is registered, who waits for a request, who has gone silent.
 *
 * One line of idle workers, the least recently used first, and one request at a time in each one's hands.
 * Busy workers are beaten to and expire like idle ones. One that holds a request for too long is overdue:
 * the request is another's by then, and the worker gets nothing until it has let go of it.
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
import { IdleLine } from '../core/idle-line.ts';
import type { Address, Instant } from '../core/machine.ts';
import type { PendingRequest } from './queue-requests.ts';

/** One request in the hands of one worker. */
export interface Dispatch {
  /** What its tag says; see `queue-tags.ts`. */
  readonly number: number;
  /** May have ended meanwhile; undefined once the worker is overdue, and the request no longer its own. */
  request: PendingRequest | undefined;
  /** When the worker must have answered. */
  timeoutAt: Instant;
}

export interface Worker {
  /** Ascending in the order of registration. */
  readonly id: number;
  readonly address: Address;
  readonly heartbeat: Heartbeat;
  dispatch: Dispatch | undefined;
  /** When the notice that its link broke becomes its end; `Infinity` without a notice. */
  goneAt: Instant;
  /** False while its outgoing queue is full. */
  writable: boolean;
}

/** What became due for a worker. */
export type WorkerDue = 'expired' | 'gone' | 'overdue' | 'beat';

export class WorkerTable {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    registered: 0,
    workers: new Map<Address, Worker>(),
    idle: new IdleLine<Worker>(),
  };
  readonly #settings: HeartbeatSettings;
  readonly #due = new Deadlines<Worker>();

  /** @param settings an interval of `Infinity`: nobody beats, and nobody expires */
  constructor(settings: HeartbeatSettings) {
    this.#settings = settings;
  }

  get size(): number {
    return this.state.workers.size;
  }

  get nextDue(): Instant {
    return this.#due.next;
  }

  of(address: Address): Worker | undefined {
    return this.state.workers.get(address);
  }

  all(): Iterable<Worker> {
    return this.state.workers.values();
  }

  /** The worker to be given a request next, if any. It stays in line. */
  get nextIdle(): Worker | undefined {
    return this.state.idle.first;
  }

  register(now: Instant, address: Address): Worker {
    const worker: Worker = {
      id: this.state.registered++,
      address,
      heartbeat: startHeartbeat(now, this.#settings),
      dispatch: undefined,
      goneAt: Infinity,
      writable: true,
    };
    this.state.workers.set(address, worker);
    this.update(worker);
    return worker;
  }

  remove(worker: Worker): void {
    this.state.workers.delete(worker.address);
    this.state.idle.leave(worker);
    this.#due.delete(worker);
  }

  /** A sign of life. When it expires is looked at when its next heartbeat is due, not before. */
  heard(now: Instant, worker: Worker): void {
    heard(worker.heartbeat, now, this.#settings);
    if (worker.goneAt === Infinity) return;
    worker.goneAt = Infinity;
    this.update(worker);
  }

  /** The link to the worker broke: unless it is heard before, it is gone at that instant. */
  noticed(worker: Worker, goneAt: Instant): void {
    worker.goneAt = Math.min(worker.goneAt, goneAt);
    this.update(worker);
  }

  /** Nobody is lost or overdue before `atLeast`: this side did not listen for a while. */
  forgive(now: Instant, atLeast: Instant): void {
    for (const worker of this.all()) {
      const { heartbeat, dispatch } = worker;
      forgive(heartbeat, now, this.#settings);
      worker.goneAt = Math.max(worker.goneAt, atLeast);
      if (dispatch !== undefined) dispatch.timeoutAt = Math.max(dispatch.timeoutAt, atLeast);
      this.update(worker);
    }
  }

  /** In line or out of it, and when it is due: call when anything about the worker changed. */
  update(worker: Worker): void {
    const { idle } = this.state;
    if (mayWork(worker)) idle.enter(worker, 0);
    else idle.leave(worker);
    this.#reschedule(worker);
  }

  /**
   * The workers for which something is due, and what. After `beat` the next heartbeat is scheduled; the
   * others get nothing more, and the caller removes them, or takes their requests away.
   */
  takeAllDue(now: Instant): readonly { readonly worker: Worker; readonly due: WorkerDue }[] {
    const all = [];
    for (;;) {
      const taken = this.#takeDue(now);
      if (taken === undefined) return all;
      if (taken.due !== 'beat') this.state.idle.leave(taken.worker);
      all.push(taken);
    }
  }

  #takeDue(now: Instant): { worker: Worker; due: WorkerDue } | undefined {
    for (;;) {
      const worker = this.#due.takeDue(now);
      if (worker === undefined) return undefined;
      const { heartbeat } = worker;
      if (heartbeat.expiresAt <= now) return { worker, due: 'expired' };
      if (worker.goneAt <= now) return { worker, due: 'gone' };
      if (timeoutOf(worker) <= now) return { worker, due: 'overdue' };
      const isDue = heartbeat.beatAt <= now;
      if (isDue) beaten(heartbeat, now, this.#settings);
      this.#reschedule(worker);
      if (isDue) return { worker, due: 'beat' };
    }
  }

  #reschedule(worker: Worker): void {
    this.#due.set(worker, Math.min(nextDue(worker.heartbeat), worker.goneAt, timeoutOf(worker)));
  }
}

/** True if a worker may be given a request now. */
export function mayWork(worker: Worker): boolean {
  return worker.dispatch === undefined && worker.writable && worker.goneAt === Infinity;
}

/** True while it has not let go of a request that is no longer its own. */
export function isOverdue({ dispatch }: Worker): boolean {
  return dispatch !== undefined && dispatch.request === undefined;
}

function timeoutOf({ dispatch }: Worker): Instant {
  return dispatch?.request === undefined ? Infinity : dispatch.timeoutAt;
}
