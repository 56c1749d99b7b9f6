/**
 * How long what has ended is kept: replies and dead letters by age, count and bytes, the ids of closed
 * requests by age and count. What is pending is not here, and so never discarded.
 *
 * Many are discarded in one batch, and one batch is under way at a time: that paces it, however many are
 * due at once.
 */
import type { Instant } from '../core/machine.ts';
import { Line } from './line.ts';
import { deletesOf } from './records.ts';
import type { StoredRequest } from './requests.ts';
import { STORE_REST, type SweepWrite, type Victim, type Writes } from './writes.ts';

export interface RetentionSettings {
  readonly retentionAge: number;
  readonly retentionCount: number;
  readonly retentionBytes: number;
  readonly closedAge: number;
  readonly closedCount: number;
  /** What the wall clock shows more than the monotonic one. */
  readonly wallClock: number;
}

/** Requests of each kind discarded in one batch. */
const SWEEP = 1000;

export class Retention {
  readonly #settings: RetentionSettings;
  readonly #writes: Writes;
  /** Done and dead ones, and closed ones: the oldest first. */
  readonly #ended = new Line<StoredRequest>();
  readonly #closed = new Line<StoredRequest>();
  #bytes = 0;
  #isSweeping = false;
  #restsUntilAt: Instant = -Infinity;

  constructor(settings: RetentionSettings, writes: Writes) {
    this.#settings = settings;
    this.#writes = writes;
  }

  /** Of those that are done and dead. */
  get bytes(): number {
    return this.#bytes;
  }

  get ended(): number {
    return this.#ended.size;
  }

  get closed(): number {
    return this.#closed.size;
  }

  /** When something is to be discarded. */
  get nextDue(): Instant {
    if (this.#isSweeping || !this.#writes.takesUrgent) return Infinity;
    const { retentionAge, closedAge } = this.#settings;
    const isOver = this.#reasonOf(0, 0) !== undefined;
    const endedAt = this.#dueAt(this.#ended.first, retentionAge, isOver);
    const isCrowded = this.#closed.size > this.#settings.closedCount;
    const closedAt = this.#dueAt(this.#closed.first, closedAge, isCrowded);
    return Math.max(Math.min(endedAt, closedAt), this.#restsUntilAt);
  }

  /** It is done or dead from now on. */
  keep(request: StoredRequest): void {
    this.#ended.push(request);
    this.#bytes += request.bytes;
  }

  /** The counterpart of `keep`, while its bytes are the same. */
  release(request: StoredRequest): void {
    if (this.#ended.delete(request)) this.#bytes -= request.bytes;
  }

  /** It is closed from now on. */
  bury(request: StoredRequest): void {
    this.#closed.push(request);
  }

  /** Discards what is due. */
  sweep(now: Instant): void {
    if (this.nextDue > now) return;
    const victims = [...this.#overdue(now), ...this.#crowded(now)];
    const deletes = victims.flatMap(({ request }) => deletesOf(request.stored, request.id));
    this.#isSweeping = true;
    this.#writes.store({ kind: 'sweep', victims }, { puts: [], deletes, urgent: true });
  }

  /** The batch was answered. */
  swept(now: Instant, { victims }: SweepWrite, isDone: boolean): void {
    this.#isSweeping = false;
    if (!isDone) this.#restsUntilAt = now + STORE_REST;
    else {
      for (const { request } of victims) {
        this.release(request);
        request.leaveLine();
      }
    }
  }

  /** For the fingerprint. */
  get condition(): unknown {
    return {
      ended: Array.from(this.#ended, ({ id }) => id),
      closed: Array.from(this.#closed, ({ id }) => id),
      bytes: this.#bytes,
      isSweeping: this.#isSweeping,
      restsUntilAt: this.#restsUntilAt,
    };
  }

  *#overdue(now: Instant): Generator<Victim> {
    let [count, bytes] = [0, 0];
    for (const request of this.#ended) {
      if (count === SWEEP || isBusy(request)) return;
      const isOld = this.#dueAt(request, this.#settings.retentionAge, false) <= now;
      const reason = isOld ? 'age' : this.#reasonOf(count, bytes);
      if (reason === undefined) return;
      yield { request, reason };
      count++;
      bytes += request.bytes;
    }
  }

  *#crowded(now: Instant): Generator<Victim> {
    const { closedAge, closedCount } = this.#settings;
    const excess = this.#closed.size - closedCount;
    let count = 0;
    for (const request of this.#closed) {
      if (count === SWEEP || this.#dueAt(request, closedAge, count < excess) > now) return;
      yield { request, reason: undefined };
      count++;
    }
  }

  /** Why the oldest has to go, once so many are gone; undefined if it may stay. */
  #reasonOf(count: number, bytes: number): 'count' | 'bytes' | undefined {
    const { retentionCount, retentionBytes } = this.#settings;
    if (this.#ended.size - count > retentionCount) return 'count';
    return this.#bytes - bytes > retentionBytes ? 'bytes' : undefined;
  }

  #dueAt(request: StoredRequest | undefined, age: number, isOver: boolean): Instant {
    // What is being closed makes room by itself.
    if (request === undefined || isBusy(request)) return Infinity;
    return isOver ? -Infinity : request.finished + age - this.#settings.wallClock;
  }
}

function isBusy({ write, closers }: StoredRequest): boolean {
  return write !== undefined || closers !== undefined;
}
