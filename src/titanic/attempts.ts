/**
 * Attempts: which request may begin, and what its end means.
 *
 * An attempt is stored before it begins, so that no crash makes it free. It begins as soon as its service
 * has room, a broker is there and the store takes what it will have to say. How an attempt ends decides
 * about the request: it is done, it is dead, or it is tried again later.
 */
import { Deadlines } from '../core/deadlines.ts';
import { byteLength } from '../core/frames.ts';
import type { Frames, Instant } from '../core/machine.ts';
import { NumberMap } from '../core/number-map.ts';
import { backoffDelay, type Random } from '../core/retry.ts';
import { encodeMeta, keyOf } from './records.ts';
import type { Ending, Pending, Requests, StoredRequest } from './requests.ts';
import type { ServiceLine, ServiceLines } from './service-lines.ts';
import type { AttemptEnd, ExecutionToken } from './titanic-events.ts';
import type { TitanicOutbox, Writes } from './writes.ts';

export interface AttemptSettings {
  readonly attemptTimeout: number;
  readonly backoffLimit: number;
  readonly bodyLimit: number;
  readonly random: Random;
}

/** What an attempt's end makes of its request: it has ended, or it goes on. */
export type Verdict = Omit<Extract<Ending, { type: 'dead' }>, 'finished'> | undefined;

export class Attempts {
  /** Whether a broker is there, and whether anything is still to be begun. */
  isLinked = false;
  isOpen = true;
  readonly #outbox: TitanicOutbox;
  readonly #settings: AttemptSettings;
  readonly #requests: Requests;
  readonly #services: ServiceLines;
  readonly #writes: Writes;
  readonly #running = new NumberMap<StoredRequest>();
  /** When a delay is over, or a deadline passed. */
  readonly #timers = new Deadlines<Pending>();
  #execution: ExecutionToken = 0;

  constructor(
    outbox: TitanicOutbox,
    settings: AttemptSettings,
    requests: Requests,
    services: ServiceLines,
    writes: Writes,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#requests = requests;
    this.#services = services;
    this.#writes = writes;
  }

  /** How many are under way. */
  get running(): number {
    return this.#running.size;
  }

  get nextDue(): Instant {
    return this.#timers.next;
  }

  /** The next one whose delay is over or whose deadline has passed. */
  takeDue(now: Instant): StoredRequest | undefined {
    return this.#timers.takeDue(now)?.request;
  }

  /** The request that this attempt is of, which it is no more. */
  take(execution: ExecutionToken): StoredRequest | undefined {
    const request = this.#running.get(execution);
    if (request !== undefined) this.#vacate(request);
    return request;
  }

  // Beginning

  mayBegin(service: ServiceLine): boolean {
    return this.isOpen && this.isLinked && this.#writes.takesAll && this.#services.hasRoom(service);
  }

  /** Takes a room for a request. There must be one. */
  reserve(pending: Pending): void {
    this.#services.enter(pending.request.service!, pending.request);
    pending.hasRoom = true;
  }

  /** A request that nothing is being done about waits: for its time, or for its service. */
  place(now: Instant, { request, dueAt, deadlineAt }: Pending, isReturned = false): void {
    const { pending, service } = request;
    if (pending === undefined || service === undefined || request.isInLine) return;
    if (dueAt > now) {
      this.#requests.show(request, 'delayed');
      return this.#timers.set(pending, Math.min(dueAt, deadlineAt));
    }
    this.#timers.set(pending, deadlineAt);
    this.#requests.show(request, 'waiting');
    (isReturned ? service.returned : service.waiting).push(request);
  }

  /** Begins those who wait, as far as there is room. */
  serve(now: Instant, service: ServiceLine): void {
    for (;;) {
      const pending = service.first?.pending;
      if (pending === undefined || !this.mayBegin(service)) return;
      pending.request.leaveLine();
      this.reserve(pending);
      // What was handed back is stored already.
      if (pending.begun > pending.request.attempts) this.#execute(now, pending);
      else this.#write(pending, 'begin', pending.request.attempts + 1);
    }
  }

  serveAll(now: Instant): void {
    for (const service of this.#services.services.values()) this.serve(now, service);
  }

  /** The attempt of a request that has a room is stored: it begins. False if there is no broker any more. */
  begin(now: Instant, pending: Pending): boolean {
    if (!this.isOpen || !this.isLinked) return false;
    this.#execute(now, pending);
    return true;
  }

  /** Stores that what is stored as begun did not start: otherwise a restart would count it. */
  takeBack(pending: Pending): void {
    this.#write(pending, 'return', pending.request.attempts);
  }

  // Ending

  /** What follows from the failure of the attempt that was taken. */
  failed(now: Instant, pending: Pending, end: AttemptEnd, message: string): Verdict {
    const { request } = pending;
    const service = request.service!;
    const attempt = request.attempts;
    const { id } = request;
    const { name } = service;
    this.#outbox.emit({ type: 'attemptFailed', id, service: name, attempt, end, reason: message });
    if (end === 'unstarted') {
      request.attempts--;
      // Without a broker nobody can be found: that says nothing of the service.
      if (this.isLinked && this.#services.absent(now, service, request)) {
        this.#outbox.emit({ type: 'serviceAbsent', service: name });
      }
      return undefined;
    }
    this.found(service);
    if (end === 'failed') pending.failures++;
    if (end === 'poison') return { type: 'dead', code: 'ERR_ATTEMPTS_EXHAUSTED', message };
    if (attempt <= pending.retries) {
      const { backoffLimit, random } = this.#settings;
      const settings = { backoff: pending.backoff, backoffLimit };
      pending.dueAt = now + backoffDelay(settings, attempt - 1, random);
      return undefined;
    }
    const code = end === 'failed' ? 'ERR_HANDLER_FAILED' : 'ERR_ATTEMPTS_EXHAUSTED';
    return { type: 'dead', code, message };
  }

  /** Why a reply cannot be taken; undefined if it can. */
  faultOf(body: Frames): string | undefined {
    const bytes = byteLength(body);
    const { bodyLimit } = this.#settings;
    return bytes > bodyLimit ? `the reply has ${bytes} bytes, more than ${bodyLimit}` : undefined;
  }

  /** An attempt ended in a way that says that somebody offers its service. */
  found(service: ServiceLine): void {
    if (this.#services.found(service)) {
      this.#outbox.emit({ type: 'serviceFound', service: service.name });
    }
  }

  /** Nothing is tried any more: it waits for nothing, and what is under way matters no more. */
  withdraw(pending: Pending): void {
    const { request, execution } = pending;
    request.leaveLine();
    this.#timers.delete(pending);
    if (execution !== 0) {
      this.#vacate(request);
      this.#outbox.emit({ type: 'abandon', execution });
    }
    this.leave(pending);
  }

  /** Gives its room up, if it has one. */
  leave(pending: Pending): void {
    if (!pending.hasRoom) return;
    pending.hasRoom = false;
    this.#services.exit(pending.request.service!, pending.request);
  }

  /** Abandons all that is under way. */
  abandonAll(): void {
    for (const [execution, request] of Array.from(this.#running)) {
      this.#vacate(request);
      this.#outbox.emit({ type: 'abandon', execution });
    }
  }

  /** For the fingerprint. */
  get condition(): unknown {
    const running = Array.from(this.#running, ([execution, { id }]) => [execution, id]);
    const entries = Array.from(this.#requests.entries.values());
    const timers = entries.flatMap(({ pending }) =>
      pending === undefined ? [] : [{ dueAt: this.#timers.at(pending) }],
    );
    return {
      running,
      timers,
      next: this.#execution,
      isLinked: this.isLinked,
      isOpen: this.isOpen,
    };
  }

  #write(pending: Pending, kind: 'begin' | 'return', attempts: number): void {
    const { request, failures, again } = pending;
    const value = [encodeMeta({ attempts, failures, again })];
    const batch = { puts: [{ key: keyOf('attempts', request.id), value }], deletes: [] };
    this.#writes.store({ kind, request, asks: [] }, batch);
  }

  #execute(now: Instant, pending: Pending): void {
    const { request, failures, deadlineAt } = pending;
    const { id } = request;
    const execution = ++this.#execution;
    pending.execution = execution;
    request.attempts++;
    this.#running.set(execution, request);
    this.#timers.set(pending, deadlineAt);
    this.#requests.show(request, 'running');
    this.#outbox.emit({
      type: 'execute',
      execution,
      id,
      service: request.service!.name,
      key: keyOf('request', id),
      attempt: request.attempts,
      idempotencyKey: `${id}:${request.submitted}:${failures}`,
      timeout: Math.max(1, Math.min(this.#settings.attemptTimeout, deadlineAt - now)),
    });
  }

  #vacate({ pending }: StoredRequest): void {
    if (pending === undefined) return;
    this.#running.delete(pending.execution);
    pending.execution = 0;
  }
}
